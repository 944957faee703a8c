//! `deliveries`: what came in by webhook, and what became of it.

use rollcall_app::operations::deliveries::{
    BodyShown, DeliveryInFull, DeliveryShown, DismissalShown, HookAnswer, HookEvent, PartShown,
};
use serde_json::json;

use crate::{
    cli::{
        args::DeliveriesCommand,
        output::{ColorMode, Column, OutputFormat, cell, table_of},
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
