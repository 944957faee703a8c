//! Batches: an event is independent of its neighbours whatever its bytes are, and no text of one ever becomes another.

use serde_json::{Value, json};

use crate::support::{server::Server, wait_for};

const BATCH: &str = "application/cloudevents-batch+json";

fn product(id: &str, name: &str) -> String {
    json!({
        "specversion": "1.0", "id": id, "source": "/fn", "type": "rollcall.product.upserted.v1", "sequence": "1",
        "data": {"product": id, "name": name},
    })
    .to_string()
}

/// Posts a batch and gives its answer and its parts.
fn post(server: &Server, body: impl Into<Vec<u8>>) -> (Value, Vec<Value>) {
    let answer = server.post_raw(BATCH, body.into()).expect(202).json();
    let parts = wait_for("the delivery to be settled", || {
        let kept =
            server.get(&format!("/api/v1/deliveries/{}", answer["delivery"].as_str().unwrap())).expect(200).json();
        (kept["verdict"] != "pending").then(|| kept["parts"].as_array().unwrap().clone())
    });
    (answer, parts)
}

fn recorded(answer: &Value) -> Vec<&str> {
    answer["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect()
}

#[test]
fn a_bad_event_never_takes_its_batch_along() {
    let server = Server::start();
    let quantity = |value: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"bad","source":"/fn","type":"rollcall.entitlement.line.upserted.v1","sequence":"1","data":{{"line":"1","entitlement":"E","product":"A","starts":null,"ends":null,"quantity":{value}}}}}"#
        )
    };
    let named = |name: &[u8]| {
        let text = product("bad", "@");
        let (before, after) = text.split_once('@').unwrap();
        [before.as_bytes(), name, after.as_bytes()].concat()
    };
    let bad: Vec<(Vec<u8>, &str)> = vec![
        (quantity("NaN").into(), "`NaN` is no JSON"),
        (quantity("-Infinity").into(), "finite"),
        (quantity("01").into(), "no JSON value"),
        (named(b"J\xF6rg"), "0xF6 is no UTF-8"),
        (named(b"a\tb"), "U+0009"),
        (named(b"a\x00b\n"), "U+0000"),
        (named(b"C:\\dir"), "is followed by `d`"),
        (quantity("1,").into(), "a member's name in quotes"),
    ];
    for (n, (bad, says)) in bad.iter().enumerate() {
        let (a, b) = (format!("a{n}"), format!("b{n}"));
        let body = [b"[", product(&a, "A").as_bytes(), b",\n", bad, b",", product(&b, "B").as_bytes(), b"]"].concat();
        let (answer, parts) = post(&server, body);
        assert_eq!((recorded(&answer), &answer["quarantined"]), (vec![&*a, &*b], &json!(1)), "{says}: {answer}");
        let told = &parts[1]["problem"];
        assert!(told["type"] == "malformed" && told["detail"].as_str().unwrap().contains(says), "{says}: {told}");
        assert_eq!(parts[1]["id"], "bad", "which one it was is said where that is sure");
    }
}

#[test]
fn where_a_batch_cannot_be_told_apart_what_came_before_is_taken_and_the_place_is_told() {
    let server = Server::start();
    let broken = r#"{"specversion":"1.0","id":"bad","data":{"name":"the "best" one"}}"#;
    let body = format!("[{},{broken},{}]", product("a", "A"), product("b", "B"));
    let at = body.find("best").unwrap();
    let (answer, parts) = post(&server, body);
    assert_eq!(recorded(&answer), ["a"], "{answer}");
    let told = parts[1]["problem"]["detail"].as_str().unwrap();
    assert!(told.contains("event 2 of the batch") && told.contains(&format!("byte {at})")), "{told}");
    let cut = product("c", "C");
    let (answer, parts) = post(&server, format!("[{cut},{}", &product("d", "D")[..40]));
    assert_eq!((recorded(&answer), parts.len()), (vec!["c"], 2), "{answer}");
}

#[test]
fn what_a_customer_writes_into_a_name_is_never_read_as_an_event() {
    let server = Server::start();
    let evil = product("evil", "x");
    let name = format!("\"}}}},{evil},{{\"data\":{{\"name\":\"");
    for (n, broken) in ["\"", "\\", "\"x", "NaN", "\"}", "[", "\u{1}"].iter().enumerate() {
        let broken = format!(r#"{{"specversion":"1.0","id":"bad{n}","data":{{"name":{broken}}}}}"#);
        let body = format!("[{},{broken},{}]", product(&format!("a{n}"), &name), product(&format!("b{n}"), &name));
        let (answer, _) = post(&server, body);
        assert!(!recorded(&answer).contains(&"evil"), "{broken}: {answer}");
        assert_eq!(recorded(&answer)[0], format!("a{n}"), "{broken}");
    }
}

#[test]
fn a_batch_of_ten_thousand_events_fits_and_a_larger_one_is_told_what_to_raise() {
    let server = Server::start();
    let event = |n: usize| {
        json!({
            "specversion": "1.0", "id": format!("line-{n}"), "source": "https://licensing.example/entitlements",
            "type": "rollcall.entitlement.line.upserted.v1", "sequence": "1", "time": "2026-01-31T12:00:00Z",
            "datacontenttype": "application/json",
            "data": {"line": format!("ENT-{n:08}/1"), "entitlement": format!("ENT-{n:08}"), "product": "DB-ENTERPRISE",
                     "starts": "2026-01-01T00:00:00Z", "ends": "2027-01-01T00:00:00Z", "quantity": 100},
        })
        .to_string()
    };
    let body = |count: usize| format!("[{}]", (0..count).map(event).collect::<Vec<_>>().join(","));
    let answer = server.post_raw(BATCH, body(10_000).into_bytes()).expect(202).json();
    assert_eq!((answer["events"].as_array().unwrap().len(), &answer["quarantined"]), (10_000, &json!(0)));
    let server = Server::start_with("max_body = \"1MiB\"\n");
    let too_large = server.post_raw(BATCH, vec![b' '; 2 << 20]).expect(413).json();
    assert!(too_large["detail"].as_str().unwrap().contains("`server.max_body`"), "{too_large}");
}
