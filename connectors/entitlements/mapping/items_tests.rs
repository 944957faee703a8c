//! What is of another kind than an expression expects, items that cannot be read, and where things stand.

use rollcall_events::Order;
use serde_json::{Value, json};

use super::tests::{facts, file, mapping, value};

const PRODUCTS: &str =
    "[[map]]\nfor_each = \"payload.products\"\nemit = \"product.upserted\"\nfields.product = \"item.id\"";

/// What a body comes to, short: the subject of a fact, or kind and place of a problem.
fn told(text: &str, body: &[u8]) -> Vec<String> {
    let short = |part: &Value| match part["subject"].as_str() {
        Some(subject) => subject.to_owned(),
        None => {
            format!("{} {}", part["type"].as_str().unwrap_or_default(), part["pointer"].as_str().unwrap_or_default())
        }
    };
    facts(&mapping(text), Order::Observed, body).iter().map(short).collect()
}

#[test]
fn a_member_of_what_is_no_object_is_a_problem_with_its_place_and_not_absent() {
    for other in [json!("2026-01-31"), json!(5), json!(2.5), json!(true), json!(["2026-01-31"]), json!([]), json!(null)]
    {
        for source in [
            "payload.?period.?end.orValue(null)",
            "payload.?period.end.orValue(null)",
            "has(payload.?period.end)",
            "payload.period[?'end'].orValue(null)",
            "payload[?'period']['end'].orValue(null)",
            "payload.?period['end'].orValue(null)",
            "payload.?period['end'].?day.orValue(null)",
            "payload.?period.?end.?day.hasValue()",
        ] {
            let said = value(source, json!({"period": other})).unwrap_err();
            let expected = said.starts_with("/period: ") && said.contains(" is expected here");
            assert!(expected, "{source} on {other}: {said}");
        }
    }
    for other in [json!("x"), json!(5), json!(true), json!({"0": "x"}), json!({}), json!(null)] {
        for source in
            ["payload.?list[0].orValue(null)", "payload.list[?0].orValue(null)", "payload.?list[0].?day.hasValue()"]
        {
            let said = value(source, json!({"list": other})).unwrap_err();
            assert!(said.starts_with("/list: a list is expected here"), "{source} on {other}: {said}");
        }
    }
    for (body, expected) in
        [(json!({}), json!(null)), (json!({"list": []}), json!(null)), (json!({"list": ["x"]}), json!("x"))]
    {
        assert_eq!(value("payload.?list[0].orValue(null)", body), Ok(Some(expected)));
    }
    for (body, expected) in
        [(json!({}), json!(null)), (json!({"period": {}}), json!(null)), (json!({"period": {"end": "x"}}), json!("x"))]
    {
        assert_eq!(value("payload.?period.?end.orValue(null)", body), Ok(Some(expected)));
    }
}

#[test]
fn a_body_whose_list_is_of_another_kind_is_quarantined() {
    let optional = PRODUCTS.replace("payload.products", "payload.?products.orValue([])");
    for body in ["[{}]", "\"x\"", "5", "null", "true"] {
        assert_eq!(told(&optional, body.as_bytes()), ["expression-failed "], "{body}");
    }
    for body in [r#"{"products": null}"#, r#"{"products": {}}"#, r#"{"products": "x"}"#] {
        assert!(told(&optional, body.as_bytes())[0].starts_with("expression-failed"), "{body}");
    }
    assert_eq!(told(&optional, b"{}"), [""; 0]);
}

