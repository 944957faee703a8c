//! Bad input: each refusal has its type, its place and a text that says what to do, and changes nothing.

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use super::world::{KEY, World};

/// Method, path, body, status, problem, pointer.
type Row = (&'static str, &'static str, &'static str, u16, &'static str, &'static str);

const TABLE: &[Row] = &[
    // Bodies that are no JSON, or of another shape.
    ("POST", "/api/v1/explain", "{", 400, "malformed-json", ""),
    ("POST", "/api/v1/explain", "\u{0}", 400, "malformed-json", ""),
    ("POST", "/api/v1/explain", "{} {}", 400, "malformed-json", ""),
    ("POST", "/api/v1/explain", "[]", 422, "invalid-body", ""),
    ("POST", "/api/v1/explain", "null", 422, "invalid-body", ""),
    ("POST", "/api/v1/explain", "{}", 422, "invalid-body", ""),
    ("POST", "/api/v1/explain", "", 422, "invalid-body", ""),
    ("POST", "/api/v1/explain", r#"{"action":"pull","project":1}"#, 422, "invalid-body", "/project"),
    ("POST", "/api/v1/explain", r#"{"action":"pull","project":"acme","project":"b"}"#, 422, "invalid-body", "/project"),
    // CVE-2019-16097: a member that is not ours is refused, whatever it claims.
    (
        "POST",
        "/api/v1/users/ada/secrets",
        r#"{"label":"a","has_admin_role":true}"#,
        422,
        "invalid-body",
        "/has_admin_role",
    ),
    ("POST", "/api/v1/users/ada/invitations", "[]", 422, "invalid-body", ""),
    ("POST", "/api/v1/users/ada/invitations", r#"{"user":"pat"}"#, 422, "invalid-body", "/user"),
    ("POST", "/api/v1/users/ada/credentials-reset", r#"{"x":1}"#, 422, "invalid-body", "/x"),
    (
        "POST",
        "/api/v1/explain",
        r#"{"action":"pull","project":"acme","as_admin":true}"#,
        422,
        "invalid-body",
        "/as_admin",
    ),
    (
        "POST",
        "/api/v1/bindings",
        r#"{"principal":{"user":"ada"},"role":"Guest","scope":"root","author":"me"}"#,
        422,
        "invalid-body",
        "/author",
    ),
    ("POST", "/api/v1/keys/rotate", r#"{"algorithm":"none"}"#, 422, "invalid-body", "/algorithm"),
    ("POST", "/api/v1/projections/roster/rebuild", r#"{"force":true}"#, 422, "invalid-body", "/force"),
    ("POST", "/api/v1/deliveries/x/replay", r#"{"unsigned":true}"#, 422, "invalid-body", "/unsigned"),
    ("POST", "/api/v1/log/verify", r#"{"a":1}"#, 422, "invalid-body", "/a"),
    ("POST", "/api/v1/users/ada/secrets", "{\"label\":\"a\\u0000b\"}", 422, "invalid-body", "/label"),
    ("POST", "/api/v1/users/ada/secrets", r#"{"expires":"tomorrow"}"#, 422, "invalid-body", "/expires"),
    // Things that are not there.
    ("POST", "/api/v1/users/bob/secrets", "{}", 404, "unknown-user", ""),
    ("POST", "/api/v1/users/bob/invitations", "{}", 404, "unknown-user", ""),
    ("POST", "/api/v1/users/bob/credentials-reset", "{}", 404, "unknown-user", ""),
    ("GET", "/api/v1/users/bob/access", "", 404, "unknown-user", ""),
    ("GET", "/api/v1/users/bob/secrets", "", 404, "unknown-user", ""),
    ("DELETE", "/api/v1/users/ada/secrets/sec_x", "", 404, "unknown-secret", ""),
    ("GET", "/api/v1/people/flexnet/bob", "", 404, "unknown-person", ""),
    ("GET", "/api/v1/people/nobody/ada", "", 404, "unknown-person", ""),
    ("POST", "/api/v1/projections/nothing/check", "{}", 404, "unknown-projection", ""),
    ("POST", "/api/v1/deliveries/x/replay", "{}", 404, "unknown-delivery", ""),
    ("POST", "/api/v1/explain", r#"{"user":"bob","action":"pull","project":"acme"}"#, 404, "unknown-user", ""),
    ("POST", "/api/v1/explain", r#"{"user":"ada","action":"pull","project":"none"}"#, 404, "unknown-project", ""),
    (
        "POST",
        "/api/v1/bindings",
        r#"{"principal":{"user":"bob"},"role":"system_of_record","scope":"root"}"#,
        404,
        "unknown-user",
        "",
    ),
    (
        "POST",
        "/api/v1/bindings",
        r#"{"principal":{"user":"ada"},"role":"Guest","scope":{"project":"none"}}"#,
        404,
        "unknown-project",
        "",
    ),
    ("DELETE", "/api/v1/bindings/x", "", 404, "unknown-binding", ""),
    // Things that the profile has not, or does not allow there.
    ("POST", "/api/v1/explain", r#"{"user":"ada","action":"fly","project":"acme"}"#, 422, "unknown-action", "/action"),
    (
        "POST",
        "/api/v1/bindings",
        r#"{"principal":{"user":"ada"},"role":"King","scope":"root"}"#,
        422,
        "unknown-role",
        "/role",
    ),
    (
        "POST",
        "/api/v1/bindings",
        r#"{"principal":{"user":"ada"},"role":"Guest","scope":"root"}"#,
        422,
        "invalid-body",
        "",
    ),
    (
        "POST",
        "/api/v1/bindings",
        r#"{"principal":{"user":"ada"},"role":"Guest","scope":"everywhere"}"#,
        422,
        "invalid-body",
        "/scope",
    ),
    (
        "POST",
        "/api/v1/bindings",
        r#"{"principal":{"group":"x/y"},"role":"api:auditor","scope":"root"}"#,
        404,
        "unknown-group",
        "",
    ),
    (
        "POST",
        "/api/v1/bindings",
        r#"{"principal":{"user":"ada"},"role":"system_of_record","scope":"root","starts":"2026-01-02T00:00:00Z","ends":"2026-01-01T00:00:00Z"}"#,
        422,
        "invalid-body",
        "/ends",
    ),
    // Queries.
    ("GET", "/api/v1/users?limit=1000000000", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/users?limit=501", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/users?limit=0", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/users?sort=name", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/users?limit=1&limit=2", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/users?cursor=zzz", "", 400, "invalid-cursor", ""),
    ("GET", "/api/v1/users/ada?limit=1", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/users?min_position=many", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/users?wait=forever", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/users?wait=1h", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/events?after=x", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/events?sorce=flexnet", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/deliveries?verdict=odd", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/deliveries?source=Not+A+Name", "", 400, "invalid-query", ""),
    ("GET", "/api/v1/decisions?from=yesterday", "", 400, "invalid-query", ""),
    ("POST", "/api/v1/users/ada/secrets?force=1", "{}", 400, "invalid-query", ""),
    ("DELETE", "/api/v1/people/flexnet/ada/personal?all=1", "", 400, "invalid-query", ""),
    ("POST", "/hooks/flexnet?wait=x", "[]", 400, "invalid-query", ""),
    ("POST", "/hooks/flexnet?dry_run=1", "[]", 400, "invalid-query", ""),
    ("POST", "/api/v1/invitations/x?user=ada", "{}", 400, "invalid-query", ""),
    ("POST", "/api/v1/invitations/x", r#"{"user":"ada"}"#, 422, "invalid-body", "/user"),
];

#[tokio::test]
async fn every_bad_input_has_its_refusal_and_changes_nothing() {
    let world = World::licensing().await;
    let state = async || {
        let mut state = vec![json!(world.head().0)];
        for path in [
            "/api/v1/projects/acme/members",
            "/api/v1/users",
            "/api/v1/users/ada/secrets",
            "/api/v1/deliveries",
            "/api/v1/people/flexnet/ada",
        ] {
            state.push(world.ok(path).await);
        }
        state
    };
    let before = state().await;
    for (method, path, body, status, problem, pointer) in TABLE {
        let request = Request::builder().method(*method).uri(*path).header("authorization", format!("Bearer {KEY}"));
        let request = request.header("content-type", "application/json");
        let reply = world.send(request.body(Body::from(*body)).unwrap()).await;
        let shown = format!("{method} {path} {body}\n{}", reply.text);
        assert_eq!((reply.status.as_u16(), reply.problem()), (*status, *problem), "{shown}");
        let expected = if pointer.is_empty() { Value::Null } else { json!(pointer) };
        let found = reply.body["errors"][0]["pointer"].clone();
        assert_eq!(if found == json!("") { Value::Null } else { found }, expected, "{shown}");
        assert_eq!(state().await, before, "{shown}");
    }
}

#[tokio::test]
async fn a_body_of_another_kind_or_size_is_refused() {
    let world = World::licensing().await;
    let head = world.head();
    let post = |kind: &str, body: String| {
        let request = Request::post("/api/v1/users/ada/secrets").header("authorization", format!("Bearer {KEY}"));
        request.header("content-type", kind).body(Body::from(body)).unwrap()
    };
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let reply = world.send(post(kind, "{}".to_owned())).await;
        assert_eq!((reply.status.as_u16(), reply.problem()), (415, "unsupported-media-type"), "{kind}");
    }
    let large = format!(r#"{{"label":"{}"}}"#, "a".repeat(70_000));
    assert_eq!(world.send(post("application/json", large)).await.problem(), "too-large");
    let label = format!(r#"{{"label":"{}"}}"#, "a".repeat(101));
    assert_eq!(world.send(post("application/json", label)).await.problem(), "invalid-body");
    assert_eq!(world.head(), head);
    let good = world.send(post("Application/JSON; charset=utf-8", "{}".to_owned())).await;
    assert_eq!(good.status, 201);
}

#[tokio::test]
async fn deep_json_is_refused_and_not_walked() {
    let world = World::licensing().await;
    let deep = "[".repeat(30_000);
    let request = Request::post("/api/v1/explain").header("authorization", format!("Bearer {KEY}"));
    let request = request.header("content-type", "application/json").body(Body::from(deep)).unwrap();
    assert_eq!(world.send(request).await.problem(), "malformed-json");
}
