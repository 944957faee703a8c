//! Reads: freshness, entity tags, pages, and each resource over the small licensing world.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use chrono::Duration;
use rollcall_events::Position;
use rollcall_store::ops::{DecisionKind, DecisionOutcome, DecisionRow};
use serde_json::{Value, json};

use super::world::{KEY, LOG, Reply, World, at, ended, event};

const LISTS: &[&str] = &[
    "/api/v1/events",
    "/api/v1/deliveries",
    "/api/v1/sources",
    "/api/v1/plans",
    "/api/v1/projects",
    "/api/v1/projects/acme/members",
    "/api/v1/people",
    "/api/v1/users",
    "/api/v1/users/ada/access",
    "/api/v1/users/ada/secrets",
    "/api/v1/bindings",
    "/api/v1/decisions",
    "/api/v1/projections",
    "/api/v1/keys",
];

async fn if_none_match(world: &World, path: &str, tag: &str) -> Reply {
    let request = Request::get(path).header("authorization", format!("Bearer {KEY}")).header("if-none-match", tag);
    world.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn every_read_says_how_much_of_which_log_it_holds_and_how_late_it_is() {
    let world = World::licensing().await;
    let mut paths = LISTS.to_vec();
    paths.extend([
        "/api/v1/log/head",
        "/api/v1/log/key",
        "/api/v1/keys/bundle",
        "/api/v1/events/1",
        "/api/v1/users/ada",
    ]);
    for path in paths {
        let reply = world.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        assert_eq!(reply.header("rollcall-position"), world.head().to_string(), "{path}");
        assert_eq!(reply.header("rollcall-log"), LOG.to_string(), "{path}");
        assert_eq!(reply.header("rollcall-lag-seconds"), "1.500", "{path}");
    }
}

/// As a token is refused: what one interface does not answer no other does.
#[tokio::test]
async fn nothing_is_decided_by_a_clock_that_went_back_and_everything_else_says_so() {
    let world = World::licensing().await;
    let evaluation = json!({
        "subject": {"type": "user", "id": "ada"}, "action": {"name": "image.pull"},
        "resource": {"type": "project", "id": "acme"},
    });
    let evaluations = json!({"evaluations": [evaluation]});
    let why = json!({"user": "ada", "action": "image.pull", "project": "acme"});
    let asked =
        [("/access/v1/evaluation", &evaluation), ("/access/v1/evaluations", &evaluations), ("/api/v1/explain", &why)];
    for (path, question) in asked {
        assert_eq!(world.post(path, question.clone()).await.status, 200, "{path}");
    }
    world.control.behind.store(3600, std::sync::atomic::Ordering::Relaxed);
    for (path, question) in asked {
        let reply = world.post(path, question.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.problem()), (503, "unavailable"), "{path}: {}", reply.text);
        assert_eq!(reply.header("retry-after"), "1");
        assert!(reply.text.contains("the clock is 3600 s behind"), "{}", reply.text);
    }
    for path in LISTS.iter().chain(&["/api/v1/users/ada", "/api/v1/users/ada/access"]) {
        let reply = world.get(path).await;
        assert_eq!(reply.status, 200, "{path}: an operator has to be able to look");
        assert!(reply.header("rollcall-stale").starts_with("the clock is 3600 s behind"), "{path}");
    }
    world.control.behind.store(0, std::sync::atomic::Ordering::Relaxed);
    let fresh = world.get("/api/v1/users/ada").await;
    assert!(fresh.headers.get("rollcall-stale").is_none());
}

#[tokio::test]
async fn a_read_waits_for_the_position_that_it_must_hold() {
    let world = World::licensing().await;
    let stopped = world.control.gate.clone().lock_owned().await;
    let sent = Request::post("/hooks/flexnet").header("x-signature", "good");
    let sent = world.send(sent.body(Body::from(json!([ended(2)]).to_string())).unwrap()).await;
    let position = &sent.body["events"][0]["position"];
    for path in LISTS {
        let reply = world.get(&format!("{path}?min_position={position}&wait=1ms")).await;
        assert_eq!((reply.status.as_u16(), reply.problem()), (503, "behind"), "{path}: never older data");
        assert_eq!(reply.header("retry-after"), "1");
        assert_eq!(reply.body["position"], position.as_u64().unwrap() - 1);
    }
    let path = format!("/api/v1/projects/acme/members?min_position={LOG}:{position}&wait=20s");
    let (reply, ()) = tokio::join!(world.get(&path), async { drop(stopped) });
    assert_eq!(reply.status, 200);
    let users: Vec<_> = reply.body["items"].as_array().unwrap().iter().map(|m| &m["user"]).collect();
    assert_eq!(users, ["pat"], "the entitlement's end is in the answer");
}

