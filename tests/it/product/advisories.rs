//! Peers' advisories as regressions (reference list of 34): those that concern the hook, the token endpoint, keys, the
//! log or the API and need the whole process. Others are tests of the crates; one test here holds that each row is one.

use std::os::unix::fs::PermissionsExt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{
    server::{Server, WORLD, claims, header},
    wait_for,
};

/// Rows about a surface that is not there yet, and the folder whose coming makes them due.
const NOT_YET: &[(u32, &str)] = &[(28, "connectors/github"), (31, "connectors/github")];

/// Every row is a named test somewhere: `a01_..` to `a34_..`.
#[test]
fn every_row_of_the_list_is_a_test_or_its_surface_is_not_there() {
    fn walk(folder: &std::path::Path, text: &mut String) {
        for path in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                walk(&path, text);
            } else if path.extension().is_some_and(|e| e == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut text = String::new();
    for folder in ["src", "connectors", "tests/it"] {
        walk(&root.join(folder), &mut text);
    }
    let tests: Vec<&str> =
        text.lines().filter_map(|line| line.trim_start().split_once("fn a")).map(|(_, name)| name).collect();
    for row in 1..=34 {
        // `a01_a02_what_it_says` is both.
        let named = tests.iter().any(|name| format!("_a{name}").contains(&format!("_a{row:02}_")));
        match NOT_YET.iter().find(|(later, _)| *later == row) {
            Some((_, folder)) => assert!(named || !root.join(folder).exists(), "row {row} is due: {folder} is there"),
            None => assert!(named, "row {row} is no test"),
        }
    }
}

fn world() -> (Server, String) {
    let server = Server::start();
    server.say(WORLD);
    let ada = server.secret_for("ada");
    (server, ada)
}

const PULL: &str = "&scope=repository:acme/db:pull";

fn access(answer: &Value) -> Value {
    claims(answer["token"].as_str().unwrap())["access"].clone()
}

#[test]
fn a02_no_blank_password_reaches_anything() {
    let (server, _) = world();
    for password in ["", " ", "\t"] {
        server.token("ada", password, PULL).expect(401);
    }
}

#[test]
fn a03_who_is_removed_at_the_source_has_no_access_with_the_next_token_and_no_new_login() {
    let (server, ada) = world();
    assert_eq!(server.granted("ada", &ada, "acme/db"), ["pull"]);
    server.say("flexnet person.upserted ada account=null");
    assert_eq!(server.granted("ada", &ada, "acme/db"), [""; 0]);
}

/// A token with another header or claims, under the same signature.
fn forged(token: &str, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let (mut head, mut body) = (header(token), claims(token));
    change(&mut head, &mut body);
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(&head), part(&body), token.rsplit('.').next().unwrap())
}

#[test]
fn a05_a06_a_refresh_token_or_a_registry_token_that_was_tampered_with_is_no_credential() {
    let (server, ada) = world();
    let answer = server.token("ada", &ada, &format!("{PULL}&offline_token=true")).expect(200).json();
    let refresh = answer["refresh_token"].as_str().unwrap().to_owned();
    let by_refresh = |token: &str| {
        let form = format!(
            "grant_type=refresh_token&service=rollcall&client_id=docker&refresh_token={token}&scope=repository:acme/db:pull"
        );
        let request =
            server.http.post(&server.url("/token")).header("content-type", "application/x-www-form-urlencoded");
        server.http.send(request.body(form))
    };
    by_refresh(&refresh).expect(200);
    for at in [refresh.len() / 3, refresh.len() / 2, refresh.len() - 2] {
        let mut bytes = refresh.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        by_refresh(&String::from_utf8(bytes).unwrap()).expect(401);
    }
    // A registry token is for registries: not for the API, not as a refresh token, whatever its header says.
    let token = answer["token"].as_str().unwrap();
    let none = forged(token, |head, _| head["alg"] = json!("none"));
    let own_key = forged(token, |head, _| head["jwk"] = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}));
    let times = forged(token, |_, body| body["nbf"] = json!("999"));
    for token in [token, &none, &own_key, &times] {
        by_refresh(token).expect(401);
        server.http.send(server.http.get(&server.url("/api/v1/users")).bearer_auth(token)).expect(401);
        server
            .http
            .send(server.http.get(&server.url(&format!("/token?service=rollcall{PULL}"))).bearer_auth(token))
            .expect(401);
    }
}

