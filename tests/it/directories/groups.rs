//! Groups of directories and the roles that they give, through the whole product: nesting to any depth, every way in
//! until the last one is gone, two directories for one role.

use std::{collections::BTreeMap, sync::Arc};

use rollcall_eventlog::{Append, EngineConfig, Log};
use serde_json::json;

use crate::support::{
    corp::Now,
    server::Server,
    slapd::{BASE, Kind, SYNC, Slapd, dn, group, person, trunk},
    wait_for,
};

/// A server of the profile `harbor` that reads these directories.
fn served(directories: &[(&str, &Slapd)]) -> Server {
    let sources = directories.iter().map(|(name, slapd)| {
        format!(
            "[source.{name}]\nkind = \"ldap\"\nurl = \"{}\"\nclear_text = true\nbind_dn = \"{SYNC}\"\n\
             secret_file = \"ldap.secret\"\npeople = \"ou=people,{BASE}\"\ngroups = \"ou=groups,{BASE}\"\n\
             answer_timeout = \"2s\"\n",
            slapd.url()
        )
    });
    let mut server = Server::prepared(&format!(
        "{}\n[access]\nprofile = \"harbor\"\nconsumer_role = \"guest\"\nproducer_role = \"developer\"\n",
        sources.collect::<String>()
    ));
    server.dir.write("ldap.secret", "sync\n");
    server.go();
    server
}

/// The groups of a source by name, once there are so many and its first read has ended, with the members that it gives.
fn groups(server: &Server, source: &str, count: usize) -> BTreeMap<String, String> {
    let events = || server.pages(&format!("/api/v1/events?source={source}&limit=500"));
    let read = || events().iter().any(|event| event["type"] == "rollcall.snapshot.sealed.v1").then_some(());
    wait_for("the first read", read);
    wait_for("the groups", || {
        let all = server.pages(&format!("/api/v1/groups?source={source}&limit=500"));
        let text = |group: &serde_json::Value, key: &str| group[key].as_str().unwrap().to_owned();
        (all.len() == count).then(|| all.iter().map(|group| (text(group, "name"), text(group, "id"))).collect())
    })
}

/// A project, and a role on it for a group.
fn give(server: &Server, group: &str, role: &str, project: &str) {
    let binding = json!({"principal": {"group": group}, "role": role, "scope": {"project": project}});
    server.post("/api/v1/bindings", &binding).expect(200);
}

fn cn(name: &str) -> String {
    format!("cn={name},ou=groups,{BASE}")
}

fn take(slapd: &Slapd, group: &str, member: &str) {
    slapd.change(&format!("dn: {}\nchangetype: modify\ndelete: member\nmember: {member}\n", cn(group)));
}

/// A marker that is said after everything before it.
fn said(slapd: &Slapd, server: &Server, source: &str, name: &str) {
    slapd.change(&person(name, "people", "x"));
    let known = || {
        let people = server.pages(&format!("/api/v1/people?source={source}&limit=500"));
        people.iter().any(|person| person["username"] == name).then_some(())
    };
    wait_for("the marker", known);
}

