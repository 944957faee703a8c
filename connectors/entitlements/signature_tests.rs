//! Signatures of others: what their own tools and pages have signed verifies, and nothing else does.

use std::{fs, path::Path, sync::LazyLock};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use rollcall_ingest::connector::{Found, Headers, Hook, Occasion, Sender};

use crate::{Authentication, Format, KeygenKeyError, KeygenKeys, Posted, Secrets, StripeSecretError, StripeSecrets};

/// 2026-01-01T00:00:00Z
const SIGNED_AT: i64 = 1_767_225_600;
const BODY: &[u8] = br#"{"type":"rollcall.entitlement.upserted.v1"}"#;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn arrives<'a>(now: DateTime<Utc>) -> Occasion<'a> {
    static NONE: LazyLock<http::HeaderMap> = LazyLock::new(http::HeaderMap::new);
    Occasion::Arrival { now, sender: Sender { headers: &NONE, client: None, certificate: None } }
}

fn posted(authentication: Authentication) -> Posted {
    Posted::new(authentication, Format::CloudEvents)
}

/// What a delivery with these headers comes to, so many seconds behind its signature.
fn verdict(hook: &Posted, headers: &[(&str, &str)], body: &[u8], now: i64) -> &'static str {
    let headers: Headers = headers.iter().copied().filter(|(name, _)| hook.keeps(name)).collect();
    hook.verify(&headers, body, arrives(at(now))).err().map_or("ok", |rejection| rejection.reason)
}

/// Of the libraries of the Standard Webhooks project (MIT), which sign this body alike: `libraries/*/test*`.
#[test]
fn the_published_vectors_of_standard_webhooks_verify() {
    let (secret, id, time, body) = (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        br#"{"test": 2432232314}"#,
    );
    let secrets = Secrets::parse(secret).unwrap();
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert_eq!(secrets.sign(id, time, body), signature);
    let hook = posted(Authentication::Signature(secrets));
    let time_text = time.to_string();
    let several = format!(
        "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= {signature}"
    );
    for (value, becomes) in [
        (signature, "ok"),
        (several.as_str(), "ok"),
        ("v1,dawfeoifkpqwoekfpqoekf", "signature-mismatch"),
        ("v1,", "signature-mismatch"),
        ("v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=", "signature-mismatch"),
    ] {
        for prefix in ["webhook", "svix"] {
            let names = ["id", "timestamp", "signature"].map(|name| format!("{prefix}-{name}"));
            let [id_name, time_name, signature_name] = names.each_ref().map(String::as_str);
            let headers = [(id_name, id), (time_name, time_text.as_str()), (signature_name, value)];
            assert_eq!(verdict(&hook, &headers, body, time), becomes, "{prefix} {value}");
            assert_eq!(verdict(&hook, &headers[..2], body, time), "signature-missing");
        }
    }
    let mixed = [("svix-id", id), ("svix-timestamp", time_text.as_str()), ("webhook-signature", signature)];
    assert_eq!(verdict(&hook, &mixed, body, time), "id-missing", "a mixture is none of the two");
    let kept: Headers = [("svix-id", id), ("svix-timestamp", time_text.as_str())].into_iter().collect();
    let notification = hook.notification(&kept, b"").unwrap();
    assert_eq!((notification.id.as_str(), notification.signed_at), (id, at(time)));
}

