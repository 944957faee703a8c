//! Plans: a source that is read, its difference shown, confirmed, put aside.

use rollcall_ingest::{
    connector::Failure,
    testkit::{Fault, group, member, person},
};
use serde_json::{Value, json};

use super::world::World;

/// A world whose source `corp` has thirty people in one group, read once.
async fn corp() -> World {
    let world = World::reading().await;
    world.source.put(group("ops").unwrap());
    for n in 0..30 {
        world.source.put(person(&format!("p{n:02}"), true).unwrap());
        world.source.put(member("ops", &format!("p{n:02}")).unwrap());
    }
    let plan = plan(&world).await;
    world.post(&format!("/api/v1/plans/{}/apply", text(&plan["id"])), json!({"confirm_removals": 0})).await;
    world
}

async fn plan(world: &World) -> Value {
    let reply = world.post("/api/v1/sources/corp/plan", json!({})).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.body
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

async fn reading(world: &World) -> Value {
    let sources = world.ok("/api/v1/sources").await;
    let sources = sources["items"].as_array().unwrap();
    assert_eq!(sources.iter().find(|s| s["name"] == "flexnet").unwrap()["reading"], Value::Null);
    sources.iter().find(|s| s["name"] == "corp").unwrap()["reading"].clone()
}

#[tokio::test]
async fn a_plan_shows_row_for_row_who_leaves_what_and_appends_nothing() {
    let world = corp().await;
    world.source.take("member/ops/person/p07");
    world.source.put(person("new", true).unwrap());
    let before = world.head();
    let plan = plan(&world).await;
    assert_eq!(world.head(), before);
    assert_eq!(
        json!([plan["additions"], plan["changes"], plan["removals"], plan["state"], plan["why"]]),
        json!([1, 0, 1, "open", "asked"])
    );
    let id = text(&plan["id"]);
    assert_eq!(world.ok(&format!("/api/v1/plans/{id}")).await, plan);
    let rows = world.ok(&format!("/api/v1/plans/{id}/rows")).await;
    let texts: Vec<_> = rows["items"].as_array().unwrap().iter().map(|row| text(&row["text"])).collect();
    assert_eq!(texts, ["the person new appears", "p07 leaves the group the ops"]);
    let removal = &rows["items"][1];
    assert_eq!(removal["type"], "rollcall.group.member.removed.v1");
    assert_eq!(removal["was"], json!({"group": "ops", "member": {"person": "p07"}}));
    let first = world.ok(&format!("/api/v1/plans/{id}/rows?limit=1")).await;
    let next = text(&first["next"]);
    let second = world.ok(&format!("/api/v1/plans/{id}/rows?limit=1&cursor={next}")).await;
    assert_eq!((&second["items"][0], &second["next"]), (removal, &Value::Null));
}

#[tokio::test]
async fn a_plan_is_applied_by_confirming_its_number_of_removals() {
    let world = corp().await;
    (0..20).for_each(|n| world.source.take(&format!("member/ops/person/p{n:02}")));
    let plan = plan(&world).await;
    assert!(text(&plan["reason"]).contains("20 of its 61 facts would end"), "{plan}");
    let path = format!("/api/v1/plans/{}", text(&plan["id"]));
    let before = world.head();
    let wrong = world.post(&format!("{path}/apply"), json!({"confirm_removals": 19})).await;
    assert_eq!((wrong.status.as_u16(), wrong.problem()), (409, "plan-differs"));
    assert!(text(&wrong.body["detail"]).contains("removes 20 facts, and 19 were confirmed"), "{}", wrong.text);
    assert_eq!(world.head(), before);
    let applied = world.post(&format!("{path}/apply"), json!({"confirm_removals": 20})).await;
    assert_eq!((applied.status.as_u16(), &applied.body["removals"]), (200, &json!(20)), "{}", applied.text);
    assert_eq!(reading(&world).await["state"], "healthy");
    let again = world.post(&format!("{path}/apply"), json!({"confirm_removals": 20})).await;
    assert_eq!((again.status.as_u16(), again.problem()), (409, "plan-closed"));
    let shown = world.ok(&path).await;
    assert_eq!(json!([shown["state"], shown["closed_by"]]), json!(["applied", "admin key"]));
    assert!(shown["closed_at"].is_string(), "{shown}");
    let logged = world.ok("/api/v1/events?type=rollcall.snapshot.applied.v1").await["items"].clone();
    let reason = text(&logged.as_array().unwrap().last().unwrap()["data"]["reason"]).to_owned();
    assert!(reason.ends_with("was confirmed by admin key"), "{reason}");
}

#[tokio::test]
async fn a_plan_whose_source_moved_on_is_refused_and_replaced() {
    let world = corp().await;
    world.source.take("person/p00");
    let plan = plan(&world).await;
    world.source.put(person("p00", true).unwrap());
    world.source.take("person/p01");
    let path = format!("/api/v1/plans/{}/apply", text(&plan["id"]));
    let reply = world.post(&path, json!({"confirm_removals": 1})).await;
    assert_eq!((reply.status.as_u16(), reply.problem()), (409, "plan-differs"));
    let newest = world.ok("/api/v1/plans?source=corp&limit=1").await["items"][0].clone();
    assert!(text(&reply.body["detail"]).contains(text(&newest["id"])), "{}", reply.text);
    let rows = world.ok(&format!("/api/v1/plans/{}/rows", text(&newest["id"]))).await;
    assert_eq!(rows["items"][0]["subject"], "person/p01");
}

#[tokio::test]
async fn a_discarded_plan_removes_nobody() {
    let world = corp().await;
    world.source.take("person/p00");
    let plan = plan(&world).await;
    let path = format!("/api/v1/plans/{}", text(&plan["id"]));
    let discarded = world.post(&format!("{path}/discard"), json!({})).await;
    assert_eq!((discarded.status.as_u16(), &discarded.body["state"]), (200, &json!("discarded")));
    assert_eq!(world.ok(&path).await, discarded.body);
    assert_eq!(discarded.body["closed_by"], "admin key");
    let apply = world.post(&format!("{path}/apply"), json!({"confirm_removals": 1})).await;
    assert_eq!(apply.problem(), "plan-closed");
    assert_eq!(world.ok("/api/v1/events?type=rollcall.person.removed.v1").await["items"], json!([]));
}

#[tokio::test]
async fn a_source_that_cannot_be_read_says_its_state_and_its_reason() {
    let world = corp().await;
    world.source.fail(Some(Fault::After(3, Failure::Unauthorised("ou=people: rc 49".into()))));
    let reply = world.post("/api/v1/sources/corp/plan", json!({})).await;
    assert_eq!((reply.status.as_u16(), reply.problem()), (502, "source-failed"));
    assert!(text(&reply.body["detail"]).contains("rc 49"), "{}", reply.text);
    let reading = reading(&world).await;
    assert_eq!((&reading["state"], &reading["reason"]), (&json!("unauthorised"), &json!("ou=people: rc 49")));
    assert_eq!((&reading["facts"], &reading["failures"]), (&json!(61), &json!(1)));
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let world = corp().await;
    let unknown = "pln_00000000000000000000000000000000";
    for (reply, problem) in [
        (world.post("/api/v1/sources/flexnet/plan", json!({})).await, "unknown-source"),
        (world.post("/api/v1/sources/nothing/plan", json!({})).await, "unknown-source"),
        (world.post("/api/v1/sources/NOT A NAME/plan".replace(' ', "%20").as_str(), json!({})).await, "unknown-source"),
        (world.get(&format!("/api/v1/plans/{unknown}")).await, "unknown-plan"),
        (world.get("/api/v1/plans/x/rows").await, "unknown-plan"),
        (world.post(&format!("/api/v1/plans/{unknown}/apply"), json!({"confirm_removals": 1})).await, "unknown-plan"),
        (world.post(&format!("/api/v1/plans/{unknown}/discard"), json!({})).await, "unknown-plan"),
        (world.post(&format!("/api/v1/plans/{unknown}/apply"), json!({})).await, "invalid-body"),
    ] {
        assert_eq!(reply.problem(), problem, "{}", reply.text);
    }
}

#[tokio::test]
async fn a_plan_says_who_would_get_or_lose_which_project() {
    let world = corp().await;
    let binding = r#"{"principal":{"group":"corp/ops"},"role":"system_of_record","scope":"root","author":"operator"}"#;
    let binding = rollcall_events::Body::parse("rollcall.binding.set.v1", binding).unwrap();
    let said = world.say(&binding).await;
    assert_eq!(said["effect"], "applied", "{said}");
    world.facts(&super::world::licensing_facts()).await;
    world.source.take("member/ops/person/p07");
    world.source.put(person("new", true).unwrap());
    world.source.put(member("ops", "new").unwrap());
    world.source.put(person("p08", false).unwrap());
    let plan = plan(&world).await;
    let path = format!("/api/v1/plans/{}/memberships", text(&plan["id"]));
    let told = world.ok(&path).await;
    let row = |user, appears| json!({"user": user, "project": "acme", "role": "system_of_record", "appears": appears});
    let items = [row("new", true), row("p07", false), row("p08", false)];
    let out = "p08 (corp/p08) cannot sign in any more";
    let users = [json!({"person": "corp/p08", "effect": "shut_out", "text": out})];
    assert_eq!(told, json!({"total": 3, "items": items, "users_total": 1, "users": users}));
    let confirmed = json!({"confirm_removals": 2});
    let applied = world.post(&format!("/api/v1/plans/{}/apply", text(&plan["id"])), confirmed).await;
    let members = format!("/api/v1/projects/acme/members?min_position={}&wait=20s", applied.body["position"]);
    let members = world.ok(&members).await;
    let names: Vec<_> = members["items"].as_array().unwrap().iter().map(|row| text(&row["user"])).collect();
    assert!(names.contains(&"new") && !names.contains(&"p07") && !names.contains(&"p08"), "as told: {names:?}");
    assert_eq!(world.ok(&path).await["total"], 0, "it is so by now");
}

#[tokio::test]
async fn a_project_of_five_is_not_emptied_unasked_and_is_named() {
    let world = World::reading().await;
    world.facts(&super::world::licensing_facts()).await;
    ["a", "b"].iter().for_each(|g| world.source.put(group(g).unwrap()));
    for n in 0..6 {
        world.source.put(person(&format!("p{n}"), true).unwrap());
        world.source.put(member(["a", "b"][n % 2], &format!("p{n}")).unwrap());
    }
    // Neither ada, who buys, nor pat, who makes, is left.
    world.facts(&[super::world::ended(2)]).await;
    let revoked = json!({"person": "pat", "permission": "view_and_manage_download_packages"});
    world.facts(&[super::world::event("20", "permission.revoked", 2, revoked)]).await;
    let first = plan(&world).await;
    world.post(&format!("/api/v1/plans/{}/apply", text(&first["id"])), json!({"confirm_removals": 0})).await;
    for g in ["a", "b"] {
        let binding = format!(
            r#"{{"principal":{{"group":"corp/{g}"}},"role":"system_of_record","scope":"root","author":"operator"}}"#
        );
        let binding = rollcall_events::Body::parse("rollcall.binding.set.v1", &binding).unwrap();
        assert_eq!(world.say(&binding).await["effect"], "applied");
    }
    for (taken, held) in [(5, false), (6, true)] {
        (0..taken).for_each(|n| world.source.take(&format!("member/{}/person/p{n}", ["a", "b"][n % 2])));
        let plan = plan(&world).await;
        let named = text(&plan["reason"]).contains("the project acme would be emptied");
        assert_eq!((&plan["removals"], named), (&json!(taken), held), "{plan}");
    }
}
