//! What a schema expects where a document has something else, in words for whoever wrote the document. One vocabulary for
//! every body that comes in: what was expected, an example, and what is there instead. The reader of a type is the judge;
//! this is asked why it refused.

use serde_json::{Map, Value};

use crate::{SchemaError, time};

/// The first place of `document` that does not fit `schema`, a member of `root`, to which `$ref`s point. Nothing where the
/// schema, which knows less than the type, has nothing against it.
#[must_use]
pub fn mismatch(root: &Value, schema: &Value, document: &Value) -> Option<SchemaError> {
    Walk { root }.find(schema, document, String::new())
}

struct Walk<'a> {
    root: &'a Value,
}

impl<'a> Walk<'a> {
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        // A schema that refers to itself without an end is none.
        for _ in 0..16 {
            let Some(target) = schema.get("$ref").and_then(Value::as_str) else { break };
            let Some(found) = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) else { break };
            schema = found;
        }
        schema
    }

    fn find(&self, schema: &'a Value, document: &Value, at: String) -> Option<SchemaError> {
        let schema = self.resolve(schema);
        if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
            return all.iter().find_map(|one| self.find(one, document, at.clone()));
        }
        if let Some(choices) = choices(schema) {
            return self.find_in_choices(schema, choices, document, at);
        }
        let wrong = |found: String| Some(SchemaError::at(at.clone(), format!("{}; {found}", self.describe(schema))));
        let allowed = schema.get("enum").and_then(Value::as_array);
        if allowed.is_some_and(|all| !all.contains(document)) || schema.get("const").is_some_and(|one| one != document)
        {
            return wrong(found(document));
        }
        if !types(schema).is_empty() && !types(schema).iter().any(|one| is_of_type(one, schema, document)) {
            return wrong(found_instead(schema, document));
        }
        match document {
            Value::Object(members) => self.find_in_object(schema, members, at),
            Value::Array(items) => self.find_in_list(schema, items, at),
            Value::String(text) if is_instant(schema) => {
                time::parse_instant(text).err().map(|error| SchemaError::at(at.clone(), error))
            }
            _ => None,
        }
    }

    fn find_in_object(&self, schema: &'a Value, members: &Map<String, Value>, at: String) -> Option<SchemaError> {
        let empty = Map::new();
        let known = schema.get("properties").and_then(Value::as_object);
        let known_names = || known.unwrap_or(&empty).keys().map(|name| format!("`{name}`")).collect::<Vec<_>>();
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                let what = known.and_then(|known| known.get(name)).map(|schema| self.describe(schema));
                let what = what.map_or_else(String::new, |what| format!(": {what}"));
                return Some(SchemaError::at(at, format!("the member `{name}` is missing{what}")));
            }
        }
        let others = schema.get("additionalProperties");
        members.iter().find_map(|(name, value)| {
            let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            match (known.and_then(|known| known.get(name)), others) {
                (Some(schema), _) => self.find(schema, value, at),
                (None, Some(Value::Bool(false))) => {
                    let names = match known_names().as_slice() {
                        [] => "there are none here".to_owned(),
                        names => format!("the members here are {}", names.join(", ")),
                    };
                    Some(SchemaError::at(at, format!("no member `{}`; {names}", clipped(name))))
                }
                (None, Some(schema)) if schema.is_object() => self.find(schema, value, at),
                (None, _) => None,
            }
        })
    }

    fn find_in_list(&self, schema: &'a Value, items: &[Value], at: String) -> Option<SchemaError> {
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        let (least, most) = (bound("minItems"), bound("maxItems"));
        let count = items.len() as u64;
        if least.is_some_and(|least| count < least) || most.is_some_and(|most| count > most) {
            return Some(SchemaError::at(at, format!("{}; {count} are there", self.describe(schema))));
        }
        let each = schema.get("items")?;
        items.iter().enumerate().find_map(|(index, item)| self.find(each, item, format!("{at}/{index}")))
    }

    /// Of several shapes one fits, or the one that was meant says why not.
    fn find_in_choices(
        &self,
        schema: &'a Value,
        choices: &'a [Value],
        document: &Value,
        at: String,
    ) -> Option<SchemaError> {
        let wrong = || Some(SchemaError::at(at.clone(), format!("{}; {}", self.describe(schema), found(document))));
        let meant: Vec<&'a Value> = choices.iter().filter(|one| types(one) != ["null"]).collect();
        if choices.iter().any(|one| types(one) == ["null"]) && document.is_null() {
            return None;
        }
        // An object of one member, whose name says which shape it is.
        if let (Value::Object(members), true) = (document, meant.iter().any(|one| self.tag(one).is_some())) {
            let named = |one: &&&'a Value| self.tag(one).is_some_and(|tag| members.contains_key(tag));
            return match meant.iter().find(named) {
                Some(one) if members.len() == 1 => self.find(one, document, at),
                _ => wrong(),
            };
        }
        match meant.as_slice() {
            [one] => self.find(one, document, at),
            many if many.iter().any(|one| self.find(one, document, at.clone()).is_none()) => None,
            _ => wrong(),
        }
    }

    /// The name of the one member of an object that is one shape of several.
    fn tag(&self, schema: &'a Value) -> Option<&'a str> {
        let schema = self.resolve(schema);
        let properties = schema.get("properties")?.as_object()?;
        let required = schema.get("required")?.as_array()?;
        match (properties.len(), required.as_slice()) {
            (1, [Value::String(name)]) => Some(name),
            _ => None,
        }
    }

    /// What a schema expects, with an example.
    fn describe(&self, schema: &'a Value) -> String {
        let resolved = self.resolve(schema);
        if let Some(all) = resolved.get("allOf").and_then(Value::as_array) {
            return all.first().map_or_else(|| "something else".to_owned(), |one| self.describe(one));
        }
        if let Some(choices) = choices(resolved) {
            return self.describe_choices(choices);
        }
        if let Some(word) = only_value(resolved) {
            return word.to_string();
        }
        if let Some(all) = resolved.get("enum").and_then(Value::as_array) {
            return format!("one of {}", all.iter().map(Value::to_string).collect::<Vec<_>>().join(", "));
        }
        let all = types(resolved);
        let words: Vec<String> =
            all.iter().filter(|one| **one != "null").map(|one| self.describe_type(one, resolved)).collect();
        match (words.as_slice(), all.contains(&"null")) {
            ([], true) => "null".to_owned(),
            ([], false) => "another value".to_owned(),
            (words, true) => format!("{}, or null", words.join(" or ")),
            (words, false) => words.join(" or "),
        }
    }

    fn describe_type(&self, kind: &str, schema: &'a Value) -> String {
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        match kind {
            "string" if is_instant(schema) => time::FORM.to_owned(),
            "string" => "a text in quotes".to_owned(),
            "integer" => "a whole number without quotes, such as 10".to_owned(),
            "number" => "a number without quotes, such as 10".to_owned(),
            "boolean" => "true or false, without quotes".to_owned(),
            "array" => match (bound("minItems"), bound("maxItems")) {
                (Some(least), Some(most)) if least == most => format!("a list of {least}, `[..]`"),
                _ => "a list, `[..]`".to_owned(),
            },
            _ => {
                let required = schema.get("required").and_then(Value::as_array);
                let member = required.and_then(|all| all.first()).and_then(Value::as_str);
                member.map_or_else(|| "an object, `{..}`".to_owned(), |name| format!("an object, `{{\"{name}\": ..}}`"))
            }
        }
    }

    fn describe_choices(&self, choices: &'a [Value]) -> String {
        let (null, others): (Vec<&'a Value>, Vec<&'a Value>) = choices.iter().partition(|one| types(one) == ["null"]);
        let tags: Vec<&str> = others.iter().filter_map(|one| self.tag(one)).collect();
        let null = if null.is_empty() { "" } else { ", or null" };
        if let ([first, _, ..], true) = (tags.as_slice(), tags.len() == others.len()) {
            return format!("exactly one of {}, as in {{\"{first}\": ..}}{null}", tags.join(", "));
        }
        let word = |one: &&'a Value| match (only_value(self.resolve(one)), self.tag(one)) {
            (Some(word), _) => word.to_string(),
            (None, Some(tag)) => format!("{{\"{tag}\": ..}}"),
            (None, None) => self.describe(one),
        };
        let words: Vec<String> = others.iter().map(word).collect();
        match words.as_slice() {
            [one] => format!("{one}{null}"),
            many => format!("one of {}{null}", many.join(", ")),
        }
    }
}

