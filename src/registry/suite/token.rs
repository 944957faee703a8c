//! The numbered cases of clients.md that concern a token server, through the router and a roster filled by events.
//! Long because it is one list of cases.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use http::{Method, StatusCode, header};
use serde_json::json;

use crate::{
    Algorithm, ClientFamily, DenialMode, Outcome,
    suite::kit::{ADA, BOB, BOTH, DOCKER, Directory, EVE, PULL, SKOPEO, Setup, World, noon},
};

#[tokio::test]
async fn c01_scope_lists_of_every_form_give_the_same() {
    let world = World::new();
    let expected = "repository:acme/db:pull,push repository:tools/x:pull";
    for query in [
        "scope=repository:acme/db:pull,push&scope=repository:tools/x:pull",
        "scope=repository:acme/db:pull,push%20repository:tools/x:pull",
        "scope=repository:acme/db:pull+repository:tools/x:pull&scope=repository:acme/db:push",
    ] {
        let reply = world.get(query).basic("bob", BOB).send().await;
        assert_eq!(reply.access(), expected, "{query}");
        assert!(reply.body.get("scope").is_none(), "GET answers no scope");
    }
    let scope = "repository:acme/db:push,pull repository:tools/x:pull";
    let reply = world
        .post(&[("grant_type", "password"), ("username", "bob"), ("password", BOB), ("scope", scope)])
        .send()
        .await;
    assert_eq!((reply.access().as_str(), reply.body["scope"].as_str()), (expected, Some(expected)));
}

#[tokio::test]
async fn c02_c16_c19_repeated_repositories_are_one_entry_in_either_order() {
    let world = World::new();
    for query in [
        "scope=repository:acme/db:pull&scope=repository:acme/db:pull,push",
        "scope=repository:acme/db:pull,push&scope=repository:acme/db:pull",
        "scope=repository:acme/db:push,pull&scope=repository:acme/db:push,pull",
    ] {
        assert_eq!(world.get(query).basic("bob", BOB).send().await.access(), BOTH, "{query}");
        assert_eq!(world.get(query).basic("ada", ADA).send().await.access(), PULL, "{query}");
    }
}

#[tokio::test]
async fn c03_white_space_and_empty_scopes_are_ignored() {
    let world = World::new();
    let reply = world.get("scope=&scope=%20repository:acme/db:pull%20%20&scope=+").basic("ada", ADA).send().await;
    assert_eq!(reply.access(), PULL);
    assert_eq!(world.get("scope=").send().await.status, StatusCode::UNAUTHORIZED, "an empty scope asks for nothing");
}

#[tokio::test]
async fn c04_c05_ports_classes_and_unknown_types_do_no_harm() {
    let world = World::new();
    let query = "scope=repository:host:5000/acme/db:pull&scope=aws:thing:read&scope=registry:catalog:*&scope=repository(plugin):acme/db:pull";
    assert_eq!(world.get(query).basic("ada", ADA).send().await.access(), PULL);
}

#[tokio::test]
async fn c06_less_is_no_error() {
    let world = World::new();
    assert_eq!(world.pull("ada", ADA, BOTH).await.access(), PULL);
    let unknown = world.pull("ada", ADA, "repository:nobody/x:pull").await;
    assert_eq!((unknown.status, unknown.access().as_str()), (StatusCode::OK, ""));
    for impossible in ["repository:acme/../db:pull", "repository:Acme/db:pull", "repository:acme%252fdb:pull"] {
        assert_eq!(world.pull("ada", ADA, impossible).await.access(), "", "{impossible}");
    }
}

