//! People who are deleted in a directory that is followed: one goes at once, many wait for a person.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::served::{add, count, events, members, served};
use crate::support::{
    server::Server,
    slapd::{BASE, Kind, Proxy, Slapd, Then, dn, group, person, trunk},
    wait_for,
    wire::{Act, Wire},
};

fn u(n: usize) -> String {
    format!("u{n}")
}

/// A directory of 300 people, all of them in one group.
fn crowd() -> String {
    let mut ldif = trunk();
    (0..300).for_each(|n| ldif += &person(&u(n), "people", "x"));
    ldif + &group("ops", (0..300).map(|n| dn(&u(n))).chain([dn("sync")]))
}

/// A server with this content that remembers enough and lets its followers have all of it in one answer.
fn directory(ldif: &str) -> Option<Slapd> {
    let mut slapd = Slapd::start(Kind { session_log: 2000, ..Kind::default() }, ldif)?;
    slapd.reconfigure(|conf| conf.replace("size.soft=100 size.hard=300", "size=unlimited"));
    Some(slapd)
}

fn delete(slapd: &Slapd, who: impl IntoIterator<Item = String>) {
    let gone = |dn: String| format!("dn: {dn}\nchangetype: delete\n\n");
    slapd.change(&who.into_iter().map(gone).collect::<String>());
}

fn reading(server: &Server) -> Value {
    server.get("/api/v1/sources").json()["items"][0]["reading"].clone()
}

/// Who was said to be gone, by user name.
fn gone(server: &Server) -> BTreeSet<String> {
    let (mut names, mut gone) = (BTreeMap::new(), BTreeSet::new());
    for event in events(server) {
        let text = |key: &str| event["data"][key].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str().unwrap() {
            "rollcall.person.upserted.v1" => drop(names.insert(text("person"), text("username"))),
            "rollcall.person.removed.v1" => drop(gone.insert(names[&text("person")].clone())),
            _ => {}
        }
    }
    gone
}

fn held(server: &Server) -> Value {
    wait_for("the held plan", || {
        let held = reading(server)["held"].clone();
        (!held.is_null()).then_some(held)
    })
}

fn everybody(server: &Server) {
    wait_for("everybody", || (members(server, "ops").len() == 301).then_some(()));
    wait_for("the first read", || (reading(server)["state"] == "healthy").then_some(()));
}

/// Follows by now: what comes later is a change and no part of the first read.
fn followed(slapd: &Slapd, server: &Server) {
    let before = count(server, "person.upserted");
    slapd.change(&person("first", "people", "f"));
    wait_for("the first change", || (count(server, "person.upserted") == before + 1).then_some(()));
}

#[test]
fn of_200_of_300_who_are_deleted_live_no_more_than_the_measure_goes_and_the_rest_is_confirmed_by_its_number() {
    let Some(slapd) = directory(&crowd()) else { return };
    let server = served(&slapd.url(), "");
    everybody(&server);
    followed(&slapd, &server);
    delete(&slapd, (0..200).map(|n| dn(&u(n))));
    held(&server);
    // Behind all of it in the stream: who leaves alone, and who comes.
    delete(&slapd, [dn("u299")]);
    slapd.change(&person("last", "people", "l"));
    wait_for("the newcomer", || (server.get("/api/v1/users/last").status == 200).then_some(()));
    wait_for("the single leaver", || gone(&server).contains("u299").then_some(()));
    let went = count(&server, "person.removed");
    // A fifth of 301 people, nineteen after the first read of the rest, and the single one.
    assert!((1..=60 + 19 + 1).contains(&went), "{went} people are gone");
    assert!(members(&server, "ops").len() >= 301 - went, "{went} are gone and others left the group");

    // What the follower still tells has it read again, and a plan that is no longer the newest is refused.
    wait_for("the confirmed plan", || {
        let plan = server.post("/api/v1/sources/corp-ldap/plan", &json!({})).expect(201).json();
        assert!(plan["removals"].as_u64().unwrap() >= (201 - went) as u64, "{plan}");
        let (id, removals) = (plan["id"].as_str().unwrap(), plan["removals"].to_string());
        (server.cli(&["apply", id, "--confirm-removals", &removals]).code == 0).then_some(())
    });
    assert_eq!(count(&server, "person.removed"), 201);
    let left: BTreeSet<String> = (200..299).map(u).chain(["sync".to_owned()]).collect();
    assert_eq!(members(&server, "ops"), left);
}

