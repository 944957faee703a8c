//! Two companies become one: what clashes is told before the second directory counts, who is said to be one waits for a
//! person and stops nothing else, and the first directory ends without anybody being shut out unsaid.

use serde_json::Value;

use crate::{
    directories::sign_in_names::has_cause,
    support::{
        server::{Server, claims},
        slapd::{BASE, Kind, SYNC, Slapd, dn, group, person, trunk},
        wait_for,
    },
};

pub fn source(name: &str, slapd: &Slapd, more: &str) -> String {
    format!(
        "[source.{name}]\nkind = \"ldap\"\nurl = \"{}\"\nclear_text = true\nbind_dn = \"{SYNC}\"\nsecret_file = \"ldap.secret\"\n\
         people = \"ou=people,{BASE}\"\ngroups = [\"ou=groups,{BASE}\"]\nanswer_timeout = \"2s\"\n{more}",
        slapd.url()
    )
}

pub fn begin_anew(server: &mut Server, configuration: &str) {
    server.stop();
    server.configure(configuration);
    server.go();
}

pub fn signed_in(server: &Server, name: &str, password: &str) -> Option<String> {
    let answer = server.token(name, password, "");
    (answer.status == 200).then(|| claims(answer.json()["token"].as_str().unwrap())["sub"].as_str().unwrap().to_owned())
}

fn problem(server: &Server, kind: &str) -> Value {
    let mut all =
        wait_for(kind, || Some(server.pages(&format!("/api/v1/problems?kind={kind}"))).filter(|all| !all.is_empty()));
    all.remove(0)
}

fn no_problem(server: &Server, kind: &str) {
    wait_for(&format!("no {kind}"), || server.pages(&format!("/api/v1/problems?kind={kind}")).is_empty().then_some(()));
}

pub fn says(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
}

pub fn word(text: &str, begin: &str) -> String {
    text.split_whitespace().find(|word| word.starts_with(begin)).unwrap_or_else(|| panic!("{begin}: {text}")).to_owned()
}

fn people(server: &Server, source: &str) -> Vec<Value> {
    server.pages(&format!("/api/v1/people?source={source}&limit=500"))
}

/// Nobody is asked for by a password before: what a directory says of one is remembered for a minute.
pub fn are_read(server: &Server, source: &str, wanted: usize) {
    wait_for(&format!("{wanted} of {source}"), || (people(server, source).len() == wanted).then_some(()));
}

/// Who is in the one group of a directory, by ids.
fn members(server: &Server, source: &str) -> usize {
    let events = server.pages(&format!("/api/v1/events?source={source}&limit=500"));
    let of =
        |kind: &str| events.iter().filter(|event| event["type"] == format!("rollcall.group.member.{kind}.v1")).count();
    of("added") - of("removed")
}

