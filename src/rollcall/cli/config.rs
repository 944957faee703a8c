//! `config`: every problem of the configuration, and every value in force.

use serde_json::{Value, json};

use crate::{
    cli::{
        args::{ConfigCommand, Global},
        context::load_config,
        output::{OutputFormat, escape_controls, print, print_json, table},
    },
    client::Exit,
    config::{effective::effective, origin::Origin},
};

/// `config`.
pub fn run(global: &Global, format: OutputFormat, command: &ConfigCommand) -> Exit {
    let loaded = match load_config(global, &[]) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let rows = problems.iter().map(|p| json!({"where": p.origin.to_string(), "what": p.what})).collect();
            format.print(&Value::Array(rows), |paint| {
                problems
                    .iter()
                    .map(|p| format!("{} {}\n", paint.bold(&format!("{}:", p.origin)), escape_controls(&p.what)))
                    .collect()
            });
            return Exit::No;
        }
    };
    match command {
        ConfigCommand::Check => format.print(&json!([]), |_| "no problem\n".into()),
        ConfigCommand::Show => {
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
        }
    }
    Exit::Yes
}
