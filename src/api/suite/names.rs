use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use super::world::{KEY, World, event};

/// Mallory's user name is the id of Bob.
async fn mallory_is_called_like_bobs_id() -> World {
    let world = World::licensing().await;
    let person = |id: &str, name: &str| json!({"person": id, "username": name, "account": "globex", "active": true});
    world.facts(&[event("m", "person.upserted", 1, person("mallory", "flexnet/bob"))]).await;
    world.facts(&[event("b", "person.upserted", 1, person("bob", "bob"))]).await;
    world
}

#[tokio::test]
async fn every_place_that_takes_a_user_takes_an_id_for_an_id_and_never_for_a_name() {
    let world = mallory_is_called_like_bobs_id().await;
    let (bob, path) = ("flexnet/bob", "/api/v1/users/flexnet%2Fbob");
    assert_eq!(world.ok(path).await["name"], "bob");
    let secret = world.post(&format!("{path}/secrets"), json!({})).await;
    assert_eq!(secret.status, StatusCode::CREATED, "{}", secret.text);
    assert_eq!(world.ok("/api/v1/users/bob/secrets").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.ok("/api/v1/users/mallory/secrets").await["items"].as_array().unwrap().len(), 0);
    let binding = json!({"principal": {"user": bob}, "role": "api:auditor", "scope": "root"});
    assert_eq!(world.post("/api/v1/bindings", binding).await.status, StatusCode::OK);
    for user in ["flexnet%2Fbob", "bob"] {
        let found = world.ok(&format!("/api/v1/bindings?user={user}")).await;
        assert_eq!(found["items"][0]["user_id"], bob, "{found}");
    }
    assert_eq!(world.ok("/api/v1/bindings?user=mallory").await["items"], json!([]));
    for as_of in [Value::Null, json!(world.head().0.to_string())] {
        let asked = json!({"user": bob, "action": "pull", "project": "acme", "as_of": as_of});
        let explained = world.post("/api/v1/explain", asked).await;
        assert_eq!(explained.body["user"], "bob", "{}", explained.text);
    }
    let access = world.ok(&format!("{path}/access?as_of={}", world.head())).await;
    assert_eq!(access, world.ok("/api/v1/users/bob/access").await);
    // Who asks whether a name may do something is answered about nobody, not about the owner of an id.
    let asked = |kind: &str, id: &str| json!({"subject": {"type": kind, "id": id}, "action": {"name": "pull"}, "resource": {"type": "repository", "id": "acme/db"}});
    for (id, allowed) in
        [("flexnet/bob", true), ("bob", true), ("ada", true), ("service:bob", false), ("corp/bob", false)]
    {
        let answer = world.post("/access/v1/evaluation", asked("user", id)).await;
        assert_eq!(answer.body["decision"], allowed, "{id}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_person_whose_name_is_not_in_effect_shows_what_was_asked_and_why_not() {
    let world = World::licensing().await;
    for (n, (name, why)) in [
        ("sys:admin", "it has a `:`"),
        ("", "it is empty"),
        ("flexnet/ada", "it has a `/`"),
        ("a\u{202E}da", "U+202E"),
        ("..", "only dots"),
        ("sec_0190a7b2c3d47e8f90a1b2c3d4e5f607", "the form of an id"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("n{n}");
        let data = json!({"person": id, "username": name, "account": "globex", "active": true});
        let reply = world.facts(&[event(&id, "person.upserted", 1, data)]).await;
        let said = reply.body["events"][0]["reason"].as_str().unwrap_or_default().to_owned();
        assert!(said.contains(why) && said.contains(&format!("is called `{id}`")), "{said}");
        assert_eq!(reply.body["events"][0]["effect"], "applied");
        let delivery = world.ok(&format!("/api/v1/deliveries/{}", reply.body["delivery"].as_str().unwrap())).await;
        assert_eq!(delivery["parts"][0]["reason"], said.as_str());
        let person = world.ok(&format!("/api/v1/people/flexnet/{id}")).await;
        assert_eq!((&person["username"], &person["asked_name"]["name"]), (&json!(id), &json!(name)), "{person}");
        let user = world.ok(&format!("/api/v1/users/{id}")).await;
        assert!(user["persons"][0]["asked_name"]["why"].as_str().unwrap().contains(why), "{user}");
    }
}

#[tokio::test]
async fn what_is_kept_here_has_no_name_that_is_not_seen_or_looks_like_an_id() {
    let world = World::licensing().await;
    for path in ["/api/v1/services", "/api/v1/groups"] {
        for label in ["a\u{200B}b", "a\u{202E}b", "a\u{FEFF}", "\u{E000}", "\u{2066}x"] {
            let reply = world.post(path, json!({"id": "x", "name": label})).await;
            assert_eq!(
                (reply.status, reply.problem()),
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-body"),
                "{}",
                reply.text
            );
            assert_eq!(reply.body["errors"][0]["pointer"], "/name");
        }
        for id in ["sec_0190a7b2c3d47e8f90a1b2c3d4e5f607", "a/b", "service:x", "..", "a\u{200B}"] {
            let reply = world.post(path, json!({"id": id})).await;
            assert_eq!(reply.problem(), "invalid-body", "{path} {id}: {}", reply.text);
        }
    }
    let project = world.post("/api/v1/projects", json!({"name": "dec_0190a7b2c3d47e8f90a1b2c3d4e5f607"})).await;
    assert_eq!(project.problem(), "invalid-body", "{}", project.text);
    assert_eq!(
        world.get("/api/v1/projects/flexnet%2Fdb-suite").await.body["name"],
        "acme",
        "a pasted id finds its project"
    );
}

#[tokio::test]
async fn decisions_are_found_by_the_name_of_then_or_by_an_id_and_never_by_one_as_the_other() {
    let world = mallory_is_called_like_bobs_id().await;
    let ask = |user: &str| json!({"user": user, "action": "push", "project": "acme"});
    for user in ["bob", "mallory"] {
        let answer = world.post("/api/v1/explain", ask(user)).await;
        let id = answer.body["decision"].as_str().unwrap().to_owned();
        while world.get(&format!("/api/v1/decisions/{id}")).await.status != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    }
    for (asked, name) in [("bob", "bob"), ("BOB", "bob"), ("flexnet%2Fbob", "bob"), ("mallory", "mallory")] {
        let found = world.ok(&format!("/api/v1/decisions?user={asked}")).await;
        let names: Vec<&str> =
            found["items"].as_array().unwrap().iter().map(|row| row["user"].as_str().unwrap()).collect();
        assert_eq!(names, [name], "{asked}");
    }
    let request = Request::get("/api/v1/users/..").header("authorization", format!("Bearer {KEY}"));
    let reply = world.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(reply.problem(), "unknown-user", "{}", reply.text);
}