#[test]
fn two_companies_become_one_and_the_first_directory_ends_without_anybody_being_shut_out_unsaid() {
    let first = trunk() + &person("bob", "people", "n-bob") + &person("ned", "people", "n-ned");
    let second = trunk()
        + &person("bob", "people", "f-bob")
        + &person("joe", "people", "f-joe")
        + &person("eve", "people", "f-eve");
    let (Some(northwind), Some(fabrikam)) = (
        Slapd::start(Kind::default(), &first),
        Slapd::start(Kind::default(), &(second + &group("devs", [dn("joe"), dn("eve")]))),
    ) else {
        return;
    };
    let mut server = Server::prepared(&source("northwind", &northwind, ""));
    server.dir.write("ldap.secret", "sync\n");
    server.go();
    are_read(&server, "northwind", 3);
    assert_eq!(signed_in(&server, "bob@ex.test", "n-bob").as_deref(), Some("bob"));

    // What clashes is told before anything of the second one counts.
    let both = |more: &str| source("northwind", &northwind, "") + &source("fabrikam", &fabrikam, more);
    begin_anew(&mut server, &both("first_run = \"plan\"\n"));
    let waits = problem(&server, "waiting_news");
    let said = waits["said"].as_str().unwrap();
    assert!(said.starts_with("first read: ") && said.ends_with(" additions wait"), "{waits}");
    says(waits["why"].as_str().unwrap(), &["since ", "news of this source does not count"]);
    assert!(!waits["remedy"].as_str().unwrap().contains("--confirm-removals"), "{waits}");
    assert_eq!(signed_in(&server, "bob@ex.test", "n-bob").as_deref(), None, "two directories have it");
    let plan = server.cli(&["plan", "fabrikam"]).out;
    says(&plan, &["asks for the user name bob, which is that of northwind/", "it would be called bob~fabrikam"]);
    says(&plan, &["have one e-mail address: it signs none of them in", "first read"]);
    assert!(!plan.contains("ex.test") && !plan.contains("--confirm-removals"), "{plan}");
    says(
        &server.cli(&["sources"]).out,
        &["first read: ", "news of this source does not count: read `rollcall plan fabrikam`"],
    );
    server.cli(&["apply", waits["subject"].as_str().unwrap()]).ok();
    are_read(&server, "fabrikam", 4);
    assert_eq!(signed_in(&server, "bob~fabrikam", "f-bob").as_deref(), Some("bob~fabrikam"));
    no_problem(&server, "waiting_news");

    // An address that two have is told, and by whose name it was refused.
    let of_bob = |server: &Server| {
        let all = server.pages("/api/v1/problems?kind=sign_in_name");
        all.into_iter().find(|row| row["said"].as_str().unwrap().contains("bob ("))
    };
    let shared = wait_for("the address of two", || of_bob(&server));
    says(shared["said"].as_str().unwrap(), &["bob (northwind/", "bob~fabrikam (fabrikam/", "have one e-mail address"]);
    says(shared["remedy"].as_str().unwrap(), &["rollcall users link ", "sign_in_domains"]);
    assert!(!shared.to_string().contains("ex.test"), "no address is told: {shared}");
    says(&server.cli(&["doctor"]).out, &["sign_in_name"]);

    // Whom the second one says to be whom of the first one waits; whoever leaves a group leaves it.
    let bob = people(&server, "northwind").iter().find(|person| person["username"] == "bob").unwrap()["person"].clone();
    fabrikam.modify("bob", "add", "employeeNumber", bob.as_str().unwrap());
    assert_eq!(members(&server, "fabrikam"), 2);
    let linked = "links = { northwind = \"employeeNumber\" }\n";
    begin_anew(&mut server, &both(linked));
    let waits = problem(&server, "waiting_news");
    assert_eq!(waits["said"], "whom it says to be one: 1 change, 0 removals", "{waits}");
    says(waits["why"].as_str().unwrap(), &["everything else that it says counts"]);
    fabrikam
        .change(&format!("dn: cn=devs,ou=groups,{BASE}\nchangetype: modify\ndelete: member\nmember: {}\n", dn("joe")));
    wait_for("joe to be out", || (members(&server, "fabrikam") == 1).then_some(()));
    fabrikam.change(&person("zoe", "people", "f-zoe"));
    are_read(&server, "fabrikam", 5);
    assert_eq!(signed_in(&server, "zoe", "f-zoe").as_deref(), Some("zoe"));
    let plan = server.cli(&["plan", "fabrikam"]).out;
    says(&plan, &[&format!("~ the person bob is said to be {} of northwind", bob.as_str().unwrap())]);
    let waits = problem(&server, "waiting_news");
    server.cli(&["apply", waits["subject"].as_str().unwrap()]).ok();
    let rule = ["users", "link", "--rule", "stated", "--source", "fabrikam"];
    let shown = server.cli(&rule).out;
    server.cli(&[&rule[..], &["--confirm", &word(&shown, "lnk_")]].concat()).ok();
    wait_for("bob to be one", || (signed_in(&server, "bob", "f-bob").as_deref() == Some("bob")).then_some(()));
    wait_for("the address to be one user's", || of_bob(&server).is_none().then_some(()));

    // The first one ends, and its section goes, as the remedy says.
    server.cli(&["sources", "retire", "northwind", "--for-ever", "northwind"]).ok();
    says(problem(&server, "source_retired")["remedy"].as_str().unwrap(), &["[source.northwind]", "leave `links`"]);
    begin_anew(&mut server, &source("fabrikam", &fabrikam, linked));
    wait_for("bob to sign in still", || (signed_in(&server, "bob", "f-bob").as_deref() == Some("bob")).then_some(()));
    server.configure(&source("fabrikam", &fabrikam, "links = { northwnd = \"employeeNumber\" }\n"));
    let refused = {
        server.stop();
        server.refuses_to_start()
    };
    says(&refused.err, &["there is no source `northwnd`"]);

    // Without the setting it waits, and parts nobody: of whoever is gone nothing is said any more.
    server.configure(&source("fabrikam", &fabrikam, ""));
    server.go();
    let waits = problem(&server, "waiting_news");
    assert_eq!(waits["said"], "whom it says to be one: 0 changes, 1 removal", "{waits}");
    let plan = server.cli(&["plan", "fabrikam"]).out;
    says(&plan, &["- the person bob is no longer said to be"]);
    assert!(!plan.contains("are parted") && !plan.contains("cannot sign in"), "{plan}");
    let id = problem(&server, "waiting_news")["subject"].as_str().unwrap().to_owned();
    assert_eq!(server.cli(&["apply", &id]).code, 1, "how many it ends is confirmed");
    server.cli(&["apply", &id, "--confirm-removals", "1"]).ok();
    no_problem(&server, "waiting_news");
    assert_eq!(signed_in(&server, "bob", "f-bob").as_deref(), Some("bob"));

    // A name that somebody had says whose it was.
    server.cli(&["users", "rename", "zoe", "zoe.fab"]).ok();
    for command in [&["users", "show", "zoe"][..], &["why", "zoe", "pull", "acme/db"]] {
        let said = server.cli(command);
        says(&(said.out + &said.err), &["`zoe` was fabrikam/", "who is `zoe.fab` now"]);
    }
    // With a secret it is nobody's; the directory still has her by it.
    let secret = server.secret_for("zoe.fab");
    assert_eq!(signed_in(&server, "zoe", "f-zoe").as_deref(), Some("zoe.fab"));
    assert_eq!(signed_in(&server, "zoe", &secret), None);
    has_cause(&server, "zoe.fab", "former_name");
}

