//! `map`: what a source that posts would make of a body, and the mappings that come with Rollcall. Asks no server and records
//! nothing.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use rollcall_access::profile::nearest;
use rollcall_entitlements::{Format, SHIPPED};
use rollcall_events::{Clock, Order, SourceName};
use rollcall_ingest::{
    DeliveryId, ValidEvent,
    connector::{Headers, MappingError, Problem},
    validate,
};
use serde_json::{Value, json};

use crate::{
    cli::{
        args::Global,
        context::problems_as_failure,
        output::{ColorMode, OutputFormat, cell, table},
    },
    client::{Exit, Failure},
    config::{discover::discover_source, sources::in_place},
    server::clock::SystemClock,
    values::ByteSize,
};

/// No source may send more in one delivery, however it is configured.
const MAX_SAMPLE: ByteSize = ByteSize(64 << 20);

/// What a body comes to.
struct Tried {
    file: String,
    facts: Vec<ValidEvent>,
    quarantined: Vec<(Option<String>, Problem)>,
}

/// `map test`. Of the configuration only the source is asked for, and no secret of it.
///
/// # Errors
/// There is no such source, it posts nothing, or a sample cannot be read.
pub fn test(global: &Global, format: OutputFormat, source: &str, samples: &[PathBuf]) -> Result<Exit, Failure> {
    let found = discover_source(global.config.as_deref(), source);
    let (name, configured, origins) = found.map_err(|problems| problems_as_failure(&problems))?;
    let Some(posted) = configured.format() else {
        return Err(Failure::Usage(format!("the source `{name}` posts nothing, so there is nothing to map")));
    };
    let table = format!("source.{name}");
    let posted = posted.map_err(|errors| {
        let problems: Vec<_> = errors.into_iter().map(|error| in_place(error, &table, &origins)).collect();
        problems_as_failure(&problems)
    })?;
    let now = SystemClock.now();
    let mut tried = Vec::new();
    for sample in samples {
        let file = sample.display().to_string();
        let body = fs::read(sample).with_context(|| format!("{file} cannot be read"))?;
        if body.len() > MAX_SAMPLE.bytes() {
            let bytes = body.len();
            return Err(Failure::Usage(format!(
                "{file} has {bytes} bytes, at most {MAX_SAMPLE} are taken of a delivery"
            )));
        }
        tried.push(Tried::of(file, &posted, (&name, configured.order()), &body, now));
    }
    let answer = tried.iter().map(Tried::json).collect();
    format.print(&answer, |paint| tried.iter().map(|tried| tried.text(paint)).collect::<Vec<_>>().join("\n"));
    Ok(if tried.iter().all(|tried| tried.quarantined.is_empty()) { Exit::Yes } else { Exit::No })
}

/// `map show`.
///
/// # Errors
/// None of this name comes with Rollcall.
pub fn show(format: OutputFormat, name: &str) -> Result<Exit, Failure> {
    let Some((_, text)) = SHIPPED.iter().find(|(known, _)| *known == name) else {
        let near = nearest(name, SHIPPED.iter().map(|(known, _)| *known));
        return Err(Failure::Usage(format!("no mapping `{name}` comes with Rollcall; the nearest is `{near}`")));
    };
    format.print(&json!({"name": name, "mapping": text}), |_| (*text).to_owned());
    Ok(Exit::Yes)
}

impl Tried {
    fn of(
        file: String,
        posted: &Format,
        (source, order): (&SourceName, Order),
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Self {
        let headers: Headers = [("content-type", "application/cloudevents+json")].into_iter().collect();
        let delivery = DeliveryId::new(now, [0; 10]);
        let (mut facts, mut quarantined) = (Vec::new(), Vec::new());
        for part in posted.map(&headers, body) {
            match part {
                Ok(event) => {
                    let kind = event.kind.clone();
                    match validate(source, order, &delivery, now, now, event) {
                        Ok(fact) => facts.push(fact),
                        Err(problem) => quarantined.push((Some(kind), problem)),
                    }
                }
                Err(MappingError { kind, problem, .. }) => quarantined.push((kind, problem)),
            }
        }
        Self { file, facts, quarantined }
    }

    fn json(&self) -> Value {
        let facts = self.facts.iter().map(|fact| {
            let event = &fact.event;
            let personal = fact.personal.as_ref();
            json!({
                "type": event.kind, "subject": event.subject, "id": event.key.id, "time": event.time,
                "sequence": event.sequence, "data": data(fact),
                "personal": personal.map(|personal| json!({"email": personal.email, "name": personal.name})),
            })
        });
        let quarantined = self.quarantined.iter().map(|(kind, problem)| json!({"event": kind, "problem": problem}));
        json!({
            "sample": self.file, "facts": facts.collect::<Vec<_>>(), "quarantined": quarantined.collect::<Vec<_>>(),
        })
    }

    fn text(&self, paint: ColorMode) -> String {
        let facts = match self.facts.len() {
            0 => "no fact".to_owned(),
            1 => "1 fact".to_owned(),
            n => format!("{n} facts"),
        };
        let ignored = self.facts.is_empty() && self.quarantined.is_empty();
        let ignored = if ignored { ": it is ignored" } else { "" };
        let quarantined = self.quarantined.len();
        let mut out = format!("{}  {facts}, {quarantined} quarantined{ignored}\n", paint.bold(&cell(&self.file)));
        if !self.facts.is_empty() {
            let rows: Vec<_> = self.facts.iter().map(row).collect();
            out.push_str(&table(paint, &["FACT", "SUBJECT", "ORDER", "DATA"], &rows));
        }
        for (kind, problem) in &self.quarantined {
            let at = if problem.pointer.is_empty() { "the whole" } else { &problem.pointer };
            let of = kind.as_deref().map_or_else(String::new, |kind| format!("  {}", short(kind)));
            let what = format!("{}  {}{}\n    {}\n", problem.kind, cell(&at), of, cell(&problem.detail));
            out.push_str(&format!("{} {what}", paint.bad("✗")));
        }
        out
    }
}

fn row(fact: &ValidEvent) -> Vec<String> {
    let event = &fact.event;
    let order = match (event.sequence, event.time) {
        (Some(sequence), _) => sequence.to_string(),
        (None, Some(time)) => rollcall_events::time::for_people(time),
        (None, None) => "as it arrives".to_owned(),
    };
    // What is personal stands beside the log.
    let personal = fact.personal.as_ref().map_or_else(String::new, |personal| {
        format!("  beside the log: {}", json!({"email": personal.email, "name": personal.name}))
    });
    let data = format!("{}{personal}", data(fact));
    vec![short(&event.kind).to_owned(), cell(&event.subject), order, cell(&data)]
}

fn data(fact: &ValidEvent) -> Value {
    serde_json::from_str(&fact.event.data).unwrap_or_default()
}

fn short(kind: &str) -> &str {
    kind.strip_prefix("rollcall.").and_then(|kind| kind.strip_suffix(".v1")).unwrap_or(kind)
}
