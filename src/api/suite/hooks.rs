//! The hook route: limits before anything is read, the answers of a sender, the effects.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{body::Body, http::Request};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;

use super::world::{MAX_BODY, World, ended, event, licensing_facts};

fn signed(path: &str) -> axum::http::request::Builder {
    Request::post(path).header("x-signature", "good")
}

#[tokio::test]
async fn a_delivery_is_answered_with_what_became_of_each_event() {
    let world = World::licensing().await;
    let body = json!([
        ended(2),
        ended(2),
        event("1", "product.upserted", 9, json!({"product": "X"})),
        event("new", "persn.upserted", 1, json!({}))
    ]);
    let reply = world.send(signed("/hooks/flexnet").body(Body::from(body.to_string())).unwrap()).await;
    assert_eq!(reply.status, 202);
    assert!(reply.body["delivery"].as_str().unwrap().starts_with("dlv_"));
    let outcomes: Vec<_> =
        reply.body["events"].as_array().unwrap().iter().map(|e| e["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["recorded", "duplicate", "conflict"]);
    assert_eq!(reply.body["events"][0]["position"], 12);
    assert_eq!(reply.body["quarantined"], 1);
    assert!(reply.body["events"][0].get("effect").is_none(), "without wait the answer does not wait");
}

#[tokio::test]
async fn with_wait_the_answer_has_the_effects() {
    let world = World::licensing().await;
    let reply = world
        .hook(
            "flexnet",
            &json!([ended(3), ended(2), event("1", "product.upserted", 9, json!({"product": "X"}))]).to_string(),
        )
        .await;
    let effects: Vec<_> = reply.body["events"].as_array().unwrap().iter().map(|e| &e["effect"]).collect();
    assert_eq!(effects[0], "applied");
    assert_eq!(effects[1], "superseded");
    assert!(effects[2].is_null(), "a conflict recorded nothing, so it has no effect");
    assert_eq!(reply.header("rollcall-position"), "13");
    let taken = json!({"package": "other", "project_name": "acme", "producer": "vendor", "container_delivery": true});
    let reply = world.hook("flexnet", &json!([event("p2", "package.upserted", 1, taken)]).to_string()).await;
    assert_eq!(reply.body["events"][0]["effect"], "parked");
    assert!(reply.body["events"][0]["reason"].as_str().unwrap().contains("acme"), "{}", reply.text);
}

#[tokio::test]
async fn a_wait_that_runs_out_gives_the_plain_answer() {
    let world = World::licensing().await;
    let stopped = world.control.gate.clone().lock_owned().await;
    let request = signed("/hooks/flexnet?wait=1ms").body(Body::from(json!([ended(2)]).to_string())).unwrap();
    let reply = world.send(request).await;
    assert_eq!(reply.status, 202, "durable is durable");
    assert!(reply.body["events"][0].get("effect").is_none());
    drop(stopped);
}

#[tokio::test]
async fn a_wrong_signature_is_401_and_kept_as_rejected() {
    let world = World::licensing().await;
    let before = world.head();
    for signature in [None, Some(""), Some("GOOD"), Some("bad")] {
        let mut request = Request::post("/hooks/flexnet");
        if let Some(signature) = signature {
            request = request.header("x-signature", signature);
        }
        let reply = world.send(request.body(Body::from(json!([ended(2)]).to_string())).unwrap()).await;
        assert_eq!((reply.status.as_u16(), reply.problem()), (401, "bad-signature"), "{signature:?}");
        assert!(reply.body["detail"].as_str().unwrap().contains("signature-mismatch"));
    }
    assert_eq!(world.head(), before);
}

#[tokio::test]
async fn an_unknown_source_is_404_before_its_body_is_read() {
    let world = World::empty().await;
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let reply = world.send(signed("/hooks/nobody").body(never).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.problem()), (404, "unknown-source"));
    for name in ["FLEXNET", "local", "..", "%2e%2e", "%00"] {
        let reply = world.send(signed(&format!("/hooks/{name}")).body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, 404, "{name}");
    }
}

/// CVE-2026-42294: the size is judged before the signature, and no more than the limit is ever held.
#[tokio::test]
async fn a14_a_body_without_end_is_cut_before_its_signature_is_looked_at() {
    let world = World::empty().await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let endless = stream::repeat_with(move || {
        counter.fetch_add(1_000, Ordering::Relaxed);
        Ok::<_, std::io::Error>(Bytes::from(vec![b'['; 1_000]))
    });
    let reply = world.send(Request::post("/hooks/flexnet").body(Body::from_stream(endless)).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.problem()), (413, "too-large"));
    assert_eq!(sent.load(Ordering::Relaxed), MAX_BODY + 1_000);

    let stated = Request::post("/hooks/flexnet").header("content-length", "10000000000");
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    assert_eq!(world.send(stated.body(never).unwrap()).await.status, 413);
}

#[tokio::test]
async fn what_is_authentic_is_202_whatever_it_says() {
    let world = World::licensing().await;
    let before = world.head();
    for body in
        ["", "{", "null", "[1]", "[{\"id\":\"a\"}]", r#"[{"id":"b","type":"rollcall.binding.set.v1","data":{}}]"#]
    {
        let reply = world.hook("flexnet", body).await;
        assert_eq!(reply.status, 202, "{body}");
        assert_eq!(reply.body["quarantined"], 1, "{body}: {}", reply.text);
    }
    assert_eq!(world.head(), before);
}

#[tokio::test]
async fn an_overloaded_source_is_told_to_come_again() {
    let world = World::licensing().await;
    world.ops.close().await;
    let reply = world.hook("flexnet", &json!([ended(2)]).to_string()).await;
    assert!(reply.status == 503 || reply.status == 429, "{}", reply.text);
    assert!(!reply.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_delivery_sent_again_changes_nothing() {
    let world = World::licensing().await;
    let before = world.ok("/api/v1/projects/acme/members").await;
    let reply = world.facts(&licensing_facts()).await;
    assert!(reply.body["events"].as_array().unwrap().iter().all(|e| e["outcome"] == "duplicate"));
    assert_eq!(world.ok("/api/v1/projects/acme/members").await, before);
}
