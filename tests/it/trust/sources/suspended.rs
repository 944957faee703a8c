//! A source that is suspended gives nobody anything and goes on being told; what the plan shows is what is done; what
//! takes from many waits for somebody who names the plan.

use serde_json::{Value, json};

use crate::support::server::{Server, WORLD};

fn problems(server: &Server) -> Vec<Value> {
    server.pages("/api/v1/problems?kind=source_suspended")
}

fn plan(server: &Server, change: &str) -> Value {
    server.get(&format!("/api/v1/sources/flexnet/{change}/plan")).expect(200).json()
}

#[test]
fn a_suspended_source_gives_nobody_anything_until_it_is_resumed_and_everything_says_so() {
    let mut server = Server::start();
    server.say(WORLD);
    let before = server.memberships();
    let ada = server.secret_for("ada");
    assert_eq!(server.granted("ada", &ada, "acme/db"), ["pull"]);
    let counted = server.get("/api/v1/log/head").json()["position"].as_u64().unwrap();

    let told = plan(&server, "suspend");
    assert_eq!((&told["people"], &told["gains"], &told["held"]), (&json!(3), &json!(0), &Value::Null), "{told}");
    let rows = server.pages("/api/v1/sources/flexnet/suspend/plan/rows");
    assert_eq!(rows.len() as u64, told["rows"].as_u64().unwrap(), "{rows:?}");
    assert!(rows.iter().any(|row| row["name"] == "ada" && row["roles_lost"] == json!(["Guest"])), "{rows:?}");
    assert_eq!(server.memberships(), before, "a plan changes nothing");

    let said = server.cli(&["sources", "suspend", "flexnet"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    for part in ["project acme  ada", "-Guest", "source flexnet is suspended"] {
        assert!(said.out.contains(part), "`{part}` is not in\n{}", said.out);
    }
    assert_eq!(server.memberships(), Vec::<String>::new());
    let shown = server.cli(&["sources"]).ok();
    assert!(shown.contains("suspended by admin key"), "{shown}");
    let found = problems(&server);
    assert_eq!((found.len(), &found[0]["source"]), (1, &json!("flexnet")), "{found:?}");
    assert!(found[0]["remedy"].as_str().unwrap().contains("rollcall sources resume flexnet"), "{found:?}");
    let doctor = server.cli(&["doctor"]);
    assert!(doctor.out.contains("source_suspended"), "{}", doctor.out);
    assert_eq!(server.token("ada", &ada, "&scope=repository:acme/db:pull").status, 401, "nobody counts who she is");
    let who = || server.get("/api/v1/users/ada").expect(200).json();
    assert_eq!((&who()["shut_out"], &who()["persons"][0]["suspended"]), (&json!(true), &json!(true)), "{}", who());
    let why = server.cli(&["why", "ada", "pull", "acme"]);
    assert!(why.code == 1 && why.out.contains("source flexnet is suspended"), "{}{}", why.out, why.err);
    let then = server.cli(&["why", "ada", "pull", "acme", "--as-of", &counted.to_string()]);
    assert_eq!(then.code, 0, "{}{}", then.out, then.err);
    let diff = server.cli(&["diff", "acme", &counted.to_string()]);
    assert!(diff.code == 1 && diff.out.contains("source/flexnet"), "{}{}", diff.out, diff.err);

    // It goes on being told, and a restart forgets none of it.
    server.say("flexnet person.upserted new account=globex\nflexnet person.upserted max account=lab active=false");
    server.restart();
    assert_eq!(server.memberships(), Vec::<String>::new());
    assert!(server.post("/api/v1/projections/roster/check", &json!({})).expect(200).json()["same"] != json!(false));

    let back = server.cli(&["sources", "resume", "flexnet"]);
    assert_eq!(back.code, 0, "{}{}", back.out, back.err);
    let after = server.memberships();
    let named = |rows: &[String], name: &str| rows.iter().any(|row| row.contains(&format!("\"{name}\"")));
    assert!(named(&after, "new") && named(&after, "ada") && !named(&after, "max"), "{after:?}");
    assert_eq!(server.granted("ada", &ada, "acme/db"), ["pull"]);
    assert_eq!(problems(&server), [] as [Value; 0]);
    let again = server.cli(&["sources", "resume", "flexnet"]);
    assert!(again.code == 0 && again.out.contains("no difference"), "{}{}", again.out, again.err);
}

#[test]
fn what_takes_from_many_waits_for_whoever_names_the_plan_and_nobody_confirms_another_one() {
    let server = Server::start();
    server.say(WORLD);
    let people: String = (0..30).map(|n| format!("flexnet person.upserted p{n} account=globex\n")).collect();
    server.say(&people);
    let before = server.memberships();
    let path = "/api/v1/sources/flexnet/suspend";
    let told = plan(&server, "suspend");
    let why = told["held"].as_str().unwrap();
    assert!(why.contains("33 users and services") && why.contains("nobody would be left in acme"), "{why}");
    let held = server.post(path, &json!({})).expect(409);
    assert!(held.text.contains(told["plan"].as_str().unwrap()) && held.text.contains("33 users"), "{}", held.text);
    let said = server.cli(&["sources", "suspend", "flexnet"]);
    let name = told["plan"].as_str().unwrap();
    assert_eq!((said.code, said.err.contains(&format!("--confirm {name}"))), (1, true), "{}{}", said.out, said.err);
    assert_eq!(server.memberships(), before);

    // Somebody more: it is another plan.
    server.say("flexnet person.upserted late account=globex");
    server.post(path, &json!({"confirm": name})).expect(412);
    assert_ne!(server.memberships(), Vec::<String>::new());
    let now = plan(&server, "suspend")["plan"].as_str().unwrap().to_owned();
    server.cli(&["sources", "suspend", "flexnet", "--confirm", &now]).ok();
    assert_eq!(server.memberships(), Vec::<String>::new());
    let resumed = server.post("/api/v1/sources/flexnet/resume", &json!({})).expect(200).json();
    assert_eq!(resumed["effect"], "applied", "what only gives is not held");
    assert_eq!(server.memberships().len(), before.len() + 1);
    for path in ["/api/v1/sources/nobody/suspend", "/api/v1/sources/NO%20NAME/suspend"] {
        server.post(path, &json!({})).expect(404);
    }
    server.get("/api/v1/sources/flexnet/forget/plan").expect(404);
    server.post("/api/v1/sources/local/suspend", &json!({})).expect(422);
}

#[test]
fn whoever_may_look_at_plans_sees_whom_it_would_change_and_does_not_do_it() {
    let server = Server::start();
    server.say(WORLD);
    server.post("/api/v1/services", &json!({"id": "watch"})).expect(201);
    let auditor = json!({"principal": {"service": "watch"}, "role": "api:auditor", "scope": "root"});
    server.post("/api/v1/bindings", &auditor).expect(200);
    let key = server.post("/api/v1/services/watch/secrets", &json!({})).expect(201).json();
    let key = key["secret"].as_str().unwrap();
    let path = |what: &str| server.url(&format!("/api/v1/sources/flexnet/suspend{what}"));
    let look = |what: &str| server.http.send(server.http.get(&path(what)).bearer_auth(key)).expect(200).json();
    let told = plan(&server, "suspend");
    assert_eq!(look("/plan"), told);
    let rows = look("/plan/rows")["items"].as_array().unwrap().len();
    assert_eq!(rows as u64, told["rows"].as_u64().unwrap());
    let act = server.http.post(&path("")).bearer_auth(key).header("content-type", "application/json").body("{}");
    server.http.send(act).expect(403);
    assert_eq!(plan(&server, "suspend"), told, "nothing was changed");
}
