//! `Idempotency-Key`.

use std::sync::atomic::Ordering;

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use super::world::{KEY, Reply, World};
use crate::http::{idempotency::QUESTIONS, permissions::PERMISSIONS};

async fn post(world: &World, key: &str, path: &str, body: &Value) -> Reply {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "application/json")
        .header("idempotency-key", key);
    world.send(request.body(Body::from(body.to_string())).unwrap()).await
}

const SECRETS: &str = "/api/v1/users/ada/secrets";

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_and_does_nothing() {
    let world = World::licensing().await;
    let first = post(&world, "k1", SECRETS, &json!({"label": "laptop"})).await;
    assert_eq!(first.status, 201, "{}", first.text);
    let head = world.head();
    let again = post(&world, "k1", SECRETS, &json!({"label": "laptop"})).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("rollcall-position"), first.header("rollcall-position"));
    assert_eq!(world.head(), head);
    let other = post(&world, "k2", SECRETS, &json!({"label": "laptop"})).await;
    assert_ne!(other.body["id"], first.body["id"]);
}

#[tokio::test]
async fn the_same_key_for_another_request_is_422() {
    let world = World::licensing().await;
    post(&world, "k", SECRETS, &json!({"label": "a"})).await;
    let head = world.head();
    for (path, label) in [(SECRETS, "b"), ("/api/v1/users/pat/secrets", "a")] {
        let reply = post(&world, "k", path, &json!({"label": label})).await;
        assert_eq!((reply.status.as_u16(), reply.problem()), (422, "idempotency-key-reused"));
    }
    assert_eq!(world.head(), head);
}

#[tokio::test]
async fn the_same_request_while_it_runs_is_409() {
    let world = World::licensing().await;
    let stopped = world.control.gate.clone().lock_owned().await;
    let head = world.head();
    let request =
        Request::post(SECRETS).header("authorization", format!("Bearer {KEY}")).header("idempotency-key", "k");
    let first = world.spawn(request.body(Body::empty()).unwrap());
    world.recorded(head.0 + 1).await;
    let request =
        Request::post(SECRETS).header("authorization", format!("Bearer {KEY}")).header("idempotency-key", "k");
    let second = world.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((second.status.as_u16(), second.problem()), (409, "request-running"));
    drop(stopped);
    assert_eq!(first.await.unwrap().status(), 201);
}

#[tokio::test]
async fn a_stored_answer_is_kept_and_what_recorded_nothing_is_asked_anew() {
    let world = World::licensing().await;
    let refused = post(&world, "k", "/api/v1/users/bob/secrets", &json!({})).await;
    assert_eq!(refused.status, 404);
    let again = post(&world, "k", "/api/v1/users/bob/secrets", &json!({})).await;
    assert_eq!((again.status, &again.text), (refused.status, &refused.text));
    assert_eq!(post(&world, "k", SECRETS, &json!({})).await.status, 201, "a refusal took no key");
    let first = post(&world, "day", SECRETS, &json!({})).await;
    world.clock.pass(chrono::Duration::hours(23));
    assert_eq!(post(&world, "day", SECRETS, &json!({})).await.text, first.text);
}

