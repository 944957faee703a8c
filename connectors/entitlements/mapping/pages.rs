//! What a page of a listing says: the items on it, where the next one is, and how many items there are in all.

use cel::Context;
use chrono_tz::Tz;
use rollcall_ingest::connector::{MappedEvent, MappingError, Problem, ProblemType};
use serde_json::Value;

use super::{
    MAX_STEPS, Mapping, MappingMistake,
    blame::{self, Seen},
    document,
    expression::{Expression, on_own_stack},
    functions::env,
    meter::{METER, Meter},
    values::to_json,
};

/// What the configuration says of a listing's pages: expressions over `payload`, a page.
#[derive(Debug, Clone, Copy)]
pub struct PagingText<'a> {
    /// A list: each of its items is a body that is mapped.
    pub items: &'a str,
    /// The URL of the next page, from that of this one; null behind the last one.
    pub next: Option<&'a str>,
    /// How many items the listing has: the same on every page.
    pub total: Option<&'a str>,
    /// The zone in which days begin and end.
    pub time_zone: &'a str,
}

/// The same, compiled.
pub struct Paging {
    items: Expression,
    next: Option<Expression>,
    total: Option<Expression>,
}

/// A page that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The bodies on it.
    pub items: Vec<Vec<u8>>,
    /// Where the next one is.
    pub next: Option<String>,
    /// How many items there are on all pages together.
    pub total: Option<u64>,
}

impl Paging {
    /// Compiles it.
    ///
    /// # Errors
    /// Everything that is wrong with it, by its key.
    pub fn compile(text: &PagingText<'_>) -> Result<Self, Vec<MappingMistake>> {
        // A zone that there is not is told by the mapping.
        let zone = text.time_zone.parse().unwrap_or(Tz::UTC);
        let mut wrong = Vec::new();
        let mut compile = |key: &str, source: Option<&str>| {
            let compiled = Expression::compile(source?, &["payload"], zone);
            let mistake =
                |mistake: super::expression::Mistake| MappingMistake { at: key.to_owned(), text: mistake.to_string() };
            compiled.map_err(|error| wrong.push(mistake(error))).ok()
        };
        let items = compile("items", Some(text.items));
        let (next, total) = (compile("next", text.next), compile("total", text.total));
        match items {
            Some(items) if wrong.is_empty() => Ok(Self { items, next, total }),
            _ => Err(wrong),
        }
    }

    /// Reads a page.
    ///
    /// # Errors
    /// It is not as the expressions have it, or something on it cannot be read: what it says is not known as a whole.
    pub fn read(&self, body: &[u8]) -> Result<Page, Problem> {
        on_own_stack(|| self.read_here(body)).unwrap_or_else(|error| {
            Err(Problem::at(ProblemType::MappingFailed, "", format!("there is no thread to read it on ({error})")))
        })
    }

    fn read_here(&self, body: &[u8]) -> Result<Page, Problem> {
        let document = document::read(body, &document::Texts::default())?;
        if let Some(problem) = document.unreadable.first() {
            return Err(problem.clone());
        }
        let meter = Meter::of(MAX_STEPS);
        let mut context = Context::with_env(env());
        context.add_variable_as_val("payload", document.root.as_val().clone_as_boxed());
        context.add_variable_as_val(METER, Box::new(meter.clone()));
        let value = |name: &str, of: &Expression| {
            let value = of.evaluate(&context, &meter).and_then(|value| to_json(value.as_ref(), &meter));
            value.map_err(|error| {
                blame::problem(&format!("`{name}`"), of, &error, Seen { payload: &document, item: "" })
            })
        };
        let odd = |name: &str, what: &str| Problem::at(ProblemType::ExpressionFailed, "", format!("`{name}` {what}"));
        let Some(Value::Array(items)) = value("items", &self.items)? else {
            return Err(odd("items", "is no list"));
        };
        let next = match self.next.as_ref().map(|next| value("next", next)).transpose()?.flatten() {
            None | Some(Value::Null) => None,
            Some(Value::String(next)) if next.is_empty() => None,
            Some(Value::String(next)) => Some(next),
            Some(_) => return Err(odd("next", "is no text and not null")),
        };
        let total = match self.total.as_ref().map(|total| value("total", total)).transpose()?.flatten() {
            None => None,
            Some(total) => Some(total.as_u64().ok_or_else(|| odd("total", "is no whole number from 0"))?),
        };
        Ok(Page { items: items.iter().map(|item| item.to_string().into_bytes()).collect(), next, total })
    }
}

impl std::fmt::Debug for Paging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Paging")
    }
}

impl Mapping {
    /// Maps several bodies, as [`Mapping::map`] does each.
    #[must_use]
    pub fn map_each(&self, bodies: &[Vec<u8>]) -> Vec<Vec<Result<MappedEvent, MappingError>>> {
        let all = on_own_stack(|| bodies.iter().map(|body| self.map_here(body, MAX_STEPS)).collect());
        all.unwrap_or_else(|_| bodies.iter().map(|body| self.map(body)).collect())
    }
}
