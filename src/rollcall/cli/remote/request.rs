//! What commands have in common: paths and bodies of requests, how a list, a thing and a change are printed.

use serde_json::{Map, Value, json};

use crate::{
    cli::output::{OutputFormat, escape_controls, field_table, field_text},
    client::Failure,
};

const API: [&str; 2] = ["api", "v1"];

/// The path of a route of the API.
pub fn api_path<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    API.iter().chain(rest).copied().collect()
}

/// The members that were said.
pub fn json_object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let said = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(said.collect::<Map<_, _>>())
}

/// A text that may be said.
pub fn optional_text(value: &Option<String>) -> Option<Value> {
    value.as_ref().map(|text| json!(text))
}

/// Columns of a list: heading and member.
pub type Columns = [(&'static str, &'static str)];

pub fn print_list(format: OutputFormat, columns: &Columns, rows: &[Value]) {
    format.print(&Value::Array(rows.to_vec()), |paint| field_table(paint, columns, rows));
}

/// One thing, member by member.
pub fn print_object(format: OutputFormat, thing: &Value) {
    format.print(thing, |paint| {
        let names = thing.as_object().into_iter().flatten().map(|(name, _)| name);
        let line = |name: &String| format!("{}  {}\n", paint.dim(&format!("{name:<12}")), field_text(thing, name));
        names.map(line).collect()
    });
}

pub fn print_change(format: OutputFormat, answer: &Value, text: &str) {
    format.print(answer, |paint| {
        let remark = paint.dim(&format!("event {}, {}", field_text(answer, "position"), field_text(answer, "effect")));
        format!("{}   {remark}\n", escape_controls(text))
    });
}

/// `user:ada`, `service:ci`, `group:local/ops`; a bare name is a user's.
pub fn parse_principal(text: &str) -> (&str, &str) {
    match text.split_once(':') {
        Some((kind @ ("user" | "service" | "group"), id)) => (kind, id),
        _ => ("user", text),
    }
}

/// `root`, `folder:emea`, `project:acme`.
pub fn parse_scope(text: &str) -> Result<Value, Failure> {
    match text.split_once(':') {
        None if text == "root" => Ok(json!("root")),
        Some((kind @ ("folder" | "project"), id)) => Ok(json!({kind: id})),
        _ => Err(Failure::Usage(format!(
            "`{}` is no scope; take root, folder:ID or project:NAME",
            escape_controls(text)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_line_are_the_words_of_the_api() {
        assert_eq!(parse_principal("service:ci"), ("service", "ci"));
        assert_eq!(parse_principal("group:local/ops"), ("group", "local/ops"));
        assert_eq!(parse_principal("ada@globex.test"), ("user", "ada@globex.test"));
        assert_eq!(parse_principal("urn:x"), ("user", "urn:x"), "a name may hold a colon");
        assert_eq!(parse_scope("project:acme").ok(), Some(json!({"project": "acme"})));
        assert_eq!(parse_scope("acme").unwrap_err().code(), 2);
        assert_eq!(json_object([("a", None), ("b", Some(json!(1)))]), json!({"b": 1}));
    }
}
