//! The main job, with real clients: signed events in, `skopeo` and `podman` against Debian's registry out. Then every
//! way in which access ends, one by one. Starts as an operator would; knows no internals.

use serde_json::json;

use crate::support::{
    registry::Registry,
    server::{Server, WORLD, claims},
    wait_for,
};

/// Who is in [`WORLD`], each with a registry secret.
struct People {
    ada: String,
    pia: String,
    max: String,
}

fn world(server: &Server) -> People {
    server.say(WORLD);
    People { ada: server.secret_for("ada"), pia: server.secret_for("pia"), max: server.secret_for("max") }
}

#[test]
fn an_entitled_customer_pulls_and_the_producers_people_push() {
    let server = Server::start();
    let people = world(&server);
    let Some(mut registry) = Registry::start(&server) else { return };

    registry.push("pia", &people.pia, "acme/db:1").ok();
    registry.push("max", &people.max, "acme/tool:1").ok();
    registry.pull("ada", &people.ada, "acme/db:1").ok();
    registry.pull("pia", &people.pia, "acme/tool:1").ok();

    let refused = registry.push("ada", &people.ada, "acme/db:2");
    assert_ne!(refused.code, 0, "a customer pushed");
    assert!(refused.err.contains("denied"), "{refused:?}");
    let refused = registry.pull_anonymously("acme/db:1");
    assert!(refused.code != 0 && refused.err.contains("denied"), "{refused:?}");
    let wrong = registry.pull("ada", "wrong", "acme/db:1");
    assert!(wrong.code != 0 && wrong.err.contains("invalid username/password"), "{wrong:?}");
    let elsewhere = registry.push("pia", &people.pia, "other/db:1");
    assert_ne!(elsewhere.code, 0, "a producer pushed to a project that is not there");

    server.say("flexnet entitlement.upserted ENT-7 account=globex state=inactive");
    let ended = registry.pull("ada", &people.ada, "acme/db:1");
    assert!(ended.code != 0 && ended.err.contains("denied"), "{ended:?}");
    registry.push("pia", &people.pia, "acme/db:3").ok();
    assert!(registry.is_alive());
}

#[test]
fn podman_logs_in_pulls_is_refused_a_push_and_logs_out() {
    let server = Server::start();
    let people = world(&server);
    let Some(registry) = Registry::start(&server) else { return };
    let Some(podman) = registry.podman() else { return };
    registry.push("pia", &people.pia, "acme/db:1").ok();
    let host = format!("127.0.0.1:{}", registry.port);
    let image = registry.image("acme/db:1");

    let wrong = podman.run(&["login", "--tls-verify=false", "-u", "ada", "-p", "wrong", &host]);
    assert!(wrong.code != 0 && wrong.err.contains("invalid username/password"), "{wrong:?}");
    podman.run(&["login", "--tls-verify=false", "-u", "ada", "-p", &people.ada, &host]).ok();
    podman.run(&["pull", "-q", "--tls-verify=false", &image]).ok();
    let refused = podman.run(&["push", "-q", "--tls-verify=false", &image]);
    assert!(refused.code != 0 && refused.err.contains("denied"), "{refused:?}");
    podman.run(&["logout", &host]).ok();
    podman.run(&["rmi", "-f", &image]).ok();
    let anonymous = podman.run(&["pull", "-q", "--tls-verify=false", &image]);
    assert_ne!(anonymous.code, 0, "{anonymous:?}");
}

#[test]
fn a_key_is_rotated_without_touching_the_registry() {
    let server = Server::start();
    let people = world(&server);
    let Some(mut registry) = Registry::start(&server) else { return };
    registry.push("pia", &people.pia, "acme/db:1").ok();
    let before = server.cli(&["keys", "bundle"]).ok();
    let kid = |server: &Server| {
        let token = server.token("ada", &people.ada, "").expect(200).json();
        crate::support::server::header(token["token"].as_str().unwrap())["kid"].clone()
    };
    let first = kid(&server);
    for _ in 0..3 {
        server.cli(&["keys", "rotate"]).ok();
        registry.pull("ada", &people.ada, "acme/db:1").ok();
    }
    assert_ne!(first, kid(&server), "the new tokens are signed with the old key");
    assert_eq!(before, server.cli(&["keys", "bundle"]).ok(), "the registry would need a new bundle");
    assert!(registry.is_alive());
}

/// One way in which a reason ends: what is said, and what `why` must name.
struct Ending {
    user: &'static str,
    verb: &'static str,
    said: &'static str,
    named: &'static str,
}

/// The next token says what it should, the user still exists, and `why` names the event.
fn ends(ending: &Ending) {
    let server = Server::start();
    let people = world(&server);
    if ending.said.contains("unassigned") {
        server.say("flexnet entitlement.person.assigned ENT-7 ada");
    }
    let secret = match ending.user {
        "ada" => &people.ada,
        "pia" => &people.pia,
        _ => &people.max,
    };
    let before = server.granted(ending.user, secret, "acme/db");
    assert!(before.contains(&ending.verb.to_owned()), "{before:?}");
    assert_eq!(server.cli(&["why", ending.user, ending.verb, "acme/db"]).code, 0);

    let position = server.say(ending.said);
    assert_eq!(server.granted(ending.user, secret, "acme/db"), [""; 0], "after {}", ending.said);

    let why = server.cli(&["why", ending.user, ending.verb, "acme/db"]);
    assert_eq!(why.code, 1, "{why:?}");
    assert!(why.out.contains(ending.named), "`{}` is not in:\n{}", ending.named, why.out);
    assert!(
        why.out.replace([' ', '\u{a0}', ','], "").contains(&position.to_string()),
        "{position} is not in:\n{}",
        why.out
    );

    let user = server.get(&format!("/api/v1/users/{}", ending.user)).expect(200).json();
    assert_eq!(user["name"], ending.user, "{user}");
}

