//! Strict reading of JSON: every refusal names the place by JSON pointer and says what was expected there.
//! Duplicate keys and unknown fields are refused by the derived readers; nothing here goes through a map that forgets. What
//! a library says of a text is told to nobody: `expected` and `syntax` say it in words of ours.

mod expected;
mod lexer;
mod stand_in;
mod syntax;

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::{Value, value::RawValue};

pub use expected::{mismatch, plain_words};
pub use lexer::{Elements, SyntaxError, find_text, split_list};
pub use stand_in::stand_in;
pub use syntax::{place, syntax_error};

/// A text that does not fit its schema: where (JSON pointer, RFC 6901) and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{pointer}: {expected}", pointer = if pointer.is_empty() { "the document" } else { pointer })]
pub struct SchemaError {
    /// JSON pointer to the offending member; empty for the document as a whole.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub expected: String,
}

impl SchemaError {
    /// An error at `pointer`.
    #[must_use]
    pub fn at(pointer: impl Into<String>, expected: impl fmt::Display) -> Self {
        Self { pointer: pointer.into(), expected: expected.to_string() }
    }

    /// The same error in a document that holds this one at `prefix`.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

/// The bytes without a byte order mark before them, which some programs write and none means.
#[must_use]
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)
}

/// Reads a whole text as `T`, whose schema `schema` makes: a document to which references point, and where in it the
/// schema is.
///
/// # Errors
/// Names the first place that does not fit and what is expected there.
pub fn read_as<T: DeserializeOwned>(
    text: &str,
    schema: impl FnOnce() -> (Value, &'static str),
) -> Result<T, SchemaError> {
    read(text).map_err(|error| {
        // What is said twice no value can hold; it is the reader who saw it.
        let twice = error.expected.ends_with("state it once");
        let document = serde_json::from_str::<Value>(text).ok().filter(|_| !twice);
        let found = document.and_then(|document| {
            let (root, at) = schema();
            mismatch(&root, root.pointer(at)?, &document)
        });
        found.unwrap_or(error)
    })
}

/// Reads a whole text as `T`.
///
/// # Errors
/// Names the first place that does not fit.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, SchemaError> {
    // Keeping track of the place costs half as much again as reading: it is done for what does not fit only.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    if let Some(error) = syntax_error(text.as_bytes()) {
        return Err(SchemaError::at("", format!("{error} ({})", place(text.as_bytes(), error.at))));
    }
    let mut de = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut de).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path() {
            use serde_path_to_error::Segment;
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } => {
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                }
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        let expected = plain_words(&error.into_inner().to_string());
        // The reader tells of a member that is unknown or there twice at its parent; the member is meant.
        let twice = || expected.strip_prefix('`').filter(|_| expected.ends_with("state it once"));
        let named = expected.strip_prefix("no member `").or_else(twice).and_then(|rest| rest.split('`').next());
        let named = named.map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")));
        if let Some(step) = named.filter(|step| !pointer.ends_with(step.as_str())) {
            pointer.push_str(&step);
        }
        SchemaError { pointer, expected }
    })?;
    de.end().map_err(|_| SchemaError::at("", "one JSON value and nothing after it"))?;
    Ok(value)
}

/// A JSON object's members in the order and the bytes in which they were written. Repeated keys are refused.
#[derive(Debug, Clone)]
pub struct Members(pub Vec<(String, Box<RawValue>)>);

impl Members {
    /// Takes a member out, if it is there.
    pub fn take(&mut self, key: &str) -> Option<Box<RawValue>> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(at).1)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members: Vec<(String, Box<RawValue>)> = Vec::new();
                // A set, because a body holds as many members as its sender likes.
                let mut names = HashSet::new();
                while let Some(key) = map.next_key::<String>()? {
                    if !names.insert(key.clone()) {
                        return Err(de::Error::custom(format!("`{key}` is there twice; state it once")));
                    }
                    members.push((key, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        de.deserialize_map(Visit)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        let mut map = ser.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

/// A member that must be stated although its value may be `null`.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(de: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(de)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "read for its errors")]
        inner: Vec<Inner>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "read for its errors")]
        state: String,
    }

    #[test]
    fn an_error_points_at_the_member() {
        let at = |text| read::<Outer>(text).unwrap_err();
        assert_eq!(at(r#"{"inner":[{"state":1}]}"#).pointer, "/inner/0/state");
        assert!(at(r#"{"inner":[{"state":"a","state":"b"}]}"#).expected.contains("`state` is there twice"));
        assert!(at(r#"{"inner":[],"x":1}"#).expected.contains("no member `x`"));
        assert!(at(r#"{"inner":[]} 1"#).expected.contains("something follows the JSON value"));
    }

    #[test]
    fn members_keep_their_bytes_and_refuse_a_repeated_key() {
        let mut members: Members = read(r#"{"b": 1.0, "personal":{"email":"x"}, "a":[ 1 ]}"#).unwrap();
        assert_eq!(members.take("personal").unwrap().get(), r#"{"email":"x"}"#);
        assert_eq!(serde_json::to_string(&members).unwrap(), r#"{"b":1.0,"a":[ 1 ]}"#);
        assert!(read::<Members>(r#"{"a":1,"a":1}"#).is_err());
    }

    #[test]
    fn an_object_of_very_many_members_is_read_in_one_pass() {
        // Each member held against all before it would be twenty thousand million comparisons: minutes.
        let members: Vec<String> = (0..200_000).map(|i| format!("\"k{i:06}\":1")).collect();
        let read: Members = read(&format!("{{{}}}", members.join(","))).unwrap();
        assert_eq!(read.0.len(), 200_000);
    }
}