/// The commands that a POST can give, each by a request that does something, and one that says something else under the
/// same key.
async fn every_command(world: &World) -> Vec<(&'static str, Value, Value)> {
    let own = json!({"principal": {"user": "ada"}, "role": "project_admin", "scope": {"project": "own"}});
    assert_eq!(world.post("/api/v1/projects", json!({"name": "own"})).await.status, 201);
    assert_eq!(world.post("/api/v1/services", json!({"id": "ci"})).await.status, 201);
    let document = json!({"scope": [{"project": "own", "binding": [
        {"user": "ada", "role": "project_admin"}, {"user": "pat", "role": "guest"}
    ]}]});
    let pair = json!({"persons": ["flexnet/ada", "flexnet/pat"]});
    let link = world.post("/api/v1/links/plan", pair.clone()).await.body["plan"].clone();
    let configuration = world.ok("/api/v1/configuration/plan").await["plan"].clone();
    let source = |change: &str| format!("/api/v1/sources/flexnet/{change}/plan");
    let retire = world.ok(&source("retire")).await["plan"].clone();
    let suspend = world.ok(&source("suspend")).await["plan"].clone();
    vec![
        ("/api/v1/bindings", own, json!({"principal": {"user": "pat"}, "role": "guest", "scope": {"project": "own"}})),
        ("/api/v1/bindings/apply", document, json!({"scope": []})),
        ("/api/v1/projects", json!({"name": "one"}), json!({"name": "two"})),
        ("/api/v1/groups", json!({"id": "one", "name": "One"}), json!({"id": "two", "name": "Two"})),
        ("/api/v1/services", json!({"id": "one"}), json!({"id": "two"})),
        ("/api/v1/services/ci/secrets", json!({"label": "one"}), json!({"label": "two"})),
        (SECRETS, json!({"label": "one"}), json!({"label": "two"})),
        ("/api/v1/users/ada/invitations", json!({}), json!({"x": 1})),
        ("/api/v1/users/ada/credentials-reset", json!({}), json!({"x": 1})),
        ("/api/v1/links", json!({"persons": pair["persons"], "confirm": link}), json!({"persons": pair["persons"]})),
        ("/api/v1/configuration/apply", json!({"confirm": configuration}), json!({"confirm": "cfg_0"})),
        ("/api/v1/sources/flexnet/suspend", json!({"confirm": suspend}), json!({})),
        ("/api/v1/sources/flexnet/resume", json!({}), json!({"confirm": "src_0"})),
        (
            "/api/v1/sources/flexnet/retire",
            json!({"source": "flexnet", "confirm": retire}),
            json!({"source": "flexnet"}),
        ),
    ]
}

/// What is posted and gives no command: an order to the process, or deliveries whose events have ids of their own.
const NO_COMMANDS: [&str; 14] = [
    "/access/v1/evaluation",
    "/access/v1/evaluations",
    "/api/v1/deliveries/replay",
    "/api/v1/deliveries/{id}/dismiss",
    "/api/v1/deliveries/{id}/replay",
    "/api/v1/keys/authorities",
    "/api/v1/keys/rotate",
    "/api/v1/log/verify",
    "/api/v1/plans/{id}/apply",
    "/api/v1/plans/{id}/discard",
    "/api/v1/projections/{name}/check",
    "/api/v1/projections/{name}/rebuild",
    "/api/v1/reload",
    "/api/v1/sources/{name}/plan",
];

/// The log itself says that it was given, for as long as it is there: no answer need be left, of a day ago or of a request
/// that was cut off.
#[tokio::test]
async fn a_command_that_stands_in_the_log_is_given_once_whatever_became_of_its_answer() {
    let world = World::under("harbor").await;
    let mut held = Vec::new();
    for (path, body, other) in every_command(&world).await {
        held.push(path);
        // What was looked at may be another plan by now.
        let mut body = body;
        if body["confirm"].is_string() {
            let plan = match path.rsplit_once('/').unwrap() {
                ("/api/v1", "links") => {
                    world.post("/api/v1/links/plan", json!({"persons": body["persons"]})).await.body["plan"].clone()
                }
                ("/api/v1/configuration", _) => world.ok("/api/v1/configuration/plan").await["plan"].clone(),
                _ => world.ok(&format!("{path}/plan")).await["plan"].clone(),
            };
            body["confirm"] = plan;
        }
        let first = post(&world, path, path, &body).await;
        assert!(first.status.is_success(), "{path} {}", first.text);
        let head = world.head();
        world.clock.pass(chrono::Duration::hours(25));
        let again = post(&world, path, path, &body).await;
        if first.body["secret"].is_string() || first.body["code"].is_string() {
            assert_eq!((again.status.as_u16(), again.problem()), (409, "shown-once"), "{path} {}", again.text);
            assert!(again.body["id"] == first.body["id"] && again.body["position"] == first.body["position"]);
        } else {
            let mut told = first.body.clone();
            if told.get("plan").is_some() {
                told["plan"] = Value::Null;
            }
            assert_eq!((again.status, &again.body), (first.status, &told), "{path}");
            assert_eq!(again.header("rollcall-position"), first.header("rollcall-position"), "{path}");
        }
        world.clock.pass(chrono::Duration::hours(25));
        let reused = post(&world, path, path, &other).await;
        assert_eq!((reused.status.as_u16(), reused.problem()), (422, "idempotency-key-reused"), "{path}");
        assert_eq!(world.head(), head, "{path}");
    }
    let routes = PERMISSIONS.iter().filter(|route| route.method == "POST" && route.demands.is_some());
    for route in routes.filter(|route| !QUESTIONS.contains(&route.demands.unwrap().action)) {
        let fits = |path: &&&str| {
            let (a, b): (Vec<_>, Vec<_>) = (route.path.split('/').collect(), path.split('/').collect());
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.starts_with('{') || a == b)
        };
        let known = NO_COMMANDS.contains(&route.path) || held.iter().find(fits).is_some();
        assert!(known || route.path.ends_with("/plan"), "{} is in no list here", route.path);
    }
}

