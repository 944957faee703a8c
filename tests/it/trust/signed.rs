//! Everything that decides is under the signature: what is not covered by what authenticates a sender is not believed.

use std::process::Command;

use serde_json::json;

use crate::support::{
    Dir,
    api::{Answer, Secret, signed, unix_now},
    facts::cloud_event,
    run,
    server::{BINARY, Server, WORLD},
};

const BINARY_MODE: [(&str, &str); 5] = [
    ("content-type", "application/json"),
    ("ce-specversion", "1.0"),
    ("ce-id", "forged"),
    ("ce-source", "/acme"),
    ("ce-sequence", "18446744073709551615"),
];

/// Posts a body in binary mode as an event of this type, signed as a captured delivery is.
fn forged(server: &Server, kind: &str, body: Vec<u8>) -> Answer {
    let request = server.http.post(&server.url("/hooks/flexnet")).header("ce-type", kind);
    let request = BINARY_MODE.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    server.http.send(signed(request, &server.secret, &server.delivery_id(), unix_now(), body))
}

#[test]
fn a_captured_revocation_becomes_no_grant_by_its_headers_and_what_follows_is_not_superseded() {
    let server = Server::start();
    server.say(WORLD);
    server.say("flexnet permission.revoked pia");
    let before = server.memberships();
    let captured = cloud_event(&server.event("flexnet permission.revoked pia"));
    for body in [captured["data"].to_string(), captured.to_string()] {
        let answer = forged(&server, "rollcall.permission.granted.v1", body.into_bytes()).expect(202).json();
        assert_eq!((&answer["quarantined"], &answer["events"]), (&json!(1), &json!([])), "{answer}");
        let path = format!("/api/v1/deliveries/{}", answer["delivery"].as_str().unwrap());
        let part = server.get(&path).expect(200).json()["parts"][0].clone();
        assert_eq!(part["problem"]["type"], "binary-mode", "{part}");
        assert_eq!((&part["id"], &part["type"], &part["subject"]), (&json!(null), &json!(null), &json!(null)));
        assert!(part["problem"]["detail"].as_str().unwrap().contains("covers only the body"), "{part}");
    }
    assert_eq!(server.memberships(), before);
    server.say("flexnet permission.granted pia");
    assert_ne!(server.memberships(), before, "an honest event counts");
}

/// A second source, like the first but with this secret.
fn other(secret: &str) -> String {
    format!("\n[source.portal]\nsecret_file = \"{secret}\"\n")
}

#[test]
fn two_sources_with_one_secret_are_refused_at_start() {
    let dir = Dir::new();
    let (one, two) = (Secret::new(1).text(), Secret::new(2).text());
    dir.write("flexnet.secret", format!("{one}\n"));
    let flexnet = "[source.flexnet]\nsecret_file = \"flexnet.secret\"\n";
    for (portal, good) in [(two.clone(), true), (one.clone(), false), (format!("{two}\n# previous\n{one}\n"), false)] {
        dir.write("portal.secret", &portal);
        let file = dir.write("rollcall.toml", flexnet.to_owned() + &other("portal.secret"));
        let said = run(Command::new(BINARY).args(["config", "check", "--config"]).arg(&file), &dir);
        assert_eq!(said.code == 0, good, "{said:?}");
        if !good {
            assert!(format!("{said:?}").contains("each its own"), "{said:?}");
            assert!(format!("{said:?}").contains("source.portal.secret_file"), "{said:?}");
        }
    }
}

#[test]
fn a_source_that_sends_a_token_may_use_binary_mode_and_nobody_else_may_send() {
    let token = "a-token-of-the-licensing-portal-0123456789";
    let server = Server::prepared("\n[source.portal]\nauthentication = \"bearer\"\nsecret_file = \"portal.token\"\n");
    server.dir.write("portal.token", format!("{token}\n"));
    let mut server = server;
    server.go();
    let post = |authorization: &[&str]| {
        let request = server.http.post(&server.url("/hooks/portal?wait=5s"));
        let request = request.header("ce-type", "rollcall.product.upserted.v1").body(r#"{"product":"DB"}"#);
        let attributes = BINARY_MODE.iter().filter(|(name, _)| *name != "ce-sequence");
        let request = attributes.fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.header("ce-sequence", "1");
        let request = authorization.iter().fold(request, |request, value| request.header("authorization", *value));
        server.http.send(request)
    };
    for wrong in [&[][..], &["Bearer "], &["Bearer wrong"], &["Basic YTpi"], &[&format!("Bearer {token}x")]] {
        assert_eq!(post(wrong).expect(401).problem(), "bad-signature", "{wrong:?}");
    }
    let right = format!("Bearer {token}");
    assert_eq!(post(&[&right, &right]).status, 401);
    let answer = post(&[&right]).expect(202).json();
    assert_eq!((&answer["events"][0]["id"], &answer["events"][0]["effect"]), (&json!("forged"), &json!("applied")));
    let kept = server.get(&format!("/api/v1/deliveries/{}", answer["delivery"].as_str().unwrap())).expect(200);
    assert!(!kept.text.contains(token), "a token is kept: {kept:?}");
}
