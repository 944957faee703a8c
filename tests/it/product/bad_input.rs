//! What bad input gets: each kind has a documented answer, can be looked at afterwards, and leaves the membership as it
//! was. Posts through the front door; reads only what an operator can read.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    Dir,
    api::{Secret, signed, unix_now},
    facts::cloud_event,
    free_port, run,
    server::{BINARY, Server, WORLD},
    wait_for,
};

const EVENT: &str = "application/cloudevents+json";

/// What is so before and after: every membership, and that the server is well.
fn unchanged(server: &Server, bad: impl FnOnce(&Server)) {
    let before = server.memberships();
    assert_eq!(before.len(), 3, "{before:#?}");
    bad(server);
    assert!(server.is_ready());
    assert_eq!(server.memberships(), before);
}

fn world() -> Server {
    let server = Server::start();
    server.say(WORLD);
    server
}

/// A delivery as it is kept, once what became of it is noted there (that comes right after the answer).
fn settled(server: &Server, delivery: &Value) -> Value {
    wait_for("the delivery to be settled", || {
        let kept = server.get(&format!("/api/v1/deliveries/{}", delivery.as_str().unwrap())).expect(200).json();
        Some(kept).filter(|kept| kept["verdict"] != "pending")
    })
}

/// The one part of a delivery, as it can be looked at afterwards.
fn part(server: &Server, delivery: &Value) -> Value {
    let kept = settled(server, delivery);
    assert_eq!(kept["parts"].as_array().unwrap().len(), 1, "{kept}");
    let listed = server.cli(&["deliveries", "list", "--failed"]).ok();
    assert!(listed.contains(delivery.as_str().unwrap()), "{listed}");
    kept["parts"][0].clone()
}

/// Posted rightly signed, it is 202, quarantined with this problem at this place, and shown so.
#[track_caller]
fn quarantined(server: &Server, body: impl Into<Vec<u8>>, problem: &str, pointer: &str, says: &str) {
    let body = body.into();
    let text = String::from_utf8_lossy(&body).into_owned();
    let answer = server.post_raw(EVENT, body).expect(202).json();
    assert_eq!((&answer["quarantined"], &answer["events"]), (&json!(1), &json!([])), "{text}: {answer}");
    let part = part(server, &answer["delivery"]);
    assert_eq!(part["outcome"], "quarantined", "{text}: {part}");
    let told = &part["problem"];
    assert_eq!(told["type"], problem, "{text}: {told}");
    assert!(told["pointer"].as_str().unwrap().starts_with(pointer), "{text}: {pointer} is not where {told} is");
    assert!(told["detail"].as_str().unwrap().contains(says), "{text}: `{says}` is not in {told}");
}

fn with(server: &Server, line: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut event = cloud_event(&server.event(line));
    change(&mut event);
    event.to_string().into_bytes()
}

const ENTITLEMENT: &str = "flexnet entitlement.upserted ENT-7 account=globex state=inactive";

#[test]
fn what_cannot_be_read_is_quarantined_and_changes_nothing() {
    unchanged(&world(), |server| {
        quarantined(server, "{\"specversion\":", "malformed", "", "ends too early");
        quarantined(server, b"\xff\xfe".to_vec(), "malformed", "", "");
        let twice = String::from_utf8(with(server, ENTITLEMENT, |_| ())).unwrap();
        let twice = twice.replace("\"state\":\"inactive\"", "\"state\":\"inactive\",\"state\":\"inactive\"");
        quarantined(server, twice, "invalid-data", "/data", "twice");
        quarantined(
            server,
            with(server, ENTITLEMENT, |e| e["data"]["colour"] = json!("red")),
            "invalid-data",
            "/data/colour",
            "colour",
        );
        quarantined(
            server,
            with(server, ENTITLEMENT, |e| e["data"]["state"] = json!("running")),
            "invalid-data",
            "/data/state",
            "on_hold",
        );
        quarantined(
            server,
            with(server, ENTITLEMENT, |e| e["type"] = json!("rollcall.entitlment.upserted.v1")),
            "unknown-type",
            "/type",
            "rollcall.entitlement.upserted.v1",
        );
        quarantined(
            server,
            with(server, ENTITLEMENT, |e| e["subject"] = json!("entitlement/ENT-8")),
            "subject-mismatch",
            "/subject",
            "ENT-7",
        );
        let line = "flexnet entitlement.line.upserted ENT-7/1 product=DB starts=2026-01-02T00:00:00Z ends=2026-01-03T00:00:00Z";
        quarantined(
            server,
            with(server, line, |e| e["data"]["ends"] = json!("2026-01-01T00:00:00Z")),
            "invalid-data",
            "/data/ends",
            "before",
        );
        let unordered = with(server, ENTITLEMENT, |e| {
            e.as_object_mut().unwrap().remove("sequence");
        });
        quarantined(server, unordered, "missing-order-key", "/sequence", "sequence");
    });
}

