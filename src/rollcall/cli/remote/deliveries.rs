//! `deliveries`: what came in by webhook, and what became of it.

use serde_json::{Value, json};

use crate::{
    cli::{
        args::Deliveries,
        output::{OutputFormat, Paint, field_table, field_text},
        remote::request::api_path,
    },
    client::{Client, Exit, Failure},
};

/// `deliveries`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &Deliveries) -> Result<Exit, Failure> {
    match command {
        Deliveries::List { source, failed, limit } => {
            let mut query = Vec::new();
            query.extend(source.clone().map(|source| ("source", source)));
            if *failed {
                query.push(("verdict", "failed".to_owned()));
            }
            let most = usize::try_from(*limit).unwrap_or(usize::MAX);
            let rows = client.all_pages(&api_path(&["deliveries"]), &query, most).await?;
            let columns = [
                ("DELIVERY", "id"),
                ("RECEIVED", "received_at"),
                ("SOURCE", "source"),
                ("VERDICT", "verdict"),
                ("BYTES", "bytes"),
                ("REASON", "reason"),
            ];
            format.print(&Value::Array(rows.clone()), |paint| field_table(paint, &columns, &rows));
        }
        Deliveries::Show { id } => {
            let delivery = client.get(&api_path(&["deliveries", id]), &[]).await?;
            format.print(&delivery, |paint| delivery_text(paint, &delivery));
        }
        Deliveries::Replay { id } => {
            let delivery = client.post(&api_path(&["deliveries", id, "replay"]), &json!({})).await?;
            format.print(&delivery, |paint| delivery_text(paint, &delivery));
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
        return format!(
            "{}quarantined: {}\n",
            field_table(paint, &columns, &events),
            field_text(delivery, "quarantined")
        );
    }
    let mut out = format!(
        "{}  {}  {}\nsource {}, received {}, {} bytes, from {}\n",
        paint.bold(&field_text(delivery, "id")),
        field_text(delivery, "verdict"),
        field_text(delivery, "reason"),
        field_text(delivery, "source"),
        field_text(delivery, "received_at"),
        field_text(delivery, "bytes"),
        field_text(delivery, "client"),
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
        out.push_str(&format!("\n{}", field_table(paint, &columns, &parts)));
    }
    for replay in rows("replays") {
        out.push_str(&format!("replayed {}, was {} before\n", field_text(&replay, "at"), field_text(&replay, "was")));
    }
    out.push('\n');
    for header in rows("headers") {
        out.push_str(&format!("{}: {}\n", paint.dim(&field_text(&header, "0")), field_text(&header, "1")));
    }
    out.push_str(&format!("\n{}{}\n", field_text(delivery, "body.text"), field_text(delivery, "body.base64")));
    out
}