#[test]
fn a08_a_privileged_or_unknown_member_of_a_form_is_refused_and_does_nothing() {
    let (server, _) = world();
    for member in ["admin", "has_admin_role", "user", "sha256"] {
        let mut body = json!({"label": "x"});
        body[member] = json!(true);
        server.post("/api/v1/users/ada/secrets", &body).expect(422);
    }
    assert_eq!(server.pages("/api/v1/users/ada/secrets").len(), 1);
}

#[test]
fn a09_a10_a20_no_route_of_the_api_answers_without_the_key_and_none_tells_what_exists() {
    let (server, _) = world();
    let document = server.get("/api/v1/openapi.json").expect(200).json();
    let paths = document["paths"].as_object().unwrap();
    let mut seen = 0;
    for (path, item) in paths.iter().filter(|(path, _)| path.starts_with("/api/v1/")) {
        for method in ["get", "post", "put", "patch", "delete"] {
            let Some(operation) = item.get(method) else { continue };
            if path.contains("/invitations/{") || path.ends_with("/openapi.json") || operation["security"] == json!([])
            {
                continue;
            }
            let ask = |id: &str, key: Option<&str>| {
                let filled =
                    path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect::<Vec<_>>();
                let url = server.url(&filled.join("/"));
                let request = server.http.request(method.to_uppercase().parse().unwrap(), &url);
                let request = if method == "get" {
                    request
                } else {
                    request.header("content-type", "application/json").body("{}")
                };
                server.http.send(match key {
                    Some(key) => request.bearer_auth(key),
                    None => request,
                })
            };
            let (real, made_up) = (ask("acme", None), ask("no-such-thing", None));
            assert_eq!((real.status, made_up.status), (401, 401), "{method} {path}");
            let text = |answer: &crate::support::api::Answer| {
                let mut body = answer.json();
                body.as_object_mut().unwrap().remove("instance");
                body
            };
            assert_eq!(text(&real), text(&made_up), "{method} {path} tells what exists");
            // What somebody with a secret of its own may see is walked by the tests of the API.
            for key in ["nothing", "rk_"] {
                assert_eq!(ask("acme", Some(key)).status, 401, "{method} {path} with {key}");
            }
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} routes were seen");
}

#[test]
fn a11_the_first_start_makes_a_random_key_shown_once_and_nothing_answers_to_a_default() {
    let (one, two) = (Server::start(), Server::start());
    assert_ne!(one.admin_key(), two.admin_key());
    assert!(one.admin_key().len() >= 40, "{}", one.admin_key());
    let mode = |name: &str| std::fs::metadata(one.data(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("admin.key"), 0o600);
    for (user, password) in
        [("admin", "admin"), ("admin", "password"), ("admin", "Harbor12345"), ("rollcall", "rollcall")]
    {
        one.token(user, password, "").expect(401);
        let url = one.url("/api/v1/users");
        one.http.send(one.http.get(&url).basic_auth(user, Some(password))).expect(401);
    }
}

#[test]
fn a12_a_cursor_belongs_to_its_query() {
    let (server, _) = world();
    let page = server.get("/api/v1/users?limit=1").expect(200).json();
    let cursor = page["next"].as_str().unwrap();
    server.get(&format!("/api/v1/users?limit=1&cursor={cursor}")).expect(200);
    for other in [format!("/api/v1/people?limit=1&cursor={cursor}"), format!("/api/v1/events?limit=1&cursor={cursor}")]
    {
        assert_eq!(server.get(&other).expect(400).problem(), "invalid-cursor", "{other}");
    }
    server.get(&format!("/api/v1/users?limit=1&cursor={cursor}x")).expect(400);
}

#[test]
fn a13_every_page_size_is_capped() {
    let (server, _) = world();
    for path in ["users", "people", "projects", "events", "deliveries", "decisions", "projects/acme/members"] {
        for limit in ["0", "501", "1000000000", "9223372036854775808", "-1", "x"] {
            let answer = server.get(&format!("/api/v1/{path}?limit={limit}"));
            assert_eq!(answer.status, 400, "{path} {limit}: {answer:?}");
        }
    }
}

#[test]
fn a15_a_poison_event_parks_and_the_service_survives_every_restart() {
    let mut server = Server::start();
    server.say(WORLD);
    server.say("flexnet package.upserted poison producer=vendor project_name=acme\nflexnet package.upserted worse producer=vendor name='--'\nflexnet account.upserted lab kind=producer parent=lab");
    let before = server.memberships();
    for _ in 0..3 {
        server.kill();
        server.go();
        assert_eq!(server.memberships(), before);
    }
    server.say("flexnet product.upserted AFTER");
}

#[test]
fn a17_a34_secrets_are_compared_in_constant_time() {
    // What a test can hold still: every comparison of a secret is one of the constant-time ones.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in [
        "connectors/entitlements/signatures/secrets.rs",
        "connectors/entitlements/signatures/stripe.rs",
        "src/authn/admin_key.rs",
        "src/authn/refresh.rs",
    ] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(text.contains("verify_slices_are_equal("), "{file} compares secrets in a time that tells about them");
    }
}

