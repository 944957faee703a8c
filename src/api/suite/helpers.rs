//! Who helps whom, what ends with what, and how much one can make.

use rollcall_events::body;
use serde_json::{Value, json};

use super::world::{Reply, World, event};

fn answer(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.problem())
}

fn names(reply: &Reply, key: &str) -> Vec<String> {
    reply.body["items"].as_array().unwrap().iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
}

/// The portal lists, ends and resets what it made, whatever others give; of others it sees and ends nothing.
#[tokio::test]
async fn a_portal_keeps_the_secrets_that_it_made_and_no_others() {
    let world = World::under("harbor").await;
    let portal = world.service("portal", "api:sender", body::Scope::Root).await;
    let other = world.service("other", "api:sender", body::Scope::Root).await;
    let path = "/api/v1/users/ada/secrets";
    let ada = world.secret("ada").await;
    let own = world.by(&ada, "POST", path, Some(json!({"label": "own"}))).await;
    assert_eq!(world.by(&ada, "POST", "/api/v1/projects", Some(json!({"name": "hers"}))).await.status, 201);
    let made = world.by(&portal, "POST", path, Some(json!({"label": "given"}))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let listed = |reply: Reply| names(&reply, "id");
    let given = made.body["id"].as_str().unwrap();
    assert_eq!(listed(world.by(&portal, "GET", path, None).await), [given]);
    assert!(listed(world.by(&other, "GET", path, None).await).is_empty());
    assert_eq!(listed(world.by(&ada, "GET", path, None).await).len(), 3);
    let row = world.by(&portal, "GET", path, None).await.body["items"][0].clone();
    assert_eq!((&row["maker"], &row["reach"]), (&json!("service:portal"), &json!([])));
    for (who, id) in [(&portal, own.body["id"].as_str().unwrap()), (&other, given)] {
        let gone = world.by(who, "DELETE", &format!("{path}/{id}"), None).await;
        assert_eq!(answer(&gone), (404, "unknown-secret"), "{}", gone.text);
    }
    let reset = world.by(&portal, "POST", "/api/v1/users/ada/credentials-reset", Some(json!({}))).await;
    assert_eq!(reset.status, 200, "{}", reset.text);
    assert_eq!(listed(world.by(&ada, "GET", path, None).await).len(), 2, "her own two are there still");
    assert!(listed(world.by(&portal, "GET", path, None).await).is_empty());
}

/// A portal that names its sources sees and replays the deliveries of these alone, in whatever way they are asked for.
#[tokio::test]
async fn a_portal_is_told_of_the_deliveries_of_its_own_sources_alone() {
    let world = World::under("harbor").await;
    let delivery = world.hook("flexnet", &json!([event("q", "persn.upserted", 1, json!({}))]).to_string()).await;
    let delivery = delivery.body["delivery"].as_str().unwrap().to_owned();
    let portal = async |id: &str, sources: &[&str]| world.portal(id, "api:sender", body::Scope::Root, sources).await;
    let all = portal("all", &[]).await;
    let own = portal("own", &["flexnet"]).await;
    let other = portal("other", &["lab"]).await;
    let two = portal("two", &["flexnet", "lab"]).await;
    let replay_all = |source: Option<&str>| json!({"problem": "unknown-type", "source": source});
    for (portal, is_own) in [(&all, true), (&own, true), (&two, true), (&other, false)] {
        let listed = world.by(portal, "GET", "/api/v1/deliveries?source=flexnet&verdict=failed", None).await;
        let shown = world.by(portal, "GET", &format!("/api/v1/deliveries/{delivery}"), None).await;
        let begun = world.by(portal, "GET", &format!("/api/v1/deliveries/{}", &delivery[..24]), None).await;
        let replayed =
            world.by(portal, "POST", &format!("/api/v1/deliveries/{delivery}/replay"), Some(json!({}))).await;
        let gone_over = world.by(portal, "POST", "/api/v1/deliveries/replay", Some(replay_all(Some("flexnet")))).await;
        if is_own {
            assert_eq!(names(&listed, "id"), [&*delivery]);
            assert_eq!([&shown, &begun, &replayed, &gone_over].map(|reply| reply.status.as_u16()), [200; 4]);
            assert_eq!(gone_over.body["deliveries"], 1);
        } else {
            assert_eq!([&listed, &gone_over].map(answer), [(403, "forbidden"); 2], "{}", listed.text);
            assert_eq!([&shown, &begun, &replayed].map(answer), [(404, "unknown-delivery"); 3]);
        }
    }
    for (portal, expected) in [(&all, vec![&*delivery]), (&own, vec![&*delivery]), (&other, vec![])] {
        assert_eq!(names(&world.by(portal, "GET", "/api/v1/deliveries?verdict=failed", None).await, "id"), expected);
        let gone_over = world.by(portal, "POST", "/api/v1/deliveries/replay", Some(replay_all(None))).await;
        assert_eq!(gone_over.body["deliveries"], expected.len(), "{}", gone_over.text);
    }
    // What begins alike of other sources is none of its business, however much newer.
    let unknown = |id: String| json!([event(&id, "persn.upserted", 1, json!({}))]).to_string();
    let labs = world.hook("lab", &unknown("l".to_owned())).await.body["delivery"].as_str().unwrap().to_owned();
    for n in 0..8 {
        world.hook("flexnet", &unknown(format!("f{n}"))).await;
    }
    let begun = format!("/api/v1/deliveries/{}", &labs[..10]);
    assert_eq!(world.by(&other, "GET", &begun, None).await.body["id"], *labs);
    assert_eq!(answer(&world.by(&two, "GET", &begun, None).await), (422, "ambiguous"));
    let unsaid = world.by(&two, "GET", "/api/v1/deliveries", None).await;
    assert_eq!(answer(&unsaid), (400, "invalid-query"));
    assert!(unsaid.text.contains("flexnet, lab"), "{}", unsaid.text);
}

/// Whoever holds a secret that a portal made is told of its owner what the portal answers for, and nothing that others gave.
#[tokio::test]
async fn a_secret_that_a_portal_made_tells_no_more_than_it_reaches() {
    let world = World::under("harbor").await;
    let portal = world.service("portal", "api:sender", body::Scope::Root).await;
    let ada = world.secret("ada").await;
    assert_eq!(world.post("/api/v1/projects", json!({"name": "hers"})).await.status, 201);
    let given = json!({"principal": {"user": "ada"}, "role": "developer", "scope": {"project": "hers"}});
    assert_eq!(world.post("/api/v1/bindings", given).await.status, 200);
    let made = world.by(&portal, "POST", "/api/v1/users/ada/secrets", Some(json!({}))).await.body;
    let made = made["secret"].as_str().unwrap();
    let asked = json!({"user": "ada", "action": "push", "project": "hers"});
    let resource = json!({"type": "repository", "id": "hers/x"});
    let authzen = json!({"subject": {"type": "user", "id": "ada"}, "action": {"name": "push"}, "resource": resource});
    for (secret, reached) in [(ada.as_str(), true), (made, false)] {
        let why = world.by(secret, "POST", "/api/v1/explain", Some(asked.clone())).await;
        assert_eq!(why.body["allowed"], json!(reached), "{}", why.text);
        assert_eq!(why.body["reasons"].as_array().is_some_and(|all| !all.is_empty()), reached, "{}", why.text);
        let decided = world.by(secret, "POST", "/access/v1/evaluation", Some(authzen.clone())).await;
        assert_eq!(decided.body["decision"], json!(reached), "{}", decided.text);
        let path = "/api/v1/users/ada/access";
        let told = world.by(secret, "GET", path, None).await;
        assert_eq!(told.status, 200, "{path} {}", told.text);
        assert_eq!(told.text.contains("developer"), reached, "{path} {}", told.text);
        let then = world.by(secret, "GET", &format!("{path}?as_of=1"), None).await;
        assert_eq!(then.status == 403, !reached, "{path} {}", then.text);
        let refused = world.by(secret, "GET", "/api/v1/refused-sign-ins", None).await;
        assert_eq!(refused.status == 200, reached, "{}", refused.text);
    }
}

/// Who revokes a key is told what it made, and chooses. Nothing ends unasked.
#[tokio::test]
async fn a_key_that_is_revoked_leaves_what_it_made_unless_its_end_is_asked_for() {
    let world = World::under("harbor").await;
    for how in ["", "?made=keep", "?made=end"] {
        let ci = format!("ci{}", how.len());
        assert_eq!(world.post("/api/v1/services", json!({"id": ci})).await.status, 201);
        let admin = json!({"principal": {"service": ci}, "role": "api:administrator", "scope": "root"});
        assert_eq!(world.post("/api/v1/bindings", admin).await.status, 200);
        let secrets = format!("/api/v1/services/{ci}/secrets");
        let key = world.post(&secrets, json!({})).await.body;
        let (id, text) = (key["id"].as_str().unwrap(), key["secret"].as_str().unwrap());
        let role = json!({"principal": {"user": "ada"}, "role": "api:auditor", "scope": "root"});
        let set = world.by(text, "POST", "/api/v1/bindings", Some(role)).await;
        assert_eq!((set.status.as_u16(), &set.body["ends"]), (200, &Value::Null), "{}", set.text);
        let robot = format!("robot{}", how.len());
        assert_eq!(world.by(text, "POST", "/api/v1/services", Some(json!({"id": robot}))).await.status, 201);
        let kinds = |reply: &Value, key: &str| -> Vec<String> {
            let rows = reply[key].as_array().unwrap().iter();
            rows.map(|row| format!("{} {}", row["kind"].as_str().unwrap(), row["outcome"].as_str().unwrap())).collect()
        };
        let shown = world.ok(&format!("{secrets}/{id}/made")).await;
        assert_eq!(kinds(&shown, "items"), ["binding kept", "service kept"]);
        let gone = world.delete(&format!("{secrets}/{id}{how}")).await;
        assert_eq!(gone.status, 200, "{}", gone.text);
        let became = if how == "?made=end" { "ended" } else { "kept" };
        assert_eq!(kinds(&gone.body, "made"), [format!("binding {became}"), format!("service {became}")]);
        let there = world.get(&format!("/api/v1/services/{robot}")).await.status == 200;
        assert_eq!(there, became == "kept", "{how}");
        if how.is_empty() {
            // Also afterwards.
            let gone = world.delete(&format!("{secrets}/{id}?made=end")).await;
            assert_eq!(kinds(&gone.body, "made"), ["binding ended", "service ended"]);
        }
        let left = world.ok("/api/v1/bindings").await;
        let ada = left["items"].as_array().unwrap().iter().filter(|row| row["role"] == "api:auditor").count();
        assert_eq!(ada, usize::from(how == "?made=keep"), "{how}");
        if how == "?made=keep" {
            let id = left["items"].as_array().unwrap().iter().find(|row| row["role"] == "api:auditor").unwrap();
            world.delete(&format!("/api/v1/bindings/{}", id["id"].as_str().unwrap())).await;
        }
    }
    let bad = world.delete("/api/v1/services/ci0/secrets/sec_1?made=maybe").await;
    assert_eq!(answer(&bad), (400, "invalid-query"));
}

/// A role that is given with a key that ends, ends with it, and the answer says so.
#[tokio::test]
async fn what_a_key_that_ends_gives_ends_with_it_and_cuts_nothing_short() {
    let world = World::under("harbor").await;
    let (end, late) = (super::world::at(2), super::world::at(3));
    assert_eq!(world.post("/api/v1/services", json!({"id": "boss"})).await.status, 201);
    let admin = json!({"principal": {"service": "boss"}, "role": "api:administrator", "scope": "root"});
    assert_eq!(world.post("/api/v1/bindings", admin.clone()).await.status, 200);
    let key = world.post("/api/v1/services/boss/secrets", json!({"expires": end})).await;
    let key = key.body["secret"].as_str().unwrap();
    let role =
        |ends: Value| json!({"principal": {"user": "ada"}, "role": "api:auditor", "scope": "root", "ends": ends});
    let set = world.by(key, "POST", "/api/v1/bindings", Some(role(Value::Null))).await;
    assert_eq!((set.status.as_u16(), &set.body["ends"]), (200, &json!(end)), "{}", set.text);
    let head = world.head();
    let refused = world.by(key, "POST", "/api/v1/bindings", Some(role(json!(late)))).await;
    assert_eq!((answer(&refused), &refused.body["errors"][0]["pointer"]), ((422, "invalid-body"), &json!("/ends")));
    assert_eq!(world.head(), head);
    // What lasts is said again and lasts.
    let again = world.by(key, "POST", "/api/v1/bindings", Some(admin)).await;
    assert_eq!((again.status.as_u16(), &again.body["ends"]), (200, &Value::Null), "{}", again.text);
    let made = world.by(key, "POST", "/api/v1/services", Some(json!({"id": "robot"}))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(world.ok("/api/v1/services/robot").await["ends"], json!(end));
}

/// What one user can make is bounded, and the answer says what to end.
#[tokio::test]
async fn a_user_makes_so_many_secrets_and_no_more() {
    let world = World::licensing().await;
    let ada = world.secret("ada").await;
    let path = "/api/v1/users/ada/secrets";
    let mut made = 0;
    let full = loop {
        let reply = world.by(&ada, "POST", path, Some(json!({}))).await;
        if reply.status != 201 {
            break reply;
        }
        made += 1;
        assert!(made <= 50);
    };
    assert_eq!((made, full.status.as_u16()), (50, 409), "{}", full.text);
    assert!(full.text.contains("revoke one first; the oldest is sec_"), "{}", full.text);
}

/// What somebody writes into the log by making and ending things for ever is bounded too, and ending goes on.
#[tokio::test]
async fn a_user_fills_no_log_by_making_and_ending_things() {
    let world = World::licensing().await;
    let ada = world.secret("ada").await;
    let path = "/api/v1/users/ada/secrets";
    let kept = world.by(&ada, "POST", path, Some(json!({}))).await.body;
    let mut rounds = 0;
    let full = loop {
        let made = world.by(&ada, "POST", path, Some(json!({}))).await;
        if made.status != 201 {
            break made;
        }
        let ended = format!("{path}/{}", made.body["id"].as_str().unwrap());
        assert_eq!(world.by(&ada, "DELETE", &ended, None).await.status, 200);
        rounds += 1;
        assert!(rounds < 400);
    };
    assert_eq!((full.status.as_u16(), full.header("retry-after")), (429, "10"), "{}", full.text);
    let kept = format!("{path}/{}", kept["id"].as_str().unwrap());
    let gone = world.by(&ada, "DELETE", &kept, None).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    assert_eq!(world.post(path, json!({})).await.status, 201, "the operator is not in it");
    world.clock.pass(chrono::Duration::seconds(15));
    assert_eq!(world.by(&ada, "POST", path, Some(json!({}))).await.status, 201);
}
