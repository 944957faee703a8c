//! A directory and the whole product: what is read and followed becomes facts in the log and people who can sign in; what
//! is not said removes nobody.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{
    api::Answer,
    server::Server,
    slapd::{BASE, Kind, Proxy, SYNC, Slapd, Then, dn, group, person, trunk},
    wait_for,
};

pub fn served(url: &str, more: &str) -> Server {
    let mut server = Server::prepared(&format!(
        "[source.corp-ldap]\nkind = \"ldap\"\nurl = \"{url}\"\nclear_text = true\nbind_dn = \"{SYNC}\"\n\
         secret_file = \"ldap.secret\"\npeople = \"ou=people,{BASE}\"\ngroups = [\"ou=groups,{BASE}\"]\n\
         answer_timeout = \"2s\"\n{more}"
    ));
    server.dir.write("ldap.secret", "sync\n");
    server.go();
    server
}

/// What the directory said: `type subject-or-name` of every event, oldest first.
pub fn events(server: &Server) -> Vec<Value> {
    let all = server.pages("/api/v1/events?limit=500");
    // What is asked of the roster next is answered by all of these.
    if let Some(last) = all.last() {
        server.reached(last["position"].as_u64().unwrap());
    }
    all.into_iter().filter(|event| event["source"] == "corp-ldap").collect()
}

pub fn kinds(server: &Server) -> Vec<String> {
    let kind = |event: &Value| {
        let kind = event["type"].as_str().unwrap();
        kind.trim_start_matches("rollcall.").trim_end_matches(".v1").to_owned()
    };
    events(server).iter().map(kind).collect()
}

pub fn count(server: &Server, kind: &str) -> usize {
    kinds(server).iter().filter(|known| *known == kind).count()
}

/// Who is in a group by the log, by user name.
pub fn members(server: &Server, group: &str) -> BTreeSet<String> {
    let (mut people, mut groups) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
    let mut members = BTreeSet::new();
    for event in events(server) {
        let data = &event["data"];
        let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str().unwrap() {
            "rollcall.person.upserted.v1" => drop(people.insert(text("person"), text("username"))),
            "rollcall.person.removed.v1" => drop(people.remove(&text("person"))),
            "rollcall.group.upserted.v1" => drop(groups.insert(text("group"), text("name"))),
            "rollcall.group.member.added.v1" => drop(members.insert((text("group"), data["member"].to_string()))),
            "rollcall.group.member.removed.v1" => drop(members.remove(&(text("group"), data["member"].to_string()))),
            _ => {}
        }
    }
    let name = |member: &str| {
        let member: Value = serde_json::from_str(member).unwrap();
        member["person"].as_str().and_then(|id| people.get(id).cloned())
    };
    let of = |(id, _): &&(String, String)| groups.get(id).is_some_and(|name| name == group);
    members.iter().filter(of).filter_map(|(_, member)| name(member)).collect()
}

pub fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

pub fn add(slapd: &Slapd, group: &str, uid: &str) {
    slapd.change(&format!("dn: cn={group},ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: {}\n", dn(uid)));
}

pub fn take(slapd: &Slapd, group: &str, uid: &str) {
    slapd
        .change(&format!("dn: cn={group},ou=groups,{BASE}\nchangetype: modify\ndelete: member\nmember: {}\n", dn(uid)));
}

#[test]
fn people_of_a_directory_group_are_facts_in_the_log_and_an_unchanged_directory_says_nothing_twice() {
    let ldif =
        trunk() + &person("ada", "people", "a") + &person("kim", "people", "k") + &group("ops", [dn("ada"), dn("kim")]);
    let Some(slapd) = Slapd::start(Kind { syncprov: false, ..Kind::default() }, &ldif) else { return };
    let mut server = served(&slapd.url(), "");
    wait_for("the members of ops", || (members(&server, "ops") == names(&["ada", "kim"])).then_some(()));
    assert_eq!((count(&server, "person.upserted"), count(&server, "group.upserted")), (3, 1));
    let all = format!("{:?}", events(&server));
    assert!(!all.contains("ada@ex.test"), "an address is in the log");
    let before = kinds(&server).len();
    server.restart();
    take(&slapd, "ops", "kim");
    server.restart();
    wait_for("kim to have left", || (members(&server, "ops") == names(&["ada"])).then_some(()));
    let facts = |kinds: Vec<String>| kinds.into_iter().filter(|kind| !kind.starts_with("snapshot.")).count();
    assert_eq!(facts(kinds(&server)), facts(kinds(&server)[..before].to_vec()) + 1);
}