#[test]
fn an_item_that_cannot_be_read_does_not_take_the_others_along() {
    for wrong in [
        &br#"{"id": NaN}"#[..],
        b"{\"id\": \"a\xff\"}",
        b"{\"id\": \"a\tb\"}",
        br#"{"id": 99999999999999999999}"#,
        br#"{"id": 1e999}"#,
        br#"{"id": "b", "id": "c"}"#,
        br#"{"id": "b", "x": {"y": 1, "y": 2}}"#,
        br#"{"id": "b", "x\q": 1}"#,
        b"NaN",
    ] {
        let body = [&br#"{"products": [{"id": "a"}, "#[..], wrong, br#", {"id": "d"}]}"#].concat();
        let shown = String::from_utf8_lossy(wrong);
        let made = told(PRODUCTS, &body);
        assert_eq!(made.len(), 3, "{shown}: {made:?}");
        assert_eq!(made[..2], ["product/a", "product/d"], "{shown}");
        assert!(made[2].starts_with("malformed /products/1"), "{shown}: {made:?}");
        // A rule that looks at all of them together cannot say what that comes to.
        let all = PRODUCTS.replace("payload.products", "payload.products.filter(p, p.id != 'z')");
        assert!(told(&all, &body).iter().all(|part| !part.starts_with("product/")), "{shown}");
        let body = [&b"["[..], wrong, br#", {"id": "d"}]"#].concat();
        let made = told(&PRODUCTS.replace("payload.products", "payload"), &body);
        assert_eq!(made[0], "product/d", "{shown}: {made:?}");
    }
    // Nor does it count as absent, whatever is asked of it.
    let body = br#"{"products": [{"id": "a"}, {"id": NaN}, {"id": "d"}]}"#;
    for asked in [
        "{'a': true}[?p].hasValue()",
        "!{'a': true}[?p].hasValue()",
        "p in ['a']",
        "never(p)",
        "!never(p)",
        "never(p.id)",
        "has(p.id)",
        "!has(p.id)",
        "p.?id.hasValue()",
        "!p.?id.hasValue()",
        "p[?'id'].orValue('a') == 'a'",
        "type(p) == map",
        "type(p) != map",
        "dyn(p) != null",
        "[p].size() == 1",
        "{'x': p}.size() == 1",
        "optional.of(p).hasValue()",
        "[1].exists(n, p == n)",
        "payload.products[?1] == optional.of('a')",
        "payload.products[?1] != optional.of('a')",
        "payload.products[?1] == optional.none()",
        "optional.none() != payload.products[?1]",
        "payload.products[?1] in [optional.of('a')]",
        "[payload.products[?1]] == [optional.of('a')]",
        "payload.?products == optional.of([1, 2, 3])",
        "[1].exists(n, payload.products[?1] == optional.of('a'))",
    ] {
        let all = PRODUCTS.replace("payload.products", &format!("payload.products.filter(p, {asked})"));
        let made = told(&all, body);
        assert!(made.iter().all(|part| !part.starts_with("product/")) && !made.is_empty(), "{asked}: {made:?}");
    }
    // No text of a body is taken for what stands in for another.
    let text = br#"{"products": [{"id": "\u0000unreadable"}, {"id": "unreadable"}, {"id": "\x"}]}"#;
    assert_eq!(told(PRODUCTS, text)[1..], ["product/unreadable", "malformed /products/2/id"]);
    // What stands in no list, and where a text has no end, is all of it.
    for body in [
        &br#"{"n": NaN, "products": [{"id": "a"}]}"#[..],
        br#"{"n": 99999999999999999999, "products": [{"id": "a"}]}"#,
        br#"{"products": [{"id": "a}, {"id": "b"}]}"#,
        br#"{"products": [{"id": "a"}, {"id" "b"}]}"#,
        br#"{"products": [{"id": "a"}], "products": []}"#,
    ] {
        let made = told(PRODUCTS, body);
        assert!(made.len() == 1 && made[0].starts_with("malformed"), "{made:?}");
    }
}

#[test]
fn what_orders_facts_is_given_where_the_source_orders_by_it() {
    for (order, key, given, needs) in [
        ("observed", "time", "time = \"timestamp(payload.at)\"", "time"),
        ("observed", "sequence", "sequence = \"payload.n\"", "version"),
        ("version", "time", "sequence = \"payload.n\"\ntime = \"timestamp(payload.at)\"", "time"),
        ("time", "sequence", "sequence = \"payload.n\"\ntime = \"timestamp(payload.at)\"", "version"),
    ] {
        let whole = format!("order = \"{order}\"\n{given}\n{PRODUCTS}");
        let of_rule = format!("order = \"{order}\"\n{PRODUCTS}\n{given}");
        for (text, at) in [(whole, key.to_owned()), (of_rule, format!("map.0.{key}"))] {
            let wrong = file(&text).compile().unwrap_err();
            let expected = format!(
                "`{key}` orders nothing where the source has `order = \"{order}\"`: set `order = \"{needs}\"`, or leave it out"
            );
            assert_eq!(wrong, [(at, expected)]);
        }
    }
}

#[test]
fn places_are_found_in_one_pass_however_many_values_stand_between() {
    let zeros = "0,".repeat(200_000);
    let items: Vec<_> = (0..3000).map(|n| format!(r#"{{"n": {n}}}"#)).collect();
    let body = format!(r#"{{"all": [{zeros}{}]}}"#, items.join(","));
    let text = "[[map]]\nfor_each = \"payload.all.filter(i, type(i) == map)\"\nemit = \"product.upserted\"\nfields.product = \"item.id\"";
    let made = told(text, body.as_bytes());
    assert_eq!((made.len(), made[2999].as_str()), (3000, "expression-failed /all/202999/id"));
}

#[test]
fn what_a_library_says_of_a_text_is_told_to_nobody() {
    for source in [
        "duration(payload.t)",
        "timestamp(payload.t)",
        "int(payload.t)",
        "double(payload.t)",
        "payload.t.matches('x')",
        "uint(payload.t)",
    ] {
        for text in ["-01-01T..", "9999999999999999999999h", "10000-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "", "x"] {
            let Err(said) = value(source, json!({"t": text})) else { continue };
            for word in ["rror", "parsing", "{", "range", "premature", "trailing"] {
                assert!(!said.contains(word), "{source} on {text}: {said}");
            }
        }
    }
}
