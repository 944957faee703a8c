//! What there is can be listed, narrowed and shown; ids by their beginning, moments as people say them.

use serde_json::{Value, json};

use crate::support::{
    server::{Server, WORLD},
    wait_for,
};

/// The lines of a table whose heading begins so.
#[track_caller]
fn rows(said: &str, heading: &str) -> Vec<String> {
    let mut lines = said.lines();
    assert!(lines.any(|line| line.starts_with(heading)), "{said}");
    lines.map(str::to_owned).collect()
}

#[test]
fn users_people_and_secrets_are_listed_and_narrowed_for_an_operator_and_for_oneself() {
    let server = Server::start();
    server.say(WORLD);
    let users = rows(&server.cli(&["users", "list"]).ok(), "USER");
    assert_eq!(users.len(), 3, "{users:?}");
    for (filter, found) in [(["--name", "a*"], "ada"), (["--name", "ADA"], "ada"), (["--account", "lab"], "max")] {
        let users = rows(&server.cli(&["users", "list", filter[0], filter[1]]).ok(), "USER");
        assert!(matches!(&users[..], [one] if one.starts_with(found)), "{filter:?}: {users:?}");
    }
    assert!(rows(&server.cli(&["users", "list", "--shut-out"]).ok(), "USER").is_empty());
    let shown = server.cli(&["users", "show", "ada"]).ok();
    assert!(shown.contains("flexnet/ada") && shown.contains("acme") && shown.contains("ENT-7"), "{shown}");
    let shown: Value = serde_json::from_str(&server.cli(&["users", "show", "ada", "--json"]).ok()).unwrap();
    assert_eq!((&shown["name"], &shown["access"][0]["role"]), (&json!("ada"), &json!("Guest")));

    let people = rows(&server.cli(&["people", "list", "--source", "flexnet", "--user", "ada"]).ok(), "SOURCE");
    assert!(matches!(&people[..], [one] if one.contains("globex")), "{people:?}");
    let shown = server.cli(&["people", "show", "flexnet/ada"]).ok();
    assert!(shown.contains("username") && shown.contains("ada"), "{shown}");

    server.cli(&["secrets", "issue", "ada", "--label", "laptop"]).ok();
    let own = server.secret_for("pia");
    server.cli(&["services", "create", "ci"]).ok();
    server.cli(&["services", "secret", "ci", "--label", "nightly"]).ok();
    let all = rows(&server.cli(&["secrets", "list"]).ok(), "USER");
    assert_eq!(all.len(), 3, "of everybody: {all:?}");
    for (filter, label) in
        [(vec!["ada"], "laptop"), (vec!["--service", "ci"], "nightly"), (vec!["--label", "test"], "test")]
    {
        let listed = rows(&server.cli(&[vec!["secrets", "list"], filter].concat()).ok(), "USER");
        assert!(matches!(&listed[..], [one] if one.contains(label)), "{listed:?}");
    }
    let made = rows(&server.cli(&["secrets", "list", "--made-by", "admin"]).ok(), "USER");
    assert_eq!(made.len(), 3, "{made:?}");
    // Whoever is nobody's administrator sees the own ones and no others.
    server.dir.write("pia.key", &own);
    let key = server.dir.join("pia.key");
    let listed = server.cli(&["secrets", "list", "--token-file", key.to_str().unwrap()]).ok();
    assert!(matches!(&rows(&listed, "USER")[..], [one] if one.starts_with("pia")), "{listed}");
    for asked in [vec!["ada"], vec!["nobody"], vec!["--service", "ci"]] {
        let refused = server.cli(&[vec!["secrets", "list", "--token-file", key.to_str().unwrap()], asked].concat());
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{}", refused.err);
        assert!(refused.err.contains("that you can see"), "{}", refused.err);
    }
    // Page by page it is the same list.
    let pages = server.pages("/api/v1/secrets?limit=1");
    assert_eq!(pages.len(), 3);
}

