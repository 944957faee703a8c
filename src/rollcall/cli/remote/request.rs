//! What commands have in common: paths and bodies of requests, how a list, a thing and a change are printed.

use serde_json::{Map, Value, json};

use crate::{
    cli::output::{Form, cell, clean, members},
    client::Failure,
};

const API: [&str; 2] = ["api", "v1"];

/// The path of a route of the API.
pub fn api<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    API.iter().chain(rest).copied().collect()
}

/// The members that were said.
pub fn body<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let said = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(said.collect::<Map<_, _>>())
}

/// A text that may be said.
pub fn text(value: &Option<String>) -> Option<Value> {
    value.as_ref().map(|text| json!(text))
}

/// Columns of a list: heading and member.
pub type Columns = [(&'static str, &'static str)];

pub fn listed(form: Form, columns: &Columns, rows: &[Value]) {
    form.show(&Value::Array(rows.to_vec()), |paint| members(paint, columns, rows));
}

/// One thing, member by member.
pub fn shown(form: Form, thing: &Value) {
    form.show(thing, |paint| {
        let names = thing.as_object().into_iter().flatten().map(|(name, _)| name);
        let line = |name: &String| format!("{}  {}\n", paint.dim(&format!("{name:<12}")), cell(thing, name));
        names.map(line).collect()
    });
}

pub fn done(form: Form, answer: &Value, text: &str) {
    form.show(answer, |paint| {
        let remark = paint.dim(&format!("event {}, {}", cell(answer, "position"), cell(answer, "effect")));
        format!("{}   {remark}\n", clean(text))
    });
}

/// `user:ada`, `service:ci`, `group:local/ops`; a bare name is a user's.
pub fn principal(text: &str) -> (&str, &str) {
    match text.split_once(':') {
        Some((kind @ ("user" | "service" | "group"), id)) => (kind, id),
        _ => ("user", text),
    }
}

/// `root`, `folder:emea`, `project:acme`.
pub fn scope(text: &str) -> Result<Value, Failure> {
    match text.split_once(':') {
        None if text == "root" => Ok(json!("root")),
        Some((kind @ ("folder" | "project"), id)) => Ok(json!({kind: id})),
        _ => Err(Failure::Usage(format!("`{}` is no scope; take root, folder:ID or project:NAME", clean(text)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_line_are_the_words_of_the_api() {
        assert_eq!(principal("service:ci"), ("service", "ci"));
        assert_eq!(principal("group:local/ops"), ("group", "local/ops"));
        assert_eq!(principal("ada@globex.test"), ("user", "ada@globex.test"));
        assert_eq!(principal("urn:x"), ("user", "urn:x"), "a name may hold a colon");
        assert_eq!(scope("project:acme").ok(), Some(json!({"project": "acme"})));
        assert_eq!(scope("acme").unwrap_err().code(), 2);
        assert_eq!(body([("a", None), ("b", Some(json!(1)))]), json!({"b": 1}));
    }
}
