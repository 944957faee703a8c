//! `deliveries`: what came in by webhook, and what became of it.

use rollcall_app::operations::deliveries::{
    BodyShown, DeliveryInFull, DeliveryShown, DismissalShown, HookAnswer, HookEvent, PartShown,
};
use serde_json::json;

use crate::{
    cli::{
        args::DeliveriesCommand,
        output::{ColorMode, Column, OutputFormat, cell, group_digits, table_of},
        remote::request::{api_path, print_list},
    },
    client::{Client, Exit, Failure, Reply},
};

/// `deliveries`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &DeliveriesCommand) -> Result<Exit, Failure> {
    match command {
        DeliveriesCommand::List { source, failed, limit } => {
            let mut query = Vec::new();
            query.extend(source.clone().map(|source| ("source", source)));
            if *failed {
                query.push(("verdict", "failed".to_owned()));
            }
            let most = usize::try_from(*limit).unwrap_or(usize::MAX);
            let rows = client.all_pages(&api_path(&["deliveries"]), &query, most).await?;
            let columns: [Column<DeliveryShown>; 6] = [
                ("DELIVERY", |row| cell(&row.id)),
                ("RECEIVED", |row| cell(&row.received_at)),
                ("SOURCE", |row| cell(&row.source)),
                ("VERDICT", |row| cell(&row.verdict)),
                ("BYTES", |row| cell(&row.bytes)),
                ("REASON", |row| cell(&row.reason)),
            ];
            print_list(format, &columns, &rows);
        }
        DeliveriesCommand::Show { id } => {
            let delivery = client.get(&api_path(&["deliveries", id]), &[]).await?;
            format.print(&delivery.json, |paint| delivery_text(paint, &delivery.value));
        }
        DeliveriesCommand::Replay { id } => {
            let replayed = client.post(&api_path(&["deliveries", id, "replay"]), &json!({})).await?;
            format.print(&replayed.json, |paint| replay_text(paint, &replayed.value));
        }
        DeliveriesCommand::Dismiss { ids, because } => {
            for id in ids {
                let path = api_path(&["deliveries", id, "dismiss"]);
                let dismissed: Reply<DeliveryInFull> = client.post(&path, &json!({"because": because})).await?;
                format.print(&dismissed.json, |_| format!("{} is dismissed\n", cell(&dismissed.value.delivery.id)));
            }
        }
    }
    Ok(Exit::Yes)
}

/// What a replay came to.
fn replay_text(paint: ColorMode, replayed: &HookAnswer) -> String {
    let columns: [Column<HookEvent>; 5] = [
        ("EVENT", |row| cell(&row.id)),
        ("OUTCOME", |row| cell(&row.outcome)),
        ("POSITION", |row| cell(&row.position)),
        ("EFFECT", |row| cell(&row.effect)),
        ("REASON", |row| cell(&row.reason)),
    ];
    format!("{}quarantined: {}\n", table_of(paint, &columns, &replayed.events), replayed.quarantined)
}

/// Whether everything of a delivery is recorded and in effect.
pub fn is_in_effect(delivery: &DeliveryInFull) -> bool {
    let good = |part: &PartShown| match part.effect.as_deref() {
        Some("applied" | "no_change") => part.reason.is_none(),
        Some(_) => false,
        None => part.outcome == "duplicate",
    };
    match delivery.delivery.verdict.as_ref() {
        "rejected" => false,
        "ignored" => true,
        _ => !delivery.parts.is_empty() && delivery.parts.iter().all(good),
    }
}

/// What became of each part of a delivery, and why.
pub fn outcome_text(paint: ColorMode, delivery: &DeliveryInFull) -> String {
    let DeliveryInFull { delivery, parts, .. } = delivery;
    let verdict = match delivery.verdict.as_ref() {
        good @ ("recorded" | "duplicate" | "ignored") => paint.good(good),
        bad => paint.bad(bad),
    };
    let mut out = format!("{}  {verdict}  {}\n", paint.bold(&cell(&delivery.id)), cell(&delivery.reason));
    out.push_str(&format!("source {}, received {}\n", cell(&delivery.source), cell(&delivery.received_at)));
    for part in parts {
        let event = part.position.map(|position| format!("  event {}", group_digits(position.0))).unwrap_or_default();
        let what = part.subject.as_ref().or(part.id.as_ref()).map_or_else(|| "(a part without an id)".to_owned(), cell);
        let became = part.effect.as_ref().map_or_else(|| cell(&part.outcome), cell);
        out.push_str(&format!("├─ {what}  {became}{}\n", paint.dim(&event)));
        let problem =
            part.problem.as_ref().map(|problem| format!("{} at {}: {}", problem.kind, problem.pointer, problem.detail));
        for why in part.reason.iter().chain(problem.as_ref()) {
            out.push_str(&format!("│     {}\n", cell(why)));
        }
    }
    out
}

/// A delivery in full.
fn delivery_text(paint: ColorMode, delivery: &DeliveryInFull) -> String {
    let DeliveryInFull { delivery, headers, body, parts, replays } = delivery;
    let mut out = format!(
        "{}  {}  {}\nsource {}, received {}, {} bytes, from {}\n",
        paint.bold(&cell(&delivery.id)),
        cell(&delivery.verdict),
        cell(&delivery.reason),
        cell(&delivery.source),
        cell(&delivery.received_at),
        cell(&delivery.bytes),
        cell(&delivery.client),
    );
    let columns: [Column<PartShown>; 9] = [
        ("PART", |row| cell(&row.id)),
        ("OUTCOME", |row| cell(&row.outcome)),
        ("POSITION", |row| cell(&row.position)),
        ("EFFECT", |row| cell(&row.effect)),
        ("REASON", |row| cell(&row.reason)),
        ("PROBLEM", |row| cell(&row.problem.as_ref().map(|problem| &problem.kind))),
        ("AT", |row| cell(&row.problem.as_ref().map(|problem| &problem.pointer))),
        ("DETAIL", |row| cell(&row.problem.as_ref().map(|problem| &problem.detail))),
        ("RECORDED IN", |row| cell(&row.recorded_in)),
    ];
    if !parts.is_empty() {
        out.push_str(&format!("\n{}", table_of(paint, &columns, parts)));
    }
    if let Some(DismissalShown { at, by, because }) = &delivery.dismissed {
        out.push_str(&format!("dismissed {} by {}: {}\n", cell(at), cell(by), cell(because)));
    }
    for replay in replays {
        out.push_str(&format!("replayed {}, was {} before\n", cell(&replay.at), cell(&replay.was)));
    }
    out.push('\n');
    for (name, value) in headers {
        out.push_str(&format!("{}: {}\n", paint.dim(&cell(name)), cell(value)));
    }
    let body = match body {
        Some(BodyShown::Text(text) | BodyShown::Base64(text)) => cell(text),
        None => String::new(),
    };
    out.push_str(&format!("\n{body}\n"));
    out
}