/// The one value that a schema allows.
fn only_value(schema: &Value) -> Option<&Value> {
    match (schema.get("const"), schema.get("enum").and_then(Value::as_array).map(Vec::as_slice)) {
        (Some(one), _) | (None, Some([one])) => Some(one),
        _ => None,
    }
}

fn choices(schema: &Value) -> Option<&[Value]> {
    let found = schema.get("anyOf").or_else(|| schema.get("oneOf"))?;
    found.as_array().map(Vec::as_slice)
}

fn is_instant(schema: &Value) -> bool {
    schema.get("format").and_then(Value::as_str) == Some("date-time")
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_of_type(kind: &str, schema: &Value, document: &Value) -> bool {
    match (kind, document) {
        ("null", Value::Null)
        | ("string", Value::String(_))
        | ("boolean", Value::Bool(_))
        | ("object", Value::Object(_))
        | ("array", Value::Array(_))
        | ("number", Value::Number(_)) => true,
        ("integer", Value::Number(number)) => {
            let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
            let most = match format {
                "uint8" => u64::from(u8::MAX),
                "uint16" => u64::from(u16::MAX),
                "uint32" => u64::from(u32::MAX),
                "int32" => u64::from(i32::MAX.unsigned_abs()),
                _ => u64::MAX,
            };
            let least = schema.get("minimum").and_then(Value::as_i64);
            match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => {
                    value <= most && least.is_none_or(|least| i64::try_from(value).map_or(true, |v| v >= least))
                }
                (None, Some(value)) => least.is_none_or(|least| value >= least),
                (None, None) => false,
            }
        }
        _ => false,
    }
}