#[test]
fn a_source_that_signs_with_a_key_pair_is_known_by_its_public_half() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = format!("whpk_{}", BASE64_STANDARD.encode(pair.public_key()));
    let shared = "whsec_cm9sbGNhbGwtdGVzdC1zZWNyZXQtMDEyMzQ1Njc4OQ==";
    let hook = posted(Authentication::Signature(Secrets::parse(&format!("{public}\n{shared}")).unwrap()));
    let sign = |key: &Ed25519KeyPair, body: &[u8]| {
        let message = [b"msg_1.1767225600.".as_slice(), body].concat();
        format!("v1a,{}", BASE64_STANDARD.encode(key.sign(&message)))
    };
    let arrives = |signature: &str, body: &[u8], now: i64| {
        let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", "1767225600"), ("webhook-signature", signature)];
        verdict(&hook, &headers, body, now)
    };
    let right = sign(&pair, BODY);
    assert_eq!(arrives(&right, BODY, SIGNED_AT), "ok");
    let of_shared = Secrets::parse(shared).unwrap().sign("msg_1", SIGNED_AT, BODY);
    assert_eq!(arrives(&of_shared, BODY, SIGNED_AT), "ok", "while a sender goes over from the one to the other");
    assert_eq!(arrives(&right.replace("v1a,", "v1,"), BODY, SIGNED_AT), "signature-mismatch", "a version is a scheme");
    assert_eq!(arrives(&right, b"{}", SIGNED_AT), "signature-mismatch");
    assert_eq!(arrives(&right, BODY, SIGNED_AT + 301), "timestamp-stale");
    let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    assert_eq!(arrives(&sign(&other, BODY), BODY, SIGNED_AT), "signature-mismatch");
    for wrong in ["whpk_", "whpk_AAAA", &public[..20], "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="] {
        assert!(Secrets::parse(wrong).is_err(), "{wrong}");
    }
}

/// Also E8: the window is 300 s either way.
#[test]
fn a_stripe_signature_counts_under_any_secret_and_for_five_minutes() {
    const RIGHT: &str = "v1=fb26b8f790f009648b194d75de019bded5ef3b8893343082868432adeafc8d08";
    let hook = posted(Authentication::Stripe(StripeSecrets::of("whsec_rollcall")));
    let of = |value: &str, now: i64| verdict(&hook, &[("stripe-signature", value)], BODY, now);
    let wrong = format!("v1={}", "0".repeat(64));
    for (value, becomes) in [
        (format!("t=1767225600,{RIGHT}"), "ok"),
        (format!("t=1767225600,{wrong},{RIGHT},v0=6ffbb59b"), "ok"),
        (format!("t=1767225600, {RIGHT}"), "ok"),
        (format!("t=1767225600,{wrong}"), "signature-mismatch"),
        (format!("t=1767225600,{}", RIGHT.replace("v1=", "v0=")), "signature-mismatch"),
        (format!("t=1767225600,{}", &RIGHT[..65]), "signature-mismatch"),
        ("t=1767225600".to_owned(), "signature-mismatch"),
        (format!("t=1767225601,{RIGHT}"), "signature-mismatch"),
        (format!("t=+1767225600,{RIGHT}"), "timestamp-malformed"),
        (format!("t=1767225600,t=1767225600,{RIGHT}"), "timestamp-malformed"),
        (RIGHT.to_owned(), "timestamp-malformed"),
        (format!("t=,{RIGHT}"), "timestamp-malformed"),
        (String::new(), "signature-missing"),
    ] {
        assert_eq!(of(&value, SIGNED_AT), becomes, "{value}");
    }
    let right = format!("t=1767225600,{RIGHT}");
    for (later, becomes) in
        [(-300, "ok"), (200, "ok"), (300, "ok"), (301, "timestamp-stale"), (-301, "timestamp-stale")]
    {
        assert_eq!(of(&right, SIGNED_AT + later), becomes, "{later}");
    }
    assert_eq!(verdict(&hook, &[("stripe-signature", &right)], b"{}", SIGNED_AT), "signature-mismatch");
    let kept: Headers = [("stripe-signature", right.as_str())].into_iter().collect();
    assert!(hook.verify(&kept, BODY, Occasion::Replay(Found::Rejected)).is_ok(), "a replay asks for no age");
    let written = "whsec_0123456789abcdefghijABCD";
    assert!(StripeSecrets::parse(&format!("# live\n{written}\n{written}x\n")).is_ok());
    assert_eq!(StripeSecrets::parse("\n").unwrap_err(), StripeSecretError::Missing);
    for bad in ["whsec_short", "sk_live_0123456789abcdefghijABCD", "whsec_0123456789abcdefghij ABCD"] {
        let error = StripeSecrets::parse(&format!("{written}\n{bad}")).unwrap_err();
        assert_eq!(error, StripeSecretError::Malformed { line: 2 });
    }
}

