//! One CloudEvents 1.0 event: its attributes, strictly. Knows nothing of what its data may say.

use chrono::{DateTime, Utc};
use rollcall_events::{json, time::parse_instant};
use rollcall_ingest::connector::{Headers, MappedEvent, MappingError, Problem, ProblemType, SenderId};

use crate::authentication::HeadersCovered;

/// An attribute as it was written.
struct Attribute {
    name: String,
    text: String,
    /// Whether it was a text, not a bare number or truth value.
    quoted: bool,
}

/// An event before its attributes are judged.
#[derive(Default)]
struct Draft {
    attributes: Vec<Attribute>,
    data: Option<String>,
}

/// An event in the JSON format.
pub(crate) fn structured(event: &str) -> Result<MappedEvent, MappingError> {
    let mut draft = Draft::default();
    let filled = fill_structured(&mut draft, event);
    draft.finish(filled)
}

/// An event whose attributes are headers and whose data is the body.
pub(crate) fn binary(_: &HeadersCovered, headers: &Headers, body: &str) -> Result<MappedEvent, MappingError> {
    let mut draft = Draft { data: Some(body.to_owned()), ..Draft::default() };
    let filled = fill_binary(&mut draft, headers);
    draft.finish(filled)
}

fn invalid(name: &str, detail: impl std::fmt::Display) -> Problem {
    Problem::at(ProblemType::InvalidEnvelope, format!("/{}", name.replace('~', "~0").replace('/', "~1")), detail)
}

/// What is wrong with a text that was found by its quotes.
fn not_a_text(raw: &str) -> String {
    json::syntax_error(raw.as_bytes()).map_or_else(|| "a text in quotes".to_owned(), |error| error.what)
}

fn fill_structured(draft: &mut Draft, event: &str) -> Result<(), Problem> {
    let members: json::Members = json::read(event).map_err(|error| Problem::of(ProblemType::InvalidEnvelope, error))?;
    let mut wrong = Ok(());
    for (name, raw) in members.0 {
        let raw = raw.get();
        match (name.as_str(), raw.as_bytes().first()) {
            // "Unset attributes MAY be encoded as null" (CloudEvents JSON format, 2.1).
            (_, Some(b'n')) => {}
            ("data", _) => draft.data = Some(raw.to_owned()),
            ("data_base64", _) => wrong = Err(invalid(&name, "send the JSON itself as `data`, not base64")),
            (_, Some(b'{' | b'[')) => {
                wrong = Err(invalid(&name, "an attribute is a text, a number or a truth value"));
            }
            (_, Some(b'"')) => match serde_json::from_str(raw) {
                Ok(text) => draft.attributes.push(Attribute { name, text, quoted: true }),
                Err(_) => wrong = Err(invalid(&name, not_a_text(raw))),
            },
            _ => draft.attributes.push(Attribute { name, text: raw.to_owned(), quoted: false }),
        }
    }
    wrong
}

fn fill_binary(draft: &mut Draft, headers: &Headers) -> Result<(), Problem> {
    let mut wrong = Ok(());
    for (name, value) in headers.iter() {
        let Some(name) = name.strip_prefix("ce-") else { continue };
        if draft.attributes.iter().any(|known| known.name == name) {
            wrong = Err(invalid(name, "the header is there twice; state it once"));
        } else if let Some(text) = header_text(value) {
            draft.attributes.push(Attribute { name: name.to_owned(), text, quoted: true });
        } else {
            wrong = Err(invalid(name, "a header's value is UTF-8 under percent-encoding"));
        }
    }
    wrong
}