#[test]
fn decisions_are_listed_narrowed_and_shown_with_the_answer_of_now() {
    let server = Server::start();
    server.say(WORLD);
    let secret = server.secret_for("ada");
    server.say("flexnet entitlement.upserted ENT-7 account=globex state=inactive");
    server.token("ada", &secret, "&scope=repository:acme/db:pull");
    let id = wait_for("the decision", || {
        let found = server.get("/api/v1/decisions?user=ada").expect(200).json();
        found["items"][0]["id"].as_str().map(str::to_owned)
    });
    for filter in [
        vec!["--user", "ada"],
        vec!["--project", "acme"],
        vec!["--image", "acme/db"],
        vec!["--outcome", "denied"],
        vec!["--from", "1h"],
        vec!["--from", "yesterday", "--until", "tomorrow"],
    ] {
        let listed = rows(&server.cli(&[vec!["decisions", "list"], filter.clone()].concat()).ok(), "DECISION");
        assert!(matches!(&listed[..], [one] if one.starts_with(&id)), "{filter:?}: {listed:?}");
    }
    for filter in [vec!["--outcome", "reduced"], vec!["--until", "1h"]] {
        let listed = rows(&server.cli(&[vec!["decisions", "list"], filter].concat()).ok(), "DECISION");
        assert!(listed.is_empty(), "{listed:?}");
    }
    let shown = server.cli(&["decisions", "show", &id[..20]]).ok();
    assert!(shown.contains("ada asked for repository:acme/db:pull") && shown.contains("now: NO"), "{shown}");
}

#[test]
fn an_event_is_shown_by_its_position_its_id_or_the_beginning_of_it() {
    let server = Server::start();
    let position = server.say(WORLD);
    let event = server.get(&format!("/api/v1/events/{position}")).expect(200).json();
    let id = event["id"].as_str().unwrap();
    let by_source = format!("flexnet/{id}");
    for text in [position.to_string().as_str(), id, &by_source] {
        let shown = server.cli(&["events", "show", text]).ok();
        assert!(shown.contains("entitlement.line") && shown.contains("\"product\": \"DB\""), "{text}: {shown}");
    }
    for text in ["0", "99999", "no-such-id", "flexnet/x"] {
        let refused = server.cli(&["events", "show", text]);
        assert!(refused.code == 1 && refused.err.contains("positions go from 1"), "{text}: {}", refused.err);
    }
    // What somebody made here has an id of ours, of which the beginning will do.
    server.cli(&["services", "create", "ci"]).ok();
    let made = server.pages("/api/v1/events?type=service.created&limit=10").pop().unwrap();
    let id = made["id"].as_str().unwrap();
    let shown = server.cli(&["events", "show", &id[..id.len() - 2]]).ok();
    assert!(shown.contains("service/ci"), "{shown}");
    let several = server.cli(&["events", "show", &id[..6]]);
    assert!(several.code == 2 && several.err.contains("could be"), "{} {}", several.out, several.err);
}