/// `testdata/keygen`: public keys, and what OpenSSL signed with the private ones, as Keygen does it.
#[test]
fn keygens_signature_counts_in_each_algorithm_under_a_key_of_its_kind() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let (ed25519, rsa, p256) = (read("keygen/ed25519.hex"), read("keygen/rsa.pem"), read("keygen/p256.pem"));
    let body = read("mapped/keygen/03-license.json");
    let signatures = read("keygen/signatures.txt");
    let digest = format!(
        "sha-256={}",
        BASE64_STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes()))
    );
    const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
    let (host, target) = ("rollcall.example.com", "/hooks/keygen?env=live");
    let hook = |text: &str, host: &str, target: &str| {
        posted(Authentication::Keygen(KeygenKeys::parse(text, host, target).unwrap()))
    };
    let all = hook(&format!("# account\n{ed25519}\n{rsa}{p256}"), host, target);
    let stated = |algorithm: &str, signature: &str| {
        format!(
            r#"keyid="acct-1", algorithm="{algorithm}", signature="{signature}", headers="(request-target) host date digest""#
        )
    };
    for line in signatures.lines() {
        let (algorithm, signature) = line.split_once(' ').unwrap();
        let value = stated(algorithm, signature);
        let headers = [("keygen-signature", value.as_str()), ("date", DATE), ("digest", digest.as_str())];
        let of = |hook: &Posted, headers: &[(&str, &str)]| verdict(hook, headers, body.as_bytes(), SIGNED_AT);
        assert_eq!(of(&all, &headers), "ok", "{algorithm}");
        let own = match algorithm {
            "ed25519" => &ed25519,
            "ecdsa-p256" => &p256,
            _ => &rsa,
        };
        assert_eq!(of(&hook(own, host, target), &headers), "ok", "{algorithm}");
        // A proxy writes the date anew; the sender repeats it.
        let proxied = [
            ("keygen-signature", value.as_str()),
            ("date", "Thu, 01 Jan 2026 00:00:09 GMT"),
            ("keygen-date", DATE),
            ("keygen-digest", digest.as_str()),
        ];
        assert_eq!(of(&all, &proxied), "ok");
        for (host, target) in
            [("rollcall.example.org", target), (host, "/hooks/keygen"), (host, "/hooks/other?env=live")]
        {
            assert_eq!(of(&hook(own, host, target), &headers), "signature-mismatch", "{host}{target}");
        }
        let other = if algorithm == "ed25519" { "rsa-sha256" } else { "ed25519" };
        let confused = stated(other, signature);
        let confused = [("keygen-signature", confused.as_str()), headers[1], headers[2]];
        assert_eq!(of(&all, &confused), "signature-mismatch", "{algorithm} is no {other}");
        assert_eq!(verdict(&all, &headers, b"{}", SIGNED_AT), "digest-mismatch");
        assert_eq!(verdict(&all, &headers, body.as_bytes(), SIGNED_AT + 301), "timestamp-stale");
        let cut = value.replace("(request-target) host date digest", "host date");
        let fewer = [("keygen-signature", cut.as_str()), headers[1], headers[2]];
        assert_eq!(of(&all, &fewer), "signature-malformed", "what is left out would be covered by nothing");
        assert_eq!(of(&all, &headers[1..]), "signature-missing");
        assert_eq!(of(&all, &[headers[0], headers[2]]), "timestamp-missing");
        assert_eq!(of(&all, &headers[..2]), "digest-mismatch");
    }
    let in_base64 = BASE64_STANDARD.encode(ed25519.trim());
    for (text, becomes) in [
        (in_base64.as_str(), None),
        ("", Some(KeygenKeyError::Missing)),
        ("80597d95135757e8e665644e35458f0ba63cf6f43d681bfb6691081d0a1477", Some(KeygenKeyError::Malformed { line: 1 })),
        ("# key\nnone", Some(KeygenKeyError::Malformed { line: 2 })),
        ("-----BEGIN PUBLIC KEY-----\nAAAA", Some(KeygenKeyError::Malformed { line: 1 })),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", Some(KeygenKeyError::Malformed { line: 1 })),
    ] {
        assert_eq!(KeygenKeys::parse(text, host, target).err(), becomes, "{text}");
    }
}

