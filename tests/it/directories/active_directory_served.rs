//! Active Directory and the whole product: what is asked of it again and again becomes one fact for each change, by DirSync
//! and by change numbers; where the server does not go on from the last time, everything is read and nobody flaps.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    directories::{
        resumed::read_because,
        served::{count, events, members, names},
    },
    support::{
        samba::{BASE, PASSWORD, PLAIN, SEER, SYNC, Samba, dn, group, group_dn, person},
        server::Server,
        wait_for,
    },
};

pub fn served(samba: &Samba, account: &str) -> Server {
    let mut server = Server::prepared(&format!(
        "[source.corp-ldap]\nkind = \"ldap\"\nurl = \"{}\"\nclear_text = true\nbind_dn = \"{account}\"\n\
         secret_file = \"ldap.secret\"\npeople = \"OU=people,{BASE}\"\ngroups = [\"OU=groups,{BASE}\"]\n\
         answer_timeout = \"5s\"\npoll = \"100ms\"\nschedule = \"0 0 1 1 *\"\n",
        samba.url()
    ));
    server.dir.write("ldap.secret", format!("{PASSWORD}\n"));
    server.go();
    server
}

/// What the directory said since it was read first, without what brackets a read: `person.upserted ada`.
pub fn said(server: &Server) -> Vec<String> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut lines = Vec::new();
    for event in events(server) {
        let kind = event["type"].as_str().unwrap().trim_start_matches("rollcall.").trim_end_matches(".v1").to_owned();
        let data = &event["data"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for (id, name) in [("person", "username"), ("group", "name")] {
            if let Some(name) = data[name].as_str() {
                known.insert(text(&data[id]), name.to_owned());
            }
        }
        let name = |value: &Value| known.get(&text(value)).cloned().unwrap_or_else(|| value.to_string());
        lines.push(match kind.split('.').next().unwrap() {
            "snapshot" => continue,
            "person" if data["active"] == false => format!("{kind} {} inactive", name(&data["person"])),
            "person" => format!("{kind} {}", name(&data["person"])),
            _ if kind.starts_with("group.member") => {
                let member = &data["member"];
                let who = if member["person"].is_null() { &member["group"] } else { &member["person"] };
                format!("{kind} {} {}", name(&data["group"]), name(who))
            }
            _ => format!("{kind} {}", name(&data["group"])),
        });
    }
    lines
}

