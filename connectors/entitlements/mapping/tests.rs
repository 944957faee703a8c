//! Mappings, from their text to the facts that they make.

use std::{fs, path::Path};

use cel::Context;
use chrono::DateTime;
use chrono_tz::Tz;
use rollcall_events::Order;
use rollcall_ingest::{DeliveryId, connector::MappingError, validate};
use serde_json::{Value, json};

use super::{
    Mapping, MappingText, SHIPPED, ShippedMapping,
    blame::{Seen, problem},
    document::{self, Texts},
    expression::{Expression, on_own_stack},
    functions::{GLOBAL, MEMBER, env},
    meter::{METER, Meter},
    values::to_json,
};

pub(super) type File = ShippedMapping;

impl ShippedMapping {
    pub(super) fn compile(&self) -> Result<Mapping, Vec<(String, String)>> {
        let text = MappingText {
            require: &self.require,
            json_texts: &self.json_texts,
            rules: &self.map,
            id: self.id.as_deref(),
            time: self.time.as_deref(),
            sequence: self.sequence.as_deref(),
            order: self.order(),
            time_zone: self.time_zone.as_deref().unwrap_or("UTC"),
        };
        Mapping::compile(&text).map_err(|wrong| wrong.into_iter().map(|wrong| (wrong.at, wrong.text)).collect())
    }

    fn order(&self) -> Order {
        self.order.unwrap_or(Order::Observed)
    }
}

pub(super) fn file(text: &str) -> File {
    toml::from_str(text).unwrap()
}

pub(super) fn mapping(text: &str) -> Mapping {
    file(text).compile().unwrap()
}

/// What a body comes to, each part as JSON: a fact as it would stand in the log, or the problem.
pub(super) fn facts(mapping: &Mapping, order: Order, body: &[u8]) -> Vec<Value> {
    let (now, delivery) =
        (DateTime::from_timestamp(1_800_000_000, 0).unwrap(), DeliveryId::new(DateTime::UNIX_EPOCH, [0; 10]));
    let part = |part| match part {
        Ok(event) => match validate(&"portal".parse().unwrap(), order, &delivery, now, now, event) {
            Ok(fact) => json!({
                "id": fact.event.key.id, "type": fact.event.kind, "subject": fact.event.subject,
                "time": fact.event.time, "data": serde_json::from_str::<Value>(&fact.event.data).unwrap(),
                "personal": fact.personal.map(|personal| json!([personal.email, personal.name])),
            }),
            Err(problem) => json!(problem),
        },
        Err(MappingError { problem, .. }) => json!(problem),
    };
    mapping.map(body).into_iter().map(part).collect()
}

/// `UPDATE=1` writes the expectations anew.
#[test]
fn documented_samples_of_licensing_systems_make_what_stands_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/mapped");
    for name in ["flexnet", "keygen", "portal", "stripe"] {
        let folder = folder.join(name);
        // One that comes with Rollcall, with what a configuration says besides.
        let shipped = SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        let own = fs::read_to_string(folder.join("mapping.toml")).unwrap_or_default();
        let file = file(&format!("{own}\n{}", shipped.unwrap_or_default()));
        let mapping = file.compile().unwrap();
        let mut samples: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
        samples.retain(|path| path.extension().is_some_and(|e| e == "json") && !path.ends_with("facts.json"));
        samples.sort();
        let made: Vec<Value> = samples
            .iter()
            .map(|sample| {
                let name = sample.file_name().unwrap().to_str().unwrap();
                json!({"sample": name, "makes": facts(&mapping, file.order(), &fs::read(sample).unwrap())})
            })
            .collect();
        let made = serde_json::to_string_pretty(&made).unwrap() + "\n";
        let beside = folder.join("facts.json");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&beside, &made).unwrap();
        }
        assert_eq!(fs::read_to_string(beside).unwrap_or_default(), made, "{name}: run with UPDATE=1");
    }
}

/// What an expression comes to on a body; the problem as `pointer: text` where it fails.
pub(super) fn value(source: &str, payload: Value) -> Result<Option<Value>, String> {
    on_own_stack(|| evaluated(source, payload)).unwrap()
}

