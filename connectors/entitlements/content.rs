//! The three ways in which CloudEvents travel over HTTP: structured, batch, binary. Which one is what the content type
//! says; as no body can be read as two of them, a false one makes no other facts of it. Takes bodies apart; what an event's
//! attributes may be is `cloudevents.rs`.

use std::fmt;

use rollcall_events::json::{self, SyntaxError};
use rollcall_ingest::connector::{Headers, MappedEvent, MappingError, Problem, ProblemType};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{authentication::HeadersCovered, cloudevents};

/// How many events one delivery may hold.
const MAX_EVENTS: usize = 10_000;

pub(crate) fn map(
    headers: &Headers,
    body: &[u8],
    covered: Option<HeadersCovered>,
) -> Vec<Result<MappedEvent, MappingError>> {
    events(headers, body, covered.as_ref()).unwrap_or_else(|problem| vec![Err(problem.into())])
}

/// The events of a body, or what is wrong with it as a whole.
fn events(
    headers: &Headers,
    body: &[u8],
    covered: Option<&HeadersCovered>,
) -> Result<Vec<Result<MappedEvent, MappingError>>, Problem> {
    let stated = headers.one("content-type").map_err(|_| unsupported("two content types"))?.unwrap_or_default();
    let mut content_type = stated.split(';').map(str::trim);
    let media = content_type.next().unwrap_or_default().to_ascii_lowercase();
    for parameter in content_type.filter(|parameter| !parameter.is_empty()) {
        let parameter = parameter.to_ascii_lowercase().replace('"', "");
        if parameter.starts_with("charset=") && parameter != "charset=utf-8" {
            return Err(unsupported(stated));
        }
    }
    // The signature is over it, and to every reader it means nothing.
    let body = json::without_mark(body);
    match media.as_str() {
        "application/cloudevents+json" => Ok(vec![structured(body)]),
        "application/cloudevents-batch+json" => batch(body),
        _ if headers.iter().any(|(name, _)| name.starts_with("ce-")) => {
            let Some(covered) = covered else { return Err(binary_mode()) };
            if media != "application/json" && !media.ends_with("+json") {
                return Err(unsupported(stated));
            }
            let text = std::str::from_utf8(body).map_err(|_| malformed(body))?;
            Ok(vec![cloudevents::binary(covered, headers, text)])
        }
        _ => Err(unsupported(stated)),
    }
}

/// The events of a batch, each by itself: one that is no JSON touches no other.
fn batch(body: &[u8]) -> Result<Vec<Result<MappedEvent, MappingError>>, Problem> {
    let too_many = |count: usize| {
        let detail = format!("{count} events in one delivery, at most {MAX_EVENTS} are taken apart; send several");
        Err(Problem::at(ProblemType::BatchTooLarge, "", detail))
    };
    let strict: Option<Batch<'_>> = std::str::from_utf8(body).ok().and_then(|text| serde_json::from_str(text).ok());
    if let Some(Batch { whole, count }) = strict {
        if count > MAX_EVENTS {
            return too_many(count);
        }
        return Ok(whole.into_iter().map(|event| cloudevents::structured(event.get())).collect());
    }
    let list = |error: SyntaxError| {
        let place = json::place(body, error.at);
        Problem::at(ProblemType::Malformed, "", format!("a batch is a list of events: {error} ({place})"))
    };
    let found = json::split_list(body, MAX_EVENTS).map_err(list)?;
    if found.count > MAX_EVENTS {
        return too_many(found.count);
    }
    let mut events: Vec<_> = found.whole.iter().map(|event| structured(event)).collect();
    if let Some(stopped) = found.stopped {
        let detail = format!(
            "event {} of the batch and all after it cannot be told apart: {stopped} ({}, byte {}). What is before it was \
             taken; mend it and send the rest again",
            found.count + 1,
            json::place(body, stopped.at),
            stopped.at
        );
        events.push(Err(Problem::at(ProblemType::Malformed, "", detail).into()));
    }
    Ok(events)
}

/// The events of a batch that is JSON. A list can have millions of elements: more than are taken apart are only counted.
struct Batch<'a> {
    whole: Vec<&'a RawValue>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Batch<'a> {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Batch<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of events")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Batch<'de>, A::Error> {
                let mut batch = Batch { whole: Vec::new(), count: 0 };
                while let Some(event) = all.next_element()? {
                    batch.count += 1;
                    if batch.count <= MAX_EVENTS {
                        batch.whole.push(event);
                    }
                }
                Ok(batch)
            }
        }
        de.deserialize_seq(Visit)
    }
}

/// An event that may be no JSON at all.
fn structured(event: &[u8]) -> Result<MappedEvent, MappingError> {
    match std::str::from_utf8(event) {
        // Told apart here, so that a cut body is not taken for an event with something wrong in it.
        Ok(text) if serde_json::from_str::<&RawValue>(text).is_ok() => cloudevents::structured(text),
        _ => {
            let text = |member| json::find_text(event, member);
            Err(MappingError { id: text("id"), kind: text("type"), problem: malformed(event) })
        }
    }
}

fn malformed(bytes: &[u8]) -> Problem {
    if bytes.is_empty() {
        return Problem::at(ProblemType::Malformed, "", "no event is there: a `,` too many stands before or behind it");
    }
    let detail = match json::syntax_error(bytes) {
        Some(error) => format!("{error} ({} of the event)", json::place(bytes, error.at)),
        None => "it is no JSON".to_owned(),
    };
    Problem::at(ProblemType::Malformed, "", detail)
}

fn binary_mode() -> Problem {
    let detail = "the attributes are in `ce-` headers (binary mode), and the signature that authenticates this source covers \
                  only the body: whoever saw a delivery could send it again with other attributes. Send \
                  `application/cloudevents+json`, which is signed whole, or authenticate the source by a bearer token or a \
                  client certificate (`authentication`)";
    Problem::at(ProblemType::BinaryMode, "", detail)
}

fn unsupported(content_type: &str) -> Problem {
    let shown: String = content_type.chars().take(100).collect();
    let detail = format!(
        "content type `{}`: send `application/cloudevents+json` or `application/cloudevents-batch+json`, in UTF-8; \
         `application/json` with the attributes as `ce-` headers where a token or a certificate authenticates",
        shown.escape_debug()
    );
    Problem::at(ProblemType::UnsupportedContentType, "", detail)
}
