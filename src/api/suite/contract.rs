//! What holds for all routes: each is described, guarded, and answers a method it has not by 405 with `Allow`.

use std::{fs, path::Path};

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use super::world::{KEY, World};
use crate::{
    http::permissions::{PERMISSIONS, RoutePermission},
    openapi_json,
};

/// Routes that are open without a credential, and why.
const OPEN: &[(&str, &str)] = &[
    ("/hooks/{source}", "the source's signature is the credential"),
    ("/api/v1/invitations/{code}", "the code is the credential"),
    ("/.well-known/authzen-configuration", "says where this is reached, to somebody who reached it"),
    ("/api/v1/openapi.json", "says nothing of this installation"),
];

fn document() -> Value {
    serde_json::from_str(&openapi_json()).unwrap()
}

/// (path, method, filled-in path) of every route.
fn operations() -> Vec<(String, String, String)> {
    let document = document();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|m| *m != "parameters") {
            let filled: Vec<&str> =
                path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
            all.push((path.clone(), method.to_uppercase(), filled.join("/")));
        }
    }
    all
}

#[test]
fn the_openapi_document_is_the_one_that_is_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/openapi.json");
    let made = openapi_json();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "schemas/openapi.json is not up to date: run the tests with UPDATE=1 and look at the difference"
    );
    assert!(document()["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[test]
fn the_document_says_of_every_route_what_it_answers_and_who_may() {
    let document = document();
    for (path, method, _) in operations() {
        let operation = &document["paths"][&path][method.to_lowercase()];
        let good = operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2'));
        assert!(good, "{method} {path} declares no good answer");
        assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{method} {path} has no summary");
        assert!(operation["operationId"].is_string(), "{method} {path}");
        let open = OPEN.iter().any(|(open, _)| *open == path);
        let own_security = operation.get("security").is_some();
        assert_eq!(
            open, own_security,
            "{method} {path}: only the open routes say something else than `bearer` and `basic`"
        );
    }
}

/// The table of permissions and the routes are the same, so that nothing is unguarded and nothing guarded is missing.
#[test]
fn every_route_says_who_may_use_it() {
    let mut routes: Vec<(String, String)> = operations().into_iter().map(|(path, method, _)| (path, method)).collect();
    let mut rows: Vec<(String, String)> =
        PERMISSIONS.iter().map(|route| (route.path.to_owned(), route.method.to_owned())).collect();
    routes.sort();
    rows.sort();
    assert_eq!(routes, rows, "src/api/http/permissions.rs has one row per route");
    for RoutePermission { method, path, demands } in PERMISSIONS {
        let open = OPEN.iter().any(|(open, _)| open == path);
        assert_eq!(open, demands.is_none(), "{method} {path}");
        let operation = &document()["paths"][*path][method.to_lowercase()];
        let action = demands.map_or("", |permission| permission.action);
        assert_eq!(operation["x-rollcall"]["action"].as_str().unwrap_or_default(), action);
    }
}

#[tokio::test]
async fn every_route_is_guarded() {
    let world = World::licensing().await;
    let before = world.head();
    let mut seen = 0;
    for (path, method, filled) in operations() {
        if OPEN.iter().any(|(open, _)| *open == path) {
            continue;
        }
        let long = format!("Bearer {}", "x".repeat(5_000));
        for credential in [
            None,
            Some("Bearer "),
            Some("Bearer nothing"),
            Some("Basic cmtfdGVzdA=="),
            Some(KEY),
            Some("Bearer rk_test "),
            Some(long.as_str()),
        ] {
            let mut request =
                Request::builder().method(method.as_str()).uri(&filled).header("content-type", "application/json");
            if let Some(credential) = credential {
                request = request.header("authorization", credential);
            }
            let reply = world.send(request.body(Body::from("{}")).unwrap()).await;
            assert_eq!(
                (reply.status.as_u16(), reply.problem()),
                (401, "unauthenticated"),
                "{method} {path} {credential:?}"
            );
            assert!(reply.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
        }
        // Two credentials are none: which one counts would be a guess.
        let request = Request::builder().method(method.as_str()).uri(&filled);
        let request = request.header("authorization", format!("Bearer {KEY}")).header("authorization", "Bearer x");
        assert_eq!(world.send(request.body(Body::empty()).unwrap()).await.status, 401, "{method} {path}");
        seen += 1;
    }
    assert!(seen > 25, "{seen} routes were tried");
    assert_eq!(world.head(), before, "a refused caller changed something");
}

/// CVE-2026-20896: nothing that a caller says of itself in a header is believed.
#[tokio::test]
async fn forwarded_and_proxy_headers_open_nothing() {
    let world = World::empty().await;
    for header in ["x-forwarded-user", "x-webauth-user", "x-forwarded-for", "x-real-ip", "x-remote-user", "forwarded"] {
        let request = Request::get("/api/v1/users").header(header, "admin").body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.status, 401, "{header}");
    }
}

#[tokio::test]
async fn without_the_key_known_and_unknown_names_look_the_same() {
    let world = World::licensing().await;
    let mut texts = Vec::new();
    for name in ["acme", "nothing"] {
        let request = Request::get(format!("/api/v1/projects/{name}/members")).body(Body::empty()).unwrap();
        let reply = world.send(request).await;
        assert_eq!(reply.status, 401);
        texts.push(reply.text.replace(name, "NAME"));
    }
    assert_eq!(texts[0], texts[1]);
}

#[tokio::test]
async fn a_method_that_a_route_has_not_is_405_with_allow() {
    let world = World::empty().await;
    let operations = operations();
    for (path, _, filled) in &operations {
        let has = |method: &str| operations.iter().any(|(p, m, _)| p == path && m == method);
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
            if has(method) {
                continue;
            }
            // Where another template of more parameters fits too, its methods are tried under its own path.
            let request =
                Request::builder().method(method).uri(filled).header("authorization", format!("Bearer {KEY}"));
            let reply = world.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!((reply.status.as_u16(), reply.problem()), (405, "method-not-allowed"), "{method} {path}");
            let allow = reply.header("allow");
            let allowed: Vec<&str> = allow.split(',').filter(|m| *m != "HEAD").collect();
            assert!(!allowed.is_empty() && allowed.iter().all(|m| has(m)), "{method} {path}: Allow: {allow}");
        }
    }
}

#[tokio::test]
async fn a_route_that_is_not_there_is_a_problem_too() {
    let world = World::empty().await;
    for path in ["/api/v1/nothing", "/api/v2/users", "/hooks", "/hooks/a/b", "/api/v1/users/"] {
        let reply = world.get(path).await;
        assert_eq!((reply.status.as_u16(), reply.problem()), (404, "unknown-route"), "{path}");
    }
}

#[tokio::test]
async fn the_document_is_served_to_everybody() {
    let world = World::empty().await;
    let reply = world.send(Request::get("/api/v1/openapi.json").body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body, document());
    assert_eq!(reply.body["components"]["schemas"]["Problem"]["properties"]["status"]["type"], json!("integer"));
}