/// A 5xx after a command was recorded: the same request again is told what became of it, and gives nothing twice.
#[tokio::test]
async fn a_command_whose_effect_was_not_known_in_time_is_not_given_again() {
    let world = World::licensing().await;
    world.control.forgets.store(true, Ordering::Relaxed);
    let first = post(&world, "k", "/api/v1/services", &json!({"id": "ci"})).await;
    assert_eq!((first.status.as_u16(), first.problem()), (503, "unavailable"), "{}", first.text);
    let head = world.head();
    assert_eq!(post(&world, "k", "/api/v1/services", &json!({"id": "ci"})).await.status, 503);
    world.control.forgets.store(false, Ordering::Relaxed);
    let again = post(&world, "k", "/api/v1/services", &json!({"id": "ci"})).await;
    assert_eq!((again.status.as_u16(), &again.body["id"]), (201, &json!("ci")), "{}", again.text);
    assert_eq!((&again.body["position"], world.head()), (&first.body["position"], head));
}

#[tokio::test]
async fn what_the_log_keeps_of_a_request_is_told_to_nobody_who_may_not_ask_any_more() {
    use rollcall_events::body::Scope;
    let world = World::under("harbor").await;
    let portal = world.service("portal", "api:sender", Scope::Root).await;
    assert_eq!(post_as(&world, &portal, "k", SECRETS, &json!({})).await.status, 201);
    let bindings = world.ok("/api/v1/bindings").await;
    for row in bindings["items"].as_array().unwrap().iter().filter(|row| row["role"] == "api:sender") {
        assert_eq!(world.delete(&format!("/api/v1/bindings/{}", row["id"].as_str().unwrap())).await.status, 200);
    }
    world.clock.pass(chrono::Duration::hours(25));
    let head = world.head();
    let reply = post_as(&world, &portal, "k", SECRETS, &json!({})).await;
    assert!(matches!(reply.status.as_u16(), 403 | 404), "{}", reply.text);
    assert_eq!(world.head(), head);
}

#[tokio::test]
async fn what_is_shown_once_cannot_be_read_out_of_the_store() {
    let world = World::licensing().await;
    let reply = post(&world, "k", SECRETS, &json!({})).await;
    let secret = reply.body["secret"].as_str().unwrap().to_owned();
    world.ops.close().await;
    let mut looked_at = 0;
    for file in std::fs::read_dir(&world.dir).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        looked_at += bytes.len();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    assert!(looked_at > 1_000);
}

#[tokio::test]
async fn a_key_that_is_no_key_is_refused_and_a_stranger_stores_nothing() {
    let world = World::licensing().await;
    for key in ["", "a b", &"k".repeat(129)] {
        let reply = post(&world, key, SECRETS, &json!({})).await;
        assert_eq!((reply.status.as_u16(), reply.problem()), (400, "invalid-query"), "{key}");
    }
    let request = Request::post(SECRETS).header("authorization", "Bearer other").header("idempotency-key", "k");
    assert_eq!(world.send(request.body(Body::empty()).unwrap()).await.status, 401);
    assert_eq!(post(&world, "k", SECRETS, &json!({})).await.status, 201, "the key was not taken by the stranger");
}

