//! `projection`: what is derived from the log, compared with the log folded anew.

use rollcall_app::{Checked, Projection as ProjectionShown};
use serde_json::{Value, json};

use crate::{
    cli::{
        args::ProjectionCommand,
        output::{Column, OutputFormat, cell, group_digits, print, print_json},
        remote::request::{api_path, print_list},
    },
    client::{Client, Exit, Failure},
};

/// `projection`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &ProjectionCommand) -> Result<Exit, Failure> {
    let rows = client.items::<ProjectionShown>(&api_path(&["projections"])).await?;
    let verb = match command {
        ProjectionCommand::Status => {
            let columns: [Column<ProjectionShown>; 6] = [
                ("PROJECTION", |row| cell(&row.name)),
                ("STATE", |row| cell(&row.state)),
                ("POSITION", |row| cell(&row.position)),
                ("HEAD", |row| cell(&row.head)),
                ("LAG S", |row| cell(&row.lag_seconds)),
                ("PARKED", |row| cell(&row.parked)),
            ];
            print_list(format, &columns, &rows);
            return Ok(Exit::Yes);
        }
        ProjectionCommand::Check => "check",
        ProjectionCommand::Rebuild => "rebuild",
    };
    let mut exit = Exit::Yes;
    let mut results = Vec::new();
    for name in rows.value.iter().map(|row| cell(&row.name)) {
        let checked = client.post::<Checked>(&api_path(&["projections", &name, verb]), &json!({})).await?;
        let Checked { same, position, live, replayed, flaws, .. } = &checked.value;
        if !same {
            exit = Exit::No;
        }
        if let OutputFormat::Text(paint) = format {
            let verdict = if *same { paint.good("same") } else { paint.bad("DIFFERENT") };
            let swapped = if verb == "rebuild" { ", swapped" } else { "" };
            print(&format!(
                "{name}: {verdict} at position {}{swapped}\n  live      {}\n  replayed  {}\n",
                group_digits(position.0),
                cell(live),
                cell(replayed)
            ));
            if *flaws > 0 {
                print(&format!(
                    "  of {} people, projects or accounts what is kept ready for decisions does not follow from the facts\n",
                    group_digits(*flaws)
                ));
            }
        }
        results.push(checked.json);
    }
    if format == OutputFormat::Json {
        print_json(&Value::Array(results));
    }
    Ok(exit)
}