/// L13, whatever the way to hear of it.
fn each_change_is_one_fact(account: &str, way: &str) {
    let everybody = ["ada", "kim", "bob", "eve", "zoe"];
    let mut ldif = everybody.map(|name| person(name, "people")).concat();
    ldif += &format!("dn: OU=sub,OU=people,{BASE}\nobjectClass: organizationalUnit\n\n");
    ldif += &group("dev", [dn("eve")]);
    ldif += &group("ops", [dn("ada"), dn("kim"), dn("bob"), group_dn("dev")]);
    let Some(samba) = Samba::start(&ldif) else { return };
    let mut server = served(&samba, account);
    wait_for("everybody in ops", || (members(&server, "ops") == names(&["ada", "kim", "bob"])).then_some(()));
    let shown = server.cli(&["sources", "show", "corp-ldap"]).ok();
    assert!(shown.contains(way), "no `{way}` in\n{shown}");
    let mut before = said(&server).len();
    let mut then = |server: &Server, what: &str, expected: &[&str]| {
        wait_for(what, || (said(server).len() >= before + expected.len()).then_some(()));
        let mut lines = said(server).split_off(before);
        before += lines.len();
        // Which of several groups is told first is by chance.
        lines.sort();
        assert_eq!(lines, expected, "{what}");
    };
    samba.modify(&group_dn("ops"), "delete", "member", &dn("kim"));
    then(&server, "a member less", &["group.member.removed ops kim"]);
    samba.modify(&group_dn("ops"), "add", "member", &dn("eve"));
    then(&server, "a member more", &["group.member.added ops eve"]);
    server.token("bob", PASSWORD, "").expect(200);
    samba.modify(&dn("bob"), "replace", "userAccountControl", "514");
    then(&server, "an account disabled", &["person.upserted bob inactive"]);
    server.token("bob", PASSWORD, "").expect(401);
    samba.modify(&dn("bob"), "replace", "userAccountControl", "512");
    then(&server, "an account enabled", &["person.upserted bob"]);

    // Renamed and moved: nobody leaves a group. Then the folder is renamed too, of which its people are not told.
    samba.rename(&dn("bob"), "CN=robert", Some(&format!("OU=sub,OU=people,{BASE}")));
    samba.rename(&format!("OU=sub,OU=people,{BASE}"), "OU=deep", None);
    let robert = format!("CN=robert,OU=deep,OU=people,{BASE}");
    samba.modify(&robert, "replace", "sAMAccountName", "robert");
    then(&server, "a new name", &["person.upserted robert"]);
    server.token("robert", PASSWORD, "").expect(200);
    // By its list in the new folder he is still the same.
    samba.modify(&group_dn("dev"), "add", "member", &robert);
    then(&server, "a member under a new name", &["group.member.added dev robert"]);
    samba.rename(&group_dn("dev"), "CN=devs", None);
    then(&server, "a group renamed", &["group.upserted devs"]);

    // While nobody listens. It goes on from where it was.
    server.stop();
    samba.delete(&dn("ada"));
    server.go();
    then(&server, "somebody deleted", &["group.member.removed ops ada", "person.removed ada"]);
    samba.change(&person("ada", "people"));
    then(&server, "somebody else under that name", &["person.upserted ada"]);
    samba.rename(&dn("eve"), "CN=eve", Some(&format!("OU=staff,{BASE}")));
    let out = ["group.member.removed devs eve", "group.member.removed ops eve", "person.removed eve"];
    then(&server, "somebody moved out", &out);
    samba.rename(&format!("CN=eve,OU=staff,{BASE}"), "CN=eve", Some(&format!("OU=people,{BASE}")));
    let back = ["group.member.added devs eve", "group.member.added ops eve", "person.upserted eve"];
    then(&server, "somebody back", &back);
    // A whole folder leaves and takes its people along.
    samba.rename(&format!("OU=deep,OU=people,{BASE}"), "OU=deep", Some(&format!("OU=staff,{BASE}")));
    let out = ["group.member.removed devs robert", "group.member.removed ops robert", "person.removed robert"];
    then(&server, "a folder moved out", &out);
    samba.delete(&group_dn("devs"));
    let gone = ["group.member.removed devs eve", "group.member.removed ops devs", "group.removed devs"];
    then(&server, "a group deleted", &gone);
    samba.modify(&dn("zoe"), "replace", "sAMAccountName", "zora");
    then(&server, "the last change", &["person.upserted zora"]);
    assert_eq!(members(&server, "ops"), names(&["eve"]));
    assert_eq!(count(&server, "snapshot.sealed"), 1, "nothing was read as a whole but in the beginning");
}

#[test]
fn l13_each_change_in_active_directory_is_one_fact_by_dirsync() {
    each_change_is_one_fact(SYNC, "asked for changes: DirSync");
}

#[test]
fn l13_each_change_in_active_directory_is_one_fact_by_change_numbers() {
    each_change_is_one_fact(SEER, "asked for changes: uSNChanged, because DirSync was refused");
}

fn a_restart_goes_on(account: &str) {
    let ldif = ["ada", "kim", "bob", "eve"].map(|name| person(name, "people")).concat()
        + &group("ops", ["ada", "kim", "bob"].map(dn))
        + &group("dev", [dn("eve")]);
    let Some(samba) = Samba::start(&ldif) else { return };
    let mut server = served(&samba, account);
    wait_for("everybody", || (members(&server, "ops").len() == 3 && members(&server, "dev").len() == 1).then_some(()));
    // Told after everything before it was kept.
    samba.change(&person("first", "people"));
    wait_for("first", || said(&server).contains(&"person.upserted first".to_owned()).then_some(()));
    let before = said(&server).len();
    server.kill();
    samba.modify(&group_dn("ops"), "delete", "member", &dn("kim"));
    samba.delete(&dn("ada"));
    samba.rename(&dn("bob"), "CN=robert", None);
    samba.modify(&format!("CN=robert,OU=people,{BASE}"), "replace", "sAMAccountName", "robert");
    samba.rename(&dn("eve"), "CN=eve", Some(&format!("OU=staff,{BASE}")));
    samba.change(&(person("new", "people") + &group("late", [dn("new")])));
    server.go();
    wait_for("what changed meanwhile", || {
        let is = |group, people: &[&str]| members(&server, group) == names(people);
        (is("ops", &["robert"]) && is("dev", &[]) && is("late", &["new"])).then_some(())
    });
    samba.change(&person("last", "people"));
    wait_for("last", || said(&server).contains(&"person.upserted last".to_owned()).then_some(()));
    let mut lines = said(&server).split_off(before);
    lines.sort();
    let expected = [
        "group.member.added late new",
        "group.member.removed dev eve",
        "group.member.removed ops ada",
        "group.member.removed ops kim",
        "group.upserted late",
        "person.removed ada",
        "person.removed eve",
        "person.upserted last",
        "person.upserted new",
        "person.upserted robert",
    ];
    assert_eq!(lines, expected);
    assert_eq!(count(&server, "snapshot.sealed"), 1, "it was read as a whole");
}