#[tokio::test]
async fn a_whole_document_may_be_sent_once_too() {
    let world = World::under("harbor").await;
    let rows: Vec<Value> =
        (0..1_500).map(|n| json!({"group": format!("local/g{n}"), "role": "system_admin"})).collect();
    let document = json!({"scope": [{"root": true, "binding": rows}]});
    assert!(document.to_string().len() > 64 * 1024);
    let told = post(&world, "k", "/api/v1/bindings/apply", &document).await;
    assert_eq!(told.problem(), "unknown-group", "it was read: {}", told.text);
    let told = post(&world, "k2", SECRETS, &document).await;
    assert_eq!(told.problem(), "too-large", "what is small elsewhere stays small: {}", told.text);
}

async fn post_as(world: &World, secret: &str, key: &str, path: &str, body: &Value) -> Reply {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {secret}"))
        .header("content-type", "application/json")
        .header("idempotency-key", key);
    world.send(request.body(Body::from(body.to_string())).unwrap()).await
}

/// The answer that was given is no right to it: whoever lost the right since is refused as anybody else.
#[tokio::test]
async fn a_stored_answer_is_not_given_to_a_caller_who_may_not_ask_any_more() {
    use rollcall_events::body::Scope;
    let world = World::under("harbor").await;
    let portal = world.service("portal", "api:sender", Scope::Root).await;
    let first = post_as(&world, &portal, "k", SECRETS, &json!({})).await;
    assert_eq!(post_as(&world, &portal, "k", SECRETS, &json!({})).await.text, first.text);
    // Of what the route names, and of what only the body names.
    let ada = world.secret("ada").await;
    assert_eq!(post(&world, "p", "/api/v1/projects", &json!({"name": "one"})).await.status, 201);
    let project_admin = json!({"principal": {"user": "ada"}, "role": "project_admin", "scope": {"project": "one"}});
    let given = post(&world, "b", "/api/v1/bindings", &project_admin).await;
    assert_eq!(given.status, 200, "{}", given.text);
    let guest = json!({"principal": {"user": "ada"}, "role": "guest", "scope": {"project": "one"}});
    let second = post_as(&world, &ada, "k", "/api/v1/bindings", &guest).await;
    assert_eq!(second.status, 200, "{}", second.text);
    assert_eq!(post_as(&world, &ada, "k", "/api/v1/bindings", &guest).await.text, second.text);
    let bindings = world.ok("/api/v1/bindings").await;
    let senders = bindings["items"].as_array().unwrap().iter().filter(|row| row["role"] == "api:sender");
    for row in senders {
        assert_eq!(world.delete(&format!("/api/v1/bindings/{}", row["id"].as_str().unwrap())).await.status, 200);
    }
    let other = json!({"principal": {"user": "pat"}, "role": "project_admin", "scope": {"project": "one"}});
    assert_eq!(post(&world, "o", "/api/v1/bindings", &other).await.status, 200);
    let mine = format!("/api/v1/bindings/{}", given.body["id"].as_str().unwrap());
    assert_eq!(world.delete(&mine).await.status, 200);
    let head = world.head();
    for (secret, path, body) in [(&portal, SECRETS, &json!({})), (&ada, "/api/v1/bindings", &guest)] {
        let reply = post_as(&world, secret, "k", path, body).await;
        assert!(matches!(reply.status.as_u16(), 403 | 404), "{}", reply.text);
    }
    assert_eq!(world.head(), head);
}

/// Who calls is told apart by name and secret, and neither is in the row.
#[tokio::test]
async fn the_same_key_of_two_callers_is_two_keys() {
    let world = World::licensing().await;
    let (one, two) = (world.secret("ada").await, world.secret("ada").await);
    let first = post_as(&world, &one, "k", SECRETS, &json!({})).await;
    let second = post_as(&world, &two, "k", SECRETS, &json!({})).await;
    assert!(first.status == 201 && second.status == 201);
    assert_ne!(first.body["id"], second.body["id"]);
}
