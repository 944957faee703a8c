//! What was said and is not in effect, on the whole server: listed by the API and the command line, in `doctor` and as a
//! number, each with its reason and what to do, and gone once it is mended.

use serde_json::{Value, json};

use crate::{
    directories::served::{add, served, take},
    support::{
        server::Server,
        slapd::{BASE, Kind, Slapd, dn, group, person, trunk},
        wait_for,
    },
};

fn problems(server: &Server, filter: &str) -> Vec<Value> {
    server.pages(&format!("/api/v1/problems{filter}"))
}

/// Posts one event of `flexnet` and waits until it counts.
fn say(server: &Server, id: &str, kind: &str, sequence: u64, data: Value) {
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/fn", "type": format!("rollcall.{kind}.v1"),
        "sequence": sequence.to_string(), "data": data,
    });
    let answer = server.post_json("application/cloudevents-batch+json", &json!([event])).expect(202);
    if let Some(position) = answer.json()["events"][0]["position"].as_u64() {
        server.reached(position);
    }
}

#[test]
fn an_empty_list_is_good_news_and_what_is_not_in_effect_is_told_everywhere() {
    let server = Server::start();
    let none = server.cli(&["problems"]);
    assert_eq!(
        (none.code, none.out.trim()),
        (0, "No problems: everything that was said is in effect."),
        "{}",
        none.err
    );

    let line = json!({"line": "L", "entitlement": "E", "product": "DB", "starts": null, "ends": null});
    say(&server, "1", "entitlement.line.upserted", 1, line);
    say(&server, "2", "product.upserted", 1, json!({"product": "DB"}));
    let told = server.cli(&["problems"]);
    assert_eq!(told.code, 1, "{}{}", told.out, told.err);
    for part in ["dangling_reference line/L", "entitlement E was never stated", "to do have source flexnet state"] {
        assert!(told.out.contains(part), "`{part}` is not in\n{}", told.out);
    }
    let json: Value = serde_json::from_str(&server.cli(&["--json", "problems", "--source", "flexnet"]).out).unwrap();
    assert_eq!(json[0]["kind"], "dangling_reference", "{json}");
    assert_eq!(server.cli(&["problems", "--kind", "parked"]).code, 0);
    let refused = server.cli(&["problems", "--kind", "nonsense"]);
    assert!(refused.code == 2 && refused.err.contains("`outside_member`"), "{}{}", refused.out, refused.err);
    let doctor = server.cli(&["doctor"]);
    assert!(doctor.out.contains("dangling_reference: flexnet line/L"), "{}", doctor.out);

    say(&server, "3", "account.upserted", 1, json!({"account": "G", "kind": "customer"}));
    say(&server, "4", "entitlement.upserted", 1, json!({"entitlement": "E", "account": "G", "state": "active"}));
    assert_eq!(problems(&server, ""), [] as [Value; 0]);
    assert!(server.cli(&["doctor"]).out.contains("none: everything that was said is in effect"));
}

#[test]
fn news_that_are_superseded_say_by_what_until_something_newer_is_said() {
    let server = Server::start();
    let state = |state: &str| json!({"entitlement": "E", "account": "G", "state": state});
    say(&server, "0", "account.upserted", 1, json!({"account": "G", "kind": "customer"}));
    say(&server, "1", "entitlement.upserted", 9, state("inactive"));
    say(&server, "2", "entitlement.upserted", 5, state("active"));
    let told = wait_for("what was superseded", || {
        let told = problems(&server, "?kind=superseded");
        (!told.is_empty()).then_some(told)
    });
    assert_eq!(told.len(), 1, "{told:#?}");
    let why = told[0]["why"].as_str().unwrap();
    assert!(why.contains("has sequence 9, this one 5"), "{why}");
    say(&server, "3", "entitlement.upserted", 10, state("active"));
    wait_for("it to be newer", || problems(&server, "?kind=superseded").is_empty().then_some(()));
}

#[test]
fn a_package_whose_project_name_is_taken_is_told_until_it_has_another() {
    let server = Server::start();
    say(&server, "0", "account.upserted", 1, json!({"account": "I", "kind": "producer"}));
    let package = |id: &str, name: &str| json!({"package": id, "project_name": name, "producer": "I", "container_delivery": true});
    say(&server, "1", "package.upserted", 1, package("K", "acme"));
    say(&server, "2", "package.upserted", 1, package("L", "acme"));
    let told = problems(&server, "");
    assert_eq!((told.len(), &told[0]["kind"]), (1, &json!("project_name")), "{told:#?}");
    assert!(told[0]["why"].as_str().unwrap().contains("belongs to package K"), "{told:#?}");
    say(&server, "3", "package.upserted", 2, package("L", "nova"));
    assert_eq!(problems(&server, ""), [] as [Value; 0]);
}

