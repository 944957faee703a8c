//! What commands have in common: paths of requests, words of the command line as what the API takes, and how lists, things
//! and changes are printed.

use chrono::{DateTime, Utc};
use rollcall_app::{
    CommandOutcome, Created,
    access::{
        bindings::{BindingSet, Principal, Scope},
        projects::ProjectMade,
    },
};
use rollcall_events::{
    Clock as _, Position,
    spoken::{self, Direction, Said},
};
use serde_json::Value;

use crate::{
    cli::output::{Column, OutputFormat, escape_controls, field_text, table_of},
    client::{Failure, Reply},
    server::clock::SystemClock,
};

const API: [&str; 2] = ["api", "v1"];

/// The path of a route of the API.
pub fn api_path<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    API.iter().chain(rest).copied().collect()
}

/// The filters that were given, as the query of a list.
pub fn query_of<const N: usize>(filters: [(&'static str, &Option<String>); N]) -> Vec<(&'static str, String)> {
    filters.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
}

/// An id with what people call the thing beside it.
pub fn with_name(id: Option<&str>, name: Option<&str>) -> String {
    match (id.map(escape_controls), name.map(escape_controls)) {
        (Some(id), Some(name)) if !id.ends_with(&format!("/{name}")) => format!("{id} ({name})"),
        (id, _) => id.unwrap_or_default(),
    }
}

/// Prints a list as a table.
pub fn print_list<T>(format: OutputFormat, columns: &[Column<T>], rows: &Reply<Vec<T>>) {
    format.print(&rows.json, |paint| table_of(paint, columns, &rows.value));
}

/// Prints one thing, member by member.
pub fn print_object(format: OutputFormat, thing: &Value) {
    format.print(thing, |paint| {
        let names = thing.as_object().into_iter().flatten().map(|(name, _)| name);
        let line = |name: &String| format!("{}  {}\n", paint.dim(&format!("{name:<12}")), field_text(thing, name));
        names.map(line).collect()
    });
}

/// What became of a command: where it stands in the log, and its effect.
pub trait Outcome {
    /// Both.
    fn outcome(&self) -> (Position, &str);
}

macro_rules! outcomes {
    ($($answer:ty),+) => {
        $(impl Outcome for $answer {
            fn outcome(&self) -> (Position, &str) {
                (self.position, &self.effect)
            }
        })+
    };
}
outcomes!(CommandOutcome, Created, ProjectMade, BindingSet);

/// Prints what a command did.
pub fn print_change(format: OutputFormat, answer: &Reply<impl Outcome>, text: &str) {
    format.print(&answer.json, |paint| {
        let (position, effect) = answer.value.outcome();
        let remark = paint.dim(&format!("event {position}, {}", escape_controls(effect)));
        format!("{}   {remark}\n", escape_controls(text))
    });
}

/// Until when something is good, as somebody typed it: how long from now (`90d`), an instant, or a day, to its end.
///
/// # Errors
/// When it is none.
pub fn parse_end(text: &Option<String>) -> Result<Option<DateTime<Utc>>, Failure> {
    parse_said(text, Direction::Ahead, Said::ends)
}

/// From when something is good, as somebody typed it: in how long (`2d`), an instant, or a day, from its beginning.
///
/// # Errors
/// When it is none.
pub fn parse_start(text: &Option<String>) -> Result<Option<DateTime<Utc>>, Failure> {
    parse_said(text, Direction::Ahead, Said::begins)
}

/// Since when something is looked at that was: how long ago (`2h`), an instant, or a day, from its beginning.
///
/// # Errors
/// When it is none.
pub fn parse_since(text: &Option<String>) -> Result<Option<DateTime<Utc>>, Failure> {
    parse_said(text, Direction::Ago, Said::begins)
}

/// Until when something is looked at that was: how long ago, an instant, or a day, to its end.
///
/// # Errors
/// When it is none.
pub fn parse_until(text: &Option<String>) -> Result<Option<DateTime<Utc>>, Failure> {
    parse_said(text, Direction::Ago, Said::ends)
}

fn parse_said(
    text: &Option<String>,
    direction: Direction,
    edge: fn(Said) -> DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Failure> {
    let parse = |text: &String| {
        let said = spoken::read(text, SystemClock.now(), direction).map_err(|unclear| {
            let text = escape_controls(text);
            Failure::Usage(format!("`{text}` is not {unclear}"))
        })?;
        Ok(edge(said))
    };
    text.as_ref().map(parse).transpose()
}

/// `user:ada`, `service:ci`, `group:local/ops`; a bare name is a user's.
pub fn split_principal(text: &str) -> (&str, &str) {
    match text.split_once(':') {
        Some((kind @ ("user" | "service" | "group"), id)) => (kind, id),
        _ => ("user", text),
    }
}

/// The same as the API takes it.
pub fn parse_principal(text: &str) -> Principal {
    match split_principal(text) {
        ("service", id) => Principal::Service(id.to_owned()),
        ("group", id) => Principal::Group(id.to_owned()),
        (_, name) => Principal::User(name.to_owned()),
    }
}

/// `root`, `folder:emea`, `project:acme`.
///
/// # Errors
/// When it is none of them.
pub fn parse_scope(text: &str) -> Result<Scope, Failure> {
    match text.split_once(':') {
        None if text == "root" => Ok(Scope::Root),
        Some(("folder", id)) => Ok(Scope::Folder(id.to_owned())),
        Some(("project", name)) => Ok(Scope::Project(name.to_owned())),
        _ => Err(Failure::Usage(format!(
            "`{}` is no scope; take root, folder:ID or project:NAME",
            escape_controls(text)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_of_the_command_line_are_the_words_of_the_api() {
        assert_eq!(split_principal("service:ci"), ("service", "ci"));
        assert_eq!(split_principal("group:local/ops"), ("group", "local/ops"));
        assert_eq!(split_principal("ada@globex.test"), ("user", "ada@globex.test"));
        assert_eq!(split_principal("urn:x"), ("user", "urn:x"), "a name may hold a colon");
        let sent = |text: &str| serde_json::to_value(parse_principal(text)).unwrap();
        assert_eq!(sent("service:ci"), json!({"service": "ci"}));
        assert_eq!(sent("group:local/ops"), json!({"group": "local/ops"}));
        assert_eq!(sent("ada"), json!({"user": "ada"}));
        let sent = |text: &str| parse_scope(text).map(|scope| serde_json::to_value(scope).unwrap());
        assert_eq!(sent("project:acme").ok(), Some(json!({"project": "acme"})));
        assert_eq!(sent("folder:emea").ok(), Some(json!({"folder": "emea"})));
        assert_eq!(sent("root").ok(), Some(json!("root")));
        assert_eq!(parse_scope("acme").unwrap_err().code(), 2);
        assert_eq!(parse_end(&None).unwrap(), None);
        let typed = |text: &str| Some(text.to_owned());
        let day = |text: &str| text.parse().ok();
        assert_eq!(parse_end(&typed("2027-01-01")).unwrap(), day("2027-01-02T00:00:00Z"), "a day is good to its end");
        assert_eq!(parse_start(&typed("2027-01-01")).unwrap(), day("2027-01-01T00:00:00Z"), "and from its beginning");
        assert!(parse_end(&typed("90d")).unwrap() > parse_since(&typed("90d")).unwrap());
        assert_eq!(parse_end(&typed("soon")).unwrap_err().code(), 2);
    }
}
