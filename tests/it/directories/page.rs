//! `docs/people.md` is true: what it tells to do is done with a real directory, block by block, and says what it shows.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::{
    product::readme::{Shown, blocks, like, shown},
    support::{
        run,
        server::{BINARY, Server},
        slapd::{BASE, Kind, SYNC, Slapd, dn, group, person, trunk},
        wait_for,
    },
};

/// How many people there are beside those whom the page names.
const OTHERS: usize = 40;

fn everybody() -> String {
    let mut all = String::new();
    (0..OTHERS).for_each(|n| all += &person(&format!("u{n}"), "people", "pw"));
    all + &person("ada", "people", "ada") + &person("eve", "people", "eve")
}

/// How many persons the directory stated that stand.
fn standing(server: &Server) -> usize {
    let all = server.pages("/api/v1/people?source=corp&limit=500");
    all.iter().filter(|person| person["removed"] == false).count()
}

fn made_again(slapd: &Slapd, uid: &str) {
    slapd.delete(&dn(uid));
    slapd.change(&person(uid, "people", uid));
}

/// The last word of a text that begins so.
fn last_word<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    let mut words = text.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.find(|word| word.starts_with(begin) && word.len() > begin.len())
}

#[test]
fn every_block_of_the_page_about_people_says_what_it_shows_with_a_real_directory() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/people.md")).unwrap();
    let blocks = blocks(&text, "console");
    let ldif = trunk() + &everybody() + &group("ops", (0..OTHERS).map(|n| dn(&format!("u{n}"))));
    let Some(slapd) = Slapd::start(Kind { refint: false, ..Kind::default() }, &ldif) else { return };
    let mut server = Server::prepared(&format!(
        "[source.corp]\nkind = \"ldap\"\nurl = \"{}\"\nclear_text = true\nbind_dn = \"{SYNC}\"\n\
         secret_file = \"ldap.secret\"\npeople = \"ou=people,{BASE}\"\ngroups = [\"ou=groups,{BASE}\"]\n\
         links = {{ flexnet = \"employeeNumber\" }}\n",
        slapd.url()
    ));
    server.dir.write("ldap.secret", "sync\n");
    server.go();
    server.say("flexnet account.upserted globex kind=customer\n");
    let all = OTHERS + 3;
    wait_for("everybody", || (standing(&server) == all).then_some(()));
    let bin = server.dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(BINARY, bin.join("rollcall")).unwrap();
    let mut said = String::new();
    for (n, block) in blocks.iter().enumerate() {
        match n {
            0 => {
                ["ada", "eve"].iter().for_each(|uid| made_again(&slapd, uid));
                wait_for("both anew", || {
                    (server.pages("/api/v1/people?source=corp&limit=500").len() == all + 2).then_some(())
                });
                wait_for("the old ones to be gone", || (standing(&server) == all).then_some(()));
            }
            3 => {
                let people = (0..OTHERS).map(|n| format!("u{n}")).chain(["ada".to_owned(), "eve".to_owned()]);
                let gone: String = people.map(|uid| format!("dn: {}\nchangetype: delete\n\n", dn(&uid))).collect();
                slapd.change(&gone);
                slapd.change(&everybody());
                // What goes before it is too many goes at once; the rest waits.
                wait_for("the removals to wait", || {
                    let plans = server.get("/api/v1/plans").json();
                    let many =
                        |plan: &serde_json::Value| plan["state"] == "open" && plan["removals"].as_u64() > Some(20);
                    plans["items"].as_array().unwrap().iter().any(many).then_some(())
                });
                wait_for("everybody anew", || {
                    (server.pages("/api/v1/people?source=corp&limit=500").len() >= 2 * all).then_some(())
                });
            }
            4 => {
                let contact = json!({"person": "C-77", "username": "robert", "account": "globex", "active": true});
                let event = json!({
                    "specversion": "1.0", "id": "c", "source": "/fn", "type": "rollcall.person.upserted.v1",
                    "sequence": "1", "data": contact,
                });
                server.post_json("application/cloudevents+json", &event).expect(202);
                let number =
                    format!("dn: {}\nchangetype: modify\nadd: employeeNumber\nemployeeNumber: C-77\n", dn("u7"));
                slapd.change(&number);
                wait_for("whom it says to be one", || {
                    (!server.pages("/api/v1/problems?kind=link").is_empty()).then_some(())
                });
            }
            _ => {}
        }
        for Shown { command, lines } in shown(block) {
            let mut command = command.clone();
            for begin in ["pln_", "lnk_"] {
                let example = format!("{begin}0123456789abcdef");
                if command.contains(&example) {
                    command = command.replace(&example, last_word(&said, begin).expect("a plan was shown before"));
                }
            }
            if let Some(number) = said
                .rsplit("--confirm-removals ")
                .next()
                .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
            {
                command = command.replace("--confirm-removals 90", &format!("--confirm-removals {number}"));
            }
            let mut shell = Command::new("bash");
            let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
            shell.args(["-c", &format!("{command} 2>&1")]).current_dir(server.dir.path()).env("PATH", path);
            shell.env("NO_COLOR", "1");
            let told = run(&mut shell, &server.dir).out;
            assert!(
                like(&lines, &told.lines().collect::<Vec<_>>()),
                "`{command}` is shown to print\n{}\n--- and prints\n{told}",
                lines.join("\n")
            );
            said.push_str(&told);
        }
    }
    assert_eq!(blocks.len(), 5, "what has to be there before a block is written here");
    let sub = |name: &str, password: &str| server.token(name, password, "").status;
    assert_eq!((sub("ada", "ada"), sub("eve", "eve"), sub("u7", "pw")), (200, 200, 200));
}
