//! `sources`: how each source is, as the server sees it and as it looks from this machine.

use rollcall_events::Clock;
use serde_json::{Value, json};

use crate::{
    cli::{
        output::{OutputFormat, Paint, escape_controls, field_text, table},
        remote::request::api_path,
    },
    client::{Client, Exit, Failure},
    config::load::Loaded,
    server::clock::SystemClock,
    sources::Grade,
};

/// `sources`.
///
/// # Errors
/// As [`Failure`].
pub async fn list(client: &Client, format: OutputFormat) -> Result<Exit, Failure> {
    let rows = client.items(&api_path(&["sources"])).await?;
    format.print(&Value::Array(rows.clone()), |paint| sources_text(paint, &rows));
    Ok(Exit::Yes)
}

/// `sources show`: what the server knows of one, and what a directory says to this machine.
///
/// # Errors
/// As [`Failure`].
pub async fn show(client: &Client, format: OutputFormat, loaded: &Loaded, name: &str) -> Result<Exit, Failure> {
    let rows = client.items(&api_path(&["sources"])).await?;
    let rows: Vec<Value> = rows.into_iter().filter(|row| field_text(row, "name") == name).collect();
    let inspect =
        loaded.sources.iter().find(|(known, _)| known.as_str() == name).and_then(|(_, source)| source.inspect.as_ref());
    if rows.is_empty() && inspect.is_none() {
        return Err(Failure::Usage(format!("no source has the name `{}`", name.escape_debug())));
    }
    let mut findings = Vec::new();
    if let Some(inspect) = inspect {
        findings = inspect.inspect(SystemClock.now()).await;
    }
    let good = findings.iter().all(|finding| finding.grade != Grade::Bad);
    let looked: Vec<Value> =
        findings.iter().map(|f| json!({"check": f.check, "grade": f.grade.word(), "text": f.text})).collect();
    format.print(&json!({"source": rows.first(), "directory": looked}), |paint| {
        let mut out = sources_text(paint, &rows);
        for finding in &findings {
            let mark = match finding.grade {
                Grade::Good => paint.good("✓"),
                Grade::Odd => paint.bold("!"),
                Grade::Bad => paint.bad("✗"),
            };
            out.push_str(&format!("{mark} {:<8} {}\n", finding.check, escape_controls(&finding.text)));
        }
        out
    });
    Ok(if good { Exit::Yes } else { Exit::No })
}

fn sources_text(paint: Paint, rows: &[Value]) -> String {
    let heading = ["SOURCE", "STATE", "FACTS", "CHECKED", "APPLIED", "HELD", "PARKED", "HOOK"];
    let row = |source: &Value| {
        let at = |key: &str| field_text(source, &format!("reading.{key}"));
        let held = match field_text(source, "reading.held.removals") {
            held if held.is_empty() => held,
            held => format!("{held} removals ({})", at("held.plan")),
        };
        let state = match (source.get("reading"), at("state")) {
            (None | Some(Value::Null), _) => "posts".to_owned(),
            (_, state) if state.is_empty() => "not read yet".to_owned(),
            (_, state) => state,
        };
        vec![
            field_text(source, "name"),
            state,
            at("facts"),
            at("checked_at"),
            at("applied"),
            held,
            field_text(source, "parked.count"),
            field_text(source, "hook"),
        ]
    };
    let mut out = table(paint, &heading, &rows.iter().map(row).collect::<Vec<_>>());
    for source in rows {
        let reason = field_text(source, "reading.reason");
        if !reason.is_empty() {
            out.push_str(&format!("\n{}: {reason}\n", paint.bold(&field_text(source, "name"))));
            let since = field_text(source, "reading.sealed_at");
            if field_text(source, "reading.failures") != "0" && !since.is_empty() {
                out.push_str(&format!("  last read whole {since}; what it said then stays\n"));
            }
        }
        let (at, why) = (field_text(source, "reading.whole.at"), field_text(source, "reading.whole.why"));
        if !at.is_empty() {
            out.push_str(&format!("  read as a whole {at}: {why}\n"));
        }
        for (key, text) in [("excluded", "left as it is"), ("absent", "listed and not there")] {
            let first = source.pointer(&format!("/reading/{key}/first")).and_then(Value::as_array);
            for what in first.into_iter().flatten().filter_map(Value::as_str) {
                out.push_str(&format!("  {text}: {}\n", escape_controls(what)));
            }
        }
        for what in source.pointer("/parked/first").and_then(Value::as_array).into_iter().flatten() {
            out.push_str(&format!("  parked: {}\n", escape_controls(what.as_str().unwrap_or_default())));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_show_their_state_and_why() {
        let rows = [
            json!({"name": "flexnet", "hook": "/hooks/flexnet", "parked": {"count": 1, "first": ["package/x (event 7): name taken"]}, "reading": null}),
            json!({"name": "corp", "hook": null, "parked": {"count": 0, "first": []}, "reading": {
                "state": "unauthorised", "reason": "ou=people: rc 49", "facts": 61, "failures": 2, "applied": 70,
                "checked_at": "2026-11-22T07:00:00Z", "sealed_at": "2026-11-22T06:00:00Z",
                "held": {"plan": "pln_1", "removals": 7, "reason": "x"},
                "absent": {"count": 1, "first": ["cn=gone"]}, "excluded": {"count": 0, "first": []}}}),
        ];
        let text = sources_text(Paint::Plain, &rows);
        for part in [
            "flexnet  posts",
            "corp     unauthorised  61     2026-11-22T07:00:00Z  70       7 removals (pln_1)",
            "corp: ou=people: rc 49",
            "last read whole 2026-11-22T06:00:00Z",
            "listed and not there: cn=gone",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
