//! What is in force, key by key, and where each value came from. Shows no secret.

use serde_json::Value;

use crate::config::{load::Loaded, origin::Origin};

/// Every key with its effective value (JSON) and where that came from; names of sources in place of `*`.
pub fn effective(loaded: &Loaded) -> Vec<(String, Value, Origin)> {
    let whole = serde_json::to_value(&loaded.config).unwrap_or_default();
    let mut rows = Vec::new();
    flatten(&whole, &mut Vec::new(), &mut rows);
    let sources = loaded.secrets.keys().map(|name| (format!("source.{name}.secret"), Value::from("***")));
    rows.extend(sources);
    let origin = |key: &str| match key.strip_suffix(".secret") {
        Some(source) if !loaded.origins.holds(key) => loaded.origins.of(&format!("{source}.secret_file")),
        _ => loaded.origins.of(key),
    };
    rows.into_iter().map(|(key, value)| (key.clone(), value, origin(&key))).collect()
}

/// Adds every value below a path to `rows`.
pub fn flatten(value: &Value, path: &mut Vec<String>, rows: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                path.push(name.clone());
                flatten(inner, path, rows);
                path.pop();
            }
        }
        value => rows.push((path.join("."), value.clone())),
    }
}
