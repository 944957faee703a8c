//! `events`: reads the log, and follows it.

use std::time::Duration;

use serde_json::Value;

use crate::{
    cli::{
        args::Events,
        output::{OutputFormat, field_text, group_digits, print},
        remote::request::api_path,
    },
    client::{Client, Exit, Failure},
};

/// How long one question for new events waits: shorter than a server lets requests finish that are under way.
const FOLLOW_WAIT: Duration = Duration::from_secs(5);

/// `events`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &Events) -> Result<Exit, Failure> {
    const DEFAULT_TAIL: usize = 20;
    let Events::Tail { kind, source, subject, correlation, follow, after } = command;
    let filters = [("type", kind), ("source", source), ("subject", subject), ("correlation", correlation)];
    let query: Vec<(&str, String)> =
        filters.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect();
    let head = client.get(&api_path(&["log", "head"]), &[]).await?;
    let head = head.get("position").and_then(Value::as_u64).unwrap_or_default();
    // Without a filter the last ones are near the head; with one they may be anywhere.
    let start = after.unwrap_or(if query.is_empty() { head.saturating_sub(DEFAULT_TAIL as u64) } else { 0 });
    let mut from = query.clone();
    from.push(("after", start.to_string()));
    let found = client.all_pages(&api_path(&["events"]), &from, usize::MAX).await?;
    let skipped = if after.is_some() { 0 } else { found.len().saturating_sub(DEFAULT_TAIL) };
    found.iter().skip(skipped).for_each(|event| print_event(format, event));
    let mut seen = found.last().and_then(|event| event.get("position")).and_then(Value::as_u64).unwrap_or(0).max(head);
    if !*follow {
        return Ok(Exit::Yes);
    }
    loop {
        if let Some((found, reached)) = client.events_after(seen, &query, FOLLOW_WAIT).await? {
            found.iter().for_each(|event| print_event(format, event));
            seen = reached.max(seen);
        }
    }
}

fn print_event(format: OutputFormat, event: &Value) {
    match format {
        OutputFormat::Json => print(&format!("{event}\n")),
        OutputFormat::Text(paint) => {
            let effect = field_text(event, "effect");
            let effect = match effect.as_str() {
                "applied" => paint.good(&effect),
                "refused" | "parked" => paint.bad(&effect),
                _ => paint.dim(&effect),
            };
            let position = event.get("position").and_then(Value::as_u64).unwrap_or_default();
            let kind = field_text(event, "type");
            let kind = kind.trim_start_matches("rollcall.").trim_end_matches(".v1");
            print(&format!(
                "{:>8}  {}  {:<12}  {:<28}  {:<36}  {effect}\n",
                group_digits(position),
                paint.dim(&field_text(event, "recorded_at")),
                field_text(event, "source"),
                kind,
                field_text(event, "subject"),
            ));
        }
    }
}
