//! Rows of security.md section 3 that concern the token endpoint, its properties, and what it does when it cannot answer.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta};
use http::{StatusCode, header};
use proptest::prelude::*;
use rollcall_access::Roster;
use rollcall_authn::SignInError;
use rollcall_events::{LogId, body::Principal};
use serde_json::json;

use crate::{
    VerifyError,
    suite::kit::{ADA, BOB, BOTH, Directory, EVE, PULL, Setup, World, noon},
    token::scope::Actions,
};

fn with_directory(passwords: &[(&'static str, &'static str)]) -> (World, Arc<Directory>) {
    let passwords = HashMap::from_iter(passwords.iter().copied());
    let directory = Arc::new(Directory { passwords, ..Directory::default() });
    (World::with(Setup { directory: Some(directory.clone()), ..Setup::default() }), directory)
}

#[tokio::test(start_paused = true)]
async fn a01_a02_a_blank_password_never_reaches_the_directory_by_any_way() {
    let (world, directory) = with_directory(&[("ada", "")]);
    for password in ["", " ", "\t\n", "\0", "x\0"] {
        let form = [("grant_type", "password"), ("username", "ada"), ("password", password), ("scope", PULL)];
        assert_eq!(world.pull("ada", password, PULL).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(world.post(&form).send().await.status, StatusCode::UNAUTHORIZED);
    }
    assert!(directory.asked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a03_what_ended_at_the_source_is_gone_from_the_next_token_without_a_new_login() {
    let world = World::new();
    let (ada, bob) = (world.offline("ada", ADA).await, world.offline("bob", BOB).await);
    assert_eq!(
        (world.refresh(&ada, PULL).await.access(), world.refresh(&bob, BOTH).await.access()),
        (PULL.into(), BOTH.into())
    );
    for state in ["on_hold", "inactive", "draft", "obsolete"] {
        world.entitle(state);
        assert_eq!(world.refresh(&ada, PULL).await.access(), "", "{state}");
    }
    world.entitle("active");
    assert_eq!(world.refresh(&ada, PULL).await.access(), PULL);
    world.permission("bob", "revoked");
    assert_eq!(world.refresh(&bob, BOTH).await.access(), "");
    world.permission("bob", "granted");
    world.record_fact("account.upserted", json!({"account": "initech-labs", "kind": "producer", "parent": null}));
    assert_eq!(world.refresh(&bob, BOTH).await.access(), "");
}

#[tokio::test(start_paused = true)]
async fn a04_the_name_of_an_image_does_not_change_what_may_be_done() {
    let world = World::new();
    for name in ["acme", "acme/latest", "acme/db/latest", "acme/admin", "acme/v2/catalog"] {
        let scope = format!("repository:{name}:pull,push,delete");
        assert_eq!(world.pull("ada", ADA, &scope).await.access(), format!("repository:{name}:pull"));
        assert_eq!(world.pull("bob", BOB, &scope).await.access(), format!("repository:{name}:pull,push"));
    }
}

#[tokio::test(start_paused = true)]
async fn a07_unknown_key_ids_cost_nothing_and_change_nothing() {
    let world = World::new();
    let token = world.pull("ada", ADA, PULL).await.body["token"].as_str().unwrap().to_owned();
    let keys = world.keys.current();
    let (_, rest) = token.split_once('.').unwrap();
    for i in 0..1000 {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "ES256", "kid": format!("K{i}")}).to_string());
        let checked = keys.verify(&format!("{header}.{rest}"), "rollcall", "registry", noon());
        assert_eq!(checked, Err(VerifyError::UnknownKey));
    }
    assert!(keys.verify(&token, "rollcall", "registry", noon()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a17_wrong_unknown_revoked_and_foreign_credentials_get_one_answer() {
    let world = World::new();
    world.command("secret.revoked", json!({"secret": "sec_eve"}));
    let wrong = world.pull("ada", "rcs_wrong", PULL).await;
    for (name, secret) in
        [("nobody", "rcs_wrong"), ("nobody", ADA), ("ada", BOB), ("eve", EVE), ("ada", "no secret at all")]
    {
        let other = world.pull(name, secret, PULL).await;
        assert_eq!((other.status, &other.headers, &other.body), (wrong.status, &wrong.headers, &wrong.body), "{name}");
    }
    let refresh = world.refresh("rcr_AAAA", PULL).await;
    assert_eq!((refresh.status, refresh.body), (wrong.status, wrong.body));
}

#[tokio::test(start_paused = true)]
async fn a22_users_who_ask_at_the_same_time_never_swap() {
    let world = Arc::new(World::new());
    let tasks: Vec<_> = (0..16)
        .map(|i| {
            let world = world.clone();
            let (name, secret, access) = [("ada", ADA, PULL), ("bob", BOB, BOTH), ("eve", EVE, "")][i % 3];
            tokio::spawn(async move {
                for _ in 0..40 {
                    let reply = world.pull(name, secret, BOTH).await;
                    assert_eq!((reply.access().as_str(), reply.claims.unwrap().sub.as_str()), (access, name));
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a23_every_spelling_of_a_name_is_one_user_and_shares_one_bucket() {
    let (world, directory) = with_directory(&[]);
    assert_eq!(world.pull("BOB", BOB, PULL).await.claims.unwrap().sub, "bob");
    let spellings = ["bob", "BOB", "Bob", "bob ", "ｂｏｂ"];
    let mut throttled = 0;
    for i in 0..40 {
        let from = format!("10.0.{i}.1:99");
        let call = world.get(&format!("scope={PULL}")).basic(spellings[i % 5], &format!("guess {i}")).from(&from);
        throttled += usize::from(call.send().await.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(throttled, 30);
    assert_eq!(directory.asked.lock().unwrap().len(), 10, "nothing is checked while there is a wait");
}

#[tokio::test(start_paused = true)]
async fn a24_a_suspended_or_removed_person_gets_no_token_by_any_way() {
    let (world, _) = with_directory(&[("ada", "from the directory")]);
    let refresh = world.offline("ada", ADA).await;
    let ways = async || {
        [
            world.pull("ada", ADA, PULL).await.access(),
            world
                .post(&[("grant_type", "password"), ("username", "ada"), ("password", ADA), ("scope", PULL)])
                .send()
                .await
                .access(),
            world.pull("ada", "from the directory", PULL).await.access(),
            world.refresh(&refresh, PULL).await.access(),
        ]
    };
    assert_eq!(ways().await, [PULL; 4]);
    world.person("ada", json!("globex"), false);
    assert_eq!(ways().await, ["401"; 4]);
    world.person("ada", json!("globex"), true);
    assert_eq!(ways().await, [PULL; 4]);
    world.record_fact("person.removed", json!({"person": "u-ada"}));
    assert_eq!(ways().await, ["401"; 4]);
}

#[tokio::test(start_paused = true)]
async fn a25_a26_a33_what_was_ended_stays_ended_after_a_restart() {
    let world = World::new();
    let (ada, bob) = (world.offline("ada", ADA).await, world.offline("bob", BOB).await);
    world.command("credentials.reset", json!({"user": "flexnet/u-ada"}));
    world.command("secret.revoked", json!({"secret": "sec_bob"}));
    assert_eq!(
        (world.refresh(&ada, PULL).await.access(), world.pull("ada", ADA, PULL).await.access()),
        ("401".into(), "401".into())
    );
    assert_eq!(
        (world.refresh(&bob, PULL).await.access(), world.pull("bob", BOB, PULL).await.access()),
        ("401".into(), "401".into())
    );
    // A secret made after the reset is good, and does not bring back what was given before it.
    world.command(
        "secret.issued",
        json!({
            "secret": "sec_new",
            "owner": {"user": "flexnet/u-ada"},
            "sha256": rollcall_events::Digest::of(b"rcs_new").to_string(),
        }),
    );
    assert_eq!(world.pull("ada", "rcs_new", PULL).await.access(), PULL);

    let mut again = Roster::new(LogId([1; 8]));
    for record in world.log.lock().unwrap().iter() {
        again.apply(record);
    }
    world.live.replace(again);
    assert_eq!(
        (world.refresh(&ada, PULL).await.access(), world.refresh(&bob, PULL).await.access()),
        ("401".into(), "401".into())
    );
    assert_eq!(world.pull("ada", "rcs_new", PULL).await.access(), PULL);
}

#[tokio::test(start_paused = true)]
async fn guessing_is_answered_429_with_retry_after_and_a_good_secret_still_comes_through() {
    let world = World::new();
    for i in 0..100 {
        world.pull("ada", &format!("rcs_{i}"), PULL).await;
    }
    let reply = world.pull("ada", "rcs_next", PULL).await;
    assert_eq!((reply.status, reply.error().0), (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"));
    assert!(reply.headers[header::RETRY_AFTER].to_str().unwrap().parse::<u32>().unwrap() >= 1);
    assert_eq!(world.pull("ada", ADA, PULL).await.access(), PULL, "nobody can lock a robot out");
    assert_eq!(world.pull("bob", "rcs_x", PULL).await.status, StatusCode::UNAUTHORIZED);
    world.wait(TimeDelta::minutes(2));
    assert_eq!(world.pull("ada", "rcs_next", PULL).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn registry_secrets_never_reach_a_directory() {
    let (world, directory) = with_directory(&[]);
    assert_eq!(world.pull("ada", ADA, PULL).await.access(), PULL);
    assert_eq!(world.pull("ada", "rcs_mistyped", PULL).await.status, StatusCode::UNAUTHORIZED);
    assert!(directory.asked.lock().unwrap().is_empty());
    assert_eq!(world.pull("nobody", "guess", PULL).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(directory.asked.lock().unwrap().len(), 1, "an unknown user is answered as slowly as a known one");
}

#[tokio::test(start_paused = true)]
async fn a_directorys_password_gets_no_refresh_token() {
    let (world, _) = with_directory(&[("ada", "from the directory")]);
    let reply = world.get("offline_token=true").basic("ada", "from the directory").send().await;
    assert_eq!((reply.status, reply.body.get("refresh_token")), (StatusCode::OK, None));
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_down_is_503_and_no_wrong_password() {
    let directory = Arc::new(Directory { down: true, ..Directory::default() });
    let world = World::with(Setup { directory: Some(directory), ..Setup::default() });
    for _ in 0..50 {
        let reply = world.pull("ada", "password", PULL).await;
        assert_eq!((reply.status, reply.error().0), (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"));
        assert!(reply.headers.contains_key(header::RETRY_AFTER));
    }
    assert_eq!(world.pull("ada", ADA, PULL).await.access(), PULL, "registry secrets need no directory");
}

#[tokio::test(start_paused = true)]
async fn stale_facts_are_503_for_everybody() {
    let world = World::new();
    world.set_age(Duration::from_secs(61));
    for reply in [
        world.pull("ada", ADA, PULL).await,
        world.get(&format!("scope={PULL}")).send().await,
        world.post(&[]).send().await,
    ] {
        assert_eq!((reply.status, reply.error().0), (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"));
        assert!(reply.headers.contains_key(header::RETRY_AFTER) && reply.claims.is_none());
    }
    world.set_age(Duration::ZERO);
    assert_eq!(world.pull("ada", ADA, PULL).await.access(), PULL);
}

#[tokio::test(start_paused = true)]
async fn keys_that_nobody_tended_are_503_and_no_token_that_a_registry_would_refuse() {
    let world = World::new();
    world.wait(TimeDelta::days(30));
    assert_eq!(world.pull("ada", ADA, PULL).await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.keys.maintain(world.now()).unwrap();
    assert_eq!(world.pull("ada", ADA, PULL).await.access(), PULL);
}

#[tokio::test(start_paused = true)]
async fn t07_asking_creates_nothing() {
    let world = World::new();
    let before = world.live.read().to_snapshot();
    for scope in [BOTH, "repository:nobody/new:push", "repository:acme/new:push"] {
        world.pull("bob", BOB, scope).await;
        world.get(&format!("scope={scope}")).send().await;
    }
    assert_eq!(world.live.read().to_snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_peer_is_unknown_is_not_answered() {
    let world = World::new();
    let reply = world.get(&format!("scope={PULL}")).basic("ada", ADA).unconnected().send().await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn scopes() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop::sample::select(vec![
        "acme/db",
        "acme/x/y",
        "tools/t",
        "nobody/x",
        "Acme/db",
        "acme/../db",
        "host:5000/acme/db",
    ]);
    let actions = prop::collection::vec(prop::sample::select(vec!["pull", "push", "delete", "*", "fly", ""]), 1..4);
    prop::collection::vec((name.prop_map(str::to_owned), actions.prop_map(|list| list.join(","))), 0..5)
}

fn user() -> impl Strategy<Value = (&'static str, &'static str, &'static [&'static str])> {
    const ADA_MAY: &[&str] = &["acme pull"];
    const BOB_MAY: &[&str] = &["acme pull", "acme push", "tools pull", "tools push"];
    prop::sample::select(vec![("ada", ADA, ADA_MAY), ("bob", BOB, BOB_MAY), ("eve", EVE, &[])])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Row 2 of security.md 2.2, and row 19: the same credential by another way decides the same.
    #[test]
    fn a19_what_is_granted_was_asked_is_held_and_does_not_depend_on_the_way((name, secret, may) in user(), asked in scopes()) {
        let world = World::new();
        let scope = asked.iter().map(|(name, actions)| format!("repository:{name}:{actions}")).collect::<Vec<_>>().join(" ");
        let password = [("grant_type", "password"), ("username", name), ("password", secret), ("scope", &scope)];
        let (basic, form, refresh) = block_on(async {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("scope", &scope).finish();
            let refresh = world.offline(name, secret).await;
            (world.get(&query).basic(name, secret).send().await, world.post(&password).send().await, world.refresh(&refresh, &scope).await)
        });
        prop_assert_eq!(basic.access(), form.access());
        prop_assert_eq!(basic.access(), refresh.access());
        let mut wanted = Vec::new();
        for access in basic.claims.unwrap().access {
            let asked_here: Vec<_> = asked.iter().filter(|(name, _)| *name == access.name).collect();
            prop_assert!(!asked_here.is_empty());
            for action in &access.actions {
                prop_assert!(asked_here.iter().any(|(_, actions)| actions.split(',').any(|a| a == action || a == "*")));
                let project = access.name.split('/').next().unwrap();
                prop_assert!(may.contains(&format!("{project} {action}").as_str()), "{} {}", access.name, action);
            }
            wanted.push(access.name);
        }
        // And nothing that was asked and is held is missing.
        for (name, actions) in asked.iter().filter(|(name, _)| ["acme/db", "acme/x/y", "tools/t"].contains(&name.as_str())) {
            let project = name.split('/').next().unwrap();
            let asked = Actions::parse(actions).real();
            let holds = asked.names().any(|action| may.contains(&format!("{project} {action}").as_str()));
            prop_assert!(!holds || wanted.contains(name));
        }
    }

    #[test]
    fn a_token_never_outlives_its_reason(left in prop_oneof![-1000_i64..3000, -1000_i64..1_000_000], window in any::<bool>()) {
        let world = World::new();
        let ends = noon() + TimeDelta::milliseconds(left);
        if window {
            world.record_fact("package.upserted", json!({
                "package": "db-suite", "project_name": "acme", "producer": "initech", "container_delivery": true,
                "effective_until": ends,
            }));
        } else {
            world.line(Some(ends));
        }
        let reply = block_on(world.pull("ada", ADA, "repository:acme/db:*"));
        let claims = reply.claims.as_ref().unwrap();
        // Tokens tell time in whole seconds, and it is noon to the second: less than one left is none.
        prop_assert_eq!(claims.access.is_empty(), left < 1000);
        prop_assert!(claims.exp <= noon().timestamp() + 300);
        if !claims.access.is_empty() {
            prop_assert!(DateTime::from_timestamp(claims.exp, 0).unwrap() <= ends);
        }
        prop_assert!((60..=300).contains(&reply.body["expires_in"].as_i64().unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_roster_can_be_swapped_while_tokens_are_made() {
    let world = Arc::new(World::new());
    let records = world.log.lock().unwrap().clone();
    let asker = {
        let world = world.clone();
        tokio::spawn(async move {
            for _ in 0..200 {
                assert_eq!(world.pull("ada", ADA, PULL).await.access(), PULL);
                tokio::task::yield_now().await;
            }
        })
    };
    for _ in 0..20 {
        let mut fresh = Roster::new(LogId([1; 8]));
        for record in &records {
            fresh.apply(record);
        }
        world.live.replace(fresh);
        tokio::task::yield_now().await;
    }
    asker.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn token_endpoint_and_api_ask_the_directory_alike_and_share_one_count_of_guesses() {
    let (world, directory) = with_directory(&[("ada", "from the directory"), ("eve", "too")]);
    let sign_in = async |name: &str, password: &str| world.api_sign_in(name, password).await;
    assert_eq!(sign_in("ada", "from the directory").await, Ok(Some(Principal::User("flexnet/u-ada".parse().unwrap()))));
    let asked = || directory.asked.lock().unwrap().len();
    let before = asked();
    for ours in ["", " ", "\0", EVE, "rcr_refresh", "rk_admin"] {
        assert_eq!(sign_in("ada", ours).await, Err(SignInError::WrongCredentials), "{ours:?}");
    }
    assert_eq!(asked(), before, "nothing of ours is sent to a directory");
    world.person("eve", json!(null), false);
    world.person("eve", json!(null), true);
    world.record_fact("person.removed", json!({"person": "u-eve"}));
    assert_eq!(
        sign_in("eve", "too").await,
        Err(SignInError::WrongCredentials),
        "a directory may still know a password"
    );

    for n in 0..30 {
        assert!(sign_in("bob", &format!("guess {n}")).await.is_err());
    }
    assert!(matches!(sign_in("bob", "another").await, Err(SignInError::Throttled(_))));
    let before = asked();
    assert_eq!(world.pull("bob", "yet another", PULL).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(asked(), before, "nothing is checked while there is a wait");
    assert_eq!(world.pull("bob", BOB, PULL).await.access(), PULL, "a registry secret does not wait");
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_down_is_no_wrong_password_for_the_api_either() {
    let directory = Arc::new(Directory { down: true, ..Directory::default() });
    let world = World::with(Setup { directory: Some(directory), ..Setup::default() });
    for n in 0..40 {
        let answer = world.api_sign_in("ada", &format!("guess {n}")).await;
        assert_eq!(answer, Err(SignInError::DirectoryUnavailable), "nobody is told to wait for an outage");
    }
}