/// The text of a header (CloudEvents HTTP binding, 3.1.3.2): quotes off if it has them, then percent-decoding.
fn header_text(value: &str) -> Option<String> {
    // It stands for bytes that were no UTF-8: others would become the same text.
    if value.contains(char::REPLACEMENT_CHARACTER) {
        return None;
    }
    let unquoted = match value.strip_prefix('"') {
        None => value.to_owned(),
        Some(rest) => {
            let (mut text, mut escaped) = (String::new(), false);
            for c in rest.strip_suffix('"')?.chars() {
                if !escaped && c == '\\' {
                    escaped = true;
                } else if !escaped && c == '"' {
                    return None;
                } else {
                    (escaped, _) = (false, text.push(c));
                }
            }
            if escaped {
                return None;
            }
            text
        }
    };
    let mut bytes = unquoted.bytes();
    let mut decoded = Vec::with_capacity(unquoted.len());
    while let Some(byte) = bytes.next() {
        let hex = |b: u8| char::from(b).to_digit(16);
        decoded.push(match byte {
            b'%' => u8::try_from(hex(bytes.next()?)? << 4 | hex(bytes.next()?)?).ok()?,
            _ => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

impl Draft {
    /// What was said, or what is wrong, with id and type where they were found.
    fn finish(self, filled: Result<(), Problem>) -> Result<MappedEvent, MappingError> {
        let known = |name| self.find(name).filter(|found| found.quoted).map(|found| found.text.clone());
        let (id, kind) = (known("id"), known("type"));
        filled.and_then(|()| self.event()).map_err(|problem| MappingError { id, kind, problem })
    }

    fn find(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.find(name) {
            None => Ok(None),
            Some(Attribute { text, quoted: true, .. }) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(invalid(name, format!("`{name}` is a text in quotes that is not empty"))),
        }
    }

    fn required(&self, name: &str) -> Result<String, Problem> {
        self.text(name)?.ok_or_else(|| invalid(name, format!("the attribute `{name}` is missing")))
    }

    fn event(self) -> Result<MappedEvent, Problem> {
        let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        for Attribute { name, .. } in &self.attributes {
            // An extension that we do not know is allowed and means nothing to us; a name that cannot be one is a slip.
            if name.is_empty() || !name.bytes().all(lower) {
                return Err(invalid(name, "names of attributes are of a-z and 0-9"));
            }
        }
        let version = self.required("specversion")?;
        if version != "1.0" {
            return Err(invalid("specversion", "`specversion` is \"1.0\""));
        }
        if let Some(media) = self.text("datacontenttype")? {
            let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            if media != "application/json" && !media.ends_with("+json") {
                return Err(invalid("datacontenttype", "data is JSON: `application/json`, or leave it out"));
            }
        }
        let kind = self.required("type")?;
        Ok(MappedEvent {
            id: SenderId::OfEvent(self.required("id")?),
            minor: self.text("dataschema")?.and_then(|schema| minor(&schema, &kind)).unwrap_or_default(),
            kind,
            subject: self.text("subject")?,
            time: self.time()?,
            sequence: self.sequence()?,
            origin: Some(self.required("source")?),
            traceparent: self.find("traceparent").map(|found| found.text.clone()),
            // The same event has the same bytes, whichever way it travelled.
            data: match self.data.as_deref().map(|data| data.trim_matches([' ', '\t', '\r', '\n'])) {
                Some(data) if !data.is_empty() => data.to_owned(),
                _ => return Err(invalid("data", "the event has no data")),
            },
        })
    }

    fn time(&self) -> Result<Option<DateTime<Utc>>, Problem> {
        // One that is not in quotes is none: what it seems to be is told just so.
        let Some(Attribute { text, .. }) = self.find("time") else { return Ok(None) };
        parse_instant(text).map(Some).map_err(|error| invalid("time", format!("`time` is {error}")))
    }

    /// A published extension, a text there; bare numbers are common.
    fn sequence(&self) -> Result<Option<u64>, Problem> {
        let Some(Attribute { text, .. }) = self.find("sequence") else { return Ok(None) };
        let digits = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(sequence) if digits => Ok(Some(sequence)),
            _ => Err(invalid(
                "sequence",
                format!("`sequence` is a whole number from 0 to {}, such as \"42\" or 42", u64::MAX),
            )),
        }
    }
}

/// The minor version that `dataschema` names: it ends in the type, a point and a number, with or without `.json`. Whatever
/// else it says is allowed and means nothing to us.
fn minor(schema: &str, kind: &str) -> Option<u32> {
    let named = schema.strip_suffix(".json").unwrap_or(schema);
    let (before, number) = named.rsplit_once('.')?;
    before.ends_with(kind).then(|| number.parse().ok())?
}