#[test]
fn a18_no_header_says_who_the_caller_is() {
    let (server, _) = world();
    let url = server.url("/api/v1/users");
    for name in ["x-webauth-user", "x-forwarded-user", "x-remote-user", "x-forwarded-for", "forwarded", "x-real-ip"] {
        server.http.send(server.http.get(&url).header(name, "admin")).expect(401);
    }
}

#[test]
fn a19_one_credential_means_the_same_however_it_is_sent() {
    let (server, ada) = world();
    let by_basic = access(&server.token("ada", &ada, PULL).expect(200).json());
    let form = format!(
        "grant_type=password&username=ada&password={ada}&service=rollcall&client_id=x&scope=repository:acme/db:pull"
    );
    let request = server.http.post(&server.url("/token")).header("content-type", "application/x-www-form-urlencoded");
    let by_form = access(&server.http.send(request.body(form)).expect(200).json());
    let answer = server.token("ada", &ada, "&offline_token=true").expect(200).json();
    let form = format!(
        "grant_type=refresh_token&refresh_token={}&service=rollcall&client_id=x&scope=repository:acme/db:pull",
        answer["refresh_token"].as_str().unwrap()
    );
    let request = server.http.post(&server.url("/token")).header("content-type", "application/x-www-form-urlencoded");
    let by_refresh = access(&server.http.send(request.body(form)).expect(200).json());
    assert_eq!(by_basic, json!([{"type": "repository", "name": "acme/db", "actions": ["pull"]}]));
    assert_eq!((&by_basic, &by_basic), (&by_form, &by_refresh));
}

#[test]
fn a21_a_name_that_somebody_takes_over_moves_no_right() {
    let (server, ada) = world();
    server.say("flexnet person.upserted eve account=null username=ada");
    assert_eq!(server.granted("ada", &ada, "acme/db"), ["pull"]);
    let eve = server.secret_for("ada~flexnet");
    assert_eq!(server.granted("ada~flexnet", &eve, "acme/db"), [""; 0]);
    // Ada is renamed at the source: the right and the secret go with the person, and nobody inherits the old name.
    server.say("flexnet person.upserted ada account=globex username=ada.lovelace");
    assert_eq!(server.granted("ada.lovelace", &ada, "acme/db"), ["pull"]);
    assert_eq!(server.granted("ada~flexnet", &eve, "acme/db"), [""; 0]);
    server.token("ada", &eve, "").expect(401);
}

