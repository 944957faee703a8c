//! Whatever an expression or a body is, it is refused or mapped within what that may cost.

use proptest::prelude::*;
use rollcall_ingest::connector::MappingError;
use serde_json::{Value, json};

use super::tests::{mapping, value};

#[test]
fn an_expression_is_bounded_before_it_is_parsed_and_the_deepest_one_is_evaluated() {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    let deepest = [
        nested("(", "1", ")", 32),
        nested("[", "1", "]", 31),
        nested("int(", "1", ")", 31),
        nested("1 + (", "1", ")", 15),
        nested("[1].map(x, ", "x", ")", 10),
        nested("true ? [", "1", "] : []", 15),
        nested("!", "true", "", 30),
        (0..31).map(|n| n.to_string()).collect::<Vec<_>>().join(" + "),
        format!("payload{}", ".a".repeat(31)),
    ];
    for source in &deepest {
        let made = value(source, json!({"a": 1}));
        let said = made.as_ref().err().cloned().unwrap_or_default();
        assert!(made.is_ok() || said.contains("is expected here"), "{source}: {said}");
    }
    for source in [
        nested("(", "1", ")", 3000),
        nested("[", "1", "]", 33),
        nested("{'a': ", "1", "}", 33),
        nested("f(", "1", ")", 1500),
        nested("!", "true", "", 3000),
        nested("- ", "1", "", 2000),
        nested("'a' == '((' ? (", "1", ") : 2", 100),
        "true ? 1 : ".repeat(300) + "2",
        format!("payload{}", ".a".repeat(2000)),
        format!("payload{}", "[0]".repeat(1300)),
        vec!["1"; 1000].join(" + "),
        vec!["1"; 2000].join("+"),
        "(".repeat(2000),
        "[".repeat(30) + &"1,".repeat(1900),
        "'".repeat(4096),
        "a".repeat(5000),
        "payload.a(".repeat(300),
        "x.map(y, ".repeat(400),
    ] {
        let said = value(&source, json!({})).unwrap_err();
        assert!(said.len() < 400, "{said}");
    }
    assert!(value(&"1 || ".repeat(2000), json!({})).unwrap_err().contains("at most 4096"));
    assert!(value(&nested("(", "1", ")", 33), json!({})).unwrap_err().starts_with("at character 33: brackets"));
}

#[test]
fn what_a_body_costs_is_counted_and_ends_whatever_the_expression_makes_of_it() {
    let items: Vec<Value> = (0..3000).map(|n| json!({"n": n, "text": "x".repeat(100)})).collect();
    let body = json!({"items": items, "big": "y".repeat(1 << 20)}).to_string();
    for costly in [
        "payload.items.all(a, payload.items.all(b, payload.items.all(c, true)))",
        "payload.items.exists(a, payload.items.exists(b, payload.items.exists(c, c.n < 0)))",
        "payload.items.map(a, payload.big + a.text) == []",
        "payload.items.map(a, payload.big) == []",
        "payload.items.map(a, {'k': payload.big}) == []",
        "payload.items.filter(a, payload.big.contains(a.text)) == []",
        "payload.items.map(a, payload.items.map(b, payload.items + payload.items)) == []",
        "payload.items.all(a, payload.items == payload.items)",
        "payload.items.all(a, !({'z': 1} in payload.items))",
        "payload.items.map(a, payload.?big.optMap(v, v + v)) == []",
        // The error of the meter is covered up; it counts all the same.
        "payload.items.exists(a, payload.items.all(b, payload.items.all(c, true)) || true)",
        "true || payload.items.map(a, payload.big) == []",
    ] {
        let text =
            format!("[[map]]\nwhen = '''{costly} || true'''\nemit = \"product.upserted\"\nfields.product = \"'a'\"");
        let made = mapping(&text).map_within(body.as_bytes(), 300_000);
        let said: Vec<_> = made.iter().map(|part| part.as_ref().map_err(|error| error.problem.kind.as_str())).collect();
        let refused = said.contains(&Err("mapping-too-costly"));
        assert!(refused || costly.starts_with("true ||"), "{costly}: {said:?}");
    }
    let linear = "[[map]]\nfor_each = \"payload.items\"\nemit = \"product.upserted\"\nfields.product = \"string(item.n)\"\nfields.name = \"item.text\"";
    let made = mapping(linear).map(body.as_bytes());
    assert_eq!((made.len(), made.iter().filter(|part| part.is_ok()).count()), (3000, 3000));
}

