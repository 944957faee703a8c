//! `map test`: what a source that posts would make of a body. Asks no server and records nothing.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use rollcall_access::profile::nearest;
use rollcall_events::{Clock, Order, SourceName};
use rollcall_ingest::{
    DeliveryId, ValidEvent,
    connector::{Headers, Hook, MappingError, Problem},
    validate,
};
use serde_json::{Value, json};

use crate::{
    cli::output::{ColorMode, OutputFormat, cell, table},
    client::{Exit, Failure},
    config::load::Loaded,
    server::clock::SystemClock,
};

/// What a body comes to.
struct Tried {
    file: String,
    facts: Vec<ValidEvent>,
    quarantined: Vec<(Option<String>, Problem)>,
}

/// `map test`.
///
/// # Errors
/// There is no such source, it posts nothing, or a sample cannot be read.
pub fn test(loaded: &Loaded, format: OutputFormat, source: &str, samples: &[PathBuf]) -> Result<Exit, Failure> {
    let sources = &loaded.config.source;
    let known = source.parse::<SourceName>().ok().and_then(|name| sources.get_key_value(&name));
    let Some((name, configured)) = known else {
        let near = nearest(source, sources.keys().map(SourceName::as_str));
        let near = if near.is_empty() { "none is configured".to_owned() } else { format!("the nearest is `{near}`") };
        return Err(Failure::Usage(format!("there is no source `{source}`; {near}")));
    };
    let Some(posts) = loaded.sources.get(name).and_then(|source| source.hook.as_ref()) else {
        return Err(Failure::Usage(format!("the source `{name}` posts nothing, so there is nothing to map")));
    };
    let most = posts.max_body.unwrap_or(loaded.config.server.max_body);
    let now = SystemClock.now();
    let mut tried = Vec::new();
    for sample in samples {
        let file = sample.display().to_string();
        let body = fs::read(sample).with_context(|| format!("{file} cannot be read"))?;
        if body.len() > most.bytes() {
            return Err(Failure::Usage(format!("{file} has {} bytes, of the source {most} are taken", body.len())));
        }
        tried.push(Tried::of(file, posts.hook.as_ref(), (name, configured.order()), &body, now));
    }
    let answer = tried.iter().map(Tried::json).collect();
    format.print(&answer, |paint| tried.iter().map(|tried| tried.text(paint)).collect::<Vec<_>>().join("\n"));
    Ok(if tried.iter().all(|tried| tried.quarantined.is_empty()) { Exit::Yes } else { Exit::No })
}

impl Tried {
    fn of(
        file: String,
        hook: &dyn Hook,
        (source, order): (&SourceName, Order),
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Self {
        let headers: Headers = [("content-type", "application/cloudevents+json")].into_iter().collect();
        let delivery = DeliveryId::new(now, [0; 10]);
        let (mut facts, mut quarantined) = (Vec::new(), Vec::new());
        for part in hook.map(&headers, body) {
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
        let mut out = format!("{}  {facts}, {} quarantined\n", paint.bold(&cell(&self.file)), self.quarantined.len());
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
