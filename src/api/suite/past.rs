//! Answers about the past: what would have been answered then is answered now.

use axum::http::{Request, StatusCode};
use chrono::Duration;
use serde_json::{Value, json};

use super::world::{KEY, World, at, ended, event, licensing_facts};

/// Ada's entitlement ends a day after it was recorded; the clock stands at the second day.
async fn two_days() -> (World, u64) {
    let world = World::licensing().await;
    let before = world.head().0;
    *world.clock.0.lock().unwrap() = at(24);
    world.facts(&[ended(2)]).await;
    *world.clock.0.lock().unwrap() = at(36);
    (world, before)
}

async fn explain(world: &World, as_of: &str) -> Value {
    let body = json!({"user": "ada", "action": "pull", "project": "acme", "as_of": as_of});
    let reply = world.post("/api/v1/explain", body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    assert_eq!(reply.header("rollcall-position"), reply.body["position"].to_string());
    reply.body
}

#[tokio::test]
async fn an_explanation_of_then_is_the_one_that_was_given_then() {
    let world = World::licensing().await;
    let mut given = Vec::new();
    for n in 0..6_i64 {
        *world.clock.0.lock().unwrap() = at(n * 10);
        let state = if n % 2 == 0 { "active" } else { "inactive" };
        let data = json!({"entitlement": "ENT-7", "account": "globex", "state": state});
        let sequence = 2 + u64::try_from(n).unwrap();
        world.facts(&[event(&format!("turn-{n}"), "entitlement.upserted", sequence, data)]).await;
        let body = json!({"user": "ada", "action": "pull", "project": "acme"});
        let mut then = world.post("/api/v1/explain", body).await.body;
        // What is asked now is kept as a decision; what is asked about the past is not.
        assert!(then.as_object_mut().unwrap().remove("decision").is_some());
        let members = world.ok("/api/v1/projects/acme/members").await;
        let access = world.ok("/api/v1/users/ada/access").await;
        given.push((world.head().0, at(n * 10), then, members, access));
    }
    for (position, instant, then, members, access) in given {
        for as_of in [position.to_string(), instant.to_rfc3339(), format!("0101010101010101:{position}")] {
            let mut now = explain(&world, &as_of).await;
            assert_eq!(now["basis"].take(), "recorded");
            assert_eq!(now, then, "as of {as_of}");
            let as_of = as_of.replace('+', "%2B");
            assert_eq!(world.ok(&format!("/api/v1/projects/acme/members?as_of={as_of}")).await, members, "{as_of}");
            assert_eq!(world.ok(&format!("/api/v1/users/ada/access?as_of={as_of}")).await, access, "{as_of}");
        }
    }
}

#[tokio::test]
async fn the_past_is_found_across_a_clock_that_lied_and_was_mended() {
    let world = World::licensing().await;
    let before = world.head();
    *world.clock.0.lock().unwrap() = at(365 * 24);
    let data = json!({"entitlement": "ENT-7", "account": "globex", "state": "inactive"});
    world.facts(&[event("lied", "entitlement.upserted", 2, data)]).await;
    let lied = world.head();
    *world.clock.0.lock().unwrap() = at(2);
    let mended = world.log.mend_clock(at(2)).await.unwrap();
    *world.clock.0.lock().unwrap() = at(4);
    for (as_of, allowed, told) in [
        (at(1).to_rfc3339(), true, None),
        (before.to_string(), true, None),
        (at(2).to_rfc3339(), false, None),
        (at(3).to_rfc3339(), false, None),
        (lied.to_string(), false, Some(at(2))),
        (mended.to_string(), false, None),
    ] {
        let then = explain(&world, &as_of).await;
        assert_eq!(then["allowed"], json!(allowed), "{as_of} {then}");
        let mended = told.map_or(Value::Null, |_| json!(mended));
        assert_eq!(then.get("clock_mended").unwrap_or(&Value::Null), &mended, "{as_of}");
        assert!(told.is_none_or(|told| then["at"] == json!(told)), "{as_of} {then}");
    }
    // Also of what is known now, as the source stated no time of its own.
    for (hour, allowed) in [(1, true), (3, false)] {
        let body = json!({"user": "ada", "action": "pull", "project": "acme", "as_of": at(hour), "basis": "effective"});
        let then = world.post("/api/v1/explain", body).await;
        assert_eq!(then.body["allowed"], json!(allowed), "{hour} {}", then.text);
    }
    let changed = world.ok(&format!("/api/v1/reports/diff?from={lied}&user=ada")).await;
    assert_eq!((&changed["from"]["clock_mended"], &changed["from"]["at"]), (&json!(mended), &json!(at(2))));
    world.ok(&format!("/api/v1/reports/diff?from={before}&to={lied}&project=acme")).await;
}

#[tokio::test]
async fn a_correction_changes_what_was_effective_and_not_what_was_recorded() {
    let (world, before) = two_days().await;
    // Said on the second day of the first: the entitlement had been over at noon.
    let mut late = ended(9);
    late["time"] = json!(at(12));
    let mut renewed = event("again", "entitlement.upserted", 3, late["data"].clone());
    renewed["data"]["state"] = json!("active");
    world.facts(&[renewed]).await;
    let ask = async |basis: &str| {
        let body = json!({"user": "ada", "action": "pull", "project": "acme", "as_of": at(40), "basis": basis});
        world.post("/api/v1/explain", body).await
    };
    *world.clock.0.lock().unwrap() = at(45);
    assert_eq!(ask("recorded").await.body["allowed"], true);
    let effective = ask("effective").await;
    assert_eq!(
        (effective.status, &effective.body["basis"]),
        (StatusCode::OK, &json!("effective")),
        "{}",
        effective.text
    );
    assert_eq!(effective.body["allowed"], true);
    assert!(before < world.head().0);
    // Recorded late, of an older version: superseded, and yet what had been so.
    let data = json!({"line": "ENT-7/1", "entitlement": "ENT-7", "product": "DB", "starts": null, "ends": at(48)});
    let later = json!({"line": "ENT-7/1", "entitlement": "ENT-7", "product": "DB", "starts": null, "ends": at(1)});
    let mut first = event("l5", "entitlement.line.upserted", 5, data);
    first["time"] = json!(at(44));
    let mut second = event("l4", "entitlement.line.upserted", 4, later);
    second["time"] = json!(at(39));
    world.facts(&[first, second]).await;
    assert_eq!(ask("recorded").await.body["allowed"], true, "as it was known then");
    let effective = ask("effective").await.body;
    assert_eq!(effective["allowed"], false, "as it is known now: {effective:#}");
}

#[tokio::test]
async fn a_moment_that_the_log_does_not_have_is_said_to_be_none() {
    let (world, _) = two_days().await;
    let head = world.head().0;
    let cases = [
        ((head + 1).to_string(), "unknown-moment", "in the future"),
        (at(37).to_rfc3339(), "unknown-moment", "in the future"),
        ("0".to_owned(), "unknown-moment", "before anything"),
        ((at(0) - Duration::hours(1)).to_rfc3339(), "unknown-moment", "before anything"),
        ("0202020202020202:3".to_owned(), "other-log", "another log"),
        ("soon".to_owned(), "invalid-query", "is not a position"),
    ];
    for (as_of, problem, says) in cases {
        let body = json!({"user": "ada", "action": "pull", "project": "acme", "as_of": as_of});
        let reply = world.post("/api/v1/explain", body).await;
        let of_body = if problem == "invalid-query" { "invalid-body" } else { problem };
        assert_eq!(reply.problem(), of_body, "{as_of}: {}", reply.text);
        let path = format!("/api/v1/projects/acme/members?as_of={}", as_of.replace('+', "%2B"));
        let reply = world.get(&path).await;
        assert_eq!(reply.problem(), problem, "{as_of}");
        assert!(reply.body["detail"].as_str().unwrap().contains(says), "{as_of}: {}", reply.text);
    }
    // Before the package there was no such project.
    let body = json!({"user": "ada", "action": "pull", "project": "acme", "as_of": "6"});
    assert_eq!(world.post("/api/v1/explain", body).await.problem(), "unknown-project");
    let body = json!({"user": "ada", "action": "pull", "project": "acme", "basis": "effective"});
    assert_eq!(world.post("/api/v1/explain", body).await.problem(), "invalid-body");
}

#[tokio::test]
async fn a_project_is_found_by_its_name_of_then_and_of_now() {
    let world = World::licensing().await;
    let before = world.head().0;
    let data = json!({"package": "db-suite", "project_name": "nova", "producer": "vendor", "container_delivery": true});
    world.facts(&[event("renamed", "package.upserted", 2, data)]).await;
    for name in ["acme", "nova"] {
        let body = json!({"user": "ada", "action": "pull", "project": name, "as_of": before.to_string()});
        let reply = world.post("/api/v1/explain", body).await;
        assert_eq!(
            (reply.body["project"].as_str(), reply.body["allowed"].as_bool()),
            (Some("acme"), Some(true)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_report_names_its_position_and_the_hash_of_the_log_there() {
    let (world, before) = two_days().await;
    let report = world.ok(&format!("/api/v1/reports/who?project=acme&as_of={before}")).await;
    let names: Vec<_> = report["rows"].as_array().unwrap().iter().map(|row| row["user"].as_str().unwrap()).collect();
    assert_eq!(names, ["ada", "pat"]);
    assert_eq!(report["as_of"]["position"], before);
    assert_eq!(report["as_of"]["hash"].as_str().unwrap().len(), 64);
    assert_eq!(report["open_to"], Value::Null);
    let pushers = world.ok(&format!("/api/v1/reports/who?project=acme&action=push&as_of={before}")).await;
    assert_eq!(pushers["rows"].as_array().unwrap().len(), 1);
    let now = world.ok("/api/v1/reports/who?project=acme").await;
    assert_eq!(now["rows"].as_array().unwrap().len(), 1, "{now:#}");
    assert_ne!(now["as_of"]["hash"], report["as_of"]["hash"]);

    let path = format!("/api/v1/reports/who?project=acme&as_of={before}");
    let request = Request::get(&path).header("authorization", format!("Bearer {KEY}")).header("accept", "text/csv");
    let csv = world.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert!(csv.header("content-type").starts_with("text/csv"), "{}", csv.text);
    assert_eq!(csv.header("rollcall-position"), before.to_string());
    assert_eq!(csv.text, world.get(&format!("{path}&format=csv")).await.text);
    let lines: Vec<&str> = csv.text.lines().collect();
    assert!(lines[0].starts_with(
        "user,user_id,role,rule,reason,source,event,events,by,until,project,action,basis,position,at,chain_head"
    ));
    assert!(
        lines[1]
            .starts_with("ada,flexnet/ada,Guest,customer,\"entitlement ENT-7 (account globex, product DB)\",flexnet,")
    );
    assert!(lines[1..].iter().all(|line| line.ends_with(report["as_of"]["hash"].as_str().unwrap())), "{}", csv.text);
    assert_eq!(lines.len(), 3);
}

#[tokio::test]
async fn a_name_that_a_spreadsheet_would_calculate_is_text_in_a_report() {
    let world = World::licensing().await;
    let person = json!({"person": "mallory", "username": "=cmd|' -c calc'!a0", "account": "globex", "active": true});
    world.facts(&[event("m", "person.upserted", 1, person)]).await;
    let csv = world.get("/api/v1/reports/who?project=acme&format=csv").await.text;
    assert!(csv.contains("\r\n'=cmd|"), "{csv}");
}

#[tokio::test]
async fn a_difference_names_the_events_that_made_it() {
    let (world, before) = two_days().await;
    let end = world.head().0;
    for what in ["project=acme", "user=ada", "project=acme&user=ada"] {
        let diff = world.ok(&format!("/api/v1/reports/diff?from={before}&{what}")).await;
        assert_eq!(diff["same"], false, "{what}");
        let changes = diff["memberships"].as_array().unwrap();
        assert_eq!(changes.len(), 1, "{what}: {diff:#}");
        assert_eq!(
            (&changes[0]["name"], &changes[0]["what"], &changes[0]["appeared"]),
            (&json!("ada"), &json!("Guest"), &json!(false))
        );
        assert_eq!(changes[0]["because"][0]["position"], end, "{what}: {diff:#}");
        assert_eq!(diff["actions"][0]["what"], "image.pull");
        let back = world.get(&format!("/api/v1/reports/diff?from={end}&to={before}&{what}")).await;
        assert_eq!(back.problem(), "invalid-query");
        let none = world.ok(&format!("/api/v1/reports/diff?from={end}&{what}")).await;
        assert_eq!(none["same"], true, "{what}: {none:#}");
    }
    assert_eq!(world.get("/api/v1/reports/diff?from=3").await.problem(), "invalid-query");
    // Time ends things too.
    world
        .facts(&[event(
            "again",
            "entitlement.upserted",
            3,
            json!({"entitlement": "ENT-7", "account": "globex", "state": "active"}),
        )])
        .await;
    let start = world.head().0;
    *world.clock.0.lock().unwrap() = at(50);
    let diff = world.ok(&format!("/api/v1/reports/diff?from={start}&project=acme")).await;
    let change = &diff["memberships"][0];
    assert_eq!((&change["because"], &change["times"][0]), (&json!([]), &json!(at(48))), "{diff:#}");
}

#[tokio::test]
async fn people_who_may_not_list_others_see_only_themselves_in_the_past_too() {
    let world = World::licensing().await;
    let secret = world.post("/api/v1/users/ada/secrets", json!({})).await.body["secret"].as_str().unwrap().to_owned();
    let end = world.head().0;
    let get = async |path: String| {
        let request = Request::get(path).header("authorization", format!("Bearer {secret}"));
        world.send(request.body(axum::body::Body::empty()).unwrap()).await
    };
    let members = get(format!("/api/v1/projects/acme/members?as_of={end}")).await;
    let names: Vec<_> = members.body["items"].as_array().unwrap().iter().map(|row| row["user"].clone()).collect();
    assert_eq!(names, [json!("ada")], "{}", members.text);
    assert_eq!(get(format!("/api/v1/users/ada/access?as_of={end}")).await.status, StatusCode::OK);
    assert_eq!(get(format!("/api/v1/users/pat/access?as_of={end}")).await.problem(), "unknown-user");
    assert_eq!(get(format!("/api/v1/reports/who?project=acme&as_of={end}")).await.problem(), "forbidden");
    assert_eq!(get(format!("/api/v1/reports/diff?user=pat&from={end}")).await.problem(), "forbidden");
    assert_eq!(licensing_facts().len(), 10);
}

#[tokio::test]
async fn who_runs_a_project_is_told_of_somebody_without_a_tie_what_is_told_of_nobody() {
    let world = World::licensing().await;
    let person = json!({"person": "stray", "username": "stray", "account": null, "active": true});
    world.facts(&[event("s", "person.upserted", 1, person)]).await;
    let project = rollcall_events::body::Scope::Project("flexnet/db-suite".parse().unwrap());
    let secret = world.service("runs-acme", "api:project_admin", project).await;
    let path = |user: &str| format!("/api/v1/reports/diff?from=1&project=acme&user={user}");
    let stray = world.by(&secret, "GET", &path("stray"), None).await;
    let nobody = world.by(&secret, "GET", &path("nobody"), None).await;
    assert_eq!((stray.problem(), &stray.text), ("unknown-user", &nobody.text), "it is told who exists");
    assert_eq!(world.by(&secret, "GET", &path("ada"), None).await.status, StatusCode::OK);
    assert_eq!(world.get(&path("stray")).await.status, StatusCode::OK, "the operator may ask about everybody");
}

/// What is above projects, and services, as of then: as it was answered then.
#[tokio::test]
async fn folders_the_root_and_services_are_asked_about_as_of_then_too() {
    let world = World::under("ibm").await;
    let boss = |n: i64| *world.clock.0.lock().unwrap() = at(n);
    let made = world.by(KEY, "PUT", "/api/v1/folders/eu", Some(json!({"kind": "region"}))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(world.post("/api/v1/services", json!({"id": "ci"})).await.status, StatusCode::CREATED);
    let questions = || {
        ["ada", "service:ci"].into_iter().flat_map(|user| {
            [json!({"folder": "eu"}), json!({}), json!({"project": "acme"})].into_iter().map(move |mut scope| {
                scope["user"] = json!(user);
                scope["action"] = json!("container-registry.namespace.create");
                scope
            })
        })
    };
    let mut given = Vec::new();
    for (n, binding) in [
        json!({"principal": {"user": "ada"}, "role": "Manager", "scope": {"folder": "eu"}}),
        json!({"principal": {"service": "ci"}, "role": "Manager", "scope": {"folder": "eu"}, "ends": at(30)}),
        json!({"principal": {"user": "ada"}, "role": "Manager", "scope": "root"}),
    ]
    .into_iter()
    .enumerate()
    {
        boss(10 * (1 + i64::try_from(n).unwrap()));
        assert_eq!(world.post("/api/v1/bindings", binding).await.status, StatusCode::OK);
        for question in questions() {
            let mut then = world.post("/api/v1/explain", question.clone()).await.body;
            assert!(then.as_object_mut().unwrap().remove("decision").is_some(), "{then}");
            given.push((world.head(), question, then));
        }
    }
    boss(50);
    for id in ["ci", "eu"] {
        let path = if id == "ci" { "services/ci" } else { "folders/eu" };
        assert_eq!(world.delete(&format!("/api/v1/{path}")).await.status, StatusCode::OK);
    }
    let (mut yes, mut no) = (0, 0);
    for (position, question, then) in given {
        for basis in ["recorded", "effective"] {
            let mut asked = question.clone();
            asked["as_of"] =
                json!(if basis == "recorded" { position.to_string() } else { then["at"].as_str().unwrap().to_owned() });
            asked["basis"] = json!(basis);
            let mut now = world.post("/api/v1/explain", asked.clone()).await.body;
            assert_eq!(now["basis"].take(), basis, "{asked}: {now:#}");
            if basis == "effective" {
                assert_eq!(now["allowed"], then["allowed"], "{asked}");
            } else {
                assert_eq!(now, then, "{asked}");
            }
        }
        if then["allowed"] == true { yes += 1 } else { no += 1 }
    }
    assert!(yes > 4 && no > 4, "{yes} {no}");
    // Of what was not there then it is said.
    for (scope, problem) in
        [(json!({"folder": "eu"}), "unknown-folder"), (json!({"user": "service:ci"}), "unknown-user")]
    {
        let mut asked = json!({"action": "pull", "as_of": "5"});
        asked.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
        assert_eq!(world.post("/api/v1/explain", asked).await.problem(), problem, "{scope}");
    }
}

#[tokio::test]
async fn a_difference_is_of_a_service_too() {
    let world = World::under("harbor").await;
    world.post("/api/v1/projects", json!({"name": "tools"})).await;
    world.post("/api/v1/services", json!({"id": "ci"})).await;
    let before = world.head();
    let give = json!({"principal": {"service": "ci"}, "role": "guest", "scope": {"project": "tools"}});
    assert_eq!(world.post("/api/v1/bindings", give).await.status, StatusCode::OK);
    for filter in ["", "&project=tools"] {
        let told = world.ok(&format!("/api/v1/reports/diff?user=service:ci&from={before}{filter}")).await;
        let row = &told["memberships"][0];
        assert_eq!(
            json!([row["user"], row["what"], row["appeared"]]),
            json!(["service:ci", "guest", true]),
            "{told:#}"
        );
    }
    let path = format!("/api/v1/reports/diff?user=service:nope&from={before}");
    assert_eq!(world.get(&path).await.problem(), "unknown-user");
}
