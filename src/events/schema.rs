//! JSON Schemas of the vocabulary, generated from the types. `schemas/` holds them, and a test holds the two equal.

use serde_json::{Value, json};

use crate::{body::data_schemas, size};

/// The schema of one event type's data, by type name.
#[must_use]
pub fn schema_of(kind: &str) -> Option<Value> {
    schemas().into_iter().find(|(name, _)| name == kind).map(|(_, schema)| schema)
}

/// Every schema: (event type, JSON Schema of a whole event of that type).
#[must_use]
pub fn schemas() -> Vec<(String, Value)> {
    data_schemas()
        .into_iter()
        .map(|(kind, data)| {
            let mut data = Value::from(data);
            let defs = data.as_object_mut().and_then(|map| {
                map.remove("$schema");
                map.remove("$defs")
            });
            let mut schema = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "title": kind,
                "type": "object",
                "required": ["id", "source", "specversion", "type", "data"],
                "properties": {
                    "id": {"type": "string", "minLength": 1, "maxLength": 256},
                    "source": {"type": "string", "minLength": 1, "maxLength": size::ORIGIN},
                    "specversion": {"const": "1.0"},
                    "type": {"const": kind},
                    "subject": {"type": "string", "minLength": 1, "maxLength": size::SUBJECT},
                    "time": {"type": "string", "format": "date-time"},
                    "sequence": {
                        "description": "The source's version of the subject; the highest wins.",
                        "anyOf": [{"type": "string", "pattern": "^[0-9]{1,20}$"}, {"type": "integer", "minimum": 0}]
                    },
                    "datacontenttype": {"const": "application/json"},
                    "dataschema": {"type": "string", "maxLength": size::ORIGIN},
                    "data": data,
                },
            });
            if let (Some(defs), Some(map)) = (defs, schema.as_object_mut()) {
                map.insert("$defs".into(), defs);
            }
            (kind.to_owned(), schema)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    /// `UPDATE=1 cargo test -p rollcall-events` rewrites `schemas/`.
    #[test]
    fn the_schemas_in_the_repository_are_the_types() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/events");
        let update = std::env::var_os("UPDATE").is_some();
        if update {
            std::fs::create_dir_all(&folder).unwrap();
        }
        let mut expected = Vec::new();
        for (kind, schema) in super::schemas() {
            let file = format!("{kind}.json");
            let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
            if update {
                std::fs::write(folder.join(&file), &text).unwrap();
            }
            assert_eq!(
                std::fs::read_to_string(folder.join(&file)).unwrap_or_default(),
                text,
                "{file}: run with UPDATE=1"
            );
            expected.push(file);
        }
        let mut found: Vec<String> =
            std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "a schema without a type");
    }
}