fn evaluated(source: &str, payload: Value) -> Result<Option<Value>, String> {
    let zone: Tz = "Europe/Berlin".parse().unwrap();
    let expression = Expression::compile(source, &["payload"], zone).map_err(|mistake| mistake.to_string())?;
    let payload = document::read(payload.to_string().as_bytes(), &Texts::default()).unwrap();
    let meter = Meter::of(100_000);
    let mut context = Context::with_env(env());
    context.add_variable_as_val("payload", payload.root.as_val().clone_as_boxed());
    context.add_variable_as_val(METER, Box::new(meter.clone()));
    let made = expression.evaluate(&context, &meter).and_then(|value| to_json(value.as_ref(), &meter));
    made.map_err(|error| {
        let problem = problem("it", &expression, &error, Seen { payload: &payload, item: "" });
        format!("{}: {}", problem.pointer, problem.detail)
    })
}

#[test]
fn times_are_read_in_the_unit_that_is_said_and_days_in_the_zone_of_the_source() {
    for (source, at, becomes) in [
        ("seconds(payload)", json!(1_767_225_600), json!("2026-01-01T00:00:00Z")),
        ("seconds(payload)", json!("-1"), json!("1969-12-31T23:59:59Z")),
        ("millis(payload)", json!("1767225600000"), json!("2026-01-01T00:00:00Z")),
        ("millis(payload)", json!(1_767_225_600_123_i64), json!("2026-01-01T00:00:00.123Z")),
        ("timestamp(payload)", json!("2026-01-01T00:00:00+01:00"), json!("2025-12-31T23:00:00Z")),
        ("timestamp(payload) + duration('36h')", json!("2026-01-01T00:00:00Z"), json!("2026-01-02T12:00:00Z")),
        // Berlin: an hour before UTC in winter, two in summer; the clocks change on the 29th of March and the 25th of October.
        ("day_start(payload)", json!("2026-01-01"), json!("2025-12-31T23:00:00Z")),
        ("day_end(payload)", json!("2026-03-28"), json!("2026-03-28T23:00:00Z")),
        ("day_end(payload)", json!("2026-03-29"), json!("2026-03-29T22:00:00Z")),
        ("day_end(payload)", json!("2026-10-25"), json!("2026-10-25T23:00:00Z")),
        ("day_end(payload)", json!("2028-02-29"), json!("2028-02-29T23:00:00Z")),
        // A day that is written as its midnight in UTC is that day.
        ("day_start(millis(payload))", json!("1767225600000"), json!("2025-12-31T23:00:00Z")),
        ("day_end(millis(payload))", json!("1767225600000"), json!("2026-01-01T23:00:00Z")),
    ] {
        assert_eq!(value(source, at.clone()), Ok(Some(becomes)), "{source} of {at}");
    }
    let of = |zone: &str, source: &str| {
        let text = format!(
            "time_zone = \"{zone}\"\n[[map]]\nemit = \"product.upserted\"\nfields.product = \"string({source})\""
        );
        facts(&mapping(&text), Order::Observed, b"{}")[0]["data"]["product"].clone()
    };
    // No midnight on that day in Beirut, and none of that day in Apia.
    assert_eq!(of("Asia/Beirut", "day_start('2026-03-29')"), "2026-03-28T22:00:00Z");
    assert_eq!(of("Pacific/Apia", "day_start('2011-12-30')"), of("Pacific/Apia", "day_start('2011-12-31')"));
    assert_eq!(of("UTC", "day_end('9999-12-31')"), Value::Null, "there is no day after that");
    // Midnight comes twice there: the day begins with the first.
    assert_eq!(of("America/Havana", "day_start('2026-11-01')"), "2026-11-01T04:00:00Z");
}