#[test]
fn a22_users_who_ask_at_once_never_get_each_other_s_token() {
    let (server, ada) = world();
    let pia = server.secret_for("pia");
    std::thread::scope(|scope| {
        for (user, secret, actions) in [("ada", &ada, &["pull"][..]), ("pia", &pia, &["pull", "push"])].repeat(4) {
            let url = server.url("/token?service=rollcall&scope=repository:acme/db:pull,push");
            scope.spawn(move || {
                let http = crate::support::api::Http::default();
                let mut subject = None;
                for _ in 0..50 {
                    let answer = http.send(http.get(&url).basic_auth(user, Some(secret))).expect(200).json();
                    let claims = claims(answer["token"].as_str().unwrap());
                    let mut got: Vec<String> = serde_json::from_value(claims["access"][0]["actions"].clone()).unwrap();
                    got.sort();
                    assert_eq!(got, actions, "{user}: {claims}");
                    assert_eq!(subject.get_or_insert(claims["sub"].clone()), &claims["sub"]);
                }
            });
        }
    });
}

#[test]
fn a23_spellings_of_one_name_share_one_throttle() {
    let (server, ada) = world();
    let mut refused = 0;
    for n in 0..400 {
        let name = ["ada", "ADA", "Ada", " ada"][n % 4];
        match server.token(name, &format!("rcs_wrong{n}"), "").status {
            401 => refused += 1,
            429 => break,
            other => panic!("{other}"),
        }
    }
    assert!(refused <= 110, "{refused} guesses at one account");
    let _ = ada;
}

#[test]
fn a24_a_person_who_is_suspended_gets_no_token_by_any_way() {
    let (server, ada) = world();
    let answer = server.token("ada", &ada, "&offline_token=true").expect(200).json();
    let refresh = answer["refresh_token"].as_str().unwrap().to_owned();
    server.say("flexnet person.upserted ada account=globex active=false");
    server.token("ada", &ada, PULL).expect(401);
    let form = format!("grant_type=refresh_token&refresh_token={refresh}&service=rollcall&client_id=x");
    let request = server.http.post(&server.url("/token")).header("content-type", "application/x-www-form-urlencoded");
    server.http.send(request.body(form)).expect(401);
}

#[test]
fn a25_a26_a33_what_was_revoked_stays_revoked_through_a_kill() {
    let (mut server, ada) = world();
    let other = server.secret_for("ada");
    let refresh = |server: &Server, secret: &str| {
        let answer = server.token("ada", secret, "&offline_token=true").expect(200).json();
        answer["refresh_token"].as_str().unwrap().to_owned()
    };
    let (of_ada, of_other) = (refresh(&server, &ada), refresh(&server, &other));
    let by = |server: &Server, token: &str| {
        let form = format!(
            "grant_type=refresh_token&refresh_token={token}&service=rollcall&client_id=x&scope=repository:acme/db:pull"
        );
        let request =
            server.http.post(&server.url("/token")).header("content-type", "application/x-www-form-urlencoded");
        server.http.send(request.body(form)).status
    };
    assert_eq!((by(&server, &of_ada), by(&server, &of_other)), (200, 200));
    let first = server.pages("/api/v1/users/ada/secrets")[0]["id"].as_str().unwrap().to_owned();
    let revoked = server.delete(&format!("/api/v1/users/ada/secrets/{first}"));
    assert!(revoked.status < 300, "{revoked:?}");
    server.kill();
    server.go();
    assert_eq!((by(&server, &of_ada), by(&server, &of_other)), (401, 200));
    server.token("ada", &ada, "").expect(401);
    // A reset ends all of them, whatever each of them says of its own time.
    server.post("/api/v1/users/ada/credentials-reset", &json!({})).expect(200);
    server.kill();
    server.go();
    assert_eq!((by(&server, &of_ada), by(&server, &of_other)), (401, 401));
    server.token("ada", &other, "").expect(401);
    let new = server.secret_for("ada");
    server.token("ada", &new, "").expect(200);
}

