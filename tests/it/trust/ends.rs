//! An end is an end: what is made with a credential that ends, ends with it; what a key made is told when it is revoked.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::server::{Server, WORLD, claims};

fn post_as(server: &Server, secret: &str, path: &str, body: &Value) -> Value {
    let request = server.http.post(&server.url(path)).bearer_auth(secret).header("content-type", "application/json");
    let answer = server.http.send(request.body(body.to_string()));
    assert!(answer.status < 300, "{}", answer.text);
    answer.json()
}

#[test]
fn no_token_outlives_the_secret_that_it_was_asked_with() {
    let server = Server::start();
    server.say(WORLD);
    let end = (Utc::now() + TimeDelta::seconds(90)).timestamp();
    let expires = chrono::DateTime::from_timestamp(end, 0).unwrap();
    let made = server.post("/api/v1/users/ada/secrets", &json!({"expires": expires})).expect(201).json();
    let secret = made["secret"].as_str().unwrap();
    let answer = server.token("ada", secret, "&scope=repository:acme/db:pull&offline_token=true").expect(200).json();
    let token = claims(answer["token"].as_str().unwrap());
    assert_eq!((token["access"][0]["actions"][0].as_str(), token["exp"].as_i64()), (Some("pull"), Some(end)));
    let own = server.secret_for("ada");
    let lasting = server.token("ada", &own, "&scope=repository:acme/db:pull").expect(200).json();
    assert!(claims(lasting["token"].as_str().unwrap())["exp"].as_i64().unwrap() > end);
}

#[test]
fn whoever_revokes_a_key_sees_what_it_made_and_nothing_ends_unasked() {
    let server = Server::start_with("\n[access]\nprofile = \"harbor\"\n");
    server.say(WORLD);
    server.cli(&["services", "create", "ci"]).ok();
    server.cli(&["bindings", "set", "service:ci", "api:administrator", "root"]).ok();
    let made = server.post("/api/v1/services/ci/secrets", &json!({})).expect(201).json();
    let (id, key) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    post_as(&server, key, "/api/v1/projects", &json!({"name": "tools"}));
    let role = json!({"principal": {"user": "ada"}, "role": "guest", "scope": {"project": "tools"}});
    post_as(&server, key, "/api/v1/bindings", &role);
    post_as(&server, key, "/api/v1/services", &json!({"id": "robot"}));
    let ada = server.secret_for("ada");
    let shown = server.cli(&["services", "made", "ci", id]).ok();
    for kind in ["project", "binding", "service"] {
        assert!(shown.contains(kind), "{shown}");
    }
    let told = server.cli(&["services", "revoke", "ci", id]).ok();
    assert!(told.contains("kept") && told.contains("--with-what-it-made"), "{told}");
    assert_eq!(server.granted("ada", &ada, "tools/x"), ["pull"]);
    let told = server.cli(&["services", "revoke", "ci", id, "--with-what-it-made"]).ok();
    assert!(told.contains("ended"), "{told}");
    assert!(server.granted("ada", &ada, "tools/x").is_empty());
    server.get("/api/v1/services/robot").expect(404);
    server.get("/api/v1/projects/tools").expect(200);
}