#[test]
fn never_is_known_in_each_of_its_spellings_and_nothing_else_is() {
    for (payload, never) in [
        (json!({}), true),
        (json!({"to": null}), true),
        (json!({"to": ""}), true),
        (json!({"to": 0}), true),
        (json!({"to": "0"}), true),
        (json!({"to": "9999-12-31"}), true),
        (json!({"to": "9999-12-31T23:59:59Z"}), true),
        (json!({"to": "2026-01-01"}), false),
        (json!({"to": 1}), false),
        (json!({"to": false}), false),
        (json!({"to": []}), false),
        (json!({"to": "soon"}), false),
    ] {
        assert_eq!(value("never(payload.to)", payload.clone()), Ok(Some(json!(never))), "{payload}");
    }
    assert_eq!(value("never(millis(payload.to))", json!({"to": 253_402_214_400_000_i64})), Ok(Some(json!(true))));
    assert_eq!(value("never(payload.a.to)", json!({"a": {}})), Ok(Some(json!(true))));
}

#[test]
fn what_does_not_fit_is_told_with_its_place_in_the_body_and_in_the_expression() {
    for (source, payload, told) in [
        ("payload.a.b", json!({"a": {}}), "/a/b: `b` is missing (it, character 10)"),
        ("payload.a.b.c", json!({"a": {"b": null}}), "/a/b: an object with `c` is expected here, and null is there"),
        ("payload.a.b", json!({"a": 1}), "/a: an object with `b` is expected here"),
        ("payload.a.map(x, x.b)", json!({"a": [{"b": 1}, {"c~/": {}}]}), "/a/1/b: `b` is missing"),
        ("payload['a/b']['c']", json!({"a/b": {}}), "/a~1b/c: `c` is missing"),
        (
            "int(payload.n)",
            json!({"n": "ten"}),
            "/n: `int` does not read this as a number; `ten` is there (it, character 1)",
        ),
        ("int(payload.n)", json!({"n": null}), "/n: `int` cannot be applied to null (it, character 1)"),
        (
            "millis(payload.at)",
            json!({"at": "soon"}),
            "/at: `millis` takes a whole number or a text of digits, not `soon`",
        ),
        (
            "millis(payload.at)",
            json!({"at": 1.5}),
            "/at: `millis` takes a whole number or a text of digits, not a number",
        ),
        (
            "millis(payload.at)",
            json!({"at": 999_999_999_999_999_i64}),
            "/at: `millis` 999999999999999 is beyond the year 9999",
        ),
        ("day_end(payload.d)", json!({"d": "2026-02-30"}), "/d: `day_end` takes a day, as in \"2026-01-31\""),
        ("timestamp(payload.d)", json!({"d": "2026-01-01"}), "/d: `timestamp`"),
        ("{'A': 'active'}[payload.s]", json!({"s": "SOLD"}), "/s: `SOLD` is none of the words that the mapping knows"),
        ("payload.a + 1", json!({"a": "1"}), "/a: `+` needs two values of one kind"),
        ("payload.a[2]", json!({"a": [1]}), ": the list has no such item"),
        ("1 / payload.n", json!({"n": 0}), ": it divides by zero"),
        ("payload.n + 9223372036854775807", json!({"n": 1}), ": the number or the time is too large"),
        ("duration('1h')", json!({}), ": a duration is no value of a fact"),
    ] {
        let said = value(source, payload.clone()).unwrap_err();
        assert!(said.starts_with(told), "{source} of {payload}: {said}");
    }
}

#[test]
fn values_are_equal_whichever_stands_first_and_whichever_was_written_in_the_expression() {
    let payload = json!({"a": [1, {"x": [true, null]}], "b": [1, {"x": [true, null]}], "c": [], "n": 1.0, "s": "x"});
    for source in [
        "payload.a == payload.b",
        "payload.a == [1, {'x': [true, null]}]",
        "[1, {'x': [true, null]}] == payload.a",
        "[payload.a] == [payload.b]",
        "payload.c == [] && [] == payload.c && payload.c != payload.a && {} != payload.a",
        "payload.n == 1 && 1 == payload.n",
        "{'x': [true, null]} in payload.a && !(2 in payload.a) && 's' in payload && !('z' in payload)",
        "payload.a[1] in [payload.b[1]]",
        "size(payload.a) == 2 && payload.a.size() == 2 && size(payload) == 5",
        "payload.map(k, k) == ['a', 'b', 'c', 'n', 's']",
        "payload.a + [2] == [1, {'x': [true, null]}, 2] && [0] + payload.c == [0]",
        "type(payload.a) == list && type(payload) == map",
        "payload.?z.orValue('x') == payload.s && payload.?s.orValue('y') == 'x' && !has(payload.z) && has(payload.s)",
        "[payload.?z.optMap(v, v), payload.?s.optMap(v, v + '!')] != []",
        "payload.a.exists(i, i == 1) && payload.a.exists_one(i, i == 1) && !payload.a.all(i, i == 1)",
    ] {
        assert_eq!(value(source, payload.clone()), Ok(Some(json!(true))), "{source}");
    }
    assert_eq!(value("payload.?z", payload.clone()), Ok(None), "an optional value that is none is left out");
    assert_eq!(value("{'k': payload.?z, 'a': payload.c}", payload), Ok(Some(json!({"a": []}))));
}

