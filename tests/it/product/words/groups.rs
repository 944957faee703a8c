//! Groups of a directory are named by name, DN or path; what is recorded is the id, and several of one name are told apart.

use serde_json::{Value, json};

use crate::{
    directories::served::{count, served},
    support::{
        server::{Server, WORLD},
        slapd::{BASE, Kind, Slapd, dn, person, trunk},
        wait_for,
    },
};

fn unit(name: &str) -> String {
    format!("dn: ou={name},ou=groups,{BASE}\nobjectClass: organizationalUnit\nou: {name}\n\n")
}

fn group_in(unit: &str, name: &str, member: &str) -> String {
    format!(
        "dn: cn={name},ou={unit},ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: {name}\nmember: {}\n\n",
        dn(member)
    )
}

/// Two units with a group `devs` each, and one `ops`.
fn world() -> Option<(Slapd, Server)> {
    let ldif = trunk()
        + &person("ada", "people", "x")
        + &person("bob", "people", "x")
        + &unit("eng")
        + &unit("sales")
        + &group_in("eng", "devs", "ada")
        + &group_in("sales", "devs", "bob")
        + &group_in("eng", "Ops Team", "ada");
    let slapd = Slapd::start(Kind { syncprov: false, ..Kind::default() }, &ldif)?;
    let server = served(&slapd.url(), "");
    wait_for("the groups", || (count(&server, "group.member.added") == 3).then_some(()));
    server.cli(&["projects", "create", "kit"]).ok();
    Some((slapd, server))
}

#[test]
fn a_group_is_given_a_role_by_name_dn_or_path_and_the_log_has_its_id() {
    let Some((_slapd, server)) = world() else { return };
    let ids: Vec<Value> = server.pages("/api/v1/groups?source=corp-ldap&limit=10");
    let id_of = |unit: &str, name: &str| {
        let known = format!("cn={name},ou={unit},");
        let is_it = |group: &&Value| group["external_id"].as_str().is_some_and(|dn| dn.starts_with(&known));
        ids.iter().find(is_it).unwrap_or_else(|| panic!("{ids:?}"))["id"].as_str().unwrap().to_owned()
    };
    let (ops, devs) = (id_of("eng", "Ops Team"), id_of("eng", "devs"));
    for (word, id) in [
        ("Ops Team", &ops),
        ("ops team", &ops),
        ("corp-ldap/Ops Team", &ops),
        ("eng/ops team", &ops),
        ("corp-ldap/eng/devs", &devs),
        ("eng/devs", &devs),
        (&format!("cn=devs,ou=eng,ou=groups,{BASE}"), &devs),
        (&format!("corp-ldap/CN=Devs, OU=eng, OU=groups, {BASE}"), &devs),
        (&devs.clone(), &devs),
    ] {
        let said = server.cli(&["bindings", "set", &format!("group:{word}"), "Guest", "project:kit"]).ok();
        assert!(said.starts_with(&format!("group {id} (")), "{word}: {said}");
        let binding = server.pages("/api/v1/bindings?project=kit&limit=10");
        assert!(matches!(&binding[..], [one] if one["group"] == id.as_str()), "{word}: {binding:?}");
        let event = server.pages("/api/v1/events?type=binding.set&limit=500").pop().unwrap();
        assert_eq!(event["data"]["principal"]["group"], id.as_str(), "{word}: what is recorded is the id");
        let short = binding[0]["short"].as_str().unwrap();
        server.cli(&["bindings", "remove", short]).ok();
    }
    // The role is had, the table says of which group, and why names both.
    server.cli(&["bindings", "set", "group:eng/devs", "Guest", "project:kit"]).ok();
    let listed = server.cli(&["bindings", "list", "--group", "eng/devs"]).ok();
    assert!(listed.contains(&format!("{devs} (devs)")), "{listed}");
    let why = server.cli(&["why", "ada", "pull", "kit/x"]).ok();
    assert!(why.contains("devs") && why.contains(&devs), "{why}");
    let members = server.cli(&["who", "group:eng/devs"]).ok();
    assert!(members.contains("ada") && !members.contains("bob"), "{members}");
    let shown = server.cli(&["groups", "show", "sales/devs"]).ok();
    assert!(shown.contains("bob") && !shown.contains("ada"), "{shown}");
    // A local group takes one in by its name.
    server.cli(&["groups", "create", "all"]).ok();
    server.cli(&["groups", "add", "all", "group:sales/devs"]).ok();
    let all = server.cli(&["groups", "show", "all", "--all"]).ok();
    assert!(all.contains("bob") && !all.contains("ada"), "{all}");
    server.dir.write(
        "bindings.toml",
        "[[scope]]\nproject = \"kit\"\nbinding = [{ group = \"eng/devs\", role = \"Guest\" }]\n",
    );
    let plan = server.cli(&["bindings", "plan", "-f", "bindings.toml"]).ok();
    assert!(plan.contains("nothing to do"), "a document names it so too: {plan}");
}

