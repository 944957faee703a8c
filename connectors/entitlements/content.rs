//! The three ways in which CloudEvents travel over HTTP: structured, batch, binary. Which one is what the content type
//! says. Takes bodies apart; what an event's attributes may be is `cloudevents.rs`.

use rollcall_ingest::connector::{Headers, MappedEvent, MappingError, Problem, ProblemType};
use serde_json::value::RawValue;

use crate::cloudevents;

/// How many events one delivery may hold.
const MAX_EVENTS: usize = 10_000;

pub(crate) fn map(headers: &Headers, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>> {
    match events(headers, body) {
        Ok(mut events) => {
            let trace = headers.one("traceparent").ok().flatten();
            for event in events.iter_mut().flatten() {
                event.traceparent = event.traceparent.take().or_else(|| trace.map(str::to_owned));
            }
            events
        }
        Err(problem) => vec![Err(problem.into())],
    }
}

/// The events of a body, or what is wrong with it as a whole.
fn events(headers: &Headers, body: &[u8]) -> Result<Vec<Result<MappedEvent, MappingError>>, Problem> {
    let malformed = |error| Problem::at(ProblemType::Malformed, "", error);
    let stated = headers.one("content-type").map_err(|_| unsupported("two content types"))?.unwrap_or_default();
    let mut content_type = stated.split(';').map(str::trim);
    let media = content_type.next().unwrap_or_default().to_ascii_lowercase();
    for parameter in content_type.filter(|parameter| !parameter.is_empty()) {
        let parameter = parameter.to_ascii_lowercase().replace('"', "");
        if parameter.starts_with("charset=") && parameter != "charset=utf-8" {
            return Err(unsupported(stated));
        }
    }
    let text = || std::str::from_utf8(body).map_err(|error| malformed(format!("the body is not UTF-8: {error}")));
    match media.as_str() {
        "application/cloudevents+json" => {
            let text = text()?;
            // Told apart here, so that a cut body is not taken for an event with something wrong in it.
            let whole: &RawValue = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
            Ok(vec![cloudevents::structured(whole.get())])
        }
        "application/cloudevents-batch+json" => {
            let whole: Vec<&RawValue> = serde_json::from_str(text()?)
                .map_err(|error| malformed(format!("a batch is a JSON array of events: {error}")))?;
            if whole.len() > MAX_EVENTS {
                let detail = format!("{} events in one delivery, at most {MAX_EVENTS} are taken apart", whole.len());
                return Err(Problem::at(ProblemType::BatchTooLarge, "", detail));
            }
            Ok(whole.into_iter().map(|event| cloudevents::structured(event.get())).collect())
        }
        _ if headers.iter().any(|(name, _)| name.starts_with("ce-")) => {
            if media != "application/json" && !media.ends_with("+json") {
                return Err(unsupported(stated));
            }
            let text = text()?;
            Ok(vec![cloudevents::binary(headers, text)])
        }
        _ => Err(unsupported(stated)),
    }
}

fn unsupported(content_type: &str) -> Problem {
    let shown: String = content_type.chars().take(100).collect();
    let detail = format!(
        "content type `{}`: send `application/cloudevents+json`, `application/cloudevents-batch+json`, or \
         `application/json` with the attributes as `ce-` headers, in UTF-8",
        shown.escape_debug()
    );
    Problem::at(ProblemType::UnsupportedContentType, "", detail)
}
