//! The list of what was said and is not in effect: each kind with its reason and what to do, in pages, for those who may
//! read everything, and gone once it is mended.

use std::time::Duration;

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_eventlog::Held;
use rollcall_events::Clock as _;
use serde_json::{Value, json};

use super::world::{World, event};

async fn problems(world: &World, filter: &str) -> Vec<Value> {
    world.ok(&format!("/api/v1/problems{filter}")).await["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn where_all_that_was_said_is_in_effect_the_list_is_empty() {
    let world = World::licensing().await;
    assert_eq!(problems(&world, "").await, [] as [Value; 0]);
}

#[tokio::test]
async fn what_is_not_in_effect_is_listed_with_its_reason_and_what_to_do_until_it_is_mended() {
    let world = World::licensing().await;
    let line = json!({"line": "lost", "entitlement": "nobody-said", "product": "DB", "starts": null, "ends": null});
    world.facts(&[event("lost", "entitlement.line.upserted", 1, line)]).await;
    let told = problems(&world, "").await;
    assert_eq!(told.len(), 1, "{told:#?}");
    let one = &told[0];
    assert_eq!(
        (&one["kind"], &one["source"], &one["subject"], &one["position"]),
        (&json!("dangling_reference"), &json!("flexnet"), &json!("line/lost"), &json!(world.head()))
    );
    assert!(one["why"].as_str().unwrap().contains("entitlement nobody-said was never stated"), "{one}");
    assert!(!one["remedy"].as_str().unwrap().is_empty() && one["since"].is_string(), "{one}");
    let stated = json!({"entitlement": "nobody-said", "account": "globex", "state": "active"});
    world.facts(&[event("said", "entitlement.upserted", 1, stated)]).await;
    assert_eq!(problems(&world, "").await, [] as [Value; 0]);
}

#[tokio::test]
async fn news_that_lost_to_newer_ones_say_to_which_until_something_newer_is_said() {
    let world = World::licensing().await;
    let state = |state: &str| json!({"entitlement": "ENT-7", "account": "globex", "state": state});
    world.facts(&[event("new", "entitlement.upserted", 9, state("inactive"))]).await;
    let by = world.head();
    world.facts(&[event("late", "entitlement.upserted", 5, state("active"))]).await;
    let told = problems(&world, "?kind=superseded").await;
    assert_eq!(told.len(), 1, "{told:#?}");
    let why = told[0]["why"].as_str().unwrap();
    assert!(why.contains(&format!("event {by} has sequence 9, this one 5")), "{why}");
    assert!(told[0]["remedy"].as_str().unwrap().contains("a higher sequence"), "{told:?}");
    world.facts(&[event("newest", "entitlement.upserted", 10, state("active"))]).await;
    assert_eq!(problems(&world, "?kind=superseded").await, [] as [Value; 0]);
}

#[tokio::test]
async fn parts_of_deliveries_that_were_not_recorded_are_listed() {
    let world = World::licensing().await;
    let product = json!({"product": "X"});
    world.facts(&[event("same", "product.upserted", 1, product)]).await;
    let conflict = event("same", "product.upserted", 1, json!({"product": "Y"}));
    let bad = event("bad", "product.upserted", 1, json!({"product": 7}));
    for body in [conflict, bad] {
        world.hook("flexnet", &json!([body]).to_string()).await;
    }
    let told = problems(&world, "?source=flexnet").await;
    let kinds: Vec<&str> = told.iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["quarantined", "conflict"], "{told:#?}");
    for row in &told {
        assert!(row["remedy"].as_str().unwrap().contains("rollcall deliveries show dlv_"), "{row}");
    }
    assert_eq!(problems(&world, "?source=local").await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_source_of_which_too_much_cannot_be_read_is_told_so_before_it_is_acknowledged() {
    let world = World::licensing().await;
    for n in 0..20 {
        assert_eq!(world.hook("flexnet", &format!("nothing {n}")).await.status, 202);
    }
    assert_eq!(problems(&world, "?kind=quarantine_full").await, [] as [Value; 0]);
    let refused = world.hook("flexnet", "one more").await;
    assert_eq!(
        (refused.status.as_u16(), refused.body["type"].as_str()),
        (507, Some("urn:rollcall:problem:quarantine-full"))
    );
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("20 deliveries of this source") && detail.contains("rollcall deliveries list --failed"));
    assert!(refused.headers.contains_key("retry-after"));
    // What can be read is taken still.
    world.facts(&[event("p", "product.upserted", 1, json!({"product": "X"}))]).await;
    let told = problems(&world, "?kind=quarantine_full").await;
    assert_eq!((told.len(), told[0]["source"].as_str()), (1, Some("flexnet")), "{told:#?}");
    assert!(told[0]["why"].as_str().unwrap().starts_with("20 deliveries"), "{told:#?}");
}

#[tokio::test]
async fn many_problems_come_in_pages_and_none_is_missing_or_twice() {
    let world = World::licensing().await;
    let lines: Vec<Value> = (0..23)
        .map(|n| {
            let line =
                json!({"line": format!("l{n}"), "entitlement": "none", "product": "DB", "starts": null, "ends": null});
            event(&format!("l{n}"), "entitlement.line.upserted", 1, line)
        })
        .collect();
    for some in lines.chunks(10) {
        world.facts(some).await;
    }
    let all: Vec<Value> = problems(&world, "?limit=100").await;
    assert_eq!(all.len(), 23);
    let (mut paged, mut path) = (Vec::new(), "/api/v1/problems?limit=5".to_owned());
    loop {
        let page = world.ok(&path).await;
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/problems?limit=5&cursor={next}");
    }
    assert_eq!(paged, all);
}

#[tokio::test]
async fn the_list_is_for_those_who_may_read_everything() {
    let world = World::licensing().await;
    let anywhere = rollcall_events::body::Scope::Root;
    let auditor = world.service("auditor", "api:auditor", anywhere.clone()).await;
    assert_eq!(world.by(&auditor, "GET", "/api/v1/problems", None).await.status, StatusCode::OK);
    let sender = world.service("portal", "api:sender", anywhere).await;
    assert_eq!(world.by(&sender, "GET", "/api/v1/problems", None).await.problem(), "forbidden");
}

#[tokio::test]
async fn a_kind_that_there_is_not_is_refused_with_those_that_there_are() {
    let world = World::licensing().await;
    let refused = world.get("/api/v1/problems?kind=nonsense").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
    assert!(refused.text.contains("superseded"), "{}", refused.text);
}

#[tokio::test]
async fn a_reader_of_a_database_that_stays_is_named_with_what_to_do() {
    let world = World::licensing().await;
    let by = vec!["sqlite3 (process 4711)".to_owned()];
    *world.control.held.lock().unwrap() = Some(Held { lasting: Duration::from_secs(90), by });
    let told = problems(&world, "?kind=database_held").await;
    assert_eq!(told.len(), 1, "{told:#?}");
    let (why, remedy) = (told[0]["why"].as_str().unwrap(), told[0]["remedy"].as_str().unwrap());
    assert!(why.contains("sqlite3 (process 4711)") && why.contains("812 MB"), "{why}");
    assert!(remedy.contains("end that reader") && why.contains("has read ops.db"), "{told:?}");
    assert_eq!(told[0]["subject"], "ops.db");
    let since: DateTime<Utc> = told[0]["since"].as_str().unwrap().parse().unwrap();
    assert_eq!(world.clock.now() - since, TimeDelta::seconds(90));
    *world.control.held.lock().unwrap() = None;
    assert_eq!(problems(&world, "").await, [] as [Value; 0]);
}