#[test]
fn a_restart_goes_on_where_active_directory_was_asked_last_by_dirsync() {
    a_restart_goes_on(SYNC);
}

#[test]
fn a_restart_goes_on_where_active_directory_was_asked_last_by_change_numbers() {
    a_restart_goes_on(SEER);
}

#[test]
fn l13_where_active_directory_does_not_go_on_everything_is_read_and_nobody_flaps() {
    let ldif = person("ada", "people") + &person("kim", "people") + &group("ops", [dn("ada"), dn("kim")]);
    let Some(mut samba) = Samba::start(&ldif) else { return };
    let anew = |samba: &mut Samba, server: &Server, what: &dyn Fn(&mut Samba), because: &str| {
        wait_for("both in ops", || (members(server, "ops") == names(&["ada", "kim"])).then_some(()));
        let before = said(server);
        what(samba);
        read_because(server, because);
        assert_eq!(said(server), before, "somebody flapped");
        // And on it goes.
        samba.modify(&group_dn("ops"), "delete", "member", &dn("kim"));
        wait_for("kim out of ops", || (members(server, "ops") == names(&["ada"])).then_some(()));
        samba.modify(&group_dn("ops"), "add", "member", &dn("kim"));
        wait_for("kim in ops", || (members(server, "ops") == names(&["ada", "kim"])).then_some(()));
        assert_eq!(said(server).len(), before.len() + 2);
    };
    let server = served(&samba, SYNC);
    anew(&mut samba, &server, &|samba| samba.spoil_a_cookie(), "does not take the kept cookie");
    drop(server);

    // An account that may do nothing in particular: other people's deletions are not its to see.
    let server = served(&samba, PLAIN);
    let restore = |samba: &mut Samba| {
        samba.stop();
        samba.go_on_restored();
    };
    anew(&mut samba, &server, &restore, "database was restored");
    let shown = server.cli(&["sources", "show", "corp-ldap"]).ok();
    assert!(shown.contains("stays until the next whole read"), "{shown}");
}

/// Deleted in numbers, whatever the way to hear of it: one who leaves goes at once, most of many wait for a person, and who is
/// disabled meanwhile is out at once.
fn many_who_are_deleted_wait(account: &str) {
    let people: Vec<String> = (0..60).map(|n| format!("u{n:02}")).collect();
    let mut ldif: String = people.iter().map(|name| person(name, "people")).collect();
    ldif += &group("ops", people.iter().map(|name| dn(name)));
    let Some(samba) = Samba::start(&ldif) else { return };
    let server = served(&samba, account);
    wait_for("everybody in ops", || (members(&server, "ops").len() == 60).then_some(()));
    samba.delete(&dn("u00"));
    wait_for("one who leaves", || (members(&server, "ops").len() == 59).then_some(()));
    let gone: String = people[1..50].iter().map(|name| format!("dn: {}\nchangetype: delete\n\n", dn(name))).collect();
    samba.change(&gone);
    let held = wait_for("the held plan", || {
        let held = server.get("/api/v1/sources").json()["items"][0]["reading"]["held"].clone();
        (!held.is_null()).then_some(held)
    });
    assert!(members(&server, "ops").len() >= 30, "{held}");
    server.token("u55", PASSWORD, "").expect(200);
    samba.modify(&dn("u55"), "replace", "userAccountControl", "514");
    wait_for("who is disabled to be out", || (server.token("u55", PASSWORD, "").status == 401).then_some(()));
    // What was held is read again, and by now it may be more: then it is looked at anew.
    wait_for("what was looked at to be applied", || {
        let plans = server.get("/api/v1/plans").json();
        let open = plans["items"].as_array()?.iter().find(|plan| plan["state"] == "open")?.clone();
        let (plan, removals) = (open["id"].as_str()?.to_owned(), open["removals"].to_string());
        (server.cli(&["apply", &plan, "--confirm-removals", &removals]).code == 0).then_some(())
    });
    wait_for("all of them to be gone", || (members(&server, "ops").len() == 10).then_some(()));
}

#[test]
fn many_who_are_deleted_in_active_directory_wait_by_dirsync() {
    many_who_are_deleted_wait(SYNC);
}

#[test]
fn many_who_are_deleted_in_active_directory_wait_by_change_numbers() {
    many_who_are_deleted_wait(SEER);
}
