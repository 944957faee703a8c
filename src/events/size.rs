//! How large what is said may be: the limits that stand in the schema of each type, asked of what is to be recorded. What is
//! recorded already is read whatever its size, as limits come later than events.

use serde_json::Value;

use crate::SchemaError;

/// Names and labels of things, in characters.
pub(crate) const NAME: usize = 512;
/// Words that are looked up: roles, rules, user names.
pub(crate) const WORD: usize = 256;
/// Texts that say how something is known or why: a DN, a reason, what was read.
pub(crate) const TEXT: usize = 4096;
/// How many words a list of them has.
pub(crate) const LIST: usize = 1024;
/// Addresses of people.
pub const EMAIL: usize = 320;
/// Display names of people.
pub const DISPLAY_NAME: usize = NAME;
/// The sender's own CloudEvents `source`.
pub const ORIGIN: usize = 2048;
/// The CloudEvents `subject`, where it is stated: it has three ids at most, and a character of one may be written as three.
pub(crate) const SUBJECT: usize = 3 * 3 * 256;
/// All that a source says in one event, in bytes: spaces, escapes and digits have no other limit.
pub(crate) const SAID: usize = 64 << 10;
/// A whole document that comes from the configuration, or what Rollcall says itself, in bytes.
pub(crate) const DOCUMENT: usize = 1 << 20;

/// No text of so many bytes can be longer than any limit: most events need no look.
const ALWAYS_FITS: usize = WORD;

/// Holds the data of an event against the sizes in the schema of its type, which is asked for where it matters, and all of
/// it against so many bytes.
pub(crate) fn check<'a>(
    schema: impl FnOnce() -> Option<&'a Value>,
    data: &str,
    most: usize,
) -> Result<(), SchemaError> {
    if data.len() <= ALWAYS_FITS {
        return Ok(());
    }
    if let (Some(schema), Ok(document)) = (schema(), serde_json::from_str(data)) {
        Limits { root: schema }.check(schema, &document)?;
    }
    match data.len() {
        bytes if bytes > most => Err(SchemaError::at("", format!("at most {most} bytes; {bytes} are there"))),
        _ => Ok(()),
    }
}

/// At most `most` characters of a text, as long as a schema lets it be.
#[must_use]
pub fn clipped(mut text: String, most: usize) -> String {
    if let Some((cut, _)) = text.char_indices().nth(most) {
        text.truncate(cut);
    }
    text
}

/// At most as many characters as a reason may have.
#[must_use]
pub fn clipped_reason(text: String) -> String {
    clipped(text, TEXT)
}

struct Limits<'a> {
    root: &'a Value,
}

