//! People keep their names: whoever a directory calls so has a name before a customer has it, whoever is made again gets it
//! back as somebody decides, and where a name is another's it is told where it hurts. No right ever passes with a name.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    directories::served::{count, served},
    support::{
        server::{Server, WORLD, access, claims},
        slapd::{BASE, Kind, SYNC, Slapd, dn, group, person, trunk},
        wait_for,
    },
};

/// What users are called, by id without the source's own part.
fn called(server: &Server) -> BTreeMap<String, String> {
    let users = server.pages("/api/v1/users?limit=500");
    users.iter().map(|user| (text(user, "id"), text(user, "name"))).collect()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}")).to_owned()
}

/// The problems with user names, in words.
fn told(server: &Server) -> Vec<Value> {
    server.pages("/api/v1/problems?kind=user_name")
}

/// Who a password signs in, by the token.
fn signed_in(server: &Server, name: &str, password: &str) -> Option<String> {
    let answer = server.token(name, password, "");
    (answer.status == 200).then(|| text(&claims(&text(&answer.json(), "token")), "sub"))
}

/// Whether somebody signs in with the user name as password and pulls what the contacts of `WORLD` are entitled to.
fn pulls(server: &Server, name: &str) -> bool {
    let answer = server.token(name, name, "&scope=repository:acme/db:pull");
    answer.status == 200 && access(&text(&answer.json(), "token")).iter().any(|(_, actions)| *actions == ["pull"])
}