#[test]
fn an_address_of_a_domain_is_asked_of_the_directory_that_has_the_domain_and_of_no_other() {
    let first = trunk() + &person("bob", "people", "n-bob");
    let rob = person("rob", "people", "f-rob").replace("rob@", "bob@");
    let second = trunk() + &rob + &person("eve", "people", "f-eve");
    let (Some(northwind), Some(fabrikam)) =
        (Slapd::start(Kind::default(), &first), Slapd::start(Kind::default(), &second))
    else {
        return;
    };
    let both = |more: &str| source("northwind", &northwind, more) + &source("fabrikam", &fabrikam, "");
    let mut server = Server::prepared(&both("sign_in_domains = [\"ex.test\"]\n"));
    server.dir.write("ldap.secret", "sync\n");
    server.go();
    are_read(&server, "northwind", 2);
    are_read(&server, "fabrikam", 3);
    assert_eq!(signed_in(&server, "bob@ex.test", "n-bob").as_deref(), Some("bob"));
    assert_eq!(signed_in(&server, "bob@ex.test", "f-rob"), None);
    assert_eq!(signed_in(&server, "eve@ex.test", "f-eve"), None, "the other directory is not asked");
    assert_eq!(signed_in(&server, "eve", "f-eve").as_deref(), Some("eve"));
    // Where the domain is nobody's, both are asked: what two have signs in neither.
    begin_anew(&mut server, &both(""));
    assert_eq!(signed_in(&server, "eve@ex.test", "f-eve").as_deref(), Some("eve"));
    assert_eq!(signed_in(&server, "bob@ex.test", "n-bob"), None);
}
