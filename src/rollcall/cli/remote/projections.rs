//! `projection`: what is derived from the log, compared with the log folded anew.

use serde_json::{Value, json};

use crate::{
    cli::{
        args::Projection,
        output::{Form, cell, members, number, say, say_json},
        remote::request::api,
    },
    client::{Client, Exit, Failure},
};

/// `projection`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, form: Form, command: &Projection) -> Result<Exit, Failure> {
    let rows = client.whole(&api(&["projections"])).await?;
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
            form.show(&Value::Array(rows.clone()), |paint| members(paint, &columns, &rows));
            return Ok(Exit::Yes);
        }
        Projection::Check => "check",
        Projection::Rebuild => "rebuild",
    };
    let mut exit = Exit::Yes;
    let mut results = Vec::new();
    for name in rows.iter().map(|row| cell(row, "name")) {
        let checked = client.post(&api(&["projections", &name, verb]), &json!({})).await?;
        let same = checked.get("same").and_then(Value::as_bool).unwrap_or_default();
        if !same {
            exit = Exit::No;
        }
        if let Form::Text(paint) = form {
            let position = checked.get("position").and_then(Value::as_u64).unwrap_or_default();
            let verdict = if same { paint.good("same") } else { paint.bad("DIFFERENT") };
            let swapped = if verb == "rebuild" { ", swapped" } else { "" };
            say(&format!(
                "{name}: {verdict} at position {}{swapped}\n  live      {}\n  replayed  {}\n",
                number(position),
                cell(&checked, "live"),
                cell(&checked, "replayed")
            ));
        }
        results.push(checked);
    }
    if form == Form::Json {
        say_json(&Value::Array(results));
    }
    Ok(exit)
}
