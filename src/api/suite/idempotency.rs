//! `Idempotency-Key`.

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use super::world::{KEY, Reply, World};

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
async fn a_stored_answer_is_good_for_a_day_and_a_refusal_is_stored_too() {
    let world = World::licensing().await;
    let refused = post(&world, "k", "/api/v1/users/bob/secrets", &json!({})).await;
    assert_eq!(refused.status, 404);
    let again = post(&world, "k", "/api/v1/users/bob/secrets", &json!({})).await;
    assert_eq!((again.status, &again.text), (refused.status, &refused.text));
    let first = post(&world, "day", SECRETS, &json!({})).await;
    world.clock.pass(chrono::Duration::hours(25));
    let later = post(&world, "day", SECRETS, &json!({})).await;
    assert_ne!(later.body["id"], first.body["id"]);
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