#[test]
fn a_body_makes_so_many_events_at_most_and_those_before_are_kept() {
    let body = json!({"ids": (0..12_000).collect::<Vec<_>>()}).to_string();
    let text = "[[map]]\nfor_each = \"payload.ids\"\nemit = \"product.upserted\"\nfields.product = \"string(item)\"";
    let made = mapping(text).map(body.as_bytes());
    // What was left out could be the end of what would be taken: nothing is.
    assert_eq!(made.len(), 1);
    assert_eq!(made.last().unwrap().as_ref().unwrap_err().problem.kind.as_str(), "batch-too-large");
}

#[test]
fn a_body_is_read_strictly() {
    let ignore = mapping("[[map]]\nignore = true");
    for (body, pointer, told) in [
        (r#"{"a": {"b": 1, "b": 2}}"#, "/a/b", "there twice"),
        (r#"[{"x": 1, "y": [12345678901234567890123]}]"#, "/0/y/0", "more than 64 bits"),
        (r#"{"x": 1e30}"#, "/x", "more than 64 bits"),
        (r#"{"x": NaN}"#, "", ""),
        (r#"{"x": 1"#, "", ""),
        ("", "", ""),
        ("{} {}", "", ""),
        ("\u{1f}\u{8b}", "", ""),
    ] {
        let made = ignore.map(body.as_bytes());
        let Some(Err(MappingError { problem, .. })) = made.first() else { panic!("{body}: {made:?}") };
        let found = (problem.kind.as_str(), problem.pointer.as_str());
        assert!(found == ("malformed", pointer) && problem.detail.contains(told), "{body}: {problem:?}");
    }
    for good in ["\u{FEFF}{}", "[1, 2.5, -3, 18446744073709551615]", "null", "\"text\"", r#"{"a": 1e-5}"#] {
        assert_eq!(ignore.map(good.as_bytes()), [], "{good}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(ignore.map(deep.as_bytes()).len(), 1);
    let many = format!("[{}0]", "0,".repeat(1_000_001));
    assert_eq!(ignore.map(many.as_bytes())[0].as_ref().unwrap_err().problem.kind.as_str(), "batch-too-large");
    assert_eq!(ignore.map(b"{\"a\": \"\xff\"}")[0].as_ref().unwrap_err().problem.kind.as_str(), "malformed");
}

/// Pieces of which expressions are made, and of which more are made that nobody would write.
fn any_expression() -> impl Strategy<Value = String> {
    let pieces = [
        "payload",
        "item",
        ".a",
        "[0]",
        "['a']",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'a'",
        "\"",
        "'",
        "1",
        "1.5",
        "2u",
        "-",
        "!",
        " + ",
        " - ",
        " * ",
        " / ",
        " % ",
        " == ",
        " != ",
        " < ",
        " in ",
        " && ",
        " || ",
        " ? ",
        " : ",
        ".map(x, ",
        ".all(x, ",
        ".filter(x, x",
        "has(",
        "never(",
        "millis(",
        "day_end(",
        "size(",
        "string(",
        "int(",
        "x",
        "null",
        "true",
        "\\",
        "r'",
        "//",
        "\n",
        ".?a",
        "optional.of(",
        ".orValue(",
        "type(",
        "duration('1h')",
        "timestamp(",
        "b'a'",
        "''' ",
        "\u{1F600}",
        "`",
    ];
    prop_oneof![
        proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat()),
        ".{0,60}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_come_to_events_or_to_a_problem(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let made = mapping("[[map]]\nfor_each = \"payload\"\nemit = \"product.upserted\"\nfields.product = \"item.a\"").map(&body);
        prop_assert!(made.len() <= 200);
    }

    #[test]
    fn any_expression_is_refused_or_evaluated_within_its_steps(source in any_expression()) {
        let body = json!({"a": [1, "2", null, {"a": 1.5}], "b": {"a": "2026-01-01"}});
        let said = value(&source, body);
        prop_assert!(said.is_ok() || said.unwrap_err().len() <= 1000);
    }
}