/// What a password lets somebody do with a project's images.
fn actions(server: &Server, name: &str, password: &str, project: &str) -> Vec<String> {
    let answer = server.token(name, password, &format!("&scope=repository:{project}/x:pull,push"));
    let all = if answer.status == 200 { access(&text(&answer.json(), "token")) } else { Vec::new() };
    all.into_iter().flat_map(|(_, actions)| actions).collect()
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

fn entry_id(slapd: &Slapd, uid: &str) -> String {
    let all = slapd.dump(&["entryUUID"]);
    let at = all.split("dn: ").find(|entry| entry.starts_with(&format!("uid={uid},"))).unwrap();
    let line = at.lines().find_map(|line| line.strip_prefix("entryUUID: ")).unwrap();
    line.to_owned()
}

fn contact(server: &Server, id: &str, name: &str, sequence: u64) {
    let event = json!({
        "specversion": "1.0", "id": format!("{id}-{sequence}"), "source": "/fn", "type": "rollcall.person.upserted.v1",
        "sequence": sequence.to_string(), "data": {"person": id, "username": name, "account": "globex", "active": true},
    });
    let answer = server.post_json("application/cloudevents+json", &event).expect(202).json();
    server.reached(answer["events"][0]["position"].as_u64().unwrap());
}

/// A link or parting, as whoever looked at the plan confirms it.
fn linked(server: &Server, request: &Value) -> (Value, Value) {
    let plan = server.post("/api/v1/links/plan", request).expect(200).json();
    let mut request = request.clone();
    request["confirm"] = plan["plan"].clone();
    let done = server.post("/api/v1/links", &request).expect(200).json();
    (plan, done)
}

#[test]
fn a_customer_who_is_called_as_an_employee_locks_nobody_out() {
    let ldif = trunk() + &person("bob", "people", "b") + &person("kim", "people", "k");
    let Some(mut slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let url = slapd.url();
    slapd.stop();
    let server = served(&url, "");
    server.say(WORLD);
    contact(&server, "C-77", "bob", 1);
    contact(&server, "C-78", "kim", 1);
    let secret = server.secret_for("kim");
    slapd.restart();
    wait_for("the people", || (count(&server, "person.upserted") >= 3).then_some(()));
    wait_for("bob to be bob's", || (signed_in(&server, "bob", "b").as_deref() == Some("bob")).then_some(()));
    let names = called(&server);
    assert_eq!(names["flexnet/C-77"], "bob~flexnet");
    // Kim the customer pulls under her name: it stays hers, and somebody is told what to do.
    assert_eq!(called(&server)["flexnet/C-78"], "kim");
    server.token("kim", &secret, "").expect(200);
    let all = told(&server);
    let kim = all.iter().find(|row| text(row, "said").contains("kim")).unwrap_or_else(|| panic!("{all:?}"));
    assert!(text(kim, "remedy").contains("as soon as kim has no secret in force"), "{kim}");
    assert_eq!(signed_in(&server, "kim", "k"), None, "whose name it is comes first");
    let refused = wait_for("the refusal", || {
        let all = server.get("/api/v1/refused-sign-ins").json();
        let taken = |row: &&Value| row["cause"] == "name_taken";
        let names = all["items"].as_array()?.iter().filter(taken).map(|row| text(row, "name"));
        Some(names.filter(|name| name.starts_with("kim")).collect::<Vec<_>>()).filter(|names| names.len() == 2)
    });
    assert_eq!(refused, ["kim~corp-ldap", "kim"]);
    for command in [&["why", "kim", "pull", "acme/db"][..], &["users", "show", "kim"]] {
        let said = server.cli(command).out;
        assert!(said.contains("is asked for by another user too, who is called"), "{said}");
        assert!(said.contains("kim~corp-ldap"), "{said}");
    }
    let id = text(&server.get("/api/v1/users/kim/secrets").json()["items"][0], "id");
    server.delete(&format!("/api/v1/users/kim/secrets/{id}")).expect(200);
    wait_for("kim to be kim's", || (signed_in(&server, "kim", "k").as_deref() == Some("kim")).then_some(()));
    assert_eq!(called(&server)["flexnet/C-78"], "kim~flexnet");
    // Each time the log says by which rule.
    let given = server.pages("/api/v1/events?type=rollcall.user.name.given.v1&limit=500");
    assert!(given.len() == 2 && given.iter().all(|event| event["data"]["rule"] == "authoritative"), "{given:?}");
}

#[test]
fn two_people_who_exchange_their_user_names_sign_in_under_the_new_ones() {
    let ldif = trunk() + &person("x1", "people", "x") + &person("y1", "people", "y");
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let server = served(&slapd.url(), "");
    wait_for("the people", || (count(&server, "person.upserted") >= 3).then_some(()));
    let before = called(&server);
    for (from, to) in [("x1", "tmp"), ("y1", "x1"), ("tmp", "y1")] {
        slapd.change(&format!("dn: {}\nchangetype: modrdn\nnewrdn: uid={to}\ndeleteoldrdn: 1\n", dn(from)));
    }
    wait_for("y1 to be x", || (signed_in(&server, "y1", "x").as_deref() == Some("y1")).then_some(()));
    wait_for("x1 to be y", || (signed_in(&server, "x1", "y").as_deref() == Some("x1")).then_some(()));
    let swapped = |name: &str| match name {
        "x1" => "y1".to_owned(),
        "y1" => "x1".to_owned(),
        other => other.to_owned(),
    };
    let wanted: BTreeMap<_, _> = before.into_iter().map(|(id, name)| (id, swapped(&name))).collect();
    assert_eq!(called(&server), wanted);
    assert_eq!(told(&server), Vec::<Value>::new());
}

/// One entry that is deleted and made again has another id: nothing of the old one's passes by itself.
#[test]
fn who_is_made_again_waits_for_somebody_to_say_who_it_is_and_is_the_same_or_another_as_was_said() {
    let ldif = trunk() + &person("ada", "people", "a") + &person("eve", "people", "e");
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let server = served(&slapd.url(), "");
    wait_for("the people", || (count(&server, "person.upserted") >= 3).then_some(()));
    let ids: Vec<String> = ["ada", "eve"].iter().map(|uid| format!("corp-ldap/{}", entry_id(&slapd, uid))).collect();
    for id in &ids {
        server
            .post("/api/v1/bindings", &json!({"principal": {"user": id}, "role": "api:auditor", "scope": "root"}))
            .expect(200);
    }
    for uid in ["ada", "eve"] {
        slapd.delete(&dn(uid));
        slapd.change(&person(uid, "people", &uid[..1]));
    }
    wait_for("both anew", || (count(&server, "person.upserted") >= 5).then_some(()));
    let again: Vec<String> = ["ada", "eve"].iter().map(|uid| format!("corp-ldap/{}", entry_id(&slapd, uid))).collect();
    let names = called(&server);
    assert_eq!((&*names[&again[0]], &*names[&ids[0]]), ("ada~corp-ldap", "ada"), "{names:?}");
    let all = told(&server);
    assert_eq!(all.len(), 2, "{all:?}");
    for name in ["ada", "eve"] {
        let way = format!("rollcall users link {name} {name}~corp-ldap`");
        assert!(all.iter().any(|row| text(row, "remedy").contains(&way)), "{way}: {all:?}");
    }
    // The same person: what it had it has, and nothing changes before somebody confirmed exactly that.
    let request = json!({"persons": [ids[0], again[0]]});
    server.post("/api/v1/links", &request).expect(422);
    server
        .post("/api/v1/links", &json!({"persons": [ids[0], again[0]], "confirm": "lnk_0000000000000000"}))
        .expect(412);
    let (plan, _) = linked(&server, &request);
    let gained: Vec<String> =
        plan["changes"].as_array().unwrap().iter().map(|row| format!("{} {}", row["person"], row["appears"])).collect();
    assert!(gained.iter().all(|row| row.ends_with("true")), "{plan}");
    assert_eq!(signed_in(&server, "ada", "a").as_deref(), Some("ada"));
    let ada = server.get("/api/v1/users/ada").expect(200).json();
    assert_eq!((text(&ada, "id"), ada["persons"].as_array().unwrap().len()), (ids[0].clone(), 2));
    server.post("/api/v1/links/plan", &request).expect(409);
    // Whoever signs in under a name is not called otherwise by a slip.
    let slip = server.cli(&["users", "rename", &again[1], "sync"]);
    assert!(slip.code == 1 && slip.err.contains("may sign in"), "{} {}", slip.out, slip.err);
    // Another person: the name alone. Its holder still has a role by name, which ends first.
    let rename = ["users", "rename", &again[1], "Eve"];
    let refused = server.cli(&rename);
    assert!(refused.code == 1 && refused.err.contains("1 role given by name"), "{} {}", refused.out, refused.err);
    let bound = server.pages("/api/v1/bindings?limit=100");
    let binding = bound.iter().find(|row| row.to_string().contains(&ids[1])).unwrap_or_else(|| panic!("{bound:?}"));
    server.delete(&format!("/api/v1/bindings/{}", text(binding, "id"))).expect(200);
    server.cli(&rename).ok();
    assert_eq!(signed_in(&server, "eve", "e").as_deref(), Some("eve"));
    let eve = server.get("/api/v1/users/eve").expect(200).json();
    assert_eq!((text(&eve, "id"), eve["persons"].as_array().unwrap().len()), (again[1].clone(), 1));
    assert_eq!(told(&server), Vec::<Value>::new());
}

/// As when a directory is restored from LDIF without its operational attributes: everybody has another id.
#[test]
fn a_directory_that_is_restored_gives_everybody_back_what_they_had_by_one_plan() {
    let people = 40;
    let mut ldif = trunk();
    (0..people).for_each(|n| ldif += &person(&format!("u{n}"), "people", &format!("pw{n}")));
    ldif += &group("ops", (0..people).map(|n| dn(&format!("u{n}"))));
    let Some(slapd) = Slapd::start(Kind { refint: false, ..Kind::default() }, &ldif) else { return };
    let mut server = served(&slapd.url(), "");
    wait_for("the people", || (count(&server, "person.upserted") > people).then_some(()));
    let u7 = format!("corp-ldap/{}", entry_id(&slapd, "u7"));
    server
        .post("/api/v1/bindings", &json!({"principal": {"user": "u7"}, "role": "api:auditor", "scope": "root"}))
        .expect(200);
    let secret = server.secret_for("u7");
    for command in [
        "projects create tools",
        "bindings set user:u7 Developer project:tools",
        "groups create crew",
        "groups add crew user:u5",
        "bindings set group:local/crew Guest project:tools",
    ] {
        server.cli(&command.split(' ').collect::<Vec<_>>()).ok();
    }
    let mut gone = String::new();
    (0..people).for_each(|n| gone += &format!("dn: {}\nchangetype: delete\n\n", dn(&format!("u{n}"))));
    let mut again = String::new();
    (0..people).for_each(|n| again += &person(&format!("u{n}"), "people", &format!("pw{n}")));
    // Of what is followed some would go before they are many.
    server.stop();
    slapd.change(&gone);
    slapd.change(&again);
    server.go();
    wait_for("everybody anew", || (count(&server, "person.upserted") > 2 * people).then_some(()));
    // The old ones are held: so many do not go without somebody who says so.
    let removed = 2 * people;
    let held = wait_for("the held plan", || {
        let plans = server.get("/api/v1/plans").json();
        let open = |plan: &&Value| plan["state"] == "open" && plan["removals"] == removed;
        plans["items"].as_array().unwrap().iter().find(open).map(|plan| text(plan, "id"))
    });
    assert_eq!((count(&server, "person.removed"), called(&server).len()), (0, 2 * people + 1));
    server.cli(&["apply", &held, "--confirm-removals", &removed.to_string()]).ok();
    wait_for("the old ones to go", || (count(&server, "person.removed") >= people).then_some(()));
    assert_eq!(told(&server).len(), people);
    assert_eq!(signed_in(&server, "u7", "pw7"), None, "of whom the directory means another user than has the name");
    let rule = ["users", "link", "--rule", "made_again", "--source", "corp-ldap"];
    let shown = server.cli(&rule);
    assert_eq!(shown.code, 1, "{} {}", shown.out, shown.err);
    assert_eq!(shown.out.matches("are one user\n").count(), people, "{}", shown.out);
    let again = format!("corp-ldap/{}", entry_id(&slapd, "u7"));
    assert!(shown.out.contains(&format!("project tools  u7~corp-ldap ({again})  Developer")), "{}", shown.out);
    assert!(shown.err.contains("nothing was changed"), "{}", shown.err);
    assert_eq!(told(&server).len(), people, "it was only shown");
    let plan = shown.out.split_whitespace().find(|word| word.starts_with("lnk_")).unwrap().to_owned();
    let done = server.cli(&[&rule[..], &["--confirm", &plan]].concat()).ok();
    assert!(done.contains(&format!("{people} times two people linked")), "{done}");
    for n in 0..people {
        let name = format!("u{n}");
        assert_eq!(signed_in(&server, &name, &format!("pw{n}")).as_deref(), Some(&*name));
    }
    assert_eq!(called(&server).get(&u7).map(String::as_str), Some("u7"));
    server.token("u7", &secret, "").expect(200);
    // What was given to them by hand is theirs still, and what is given to them from now on.
    server.cli(&["bindings", "set", "user:u9", "Guest", "project:tools"]).ok();
    let may = |n: usize| actions(&server, &format!("u{n}"), &format!("pw{n}"), "tools");
    assert_eq!((may(7), may(5), may(9)), (strings(&["pull", "push"]), strings(&["pull"]), strings(&["pull"])));
    assert_eq!(server.pages("/api/v1/problems?limit=500"), Vec::<Value>::new());
    server.cli(&["groups", "take", "crew", "user:u5"]).ok();
    assert_eq!((may(5), may(6)), (strings(&[]), strings(&[])));
    assert_eq!(
        server.cli(&rule).ok(),
        "nobody is to be linked: nobody who was removed came since under the same name, or they are linked, parted or excepted\n",
        "once"
    );
    assert_eq!(server.cli(&["users", "links"]).ok().lines().count(), people + 1);
    let events = server.pages("/api/v1/events?type=rollcall.identity.linked.v1&limit=500");
    assert!(events.iter().all(|event| event["data"]["rule"] == "made_again" && event["data"]["author"] == "admin key"));
}

#[test]
fn one_directory_that_two_sources_read_is_told_and_made_one_by_a_plan() {
    let ldif = trunk() + &person("ada", "people", "a") + &person("bob", "people", "b");
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let again = format!(
        "[source.lab-ldap]\nkind = \"ldap\"\nurl = \"{}\"\nclear_text = true\nbind_dn = \"{SYNC}\"\n\
         secret_file = \"ldap.secret\"\npeople = \"ou=people,{BASE}\"\ngroups = [\"ou=groups,{BASE}\"]\n",
        slapd.url()
    );
    let server = served(&slapd.url(), &again);
    wait_for("everybody twice", || (server.pages("/api/v1/people?limit=100").len() == 6).then_some(()));
    let all = wait_for("what is told", || Some(told(&server)).filter(|all| all.len() == 3));
    let both: Vec<String> = all.iter().map(|row| text(row, "remedy")).collect();
    assert!(both.iter().all(|row| row.contains("--rule same_id")), "{both:?}");
    linked(&server, &json!({"rule": "same_id", "source": "corp-ldap", "with": "lab-ldap"}));
    assert_eq!(called(&server).len(), 3);
    assert_eq!(signed_in(&server, "bob", "b").as_deref(), Some("bob"));
    assert_eq!(told(&server), Vec::<Value>::new());
    // Parted, each is somebody again, and it is told again.
    let links = server.get("/api/v1/links").expect(200).json();
    let persons = links["items"][0]["persons"].clone();
    linked(&server, &json!({"change": "unlink", "persons": persons}));
    assert_eq!(called(&server).len(), 4);
    assert_eq!(told(&server).len(), 1);
}

/// The directory keeps the licensing system's id of whoever is a contact there.
#[test]
fn who_a_directory_says_is_a_contact_is_that_contact_once_somebody_confirmed_it() {
    let numbered = |uid: &str, number: &str| {
        person(uid, "people", uid).trim_end().to_owned() + &format!("\nemployeeNumber: {number}\n\n")
    };
    let ldif = trunk() + &numbered("bob", "C-77") + &person("eve", "people", "eve");
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let server = served(&slapd.url(), "links = { flexnet = \"employeeNumber\" }\n");
    server.say(WORLD);
    contact(&server, "C-77", "robert", 1);
    contact(&server, "C-78", "kimberly", 1);
    wait_for("the people", || (count(&server, "person.upserted") >= 3).then_some(()));
    let flaws =
        wait_for("what is told", || Some(server.pages("/api/v1/problems?kind=link")).filter(|all| !all.is_empty()));
    assert!(text(&flaws[0], "remedy").contains("rollcall users link --rule stated --source corp-ldap"), "{flaws:?}");
    assert!(!pulls(&server, "bob"));
    let rule = ["users", "link", "--rule", "stated", "--source", "corp-ldap"];
    let shown = server.cli(&rule);
    assert!(shown.code == 1 && shown.out.contains("flexnet/C-77 (robert)"), "{} {}", shown.out, shown.err);
    let bob = format!("corp-ldap/{}", entry_id(&slapd, "bob"));
    assert!(shown.out.contains(&format!("project acme  bob ({bob})  Guest")), "{}", shown.out);
    let plan = shown.out.split_whitespace().find(|word| word.starts_with("lnk_")).unwrap().to_owned();
    server.cli(&[&rule[..], &["--confirm", &plan]].concat()).ok();
    assert!(pulls(&server, "bob"));
    // Whoever comes later is linked without being asked for, and parted when the directory does not say so any more.
    slapd.change(&numbered("kim", "C-78"));
    wait_for("kim to be the contact", || pulls(&server, "kim").then_some(()));
    slapd.change(&format!("dn: {}\nchangetype: modify\ndelete: employeeNumber\n", dn("kim")));
    wait_for("kim to be none", || (!pulls(&server, "kim")).then_some(()));
    // What two say of one contact holds of neither, and is told.
    slapd.change(&format!("dn: {}\nchangetype: modify\nadd: employeeNumber\nemployeeNumber: C-78\n", dn("kim")));
    wait_for("kim to be it again", || pulls(&server, "kim").then_some(()));
    slapd.change(&format!("dn: {}\nchangetype: modify\nadd: employeeNumber\nemployeeNumber: C-78\n", dn("eve")));
    wait_for("both to be told", || {
        let all = server.pages("/api/v1/problems?kind=link");
        all.iter().any(|row| text(row, "why").contains("of several people")).then_some(())
    });
    assert!(!pulls(&server, "eve"));
    let by_rule = server.pages("/api/v1/events?type=rollcall.identity.unlinked.v1&limit=100");
    assert!(by_rule.len() == 1 && by_rule[0]["data"]["rule"] == "stated", "{by_rule:?}");
}

/// What somebody looked at and left out is on record: whoever goes on by the rule honours it.
#[test]
fn who_is_excepted_from_a_rule_by_name_stays_two_people_and_whoever_is_parted_keeps_nothing_of_the_other() {
    let numbered = |uid: &str, number: &str| {
        person(uid, "people", uid).trim_end().to_owned() + &format!("\nemployeeNumber: {number}\n\n")
    };
    let ldif = trunk() + &numbered("bob", "C-77") + &numbered("kim", "C-78");
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let server = served(&slapd.url(), "links = { flexnet = \"employeeNumber\" }\n");
    server.say(WORLD);
    let rule = ["users", "link", "--rule", "stated", "--source", "corp-ldap"];
    let none = server.cli(&rule).ok();
    assert!(none.contains("nobody is to be linked: "), "{none}");
    for (id, name) in [("C-77", "robert"), ("C-78", "kimberly"), ("C-79", "maxim")] {
        contact(&server, id, name, 1);
    }
    wait_for("the people", || (count(&server, "person.upserted") >= 3).then_some(()));
    wait_for("what is told", || (server.pages("/api/v1/problems?kind=link").len() == 2).then_some(()));
    // Nobody is excepted in vain.
    for (who, why) in [("kimm", "Did you mean `kim`"), ("maxim", "maxim (flexnet/C-79) is not among them")] {
        let refused = server.cli(&[&rule[..], &["--except", who]].concat());
        assert!(refused.code != 0 && refused.err.contains(why), "{} {}", refused.out, refused.err);
    }
    let except = [&rule[..], &["--except", "kim"]].concat();
    let shown = server.cli(&except);
    assert!(shown.out.contains("(kimberly) stay two people, whatever a rule says later"), "{}", shown.out);
    assert!(shown.out.contains("called bob; robert signs in as well"), "{}", shown.out);
    let plan = shown.out.split_whitespace().find(|word| word.starts_with("lnk_")).unwrap().to_owned();
    let done = server.cli(&[&except[..], &["--confirm", &plan]].concat()).ok();
    assert!(done.contains("two people linked"), "{done}");
    // By the time it linked whoever came later it had its chance with kim.
    slapd.change(&numbered("eve", "C-79"));
    wait_for("eve to be maxim", || pulls(&server, "eve").then_some(()));
    assert!(pulls(&server, "bob") && !pulls(&server, "kim"));
    assert_eq!(server.pages("/api/v1/problems?kind=link"), Vec::<Value>::new());
    // Each name of the user signs in; a role given now is bob's, and a secret nobody's, once the two are parted.
    assert_eq!(signed_in(&server, "robert", "bob").as_deref(), Some("bob"));
    server.cli(&["projects", "create", "tools"]).ok();
    server.cli(&["bindings", "set", "user:robert", "Developer", "project:tools"]).ok();
    let secret = server.secret_for("bob");
    server.token("bob", &secret, "").expect(200);
    for (command, why) in [
        (["users", "link", "bob", "bob"], "Two people are needed, and both are bob ("),
        (["users", "link", "bob", "robert"], "They are one user already: bob ("),
        (["users", "unlink", "kim", "kimberly"], "are two users already, and were parted by hand"),
        (["users", "rename", "kim", "kim b"], "a name without spaces"),
    ] {
        let refused = server.cli(&command);
        assert!(refused.code != 0 && refused.err.contains(why), "{command:?}: {} {}", refused.out, refused.err);
    }
    // Who links those who are excepted is told who said so, and when; of two users it can be said that they stay two.
    let shown = server.cli(&["users", "link", "kim", "kimberly"]);
    assert!(shown.out.contains("were parted by hand (event") && shown.out.contains("by admin key"), "{}", shown.out);
    let shown = server.cli(&["users", "unlink", "kim", "maxim"]);
    assert!(shown.out.contains("plan lnk_"), "{} {}", shown.out, shown.err);
    let two = "(maxim) stay two people, whatever a rule says later";
    assert!(shown.out.contains(two) && !shown.out.contains("one user"), "{}", shown.out);
    let unlink = ["users", "unlink", "bob", "robert", "--given-since", "bob"];
    let shown = server.cli(&unlink[..4]);
    for told in [
        "(robert) are one user no longer",
        "role Developer on project tools, given since they were linked, stays with",
        "was made since they were linked and ends",
    ] {
        assert!(shown.out.contains(told), "{told}: {}", shown.out);
    }
    let shown = server.cli(&unlink);
    let plan = shown.out.split_whitespace().find(|word| word.starts_with("lnk_")).unwrap().to_owned();
    server.cli(&[&unlink[..], &["--confirm", &plan]].concat()).ok();
    assert_eq!(actions(&server, "bob", "bob", "tools"), strings(&["pull", "push"]));
    assert!(!pulls(&server, "bob"));
    // And it stays so.
    slapd.change(&person("ned", "people", "ned"));
    wait_for("ned", || signed_in(&server, "ned", "ned"));
    assert!(!pulls(&server, "bob") && !pulls(&server, "kim") && pulls(&server, "eve"));
}