#[test]
fn a_mistake_in_a_mapping_is_told_with_its_key_its_place_and_the_nearest_name() {
    let rule = "[[map]]\nemit = \"product.upserted\"\n";
    for (text, at, told) in [
        ("".to_owned(), "map", "say what the notifications mean"),
        (
            "time_zone = \"Europe/Berlim\"".to_owned(),
            "time_zone",
            "there is no time zone `Europe/Berlim`, did you mean `Europe/Berlin`?",
        ),
        (rule.to_owned(), "map.0.emit", "`product.upserted` needs `fields.product`"),
        (
            format!("{rule}fields.prodct = \"'a'\""),
            "map.0.fields.prodct",
            "`product.upserted` has no `prodct`, did you mean `product`?",
        ),
        (format!("{rule}fields.colour = \"'a'\""), "map.0.fields.colour", "has no `colour`; it has name, product"),
        (
            format!("{rule}fields.product = \"paylod.a\""),
            "map.0.fields.product",
            "at character 1: there is no variable `paylod`, did you mean `payload`?",
        ),
        (
            format!("{rule}fields.product = \"item.a\""),
            "map.0.fields.product",
            "at character 1: there is no variable `item`",
        ),
        (
            format!("{rule}fields.product = \"'a' + mills(payload.a)\""),
            "map.0.fields.product",
            "there is no function `mills`, did you mean `millis`?",
        ),
        (
            format!("{rule}fields.product = \"payload.a.strtsWith('x')\""),
            "map.0.fields.product",
            "did you mean `startsWith`?",
        ),
        (
            format!("{rule}fields.product = \"payload.millis()\""),
            "map.0.fields.product",
            "`millis` is not called like this",
        ),
        (format!("{rule}fields.product = \"payload.a[\""), "map.0.fields.product", "it ends before it is complete"),
        (
            format!("{rule}fields.product = \"payload.a payload\""),
            "map.0.fields.product",
            "at character 11: `payload` cannot stand here",
        ),
        (format!("{rule}fields.product = \"#\""), "map.0.fields.product", "`#` is nothing of an expression"),
        (format!("{rule}fields.product = \"Thing{{a: 1}}\""), "map.0.fields.product", "there is no type `Thing`"),
        (format!("{rule}fields.product = \"\""), "map.0.fields.product", "there is no expression"),
        (format!("{rule}fields.product = \"@meter\""), "map.0.fields.product", "`@` is nothing of an expression"),
        (format!("{rule}when = \"payload.x == \""), "map.0.when", "it ends before it is complete"),
        (
            "[[map]]\nemit = \"entitlement.line.upsert\"".to_owned(),
            "map.0.emit",
            "did you mean `entitlement.line.upserted`?",
        ),
        ("[[map]]\nemit = \"binding.set\"".to_owned(), "map.0.emit", "is not for a source to state"),
        ("[[map]]\nwhen = \"true\"".to_owned(), "map.0.emit", "say what the rule makes"),
        (
            "[[map]]\nemit = \"product.removed\"\nignore = true\nfields.product = \"'a'\"".to_owned(),
            "map.0.ignore",
            "has no `emit`",
        ),
        ("[[map]]\nignore = true\nfields.product = \"'a'\"".to_owned(), "map.0.ignore", "has nothing but `when`"),
        (
            format!("order = \"time\"\n{rule}fields.product = \"'a'\""),
            "map.0.time",
            "say which instant orders its facts",
        ),
        (
            format!("order = \"version\"\n{rule}fields.product = \"'a'\""),
            "map.0.sequence",
            "say which number orders its facts",
        ),
        (
            format!("require = [\"true\", \"paylod\"]\n{rule}fields.product = \"'a'\""),
            "require.1",
            "did you mean `payload`?",
        ),
        (
            format!("order = \"time\"\ntime = \"milis(1)\"\n{rule}fields.product = \"'a'\""),
            "time",
            "did you mean `millis`?",
        ),
    ] {
        let wrong = file(&text).compile().map(drop).unwrap_err();
        assert!(wrong.iter().any(|(key, what)| key == at && what.contains(told)), "{text}: {wrong:?}");
    }
    let many = "[[map]]\nignore = true\n".repeat(101);
    assert!(file(&many).compile().unwrap_err()[0].1.contains("at most 100"));
}

