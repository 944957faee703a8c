//! Every shape that the data of an event type ever had, with what is read of it: `schemas/shapes`. Logs hold them for ever.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Body, other_versions::MINORS};
use crate::schema_of;

/// One shape: examples with every member and every word of it, and what this version reads of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Shape {
    examples: Vec<Example>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Example {
    recorded: Value,
    read: Value,
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema.get("$ref").and_then(Value::as_str);
    target.map_or(schema, |target| resolve(root, root.pointer(&target[1..]).unwrap()))
}

/// Values of a schema: every word and every alternative is in one of them. `n` tells the elements of a list apart.
fn examples(root: &Value, schema: &Value, name: &str, n: usize) -> Vec<Value> {
    let schema = resolve(root, schema);
    if let Some(one) = schema.get("const") {
        return vec![one.clone()];
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.clone();
    }
    if let Some(all) = schema.get("anyOf").or(schema.get("oneOf")).and_then(Value::as_array) {
        return all.iter().flat_map(|one| examples(root, one, name, n)).collect();
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(all) => all.iter().map(|kind| kind.as_str().unwrap()).collect(),
        kind => vec![kind.as_str().unwrap_or("any")],
    };
    kinds.into_iter().flat_map(|kind| examples_of(root, schema, kind, name, n)).collect()
}

fn examples_of(root: &Value, schema: &Value, kind: &str, name: &str, n: usize) -> Vec<Value> {
    match kind {
        "null" => vec![Value::Null],
        "string" if schema["format"] == "date-time" => {
            // Of two instants the later is an end.
            let day = if name.contains("unti") || name.contains("end") || name.contains("expires") { 31 } else { 1 };
            vec![json!(format!("2026-01-{day:02}T12:00:00Z"))]
        }
        "string" if schema["pattern"].as_str().is_some_and(|pattern| pattern.contains("64")) => {
            vec![json!("ab".repeat(32))]
        }
        "string" if n > 0 => vec![json!(format!("{name}-{n}"))],
        "string" => vec![json!(name)],
        "integer" => vec![json!(1)],
        "boolean" => vec![json!(true), json!(false)],
        "array" => {
            let least = usize::try_from(schema["minItems"].as_u64().unwrap_or(1)).unwrap();
            let one = |n: usize| examples(root, &schema["items"], name, n).into_iter().next().unwrap();
            vec![(0..least.max(1)).map(one).collect()]
        }
        "object" => {
            let empty = Map::new();
            let members = schema["properties"].as_object().unwrap_or(&empty);
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            // The whole first, then with each other value of each member, then the least.
            let of: BTreeMap<&String, Vec<Value>> =
                members.iter().map(|(name, schema)| (name, examples(root, schema, name, n))).collect();
            let whole: Map<String, Value> =
                of.iter().map(|(name, values)| ((*name).clone(), values[0].clone())).collect();
            let mut all = vec![Value::from(whole.clone())];
            for (name, values) in &of {
                for value in &values[1..] {
                    let mut other = whole.clone();
                    other.insert((*name).clone(), value.clone());
                    all.push(other.into());
                }
            }
            let least: Map<String, Value> =
                whole.into_iter().filter(|(name, _)| required.contains(&json!(name))).collect();
            all.push(least.into());
            all.dedup();
            all
        }
        _ => vec![json!({"any": name})],
    }
}

/// What this version writes of its own: parsed strictly, so only what a schema and the checks behind it allow.
fn shape_of(kind: &str) -> Shape {
    let schema = schema_of(kind).unwrap();
    let all = examples(&schema, &schema["properties"]["data"], "x", 0);
    let strict = all.into_iter().filter(|data| Body::parse(kind, &data.to_string()).is_ok());
    Shape { examples: strict.map(|recorded| Example { read: read(kind, &recorded), recorded }).collect() }
}

fn read(kind: &str, recorded: &Value) -> Value {
    let body = Body::recorded(kind, &recorded.to_string()).unwrap_or_else(|error| panic!("{kind} {recorded}: {error}"));
    serde_json::from_str(&body.data()).unwrap()
}

fn said(shape: &Shape) -> Vec<&Value> {
    shape.examples.iter().map(|example| &example.recorded).collect()
}

/// `UPDATE=1 cargo test -p rollcall-events` adds the shape that a type has now, and never changes what was recorded.
#[test]
fn every_shape_that_was_ever_recorded_is_read_as_it_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas/shapes");
    let update = std::env::var_os("UPDATE").is_some();
    let mut files = Vec::new();
    for kind in Body::TYPES {
        let file = folder.join(format!("{kind}.json"));
        files.push(file.clone());
        let text = std::fs::read_to_string(&file).unwrap_or_else(|_| "[]".to_owned());
        let kept: Vec<Shape> = serde_json::from_str(&text).unwrap();
        let mut now: Vec<Shape> = kept.clone();
        for example in now.iter_mut().flat_map(|shape| &mut shape.examples) {
            example.read = read(kind, &example.recorded);
        }
        let newest = shape_of(kind);
        assert!(!newest.examples.is_empty(), "{kind} has no example");
        if now.last().is_none_or(|last| said(last) != said(&newest)) {
            now.push(newest);
        }
        if update {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, serde_json::to_string_pretty(&now).unwrap() + "\n").unwrap();
        } else {
            assert_eq!(
                kept, now,
                "{kind}: the shape is another, or something recorded is read otherwise. Read CONTRIBUTING.md, \"Before you \
                 write\"; then UPDATE=1 adds the shape"
            );
        }
        let shapes = u32::try_from(now.len()).unwrap();
        assert_eq!(
            Body::minor_of(kind) + 1,
            shapes,
            "{kind} has {shapes} shapes: its minor version in MINORS is {}",
            shapes - 1
        );
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    found.sort();
    files.sort();
    assert_eq!(found, files, "a shape without a type: what was recorded once is read for ever");
    assert!(MINORS.iter().all(|(kind, _)| Body::TYPES.contains(kind)));
}