#[test]
fn a_source_cannot_say_what_only_commands_may() {
    unchanged(&world(), |server| {
        let binding = with(server, ENTITLEMENT, |e| {
            e["type"] = json!("rollcall.binding.set.v1");
            e.as_object_mut().unwrap().remove("subject");
            e["data"] =
                json!({"principal": {"user": "flexnet/ada"}, "role": "Developer", "scope": "root", "author": "x"});
        });
        quarantined(server, binding, "not-yours", "/type", "");
    });
}

#[test]
fn one_bad_event_of_a_batch_does_not_keep_the_others_out() {
    let server = world();
    let mut bad = cloud_event(&server.event("flexnet product.upserted X"));
    bad["data"] = json!({"product": 7});
    let good = cloud_event(&server.event("flexnet product.upserted Y"));
    let answer = server.post_json("application/cloudevents-batch+json", &json!([bad, good])).expect(202).json();
    assert_eq!((&answer["quarantined"], answer["events"].as_array().unwrap().len()), (&json!(1), 1), "{answer}");
    assert_eq!(answer["events"][0]["outcome"], "recorded", "{answer}");
}

#[test]
fn a16_a_wrong_missing_or_stale_signature_is_401_and_kept_as_rejected() {
    unchanged(&world(), |server| {
        let body = with(server, ENTITLEMENT, |_| ());
        let url = server.url("/hooks/flexnet");
        let post = || server.http.post(&url).header("content-type", EVENT);
        let now = unix_now();
        let right = server.secret.sign("m", now, &body);
        let headers = |id: Option<&str>, time: Option<String>, signature: Option<&str>| {
            let mut request = post();
            for (name, value) in
                [("webhook-id", id), ("webhook-timestamp", time.as_deref()), ("webhook-signature", signature)]
            {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            server.http.send(request.body(body.clone()))
        };
        let (id, time) = (Some("m"), Some(now.to_string()));
        let flipped = {
            let mut body = body.clone();
            body[20] ^= 1;
            server.http.send(
                post()
                    .header("webhook-id", "m")
                    .header("webhook-timestamp", now.to_string())
                    .header("webhook-signature", &right)
                    .body(body),
            )
        };
        let tries = [
            ("no headers", headers(None, None, None)),
            ("no signature", headers(id, time.clone(), None)),
            ("an empty signature", headers(id, time.clone(), Some(""))),
            ("no time", headers(id, None, Some(&right))),
            ("no id", headers(None, time.clone(), Some(&right))),
            ("a short signature", headers(id, time.clone(), Some(&right[..right.len() - 4]))),
            ("another version", headers(id, time.clone(), Some(&right.replace("v1,", "v2,")))),
            (
                "hexadecimal",
                headers(id, time.clone(), Some("v1,ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789")),
            ),
            ("another id", headers(Some("n"), time, Some(&right))),
            ("another body", flipped),
            ("an old one", server.http.send(signed(post(), &server.secret, "o", now - 400, body.clone()))),
            ("one from the future", server.http.send(signed(post(), &server.secret, "f", now + 400, body.clone()))),
            ("another secret", server.http.send(signed(post(), &Secret::new(9), "s", now, body.clone()))),
        ];
        for (what, answer) in &tries {
            assert_eq!((answer.status, answer.problem().as_str()), (401, "bad-signature"), "{what}: {answer:?}");
        }
        let rejected = wait_for("what was rejected", || {
            Some(server.pages("/api/v1/deliveries?verdict=rejected")).filter(|rejected| rejected.len() == tries.len())
        });
        assert!(rejected.iter().all(|delivery| delivery["reason"].is_string()), "{rejected:#?}");
        // Inside the window a clock may be off; and what is right is right.
        server
            .http
            .send(signed(post(), &server.secret, "skew", now - 200, with(server, "flexnet product.upserted Z", |_| ())))
            .expect(202);
    });
}

#[test]
fn a14_an_oversized_body_is_413_and_a_body_that_never_ends_is_cut() {
    let server = Server::start_with("max_body = \"1MiB\"\n");
    server.say(WORLD);
    unchanged(&server, |server| {
        let big = vec![b' '; 2 << 20];
        let answer = server.post_raw(EVENT, big).expect(413);
        assert_eq!(answer.problem(), "too-large");

        let memory = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
            let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        let before = memory();
        let head = "POST /hooks/flexnet HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16));
        let mut sent = 0_u64;
        while sent < 64 << 20 && stream.write_all(chunk.as_bytes()).is_ok() {
            sent += 1 << 16;
        }
        assert!(sent < 64 << 20, "an endless body was swallowed");
        let rise = memory().saturating_sub(before);
        eprintln!("{rise} KiB");
        assert!(rise < 8 << 10, "{rise} KiB more memory for an endless body");

        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"1\r\n{\r\n").unwrap();
        let start = Instant::now();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(
            answer.starts_with("HTTP/1.1 408") && answer.contains("body-timeout"),
            "after {:?}: {answer}",
            start.elapsed()
        );
    });
}

