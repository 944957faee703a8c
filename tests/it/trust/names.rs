//! A name is not an id: whoever is called like somebody's id gets nothing that is that person's, a name that nobody can have
//! is shown with its reason, and names that only look alike are shown as such.

use serde_json::{Value, json};

use crate::support::server::{Server, WORLD};

fn person(server: &Server, id: &str, username: Option<&str>) -> Value {
    let id = id.to_owned();
    let data = json!({"person": id, "username": username, "account": "globex", "active": true});
    let event = json!({
        "specversion": "1.0", "id": format!("person-{id}"), "source": "/fn", "type": "rollcall.person.upserted.v1",
        "sequence": "1", "data": data,
    });
    let answer = server.post_json("application/cloudevents+json", &event).expect(202).json();
    server.reached(answer["events"][0]["position"].as_u64().unwrap());
    answer
}

#[test]
fn who_is_called_like_the_id_of_another_gets_no_role_no_secret_and_no_past_of_that_person() {
    let server = Server::start();
    server.say(WORLD);
    // Bob is entitled by his account. Mallory of no account took his id for a name before he came.
    person(&server, "mallory", Some("flexnet/bob"));
    person(&server, "bob", Some("bob"));
    let named = server.get("/api/v1/users/flexnet%2Fbob").expect(200).json();
    assert_eq!((&named["name"], &named["id"]), (&json!("bob"), &json!("flexnet/bob")));
    let secret = server.cli(&["secrets", "issue", "flexnet/bob", "--json"]).ok();
    assert!(serde_json::from_str::<Value>(&secret).unwrap()["id"].as_str().unwrap().starts_with("sec_"), "{secret}");
    let secrets =
        |user: &str| server.get(&format!("/api/v1/users/{user}/secrets")).json()["items"].as_array().unwrap().len();
    assert_eq!((secrets("bob"), secrets("mallory")), (1, 0));
    let position = server.get("/api/v1/log/head").json()["position"].clone();
    for as_of in [&[][..], &["--as-of", &position.to_string()][..]] {
        let why = server.cli(&[&["why", "flexnet/bob", "pull", "acme", "--json"], as_of].concat());
        let why: Value = serde_json::from_str(&why.out).unwrap();
        assert_eq!((&why["user"], &why["allowed"]), (&json!("bob"), &json!(true)), "{why}");
    }
    // The token endpoint knows names only: an id signs nobody in.
    let text = server.secret_for("bob");
    let query = "&scope=repository:acme/db:pull";
    server.token("bob", &text, query).expect(200);
    server.token("flexnet/bob", &text, query).expect(401);
    let people = server.get("/api/v1/people/flexnet/mallory").expect(200).json();
    assert_eq!(people["asked_name"]["name"], "flexnet/bob", "{people}");
}

#[test]
fn a_name_that_nobody_can_have_is_shown_where_the_delivery_and_the_person_are() {
    let server = Server::start();
    server.say(WORLD);
    let answer = person(&server, "n4", Some("sys:admin"));
    let kept = server.get(&format!("/api/v1/deliveries/{}", answer["delivery"].as_str().unwrap())).expect(200).json();
    let told = kept["parts"][0]["reason"].as_str().unwrap_or_default();
    assert!(told.contains("`sys:admin` is not in effect") && told.contains("called `n4`"), "{kept}");
    let shown = server.get("/api/v1/users/n4").expect(200).json();
    assert!(shown["persons"][0]["asked_name"]["why"].as_str().unwrap().contains("`:`"), "{shown}");
}

#[test]
fn names_of_dots_are_no_such_name_on_the_command_line() {
    let server = Server::start();
    server.say(WORLD);
    for (id, name) in [("d1", "."), ("d2", "..")] {
        person(&server, id, Some(name));
        let said = server.cli(&["secrets", "issue", name]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains(&format!("Nothing has the name or id `{name}`")), "{said:?}");
        assert_eq!(server.get(&format!("/api/v1/users/{id}")).expect(200).json()["name"], id);
    }
}

#[test]
fn names_that_only_look_alike_are_shown_as_such() {
    let server = Server::start();
    server.say(WORLD);
    person(&server, "p1", Some("bob"));
    person(&server, "p2", Some("b\u{43E}b"));
    let shown = server.get("/api/v1/users/bob").expect(200).json();
    assert_eq!(shown["looks_like"], json!(["b\u{43E}b"]), "{shown}");
    let listed = server.pages("/api/v1/users");
    let alike: Vec<&Value> =
        listed.iter().filter(|user| user["looks_like"].is_array()).map(|user| &user["name"]).collect();
    assert_eq!(alike, [&json!("bob"), &json!("b\u{43E}b")]);
    let why = server.cli(&["why", "b\u{43E}b", "pull", "acme"]);
    assert!(why.out.contains("looks like `bob`"), "{why:?}");
    // Who may not list users is not told that there are others.
    let secret = server.secret_for("bob");
    let own = server.http.send(server.http.get(&server.url("/api/v1/users/bob")).bearer_auth(secret)).json();
    assert!(own["looks_like"].is_null(), "{own}");
}
