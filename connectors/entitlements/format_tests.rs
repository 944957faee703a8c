//! The canonical form, from bytes to events: captured requests, signatures, and whole deliveries through real stores.

use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_events::Order;
use rollcall_ingest::{
    DeliveryId,
    connector::{
        ClientCertificate, Found, Headers, Hook, MappedEvent, MappingError, Occasion, Problem, Rejection, Sender,
        SenderId,
    },
    validate,
};
use serde::Serialize;

use crate::{Authentication, Format, Posted, SecretError, Secrets, TokenError, Tokens};

const SECRET: &str = "whsec_cm9sbGNhbGwtdGVzdC1zZWNyZXQtMDEyMzQ1Njc4OQ==";
const OTHER: &str = "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldC0wMTIzNDU2Nzg5";
const BODY: &[u8] = br#"{"type":"rollcall.entitlement.upserted.v1"}"#;
const SIGNATURE: &str = "v1,tV05vTAOj4Auj0ulBQyiY5GmqSn5pJ3KwwDkjmPkw8g=";

fn cloudevents(authentication: Authentication) -> Posted {
    Posted::new(authentication, Format::CloudEvents)
}

fn hook(secrets: &str) -> Posted {
    cloudevents(Authentication::Signature(Secrets::parse(secrets).unwrap()))
}

const TOKEN: &str = "licensing-token-of-0123456789-abcdef";

/// A hook whose authentication covers the whole call.
fn by_token() -> Posted {
    cloudevents(Authentication::Bearer(Tokens::parse(TOKEN).unwrap()))
}

/// It arrives at this instant and shows nothing else.
fn arrives<'a>(now: DateTime<Utc>) -> Occasion<'a> {
    static NONE: LazyLock<http::HeaderMap> = LazyLock::new(http::HeaderMap::new);
    Occasion::Arrival { now, sender: Sender { headers: &NONE, client: None, certificate: None } }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
}

/// What a part gives, as it stands in `testdata`.
#[derive(Serialize)]
#[serde(untagged)]
enum Expected {
    Event {
        id: Arc<str>,
        #[serde(rename = "type")]
        kind: Arc<str>,
        subject: Arc<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        time: Option<DateTime<Utc>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sequence: Option<u64>,
        origin: Option<Arc<str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        traceparent: Option<Arc<str>>,
        /// As text: the bytes count.
        data: Arc<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        personal: Option<[Option<String>; 2]>,
    },
    Quarantined {
        id: Option<String>,
        problem: Problem,
    },
}

fn expected(event: Result<MappedEvent, MappingError>) -> Expected {
    let delivery = DeliveryId::new(at(0), [0; 10]);
    match event {
        Ok(event) => {
            let id = event.id.text().map(str::to_owned);
            match validate(&"flexnet".parse().unwrap(), Order::Version, &delivery, at(0), at(0), event) {
                Ok(fact) => Expected::Event {
                    id: fact.event.key.id,
                    kind: fact.event.kind,
                    subject: fact.event.subject,
                    time: fact.event.time,
                    sequence: fact.event.sequence,
                    origin: fact.event.origin,
                    traceparent: fact.event.traceparent,
                    data: fact.event.data,
                    personal: fact.personal.map(|personal| [personal.email, personal.name]),
                },
                Err(problem) => Expected::Quarantined { id, problem },
            }
        }
        Err(MappingError { id, problem, .. }) => Expected::Quarantined { id, problem },
    }
}

/// `UPDATE=1` writes the expectations anew.
#[test]
fn captured_requests_give_what_stands_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut seen = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "http") {
            continue;
        }
        let request = fs::read_to_string(&path).unwrap();
        let (head, body) = request.split_once("\n\n").unwrap();
        let headers: Headers = head.lines().map(|line| line.split_once(": ").unwrap()).collect();
        let name = path.file_name().unwrap().to_str().unwrap();
        let hook = if name.starts_with("binary") { by_token() } else { hook(SECRET) };
        let gives: Vec<_> = hook.map(&headers, body.as_bytes()).into_iter().map(expected).collect();
        let gives = serde_json::to_string_pretty(&gives).unwrap() + "\n";
        let beside = path.with_extension("json");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&beside, &gives).unwrap();
        }
        assert_eq!(gives, fs::read_to_string(&beside).unwrap_or_default(), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 12, "{seen} requests");
}

fn headers(id: &str, timestamp: &str, signature: &str) -> Headers {
    let all = [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)];
    all.into_iter().filter(|(_, value)| *value != "-").collect()
}

