//! Every change of an answer names its event: `diff` and `why` after each way in which somebody loses access, and whatever
//! id an answer gives can be read back.

use serde_json::{Value, json};

use crate::support::server::Server;

fn say(server: &Server, sequence: u64, kind: &str, data: &Value) -> u64 {
    let event = json!({
        "specversion": "1.0", "id": format!("{kind}-{sequence}-{}", data), "source": "/fn",
        "type": format!("rollcall.{kind}.v1"), "sequence": sequence.to_string(), "data": data,
    });
    let answer = server.post_json("application/cloudevents-batch+json", &json!([event])).expect(202).json();
    let position = answer["events"][0]["position"].as_u64().unwrap_or_else(|| panic!("{answer}"));
    server.reached(position);
    position
}

/// Initech makes acme of DB, globex bought it: ada of globex may pull, pat of initech may push.
fn licensing() -> Server {
    let server = Server::start();
    for (kind, data) in [
        ("account.upserted", json!({"account": "initech", "kind": "producer"})),
        ("account.upserted", json!({"account": "lab", "kind": "producer", "parent": "initech"})),
        ("account.upserted", json!({"account": "globex", "kind": "customer"})),
        ("account.upserted", json!({"account": "hooli", "kind": "customer"})),
        ("product.upserted", json!({"product": "DB"})),
        ("package.upserted", json!({"package": "acme", "producer": "initech", "container_delivery": true})),
        ("package.product.mapped", json!({"package": "acme", "product": "DB"})),
        ("entitlement.upserted", json!({"entitlement": "E", "account": "globex", "state": "active"})),
        ("entitlement.upserted", json!({"entitlement": "F", "account": "hooli", "state": "active"})),
        (
            "entitlement.line.upserted",
            json!({"line": "l", "entitlement": "E", "product": "DB", "starts": null, "ends": null}),
        ),
        ("person.upserted", json!({"person": "ada", "username": "ada", "account": "globex", "active": true})),
        ("person.upserted", json!({"person": "pat", "username": "pat", "account": "lab", "active": true})),
        ("permission.granted", json!({"person": "pat", "permission": "view_and_manage_download_packages"})),
    ] {
        say(&server, 1, kind, &data);
    }
    server
}

#[test]
fn whatever_takes_access_away_is_named_by_diff_and_why() {
    let server = licensing();
    let mut sequence = 1;
    let line = |entitlement: &str, product: &str, ends: Value| json!({"line": "l", "entitlement": entitlement, "product": product, "starts": null, "ends": ends});
    let entitlement = |account: &str| json!({"entitlement": "E", "account": account, "state": "active"});
    let person = |account: &str| json!({"person": "ada", "username": "ada", "account": account, "active": true});
    let package = |producer: &str| json!({"package": "acme", "producer": producer, "container_delivery": true});
    let account = |parent: Value| json!({"account": "initech", "kind": "producer", "parent": parent});
    let null = || Value::Null;
    for (user, kind, taken, back) in [
        ("ada", "entitlement.line.upserted", line("E", "DB", json!("2020-01-01T00:00:00Z")), line("E", "DB", null())),
        ("ada", "entitlement.line.upserted", line("F", "DB", null()), line("E", "DB", null())),
        ("ada", "entitlement.upserted", entitlement("hooli"), entitlement("globex")),
        ("ada", "person.upserted", person("hooli"), person("globex")),
        ("pat", "package.upserted", package("hooli"), package("initech")),
        ("pat", "account.upserted", account(json!("lab")), account(null())),
    ] {
        sequence += 2;
        let action = if user == "ada" { "pull" } else { "push" };
        let position = say(&server, sequence, kind, &taken);
        let diff = server.get(&format!("/api/v1/reports/diff?project=acme&from={}&to={position}", position - 1)).json();
        let of_user: Vec<&Value> =
            diff["memberships"].as_array().unwrap().iter().filter(|change| change["name"] == user).collect();
        assert!(!of_user.is_empty(), "{kind} {taken}: {diff:#}");
        for change in of_user {
            assert_eq!(change["because"][0]["position"], position, "{kind} {taken}: {change:#}");
        }
        let why = server.post("/api/v1/explain", &json!({"user": user, "action": action, "project": "acme"})).json();
        assert_eq!(why["allowed"], false, "{why:#}");
        assert!(
            why["near_misses"].to_string().contains(&format!("\"position\":{position}")),
            "{kind} {taken} at {position}: {why:#}"
        );
        let text = server.cli(&["why", user, action, "acme"]).out;
        assert!(text.contains(&format!("event {position}")), "{text}");
        say(&server, sequence + 1, kind, &back);
    }
}

#[test]
fn a_project_that_is_made_private_names_its_event() {
    let server = Server::start_with("\n[access]\nprofile = \"harbor\"\n");
    server.say("flexnet person.upserted ada");
    server.post("/api/v1/projects", &json!({"name": "tools", "visibility": "public"})).expect(201);
    let request = server.http.request(reqwest::Method::PATCH, &server.url("/api/v1/projects/tools"));
    let request = request.bearer_auth(server.admin_key()).header("content-type", "application/json");
    let changed = server.http.send(request.body(json!({"visibility": "private"}).to_string())).expect(200);
    let position = changed.json()["position"].as_u64().unwrap();
    server.reached(position);
    let why = server.post("/api/v1/explain", &json!({"user": "ada", "action": "pull", "project": "tools"})).json();
    assert!(why["near_misses"].to_string().contains(&format!("\"position\":{position}")), "{why:#}");
    let diff = server.get(&format!("/api/v1/reports/diff?project=tools&from={}", position - 1)).json();
    let actions = diff["actions"].as_array().unwrap();
    assert!(
        !actions.is_empty() && actions.iter().all(|change| change["because"][0]["position"] == position),
        "{diff:#}"
    );
}

#[test]
fn the_id_that_an_answer_gives_can_be_read_back_also_where_the_role_was_raised() {
    let server = Server::start_with(
        "\n[access]\nprofile = \"portus\"\nconsumer_role = \"viewer\"\nproducer_role = \"contributor\"\n",
    );
    server.say("flexnet person.upserted ada");
    server.put("/api/v1/folders/tools", &json!({"kind": "team"}));
    let profile = rollcall_access::Profile::bundled("portus").unwrap();
    let admin =
        profile.roles().find(|role| profile.is_everything(*role)).map(|role| profile.role_name(role).to_owned());
    let mut given = vec![("viewer", json!({"folder": "tools"}))];
    if let Some(admin) = &admin {
        given.insert(0, (admin, json!("root")));
    }
    for (role, scope) in given {
        let body = json!({"principal": {"user": "ada"}, "role": role, "scope": scope});
        let answer = server.post("/api/v1/bindings", &body).expect(200).json();
        server.reached(answer["position"].as_u64().unwrap());
        let id = answer["id"].as_str().unwrap();
        server.get(&format!("/api/v1/bindings/{id}")).expect(200);
    }
}