#[test]
fn a_short_id_is_enough_and_one_that_could_be_several_is_refused_with_them() {
    let server = Server::start_with("\n[access]\nbindings_on_managed = true\n");
    server.say(WORLD);
    for user in ["ada", "max", "pia"] {
        server.cli(&["bindings", "set", &format!("user:{user}"), "Guest", "project:acme"]).ok();
    }
    let bindings = server.pages("/api/v1/bindings?limit=10");
    let (long, short) = (bindings[0]["id"].as_str().unwrap(), bindings[0]["short"].as_str().unwrap());
    assert_eq!(short.len(), "bnd_".len() + 12);
    let listed = server.cli(&["bindings", "list"]).ok();
    assert!(listed.contains(short) && !listed.contains(long), "{listed}");
    for id in [long, short, &short[..10], &short["bnd_".len()..]] {
        let shown: Value = serde_json::from_str(&server.cli(&["bindings", "show", id, "--json"]).ok()).unwrap();
        assert_eq!(shown["id"], long, "{id}");
    }
    for id in [&short[..9], "bnd_zzzzzz", "bnd_000000"] {
        let refused = server.cli(&["bindings", "show", id]);
        assert!(refused.code == 1 && refused.err.contains("No binding"), "{id}: {}", refused.err);
    }
    server.cli(&["bindings", "remove", &short[..12]]).ok();
    assert_eq!(server.pages("/api/v1/bindings?limit=10").len(), 2, "that one and no other");

    // Deliveries come close together, so that their ids begin alike.
    server.say("flexnet product.upserted X");
    server.say("flexnet product.upserted Y");
    let deliveries = server.pages("/api/v1/deliveries?limit=10");
    let ids: Vec<&str> = deliveries.iter().map(|row| row["id"].as_str().unwrap()).collect();
    let shown = server.cli(&["deliveries", "show", &ids[0][..30]]).ok();
    assert!(shown.starts_with(ids[0]), "{shown}");
    let several = server.cli(&["deliveries", "show", &ids[0][..10]]);
    assert_eq!(several.code, 2, "{}", several.out);
    assert!(ids.iter().all(|id| several.err.contains(id)), "{}", several.err);

    let first = server.post("/api/v1/users/ada/secrets", &json!({"label": "a"})).expect(201).json();
    let second = server.post("/api/v1/users/ada/secrets", &json!({"label": "b"})).expect(201).json();
    let (first, second) = (first["id"].as_str().unwrap(), second["id"].as_str().unwrap());
    let several = server.cli(&["secrets", "revoke", "ada", &first[..10]]);
    assert!(several.code == 2 && several.err.contains(first) && several.err.contains(second), "{}", several.err);
    server.cli(&["secrets", "revoke", "ada", &first[..34]]).ok();
    let left = server.cli(&["secrets", "list", "ada"]).ok();
    assert!(left.contains(second) && !left.contains(first), "{left}");
}

#[test]
fn moments_and_ends_are_said_as_people_say_them() {
    let server = Server::start();
    server.say(WORLD);
    for moment in ["today", "now", "0s ago", "2999-01-01"] {
        let said = server.cli(&["why", "ada", "pull", "acme/db", "--as-of", moment]);
        let future = moment.starts_with("2999");
        assert_eq!(said.code, if future { 2 } else { 0 }, "{moment}: {} {}", said.out, said.err);
        assert!(!future || said.err.contains("is in the future"), "{}", said.err);
    }
    for (moment, told) in [
        ("yesterday", "before anything was recorded"),
        ("2h ago", "before anything was recorded"),
        ("1w", "before anything was recorded"),
        ("soon", "it has another form"),
        ("90x", "`x` is no unit"),
        ("2026-03-01T12:00", "the zone is missing"),
    ] {
        for command in [vec!["why", "ada", "pull", "acme/db"], vec!["who", "acme"]] {
            let said = server.cli(&[command, vec!["--as-of", moment]].concat());
            assert!(said.code != 0 && said.err.contains(told), "{moment}: {}", said.err);
        }
    }
    let in_days = |text: &Value| {
        let end: chrono::DateTime<chrono::Utc> = text.as_str().unwrap().parse().unwrap();
        (end - chrono::Utc::now()).num_hours()
    };
    let issued: Value =
        serde_json::from_str(&server.cli(&["secrets", "issue", "ada", "--expires", "90d", "--json"]).ok()).unwrap();
    assert!((90 * 24 - 2..=90 * 24).contains(&in_days(&issued["expires"])), "{issued}");
    server.cli(&["services", "create", "ci", "--ends", "2w"]).ok();
    let service = server.get("/api/v1/services/ci").expect(200).json();
    assert!((14 * 24 - 2..=14 * 24).contains(&in_days(&service["ends"])), "{service}");
    server.cli(&["projects", "create", "kit"]).ok();
    server
        .cli(&["bindings", "set", "user:ada", "Guest", "project:kit", "--starts", "tomorrow", "--ends", "2999-12-31"])
        .ok();
    let binding = server.pages("/api/v1/bindings?project=kit").pop().unwrap();
    assert_eq!(binding["ends"], "3000-01-01T00:00:00Z", "a day is good to its end");
    let refused = server.cli(&["secrets", "issue", "ada", "--expires", "soon"]);
    assert!(refused.code == 2 && refused.err.contains("a duration (2h, 90d, 2w)"), "{}", refused.err);
}