fn reason(result: Result<(), Rejection>) -> &'static str {
    result.err().map_or("ok", |rejection| rejection.reason)
}

const NOW: &str = "1767225600";

/// The vector of `reference/entitlement-systems.md`, section 4.
#[test]
fn the_published_vector_is_accepted_and_made() {
    let verdict = hook(SECRET).verify(&headers("msg_1", NOW, SIGNATURE), BODY, arrives(at(0)));
    assert_eq!(verdict, Ok(()));
    assert_eq!(Secrets::parse(SECRET).unwrap().sign("msg_1", 1_767_225_600, BODY), SIGNATURE);
}

/// security.md 2.1 and 3, rows 16 and 30: absent, empty, short, another encoding, garbage, twice.
#[test]
fn whatever_is_not_a_fitting_signature_is_refused_with_its_reason() {
    let hex = "v1,b55d394ef4c03a3f8e8f4ba5043262499 1a6aa49f9a67dcac2b0c0e48e63e4c3c8".replace(' ', "").to_uppercase();
    let verdicts = [
        ("msg_1", NOW, "-", "signature-missing"),
        ("msg_1", NOW, "", "signature-missing"),
        ("msg_1", NOW, "v1,", "signature-mismatch"),
        ("msg_1", NOW, "v1,tV05", "signature-mismatch"),
        ("msg_1", NOW, "V1,tV05vTAOj4Auj0ulBQyiY5GmqSn5pJ3KwwDkjmPkw8g=", "signature-mismatch"),
        ("msg_1", NOW, "tV05vTAOj4Auj0ulBQyiY5GmqSn5pJ3KwwDkjmPkw8g=", "signature-mismatch"),
        ("msg_1", NOW, "v1,tV05vTAOj4Auj0ulBQyiY5GmqSn5pJ3KwwDkjmPkw8g", "signature-mismatch"),
        ("msg_1", NOW, "v1a,tV05vTAOj4Auj0ulBQyiY5GmqSn5pJ3KwwDkjmPkw8g=", "signature-mismatch"),
        ("msg_1", NOW, "Bearer nothing", "signature-mismatch"),
        ("msg_1", NOW, &hex, "signature-mismatch"),
        ("msg_2", NOW, SIGNATURE, "signature-mismatch"),
        ("msg_1", "1767225601", SIGNATURE, "signature-mismatch"),
        ("-", NOW, SIGNATURE, "id-missing"),
        ("", NOW, SIGNATURE, "id-missing"),
        ("msg.1", NOW, SIGNATURE, "id-malformed"),
        ("msg_1", "-", SIGNATURE, "timestamp-missing"),
        ("msg_1", "", SIGNATURE, "timestamp-missing"),
        ("msg_1", "+1767225600", SIGNATURE, "timestamp-malformed"),
        ("msg_1", "1767225600.0", SIGNATURE, "timestamp-malformed"),
        ("msg_1", "-1767225600", SIGNATURE, "timestamp-malformed"),
        ("msg_1", "99999999999999999999", SIGNATURE, "timestamp-malformed"),
        ("msg_1", NOW, &format!("{SIGNATURE} {SIGNATURE}"), "ok"),
        ("msg_1", NOW, &format!("v1a,abc garbage v1,AAAA {SIGNATURE}"), "ok"),
    ];
    for (id, timestamp, signature, word) in verdicts {
        let verdict = hook(SECRET).verify(&headers(id, timestamp, signature), BODY, arrives(at(0)));
        assert_eq!(reason(verdict), word, "{id} {timestamp} {signature}");
    }
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let once = headers("msg_1", NOW, SIGNATURE);
        let value = once.one(name).unwrap().unwrap();
        let twice: Headers = once.iter().chain([(name, value)]).collect();
        let word = reason(hook(SECRET).verify(&twice, BODY, arrives(at(0))));
        assert!(["id-malformed", "timestamp-malformed", "signature-repeated"].contains(&word), "{name}: {word}");
    }
}

