//! The two documents that are made of the configuration's types: the page of every key, and the JSON Schema.

use std::collections::BTreeMap;

use rollcall_events::SourceName;
use schemars::JsonSchema as _;
use serde_json::{Map, Value, json};

use crate::{
    config::{
        Config,
        effective::flatten,
        schema::{Key, general_keys, general_schema, generator, source_keys},
    },
    sources::KINDS,
};

/// `schemas/config.json`.
pub fn schema() -> Value {
    let kinds: Vec<Value> = KINDS.iter().map(|kind| kind.schema(&mut generator()).to_value()).collect();
    let mut sources = BTreeMap::<SourceName, bool>::json_schema(&mut generator()).to_value();
    for source in sources["patternProperties"].as_object_mut().unwrap().values_mut() {
        *source = json!({"description": "One upstream.", "anyOf": kinds});
    }
    sources["default"] = json!({});
    sources["description"] = "The upstreams, by name. A name is an identity: it is never changed.".into();
    let mut schema = general_schema();
    schema["title"] = "Rollcall configuration".into();
    schema["properties"]["source"] = sources;
    schema
}

/// `CONFIGURATION.md`: a table of the general keys, and one of each kind of source.
pub fn reference() -> String {
    let mut out = String::from(include_str!("../CONFIGURATION.head.md"));
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    table(&mut out, &general_keys(), &defaults, &[]);
    for kind in &KINDS {
        let schema = kind.schema(&mut generator()).to_value();
        let doc = schema["description"].as_str().unwrap().replace('\n', " ");
        let (defaults, _) = kind.parse(&Map::new());
        let defaults = serde_json::to_value(defaults).unwrap_or_default();
        out.push_str(&format!("\n## Sources of the kind `{}`\n\n{}\n", kind.name, doc));
        table(&mut out, &source_keys(kind), &defaults, &["source", "*"]);
    }
    out
}

fn table(out: &mut String, keys: &[Key], defaults: &Value, below: &[&str]) {
    let mut rows = Vec::new();
    flatten(defaults, &mut below.iter().map(|name| (*name).to_owned()).collect(), &mut rows);
    let default = |key: &str| match rows.iter().find(|(name, _)| name == key) {
        Some((_, Value::Null)) | None => "-".to_owned(),
        Some((_, value)) => format!("`{value}`"),
    };
    out.push_str("\n| key | default | takes | what it is |\n|---|---|---|---|\n");
    for key in keys {
        let name = key.name();
        out.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            name.replace('*', "NAME"),
            default(&name),
            key.takes.replace('|', "\\|"),
            key.doc
        ));
    }
}
