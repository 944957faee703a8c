//! `config check` and `config show`: every problem of the configuration, and every value of it.

use rollcall_events::SourceName;
use serde_json::{Value, json};

use crate::{
    cli::{
        args::Global,
        context::load_config,
        output::{OutputFormat, escape_controls, print, print_json, table},
    },
    client::Exit,
    config::{
        effective::effective,
        origin::{Origin, Problem},
    },
};

/// `config check`.
pub fn check(global: &Global, format: OutputFormat) -> Exit {
    match load_config(global, &[]) {
        Err(problems) => print_problems(format, &problems),
        Ok(loaded) => {
            format.print(&json!([]), |_| {
                let note = |(other, problem): &(SourceName, Problem)| {
                    format!("{problem}: a mistake, unless {other} was retired\n")
                };
                loaded.named_only.iter().map(note).chain(["no problem\n".to_owned()]).collect()
            });
            Exit::Yes
        }
    }
}

/// `config show`.
pub fn show(global: &Global, format: OutputFormat) -> Exit {
    let loaded = match load_config(global, &[]) {
        Err(problems) => return print_problems(format, &problems),
        Ok(loaded) => loaded,
    };
    let rows = effective(&loaded);
    match format {
        OutputFormat::Json => {
            let row = |(key, value, origin): &(String, Value, Origin)| json!({"key": key, "value": value, "from": origin.to_string()});
            print_json(&rows.iter().map(row).collect());
        }
        OutputFormat::Text(paint) => {
            let row = |(key, value, origin): &(String, Value, Origin)| {
                let value = if value.is_null() { "-".to_owned() } else { value.to_string() };
                vec![key.clone(), escape_controls(&value), origin.to_string()]
            };
            let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
            print(&table(paint, &["KEY", "VALUE", "FROM"], &rows));
        }
    }
    Exit::Yes
}

fn print_problems(format: OutputFormat, problems: &[Problem]) -> Exit {
    let rows = problems.iter().map(|p| json!({"where": p.origin.to_string(), "what": p.what})).collect();
    format.print(&Value::Array(rows), |paint| {
        let line = |p: &Problem| format!("{} {}\n", paint.bold(&format!("{}:", p.origin)), escape_controls(&p.what));
        problems.iter().map(line).collect()
    });
    Exit::No
}