#[test]
fn an_unknown_filter_value_is_an_error_that_names_the_known_ones() {
    let server = Server::start();
    server.say(WORLD);
    for list in ["events", "deliveries", "plans", "problems", "groups", "people", "users"] {
        let refused = server.get(&format!("/api/v1/{list}?source=flexnt")).expect(400);
        let text = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(text.contains("flexnet") && text.contains("local"), "{list}: {text}");
        let refused = server.get(&format!("/api/v1/{list}?sorce=flexnet")).expect(400);
        assert!(refused.text.contains("source"), "{list}: {refused:?}");
    }
    for (path, named) in [
        ("events?type=entitlment.upserted", "entitlement.upserted"),
        ("events?type=rollcall.entitlments.*", "entitlement.upserted"),
        ("deliveries?verdict=rejekted", "rejected"),
        ("problems?kind=parkt", "parked"),
        ("events?correlation=msg-1", "dlv_"),
        ("bindings?scope=galaxy", "folder"),
        ("decisions?outcome=no", "denied"),
        ("decisions?from=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", "`until` is not after `from`"),
        ("people?account=globx", "account"),
        ("users?account=globx", "account"),
        ("users?shut_out=maybe", "true or false"),
    ] {
        let refused = server.get(&format!("/api/v1/{path}")).expect(400);
        assert!(refused.json()["detail"].as_str().unwrap().contains(named), "{path}: {refused:?}");
    }
    for path in [
        "decisions?user=adda",
        "decisions?project=acmee",
        "decisions?image=acmee/db",
        "people?user=adda",
        "users?name=adda",
    ] {
        server.get(&format!("/api/v1/{path}")).expect(404);
    }
    let said = server.cli(&["events", "tail", "--subject", "entitlement/ENT-77"]);
    assert!(said.code == 1 && said.err.contains("is about `entitlement/ENT-77`"), "{}", said.err);
    for list in ["events?type=entitlement.*", "events?type=entitlement.upserted", "events?type=rollcall.entitlement.*"]
    {
        let found = server.get(&format!("/api/v1/{list}")).expect(200).json();
        assert!(!found["items"].as_array().unwrap().is_empty(), "{list}");
    }
}

#[test]
fn every_filter_of_every_list_is_refused_where_it_names_nothing() {
    let server = Server::start();
    server.say(WORLD);
    // Any text may be a subject, of which pages of events may have none, and a label.
    let free = [("/api/v1/events", "subject"), ("/api/v1/secrets", "label")];
    let paging = ["cursor", "limit", "min_position", "wait"];
    let told = server.get("/api/v1/openapi.json").expect(200).json();
    let (mut asked, mut empty) = (0, Vec::new());
    for (path, of) in told["paths"].as_object().unwrap().iter().filter(|(path, _)| !path.contains('{')) {
        let parameters = of["get"]["parameters"].as_array().cloned().unwrap_or_default();
        for name in parameters.iter().filter(|one| one["in"] == "query").map(|one| one["name"].as_str().unwrap()) {
            if paging.contains(&name) || free.contains(&(path, name)) {
                continue;
            }
            asked += 1;
            let answer = server.get(&format!("{path}?{name}=zzz-nobody"));
            if ![400, 404].contains(&answer.status) {
                empty.push(format!("{path}?{name}: {}", answer.status));
            }
        }
    }
    assert!(asked > 30 && empty.is_empty(), "{asked}, {empty:?}");
}
