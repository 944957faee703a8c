//! The difference that a directory would make, on the command line: looked at, confirmed by its number, applied.

use serde_json::{Value, json};

use crate::support::{
    server::Server,
    slapd::{BASE, Kind, SYNC, Slapd, dn, group, person, trunk},
    wait_for,
};

fn counted(server: &Server, kind: &str) -> usize {
    server.pages(&format!("/api/v1/events?type=rollcall.{kind}.v1&limit=500")).len()
}

fn reading(server: &Server) -> Value {
    let sources = server.get("/api/v1/sources").json();
    let all = sources["items"].as_array().unwrap();
    all.iter().find(|source| source["name"] == "corp-ldap").unwrap()["reading"].clone()
}

#[test]
fn l17_what_is_held_is_shown_by_name_and_applied_by_its_number() {
    let mut ldif = trunk();
    (0..60).for_each(|i| ldif += &person(&format!("u{i}"), "people", "x"));
    ldif += &group("ops", (0..60).map(|i| dn(&format!("u{i}"))));
    let Some(slapd) = Slapd::start(Kind { refint: false, ..Kind::default() }, &ldif) else { return };
    let mut server = Server::prepared(&format!(
        "[source.corp-ldap]\nkind = \"ldap\"\nurl = \"{}\"\nclear_text = true\nbind_dn = \"{SYNC}\"\n\
         secret_file = \"ldap.secret\"\npeople = \"ou=people,{BASE}\"\ngroups = [\"ou=groups,{BASE}\"]\n\
         answer_timeout = \"2s\"\n",
        slapd.url()
    ));
    server.dir.write("ldap.secret", "sync\n");
    server.go();
    wait_for("the first read", || (reading(&server)["state"] == "healthy").then_some(()));
    assert_eq!(counted(&server, "group.member.added"), 60);
    let same = server.cli(&["plan", "corp-ldap"]);
    assert_eq!(same.code, 0, "{} {}", same.out, same.err);
    assert!(same.out.contains("no difference"), "{}", same.out);

    let mut gone = format!("dn: cn=ops,ou=groups,{BASE}\nchangetype: modify\ndelete: member\n");
    (0..40).for_each(|i| gone += &format!("member: {}\n", dn(&format!("u{i}"))));
    slapd.change(&gone);
    wait_for("the held plan", || (reading(&server)["state"] == "held").then_some(()));
    let shown = server.cli(&["sources"]);
    assert!(shown.out.contains("40 removals"), "{}", shown.out);

    let before = server.get("/api/v1/log/head").json()["position"].clone();
    let plan = server.cli(&["plan", "corp-ldap"]);
    assert_eq!(plan.code, 1, "{} {}", plan.out, plan.err);
    assert!(plan.out.contains("- u7 leaves the group ops\n"), "{}", plan.out);
    assert!(plan.out.contains("--confirm-removals 40"), "{}", plan.out);
    assert_eq!(server.get("/api/v1/log/head").json()["position"], before, "a plan appends nothing");

    let id = plan.out.split_whitespace().find(|word| word.starts_with("pln_")).unwrap().to_owned();
    let wrong = server.cli(&["apply", &id, "--confirm-removals", "39"]);
    assert_eq!(wrong.code, 1, "{} {}", wrong.out, wrong.err);
    assert_eq!(counted(&server, "group.member.removed"), 0);
    let applied = server.cli(&["apply", &id, "--confirm-removals", "40"]).ok();
    assert!(applied.contains("40 removed"), "{applied}");
    assert_eq!(counted(&server, "group.member.removed"), 40);
    let reading = reading(&server);
    assert_eq!((&reading["state"], &reading["held"]), (&json!("healthy"), &Value::Null), "{reading}");
    assert_eq!(server.cli(&["apply", &id, "--confirm-removals", "40"]).code, 1, "once");
}