#[test]
fn of_200_who_were_deleted_while_nobody_listened_nobody_goes_unasked_also_after_a_second_start() {
    let Some(slapd) = directory(&crowd()) else { return };
    let proxy = Proxy::new(slapd.port, Then::Cut);
    let mut server = served(&format!("ldap://127.0.0.1:{}", proxy.port), "");
    everybody(&server);
    followed(&slapd, &server);
    proxy.cut();
    delete(&slapd, (0..200).map(|n| dn(&u(n))));
    proxy.after(u64::MAX);
    held(&server);
    server.restart();
    followed_again(&slapd, &server);
    assert_eq!((count(&server, "person.removed"), members(&server, "ops").len()), (0, 301));
    let plan = held(&server);
    assert!(plan["removals"].as_u64().unwrap() >= 200, "{plan}");
}

/// Follows again after a start, and has told everything up to now.
fn followed_again(slapd: &Slapd, server: &Server) {
    slapd.change(&person("again", "people", "a"));
    wait_for("the change after the start", || (server.get("/api/v1/users/again").status == 200).then_some(()));
}

#[test]
fn who_leaves_waits_for_no_name_in_a_list_that_stands_for_nobody() {
    let ldif = trunk()
        + &person("ada", "people", "a")
        + &person("kim", "people", "k")
        + &group("own", [dn("ada"), dn("nobody")]);
    let Some(slapd) = directory(&ldif) else { return };
    let wire = Wire::to(slapd.port);
    let server = served(&wire.url(), "");
    wait_for("ada", || members(&server, "own").contains("ada").then_some(()));
    followed(&slapd, &server);
    add(&slapd, "own", "sync");
    wait_for("sync", || members(&server, "own").contains("sync").then_some(()));
    // Whatever is asked from here on is not answered; what is followed goes on.
    let known = wire.connections();
    wire.look(move |connection, _, _| if connection < known { Act::Pass } else { Act::Hold });
    delete(&slapd, [dn("kim")]);
    wait_for("the end of kim", || gone(&server).contains("kim").then_some(()));
    wire.pass();
}

#[test]
fn suspensions_of_many_apply_at_once() {
    let Some(slapd) = directory(&crowd()) else { return };
    let server = served(&slapd.url(), "");
    everybody(&server);
    followed(&slapd, &server);
    let suspend = |n| {
        format!(
            "dn: {}\nchangetype: modify\nadd: objectClass\nobjectClass: shadowAccount\n-\nadd: shadowExpire\n\
             shadowExpire: 1\n\n",
            dn(&u(n))
        )
    };
    slapd.change(&(0..200).map(suspend).collect::<String>());
    wait_for("all suspensions", || {
        let all = events(&server);
        let off = all.iter().filter(|event| event["data"]["active"] == json!(false)).count();
        (off == 200).then_some(())
    });
    assert_eq!((reading(&server)["state"].clone(), reading(&server)["held"].clone()), (json!("healthy"), Value::Null));
}

#[test]
fn groups_of_ones_own_that_are_deleted_hold_nobody_back() {
    let mut ldif = crowd();
    (0..30).for_each(|n| ldif += &group(&format!("old{n}"), [dn("u7")]));
    let Some(slapd) = directory(&ldif) else { return };
    let server = served(&slapd.url(), "");
    everybody(&server);
    followed(&slapd, &server);
    let named = |n: usize, name: &str| format!("cn={name}{n},ou=groups,{BASE}");
    slapd.change(&(0..30).map(|n| group(&format!("own{n}"), [dn("u7")])).collect::<String>());
    wait_for("the new groups", || (count(&server, "group.upserted") == 61).then_some(()));
    delete(&slapd, (0..30).map(|n| named(n, "own")));
    wait_for("their end", || (count(&server, "group.removed") == 30).then_some(()));
    assert_eq!(reading(&server)["held"], Value::Null, "what was made a moment ago is nothing to guard");

    delete(&slapd, (0..30).map(|n| named(n, "old")).chain([dn("u7")]));
    wait_for("the end of who made them", || gone(&server).contains("u7").then_some(()));
    wait_for("the group without them", || (!members(&server, "ops").contains("u7")).then_some(()));
    assert_eq!(count(&server, "person.removed"), 1);
    assert_eq!(members(&server, "ops").len(), 300);
}
