//! What a question costs: no more than the caller may see, no more than the caller's share, and nothing before the caller
//! may ask at all. Work is counted, never time.

use std::sync::atomic::Ordering;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use rollcall_events::body::SecretOwner;
use serde_json::{Value, json};

use super::world::{KEY, World, event};

/// As many customers of the same product, each with an account, a person and an entitlement of its own, and as many people
/// assigned to one entitlement that Ada is assigned to as well.
async fn crowd(world: &World, people: usize) {
    for n in 0..people {
        let id = |kind: &str| format!("{kind}{n}");
        let person = json!({"person": id("p"), "username": id("p"), "account": id("a"), "active": true});
        let bought = json!({"entitlement": id("e"), "account": id("a"), "state": "active"});
        let line = json!({"line": id("l"), "entitlement": id("e"), "product": "DB", "starts": null, "ends": null});
        world
            .facts(&[
                event(&id("a"), "account.upserted", 1, json!({"account": id("a"), "kind": "customer"})),
                event(&id("p"), "person.upserted", 1, person),
                event(&id("e"), "entitlement.upserted", 1, bought),
                event(&id("l"), "entitlement.line.upserted", 1, line),
                event(&id("x"), "entitlement.person.assigned", 1, json!({"entitlement": "ENT-7", "person": id("p")})),
            ])
            .await;
    }
    let ada = json!({"entitlement": "ENT-7", "person": "ada"});
    world.facts(&[event("xa", "entitlement.person.assigned", 1, ada)]).await;
}

async fn ada(world: &World) -> String {
    world.secret_of(SecretOwner::User("flexnet/ada".parse().unwrap())).await
}

/// How many events a question depends on.
async fn events_for(world: &World, key: &str, method: &str, path: &str, body: Option<Value>) -> usize {
    let before = world.control.looked_up.load(Ordering::Relaxed);
    let reply = world.by(key, method, path, body).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
    world.control.looked_up.load(Ordering::Relaxed) - before
}

#[tokio::test]
async fn what_a_caller_may_not_see_is_not_folded() {
    let (few, many) = (World::licensing().await, World::licensing().await);
    crowd(&few, 2).await;
    crowd(&many, 40).await;
    let (few_key, many_key) = (ada(&few).await, ada(&many).await);
    let question = |world: &World| json!({"user": "ada", "action": "pull", "project": "acme", "as_of": world.head().0.to_string()});
    let heads = (few.head(), many.head());
    for path in ["/api/v1/projects/acme/members?as_of=", "/api/v1/users/ada/access?as_of="] {
        let small = events_for(&few, &few_key, "GET", &format!("{path}{}", heads.0), None).await;
        let large = events_for(&many, &many_key, "GET", &format!("{path}{}", heads.1), None).await;
        assert_eq!(small, large, "{path}: what others bought costs Ada nothing");
        let report = format!("/api/v1/reports/who?project=acme&as_of={}", heads.1);
        let all = events_for(&many, KEY, "GET", &report, None).await;
        assert!(all > 3 * large, "{path}: {large}");
    }
    let small = events_for(&few, &few_key, "POST", "/api/v1/explain", Some(question(&few))).await;
    let large = events_for(&many, &many_key, "POST", "/api/v1/explain", Some(question(&many))).await;
    assert_eq!(small, large, "explain");
    // And the answer is the own row of the whole list.
    let path = format!("/api/v1/projects/acme/members?as_of={}", heads.1);
    let (own, all) = (many.by(&many_key, "GET", &path, None).await, many.ok(&path).await);
    let rows = all["items"].as_array().unwrap().iter().filter(|row| row["user"] == "ada").cloned().collect::<Vec<_>>();
    assert_eq!((own.body["items"].as_array().unwrap(), rows.len()), (&rows, 1));
}

#[tokio::test]
async fn who_may_not_ask_costs_nothing() {
    let world = World::licensing().await;
    let key = ada(&world).await;
    let head = world.head();
    let past = [
        ("GET", format!("/api/v1/reports/who?project=acme&as_of={head}"), None, 403),
        ("GET", format!("/api/v1/reports/diff?project=acme&from={head}"), None, 403),
        ("GET", format!("/api/v1/reports/diff?user=pat&from={head}"), None, 403),
        ("GET", format!("/api/v1/users/pat/access?as_of={head}"), None, 404),
        ("GET", format!("/api/v1/projects/nova/members?as_of={head}"), None, 404),
        (
            "POST",
            "/api/v1/explain".to_owned(),
            Some(json!({"user": "pat", "action": "pull", "project": "acme", "as_of": head.to_string()})),
            403,
        ),
    ];
    for (method, path, body, status) in past {
        let reply = world.by(&key, method, &path, body).await;
        assert_eq!(reply.status.as_u16(), status, "{path}: {}", reply.text);
    }
    assert_eq!(world.control.looked_up.load(Ordering::Relaxed), 0);
    let document = json!({"scope": [{"root": true, "binding": []}]});
    for path in ["/api/v1/bindings/plan", "/api/v1/bindings/apply"] {
        assert_eq!(world.by(&key, "POST", path, Some(document.clone())).await.problem(), "forbidden", "{path}");
    }
}

#[tokio::test]
async fn the_document_is_not_sent_again_to_who_has_it() {
    let world = World::empty().await;
    let ask = |tag: Option<&str>| {
        let request = Request::get("/api/v1/openapi.json");
        let request = match tag {
            Some(tag) => request.header("if-none-match", tag),
            None => request,
        };
        world.send(request.body(Body::empty()).unwrap())
    };
    let whole = ask(None).await;
    let tag = whole.header("etag").to_owned();
    assert_eq!((whole.status, whole.text.as_str()), (StatusCode::OK, crate::openapi_json().as_str()));
    for known in [tag.as_str(), "*", &format!("\"other\", W/{tag}")] {
        let again = ask(Some(known)).await;
        assert_eq!((again.status, again.text.as_str(), again.header("etag")), (StatusCode::NOT_MODIFIED, "", &*tag));
    }
    assert_eq!(ask(Some("\"other\"")).await.status, StatusCode::OK);
    assert_eq!(ask(Some("broken")).await.problem(), "invalid-query");
}

#[tokio::test]
async fn a_list_of_the_past_is_worked_out_once_for_all_its_pages() {
    let world = World::licensing().await;
    crowd(&world, 8).await;
    let whole = format!("/api/v1/projects/acme/members?as_of={}", world.head());
    let all = world.ok(&whole).await["items"].clone();
    // Somebody else's fact is no reason to begin anew.
    world.facts(&[event("other", "product.upserted", 1, json!({"product": "other"}))]).await;
    let before = world.control.looked_up.load(Ordering::Relaxed);
    let (mut rows, mut next) = (Vec::new(), String::new());
    loop {
        let page = world.ok(&format!("{whole}&limit=2{next}")).await;
        rows.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert!(rows.len() > 8 && json!(rows) == all, "{rows:?}");
    assert_eq!(world.control.looked_up.load(Ordering::Relaxed), before, "it was folded for a page");
}