#[test]
fn a_reused_id_with_other_bytes_is_a_conflict_and_the_first_stays() {
    unchanged(&world(), |server| {
        let event = server.event("flexnet product.upserted P");
        server.post_event(&event).expect(202);
        let again = server.post_event(&event).expect(202).json();
        assert_eq!(again["events"][0]["outcome"], "duplicate", "{again}");
        let mut other = server.event(ENTITLEMENT);
        other.key.id = event.key.id.clone();
        let conflict = server.post_event(&other).expect(202).json();
        assert_eq!(conflict["events"][0]["outcome"], "conflict", "{conflict}");
        assert_eq!(conflict["events"][0]["position"], again["events"][0]["position"], "{conflict}");
        assert_eq!(part(server, &conflict["delivery"])["outcome"], "conflict");
    });
}

/// Recorded, judged, and without effect: shown as such with its reason.
fn parked(server: &Server, line: &str, says: &str) {
    let body = cloud_event(&server.event(line)).to_string().into_bytes();
    let request = server.http.post(&server.url("/hooks/flexnet?wait=5s")).header("content-type", EVENT);
    let answer = server.http.send(signed(request, &server.secret, &server.delivery_id(), unix_now(), body)).expect(202);
    let told = answer.json()["events"][0].clone();
    assert_eq!((&told["outcome"], &told["effect"]), (&json!("recorded"), &json!("parked")), "{line}: {told}");
    assert!(told["reason"].as_str().unwrap().contains(says), "{line}: `{says}` is not in {told}");
    let kept = settled(server, &answer.json()["delivery"]);
    assert_eq!(kept["parts"][0]["effect"], "parked", "{kept}");
}