#[test]
fn what_does_not_fit_is_told_until_it_is_said_right_or_dismissed() {
    let server = Server::start();
    say(&server, "1", "product.upserted", 1, json!({"product": "DB"}));
    say(&server, "1", "product.upserted", 1, json!({"product": "APP"}));
    say(&server, "2", "product.upserted", 1, json!({"product": 7}));
    let told = problems(&server, "");
    let kinds: Vec<&str> = told.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["quarantined", "conflict"], "{told:#?}");
    for row in &told {
        assert!(row["remedy"].as_str().unwrap().contains("rollcall deliveries show dlv_"), "{row}");
    }
    let [wrong, used] = [0, 1].map(|n: usize| told[n]["subject"].as_str().unwrap().to_owned());
    // The sender says it right under the same id.
    say(&server, "2", "product.upserted", 1, json!({"product": "7"}));
    let told = problems(&server, "");
    assert_eq!((told.len(), &told[0]["kind"]), (1, &json!("conflict")), "{told:#?}");
    let shown = server.cli(&["deliveries", "show", &wrong]).out;
    assert!(shown.contains("RECORDED IN") && shown.matches("dlv_").count() == 2, "{shown}");
    // An id that was used stays used: a person says that nothing is to be done.
    assert_eq!(server.cli(&["deliveries", "dismiss", &used]).code, 2, "without a reason");
    let done = server.cli(&["deliveries", "dismiss", &used, "--because", "the sender repaired its counter"]);
    assert_eq!((done.code, done.out.trim()), (0, &*format!("{used} is dismissed")), "{}", done.err);
    assert_eq!(problems(&server, ""), [] as [Value; 0]);
    let shown = server.cli(&["deliveries", "show", &used]).out;
    assert!(shown.contains("by admin key: the sender repaired its counter"), "{shown}");
    let again = server.cli(&["deliveries", "dismiss", &used, "--because", "me too"]);
    assert!(again.code != 0 && again.err.contains("by admin key: the sender repaired its counter"), "{}", again.err);
    let nothing = server.cli(&["deliveries", "dismiss", &wrong, "--because", "me too"]);
    assert!(nothing.code != 0 && nothing.err.contains("there is nothing to dismiss"), "{}", nothing.err);
}

#[test]
fn a_source_with_facts_that_the_configuration_does_not_name_is_told() {
    let mut server = Server::start();
    say(&server, "1", "product.upserted", 1, json!({"product": "DB"}));
    assert_eq!(problems(&server, ""), [] as [Value; 0]);
    server.stop();
    let file = server.dir.join("rollcall.toml");
    let with = std::fs::read_to_string(&file).unwrap();
    let without = with.replace("[source.flexnet]", "[source.other]");
    assert_ne!(with, without);
    std::fs::write(&file, without).unwrap();
    server.go();
    let told = problems(&server, "?kind=source_not_configured");
    assert_eq!((told.len(), &told[0]["source"]), (1, &json!("flexnet")), "{told:#?}");
    assert!(told[0]["remedy"].as_str().unwrap().contains("[source.flexnet]"), "{told:#?}");
    server.stop();
    std::fs::write(&file, with).unwrap();
    server.go();
    assert_eq!(problems(&server, ""), [] as [Value; 0]);
}

