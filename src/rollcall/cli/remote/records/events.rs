//! `events`: reads the log, and follows it.

use std::time::Duration;

use rollcall_app::{
    CausedByKind,
    operations::{events::Event, log::SignedHead},
};
use rollcall_events::visible::visible_json;

use crate::{
    cli::{
        args::EventsCommand,
        output::{ColorMode, OutputFormat, cell, escape_controls, group_digits, print},
        remote::request::{api_path, query_of},
    },
    client::{Client, Exit, Failure, Reply},
};

/// How long one question for new events waits: shorter than a server lets requests finish that are under way.
const FOLLOW_WAIT: Duration = Duration::from_secs(5);

/// `events`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &EventsCommand) -> Result<Exit, Failure> {
    const DEFAULT_TAIL: usize = 20;
    let (kind, source, subject, correlation, follow, after) = match command {
        EventsCommand::Tail { kind, source, subject, correlation, follow, after } => {
            (kind, source, subject, correlation, follow, after)
        }
        EventsCommand::Show { event } => {
            let event = client.get::<Event>(&api_path(&["events", event]), &[]).await?;
            format.print(&event.json, |paint| in_full(paint, &event.value));
            return Ok(Exit::Yes);
        }
    };
    let query = query_of([("type", kind), ("source", source), ("subject", subject), ("correlation", correlation)]);
    let head = client.get::<SignedHead>(&api_path(&["log", "head"]), &[]).await?.value.position;
    // Without a filter the last ones are near the head; with one they may be anywhere.
    let start = after.unwrap_or(if query.is_empty() { head.saturating_sub(DEFAULT_TAIL as u64) } else { 0 });
    let mut from = query.clone();
    from.push(("after", start.to_string()));
    let found = client.all_pages::<Event>(&api_path(&["events"]), &from, usize::MAX).await?.each();
    let skipped = if after.is_some() { 0 } else { found.len().saturating_sub(DEFAULT_TAIL) };
    found.iter().skip(skipped).for_each(|event| print_event(format, event));
    let mut seen = found.last().map_or(0, |event| event.value.position.0).max(head);
    if !*follow {
        // Silence would be taken for an answer about something that is misspelled.
        if let (Some(subject), true) = (subject, found.is_empty()) {
            let subject = escape_controls(subject);
            return Err(Failure::Refused(format!("No event of that kind is about `{subject}`.")));
        }
        return Ok(Exit::Yes);
    }
    loop {
        if let Some((found, reached)) = client.events_after(seen, &query, FOLLOW_WAIT).await? {
            found.iter().for_each(|event| print_event(format, event));
            seen = reached.max(seen);
        }
    }
}

fn print_event(format: OutputFormat, event: &Reply<Event>) {
    let Reply { json, value } = event;
    match format {
        OutputFormat::Json => print(&visible_json(&format!("{json}\n"))),
        OutputFormat::Text(paint) => {
            let effect = cell(&value.effect);
            let effect = match effect.as_str() {
                "applied" => paint.good(&effect),
                "refused" | "parked" => paint.bad(&effect),
                _ => paint.dim(&effect),
            };
            let kind = cell(&value.kind);
            let kind = kind.trim_start_matches("rollcall.").trim_end_matches(".v1");
            print(&format!(
                "{:>8}  {}  {:<12}  {:<28}  {:<36}  {effect}{}\n",
                group_digits(value.position.0),
                paint.dim(&cell(&value.recorded_at)),
                cell(&value.source),
                kind,
                cell(&value.subject),
                given_by(paint, value),
            ));
        }
    }
}

/// Who gave a command; a source stands in a column of its own.
fn given_by(paint: ColorMode, event: &Event) -> String {
    match event.caused_by.kind {
        CausedByKind::Source => String::new(),
        _ => format!("  {}", paint.dim(&format!("by {}", escape_controls(&event.caused_by.text())))),
    }
}

/// An event with everything that is recorded of it, and what it did.
fn in_full(paint: ColorMode, event: &Event) -> String {
    let data = event.data.as_ref().and_then(|data| serde_json::from_str::<serde_json::Value>(data.get()).ok());
    let lines = [
        ("type", cell(&event.kind)),
        ("subject", cell(&event.subject)),
        ("source", cell(&event.source)),
        ("id", cell(&event.id)),
        ("recorded", cell(&event.recorded_at)),
        ("time", cell(&event.time)),
        ("sequence", cell(&event.sequence)),
        ("came with", cell(&event.correlationid)),
        ("origin", cell(&event.origin)),
        ("trace", cell(&event.traceparent)),
        ("caused by", escape_controls(&event.caused_by.text())),
        ("with", cell(&event.caused_by.secret)),
        ("effect", cell(&event.effect)),
        ("why", cell(&event.reason)),
    ];
    let mut out = format!("{}\n", paint.bold(&format!("event {}", group_digits(event.position.0))));
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        out.push_str(&format!("{}  {value}\n", paint.dim(&format!("{name:<9}"))));
    }
    let data = data.map(|data| format!("{data:#}")).unwrap_or_default();
    for line in visible_json(&data).lines() {
        out.push_str(&format!("  {}\n", escape_controls(line)));
    }
    out
}
