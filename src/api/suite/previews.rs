//! What a preview tells is what the apply does; a document of bindings is planned, applied once, and then nothing is left.

use axum::body::Body;
use axum::http::Request;
use rollcall_events::Settings;
use serde_json::{Value, json};

use super::world::{KEY, Reply, World};

async fn open_world() -> World {
    let world = World::with(Settings { bindings_on_managed: true, ..Settings::default() }).await;
    world.facts(&super::world::licensing_facts()).await;
    world
}

async fn apply(world: &World, document: &Value, plan: Option<&str>) -> Reply {
    let request = Request::post("/api/v1/bindings/apply")
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "application/json");
    let request = match plan {
        Some(plan) => request.header("if-match", plan),
        None => request,
    };
    world.send(request.body(Body::from(document.to_string())).unwrap()).await
}

fn names(rows: &Value) -> Vec<String> {
    let text = |row: &Value| {
        let sign = if row["appears"] == true { '+' } else { '-' };
        format!("{sign}{} {}", row["name"].as_str().unwrap(), row["role"].as_str().unwrap())
    };
    rows["rows"].as_array().unwrap().iter().map(text).collect()
}

#[tokio::test]
async fn a_preview_of_a_role_and_of_a_setting_changes_nothing_and_tells_both() {
    let world = open_world().await;
    let head = world.head();
    let told = world
        .post(
            "/api/v1/preview",
            json!({"changes": [
                {"bind": {"principal": {"user": "ada"}, "role": "developer", "scope": {"project": "acme"}}},
                {"settings": {"consumer_role": "Developer"}},
            ]}),
        )
        .await;
    assert_eq!(told.status, 200, "{}", told.text);
    assert_eq!(names(&told.body["memberships"]), ["+ada Developer", "-ada Guest"], "{}", told.text);
    assert_eq!(told.body["actions"]["rows"][0]["appear"], json!(["image.push"]), "{}", told.text);
    assert_eq!(world.head(), head, "a preview recorded something");
    let refused = world
        .post(
            "/api/v1/preview",
            json!({"changes": [{"command": {"type": "project.deleted", "data": {"project": "nope"}}}]}),
        )
        .await;
    assert_eq!(refused.body["effects"][0]["effect"], "refused", "{}", refused.text);
    for (bad, problem) in [
        (json!({"changes": [{"profile": {"schema": 1}}]}), "invalid-body"),
        (json!({"changes": [{"command": {"type": "person.removed", "data": {"person": "ada"}}}]}), "invalid-body"),
        (json!({"changes": [{"command": {"type": "nope", "data": {}}}]}), "invalid-body"),
        (json!({"changes": [{"unbind": "bnd_!"}]}), "unknown-binding"),
    ] {
        assert_eq!(world.post("/api/v1/preview", bad.clone()).await.problem(), problem, "{bad}");
    }
}