#[test]
fn members_who_exist_outside_the_bases_are_shown_per_group_until_they_are_gone() {
    let outsider = format!("dn: uid=out,{BASE}\nobjectClass: inetOrgPerson\ncn: x\nsn: x\nuid: out\n\n");
    let out = format!("uid=out,{BASE}");
    let ldif = trunk() + &outsider + &person("ada", "people", "a") + &group("outsiders", [out.clone(), dn("ada")]);
    let Some(slapd) = Slapd::start(Kind::default(), &ldif) else { return };
    let server = served(&slapd.url(), "");
    let told = wait_for("the member outside", || {
        let told = problems(&server, "?kind=outside_member");
        (!told.is_empty()).then_some(told)
    });
    assert_eq!(told.len(), 1, "{told:#?}");
    let subject = told[0]["subject"].as_str().unwrap().to_lowercase();
    assert!(subject.contains("uid=out") && subject.contains("cn=outsiders"), "{told:#?}");
    let shown = server.cli(&["sources", "show", "corp-ldap"]).out;
    assert!(shown.contains("listed and outside what is read: uid=out"), "{shown}");
    slapd.change(&format!("dn: cn=outsiders,ou=groups,{BASE}\nchangetype: modify\ndelete: member\nmember: {out}\n"));
    wait_for("nobody outside", || problems(&server, "?kind=outside_member").is_empty().then_some(()));
    // And one who is put in while the directory is followed is told too.
    slapd.change(&format!("dn: cn=outsiders,ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: {out}\n"));
    wait_for("the member outside again", || (problems(&server, "?kind=outside_member").len() == 1).then_some(()));
    add(&slapd, "outsiders", "sync");
    take(&slapd, "outsiders", "sync");
}

#[test]
fn what_a_directory_does_not_say_is_told_until_it_does() {
    let mut ldif = trunk();
    (0..60).for_each(|i| ldif += &person(&format!("u{i}"), "people", "x"));
    ldif += &group("ops", (0..60).map(|i| dn(&format!("u{i}"))));
    let Some(mut slapd) = Slapd::start(Kind { refint: false, ..Kind::default() }, &ldif) else { return };
    let mut server = served(&slapd.url(), "");
    fn of(server: &Server, kind: &str) -> Vec<Value> {
        problems(server, &format!("?kind={kind}"))
    }
    let one = |server: &Server, kind: &'static str| wait_for(kind, || of(server, kind).pop());
    let none =
        |server: &Server, kind: &'static str| wait_for("it to be mended", || of(server, kind).is_empty().then_some(()));
    wait_for("the first read", || server.cli(&["sources"]).out.contains("healthy").then_some(()));
    assert_eq!(problems(&server, ""), [] as [Value; 0]);

    let member = |how: &str| {
        format!("dn: cn=ops,ou=groups,{BASE}\nchangetype: modify\n{how}: member\nmember: {}\n", dn("nobody"))
    };
    slapd.change(&member("add"));
    let told = one(&server, "absent_member");
    assert!(
        told["subject"].as_str().unwrap().contains("uid=nobody") && told["why"] == "no such entry exists",
        "{told}"
    );
    slapd.change(&member("delete"));
    none(&server, "absent_member");
    // Also where it was mended while nobody listened.
    slapd.change(&member("add"));
    one(&server, "absent_member");
    server.stop();
    slapd.change(&member("delete"));
    server.go();
    none(&server, "absent_member");

    let mut gone = format!("dn: cn=ops,ou=groups,{BASE}\nchangetype: modify\ndelete: member\n");
    (0..40).for_each(|i| gone += &format!("member: {}\n", dn(&format!("u{i}"))));
    slapd.change(&gone);
    let told = one(&server, "held_removals");
    let plan = told["subject"].as_str().unwrap().to_owned();
    assert_eq!((&told["said"], &told["source"]), (&json!("40 removals"), &json!("corp-ldap")), "{told}");
    let apply = format!("rollcall apply {plan} --confirm-removals 40");
    assert!(told["remedy"].as_str().unwrap().contains(&apply), "{told}");
    server.cli(&["apply", &plan, "--confirm-removals", "40"]).ok();
    none(&server, "held_removals");

    slapd.stop();
    let told = one(&server, "source_unread");
    assert!(told["why"].as_str().unwrap().starts_with("it does not answer; what it said last stands"), "{told}");
    assert!(told["remedy"].as_str().unwrap().contains("rollcall sources show corp-ldap"), "{told}");
    slapd.restart();
    none(&server, "source_unread");
}

#[test]
fn how_many_problems_there_are_of_each_kind_is_a_number() {
    let mut server = Server::start();
    let line = json!({"line": "L", "entitlement": "E", "product": "DB", "starts": null, "ends": null});
    say(&server, "1", "entitlement.line.upserted", 1, line);
    // Counted at start and then now and then.
    server.restart();
    wait_for("the number", || {
        let text = server.get("/metrics").text;
        text.contains("rollcall_problems{kind=\"dangling_reference\"} 1").then_some(())
    });
}
