//! Who may help whom: a licensing portal always helps the people of its sources, whatever others give them, and what it
//! hands out reaches nothing that others give.

use serde_json::{Value, json};

use crate::support::{
    api::Answer,
    server::{Server, WORLD},
};

fn as_caller(server: &Server, secret: &str, method: &str, path: &str, body: &Value) -> Answer {
    let request = server.http.request(method.parse().unwrap(), &server.url(path)).bearer_auth(secret);
    let request = if method == "POST" {
        request.header("content-type", "application/json").body(body.to_string())
    } else {
        request
    };
    server.http.send(request)
}

/// A portal and its key.
fn portal(server: &Server, id: &str) -> String {
    server.post("/api/v1/services", &json!({"id": id})).expect(201);
    let sender = json!({"principal": {"service": id}, "role": "api:sender", "scope": "root"});
    server.post("/api/v1/bindings", &sender).expect(200);
    let made = server.post(&format!("/api/v1/services/{id}/secrets"), &json!({})).expect(201);
    made.json()["secret"].as_str().unwrap().to_owned()
}

#[test]
fn a_customer_locks_no_portal_out_by_giving_roles_and_gets_nothing_through_one() {
    let mut server = Server::start_with("\n[access]\nprofile = \"harbor\"\n");
    server.say(WORLD);
    let portal_key = portal(&server, "portal");
    let ada = server.secret_for("ada");
    as_caller(&server, &ada, "POST", "/api/v1/projects", &json!({"name": "trap"})).expect(201);
    let secrets = |user: &str| format!("/api/v1/users/{user}/secrets");
    for victim in ["max", "ada"] {
        let role = json!({"principal": {"user": victim}, "role": "guest", "scope": {"project": "trap"}});
        // She gives one to herself; max, whom she does not see, has an administrator's.
        let giver = if victim == "ada" { ada.clone() } else { server.admin_key() };
        as_caller(&server, &giver, "POST", "/api/v1/bindings", &role).expect(200);
        let made = as_caller(&server, &portal_key, "POST", &secrets(victim), &json!({})).expect(201).json();
        let (id, text) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
        let image = if victim == "max" { ["pull", "push"].as_slice() } else { ["pull"].as_slice() };
        assert_eq!(server.granted(victim, text, "acme/db"), image, "what the source gives");
        assert!(server.granted(victim, text, "trap/x").is_empty(), "what others give");
        let invited = format!("/api/v1/users/{victim}/invitations");
        as_caller(&server, &portal_key, "POST", &invited, &json!({})).expect(201);
        as_caller(&server, &portal_key, "DELETE", &format!("{}/{id}", secrets(victim)), &json!({})).expect(200);
        assert_eq!(server.token(victim, text, "&scope=repository:acme/db:pull").status, 401);
        as_caller(&server, &portal_key, "POST", &format!("/api/v1/users/{victim}/credentials-reset"), &json!({}))
            .expect(200);
    }
    assert_eq!(server.granted("ada", &ada, "trap/x"), ["pull", "push"], "her own secret is hers still");
    // A client that shows reasons is told which secret it uses; so also after a restart, from the snapshot.
    let made = as_caller(&server, &portal_key, "POST", &secrets("ada"), &json!({})).expect(201).json();
    for _ in 0..2 {
        let url = server.url("/token?service=rollcall&scope=repository:trap/x:pull");
        let request = server.http.get(&url).basic_auth("ada", Some(made["secret"].as_str().unwrap()));
        let told = server.http.send(request.header("user-agent", "docker/27.0")).expect(403);
        let reach = "this secret was made by service:portal and reaches only what licensing sources give";
        assert!(told.text.contains(reach), "{}", told.text);
        let id = made["id"].as_str().unwrap();
        let why = server.cli(&["why", "ada", "pull", "trap", "--secret", id]);
        assert!(why.code == 1 && why.out.starts_with("NO") && why.out.contains(reach), "{}", why.out);
        assert_eq!(server.cli(&["why", "ada", "pull", "trap"]).code, 0);
        assert_eq!(server.cli(&["why", "ada", "pull", "acme", "--secret", id]).code, 0);
        server.restart();
    }
}

#[test]
fn neither_of_two_portals_ends_or_sees_what_the_other_made() {
    let server = Server::start();
    server.say(WORLD);
    let (one, other) = (portal(&server, "one"), portal(&server, "other"));
    let path = "/api/v1/users/ada/secrets";
    let made = as_caller(&server, &one, "POST", path, &json!({})).expect(201).json();
    let (id, text) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(as_caller(&server, &other, "GET", path, &json!({})).expect(200).json()["items"], json!([]));
    as_caller(&server, &other, "DELETE", &format!("{path}/{id}"), &json!({})).expect(404);
    as_caller(&server, &other, "POST", "/api/v1/users/ada/credentials-reset", &json!({})).expect(200);
    assert_eq!(server.granted("ada", text, "acme/db"), ["pull"]);
}
