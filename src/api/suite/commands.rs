//! Commands: an event each, judged by the fold; what is shown once; what stays refused.

use axum::{body::Body, http::Request};
use chrono::Duration;
use rollcall_events::{Body as Event, Settings, body};
use serde_json::json;

use super::world::{World, ended, event, licensing_facts};

async fn redeem(world: &World, code: &str) -> super::world::Reply {
    let request = Request::post(format!("/api/v1/invitations/{code}")).header("content-type", "application/json");
    world.send(request.body(Body::from(r#"{"label":"portal"}"#)).unwrap()).await
}

#[tokio::test]
async fn a_secret_is_shown_once_and_only_its_hash_is_recorded() {
    let world = World::licensing().await;
    let made = world.post("/api/v1/users/ADA/secrets", json!({"label": "laptop"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let (id, secret) = (made.body["id"].as_str().unwrap(), made.body["secret"].as_str().unwrap());
    assert!(id.starts_with("sec_") && secret.starts_with("rcs_") && secret.len() == 47, "{secret}");
    assert_eq!(made.body["user"], "ada");
    assert_eq!(made.header("cache-control"), "no-store");
    let position = made.header("rollcall-position");
    let recorded = world.ok(&format!("/api/v1/events/{position}")).await;
    assert_eq!((&recorded["source"], &recorded["effect"]), (&json!("local"), &json!("applied")));
    assert_eq!(recorded["data"]["sha256"], rollcall_events::Digest::of(secret.as_bytes()).to_string());
    assert!(!recorded.to_string().contains(secret));
    let listed = world.ok("/api/v1/users/ada/secrets").await;
    assert_eq!(listed["items"][0]["id"], id);
    assert_eq!(listed["items"][0]["label"], "laptop");
    assert!(!listed.to_string().contains(secret));

    let other = world.post("/api/v1/users/ada/secrets", json!({})).await;
    assert_ne!(other.body["secret"], secret);
    let gone = world.delete(&format!("/api/v1/users/ada/secrets/{id}")).await;
    assert_eq!((gone.status.as_u16(), &gone.body["effect"]), (200, &json!("applied")));
    assert_eq!(world.ok("/api/v1/users/ada/secrets").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.delete(&format!("/api/v1/users/ada/secrets/{id}")).await.status, 404);
}

#[tokio::test]
async fn a_secret_with_an_end_is_over_then() {
    let world = World::licensing().await;
    let made = world.post("/api/v1/users/ada/secrets", json!({"expires": super::world::at(1)})).await;
    assert_eq!(made.status, 201);
    world.clock.pass(Duration::hours(1));
    assert_eq!(world.ok("/api/v1/users/ada/secrets").await["items"], json!([]));
    let past = world.post("/api/v1/users/ada/secrets", json!({"expires": super::world::at(1)})).await;
    assert_eq!((past.status.as_u16(), &past.body["errors"][0]["pointer"]), (422, &json!("/expires")));
}

/// CVE-2022-31667: an id is looked for under its owner only.
#[tokio::test]
async fn a09_a_secret_of_somebody_else_is_not_found() {
    let world = World::licensing().await;
    let made = world.post("/api/v1/users/pat/secrets", json!({})).await;
    let id = made.body["id"].as_str().unwrap();
    let head = world.head();
    let reply = world.delete(&format!("/api/v1/users/ada/secrets/{id}")).await;
    assert_eq!((reply.status.as_u16(), reply.problem()), (404, "unknown-secret"));
    assert_eq!(world.head(), head);
}

#[tokio::test]
async fn an_id_with_a_letter_that_only_looks_like_one_of_it_is_told_as_such() {
    let world = World::licensing().await;
    let made = world.post("/api/v1/users/pat/secrets", json!({})).await;
    let pasted = made.body["id"].as_str().unwrap().replacen('e', "%D0%B5", 1);
    let reply = world.delete(&format!("/api/v1/users/pat/secrets/{pasted}")).await;
    let detail = reply.body["detail"].as_str().unwrap();
    assert!(reply.status == 404 && detail.contains("this one has `\u{435}`, U+0435: copy it anew"), "{detail}");
    let other = world.delete("/api/v1/users/pat/secrets/sec_0190").await;
    assert!(!other.body["detail"].as_str().unwrap().contains("ASCII"), "{}", other.text);
}

#[tokio::test]
async fn an_invitation_fetches_one_secret_once_within_a_day() {
    let world = World::licensing().await;
    let invited = world.post("/api/v1/users/ada/invitations", json!({})).await;
    assert_eq!(invited.status, 201, "{}", invited.text);
    let code = invited.body["code"].as_str().unwrap();
    assert_eq!(invited.body["path"], format!("/api/v1/invitations/{code}"));
    assert_eq!(world.ok("/api/v1/users/ada/secrets").await["items"][0]["invitation"], true);
    let first = redeem(&world, code).await;
    assert_eq!(first.status, 201, "{}", first.text);
    assert_eq!(first.body["user"], "ada");
    assert!(first.body["secret"].as_str().unwrap().starts_with("rcs_"));
    let head = world.head();
    let second = redeem(&world, code).await;
    assert_eq!((second.status.as_u16(), second.problem()), (404, "unknown-invitation"));
    assert!(!second.text.contains(code), "the code is a credential: {}", second.text);
    let unknown = redeem(&world, "rci_nothing").await;
    assert_eq!(unknown.text, second.text, "which of the reasons it is stays untold");
    assert_eq!(world.head(), head);

    let invited = world.post("/api/v1/users/ada/invitations", json!({})).await;
    world.clock.pass(Duration::hours(24));
    assert_eq!(redeem(&world, invited.body["code"].as_str().unwrap()).await.status, 404);
}

#[tokio::test]
async fn of_two_who_redeem_at_the_same_moment_one_gets_a_secret() {
    let world = World::licensing().await;
    let invited = world.post("/api/v1/users/ada/invitations", json!({})).await;
    let code = invited.body["code"].as_str().unwrap();
    let head = world.head();
    let stopped = world.control.gate.clone().lock_owned().await;
    let release = async {
        world.recorded(head.0 + 2).await;
        drop(stopped);
    };
    let (a, b, ()) = tokio::join!(redeem(&world, code), redeem(&world, code), release);
    let mut statuses = [a.status.as_u16(), b.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 404], "both are recorded, the fold refused the second");
    assert_eq!(world.ok("/api/v1/users/ada/secrets").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_reset_ends_every_secret_and_invitation() {
    let world = World::licensing().await;
    world.post("/api/v1/users/ada/secrets", json!({})).await;
    let invited = world.post("/api/v1/users/ada/invitations", json!({})).await;
    let reset = world.post("/api/v1/users/ada/credentials-reset", json!({})).await;
    assert_eq!((reset.status.as_u16(), &reset.body["effect"]), (200, &json!("applied")));
    assert_eq!(world.ok("/api/v1/users/ada/secrets").await["items"], json!([]));
    assert_eq!(redeem(&world, invited.body["code"].as_str().unwrap()).await.status, 404);
    assert_eq!(world.ok("/api/v1/users/ada").await["credential_epoch"], reset.body["position"]);
}

#[tokio::test]
async fn lifecycle_022_a_binding_on_a_managed_project_is_refused_and_names_the_source() {
    let world = World::licensing().await;
    let head = world.head();
    let members = world.ok("/api/v1/projects/acme/members").await;
    let binding = json!({"principal": {"user": "ada"}, "role": "Developer", "scope": {"project": "acme"}});
    let reply = world.post("/api/v1/bindings", binding).await;
    assert_eq!((reply.status.as_u16(), reply.problem()), (409, "managed-project"));
    assert_eq!(reply.body["source"], "flexnet");
    assert!(reply.body["detail"].as_str().unwrap().contains("flexnet"));
    assert_eq!(world.head(), head, "nothing is recorded");
    assert_eq!(world.ok("/api/v1/projects/acme/members").await, members);
}

#[tokio::test]
async fn the_fold_refuses_what_the_api_could_not_see() {
    let world = World::licensing().await;
    let binding = body::Binding {
        principal: body::Principal::User("flexnet/ada".parse().unwrap()),
        role: "Developer".to_owned(),
        scope: body::Scope::Project("flexnet/db-suite".parse().unwrap()),
        author: body::Author::operator(),
        made_with: None,
        starts: None,
        ends: None,
    };
    let reply = world.say(&Event::BindingSet(binding)).await;
    assert_eq!(reply["effect"], "refused");
    assert!(reply["reason"].as_str().unwrap().contains("flexnet"), "{reply}");
}

#[tokio::test]
async fn where_the_operator_allows_it_a_binding_is_a_reason_of_its_own() {
    let world = World::with(Settings { bindings_on_managed: true, ..Settings::default() }).await;
    world.facts(&licensing_facts()).await;
    let binding = json!({"principal": {"user": "ada"}, "role": "developer", "scope": {"project": "acme"}});
    let set = world.post("/api/v1/bindings", binding.clone()).await;
    assert_eq!((set.status.as_u16(), &set.body["effect"]), (200, &json!("applied")), "{}", set.text);
    let members = world.ok("/api/v1/projects/acme/members").await;
    let roles: Vec<_> = members["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["user"].as_str().unwrap(), m["role"].as_str().unwrap()))
        .collect();
    assert_eq!(roles, [("ada", "Developer"), ("ada", "Guest"), ("pat", "Developer")]);
    let again = world.post("/api/v1/bindings", binding).await;
    assert_eq!(again.body["id"], set.body["id"]);
    let listed = world.ok("/api/v1/bindings").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let row = &listed["items"][0];
    let expected = json!(["ada", "Developer", "acme", set.body["id"]]);
    assert_eq!(json!([row["user"], row["role"], row["project"], row["id"]]), expected);
    let path = format!("/api/v1/bindings/{}", set.body["id"].as_str().unwrap());
    assert_eq!(world.delete(&path).await.status, 200);
    assert_eq!(world.ok("/api/v1/projects/acme/members").await["items"].as_array().unwrap().len(), 2);
    assert_eq!(world.ok("/api/v1/bindings").await["items"], json!([]));
    let twice = world.delete(&path).await;
    assert_eq!((twice.status.as_u16(), twice.problem()), (404, "unknown-binding"));
    assert_eq!(world.delete("/api/v1/bindings/bnd_x").await.status, 404);
}

#[tokio::test]
async fn every_command_is_an_event_of_local_with_a_random_id() {
    let world = World::licensing().await;
    let secret = world.post("/api/v1/users/ada/secrets", json!({})).await;
    let secret = format!("/api/v1/users/ada/secrets/{}", secret.body["id"].as_str().unwrap());
    let before = world.head().0;
    world.delete(&secret).await;
    world.post("/api/v1/users/ada/secrets", json!({})).await;
    world.post("/api/v1/users/ada/invitations", json!({})).await;
    world.post("/api/v1/users/ada/credentials-reset", json!({})).await;
    let events = world.ok(&format!("/api/v1/events?source=local&after={before}")).await;
    let kinds: Vec<_> = events["items"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    let expected = ["secret.revoked", "secret.issued", "secret.invited", "credentials.reset"];
    assert_eq!(kinds, expected.map(|name| format!("rollcall.{name}.v1")));
    for event in events["items"].as_array().unwrap() {
        assert!(event["id"].as_str().unwrap().starts_with("evt_"));
        assert!(event["time"].is_string());
    }
}

#[tokio::test]
async fn a_command_keeps_the_trace_that_it_came_with() {
    let world = World::licensing().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (sent, kept) in [
        (trace, json!(trace)),
        ("junk", json!(null)),
        ("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", json!(null)),
    ] {
        let request = Request::post("/api/v1/users/ada/secrets").header("traceparent", sent);
        let request = request.header("authorization", format!("Bearer {}", super::world::KEY));
        let made = world.send(request.body(Body::empty()).unwrap()).await;
        let event = world.ok(&format!("/api/v1/events/{}", made.body["position"])).await;
        assert_eq!(event["traceparent"], kept);
    }
}

#[tokio::test]
async fn a_command_that_is_not_judged_in_time_says_where_it_stands() {
    let world = World::licensing().await;
    let stopped = world.control.gate.clone().lock_owned().await;
    let reply = world.post("/api/v1/users/ada/credentials-reset", json!({})).await;
    assert_eq!((reply.status.as_u16(), reply.problem()), (503, "unavailable"));
    assert_eq!(reply.body["position"], world.head().0);
    assert!(!reply.header("retry-after").is_empty());
    drop(stopped);
}

#[tokio::test]
async fn erasure_takes_personal_data_and_the_deliveries_that_held_it() {
    let world = World::licensing().await;
    let ada = world.ok("/api/v1/people/flexnet/ada").await;
    assert_eq!(ada["personal"], json!({"email": "ada@example.test", "name": "The ada"}));
    let delivery = world.ok("/api/v1/deliveries").await["items"][0]["id"].as_str().unwrap().to_owned();
    let head = world.head();
    let erased = world.delete("/api/v1/people/flexnet/ada/personal").await;
    assert_eq!((erased.status.as_u16(), &erased.body["deliveries"]), (200, &json!(1)));
    assert_eq!(world.head(), head, "there is nothing of it in the log");
    assert_eq!(world.ok("/api/v1/people/flexnet/ada").await["personal"], json!(null));
    let shown = world.ok(&format!("/api/v1/deliveries/{delivery}")).await;
    assert_eq!((&shown["body"], shown["erased_at"].is_string()), (&json!(null), true));
    let replayed = world.post(&format!("/api/v1/deliveries/{delivery}/replay"), json!({})).await;
    assert_eq!((replayed.status.as_u16(), replayed.problem()), (409, "refused"));
    assert_eq!(world.delete("/api/v1/people/flexnet/ada/personal").await.body["deliveries"], 0);
    assert_eq!(world.delete("/api/v1/people/FLEXNET/ada/personal").await.status, 404);
}

#[tokio::test]
async fn a_delivery_is_gone_over_again_without_doubling_anything() {
    let world = World::licensing().await;
    let sent = world.facts(&[ended(2)]).await;
    let id = sent.body["delivery"].as_str().unwrap();
    let head = world.head();
    let replayed = world.post(&format!("/api/v1/deliveries/{id}/replay"), json!({})).await;
    assert_eq!(replayed.status, 200, "{}", replayed.text);
    assert_eq!(replayed.body["delivery"], id);
    assert_eq!(replayed.body["events"][0]["outcome"], "duplicate");
    assert_eq!(replayed.body["events"][0]["effect"], "applied");
    assert_eq!(world.head(), head);
    let shown = world.ok(&format!("/api/v1/deliveries/{id}")).await;
    assert_eq!(shown["replays"][0]["was"], "recorded");

    world.hook("flexnet", &json!([event("q", "persn.upserted", 1, json!({}))]).to_string()).await;
    let all = world.post("/api/v1/deliveries/replay", json!({"problem": "unknown-type", "source": "flexnet"})).await;
    assert_eq!((&all.body["deliveries"], &all.body["quarantined"]), (&json!(1), &json!(1)), "{}", all.text);
    assert_eq!(world.post("/api/v1/deliveries/replay", json!({"problem": "none"})).await.status, 422);
}

#[test]
fn a_command_and_a_busy_fold_never_wait_for_each_other() {
    let (done, finished) = std::sync::mpsc::channel();
    let issuing = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::licensing().await;
            let (live, stop) = (world.live.clone(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
            let stopped = stop.clone();
            let folding = std::thread::spawn(move || {
                while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                    drop(live.write());
                }
            });
            for _ in 0..200 {
                assert_eq!(world.post("/api/v1/users/ada/secrets", json!({})).await.status, 201);
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            folding.join().unwrap();
        });
        done.send(()).unwrap();
    });
    let waited = finished.recv_timeout(std::time::Duration::from_secs(60));
    assert!(waited.is_ok(), "no answer: a handler asks for the roster while it holds it");
    issuing.join().unwrap();
}