#[test]
fn the_raw_bytes_are_what_is_signed() {
    let hook = hook(SECRET);
    let signed = |body: &[u8]| headers("m", NOW, &Secrets::parse(SECRET).unwrap().sign("m", 1_767_225_600, body));
    let (one, other) = (br#"{"a":1,"b":2}"#, br#"{ "b":2, "a":1 }"#);
    for body in [&one[..], &other[..]] {
        assert_eq!(hook.verify(&signed(body), body, arrives(at(0))), Ok(()));
    }
    assert_eq!(reason(hook.verify(&signed(one), other, arrives(at(0)))), "signature-mismatch");
    for bit in 0..one.len() * 8 {
        let mut flipped = *one;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(reason(hook.verify(&signed(one), &flipped, arrives(at(0)))), "signature-mismatch", "{bit}");
    }
}

/// E8.
#[test]
fn a_signed_time_is_good_for_five_minutes_either_way_and_a_replay_does_not_ask() {
    let headers = headers("msg_1", NOW, SIGNATURE);
    let at = |seconds| reason(hook(SECRET).verify(&headers, BODY, arrives(at(seconds))));
    assert_eq!([at(-300), at(-200), at(0), at(200), at(300)], ["ok"; 5]);
    assert_eq!([at(301), at(-301), at(1 << 40)], ["timestamp-stale"; 3]);
    assert_eq!(hook(SECRET).verify(&headers, BODY, Occasion::Replay(Found::Authentic)), Ok(()));
}

#[test]
fn two_secrets_overlap_while_one_is_rotated_out() {
    let sign = |secret| headers("m", NOW, &Secrets::parse(secret).unwrap().sign("m", 1_767_225_600, BODY));
    let verify = |secrets: &str, by| reason(hook(secrets).verify(&sign(by), BODY, arrives(at(0))));
    let both = format!("# rotated in January\n{OTHER}\r\n\n{SECRET}\n");
    assert_eq!([verify(SECRET, SECRET), verify(&both, SECRET), verify(&both, OTHER)], ["ok"; 3]);
    assert_eq!([verify(SECRET, OTHER), verify(OTHER, SECRET)], ["signature-mismatch"; 2]);
    assert_eq!(Secrets::parse(&both).unwrap().sign("m", 1, b""), Secrets::parse(OTHER).unwrap().sign("m", 1, b""));
}

/// CVE-2026-33143: no secret is no open door.
#[test]
fn a_secret_that_is_none_is_refused_and_never_printed() {
    for nothing in ["", " \n\t\n", "# whsec_later\n"] {
        assert_eq!(Secrets::parse(nothing).unwrap_err(), SecretError::Missing);
    }
    let short = "whsec_c2hvcnQ=";
    let long = format!("whsec_{}", "QUFB".repeat(22));
    let bare = SECRET.trim_start_matches("whsec_");
    for bad in [short, &long, bare, "whsec_", "whsec_not base64", "changeme", &SECRET.to_uppercase()] {
        let error = Secrets::parse(&format!("{SECRET}\n{bad}\n")).unwrap_err();
        assert_eq!(error, SecretError::Malformed { line: 2 }, "{bad}");
        assert!(!error.to_string().contains(bad) || bad == "whsec_");
    }
    assert_eq!(
        format!("{:?}", hook(SECRET)),
        "Posted { authentication: Signature(***), format: CloudEvents, addresses: [], origins: [] }"
    );
}

#[test]
fn a_batch_beyond_the_limit_is_one_problem_and_not_a_million() {
    let headers = [("content-type", "application/cloudevents-batch+json")].into_iter().collect();
    let body = format!("[{}1]", "1,".repeat(10_000));
    let parts = hook(SECRET).map(&headers, body.as_bytes());
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].as_ref().unwrap_err().problem.kind.as_str(), "batch-too-large");
}

#[test]
fn arbitrary_bytes_never_panic_the_mapping() {
    let body = br#"[{"specversion":"1.0","id":"a","source":"s","type":"t","data":{"\u0000":[]}}]"#;
    let types = ["application/cloudevents+json", "application/cloudevents-batch+json", "application/json"];
    for media in types {
        let headers: Headers =
            [("content-type", media), ("ce-id", "%"), ("ce-", "\"\\"), ("ce-type", "%41")].into_iter().collect();
        for cut in 0..body.len() {
            for byte in [0, b'"', b'{', b']', b'\\', 0x80, 0xff] {
                let mut bytes = body[..cut].to_vec();
                bytes.push(byte);
                let _ = by_token().map(&headers, &bytes);
                bytes.extend_from_slice(&body[cut + 1..]);
                let _ = by_token().map(&headers, &bytes);
            }
        }
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for media in types {
        let headers = [("content-type", media), ("ce-specversion", "1.0")].into_iter().collect();
        assert!(hook(SECRET).map(&headers, deep.as_bytes()).iter().all(Result::is_err));
    }
}

#[test]
fn the_same_event_is_the_same_whichever_way_it_travels() {
    let structured = [("content-type", "application/cloudevents+json")].into_iter().collect();
    let event = r#"{"specversion":"1.0","id":"1","source":"/a","type":"rollcall.product.upserted.v1","time":"2026-01-01T00:00:00+00:00","sequence":7,"data": {"product":"DB"} }"#;
    let batch = [("content-type", "application/cloudevents-batch+json")].into_iter().collect();
    let binary: Headers = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/a"),
        ("ce-type", "rollcall.product.upserted.v1"),
        ("ce-time", "2026-01-01T00:00:00Z"),
        ("ce-sequence", "7"),
    ]
    .into_iter()
    .collect();
    let hook = by_token();
    let first = hook.map(&structured, event.as_bytes());
    assert!(first[0].is_ok());
    assert_eq!(first, hook.map(&batch, format!("[{event}]").as_bytes()));
    assert_eq!(first, hook.map(&binary, b" {\"product\":\"DB\"}\n"));
}