#[tokio::test]
async fn c07_who_are_you() {
    let world = World::new();
    let wrong = world.pull("ada", BOB, PULL).await;
    assert_eq!((wrong.status, wrong.error().0), (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"));
    assert!(wrong.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic realm="));
    assert_eq!(world.pull("eve", EVE, PULL).await.access(), "", "right password without rights");
    let login = world.get("account=ada&service=registry").basic("ada", ADA).send().await;
    assert_eq!((login.status, login.access().as_str()), (StatusCode::OK, ""));
    assert_eq!(login.claims.unwrap().sub, "ada");
    assert_eq!(world.get("service=registry").send().await.status, StatusCode::UNAUTHORIZED);

    world.profile("[[baseline]]\nprincipal = \"anyone\"\nactions = [\"image.pull\"]\n");
    let public = world.get(&format!("scope={BOTH}")).send().await;
    assert_eq!((public.access().as_str(), public.claims.unwrap().sub.as_str()), (PULL, ""));
}

#[tokio::test]
async fn c08_account_is_recorded_and_never_trusted() {
    let world = World::new();
    for account in ["", "&account=ada", "&account=bob"] {
        let reply = world.get(&format!("scope={BOTH}{account}")).basic("ada", ADA).send().await;
        assert_eq!((reply.access().as_str(), reply.claims.unwrap().sub.as_str()), (PULL, "ada"), "{account}");
    }
    let mismatches: Vec<_> = world.decisions().into_iter().map(|decision| decision.account_mismatch).collect();
    assert_eq!(mismatches, [None, None, Some("bob".to_owned())]);
    assert_eq!(world.get(&format!("scope={PULL}&account=ada")).send().await.access(), "", "and nobody is not ada");
}

#[tokio::test]
async fn c09_the_form_speaks_oauth2() {
    let world = World::new();
    let password = [
        ("grant_type", "password"),
        ("username", "ada"),
        ("password", ADA),
        ("service", "registry"),
        ("client_id", "containerd-client"),
        ("scope", BOTH),
    ];
    let reply = world.post(&password).send().await;
    assert_eq!(reply.access(), PULL);
    assert!(reply.body["access_token"].is_string() && reply.body["expires_in"].is_u64());
    assert_eq!((reply.body["scope"].as_str(), reply.body.get("refresh_token")), (Some(PULL), None));
    let offline = world.post(&[&password[..], &[("access_type", "offline")]].concat()).send().await;
    let token = offline.body["refresh_token"].as_str().unwrap();
    assert_eq!(world.refresh(token, BOTH).await.access(), PULL);
    for (form, says) in [
        (vec![("grant_type", "implicit")], "grant_type"),
        (vec![("scope", PULL)], "grant_type"),
        (vec![("grant_type", "password"), ("username", "ada")], "password"),
        (vec![("grant_type", "refresh_token")], "refresh_token"),
        (vec![("grant_type", "password"), ("grant_type", "refresh_token")], "twice"),
    ] {
        let reply = world.post(&form).send().await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{form:?}");
        assert!(reply.error().1.contains(says), "{:?}", reply.error());
    }
    let both = world.post(&password).basic("bob", BOB).send().await;
    assert_eq!(both.status, StatusCode::BAD_REQUEST, "which of two credentials is meant?");
}

#[tokio::test]
async fn c10_c11_both_names_and_all_times() {
    let world = World::new();
    let post = [("grant_type", "password"), ("username", "ada"), ("password", ADA), ("scope", PULL)];
    for reply in [world.pull("ada", ADA, PULL).await, world.post(&post).send().await] {
        assert_eq!(reply.body["token"], reply.body["access_token"]);
        assert_eq!(
            (reply.body["expires_in"].as_i64(), reply.body["issued_at"].as_str()),
            (Some(300), Some("2026-01-01T12:00:00Z"))
        );
        let claims = reply.claims.unwrap();
        let now = noon().timestamp();
        assert_eq!((claims.iat, claims.nbf, claims.exp), (now, now - 30, now + 300));
        assert_eq!((claims.iss.as_str(), claims.aud.as_str()), ("rollcall", "registry"));
    }
    for seconds in [59, 301] {
        assert!(crate::Ttl::try_from(Duration::from_secs(seconds)).is_err());
    }
}

#[tokio::test]
async fn c11_a_token_ends_with_its_reason_and_a_client_is_told_sixty_at_least() {
    let world = World::new();
    for (left, shown) in
        [(TimeDelta::seconds(200), 200), (TimeDelta::seconds(10), 60), (TimeDelta::milliseconds(1900), 60)]
    {
        let ends = noon() + left;
        world.line(Some(ends));
        let reply = world.pull("ada", ADA, PULL).await;
        assert_eq!(reply.body["expires_in"].as_i64(), Some(shown));
        assert_eq!(reply.claims.as_ref().unwrap().exp, ends.timestamp());
        assert_eq!(world.decisions().last().unwrap().token_ends.unwrap().timestamp(), ends.timestamp());
    }
    world.wait(TimeDelta::seconds(2));
    assert_eq!(world.pull("ada", ADA, PULL).await.access(), "", "the window is [starts, ends)");
}

#[tokio::test]
async fn c12_one_refresh_token_works_for_ever_and_for_two_clients_at_once() {
    let world = World::new();
    let token = world.offline("ada", ADA).await;
    for _ in 0..50 {
        let (a, b) = tokio::join!(world.refresh(&token, PULL), world.refresh(&token, BOTH));
        assert_eq!((a.access().as_str(), b.access().as_str()), (PULL, PULL));
    }
    world.wait(TimeDelta::days(400));
    world.keys.maintain(world.now()).unwrap();
    assert_eq!(world.refresh(&token, PULL).await.access(), PULL);
    world.command("secret.revoked", json!({"secret": "sec_ada"}));
    let revoked = world.refresh(&token, PULL).await;
    assert_eq!((revoked.status, revoked.error().0), (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"));
    assert!(revoked.error().1.contains("authentication required"));
}

#[tokio::test]
async fn c13_a_mount_is_granted_where_it_may() {
    let world = World::new();
    world.record_fact(
        "package.upserted",
        json!({
            "package": "tool-box", "project_name": "tools", "producer": "globex", "container_delivery": true,
        }),
    );
    let query = "scope=repository:acme/db:pull,push&scope=repository:tools/x:pull";
    for agent in [DOCKER, SKOPEO] {
        let reply = world.get(query).basic("bob", BOB).agent(agent).send().await;
        assert_eq!((reply.status, reply.access().as_str()), (StatusCode::OK, BOTH));
    }
    assert_eq!(world.decisions()[0].outcome, Outcome::Reduced);
}

#[tokio::test]
async fn c15_a_hundred_scopes_are_answered() {
    let world = World::new();
    let scopes: Vec<String> = (0..100).map(|i| format!("scope=repository:acme/r{i}:pull")).collect();
    let reply = world.get(&scopes.join("&")).basic("ada", ADA).send().await;
    assert_eq!(reply.claims.as_ref().unwrap().access.len(), 100);
    assert!(reply.body.to_string().len() < 64 * 1024, "go-containerregistry reads no more");
}

#[tokio::test]
async fn c17_a_star_is_what_the_caller_holds_and_the_literal_only_for_everything() {
    let world = World::new();
    let star = "repository:acme/db:*";
    assert_eq!(world.pull("ada", ADA, star).await.access(), PULL);
    assert_eq!(world.pull("bob", BOB, star).await.access(), BOTH);
    assert_eq!(world.pull("eve", EVE, star).await.access(), "");
    assert!(world.decisions().iter().take(2).all(|decision| decision.outcome == Outcome::Granted));
    assert_eq!(world.pull("bob", BOB, "registry:catalog:*").await.access(), "", "the catalogue shows everybody's");
}

#[tokio::test]
async fn c17_full_rights_are_answered_with_a_star() {
    let world = World::new();
    let base = rollcall_access::Profile::bundled("revenera").unwrap();
    let mut document = serde_json::to_value(base.document()).unwrap();
    document["registry"]["delete"] = "docker push".into();
    world.command("profile.set", document);
    assert_eq!(world.pull("bob", BOB, "repository:acme/db:*").await.access(), "repository:acme/db:pull,push,delete,*");
    assert_eq!(world.pull("bob", BOB, "repository:acme/db:delete").await.access(), "repository:acme/db:delete");
}

#[tokio::test]
async fn c18_post_never_answers_404_or_405() {
    let world = World::new();
    for form in [&[("grant_type", "refresh_token"), ("refresh_token", "rcr_AAAA")][..], &[], &[("x", "y")]] {
        let status = world.post(form).send().await.status;
        assert!(matches!(status, StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST), "{status}");
    }
}

#[tokio::test]
async fn c20_odd_passwords_reach_the_directory_as_they_are() {
    let odd = "p@ss:w/ord é";
    let directory = Arc::new(Directory { passwords: HashMap::from([("ada", odd)]), ..Directory::default() });
    let world = World::with(Setup { directory: Some(directory.clone()), ..Setup::default() });
    let form = [("grant_type", "password"), ("username", "ada"), ("password", odd), ("scope", PULL)];
    assert_eq!(world.pull("ada", odd, PULL).await.access(), PULL);
    world.wait(TimeDelta::minutes(1));
    assert_eq!(world.post(&form).send().await.access(), PULL, "asked anew, as the answer is no longer remembered");
    assert_eq!(world.pull("ada", "other", PULL).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(*directory.asked.lock().unwrap(), [odd, odd, "other"]);
}

#[tokio::test]
async fn c21_the_same_wrong_password_is_one_failure_however_often_it_comes() {
    let world = World::new();
    let form = [("grant_type", "password"), ("username", "ada"), ("password", "rcs_old"), ("scope", PULL)];
    for _ in 0..200 {
        assert_eq!(world.post(&form).send().await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(world.pull("ada", "rcs_old", PULL).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn c22_bursts_of_good_requests_are_never_throttled() {
    let world = World::new();
    let token = world.offline("ada", ADA).await;
    for _ in 0..500 {
        assert_eq!(world.refresh(&token, PULL).await.status, StatusCode::OK);
        assert_eq!(world.pull("bob", BOB, PULL).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn c23_anonymous_refusals_are_an_empty_token_in_every_mode() {
    for denial in [DenialMode::Auto, DenialMode::Explain, DenialMode::Standard] {
        let world = World::denying(denial);
        for agent in [DOCKER, SKOPEO] {
            let reply = world.get(&format!("scope={PULL}&offline_token=true")).agent(agent).send().await;
            assert_eq!((reply.status, reply.access().as_str()), (StatusCode::OK, ""), "{denial:?}");
            assert!(reply.body.get("refresh_token").is_none());
        }
        assert_eq!(world.decisions()[0].outcome, Outcome::Denied);
        assert_eq!(world.decisions()[0].user, None);
    }
}

#[tokio::test]
async fn c24_no_refresh_token_unless_asked() {
    let world = World::new();
    for query in ["service=registry", "offline_token=false", "offline_token=", "access_type=online"] {
        let reply = world.get(query).basic("ada", ADA).send().await;
        assert!(reply.body.get("refresh_token").is_none(), "{query}");
    }
    assert!(world.offline("ada", ADA).await.starts_with("rcr_"));
}

#[tokio::test]
async fn c25_a30_a_garbage_credential_is_not_anonymous() {
    let world = World::new();
    world.profile("[[baseline]]\nprincipal = \"anyone\"\nactions = [\"image.pull\"]\n");
    let no_colon = format!("Basic {}", STANDARD.encode("ada"));
    for value in ["Bearer nothing", &format!("Bearer {ADA}"), &no_colon, "Basic ???", "Basic", "Digest x", ""] {
        let reply = world.get(&format!("scope={PULL}")).header(header::AUTHORIZATION, value).send().await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{value}");
    }
    assert_eq!(world.get(&format!("scope={PULL}")).send().await.access(), PULL);
}

#[tokio::test]
async fn c26_a29_another_service_gets_no_token() {
    let world = World::new();
    let reply = world.get(&format!("service=other&scope={PULL}")).basic("ada", ADA).send().await;
    assert_eq!((reply.status, reply.claims.is_none()), (StatusCode::BAD_REQUEST, true));
    assert!(reply.error().1.contains("`registry`"), "{:?}", reply.error());
    assert_eq!(
        world.get("service=registry&service=other").basic("ada", ADA).send().await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        world.get(&format!("scope={PULL}")).basic("ada", ADA).send().await.access(),
        PULL,
        "none named means ours"
    );
}

#[tokio::test]
async fn c27_other_methods_are_405_with_allow() {
    let world = World::new();
    for method in [Method::PUT, Method::DELETE, Method::TRACE, Method::PATCH, Method::OPTIONS] {
        let reply = world.ask(method.clone(), "/token").basic("ada", ADA).send().await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(reply.headers[header::ALLOW], "GET, POST");
    }
}

#[tokio::test]
async fn c28_denial_modes() {
    for (denial, expected) in [
        (DenialMode::Auto, [403, 200, 200, 200]),
        (DenialMode::Explain, [403, 403, 200, 200]),
        (DenialMode::Standard, [200, 200, 200, 200]),
    ] {
        let world = World::denying(denial);
        world.entitle("inactive");
        let ask = |name, secret, agent, query: &str| world.get(query).basic(name, secret).agent(agent).send();
        let pull = format!("scope={PULL}");
        let one_of_two = format!("scope=repository:nobody/x:pull&scope={PULL}");
        let replies = [
            ask("ada", ADA, DOCKER, &pull).await,
            ask("ada", ADA, SKOPEO, &pull).await,
            ask("eve", EVE, DOCKER, &pull).await,
            ask("bob", BOB, DOCKER, &one_of_two).await,
        ];
        assert_eq!(replies.each_ref().map(|reply| reply.status.as_u16()), expected, "{denial:?}");
        let decisions = world.decisions();
        for (reply, decision) in replies.iter().zip(&decisions) {
            if reply.status == StatusCode::FORBIDDEN {
                let (code, message) = reply.error();
                assert_eq!(code, "DENIED");
                assert!(message.starts_with("acme/db: ") && message.contains("ENT-7"), "{message}");
                assert!(message.ends_with(&format!("[{}]", decision.id)) && message.len() <= 300, "{message}");
                assert_eq!((decision.message.as_deref(), decision.token_ends), (Some(message), None));
            } else {
                assert_eq!(reply.claims.as_ref().unwrap().jti, decision.id);
            }
        }
    }
}

/// helm 3.17 asks for the tags by GET, and shows the message of a 403; it pulls a named version through containerd's library,
/// by POST, and shows nothing but "failed to fetch oauth token: unexpected status from POST request".
#[tokio::test]
async fn c28_helm_is_told_why_where_it_shows_it_and_otherwise_as_any_client() {
    let world = World::new();
    world.entitle("inactive");
    let (scope, agent) = ("repository:acme/db:pull", "Helm/3.17");
    let form = |client_id| {
        let who = [("grant_type", "password"), ("username", "ada"), ("password", ADA)];
        [&who[..], &[("client_id", client_id), ("service", "registry"), ("scope", scope)]].concat()
    };
    let tags = world.get(&format!("scope={scope}")).basic("ada", ADA).agent(agent).send().await;
    let newer = world.post(&form("oras-go")).agent(agent).send().await;
    for told in [tags, newer] {
        assert_eq!(told.status, StatusCode::FORBIDDEN);
        assert!(told.error().1.contains("ENT-7"), "{:?}", told.error());
    }
    let pull = world.post(&form("containerd-client")).agent(agent).send().await;
    assert_eq!(pull.status, StatusCode::OK, "the registry's own refusal is one that it shows");
    assert!(pull.claims.unwrap().access.is_empty());
    assert_eq!(world.decisions().len(), 3, "each is on record");
}

#[tokio::test]
async fn c28_the_text_names_what_ended_in_one_sentence() {
    type Change = fn(&World);
    let cases: [(&str, Change, &str, &str); 9] = [
        (
            "ada",
            |w| w.entitle("on_hold"),
            PULL,
            "you cannot pull: entitlement ENT-7 is on hold; access here rests on entitlement ENT-7",
        ),
        ("ada", |w| w.line(Some(noon())), PULL, "you cannot pull: line ENT-7/1 ended 2026-01-01T12:00:00Z"),
        (
            "ada",
            |w| w.record_fact("package.product.unmapped", json!({"package": "db-suite", "product": "DB"})),
            PULL,
            "product DB",
        ),
        (
            "ada",
            |w| w.record_fact("package.removed", json!({"package": "db-suite"})),
            PULL,
            "package db-suite was removed",
        ),
        ("ada", |w| w.person("ada", json!(null), true), PULL, "left account globex"),
        ("ada", |_| {}, "repository:acme/db:push", "your role Guest does not allow to push here"),
        ("bob", |w| w.permission("bob", "revoked"), BOTH, "you cannot pull: the permission"),
        (
            "bob",
            |w| {
                w.record_fact(
                    "account.upserted",
                    json!({"account": "initech-labs", "kind": "producer", "parent": null}),
                )
            },
            BOTH,
            "moved away",
        ),
        ("bob", |_| {}, "repository:acme/db:delete", "nobody may delete here"),
    ];
    for (name, change, scope, says) in cases {
        let world = World::denying(DenialMode::Explain);
        change(&world);
        let reply = world.pull(name, if name == "ada" { ADA } else { BOB }, scope).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{says}");
        let (_, message) = reply.error();
        assert!(
            message.starts_with("acme/db: ") && message.contains(says) && message.chars().count() <= 300,
            "{message}"
        );
    }
}

#[tokio::test]
async fn c28_without_a_tie_nobody_learns_which_projects_exist() {
    let world = World::denying(DenialMode::Explain);
    let mut seen = Vec::new();
    for scope in [PULL, "repository:nobody/x:pull", "repository:tools/x:pull"] {
        let reply = world.pull("eve", EVE, scope).await;
        seen.push((reply.status, reply.access(), reply.headers, reply.body["expires_in"].clone()));
    }
    assert!(seen.iter().all(|one| *one == seen[0] && one.0 == StatusCode::OK));
}

#[tokio::test]
async fn c28_a_push_by_a_guest_and_bad_credentials_say_what_is_wrong() {
    let world = World::denying(DenialMode::Auto);
    let push = world.get("scope=repository:acme/db:push").basic("ada", ADA).agent(DOCKER).send().await;
    assert_eq!(push.status, StatusCode::FORBIDDEN);
    assert!(push.error().1.contains("Guest"), "{:?}", push.error());
    let both = world.get(&format!("scope={BOTH}")).basic("ada", ADA).agent(DOCKER).send().await;
    assert_eq!(both.access(), PULL, "some granted: always 200");
    let wrong = world.get(&format!("scope={PULL}")).basic("ada", BOB).agent(DOCKER).send().await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn t10_every_answer_is_json_and_is_not_stored() {
    let world = World::with(Setup { denial: DenialMode::Explain, ..Setup::default() });
    world.entitle("inactive");
    let replies = [
        world.pull("bob", BOB, PULL).await,
        world.pull("ada", ADA, PULL).await,
        world.pull("ada", BOB, PULL).await,
        world.post(&[]).send().await,
        world.ask(Method::PUT, "/token").send().await,
    ];
    assert_eq!(replies.each_ref().map(|reply| reply.status.as_u16()), [200, 403, 401, 400, 405]);
    for reply in &replies {
        assert_eq!(reply.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(reply.headers[header::CONTENT_TYPE], "application/json");
        if reply.status != StatusCode::OK {
            assert_eq!(reply.body["errors"].as_array().unwrap().len(), 1);
            assert!(!reply.error().1.is_empty() && reply.body["errors"][0].get("detail").is_some());
        }
    }
}

#[tokio::test]
async fn t11_too_much_is_a_clear_400() {
    let world = World::new();
    let many = |count| (0..count).map(|i| format!("repository:acme/r{i}:pull")).collect::<Vec<_>>().join(" ");
    for scope in [many(101), many(10_000), format!("repository:{}:pull", "a".repeat(2000))] {
        let form = [("grant_type", "password"), ("username", "ada"), ("password", ADA), ("scope", &scope)];
        let reply = world.post(&form).send().await;
        assert_eq!((reply.status, reply.error().0), (StatusCode::BAD_REQUEST, "BAD_REQUEST"));
        assert!(reply.error().1.contains("scope"), "{:?}", reply.error());
    }
}

#[tokio::test]
async fn the_jwk_set_is_public_and_always_revalidated() {
    let world = World::new();
    let reply = world.ask(Method::GET, "/.well-known/jwks.json").send().await;
    assert_eq!(reply.headers[header::CACHE_CONTROL], "no-cache");
    assert_eq!(reply.body["keys"][0]["kid"].as_str(), Some(world.keys.current().list()[0].kid.as_str()));
}

#[tokio::test]
async fn rs256_is_answered_on_demand() {
    let world =
        World::with(Setup { algorithm: Algorithm::Rs256, ttl: Some(Duration::from_secs(60)), ..Setup::default() });
    let reply = world.pull("ada", ADA, PULL).await;
    assert_eq!((reply.access().as_str(), reply.body["expires_in"].as_i64()), (PULL, Some(60)));
}

#[tokio::test]
async fn a_decision_says_who_asked_what_from_where_and_what_came_out() {
    let world = World::new();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &world.offline("ada", ADA).await),
        ("client_id", "docker"),
        ("scope", BOTH),
    ];
    let reply = world
        .post(&form)
        .agent(DOCKER)
        .from("[2001:db8::7]:99")
        .header("x-forwarded-for".parse().unwrap(), "203.0.113.9")
        .send()
        .await;
    let [decision] = &world.decisions()[..] else { panic!("a login without scope is no decision") };
    assert_eq!((decision.asked.as_str(), decision.granted.as_str(), decision.outcome), (BOTH, PULL, Outcome::Reduced));
    assert_eq!((decision.user.as_deref(), decision.user_name.as_deref()), (Some("flexnet/u-ada"), Some("ada")));
    assert_eq!(
        (decision.secret.as_deref(), decision.client, decision.client_id.as_deref()),
        (Some("sec_ada"), ClientFamily::Docker, Some("docker"))
    );
    assert_eq!((decision.address, decision.at), ("2001:db8::7".parse().unwrap(), noon()));
    assert_eq!(decision.position, world.live.read().position());
    assert_eq!(reply.claims.unwrap().jti, decision.id);
    assert!(decision.id.starts_with("dec_"));
}

/// A service of the access profile, as an administrator makes it, with a secret.
fn robot(world: &World, id: &str, secret: &str) {
    world.command("service.created", json!({"service": id}));
    let sha256 = rollcall_events::Digest::of(secret.as_bytes()).to_string();
    world.command("secret.issued", json!({"secret": format!("sec_{id}"), "owner": {"service": id}, "sha256": sha256}));
}

const ROBOT: &str = "rcs_cm9ib3Qtcm9ib3Qtcm9ib3Qtcm9ib3Qtcm9ib3Qtcm8";

#[tokio::test]
async fn a_service_signs_in_with_its_id_and_gets_what_its_bindings_give() {
    let world = World::new();
    world.profile("");
    world.command("settings.set", json!({"bindings_on_managed": true}));
    robot(&world, "ci", ROBOT);
    assert_eq!(world.pull("ci", ROBOT, BOTH).await.access(), "", "nothing was given to it");
    let scope = json!({"project": "flexnet/db-suite"});
    let binding = json!({"principal": {"service": "ci"}, "role": "Guest", "scope": scope, "author": "admin key"});
    world.command("binding.set", binding);
    let reply = world.pull("ci", ROBOT, BOTH).await;
    assert_eq!((reply.access().as_str(), reply.claims.unwrap().sub.as_str()), (PULL, "service:ci"));
    for (name, secret) in [("ada", ROBOT), ("ci", ADA), ("service:ci", ROBOT)] {
        assert_eq!(world.pull(name, secret, PULL).await.status, 401, "{name}: a secret goes with its own name");
    }
    let refresh = world.offline("ci", ROBOT).await;
    assert_eq!(world.refresh(&refresh, PULL).await.access(), PULL);
    world.command("secret.revoked", json!({"secret": "sec_ci"}));
    assert_eq!(world.pull("ci", ROBOT, PULL).await.status, 401);
    assert_eq!(world.refresh(&refresh, PULL).await.status, 401, "a refresh token ends with its secret");
}

#[tokio::test]
async fn a_service_that_was_removed_is_nobody_also_when_one_of_its_name_comes_back() {
    let world = World::new();
    robot(&world, "ci", ROBOT);
    let refresh = world.offline("ci", ROBOT).await;
    assert_eq!(world.refresh(&refresh, PULL).await.status, 200);
    for (name, data) in [("service.removed", json!({"service": "ci"})), ("service.created", json!({"service": "ci"}))] {
        world.command(name, data);
        assert_eq!(world.pull("ci", ROBOT, PULL).await.status, 401, "{name}");
        assert_eq!(world.refresh(&refresh, PULL).await.status, 401, "{name}");
    }
}

#[tokio::test]
async fn the_catalogue_of_a_profile_that_says_what_it_needs_is_not_for_all_who_pull_push_and_delete_everywhere() {
    let world = World::new();
    let ibm = rollcall_access::Profile::bundled("ibm").unwrap();
    world.command("profile.set", serde_json::to_value(ibm.document()).unwrap());
    for (role, listed) in [("Writer", ""), ("Manager", "registry:catalog:*")] {
        let who = json!({"user": "flexnet/u-ada"});
        let binding = json!({"principal": who, "role": role, "scope": "root", "author": "admin key"});
        world.command("binding.set", binding);
        assert_eq!(world.pull("ada", ADA, "registry:catalog:*").await.access(), listed, "{role}");
    }
}

#[tokio::test]
async fn the_catalogue_is_for_those_who_may_do_everything_everywhere() {
    let world = World::new();
    let harbor = rollcall_access::Profile::bundled("harbor").unwrap();
    world.command("profile.set", serde_json::to_value(harbor.document()).unwrap());
    robot(&world, "ci", ROBOT);
    let give = |who: serde_json::Value, role: &str| {
        let binding = json!({"principal": who, "role": role, "scope": "root", "author": "admin key"});
        world.command("binding.set", binding);
    };
    let catalog = "registry:catalog:*";
    for (name, secret) in [("ada", ADA), ("ci", ROBOT)] {
        assert_eq!(world.pull(name, secret, catalog).await.access(), "", "{name}");
    }
    give(json!({"user": "flexnet/u-ada"}), "system_admin");
    assert_eq!(world.pull("ada", ADA, catalog).await.access(), catalog);
    let both = world.pull("ada", ADA, &format!("{PULL}%20{catalog}")).await;
    assert_eq!(both.access(), format!("{PULL} {catalog}"));
    assert_eq!(world.decisions().last().unwrap().granted, format!("{PULL} {catalog}"));
    assert_eq!(world.pull("ci", ROBOT, catalog).await.access(), "");
    for other in ["registry:catalog:list", "registry:other:*", "registry:catalog"] {
        assert_eq!(world.pull("ada", ADA, other).await.access(), "", "{other}");
    }
    assert_eq!(world.get(&format!("service=registry&scope={catalog}")).send().await.access(), "", "nobody signed in");
}