#[test]
fn a29_a_token_or_refresh_token_of_one_instance_is_nothing_to_another() {
    let ((one, ada), (two, _)) = (world(), world());
    one.token("ada", &ada, "").expect(200);
    two.token("ada", &ada, "").expect(401);
    let answer = one.token("ada", &ada, "&offline_token=true").expect(200).json();
    let form = format!(
        "grant_type=refresh_token&refresh_token={}&service=rollcall&client_id=x",
        answer["refresh_token"].as_str().unwrap()
    );
    let request = two.http.post(&two.url("/token")).header("content-type", "application/x-www-form-urlencoded");
    two.http.send(request.body(form)).expect(401);
    let wrong = one.url(&format!("/token?service=another{PULL}"));
    one.http.send(one.http.get(&wrong).basic_auth("ada", Some(&ada))).expect(400);
    assert_eq!(claims(answer["token"].as_str().unwrap())["aud"], "rollcall");
}

#[test]
fn a30_a_garbage_credential_is_not_nobody() {
    let (server, _) = world();
    let url = server.url("/token?service=rollcall&scope=repository:acme/db:pull");
    for value in ["Bearer nothing", "Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Negotiate x", ""] {
        server.http.send(server.http.get(&url).header("authorization", value)).expect(401);
    }
    let anonymous = server.http.send(server.http.get(&url)).expect(200).json();
    assert_eq!(access(&anonymous), json!([]));
}

#[test]
fn secrets_are_in_no_log_line_no_listing_and_no_file_but_their_own() {
    let mut server = Server::start_with("[log]\nlevel = \"trace\"\n");
    server.say(WORLD);
    let secret = server.secret_for("ada");
    let answer = server.token("ada", &secret, &format!("{PULL}&offline_token=true")).expect(200).json();
    server.token("ada", "canary-password-1", "").expect(401);
    let key = server.admin_key();
    let listing = server.get("/api/v1/users/ada/secrets").text
        + &server.cli(&["config", "show"]).out
        + &server.get("/api/v1/events").text;
    server.stop();
    let webhook = server.secret.text();
    let canaries = [
        &secret,
        "canary-password-1",
        answer["token"].as_str().unwrap(),
        answer["refresh_token"].as_str().unwrap(),
        &webhook,
    ];
    for canary in canaries {
        assert!(!server.log().contains(canary), "{canary} is in the log lines");
        assert!(!listing.contains(canary), "{canary} is in a listing");
        for entry in std::fs::read_dir(server.data("")).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()) {
            let bytes = std::fs::read(&entry).unwrap();
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{canary} is in {}", entry.display());
        }
    }
    // The key of the first start is shown once, on purpose; a second start shows nothing.
    let shown = server.log().matches(&key).count();
    server.go();
    assert_eq!(server.log().matches(&key).count(), shown);
}

#[test]
fn e_mail_and_display_name_are_not_in_the_log() {
    let mut server = Server::start();
    let mut event = crate::support::facts::cloud_event(&server.event("flexnet person.upserted ada account=null"));
    event["data"]["personal"] = json!({"email": "canary@globex.test", "name": "Canary Lovelace"});
    server.post_json("application/cloudevents+json", &event).expect(202);
    let events =
        wait_for("the event", || Some(server.get("/api/v1/events").text).filter(|text| text.contains("person/ada")));
    assert!(!events.contains("anary"), "{events}");
    server.stop();
    for name in ["log.db", "log.db-wal"] {
        let bytes = std::fs::read(server.data(name)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("anary"), "{name}");
    }
}
