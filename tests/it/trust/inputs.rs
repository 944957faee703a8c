//! Times and other inputs: accepted where the meaning is plain, else refused with what is expected and an example, never in
//! a library's words; and nothing that is said far ahead of our clock holds a subject for as long.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{
    api::unix_now,
    server::{Server, WORLD},
    wait_for,
};

const EVENT: &str = "application/cloudevents+json";

/// A library's words that no person should read.
const OF_LIBRARIES: &[&str] = &[
    "invalid type",
    "invalid value",
    "expected struct",
    "missing field",
    "unknown field",
    "unknown variant",
    "duplicate field",
    "premature end",
    "input contains",
    "out of range",
    "expected value",
    "EOF",
    "trailing",
    "invalid utf-8",
    "valid UTF-8",
    "u64",
    "invalid digit",
    "at line 1 column",
];

fn event(id: &str, name: &str, sequence: &Value, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/fn", "type": format!("rollcall.{name}.v1"), "sequence": sequence, "data": data})
}

/// What became of the parts of a delivery, once it is settled.
fn parts(server: &Server, body: Vec<u8>) -> Vec<Value> {
    let delivery = server.post_raw(EVENT, body).expect(202).json()["delivery"].as_str().unwrap().to_owned();
    wait_for("the delivery to be settled", || {
        let kept = server.get(&format!("/api/v1/deliveries/{delivery}")).expect(200).json();
        let parts = kept["parts"].as_array().unwrap();
        let judged = |part: &Value| part["outcome"] != "recorded" || !part["effect"].is_null();
        (kept["verdict"] != "pending" && parts.iter().all(judged)).then(|| parts.clone())
    })
}

#[track_caller]
fn refused(server: &Server, body: impl Into<Vec<u8>>, kind: &str, pointer: &str, says: &str) {
    let all = parts(server, body.into());
    let told = &all[0]["problem"];
    assert_eq!((&told["type"], &told["pointer"]), (&json!(kind), &json!(pointer)), "{all:?}");
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains(says), "`{says}` is not in {detail}");
    assert!(!OF_LIBRARIES.iter().any(|words| detail.contains(words)), "{detail}");
}

#[test]
fn what_a_source_writes_wrong_is_told_in_our_words_with_an_example() {
    let server = Server::start();
    server.say(WORLD);
    let line = |member: &str, value: Value| {
        let mut data = json!({"line": "L1", "entitlement": "ENT-7", "product": "DB", "starts": null, "ends": null});
        data[member] = value;
        event("1", "entitlement.line.upserted", &json!("1"), &data).to_string()
    };
    for (ends, says) in [
        ("2027-06-26", "a day is there"),
        ("", "empty"),
        ("1798675200000", "a number is there"),
        ("Sat, 26 Jun 2027 00:00:00 GMT", "such as 2026-01-31T12:00:00Z"),
        ("2027-02-29T00:00:00Z", "no such day or time"),
        ("2027-06-26T24:00:00Z", "00:00 of the next day"),
        ("9999-12-31T23:59:59-05:00", "0000 to 9999, in UTC too"),
        ("+10000-01-01T00:00:00Z", "four digits"),
    ] {
        refused(&server, line("ends", json!(ends)), "invalid-data", "/data/ends", says);
    }
    refused(
        &server,
        line("ends", json!(1_798_675_200_000_u64)),
        "invalid-data",
        "/data/ends",
        "such as 2026-01-31T12:00:00Z",
    );
    refused(&server, line("quantity", json!("10")), "invalid-data", "/data/quantity", "without quotes, such as 10");
    let encoded = event("1", "product.upserted", &json!("1"), &json!("{\"product\":\"DB\"}")).to_string();
    refused(&server, encoded, "invalid-data", "/data", "encoded once");
    let state = |state: Value| {
        let data = json!({"entitlement": "ENT-7", "account": "globex", "state": state});
        event("1", "entitlement.upserted", &json!("9"), &data).to_string()
    };
    for value in [json!(true), json!(null), json!("running")] {
        refused(&server, state(value), "invalid-data", "/data/state", "\"on_hold\"");
    }
    let mut timed = event("1", "product.upserted", &json!("1"), &json!({"product": "DB"}));
    for (time, words) in [
        (json!("2027-06-26"), "a day is there"),
        (json!(1_798_675_200), "such as 2026-01-31T12:00:00Z; a number is there"),
        (json!(""), "such as 2026-01-31T12:00:00Z; an empty text is there"),
        (json!("2027-06-26T10:00:00+0100"), "it has another form"),
    ] {
        timed["time"] = time;
        refused(&server, timed.to_string(), "invalid-envelope", "/time", words);
    }
    refused(&server, vec![0x1F, 0x8B, 8, 0, 0], "malformed", "", "gzip");
    refused(&server, vec![0xFF, 0xFE, b'{', 0], "malformed", "", "UTF-16");
    refused(&server, "{\"specversion\":", "malformed", "", "ends too early");
    refused(&server, "[]", "invalid-envelope", "", "an object");
    // What stands for no version in many languages would be the last thing that is heard of its subject.
    for sequence in [u64::MAX, u64::MAX >> 1] {
        refused(
            &server,
            event("1", "product.upserted", &json!(sequence), &json!({"product": "DB"})).to_string(),
            "implausible-order-key",
            "/sequence",
            "nothing could come after it",
        );
    }
}