#[test]
fn the_version_of_the_format_is_what_dataschema_ends_in() {
    let minor = |schema: &str| {
        let event = format!(
            r#"{{"specversion":"1.0","id":"1","source":"/a","type":"rollcall.product.upserted.v1","dataschema":{schema},"data":{{"product":"DB"}}}}"#
        );
        let headers = [("content-type", "application/cloudevents+json")].into_iter().collect();
        hook(SECRET).map(&headers, event.as_bytes()).remove(0).unwrap().minor
    };
    let kind = "rollcall.product.upserted.v1";
    for (schema, says) in [
        ("null".to_owned(), 0),
        (format!(r#""{kind}""#), 0),
        (format!(r#""{kind}.3""#), 3),
        (format!(r#""https://rollcall.example/schemas/{kind}.12.json""#), 12),
        (r#""https://rollcall.example/schemas/other.v1.12.json""#.to_owned(), 0),
        (format!(r#""{kind}.x""#), 0),
        (format!(r#""{kind}.-1""#), 0),
    ] {
        assert_eq!(minor(&schema), says, "{schema}");
    }
}

#[test]
fn a_leap_second_and_a_nanosecond_come_back_equal() {
    let event = |time: &str| {
        let time = Some(DateTime::parse_from_rfc3339(time).unwrap().to_utc());
        let data = r#"{"product":"DB"}"#.to_owned();
        let event = MappedEvent {
            id: SenderId::OfEvent("1".into()),
            kind: "rollcall.product.upserted.v1".into(),
            time,
            data,
            ..MappedEvent::default()
        };
        let delivery = DeliveryId::new(at(0), [0; 10]);
        let now = event.time.unwrap();
        validate(&"flexnet".parse().unwrap(), Order::Time, &delivery, at(0), now, event).unwrap().event.time.unwrap()
    };
    for time in ["2016-12-31T23:59:60.5Z", "2026-01-01T00:00:00.123456999Z"] {
        let time = event(time);
        assert_eq!(DateTime::from_timestamp_micros(time.timestamp_micros()), Some(time));
    }
    assert!(
        event("2026-01-01T00:00:00.000002Z") - event("2026-01-01T00:00:00.000001999Z") == TimeDelta::microseconds(1)
    );
}

/// What decides stands in the headers: nothing of it is taken from a delivery whose body alone is signed, also when the
/// source is authenticated otherwise by the time it is replayed.
#[test]
fn binary_mode_is_read_only_where_the_headers_are_covered_too() {
    let all = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/a"),
        ("ce-type", "rollcall.permission.granted.v1"),
        ("ce-sequence", "18446744073709551615"),
    ];
    let headers: Headers = all.into_iter().collect();
    let signed: Headers = all.into_iter().chain([("webhook-signature", "v1,x")]).collect();
    for (hook, headers) in [(hook(SECRET), &headers), (hook(SECRET), &signed), (by_token(), &signed)] {
        let parts = hook.map(headers, br#"{"person":"u-1"}"#);
        let [Err(MappingError { id: None, kind: None, problem })] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!(problem.kind.as_str(), "binary-mode");
        assert!(problem.detail.contains("covers only the body") && problem.detail.contains("cloudevents+json"));
    }
    assert!(by_token().map(&headers, br#"{"person":"u-1"}"#)[0].is_ok());
    assert!(!by_token().keeps("webhook-signature") && hook(SECRET).keeps("webhook-signature"));
    assert!(!by_token().keeps("authorization") && !hook(SECRET).keeps("authorization"));
}

/// A header holds bytes: two that are no UTF-8 must not become one text, nor one id.
#[test]
fn an_attribute_that_is_no_utf_8_is_quarantined_and_not_changed() {
    for (id, good) in [(&b"caf\xc3\xa9"[..], true), (b"caf%EF%BF%BD", true), (b"caf\xe9", false), (b"caf\xe8", false)] {
        let all: [(&str, &[u8]); 6] = [
            ("content-type", b"application/json"),
            ("ce-specversion", b"1.0"),
            ("ce-id", id),
            ("ce-source", b"/a"),
            ("ce-type", b"rollcall.permission.granted.v1"),
            ("ce-sequence", b"1"),
        ];
        let mut headers = http::HeaderMap::new();
        for (name, value) in all {
            headers.append(name, http::HeaderValue::from_bytes(value).unwrap());
        }
        let hook = by_token();
        let parts = hook.map(&Headers::kept(&headers, |name| hook.keeps(name)), br#"{"person":"u-1"}"#);
        match &parts[..] {
            [Ok(_)] => assert!(good, "{id:?}"),
            [Err(MappingError { id: None, problem, .. })] => {
                assert!(!good, "{id:?}");
                assert_eq!((problem.kind.as_str(), &*problem.pointer), ("invalid-envelope", "/id"));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The content type is not signed: whatever it says, one body gives the same facts or none.
#[test]
fn another_content_type_makes_no_other_facts_of_a_signed_body() {
    let event = r#"{"specversion":"1.0","id":"1","source":"/a","type":"rollcall.product.removed.v1","sequence":7,"data":{"product":"DB"}}"#;
    let types = [
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "application/json",
        "application/cloudevents+json; charset=utf-16",
        "text/plain",
        "",
    ];
    let hook = hook(SECRET);
    for body in [event.to_owned(), format!("[{event}]")] {
        let facts = |media: &str| -> Vec<MappedEvent> {
            let headers = [("content-type", media), ("ce-type", "rollcall.product.upserted.v1"), ("ce-id", "2")];
            hook.map(&headers.into_iter().collect(), body.as_bytes()).into_iter().filter_map(Result::ok).collect()
        };
        let mut all: Vec<_> = types.iter().map(|media| facts(media)).filter(|facts| !facts.is_empty()).collect();
        all.dedup();
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0][0].kind, "rollcall.product.removed.v1");
    }
}

fn with_token(value: &[&str]) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    for value in value {
        headers.append("authorization", value.parse().unwrap());
    }
    headers
}

#[test]
fn a_source_that_sends_a_token_is_known_by_the_current_or_a_previous_one() {
    let other = "previous-token-of-licensing-0123456789";
    let hook =
        cloudevents(Authentication::Bearer(Tokens::parse(&format!("# since January\n{TOKEN}\n\n{other}\n")).unwrap()));
    let arrives = |values: &[&str]| {
        let headers = with_token(values);
        let sender = Sender { headers: &headers, client: None, certificate: None };
        reason(hook.verify(&Headers::default(), b"", Occasion::Arrival { now: at(0), sender }))
    };
    let bearer = |token: &str| format!("Bearer {token}");
    assert_eq!([arrives(&[&bearer(TOKEN)]), arrives(&[&format!("bEARER {other}")])], ["ok"; 2]);
    assert_eq!(arrives(&[]), "token-missing");
    let malformed =
        [arrives(&[""]), arrives(&[TOKEN]), arrives(&["Basic x:y"]), arrives(&[&bearer(TOKEN), &bearer(TOKEN)])];
    assert_eq!(malformed, ["token-malformed"; 4]);
    for wrong in ["", &TOKEN[1..], &format!("{TOKEN}x"), &TOKEN.to_uppercase(), &format!(" {TOKEN}")] {
        assert_eq!(arrives(&[&bearer(wrong)]), "token-mismatch", "{wrong}");
    }
    let replay = |found| reason(hook.verify(&Headers::default(), b"", Occasion::Replay(found)));
    assert_eq!([replay(Found::Authentic), replay(Found::Rejected)], ["ok", "not-kept"]);
    assert_eq!(
        format!("{hook:?}"),
        "Posted { authentication: Bearer(***), format: CloudEvents, addresses: [], origins: [] }"
    );
}

#[test]
fn a_token_that_is_none_is_refused() {
    for nothing in ["", " \n\t\n", "# later\n"] {
        assert_eq!(Tokens::parse(nothing).unwrap_err(), TokenError::Missing);
    }
    for bad in ["changeme", &"x".repeat(31), &"x".repeat(513), "licensing token of 0123456789 abcdef", &"é".repeat(20)]
    {
        let error = Tokens::parse(&format!("{TOKEN}\n{bad}")).unwrap_err();
        assert_eq!(error, TokenError::Malformed { line: 2 }, "{bad}");
    }
}

/// A certificate as a test says it is.
struct Shown(Option<Vec<String>>);

impl ClientCertificate for Shown {
    fn names(&self, _: DateTime<Utc>) -> Option<Vec<String>> {
        self.0.clone()
    }
}

#[test]
fn a_source_that_shows_a_certificate_is_known_by_a_name_in_it_that_somebody_vouches_for() {
    let names = vec!["licensing.example".to_owned(), "spiffe://example/licensing".to_owned()];
    let hook = cloudevents(Authentication::Certificate(names));
    let none = http::HeaderMap::new();
    let arrives = |certificate: Option<&dyn ClientCertificate>| {
        let sender = Sender { headers: &none, client: None, certificate };
        reason(hook.verify(&Headers::default(), b"", Occasion::Arrival { now: at(0), sender }))
    };
    let shows = |names: &[&str]| arrives(Some(&Shown(Some(names.iter().map(|&name| name.to_owned()).collect()))));
    assert_eq!([shows(&["other", "LICENSING.example"]), shows(&["spiffe://example/licensing"])], ["ok"; 2]);
    assert_eq!([shows(&[]), shows(&["licensing.example.evil"]), shows(&["*.example"])], ["certificate-mismatch"; 3]);
    // Of a URI only scheme and host are alike in any case.
    assert_eq!(shows(&["SPIFFE://Example/licensing"]), "ok");
    assert_eq!([shows(&["spiffe://example/Licensing"]), shows(&["spiffe://example"])], ["certificate-mismatch"; 2]);
    assert_eq!(arrives(None), "certificate-missing");
    assert_eq!(arrives(Some(&Shown(None))), "certificate-untrusted");
}

/// Of two sources with one secret, a captured delivery of the one would be good at the other.
#[test]
fn secrets_that_sign_alike_have_one_mark() {
    let key = |bytes: &[u8]| format!("whsec_{}", BASE64_STANDARD.encode(bytes));
    let marks = |text: &str| Authentication::Signature(Secrets::parse(text).unwrap()).marks();
    let (one, padded) = ([7; 24], [&[7; 24][..], &[0; 8]].concat());
    assert_eq!(marks(&key(&one))[0], marks(&key(&padded))[0]);
    let sign = |text: &str| Secrets::parse(text).unwrap().sign("m", 1, b"x");
    assert_eq!(sign(&key(&one)), sign(&key(&padded)));
    assert!(!marks(OTHER).iter().any(|mark| marks(SECRET).contains(mark)));
    let both = marks(&format!("{SECRET}\n{OTHER}"));
    assert!([marks(SECRET), marks(OTHER)].concat().iter().all(|mark| both.contains(mark)));
    let token = |text: &str| Authentication::Bearer(Tokens::parse(text).unwrap());
    assert_eq!(format!("{:?}", token(TOKEN).marks()), "[***]");
    // One file for a source that signs and one that sends it: whoever sees what the second sends could sign for the first.
    assert!(marks(SECRET).iter().any(|mark| token(SECRET).marks().contains(mark)));
    assert!(!marks(OTHER).iter().any(|mark| token(SECRET).marks().contains(mark)));
}

/// The README says of everything that a delivery consists of what it decides and what covers it.
#[test]
fn the_table_of_what_decides_names_everything_that_is_kept() {
    let readme = include_str!("README.md");
    let table = readme.split("| of the request |").nth(1).unwrap().split("\n\n").next().unwrap();
    let told = |word: &str| table.lines().any(|row| row.split(" | ").next().is_some_and(|cell| cell.contains(word)));
    for header in ["content-type", "traceparent", "user-agent", "webhook-id", "webhook-timestamp", "webhook-signature"]
    {
        assert!(hook(SECRET).keeps(header) && told(&format!("`{header}`")), "{header}");
    }
    for word in ["`ce-*`", "the body", "the source in the path", "`wait`", "`content-encoding`", "`authorization`"] {
        assert!(told(word), "{word}");
    }
    assert!(hook(SECRET).keeps("ce-anything") && !hook(SECRET).keeps("content-encoding"));
}