#[test]
fn l09_access_by_nested_groups_stays_until_the_last_path_goes_and_why_names_the_path() {
    // Five levels, a cycle from the innermost to the outermost, and a diamond: left and right lead to the third level.
    let ldif = trunk()
        + &person("ada", "people", "a")
        + &person("bob", "people", "b")
        + &group("one", [cn("left"), cn("right"), dn("sync")])
        + &group("left", [cn("three"), dn("sync")])
        + &group("right", [cn("three"), dn("sync")])
        + &group("three", [cn("four"), dn("sync")])
        + &group("four", [cn("five"), dn("sync")])
        + &group("five", [dn("ada"), cn("one")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let server = served(&[("corp-ldap", &slapd)]);
    let ids = groups(&server, "corp-ldap", 6);
    server.post("/api/v1/projects", &json!({"name": "lab"})).expect(201);
    give(&server, &ids["one"], "guest", "lab");
    let (ada, bob) = (server.secret_for("ada"), server.secret_for("bob"));
    assert_eq!(server.granted("ada", &ada, "lab/tool"), ["pull"]);
    assert_eq!(server.granted("bob", &bob, "lab/tool"), [""; 0]);

    let why = || server.cli(&["why", "ada", "pull", "lab/tool"]);
    let yes = why();
    assert_eq!(yes.code, 0, "{yes:?}");
    let left = yes.out.contains("left");
    for name in ["one", if left { "left" } else { "right" }, "three", "four", "five"] {
        assert!(yes.out.contains(name), "`{name}` is not on the path in\n{}", yes.out);
    }
    // One way of the diamond is gone: the other carries.
    let (first, second) = if left { ("left", "right") } else { ("right", "left") };
    take(&slapd, first, &cn("three"));
    said(&slapd, &server, "corp-ldap", "marker1");
    assert_eq!(server.granted("ada", &ada, "lab/tool"), ["pull"]);
    let yes = why();
    assert!(yes.code == 0 && yes.out.contains(second), "{yes:?}");
    // The last way.
    take(&slapd, second, &cn("three"));
    wait_for("the end of the last path", || server.granted("ada", &ada, "lab/tool").is_empty().then_some(()));
    let no = why();
    assert!(no.code == 1 && no.out.contains("left"), "{no:?}");
    // In the cycle, the innermost holds the outermost: its own people are in all of it, and nobody else.
    give(&server, &ids["five"], "developer", "lab");
    assert_eq!(server.granted("ada", &ada, "lab/tool"), ["pull", "push"]);
    slapd.change(&format!("dn: {}\nchangetype: modify\nadd: member\nmember: {}\n", cn("one"), dn("bob")));
    wait_for("bob by the cycle", || (server.granted("bob", &bob, "lab/tool") == ["pull", "push"]).then_some(()));
    take(&slapd, "five", &cn("one"));
    wait_for("the cycle's end", || (server.granted("bob", &bob, "lab/tool") == ["pull"]).then_some(()));
    assert_eq!(server.granted("ada", &ada, "lab/tool"), ["pull", "push"]);
}

/// Records an event for which there is no command yet, while the server is down.
fn record(server: &mut Server, line: &str) {
    server.stop();
    let event = server.event(line);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let log = Log::open(&EngineConfig::Embedded { dir: server.data("") }, Arc::new(Now)).await.unwrap();
        log.append(vec![event]).await.unwrap();
        log.close().await;
    });
    server.go();
}

#[test]
fn l18_a_role_that_two_directories_give_stays_until_both_have_withdrawn_it() {
    // One person, known to two directories, linked as one user.
    let ldif = trunk() + &person("ada", "people", "a") + &group("ops", [dn("ada"), dn("sync")]);
    let other = trunk() + &person("lovelace", "people", "a") + &group("lab", [dn("lovelace"), dn("sync")]);
    let Some(corp) = Slapd::start(Kind::default(), &ldif) else { return };
    let Some(lab) = Slapd::start(Kind::default(), &other) else { return };
    let mut server = served(&[("corp-ldap", &corp), ("lab-ldap", &lab)]);
    let ops = groups(&server, "corp-ldap", 1)["ops"].clone();
    let labs = groups(&server, "lab-ldap", 1)["lab"].clone();
    let id = |source: &str, name: &str| {
        let people = server.pages(&format!("/api/v1/people?source={source}&limit=500"));
        let person = people.iter().find(|person| person["username"] == name).unwrap();
        person["person"].as_str().unwrap().to_owned()
    };
    let link =
        format!("local identity.linked corp-ldap/{} lab-ldap/{}", id("corp-ldap", "ada"), id("lab-ldap", "lovelace"));
    record(&mut server, &link);
    server.post("/api/v1/projects", &json!({"name": "tools"})).expect(201);
    for group in [&ops, &labs] {
        give(&server, group, "guest", "tools");
    }
    let secret = server.secret_for("ada");
    let granted = || server.granted("ada", &secret, "tools/hammer");
    assert_eq!(granted(), ["pull"]);
    take(&corp, "ops", &dn("ada"));
    said(&corp, &server, "corp-ldap", "marker");
    assert_eq!(granted(), ["pull"], "the other directory still gives it");
    take(&lab, "lab", &dn("lovelace"));
    wait_for("the second withdrawal", || granted().is_empty().then_some(()));
    corp.change(&format!("dn: {}\nchangetype: modify\nadd: member\nmember: {}\n", cn("ops"), dn("ada")));
    wait_for("the return", || (granted() == ["pull"]).then_some(()));
}
