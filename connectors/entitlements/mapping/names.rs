//! What there is to name: the types of events that a source may state, and the members of their data.

use rollcall_events::{Body, Emitter, schema_of};
use serde_json::Value;

/// `, did you mean ..` where a name is much like one that there is, else nothing.
pub(super) fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
    match near {
        Some((distance, known)) if distance <= name.chars().count().max(3) / 3 + 1 => {
            format!(", did you mean `{known}`?")
        }
        _ => String::new(),
    }
}

/// An event type that a source may state.
#[derive(Debug, Clone)]
pub(super) struct EventType {
    /// In full: `rollcall.entitlement.line.upserted.v1`.
    pub kind: &'static str,
    /// The members of its data.
    pub fields: Vec<String>,
    /// Those that must be there.
    pub required: Vec<String>,
}

/// The name of a type as a rule has it: without what all of them have.
pub(super) fn short(kind: &str) -> &str {
    kind.strip_prefix("rollcall.").and_then(|kind| kind.strip_suffix(".v1")).unwrap_or(kind)
}

/// Finds a type by its short or its whole name.
///
/// # Errors
/// There is none, or none that a source may state.
pub(super) fn event_type(name: &str) -> Result<EventType, String> {
    let stated = || Body::TYPES.iter().filter(|kind| Body::emitter_of(kind).is_some_and(Emitter::is_for_connectors));
    let found = Body::TYPES.iter().find(|kind| **kind == name || short(kind) == name);
    match found {
        Some(kind) if Body::emitter_of(kind).is_some_and(Emitter::is_for_connectors) => {
            let schema = schema_of(kind).unwrap_or_default();
            let data = schema.pointer("/properties/data").cloned().unwrap_or_default();
            let mut fields: Vec<String> = data
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|all| all.keys().cloned())
                .collect();
            // Who gave a command is no source's to say; what is personal goes beside the log.
            fields.retain(|field| field != "author" && field != "made_with");
            if *kind == "rollcall.person.upserted.v1" {
                fields.push("personal".to_owned());
            }
            let required = data.get("required").and_then(Value::as_array).into_iter().flatten();
            let required = required.filter_map(Value::as_str).map(str::to_owned).collect();
            Ok(EventType { kind, fields, required })
        }
        Some(_) => Err(format!("`{name}` is not for a source to state; Rollcall itself records it")),
        None => {
            let near = suggest(name, stated().map(|kind| short(kind)));
            Err(format!("there is no event type `{}`{near}", name.escape_debug()))
        }
    }
}