impl Limits<'_> {
    fn check(&self, schema: &Value, document: &Value) -> Result<(), SchemaError> {
        let limit = |name: &str, count: usize, what: &str| match schema.get(name).and_then(Value::as_u64) {
            Some(most) if count as u64 > most => {
                Err(SchemaError::at("", format!("at most {most} {what}; {count} are there")))
            }
            _ => Ok(()),
        };
        if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#')) {
            self.root.pointer(target).map_or(Ok(()), |schema| self.check(schema, document))?;
        }
        for choices in ["anyOf", "oneOf", "allOf"] {
            let choices = schema.get(choices).and_then(Value::as_array);
            choices.into_iter().flatten().try_for_each(|choice| self.check(choice, document))?;
        }
        match document {
            // Bytes are never fewer than characters.
            Value::String(text) => {
                limit("maxLength", text.len(), "").or_else(|_| limit("maxLength", text.chars().count(), "characters"))
            }
            Value::Array(items) => {
                limit("maxItems", items.len(), "items")?;
                let Some(each) = schema.get("items") else { return Ok(()) };
                let check = |(n, item)| self.check(each, item).map_err(|error| error.under(&format!("/{n}")));
                items.iter().enumerate().try_for_each(check)
            }
            Value::Object(members) => {
                limit("maxProperties", members.len(), "members")?;
                let known = |name: &str| schema.get("properties").and_then(|known| known.get(name));
                let names = schema.get("propertyNames");
                members.iter().try_for_each(|(name, value)| {
                    if let Some(names) = names {
                        self.check(names, &Value::String(name.clone()))?;
                    }
                    let Some(schema) = known(name).or_else(|| schema.get("additionalProperties")) else {
                        return Ok(());
                    };
                    let step = || format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                    self.check(schema, value).map_err(|error| error.under(&step()))
                })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, body::SCHEMAS};

    /// The places of a schema at which something of any size may stand.
    fn without_limit(schema: &Value, at: &str, found: &mut Vec<String>) {
        let Some(object) = schema.as_object() else { return };
        let (has, bounded) = (|name: &str| object.contains_key(name), |name: &str| object[name].as_u64());
        let is = |kind: &str| match &object.get("type") {
            Some(Value::String(one)) => one == kind,
            Some(Value::Array(all)) => all.iter().any(|one| one == kind),
            _ => false,
        };
        if is("string") && !has("enum") && !has("const") && !has("format") {
            match has("maxLength").then(|| bounded("maxLength")).flatten() {
                None => found.push(at.to_owned()),
                Some(most) => assert!(most >= ALWAYS_FITS as u64 || has("pattern"), "{at} needs a look at every event"),
            }
        }
        if is("array") && !has("maxItems") {
            found.push(at.to_owned());
        }
        let open = object.get("additionalProperties").is_some_and(|others| *others != false);
        if is("object") && open && !(has("maxProperties") && has("propertyNames")) {
            found.push(at.to_owned());
        }
        for (name, inner) in object {
            let at = format!("{at}/{name}");
            match (name.as_str(), inner) {
                ("properties" | "$defs", Value::Object(all)) => {
                    all.iter().for_each(|(name, inner)| without_limit(inner, &format!("{at}/{name}"), found));
                }
                ("anyOf" | "oneOf" | "allOf", Value::Array(all)) => {
                    all.iter().for_each(|inner| without_limit(inner, &at, found));
                }
                ("items" | "additionalProperties", inner) => without_limit(inner, &at, found),
                _ => {}
            }
        }
    }

    #[test]
    fn every_text_list_and_map_of_the_vocabulary_has_a_limit() {
        let mut found = Vec::new();
        for (kind, schema) in SCHEMAS.iter() {
            without_limit(schema, kind, &mut found);
        }
        assert_eq!(found, [] as [String; 0], "{} places", found.len());
    }

    #[test]
    fn what_is_longer_than_its_limit_is_refused_with_its_place_and_read_all_the_same_where_it_is_recorded() {
        let name = |n: usize| "é".repeat(n);
        let account = |n| format!(r#"{{"account":"a","kind":"customer","name":"{}"}}"#, name(n));
        let binding = format!(
            r#"{{"principal":{{"user":"x/1"}},"role":"{}","scope":"root","author":"admin key"}}"#,
            name(WORD + 1)
        );
        let switches: Vec<String> = (0..300).map(|n| format!(r#""s{n}":"on""#)).collect();
        let many = format!(r#"{{"switches":{{{}}}}}"#, switches.join(","));
        let huge = format!(r#"{{"name":"{}"}}"#, "x".repeat(DOCUMENT));
        for (kind, data, pointer, says) in [
            ("account.upserted", account(900_000), "/data/name", "at most 512 characters; 900000 are there"),
            ("account.upserted", account(NAME + 1), "/data/name", "513 are there"),
            ("binding.set", binding, "/data/role", "at most 256 characters"),
            ("settings.set", many, "/data/switches", "at most 256 members; 300 are there"),
            ("profile.set", huge, "/data", "bytes"),
        ] {
            let kind = format!("rollcall.{kind}.v1");
            let error = Body::parse_new(&kind, &data).unwrap_err();
            assert_eq!(error.pointer, pointer, "{error}");
            assert!(error.expected.contains(says), "{error}");
            let read = Body::parse(&kind, &data).expect("what is recorded is read");
            assert_eq!(read.check_size().unwrap_err().under("/data"), error);
        }
        assert!(Body::parse_new("rollcall.account.upserted.v1", &account(NAME)).is_ok());
    }

    #[test]
    fn what_a_source_says_has_few_bytes_also_where_no_text_is_long() {
        let account = |space: usize| format!(r#"{{"account":{}"a","kind":"customer"}}"#, " ".repeat(space));
        let kind = "rollcall.account.upserted.v1";
        let error = Body::parse_new(kind, &account(900_000)).unwrap_err();
        assert_eq!(
            (error.pointer.as_str(), error.expected.as_str()),
            ("/data", "at most 65536 bytes; 900033 are there")
        );
        assert!(Body::parse(kind, &account(900_000)).is_ok(), "what is recorded is read");
        assert!(Body::parse_new(kind, &account(60_000)).is_ok());
    }
}
