//! `deliveries`: what came in by webhook, and what became of it.

use serde_json::{Value, json};

use crate::{
    cli::{
        args::Deliveries,
        output::{Form, Paint, cell, members},
        remote::request::api,
    },
    client::{Client, Exit, Failure},
};

/// `deliveries`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, form: Form, command: &Deliveries) -> Result<Exit, Failure> {
    match command {
        Deliveries::List { source, failed, limit } => {
            let mut query = Vec::new();
            query.extend(source.clone().map(|source| ("source", source)));
            if *failed {
                query.push(("verdict", "failed".to_owned()));
            }
            let most = usize::try_from(*limit).unwrap_or(usize::MAX);
            let rows = client.list(&api(&["deliveries"]), &query, most).await?;
            let columns = [
                ("DELIVERY", "id"),
                ("RECEIVED", "received_at"),
                ("SOURCE", "source"),
                ("VERDICT", "verdict"),
                ("BYTES", "bytes"),
                ("REASON", "reason"),
            ];
            form.show(&Value::Array(rows.clone()), |paint| members(paint, &columns, &rows));
        }
        Deliveries::Show { id } => {
            let delivery = client.get(&api(&["deliveries", id]), &[]).await?;
            form.show(&delivery, |paint| delivery_text(paint, &delivery));
        }
        Deliveries::Replay { id } => {
            let delivery = client.post(&api(&["deliveries", id, "replay"]), &json!({})).await?;
            form.show(&delivery, |paint| delivery_text(paint, &delivery));
        }
    }
    Ok(Exit::Yes)
}

/// A delivery in full, or what a replay of it came to.
fn delivery_text(paint: Paint, delivery: &Value) -> String {
    let rows = |key: &str| delivery.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let (parts, events) = (rows("parts"), rows("events"));
    if delivery.get("verdict").is_none() {
        let columns = [
            ("EVENT", "id"),
            ("OUTCOME", "outcome"),
            ("POSITION", "position"),
            ("EFFECT", "effect"),
            ("REASON", "reason"),
        ];
        return format!("{}quarantined: {}\n", members(paint, &columns, &events), cell(delivery, "quarantined"));
    }
    let mut out = format!(
        "{}  {}  {}\nsource {}, received {}, {} bytes, from {}\n",
        paint.bold(&cell(delivery, "id")),
        cell(delivery, "verdict"),
        cell(delivery, "reason"),
        cell(delivery, "source"),
        cell(delivery, "received_at"),
        cell(delivery, "bytes"),
        cell(delivery, "client"),
    );
    let columns = [
        ("PART", "id"),
        ("OUTCOME", "outcome"),
        ("POSITION", "position"),
        ("EFFECT", "effect"),
        ("REASON", "reason"),
        ("PROBLEM", "problem.type"),
        ("AT", "problem.pointer"),
        ("DETAIL", "problem.detail"),
    ];
    if !parts.is_empty() {
        out.push_str(&format!("\n{}", members(paint, &columns, &parts)));
    }
    for replay in rows("replays") {
        out.push_str(&format!("replayed {}, was {} before\n", cell(&replay, "at"), cell(&replay, "was")));
    }
    out.push('\n');
    for header in rows("headers") {
        out.push_str(&format!("{}: {}\n", paint.dim(&cell(&header, "0")), cell(&header, "1")));
    }
    out.push_str(&format!("\n{}{}\n", cell(delivery, "body.text"), cell(delivery, "body.base64")));
    out
}