/// What is there, as its kind only: a value may be personal.
fn found(document: &Value) -> String {
    match document {
        Value::Null => "null is there".to_owned(),
        Value::Bool(value) => format!("{value} is there"),
        Value::Number(number) => format!("the number {number} is there"),
        Value::String(text) if text.is_empty() => "an empty text is there".to_owned(),
        Value::String(text)
            if text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-. ".contains(&b)) =>
        {
            format!("the text \"{text}\" is there")
        }
        Value::String(_) => "a text is there".to_owned(),
        Value::Array(_) => "a list is there".to_owned(),
        Value::Object(_) => "an object is there".to_owned(),
    }
}

/// As [`found`], with the slip that it looks like.
fn found_instead(schema: &Value, document: &Value) -> String {
    let Value::String(text) = document else { return found(document) };
    let kinds = types(schema);
    let inner = serde_json::from_str::<Value>(text).ok();
    match inner {
        Some(Value::Object(_)) if kinds.contains(&"object") => {
            "a text with an object in it is there: send the object itself, encoded once".to_owned()
        }
        Some(Value::Array(_)) if kinds.contains(&"array") => {
            "a text with a list in it is there: send the list itself, encoded once".to_owned()
        }
        Some(Value::Number(_)) if kinds.iter().any(|kind| ["integer", "number"].contains(kind)) => {
            "a number in quotes is there, which is a text".to_owned()
        }
        Some(Value::Bool(_)) if kinds.contains(&"boolean") => "a word in quotes is there, which is a text".to_owned(),
        _ => found(document),
    }
}

fn clipped(name: &str) -> String {
    name.chars().take(100).flat_map(char::escape_debug).collect()
}

/// A reader's own sentence in our words, where no schema says more.
#[must_use]
pub fn plain_words(message: &str) -> String {
    let message = match message.rsplit_once(" at line ") {
        Some((text, place)) if place.chars().all(|c| c.is_ascii_digit() || " column".contains(c)) => text,
        _ => message,
    };
    let member = |rest: &str| rest.split('`').next().unwrap_or_default().to_owned();
    if let Some(rest) = message.strip_prefix("missing field `") {
        return format!("the member `{}` is missing", member(rest));
    }
    if let Some(rest) = message.strip_prefix("duplicate field `") {
        return format!("`{}` is there twice; state it once", member(rest));
    }
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let names = rest.split_once(", expected ").map_or("", |(_, names)| names.trim_start_matches("one of "));
        let names =
            if names.is_empty() { "there are none here".to_owned() } else { format!("the members here are {names}") };
        return format!("no member `{}`; {names}", member(rest));
    }
    if let Some(rest) = message.strip_prefix("unknown variant `")
        && let Some((_, words)) = rest.split_once(", expected ")
    {
        return words.to_owned();
    }
    for start in ["invalid type: ", "invalid value: ", "invalid length "] {
        if let Some(rest) = message.strip_prefix(start)
            && let Some((found, expected)) = rest.rsplit_once(", expected ")
        {
            let found = found.split([' ', '`']).next().unwrap_or_default();
            return format!("{}; {} is there", expected_words(expected), found_words(found));
        }
    }
    if message == "expected value" { "another kind of value".to_owned() } else { message.to_owned() }
}

fn expected_words(word: &str) -> &str {
    match word {
        "a string" | "string" | "a borrowed string" | "str" => "a text in quotes",
        "a boolean" | "bool" => "true or false, without quotes",
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" => {
            "a whole number without quotes, such as 10"
        }
        "f32" | "f64" => "a number without quotes, such as 10",
        "a sequence" => "a list, `[..]`",
        "a map" | "map" | "a JSON object" => "an object, `{..}`",
        word if word.starts_with("struct ") => "an object, `{..}`",
        word if word.starts_with("an array") => "a list, `[..]`",
        word => word,
    }
}

fn found_words(word: &str) -> &'static str {
    match word {
        "string" => "a text",
        "integer" | "floating" => "a number",
        "boolean" => "a truth value",
        "null" => "null",
        "sequence" => "a list",
        "map" => "an object",
        _ => "something else",
    }
}