macro_rules! endings {
    ($($name:ident: $user:literal $verb:literal, $said:literal, names $named:literal;)*) => {$(
        #[test]
        fn $name() {
            ends(&Ending { user: $user, verb: $verb, said: $said, named: $named });
        }
    )*};
}

endings! {
    an_inactive_entitlement_ends_the_pull: "ada" "pull", "flexnet entitlement.upserted ENT-7 account=globex state=inactive", names "ENT-7";
    an_unmapped_product_ends_the_pull: "ada" "pull", "flexnet package.product.unmapped db-suite DB", names "DB";
    an_unassigned_person_cannot_pull: "ada" "pull", "flexnet entitlement.person.unassigned ENT-7 ada", names "ENT-7";
    a_customer_who_left_the_account_cannot_pull: "ada" "pull", "flexnet person.upserted ada account=null", names "globex";
    a_producer_user_who_left_cannot_push: "pia" "push", "flexnet person.upserted pia account=null", names "vendor";
    a_lost_permission_ends_the_push: "pia" "push", "flexnet permission.revoked pia", names "permission to view and manage download packages";
    a_sub_account_that_moved_away_ends_the_push: "max" "push", "flexnet account.upserted lab kind=producer parent=null", names "lab";
}

#[test]
fn a_line_that_ends_takes_the_pull_with_it_and_no_event_is_needed() {
    let server = Server::start();
    let people = world(&server);
    let ends = chrono::Utc::now() + chrono::Duration::seconds(10);
    let ends = ends.format("%Y-%m-%dT%H:%M:%SZ");
    server.say(&format!("flexnet entitlement.line.upserted ENT-7/1 product=DB ends={ends}"));
    let head = server.get("/api/v1/log/head").expect(200).json();

    let answer = server.token("ada", &people.ada, "&scope=repository:acme/db:pull").expect(200).json();
    let claims = claims(answer["token"].as_str().unwrap());
    let end = ends.to_string().parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp();
    assert_eq!(claims["access"][0]["actions"], json!(["pull"]), "{claims}");
    assert!(
        claims["exp"].as_i64().unwrap() <= end,
        "a token outlives the reason it rests on: {claims}, the line ends {end}"
    );

    wait_for("the end of the line", || server.granted("ada", &people.ada, "acme/db").is_empty().then_some(()));
    assert!(chrono::Utc::now().timestamp() >= end, "the pull ended before its line");
    assert_eq!(server.get("/api/v1/log/head").expect(200).json()["position"], head["position"], "an event was needed");
    let why = server.cli(&["why", "ada", "pull", "acme/db"]);
    assert!(why.code == 1 && why.out.contains("ENT-7"), "{why:?}");
    server.get("/api/v1/users/ada").expect(200);
}

#[test]
fn one_of_two_reasons_gone_changes_nothing_and_the_second_ends_it() {
    let server = Server::start();
    let people = world(&server);
    server.say("flexnet entitlement.upserted ENT-8 account=globex state=active\nflexnet entitlement.line.upserted ENT-8/1 product=DB");
    server.say("flexnet entitlement.upserted ENT-7 account=globex state=inactive");
    assert_eq!(server.granted("ada", &people.ada, "acme/db"), ["pull"]);
    let why = server.cli(&["why", "ada", "pull", "acme/db"]);
    assert!(why.code == 0 && why.out.contains("ENT-8"), "{why:?}");
    let position = server.say("flexnet entitlement.line.removed ENT-8/1");
    assert_eq!(server.granted("ada", &people.ada, "acme/db"), [""; 0]);
    let why = server.cli(&["why", "ada", "pull", "acme/db"]);
    assert!(why.code == 1 && why.out.contains("ENT-8") && why.out.contains("ENT-7"), "{why:?}");
    assert!(why.out.replace([' ', ','], "").contains(&position.to_string()), "{why:?}");
    server.get("/api/v1/users/ada").expect(200);
}

#[test]
fn a_restart_and_a_kill_keep_memberships_and_secrets() {
    let mut server = Server::start();
    let people = world(&server);
    assert_eq!(server.granted("ada", &people.ada, "acme/db"), ["pull"]);
    let before = server.memberships();
    assert_eq!(before.len(), 3, "{before:#?}");
    server.restart();
    assert_eq!(server.memberships(), before);
    assert_eq!(server.granted("ada", &people.ada, "acme/db"), ["pull"]);
    assert_eq!(server.granted("max", &people.max, "acme/db"), ["pull", "push"]);
    server.kill();
    server.go();
    assert_eq!(server.memberships(), before);
}
