//! Every key of the configuration, read off the types: its path, its sentence, what it takes. Knows no value.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

use crate::{config::Config, sources::Kind};

/// A key that may be set, with `*` for a name that the operator chooses.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its path.
    pub path: Vec<String>,
    /// Its sentence.
    pub doc: String,
    /// What it takes.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference, which a test writes"))]
    pub takes: String,
    /// How a text of the environment becomes a value.
    pub scalar: Scalar,
}

/// What a text of the environment is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
}

impl Key {
    /// Dotted.
    #[cfg(test)]
    pub fn name(&self) -> String {
        self.path.join(".")
    }

    /// Whether this is the key at a path.
    pub fn is(&self, path: &[String]) -> bool {
        self.path.len() == path.len() && self.path.iter().zip(path).all(|(key, name)| key == "*" || key == name)
    }

    /// Whether this key is somewhere below a path.
    pub fn is_below(&self, path: &[String]) -> bool {
        self.path.len() > path.len() && self.path.iter().zip(path).all(|(key, name)| key == "*" || key == name)
    }
}

/// Writes schemas with nothing behind a reference.
pub fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator()
}

/// The JSON Schema of the configuration without sources, whose keys hang on their kinds.
pub fn general_schema() -> Value {
    generator().into_root_schema_for::<Config>().to_value()
}

/// Every key but those of sources.
pub fn general_keys() -> Vec<Key> {
    let mut keys = Vec::new();
    collect_keys(&general_schema(), &mut Vec::new(), &mut keys);
    keys
}

/// The keys of a source of this kind.
pub fn source_keys(kind: &Kind) -> Vec<Key> {
    let mut keys = Vec::new();
    let schema = kind.schema(&mut generator()).to_value();
    collect_keys(&schema, &mut vec!["source".into(), "*".into()], &mut keys);
    keys
}

fn collect_keys(schema: &Value, path: &mut Vec<String>, keys: &mut Vec<Key>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    if let Some(properties) = properties {
        for (name, inner) in properties {
            path.push(name.clone());
            collect_keys(inner, path, keys);
            path.pop();
        }
        return;
    }
    let names = ["additionalProperties", "patternProperties"].iter().find_map(|key| match schema.get(key)? {
        inner @ Value::Object(map) if *key == "patternProperties" => map.values().next().or(Some(inner)),
        inner @ Value::Object(_) => Some(inner),
        _ => None,
    });
    if let Some(inner) = names {
        path.push("*".into());
        let before = keys.len();
        collect_keys(inner, path, keys);
        if let (Some(key), Some(doc)) = (keys.get_mut(before), schema.get("description").and_then(Value::as_str))
            && key.doc.is_empty()
        {
            key.doc = doc.replace('\n', " ");
        }
        path.pop();
        return;
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let doc = schema.get("description").and_then(text).unwrap_or_default().replace('\n', " ");
    let (takes, scalar) = describe_value(schema);
    keys.push(Key { path: path.clone(), doc, takes, scalar });
}

/// What a value looks like, for people, and how to read it from a text.
fn describe_value(schema: &Value) -> (String, Scalar) {
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        return any.first().map_or(("text".into(), Scalar::Text), describe_value);
    }
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return (format!("`{word}`"), Scalar::Text);
    }
    let consts = |list: &[Value]| {
        let words: Vec<_> =
            list.iter().filter_map(|v| v.get("const").unwrap_or(v).as_str()).map(|w| format!("`{w}`")).collect();
        words.join(", ")
    };
    for key in ["oneOf", "enum"] {
        if let Some(list) = schema.get(key).and_then(Value::as_array) {
            return (consts(list), Scalar::Text);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(kind) => kind.as_str(),
        None => None,
    };
    let of_tables = schema.pointer("/items/type").and_then(Value::as_str) == Some("object");
    match (kind, schema.get("pattern").and_then(Value::as_str)) {
        (Some("array"), _) if of_tables => ("list of tables".into(), Scalar::Text),
        (Some("array"), _) => ("list of texts".into(), Scalar::Text),
        (Some("boolean"), _) => ("`true`, `false`".into(), Scalar::Flag),
        (Some("integer"), _) => ("number".into(), Scalar::Number),
        (_, Some(pattern)) if pattern.contains("ms|") => ("duration".into(), Scalar::Text),
        (_, Some(pattern)) if pattern.contains("KiB") => ("size".into(), Scalar::Text),
        _ => ("text".into(), Scalar::Text),
    }
}