#[test]
fn a_source_with_addresses_is_taken_from_these_alone_on_top_of_what_it_shows() {
    let hook =
        posted(Authentication::None).only_from(vec!["10.1.0.0/16".parse().unwrap(), "2001:db8::/32".parse().unwrap()]);
    let from = |address: Option<&str>| {
        let headers = http::HeaderMap::new();
        let client = address.map(|address| address.parse().unwrap());
        let sender = Sender { headers: &headers, client, certificate: None };
        let verdict = hook.verify(&Headers::default(), b"", Occasion::Arrival { now: at(0), sender });
        verdict.err().map_or("ok", |rejection| rejection.reason)
    };
    for near in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"] {
        assert_eq!(from(Some(near)), "ok", "{near}");
    }
    for far in [Some("10.2.2.3"), Some("::1"), None] {
        assert_eq!(from(far), "address-unknown", "{far:?}");
    }
    let replay = |found| hook.verify(&Headers::default(), b"", Occasion::Replay(found)).err();
    assert_eq!(replay(Found::Authentic), None);
    assert_eq!(replay(Found::Rejected).unwrap().reason, "not-kept");
    let signed = posted(Authentication::Stripe(StripeSecrets::of("whsec_rollcall")))
        .only_from(vec!["10.1.0.0/16".parse().unwrap()]);
    assert_eq!(verdict(&signed, &[], BODY, SIGNED_AT), "address-unknown");
}

#[test]
fn only_a_sender_whose_name_is_written_down_is_told_that_it_may_post() {
    let hook = posted(Authentication::None).allowing(vec!["eventgrid.example.com".to_owned()]);
    assert!(hook.allows("EventGrid.example.com"));
    assert!(!hook.allows("*") && !hook.allows("") && !hook.allows("other.example.com"));
    assert!(!posted(Authentication::None).allows("eventgrid.example.com"));
}

/// A signature that was kept says what the delivery arrived under, whatever is asked for now.
#[test]
fn no_header_is_believed_of_what_was_signed() {
    let hook = posted(Authentication::None);
    let binary = [("content-type", "application/json"), ("ce-id", "1"), ("ce-type", "rollcall.product.upserted.v1")];
    for signature in ["webhook-signature", "svix-signature", "stripe-signature", "keygen-signature"] {
        let headers: Headers = binary.into_iter().chain([(signature, "x")]).collect();
        let parts = hook.map(&headers, br#"{"product":"X"}"#);
        assert_eq!(parts[0].as_ref().unwrap_err().problem.kind.as_str(), "binary-mode", "{signature}");
    }
}

proptest! {
    /// Whatever stands in the headers, nobody is taken for the source who does not have its secret, and nothing panics.
    #[test]
    fn no_text_in_a_header_is_a_signature(value in ".{0,200}", time in "[0-9+. -]{0,14}", hex in "[0-9a-fé]{0,70}") {
        let stripe = posted(Authentication::Stripe(StripeSecrets::of("whsec_rollcall")));
        let text = "80597d95135757e8e665644e35458f0ba63cf6f43d681bfb6691081d0a1477df";
        let keygen = posted(Authentication::Keygen(KeygenKeys::parse(text, "example.com", "/").unwrap()));
        let stated = format!(r#"algorithm="{value}", signature="{hex}", headers="(request-target) host date digest""#);
        for of_stripe in [value.clone(), format!("t={time},v1={hex}"), format!("t=1767225600,v1={hex}{value}")] {
            prop_assert_ne!(verdict(&stripe, &[("stripe-signature", &of_stripe)], BODY, SIGNED_AT), "ok");
        }
        for of_keygen in [&value, &stated] {
            let headers = [("keygen-signature", of_keygen.as_str()), ("date", time.as_str()), ("digest", value.as_str())];
            prop_assert_ne!(verdict(&keygen, &headers, BODY, SIGNED_AT), "ok");
        }
    }
}
