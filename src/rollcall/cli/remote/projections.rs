//! `projection`: what is derived from the log, compared with the log folded anew.

use serde_json::{Value, json};

use crate::{
    cli::{
        args::Projection,
        output::{OutputFormat, field_table, field_text, group_digits, print, print_json},
        remote::request::api_path,
    },
    client::{Client, Exit, Failure},
};

/// `projection`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &Projection) -> Result<Exit, Failure> {
    let rows = client.items(&api_path(&["projections"])).await?;
    let verb = match command {
        Projection::Status => {
            let columns = [
                ("PROJECTION", "name"),
                ("STATE", "state"),
                ("POSITION", "position"),
                ("HEAD", "head"),
                ("LAG S", "lag_seconds"),
                ("PARKED", "parked"),
            ];
            format.print(&Value::Array(rows.clone()), |paint| field_table(paint, &columns, &rows));
            return Ok(Exit::Yes);
        }
        Projection::Check => "check",
        Projection::Rebuild => "rebuild",
    };
    let mut exit = Exit::Yes;
    let mut results = Vec::new();
    for name in rows.iter().map(|row| field_text(row, "name")) {
        let checked = client.post(&api_path(&["projections", &name, verb]), &json!({})).await?;
        let same = checked.get("same").and_then(Value::as_bool).unwrap_or_default();
        if !same {
            exit = Exit::No;
        }
        if let OutputFormat::Text(paint) = format {
            let position = checked.get("position").and_then(Value::as_u64).unwrap_or_default();
            let verdict = if same { paint.good("same") } else { paint.bad("DIFFERENT") };
            let swapped = if verb == "rebuild" { ", swapped" } else { "" };
            print(&format!(
                "{name}: {verdict} at position {}{swapped}\n  live      {}\n  replayed  {}\n",
                group_digits(position),
                field_text(&checked, "live"),
                field_text(&checked, "replayed")
            ));
        }
        results.push(checked);
    }
    if format == OutputFormat::Json {
        print_json(&Value::Array(results));
    }
    Ok(exit)
}