#[test]
fn a_name_that_several_groups_have_is_refused_with_them_and_nothing_is_recorded() {
    let Some((_slapd, server)) = world() else { return };
    let head = server.get("/api/v1/log/head").expect(200).json()["position"].clone();
    for said in [
        server.cli(&["bindings", "set", "group:devs", "Guest", "project:kit"]),
        server.cli(&["bindings", "set", "group:corp-ldap/devs", "Guest", "project:kit"]),
        server.cli(&["bindings", "list", "--group", "devs"]),
        server.cli(&["groups", "show", "devs"]),
        server.cli(&["who", "group:devs"]),
    ] {
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{}", said.err);
        for candidate in ["cn=devs,ou=eng", "cn=devs,ou=sales", "could be"] {
            assert!(said.err.contains(candidate), "{candidate}: {}", said.err);
        }
    }
    for word in ["devz", "corp-ldap/devz"] {
        let said = server.cli(&["bindings", "set", &format!("group:{word}"), "Guest", "project:kit"]);
        assert!(said.code == 1 && said.err.contains("Did you mean `devs`?"), "{word}: {}", said.err);
    }
    assert_eq!(server.get("/api/v1/log/head").expect(200).json()["position"], head);
    // Who names a group of another source by the name of this one and by what is not in it gets nothing by that.
    server.say("flexnet group.upserted G-1 name=auditors external_id=corp-ldap/auditors");
    let posing = server.cli(&["groups", "list", "--source", "flexnet"]).ok();
    assert!(posing.contains("corp-ldap/auditors"), "{posing}");
    let said = server.cli(&["bindings", "set", "group:corp-ldap/auditors", "Guest", "project:kit"]);
    assert!(said.code == 1 && said.err.contains("No group that you can see"), "{}", said.err);
    // Whoever may give roles on the project and is told of no groups is told of none by a guess either.
    server.cli(&["services", "create", "team"]).ok();
    server.cli(&["bindings", "set", "service:team", "api:project_admin", "project:kit"]).ok();
    let key = server.cli(&["services", "secret", "team"]).ok();
    server.dir.write("team.key", key);
    let path = server.dir.join("team.key");
    for word in ["devs", "eng/devs", "Ops Team", "nothing"] {
        let group = format!("group:{word}");
        let args = ["bindings", "set", group.as_str(), "Guest", "project:kit", "--token-file", path.to_str().unwrap()];
        let said = server.cli(&args);
        assert!(said.code == 1 && said.err.contains("No group that you can see"), "{word}: {}", said.err);
        assert!(!said.err.contains("cn=") && !said.err.contains("mean"), "{word}: {}", said.err);
    }
}

#[test]
fn whoever_is_in_a_group_twice_and_a_group_that_was_removed_are_taken_out_of_it() {
    let server = Server::start();
    server.say(WORLD);
    server.say("flexnet group.upserted G-1 name=ops");
    server.cli(&["groups", "create", "crew"]).ok();
    for member in ["user:ada", "user:max", "group:flexnet/G-1"] {
        server.cli(&["groups", "add", "crew", member]).ok();
    }
    let both = json!({ "persons": ["ada", "max"] });
    let plan = server.post("/api/v1/links/plan", &both).expect(200).json()["plan"].clone();
    server.post("/api/v1/links", &json!({ "persons": ["ada", "max"], "confirm": plan })).expect(200);
    server.say("flexnet group.removed G-1");
    let problems = server.cli(&["problems"]).out;
    assert!(problems.contains("take it out: `rollcall groups take crew group:flexnet/G-1`"), "{problems}");
    let there = || server.get("/api/v1/groups/local/crew/members").expect(200).json()["items"].clone();
    assert_eq!(there().as_array().unwrap().len(), 3);
    server.cli(&["groups", "take", "crew", "user:ada"]).ok();
    server.cli(&["groups", "take", "crew", "group:flexnet/G-1"]).ok();
    assert_eq!(there(), json!([]));
    assert!(!server.cli(&["problems"]).out.contains("crew"));
}
