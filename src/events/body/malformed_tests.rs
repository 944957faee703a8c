//! Every field of every event type with every wrong kind of value, made from the schemas: what is refused is told in our
//! words, with its place, and never in those of a library.

use serde_json::{Map, Value, json};

use crate::{Body, schema_of};

/// What libraries say, and no person should read.
const OF_LIBRARIES: &[&str] = &[
    "invalid type",
    "invalid value",
    "invalid length",
    "expected struct",
    "struct ",
    "missing field",
    "unknown field",
    "unknown variant",
    "duplicate field",
    " at line ",
    "expected value",
    "EOF",
    "premature end",
    "input contains",
    "input is out of range",
    "out of range",
    "trailing",
    "recursion",
    "did not match any variant",
    "untagged",
    "u64",
    "i64",
    "invalid digit",
    "a borrowed",
    "variant identifier",
    "RawValue",
    "newtype",
    "null is there; null",
];

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(target) => resolve(root, root.pointer(&target[1..]).unwrap()),
        None => schema,
    }
}

/// Something that fits; `n` tells texts apart.
fn sample(root: &Value, schema: &Value, n: usize) -> Value {
    let schema = resolve(root, schema);
    if let Some(one) = schema.get("const") {
        return one.clone();
    }
    if let Some(all) = schema.get("enum").and_then(Value::as_array) {
        return all[0].clone();
    }
    if let Some(all) = schema.get("anyOf").or(schema.get("oneOf")).and_then(Value::as_array) {
        return sample(root, &all[0], n);
    }
    let kind = match &schema["type"] {
        Value::Array(all) => all[0].as_str().unwrap(),
        kind => kind.as_str().unwrap_or("object"),
    };
    match kind {
        "string" if schema["format"] == "date-time" => json!("2026-01-31T12:00:00Z"),
        "string" if schema["pattern"].as_str().is_some_and(|p| p.contains("64")) => json!("ab".repeat(32)),
        "string" => json!(format!("x{n}")),
        "integer" => json!(1),
        "boolean" => json!(true),
        "array" => {
            (0..schema["minItems"].as_u64().unwrap_or(0)).map(|i| sample(root, &schema["items"], i as usize)).collect()
        }
        _ => {
            let empty = Map::new();
            let properties = schema["properties"].as_object().unwrap_or(&empty);
            properties
                .iter()
                .map(|(name, schema)| (name.clone(), sample(root, schema, n)))
                .collect::<Map<_, _>>()
                .into()
        }
    }
}