#[tokio::test]
async fn a_position_of_another_log_is_409() {
    let world = World::licensing().await;
    let reply = world.get("/api/v1/users?min_position=0202020202020202:1").await;
    assert_eq!((reply.status.as_u16(), reply.problem()), (409, "other-log"));
}

#[tokio::test]
async fn what_rests_on_the_log_alone_is_tagged_with_its_position() {
    let world = World::licensing().await;
    for path in ["/api/v1/groups", "/api/v1/users/ada"] {
        let tag = world.get(path).await.header("etag").to_owned();
        assert_eq!(tag, format!("\"pos-{}\"", world.head()), "{path}");
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let reply = if_none_match(&world, path, &known).await;
            assert_eq!((reply.status, reply.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path} {known}");
            assert_eq!(reply.header("etag"), tag);
            assert!(!reply.header("rollcall-position").is_empty());
        }
    }
    let tag = world.get("/api/v1/users").await.header("etag").to_owned();
    world.facts(&[ended(2)]).await;
    assert_eq!(if_none_match(&world, "/api/v1/users", &tag).await.status, 200);
}

#[tokio::test]
async fn a_window_that_ends_without_an_event_changes_the_tag() {
    let world = World::licensing().await;
    let path = "/api/v1/projects/acme/members";
    let tag = world.get(path).await.header("etag").to_owned();
    assert_eq!(if_none_match(&world, path, &tag).await.status, StatusCode::NOT_MODIFIED);
    world.clock.pass(Duration::hours(48));
    let reply = if_none_match(&world, path, &tag).await;
    assert_eq!(reply.status, 200, "the line has ended, the position is the same");
    assert_eq!(reply.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn pages_of_one_row_are_the_whole_list() {
    let world = World::licensing().await;
    let person =
        |id: &str, n| event(id, "person.upserted", n, json!({"person": id, "account": "globex", "active": true}));
    world.facts(&[person("zoe", 1), person("bob", 1), person("a/b", 1)]).await;
    let package =
        json!({"package": "other", "project_name": "another", "producer": "vendor", "container_delivery": true});
    world.facts(&[event("p2", "package.upserted", 1, package)]).await;
    for path in LISTS {
        let whole = world.ok(path).await;
        if whole.get("next").is_none() {
            continue;
        }
        assert_eq!(whole["next"], Value::Null, "{path}");
        let mut rows: Vec<Value> = Vec::new();
        let mut next = format!("{path}?limit=1");
        let mut pages = 0;
        loop {
            let page = world.get(&next).await;
            assert_eq!(page.status, 200, "{next}: {}", page.text);
            rows.extend(page.body["items"].as_array().unwrap().clone());
            pages += 1;
            let link = page.header("link");
            assert_eq!(link.is_empty(), page.body["next"].is_null(), "{path}");
            let Some(target) = link.strip_prefix('<').and_then(|l| l.strip_suffix(">; rel=\"next\"")) else { break };
            assert!(target.ends_with(page.body["next"].as_str().unwrap()));
            next = target.to_owned();
        }
        assert_eq!(&json!(rows), &whole["items"], "{path}");
        assert!(pages >= rows.len().max(1), "{path}");
    }
}

#[tokio::test]
async fn a_cursor_of_one_list_opens_no_other() {
    let world = World::licensing().await;
    let cursor = world.ok("/api/v1/users?limit=1").await["next"].as_str().unwrap().to_owned();
    for path in ["/api/v1/people", "/api/v1/projects/acme/members", "/api/v1/events"] {
        let reply = world.get(&format!("{path}?cursor={cursor}")).await;
        assert_eq!((reply.status.as_u16(), reply.problem()), (400, "invalid-cursor"), "{path}");
    }
    let events = world.ok("/api/v1/events?limit=1&source=flexnet").await;
    let reply = world.get(&format!("/api/v1/events?source=local&cursor={}", events["next"].as_str().unwrap())).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn events_are_found_by_source_type_subject_and_delivery() {
    let world = World::licensing().await;
    let reply = world.facts(&[ended(3), ended(2)]).await;
    let count =
        async |query: &str| world.ok(&format!("/api/v1/events?{query}")).await["items"].as_array().unwrap().len();
    assert_eq!(count("source=local").await, 1);
    assert_eq!(count("type=rollcall.entitlement.*").await, 4);
    assert_eq!(count("subject=entitlement/ENT-7").await, 3);
    assert_eq!(count("subject=person/*").await, 2);
    assert_eq!(count(&format!("correlation={}", reply.body["delivery"].as_str().unwrap())).await, 2);
    assert_eq!(count("after=12").await, 1);
    assert_eq!(world.get("/api/v1/events?source=nobody").await.problem(), "invalid-query", "no empty list");
    let last = world.ok("/api/v1/events/13").await;
    assert_eq!((&last["effect"], &last["sequence"]), (&json!("superseded"), &json!(2)));
    assert_eq!(last["data"], ended(2)["data"]);
    assert!(!world.ok("/api/v1/events").await.to_string().contains("example.test"), "personal data is not in the log");
    for nothing in ["0", "99", "-1", "x", "18446744073709551616"] {
        assert_eq!(world.get(&format!("/api/v1/events/{nothing}")).await.problem(), "unknown-event", "{nothing}");
    }
}

#[tokio::test]
async fn members_and_access_give_every_reason_with_its_events() {
    let world = World::licensing().await;
    let members = world.ok("/api/v1/projects/acme/members").await;
    let rows = members["items"].as_array().unwrap();
    assert_eq!(
        (&rows[0]["user"], &rows[0]["role"], &rows[0]["user_id"]),
        (&json!("ada"), &json!("Guest"), &json!("flexnet/ada"))
    );
    let reason = &rows[0]["reasons"][0];
    assert_eq!(
        (&reason["rule"], &reason["name"], &reason["until"]),
        (&json!("customer"), &json!("ENT-7/1"), &json!(at(48)))
    );
    let line = &reason["facts"][0];
    assert_eq!((&line["subject"], &line["source"]), (&json!("line/ENT-7/1"), &json!("flexnet")));
    let event = world.ok(&format!("/api/v1/events/{}", line["position"])).await;
    assert_eq!(event["subject"], "line/ENT-7/1");
    assert_eq!((&rows[1]["user"], &rows[1]["role"]), (&json!("pat"), &json!("Developer")));
    let access = world.ok("/api/v1/users/ada/access").await;
    assert_eq!(access["items"][0]["project"], "acme");
    assert_eq!(access["items"][0]["reasons"], rows[0]["reasons"]);
}

#[tokio::test]
async fn a_user_is_found_by_name_in_any_spelling_and_by_id() {
    let world = World::licensing().await;
    let ada = world.ok("/api/v1/users/ada").await;
    assert_eq!(ada["persons"][0]["person"], "ada");
    for name in ["ADA", "flexnet%2Fada"] {
        assert_eq!(world.ok(&format!("/api/v1/users/{name}")).await, ada, "{name}");
    }
    world.facts(&[ended(2)]).await;
    assert_eq!(world.ok("/api/v1/users/ada").await["shut_out"], false, "the user stays when the membership ends");
    assert_eq!(world.ok("/api/v1/users/ada/access").await["items"], json!([]));
}

#[tokio::test]
async fn a_project_is_found_by_its_earlier_name() {
    let world = World::licensing().await;
    let renamed =
        json!({"package": "db-suite", "project_name": "acme-db", "producer": "vendor", "container_delivery": true});
    world.facts(&[event("r", "package.upserted", 2, renamed)]).await;
    let project = world.ok("/api/v1/projects/acme").await;
    assert_eq!((&project["name"], &project["aliases"]), (&json!("acme-db"), &json!(["acme"])));
    assert_eq!(world.get("/api/v1/projects/none").await.problem(), "unknown-project");
}

#[tokio::test]
async fn explain_gives_the_reasons_of_a_yes_and_the_near_misses_of_a_no() {
    let world = World::licensing().await;
    let ask = async |user: Value, action: &str| {
        let question = json!({"user": user, "action": action, "project": "acme", "repository": "db"});
        let reply = world.post("/api/v1/explain", question).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.body
    };
    let yes = ask(json!("ada"), "pull").await;
    assert_eq!((&yes["allowed"], &yes["until"]), (&json!(true), &json!(at(48))));
    assert_eq!(yes["reasons"][0]["name"], "ENT-7/1");
    assert_eq!(ask(json!("ada"), "push").await["allowed"], false);
    assert_eq!(ask(json!("pat"), "push").await["allowed"], true);
    assert_eq!(ask(json!("pat"), "delete").await["allowed"], false, "a verb without an action is never granted");
    assert_eq!(ask(json!(null), "pull").await["allowed"], false);
    assert_eq!(ask(json!("ada"), "helm pull").await["allowed"], true);
    let position = world.facts(&[ended(2)]).await.body["events"][0]["position"].clone();
    let no = ask(json!("ada"), "pull").await;
    assert_eq!((&no["allowed"], &no["position"]), (&json!(false), &position));
    let obstacle = &no["near_misses"][0]["obstacles"][0];
    assert_eq!((&obstacle["standing"], &obstacle["cause"]["position"]), (&json!("ended"), &position));
    assert!(!no["would_allow"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn deliveries_show_each_part_with_outcome_and_effect() {
    let world = World::licensing().await;
    let body = json!([
        ended(3),
        ended(2),
        event("q", "persn.upserted", 1, json!({})),
        event("1", "product.upserted", 9, json!({"product": "X"}))
    ]);
    let sent = world.hook("flexnet", &body.to_string()).await;
    let shown = world.ok(&format!("/api/v1/deliveries/{}", sent.body["delivery"].as_str().unwrap())).await;
    let parts: Vec<_> = shown["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["outcome"].as_str().unwrap(), p["effect"].as_str()))
        .collect();
    let expected =
        [("recorded", Some("applied")), ("recorded", Some("superseded")), ("quarantined", None), ("conflict", None)];
    assert_eq!(parts, expected);
    assert_eq!(shown["parts"][2]["problem"]["type"], "unknown-type");
    assert_eq!(shown["body"]["text"], body.to_string());
    assert_eq!(shown["headers"], json!([["x-signature", "good"]]));
    let failed = world.ok("/api/v1/deliveries?verdict=failed&source=flexnet").await;
    assert_eq!(failed["items"].as_array().unwrap().len(), 1);
    assert_eq!(failed["items"][0]["id"], sent.body["delivery"]);
    assert_eq!(world.ok("/api/v1/deliveries?verdict=recorded").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/api/v1/deliveries?source=nobody").await.problem(), "invalid-query");
    for id in ["x", "dlv_00000000000000000000000000000000"] {
        assert_eq!(world.get(&format!("/api/v1/deliveries/{id}")).await.problem(), "unknown-delivery");
    }
}

#[tokio::test]
async fn a_decision_is_found_by_its_id_and_explained_as_of_now() {
    let world = World::licensing().await;
    let row = |id: &str| DecisionRow {
        id: id.to_owned(),
        at: at(0),
        outcome: DecisionOutcome::Denied,
        user_id: Some("flexnet/ada".to_owned()),
        user_name: Some("ada".to_owned()),
        client: "192.0.2.1".to_owned(),
        family: "docker".to_owned(),
        asked: "repository:acme/db:pull,push repository:gone/x:pull root::image.pull folder:gone:image.pull".to_owned(),
        granted: String::new(),
        message: Some("acme/db: no [dec_1]".to_owned()),
        position: Position(3),
        count: 1,
        kind: DecisionKind::Tied,
        caller: "flexnet/ada".to_owned(),
        together: None,
        images: vec!["acme/db".to_owned(), "gone/x".to_owned()],
    };
    world.ops.record_decisions(&[row("dec_1"), row("dec_2")]).await.unwrap();
    let listed = world.ok("/api/v1/decisions?project=acme&user=ada").await;
    let ids: Vec<_> = listed["items"].as_array().unwrap().iter().map(|d| &d["id"]).collect();
    assert_eq!(ids, ["dec_2", "dec_1"]);
    assert_eq!(world.get("/api/v1/decisions?project=other").await.problem(), "unknown-project");
    let shown = world.ok("/api/v1/decisions/dec_1").await;
    let now: Vec<_> = shown["now"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["action"].as_str().unwrap(), e["allowed"].as_bool().unwrap()))
        .collect();
    assert_eq!(now, [("pull", true), ("push", false), ("image.pull", false)]);
    assert_eq!(world.get("/api/v1/decisions/dec_9").await.problem(), "unknown-decision");
}

#[tokio::test]
async fn the_signed_head_names_the_newest_event() {
    let world = World::licensing().await;
    let head = world.ok("/api/v1/log/head").await;
    assert_eq!(head["position"], world.head().0);
    assert_eq!(head["log"], LOG.to_string());
    assert!(world.get("/api/v1/log/key").await.text.starts_with("-----BEGIN PUBLIC KEY-----"));
}

#[tokio::test]
async fn sources_projections_and_keys_are_listed() {
    let world = World::licensing().await;
    let sources = world.ok("/api/v1/sources").await;
    assert_eq!(sources["items"].as_array().unwrap().len(), 1);
    assert_eq!((&sources["items"][0]["hook"], &sources["items"][0]["seen"]), (&json!("/hooks/flexnet"), &json!(true)));
    assert_eq!(world.ok("/api/v1/projections").await["items"][0]["name"], "roster");
    assert_eq!(world.ok("/api/v1/keys").await["items"][0]["current"], true);
    assert_eq!(world.post("/api/v1/projections/roster/check", json!({})).await.body["same"], true);
    assert_eq!(world.post("/api/v1/projections/roster/rebuild", json!({})).await.body["swapped"], true);
    assert_eq!(world.post("/api/v1/log/verify", json!({})).await.status, 200);
    assert_eq!(world.post("/api/v1/keys/rotate", json!({})).await.status, 503);
}
