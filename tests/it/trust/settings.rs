//! A start never changes who has access in silence: what another configuration would change waits as a plan, the server
//! runs on with what the log says, and what is shown is what applying it does.

use serde_json::{Value, json};

use crate::support::{
    api::Secret,
    server::{Server, WORLD},
};

const PORTUS: &str = "\n[access]\nprofile = \"portus\"\nproducer_role = \"contributor\"\nconsumer_role = \"viewer\"\n";

fn plan(server: &Server) -> Value {
    let said = server.cli(&["--json", "config", "plan"]);
    serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}{}", said.out, said.err))
}

#[test]
fn a_start_with_another_profile_moves_nobody_and_waits_as_a_plan() {
    let mut server = Server::start();
    server.say(WORLD);
    let before = server.memberships();
    assert!(before.iter().any(|row| row.contains("Guest")), "{before:?}");
    server.configure(PORTUS);
    server.restart();
    assert_eq!(server.memberships(), before, "a start moved somebody");
    assert!(server.log().contains("not in effect"), "{}", server.log());

    let doctor = server.cli(&["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.out);
    assert!(doctor.out.contains("access.profile") && doctor.out.contains("rollcall config plan"), "{}", doctor.out);

    let problems = server.cli(&["problems", "--kind", "configuration"]);
    assert_eq!(problems.code, 1, "{}{}", problems.out, problems.err);
    for text in ["access.profile: \"portus\" is configured", "\"revenera\" is in effect", "rollcall config plan"] {
        assert!(problems.out.contains(text), "`{text}` is not in\n{}", problems.out);
    }

    let shown = server.cli(&["config", "plan"]);
    assert_eq!(shown.code, 1, "{}{}", shown.out, shown.err);
    for text in [
        "access.profile  \"revenera\" -> \"portus\"",
        "access.consumer_role  - -> \"viewer\"",
        "project acme  ada",
        "-Guest",
        "+viewer",
    ] {
        assert!(shown.out.contains(text), "`{text}` is not in\n{}", shown.out);
    }
    let told = plan(&server);
    let name = told["plan"].as_str().unwrap().to_owned();
    assert_eq!(told["rows"].as_u64().unwrap(), told["changes"].as_array().unwrap().len() as u64, "{told:#}");
    server.restart();
    assert_eq!(plan(&server)["plan"], name.as_str(), "a second start with the same difference is the same plan");

    let unasked = server.cli(&["config", "apply"]);
    assert_eq!((unasked.code, unasked.err.contains(&format!("--confirm {name}"))), (2, true), "{}", unasked.err);
    assert_eq!(server.memberships(), before);
    server.cli(&["config", "apply", "--confirm", &name]).ok();
    let after = server.memberships();
    assert!(
        after.iter().any(|row| row.contains("viewer")) && !after.iter().any(|row| row.contains("Guest")),
        "{after:?}"
    );
    let set = server.pages("/api/v1/events?source=local&limit=500");
    for subject in ["profile", "settings"] {
        let last = set.iter().rev().find(|event| event["subject"] == subject).unwrap();
        assert_eq!(last["data"]["author"], "admin key", "{last:#}");
    }
    assert_eq!(server.cli(&["config", "plan"]).code, 0);
    assert_eq!(server.cli(&["problems", "--kind", "configuration"]).code, 0);
    assert!(!server.cli(&["doctor"]).out.contains("config plan"));
    server.restart();
    assert_eq!(server.memberships(), after);
}

#[test]
fn a_configuration_that_changes_nobody_is_in_effect_at_once() {
    let mut server = Server::start();
    server.say(WORLD);
    let before = server.memberships();
    server.dir.write("portal.secret", Secret::new(2).text() + "\n");
    server.configure(
        "\n[source.portal]\nkind = \"entitlements\"\nsecret_file = \"portal.secret\"\norder = \"time\"\n\n[access]\nreserved_names = [\"acme-*\"]\n",
    );
    server.restart();
    assert_eq!(server.memberships(), before);
    assert_eq!(server.pages("/api/v1/configuration"), Vec::<Value>::new());
    let sources = server.pages("/api/v1/sources");
    assert!(sources.iter().any(|source| source["name"] == "portal" && source["order"] == "time"), "{sources:?}");
}

#[test]
fn a_harmless_setting_is_in_effect_beside_one_that_waits() {
    let mut server = Server::start();
    server.say(WORLD);
    server.configure("\n[access]\nconsumer_role = \"Developer\"\nconfirm_consumer_role = \"Developer\"\nreserved_names = [\"kept\"]\n");
    server.restart();
    let waiting = server.pages("/api/v1/configuration");
    assert_eq!(waiting, [json!({"setting": "access.consumer_role", "in_force": null, "configured": "Developer"})]);
    // The configuration is taken back: nothing waits any more.
    server.configure("\n[access]\nreserved_names = [\"kept\"]\n");
    server.restart();
    assert_eq!(server.pages("/api/v1/configuration"), Vec::<Value>::new());
}

#[test]
fn a_plan_that_would_change_something_else_by_now_is_refused_and_records_nothing() {
    let mut server = Server::start();
    server.say(WORLD);
    server.configure("\n[access]\nconsumer_role = \"Developer\"\nconfirm_consumer_role = \"Developer\"\n");
    server.restart();
    let old = plan(&server)["plan"].as_str().unwrap().to_owned();
    server.say("flexnet person.upserted eve account=globex");
    let before = server.memberships();
    let refused = server.cli(&["config", "apply", "--confirm", &old]);
    assert_eq!(refused.code, 1, "{}{}", refused.out, refused.err);
    assert_eq!(server.memberships(), before);
    let new = plan(&server);
    assert_eq!((new["people"].as_u64(), new["plan"] == old.as_str()), (Some(2), false), "{new:#}");
    server.cli(&["config", "apply", "--confirm", new["plan"].as_str().unwrap()]).ok();
    let developers = server.memberships().iter().filter(|row| row.contains("Developer")).count();
    assert_eq!(developers, 4, "the producer's two, and now the customer's two");
}