/// Every place in a document, but the whole.
fn places(document: &Value, at: String, all: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match document {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in inner {
        let at = format!("{at}/{name}");
        all.push(at.clone());
        places(value, at, all);
    }
}

#[track_caller]
fn in_our_words(kind: &str, data: &str) {
    let Err(error) = Body::parse(kind, data) else { return };
    for words in OF_LIBRARIES {
        assert!(!error.expected.contains(words), "{kind} {data}: `{words}` in {error}");
    }
    assert!(error.pointer.starts_with("/data") && !error.expected.is_empty(), "{kind} {data}: {error:?}");
}

#[test]
fn no_word_of_a_library_reaches_a_person_for_any_malformed_field_of_any_event() {
    let wrong = [
        json!(null),
        json!(true),
        json!(7),
        json!(-1),
        json!(1.5),
        json!(1e30),
        json!("10"),
        json!(""),
        json!("true"),
        json!("2027-06-26"),
        json!("1798675200000"),
        json!("9999-12-31T23:59:59-05:00"),
        json!("2027-06-26T24:00:00Z"),
        json!("{\"a\":1}"),
        json!("[1]"),
        json!([]),
        json!([1, 2, 3]),
        json!({}),
        json!({"a": 1}),
        json!("x".repeat(300)),
        json!("a\u{0}b"),
        json!({"user": 1}),
        json!({"user": "a", "service": "b"}),
    ];
    let mut refused = 0;
    for kind in Body::TYPES {
        let schema = schema_of(kind).unwrap();
        let good = sample(&schema, &schema["properties"]["data"], 0);
        Body::parse(kind, &good.to_string()).unwrap_or_else(|error| panic!("{kind} {good}: {error}"));
        let mut all = Vec::new();
        places(&good, String::new(), &mut all);
        for place in &all {
            for value in &wrong {
                let mut bad = good.clone();
                *bad.pointer_mut(place).unwrap() = value.clone();
                refused += usize::from(Body::parse(kind, &bad.to_string()).is_err());
                in_our_words(kind, &bad.to_string());
            }
            let (parent, name) = place.rsplit_once('/').unwrap();
            let mut bad = good.clone();
            if let Some(Value::Object(members)) = bad.pointer_mut(parent) {
                members.remove(name);
                in_our_words(kind, &bad.to_string());
                let mut more = good.clone();
                more.pointer_mut(parent).unwrap()["colour"] = json!("red");
                in_our_words(kind, &more.to_string());
                let twice =
                    good.to_string().replacen(&format!("\"{name}\":"), &format!("\"{name}\":null,\"{name}\":"), 1);
                in_our_words(kind, &twice);
            }
        }
        for data in ["null", "[]", "7", "\"{}\"", "{\"a\":NaN}", "{", "", "{} {}", "{\"a\":\"\\q\"}", "\u{FEFF}{}"] {
            in_our_words(kind, data);
            in_our_words(kind, &serde_json::to_string(data).unwrap());
        }
    }
    assert!(refused > 2_000, "{refused} were refused");
}

#[test]
fn what_is_expected_is_told_with_an_example_and_with_the_slip_that_is_seen() {
    let line = |ends: Value, quantity: Value| {
        let data = json!({"line": "L", "entitlement": "E", "product": "P", "starts": null, "ends": ends, "quantity": quantity});
        let error = Body::parse("rollcall.entitlement.line.upserted.v1", &data.to_string()).unwrap_err();
        format!("{} {}", error.pointer, error.expected)
    };
    for (ends, says) in [
        (json!("2027-06-26"), "a day is there"),
        (json!(""), "an empty text is there"),
        (json!("1798675200000"), "a number is there"),
        (json!("2027-02-29T00:00:00Z"), "no such day"),
        (json!("2027-06-26T24:00:00Z"), "00:00 of the next day"),
        (json!("9999-12-31T23:59:59-05:00"), "in UTC too"),
        (json!("+262142-12-31T23:59:59Z"), "four digits"),
        (json!(1_798_675_200_000_u64), "the number 1798675200000 is there"),
    ] {
        let told = line(ends, json!(null));
        assert!(told.starts_with("/data/ends an instant in RFC 3339, such as 2026-01-31T12:00:00Z"), "{told}");
        assert!(told.contains(says), "{told}");
    }
    assert_eq!(
        line(json!(null), json!("10")),
        "/data/quantity a whole number without quotes, such as 10, or null; a number in quotes is there, which is a text"
    );
    let state = |state: Value| {
        let data = json!({"entitlement": "E", "account": "A", "state": state});
        Body::parse("rollcall.entitlement.upserted.v1", &data.to_string()).unwrap_err()
    };
    for value in [json!(true), json!(null), json!("running"), json!(3)] {
        let error = state(value);
        assert!(error.pointer == "/data/state" && error.expected.contains("\"on_hold\""), "{error}");
    }
    let twice = Body::parse("rollcall.product.upserted.v1", r#""{\"product\":\"DB\"}""#).unwrap_err();
    assert!(twice.pointer == "/data" && twice.expected.contains("encoded once"), "{twice}");
    let binding = r#"{"principal":{"team":"x"},"role":"r","scope":"root","author":"a"}"#;
    let error = Body::parse("rollcall.binding.set.v1", binding).unwrap_err();
    assert!(error.pointer.starts_with("/data/principal") && error.expected.contains("user"), "{error}");
}
