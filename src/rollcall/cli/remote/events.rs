//! `events`: reads the log, and follows it.

use std::time::Duration;

use serde_json::Value;

use crate::{
    cli::{
        args::Events,
        output::{Form, cell, number, say},
        remote::request::api,
    },
    client::{Client, Exit, Failure},
};

/// How long one question for new events waits: shorter than a server lets requests finish that are under way.
const FOLLOW: Duration = Duration::from_secs(5);

/// `events`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, form: Form, command: &Events) -> Result<Exit, Failure> {
    const SHOWN: usize = 20;
    let Events::Tail { kind, source, subject, correlation, follow, after } = command;
    let filters = [("type", kind), ("source", source), ("subject", subject), ("correlation", correlation)];
    let query: Vec<(&str, String)> =
        filters.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect();
    let head = client.get(&api(&["log", "head"]), &[]).await?;
    let head = head.get("position").and_then(Value::as_u64).unwrap_or_default();
    // Without a filter the last ones are near the head; with one they may be anywhere.
    let start = after.unwrap_or(if query.is_empty() { head.saturating_sub(SHOWN as u64) } else { 0 });
    let mut from = query.clone();
    from.push(("after", start.to_string()));
    let found = client.list(&api(&["events"]), &from, usize::MAX).await?;
    let skipped = if after.is_some() { 0 } else { found.len().saturating_sub(SHOWN) };
    found.iter().skip(skipped).for_each(|event| print_event(form, event));
    let mut seen = found.last().and_then(|event| event.get("position")).and_then(Value::as_u64).unwrap_or(0).max(head);
    if !*follow {
        return Ok(Exit::Yes);
    }
    loop {
        if let Some((found, reached)) = client.events_after(seen, &query, FOLLOW).await? {
            found.iter().for_each(|event| print_event(form, event));
            seen = reached.max(seen);
        }
    }
}

fn print_event(form: Form, event: &Value) {
    match form {
        Form::Json => say(&format!("{event}\n")),
        Form::Text(paint) => {
            let effect = cell(event, "effect");
            let effect = match effect.as_str() {
                "applied" => paint.good(&effect),
                "refused" | "parked" => paint.bad(&effect),
                _ => paint.dim(&effect),
            };
            let position = event.get("position").and_then(Value::as_u64).unwrap_or_default();
            let kind = cell(event, "type");
            let kind = kind.trim_start_matches("rollcall.").trim_end_matches(".v1");
            say(&format!(
                "{:>8}  {}  {:<12}  {:<28}  {:<36}  {effect}\n",
                number(position),
                paint.dim(&cell(event, "recorded_at")),
                cell(event, "source"),
                kind,
                cell(event, "subject"),
            ));
        }
    }
}