#[test]
fn a_body_with_a_byte_order_mark_is_read_as_without() {
    let server = Server::start();
    let mut body = b"\xEF\xBB\xBF".to_vec();
    body.extend(event("1", "product.upserted", &json!("1"), &json!({"product": "DB"})).to_string().into_bytes());
    assert_eq!(parts(&server, body)[0]["outcome"], "recorded");
    let url = server.url("/api/v1/services");
    let post = |body: Vec<u8>, encoding: Option<&str>| {
        let request = server.http.post(&url).bearer_auth(server.admin_key()).header("content-type", "application/json");
        server.http.send(encoding.into_iter().fold(request, |r, e| r.header("content-encoding", e)).body(body))
    };
    post(b"\xEF\xBB\xBF{\"id\":\"ci\"}".to_vec(), None).expect(201);
    let encoded = post(vec![0x1F, 0x8B, 8], Some("gzip")).expect(415).json();
    assert!(encoded["detail"].as_str().unwrap().contains("`gzip`"), "{encoded}");
    let binary = post(b"{\"id\":\"c\xE9\"}".to_vec(), None).expect(400).json();
    assert!(binary["detail"].as_str().unwrap().contains("0xE9 is no UTF-8"), "{binary}");
}

#[test]
fn a_secret_file_with_a_byte_order_mark_holds_the_secret_without_it() {
    let mut server = Server::prepared("");
    let secret = format!("\u{FEFF}{}\n", server.secret.text());
    server.dir.write("flexnet.secret", secret);
    let config = std::fs::read_to_string(server.dir.join("rollcall.toml")).unwrap();
    server.dir.write("rollcall.toml", format!("\u{FEFF}{config}"));
    server.go();
    server.say(WORLD);
}

/// The server with `flexnet` ordered by time.
fn by_time() -> Server {
    let mut server = Server::prepared("");
    let path = server.dir.join("rollcall.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("order = \"version\"", "order = \"time\"")).unwrap();
    server.go();
    server
}

#[test]
fn a_time_far_ahead_of_our_clock_is_quarantined_and_holds_nothing() {
    let server = by_time();
    let entitlement = |id: &str, time: DateTime<Utc>, state: &str| {
        let data = json!({"entitlement": "E1", "account": "G", "state": state});
        let mut event = event(id, "entitlement.upserted", &Value::Null, &data);
        event["time"] = json!(time);
        event.to_string()
    };
    let now = DateTime::from_timestamp(unix_now(), 0).unwrap();
    let century = now + TimeDelta::days(36_525);
    refused(&server, entitlement("1", century, "inactive"), "implausible-order-key", "/time", "At most 300 s ahead");
    refused(
        &server,
        entitlement("2", now + TimeDelta::seconds(900), "inactive"),
        "implausible-order-key",
        "/time",
        "our clock",
    );
    let taken = parts(&server, entitlement("3", now + TimeDelta::seconds(60), "active").into_bytes());
    assert_eq!((&taken[0]["outcome"], &taken[0]["effect"]), (&json!("recorded"), &json!("applied")), "{taken:?}");
}

#[test]
fn questions_and_the_command_line_say_what_a_time_looks_like() {
    let server = Server::start();
    server.say(WORLD);
    let form = "an instant in RFC 3339, such as 2026-01-31T12:00:00Z";
    for time in ["2027-06-26", "+10000-01-01T00:00:00Z", "", "1798675200000", "2027-06-26T24:00:00Z"] {
        let query = format!("/api/v1/decisions?from={}", time.replace('+', "%2B"));
        let told = server.get(&query).expect(400).json()["detail"].as_str().unwrap().to_owned();
        assert!(told.contains(form), "{told}");
        let body = server.post("/api/v1/users/ada/secrets", &json!({"expires": time})).expect(422).json();
        let error = &body["errors"][0];
        assert!(error["pointer"] == "/expires" && error["expected"].as_str().unwrap().starts_with(form), "{body}");
        // People may also say a day, to its end; programs say the instant that they mean.
        let said = server.cli(&["secrets", "issue", "ada", "--expires", time]);
        let told_so = said.code == 2 && said.err.contains("a time with its zone (2026-03-01T12:00Z)");
        assert!(if time == "2027-06-26" { said.code == 0 } else { told_so }, "{said:?}");
        for words in OF_LIBRARIES {
            assert!(!told.contains(words) && !body.to_string().contains(words) && !said.err.contains(words), "{words}");
        }
    }
    for query in
        ["/api/v1/groups/local/x/members?transitive=yes", "/api/v1/bindings?scope=planet", "/api/v1/users?limit=ten"]
    {
        let told = server.get(query).json()["detail"].as_str().unwrap().to_owned();
        assert!(!OF_LIBRARIES.iter().any(|words| told.contains(words)), "{query}: {told}");
    }
}

#[test]
fn times_that_are_shown_are_rfc_3339_with_as_many_digits_as_a_person_needs() {
    let server = Server::start();
    server.say(WORLD);
    let said = server.cli(&["deliveries", "list"]).ok();
    assert!(said.contains("Z") && !said.contains('.'), "fractions of seconds are for programs: {said}");
    let listed = server.get("/api/v1/deliveries").expect(200).json();
    let received = listed["items"][0]["received_at"].as_str().unwrap();
    assert!(
        DateTime::parse_from_rfc3339(received).is_ok() && received.len() <= "2026-01-31T12:00:00.000000Z".len(),
        "{received}"
    );
}