#[tokio::test]
async fn a_document_of_bindings_is_planned_row_for_row_and_applied_as_planned() {
    let world = open_world().await;
    let old = json!({"principal": {"user": "pat"}, "role": "Guest", "scope": {"project": "acme"}});
    assert_eq!(world.post("/api/v1/bindings", old).await.status, 200);
    let document = json!({"scope": [{"project": "acme", "binding": [{"user": "ada", "role": "Developer", "ends": "2027-01-01T00:00:00Z"}]}]});
    let plan = world.post("/api/v1/bindings/plan", document.clone()).await;
    assert_eq!(plan.status, 200, "{}", plan.text);
    let rows: Vec<(&str, &str)> = plan.body["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["change"].as_str().unwrap(), row["principal"].as_str().unwrap()))
        .collect();
    assert_eq!(rows, [("add", "user:flexnet/ada"), ("remove", "user:flexnet/pat")], "{}", plan.text);
    assert_eq!(names(&plan.body["memberships"]), ["+ada Developer", "-pat Guest"], "{}", plan.text);
    let tag = plan.header("etag").to_owned();

    // Somebody is quicker: what was planned is no longer what would be done.
    let other = json!({"principal": {"user": "pat"}, "role": "Developer", "scope": "root"});
    assert!(world.post("/api/v1/bindings", other).await.status.is_client_error(), "the role is given on projects");
    let other = json!({"principal": {"user": "ada"}, "role": "Guest", "scope": {"project": "acme"}});
    assert_eq!(world.post("/api/v1/bindings", other).await.status, 200);
    let late = apply(&world, &document, Some(&tag)).await;
    assert_eq!(late.status, 412, "{}", late.text);

    let plan = world.post("/api/v1/bindings/plan", document.clone()).await;
    let done = apply(&world, &document, Some(plan.header("etag"))).await;
    assert_eq!((done.status.as_u16(), &done.body["plan"]), (200, &plan.body["plan"]), "{}", done.text);
    assert_eq!(done.body["positions"].as_array().unwrap().len(), plan.body["rows"].as_array().unwrap().len());
    let left = world.post("/api/v1/bindings/plan", document.clone()).await;
    assert_eq!(left.body["rows"], json!([]), "{}", left.text);
    let kept = world.ok("/api/v1/bindings").await;
    let kept: Vec<&Value> = kept["items"].as_array().unwrap().iter().map(|row| &row["user"]).collect();
    assert_eq!(kept, ["ada"]);
    assert_eq!(apply(&world, &document, None).await.body["positions"], json!([]), "nothing is left to do");
}

#[tokio::test]
async fn a_document_with_a_row_that_would_be_refused_records_nothing() {
    let world = World::licensing().await;
    let head = world.head();
    for (document, problem) in [
        (json!({"scope": [{"project": "acme", "binding": [{"user": "ada", "role": "Developer"}]}]}), "managed-project"),
        (json!({"scope": [{"root": true, "binding": [{"user": "ada", "role": "nope"}]}]}), "unknown-role"),
        (json!({"scope": [{"root": true, "binding": [{"user": "ada", "role": "Guest"}]}]}), "invalid-body"),
        (json!({"scope": [{"root": true, "project": "acme", "binding": []}]}), "invalid-body"),
        (json!({"scope": [{"binding": []}]}), "invalid-body"),
        (json!({"scope": []}), "invalid-body"),
        (json!({"scope": [{"root": true, "binding": []}, {"root": true, "binding": []}]}), "invalid-body"),
        (json!({"scope": [{"root": true, "binding": [{"role": "Guest"}]}]}), "invalid-body"),
    ] {
        let answer = apply(&world, &document, None).await;
        assert_eq!(answer.problem(), problem, "{document} {}", answer.text);
    }
    assert_eq!(world.head(), head);
}

#[tokio::test]
async fn whoever_takes_all_roles_of_a_scope_away_takes_the_own_one_last() {
    let world = World::licensing().await;
    let scope = rollcall_events::body::Scope::Project("flexnet/db-suite".parse().unwrap());
    let key = world.service("acme-ci", "api:project_admin", scope).await;
    for user in ["ada", "pat"] {
        let give = json!({"principal": {"user": user}, "role": "api:project_admin", "scope": {"project": "acme"}});
        assert_eq!(world.by(&key, "POST", "/api/v1/bindings", Some(give)).await.status, 200);
    }
    let document = json!({"scope": [{"project": "acme", "binding": []}]});
    let plan = world.by(&key, "POST", "/api/v1/bindings/plan", Some(document.clone())).await;
    let rows = plan.body["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["refused"].is_null()), "{}", plan.text);
    assert_eq!(rows.last().unwrap()["principal"], "service:acme-ci");
    let done = world.by(&key, "POST", "/api/v1/bindings/apply", Some(document)).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(world.ok("/api/v1/bindings").await["items"], json!([]));
}

#[tokio::test]
async fn what_is_written_in_a_wrong_place_is_told_where_it_belongs() {
    let world = World::licensing().await;
    for (change, says) in [
        (json!({"command": {"type": "settings.set", "data": {}}}), "write `settings` instead"),
        (json!({"command": {"type": "rollcall.profile.set.v1", "data": {}}}), "write `profile` instead"),
        (json!({"bind": {"principal": {"user": "ada"}, "role": "Guest", "scope": "galaxy"}}), "one of \"root\""),
        (
            json!({"bind": {"principal": {"user": "ada"}, "role": "Guest", "scope": {"project": "a", "folder": "b"}}}),
            "one of \"root\"",
        ),
    ] {
        let told = world.post("/api/v1/preview", json!({"changes": [change]})).await;
        assert_eq!(told.problem(), "invalid-body", "{}", told.text);
        let detail = told.body["detail"].as_str().unwrap();
        assert!(detail.contains(says) && !detail.contains("at line"), "{detail}");
    }
}