#[test]
fn a_package_whose_name_is_taken_or_cannot_be_made_valid_is_parked() {
    unchanged(&world(), |server| {
        parked(server, "flexnet package.upserted rival producer=vendor project_name=acme", "acme");
        parked(server, "flexnet package.upserted odd producer=vendor project_name=A--b", "--");
        assert_eq!(server.get("/api/v1/projects").expect(200).json()["items"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn a_cycle_of_accounts_makes_them_nobodys_sub_accounts_and_is_mended_by_the_next_fact() {
    let server = world();
    let before = server.memberships();
    server.say("flexnet account.upserted vendor kind=producer parent=lab");
    let during = server.memberships();
    assert!(!during.iter().any(|m| m.contains("\"max\"")), "{during:#?}");
    assert!(during.iter().any(|m| m.contains("\"pia\"")), "{during:#?}");
    server.say("flexnet account.upserted vendor kind=producer");
    let users =
        |all: &[String]| all.iter().map(|m| m.split("\"user\":").nth(1).unwrap()[..6].to_owned()).collect::<Vec<_>>();
    assert_eq!(users(&server.memberships()), users(&before));
}

#[test]
fn an_unknown_source_is_404_and_nothing_is_kept() {
    let server = Server::start();
    let body = with(&server, ENTITLEMENT, |_| ());
    let request = server.http.post(&server.url("/hooks/nobody")).header("content-type", EVENT);
    let answer = server.http.send(signed(request, &server.secret, "m", unix_now(), body)).expect(404);
    assert_eq!(answer.problem(), "unknown-source");
    assert_eq!(server.pages("/api/v1/deliveries").len(), 0);
}

#[test]
fn our_own_forms_refuse_unknown_members_and_wrong_shapes() {
    unchanged(&world(), |server| {
        for (body, says) in
            [(json!({"label": "x", "admin": true}), "admin"), (json!({"label": 7}), "label"), (json!([]), "")]
        {
            let answer = server.post("/api/v1/users/ada/secrets", &body).expect(422);
            assert_eq!(answer.problem(), "invalid-body");
            assert!(answer.text.contains(says), "{answer:?}");
        }
        let broken = server.http.post(&server.url("/api/v1/users/ada/secrets")).bearer_auth(server.admin_key());
        let broken = server.http.send(broken.header("content-type", "application/json").body("{")).expect(400);
        assert_eq!(broken.problem(), "malformed-json");
        assert_eq!(server.get("/api/v1/users?colour=red").expect(400).problem(), "invalid-query");
        assert_eq!(server.get("/api/v1/users/nobody").expect(404).problem(), "unknown-user");
        assert_eq!(server.pages("/api/v1/users/ada/secrets").len(), 0);
    });
}

/// Serves with this configuration, which must be refused; what was said.
fn refused_start(config: &str) -> String {
    let dir = Dir::new();
    let server = format!("[server]\nlisten = \"127.0.0.1:{}\"\n", free_port());
    let file = dir.write("rollcall.toml", server + config);
    let said = run(Command::new(BINARY).args(["serve", "--config"]).arg(&file).current_dir(dir.path()), &dir);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("rollcall.toml"), "{said:?}");
    assert!(!dir.join("rollcall-data/log.db").exists(), "a refused start made a log");
    said.err
}

#[test]
fn a_configuration_with_an_unknown_key_is_refused_with_its_place_and_the_nearest_key() {
    let said = refused_start("public_ur = \"http://x\"\n");
    assert!(said.contains("public_url") && said.contains('3'), "{said}");
}

#[test]
fn a_role_that_the_profile_lacks_is_refused() {
    let said = refused_start("[access]\nconsumer_role = \"Owner\"\n");
    assert!(said.contains("Owner") && said.contains("Guest"), "{said}");
}

#[test]
fn a16_a_source_without_a_secret_is_refused() {
    let said = refused_start("[source.flexnet]\nkind = \"entitlements\"\n");
    assert!(said.contains("flexnet") && said.contains("secret"), "{said}");
    for secret in ["", " \n", "whsec_", "whsec_c2hvcnQ="] {
        let dir = Dir::new();
        dir.write("flexnet.secret", secret);
        let file = dir.write("rollcall.toml", "[source.flexnet]\nsecret_file = \"flexnet.secret\"\n");
        let said = run(Command::new(BINARY).args(["serve", "--config"]).arg(&file).current_dir(dir.path()), &dir);
        assert!(said.code == 2 && said.err.contains("flexnet"), "{secret:?}: {said:?}");
    }
}