#[test]
fn every_function_of_the_list_exists_and_no_other_name_of_ours_can_be_spelled() {
    for name in GLOBAL {
        let said = value(&format!("{name}(payload)"), json!({"a": 1}));
        assert!(!format!("{said:?}").contains("no function"), "{name}: {said:?}");
        assert!(!format!("{said:?}").contains("cannot be evaluated on this body"), "{name}: {said:?}");
    }
    for name in MEMBER {
        let said = value(&format!("payload.{name}(1)"), json!({"a": 1}));
        assert!(!format!("{said:?}").contains("cannot be evaluated on this body"), "{name}: {said:?}");
    }
    for name in ["@cost(1)", "`@cost`(1)", "cost(1)", "matches('a', 'b')"] {
        assert!(value(name, json!({})).is_err(), "{name}");
    }
}

#[test]
fn events_without_an_id_are_known_by_what_they_say_and_when() {
    let text = |more: &str| {
        format!(
            "{more}\n[[map]]\nemit = \"product.upserted\"\nfields.product = \"payload.p\"\nfields.name = \"payload.n\""
        )
    };
    let ids = |more: &str, bodies: &[Value]| -> Vec<Value> {
        let file = file(&text(more));
        let mapping = file.compile().unwrap();
        bodies.iter().map(|body| facts(&mapping, file.order(), body.to_string().as_bytes())[0]["id"].clone()).collect()
    };
    let said = |name: &str, at: u64| json!({"p": "DB", "n": name, "at": at});
    let same = ids("", &[said("a", 1), said("a", 2), said("b", 1)]);
    assert!(same[0] == same[1] && same[0] != same[2]);
    let timed = ids("order = \"time\"\ntime = \"seconds(payload.at)\"", &[said("a", 1), said("a", 1), said("a", 2)]);
    assert!(timed[0] == timed[1] && timed[0] != timed[2]);
    let notified = ids("id = \"string(payload.at)\"", &[said("a", 7), said("b", 7), said("a", 8)]);
    assert!(notified[0] == notified[1] && notified[0] != notified[2], "the sender's id counts, not what is said");
    let of_subject = |id: &str| id.split_once('.').unwrap().1.to_owned();
    assert!(of_subject(notified[0].as_str().unwrap()).starts_with("7~"), "{notified:?}");
    // What is added to a mapping later leaves the ids as they are.
    let more = format!("[[map]]\nwhen = \"false\"\nignore = true\n{}", text(""));
    assert_eq!(facts(&mapping(&more), Order::Observed, said("a", 1).to_string().as_bytes())[0]["id"], same[0]);
}

#[test]
fn each_fact_of_a_notification_with_an_id_has_an_id_of_its_own() {
    let text = "id = \"payload.event\"\n[[map]]\nfor_each = \"payload.p\"\nemit = \"product.upserted\"\nfields.product = \"item\"\n\
                [[map]]\nfor_each = \"payload.p\"\nemit = \"group.upserted\"\nfields.group = \"item\"\nfields.name = \"item\"";
    let body = json!({"event": "evt_1", "p": ["A", "B"]}).to_string();
    let made = facts(&mapping(text), Order::Observed, body.as_bytes());
    let mut ids: Vec<_> = made.iter().map(|fact| fact["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert!(ids.len() == 4 && ids.iter().all(|id| id.contains(".evt_1~")), "{made:?}");
}