#[test]
fn l10_a_change_is_followed_and_nobody_flaps_when_the_directory_restarts() {
    let ldif = trunk() + &person("ada", "people", "a") + &person("kim", "people", "k") + &group("ops", [dn("ada")]);
    let Some(mut slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let server = served(&slapd.url(), "");
    wait_for("ada in ops", || (members(&server, "ops") == names(&["ada"])).then_some(()));
    add(&slapd, "ops", "kim");
    wait_for("kim in ops", || (members(&server, "ops") == names(&["ada", "kim"])).then_some(()));
    take(&slapd, "ops", "ada");
    wait_for("ada out of ops", || (members(&server, "ops") == names(&["kim"])).then_some(()));
    slapd.change(&(person("new", "people", "n") + &group("dev", [dn("new")])));
    wait_for("a new group of a new person", || (members(&server, "dev") == names(&["new"])).then_some(()));

    let (people, removed) = (count(&server, "person.upserted"), count(&server, "person.removed"));
    slapd.restart();
    slapd.delete(&dn("new"));
    add(&slapd, "ops", "ada");
    wait_for("what changed meanwhile", || {
        (members(&server, "ops") == names(&["ada", "kim"]) && members(&server, "dev").is_empty()).then_some(())
    });
    wait_for("the end of new", || (count(&server, "person.removed") == removed + 1).then_some(()));
    assert_eq!(count(&server, "person.upserted"), people, "somebody was said again");
}

#[test]
fn l07_a_rename_is_followed_as_the_same_person_who_stays_in_the_group() {
    let ldif = trunk() + &person("ada", "people", "a") + &group("ops", [dn("ada")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let server = served(&slapd.url(), "");
    wait_for("ada in ops", || (members(&server, "ops") == names(&["ada"])).then_some(()));
    slapd.change(&format!("dn: {}\nchangetype: modrdn\nnewrdn: uid=augusta\ndeleteoldrdn: 1\n", dn("ada")));
    wait_for("the new name", || (members(&server, "ops") == names(&["augusta"])).then_some(()));
    // A change after it: whatever the rename brought along is in the log by then.
    slapd.change(&person("last", "people", "l"));
    wait_for("the last change", || (count(&server, "person.upserted") == 4).then_some(()));
    assert_eq!((count(&server, "person.removed"), count(&server, "group.member.removed")), (0, 0));
}

#[test]
fn l11_deletions_while_nobody_listened_are_found_also_when_the_server_forgot_them() {
    let mut ldif = trunk();
    (0..30).for_each(|i| ldif += &person(&format!("u{i}"), "people", "x"));
    ldif += &group("ops", (0..30).map(|i| dn(&format!("u{i}"))));
    let Some(slapd) = Slapd::start(Kind { session_log: 5, ..Kind::default() }, &ldif) else { return };
    let proxy = Proxy::new(slapd.port, Then::Cut);
    let server = served(&format!("ldap://127.0.0.1:{}", proxy.port), "");
    wait_for("everybody", || (members(&server, "ops").len() == 30).then_some(()));
    // Followed by now, not only read.
    slapd.change(&person("first", "people", "f"));
    wait_for("the first change", || (count(&server, "person.upserted") == 32).then_some(()));
    proxy.cut();
    slapd.delete(&dn("u3"));
    (0..20).for_each(|i| slapd.change(&person(&format!("later{i}"), "people", "l")));
    slapd.delete(&dn("u4"));
    proxy.after(u64::MAX);
    wait_for("both deletions", || (count(&server, "person.removed") == 2).then_some(()));
    assert_eq!(members(&server, "ops").len(), 28);
    assert_eq!(count(&server, "person.upserted"), 52);
}

#[test]
fn l17_a_mass_removal_is_held_and_an_outage_removes_nobody() {
    let mut ldif = trunk();
    (0..60).for_each(|i| ldif += &person(&format!("u{i}"), "people", "x"));
    ldif += &group("ops", (0..60).map(|i| dn(&format!("u{i}"))));
    let Some(mut slapd) = Slapd::start(Kind { refint: false, ..Kind::default() }, &ldif) else { return };
    let server = served(&slapd.url(), "");
    wait_for("everybody", || (members(&server, "ops").len() == 60).then_some(()));
    let mut gone = format!("dn: cn=ops,ou=groups,{BASE}\nchangetype: modify\ndelete: member\n");
    (0..40).for_each(|i| gone += &format!("member: {}\n", dn(&format!("u{i}"))));
    slapd.change(&gone);
    add(&slapd, "ops", "sync");
    wait_for("the held plan", || (count(&server, "snapshot.held") == 1).then_some(()));
    wait_for("the addition", || members(&server, "ops").contains("sync").then_some(()));
    assert_eq!((members(&server, "ops").len(), count(&server, "group.member.removed")), (61, 0));
    slapd.stop();
    assert!(server.is_ready());
    assert_eq!(members(&server, "ops").len(), 61);
}

#[test]
fn people_of_a_directory_sign_in_with_their_password_in_it() {
    let ldif =
        trunk() + &person("ada", "people", "love:lace") + &person("kim", "people", "k") + &group("ops", [dn("ada")]);
    let Some(mut slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let server = served(&slapd.url(), "");
    wait_for("ada", || (members(&server, "ops") == names(&["ada"])).then_some(()));
    let binds = |who: &str| slapd.log().matches(&format!("BIND dn=\"{}\" method", dn(who))).count();
    server.token("ada", "love:lace", "").expect(200);
    server.token("ADA", "love:lace", "").expect(200);
    assert_eq!(binds("ada"), 1, "a good answer is remembered");
    server.token("ada", "wrong", "").expect(401);
    server.token("ada", "wrong", "").expect(401);
    assert_eq!(binds("ada"), 2, "the same wrong password is not tried again");

    let before = slapd.log().matches("BIND").count();
    for empty in ["", " ", "\0", "\t"] {
        server.token("ada", empty, "").expect(401);
        server.token("kim", empty, "").expect(401);
    }
    assert_eq!(slapd.log().matches("BIND").count(), before, "an empty password was sent");
    for name in ["nobody", "*", "ada)(uid=*", "u*", &dn("ada")] {
        server.token(name, "love:lace", "").expect(401);
    }

    // A new password is asked about at once. That the old one is none any more shows when its answer is forgotten: no
    // directory announces it (DESIGN 9: a minute at most).
    slapd.change(&format!("dn: {}\nchangetype: modify\nreplace: userPassword\nuserPassword: new\n", dn("ada")));
    server.token("ada", "new", "").expect(200);

    let secret = server.secret_for("kim");
    slapd.stop();
    server.token("kim", "k", "").expect(503);
    server.token("kim", &secret, "").expect(200);
    server.token("ada", "new", "").expect(200);
}

#[test]
fn doctor_and_sources_show_say_what_the_directory_is_and_what_is_wrong() {
    let ldif = trunk() + &person("ada", "people", "a") + &group("ops", [dn("ada")]);
    let Some(mut slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let server = served(&slapd.url(), "");
    wait_for("ada in ops", || (members(&server, "ops") == names(&["ada"])).then_some(()));
    wait_for("a healthy source", || server.cli(&["sources"]).out.contains("healthy").then_some(()));
    let said = server.cli(&["sources", "show", "corp-ldap"]).ok();
    for part in ["healthy", "OpenLDAP, pages", "followed: OpenLDAP with RFC 4533", "2 people below", "1 groups below"] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
    let doctor = server.cli(&["doctor"]).out;
    assert!(doctor.contains("corp-ldap search: 2 people") && doctor.contains("in clear text"), "{doctor}");
    slapd.stop();
    let said = server.cli(&["sources", "show", "corp-ldap"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("✗ connect"), "{said:?}");
    assert_eq!(server.cli(&["sources", "show", "nobody"]).code, 2);
}

#[test]
fn people_of_a_directory_use_the_api_with_their_password_in_it() {
    let ldif =
        trunk() + &person("ada", "people", "love:lace") + &person("kim", "people", "k") + &group("ops", [dn("ada")]);
    let Some(mut slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let server = served(&slapd.url(), "");
    wait_for("ada", || (members(&server, "ops") == names(&["ada"])).then_some(()));
    let api = |user: &str, password: &str| {
        server.http.send(server.http.get(&server.url("/api/v1/users")).basic_auth(user, Some(password)))
    };
    let binds = |who: &str| slapd.log().matches(&format!("BIND dn=\"{}\" method", dn(who))).count();
    let seen = api("ada", "love:lace").expect(200).json();
    let seen: Vec<&str> = seen["items"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(seen, ["ada"], "who signs in so sees what that user sees");
    api("ADA", "love:lace").expect(200);
    server.token("ada", "love:lace", "").expect(200);
    assert_eq!(binds("ada"), 1, "one remembered answer for every door");
    for _ in 0..2 {
        api("ada", "wrong").expect(401);
        server.token("ada", "wrong", "").expect(401);
    }
    assert_eq!(binds("ada"), 2, "the same wrong password is not tried again");

    let made = server.http.post(&server.url("/api/v1/users/ada/secrets")).basic_auth("ada", Some("love:lace"));
    let made = made.header("content-type", "application/json").header("idempotency-key", "k1").body("{}");
    let secret = server.http.send(made).expect(201).json()["secret"].as_str().unwrap().to_owned();
    server.token("ada", &secret, "").expect(200);

    let before = slapd.log().matches("BIND").count();
    for ours in ["", " ", "\0", &server.admin_key(), "rcs_unknown", "rcr_unknown"] {
        api("ada", ours).expect(401);
        api("kim", ours).expect(401);
        server.token("kim", ours, "").expect(401);
    }
    assert_eq!(slapd.log().matches("BIND").count(), before, "nothing of ours, and nothing empty, was sent");
    for name in ["nobody", "*", "ada)(uid=*", &dn("ada")] {
        api(name, "love:lace").expect(401);
    }

    // A new password is another question to the directory.
    slapd.change(&format!("dn: {}\nchangetype: modify\nreplace: userPassword\nuserPassword: new\n", dn("ada")));
    api("ada", "new").expect(200);

    let kim = server.secret_for("kim");
    slapd.stop();
    let refused = api("kim", "k").expect(503);
    assert!(refused.text.contains("cannot be reached"), "{}", refused.text);
    api("kim", &kim).expect(200);
    api("ada", "new").expect(200);
}

#[test]
fn whoever_guesses_passwords_waits_everywhere_and_their_owners_secrets_do_not() {
    let ldif = trunk() + &person("ada", "people", "a") + &group("ops", [dn("ada")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let server = served(&slapd.url(), "");
    wait_for("ada", || (members(&server, "ops") == names(&["ada"])).then_some(()));
    let secret = server.secret_for("ada");
    let api = |password: &str| {
        server.http.send(server.http.get(&server.url("/api/v1/users")).basic_auth("ada", Some(password)))
    };
    // The pause before a refusal is a second: one that asks for longer lasts for what follows.
    let long = |answer: &Answer| {
        let asked = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
        answer.status == 429 && asked.is_some_and(|seconds| seconds > 10)
    };
    assert!((0..60).map(|n| api(&format!("guess {n}"))).any(|answer| long(&answer)), "nobody had to wait");
    let before = slapd.log().matches("BIND").count();
    server.token("ada", "another guess", "").expect(429);
    let refused = api("a").expect(429);
    assert!(refused.text.contains("Too many wrong passwords"), "{}", refused.text);
    assert_eq!(slapd.log().matches("BIND").count(), before, "nothing is checked meanwhile");
    api(&secret).expect(200);
    server.token("ada", &secret, "").expect(200);
}

#[test]
fn a_directory_that_hangs_holds_up_nobody_of_another_and_no_secret() {
    const MANY: usize = 20;
    let mut ldif = trunk();
    (0..MANY).for_each(|n| ldif += &person(&format!("u{n}"), "people", "x"));
    let Some(slow) = Slapd::start(Kind::default(), &(ldif + &group("ops", [dn("u0")]))) else { return };
    let ldif = trunk() + &person("zoe", "people", "z") + &group("dev", [dn("zoe")]);
    let Some(other) = Slapd::start(Kind::default(), &ldif) else { return };
    let proxy = Proxy::new(slow.port, Then::Stall);
    let mut server = Server::prepared(&format!(
        "[source.corp-ldap]\nkind = \"ldap\"\nurl = \"ldap://127.0.0.1:{}\"\nclear_text = true\nbind_dn = \"{SYNC}\"\n\
         secret_file = \"ldap.secret\"\npeople = \"ou=people,{BASE}\"\ngroups = [\"ou=groups,{BASE}\"]\n\
         answer_timeout = \"9s\"\n\n[source.other]\nkind = \"ldap\"\nurl = \"{}\"\nclear_text = true\n\
         bind_dn = \"{SYNC}\"\nsecret_file = \"ldap.secret\"\npeople = \"ou=people,{BASE}\"\n\
         groups = [\"ou=groups,{BASE}\"]\n",
        proxy.port,
        other.url(),
    ));
    server.dir.write("ldap.secret", "sync\n");
    server.go();
    wait_for("everybody of both", || {
        let user = |name: &str| server.get(&format!("/api/v1/users/{name}")).status == 200;
        (user("zoe") && user(&format!("u{}", MANY - 1))).then_some(())
    });
    let secret = server.secret_for("u0");
    proxy.after(0);
    let (before, answered) = (proxy.connections(), std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for n in 0..MANY {
            let (server, answered) = (&server, &answered);
            scope.spawn(move || {
                server.token(&format!("u{n}"), "x", "").expect(503);
                answered.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            });
        }
        wait_for("all places to be taken", || (proxy.connections() >= before + 16).then_some(()));
        server.token("zoe", "z", "").expect(200);
        server.token("u0", &secret, "").expect(200);
        let api = server.http.get(&server.url("/api/v1/users")).basic_auth("zoe", Some("z"));
        server.http.send(api).expect(200);
        assert!(server.is_ready());
        assert_eq!(answered.load(std::sync::atomic::Ordering::SeqCst), 0, "they were answered before those that hang");
    });
}

#[test]
fn a_project_is_not_emptied_unasked_though_no_group_of_it_has_five() {
    let mut ldif = trunk();
    (0..6).for_each(|n| ldif += &person(&format!("u{n}"), "people", "x"));
    // No group may be empty by its schema; the reading account has no role through being its last member.
    let half = |from: usize| (from..from + 3).map(|n| dn(&format!("u{n}"))).collect::<Vec<_>>();
    let Some(slapd) = Slapd::start(Kind::default(), &(ldif + &group("a", half(0)) + &group("b", half(3)))) else {
        return;
    };
    // Read at the start and when this test asks; a read by the clock could fall between two of the deletions.
    let server = served(&slapd.url(), "schedule = \"@yearly\"\nmode = \"full\"\n");
    wait_for("both groups", || (members(&server, "a").len() + members(&server, "b").len() == 6).then_some(()));
    server.say("flexnet account.upserted vendor kind=producer\nflexnet package.upserted db-suite producer=vendor project_name=acme");
    for event in events(&server).iter().filter(|event| event["type"] == "rollcall.group.upserted.v1") {
        let group = format!("corp-ldap/{}", event["data"]["group"].as_str().unwrap());
        let body = serde_json::json!({"principal": {"group": group}, "role": "system_of_record", "scope": "root"});
        server.post("/api/v1/bindings", &body).expect(200);
    }
    let roles = || server.memberships().iter().filter(|row| row.starts_with("acme ")).count();
    wait_for("six members", || (roles() == 6).then_some(()));
    (0..6).for_each(|n| slapd.delete(&dn(&format!("u{n}"))));
    let plan = server.post("/api/v1/sources/corp-ldap/plan", &serde_json::json!({})).expect(201).json();
    assert!(plan["reason"].as_str().unwrap().contains("the project acme would be emptied"), "{plan}");
    assert_eq!(roles(), 6);
    server.cli(&["apply", plan["id"].as_str().unwrap(), "--confirm-removals", &plan["removals"].to_string()]).ok();
    wait_for("nobody", || (roles() == 0).then_some(()));
    let plans = server.cli(&["plan", plan["id"].as_str().unwrap()]);
    assert!(plans.out.contains("applied by admin key at "), "{plans:?}");
}
