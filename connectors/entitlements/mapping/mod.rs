//! Any JSON made into facts by what the configuration says of it: rules of expressions in CEL, compiled once. What is mapped
//! is a value of JSON, wherever it is from. Whatever is in it, mapping it ends within a number of steps that is counted, and
//! what does not fit becomes a problem with its place in the body and in the expression; nothing is guessed.

mod blame;
#[cfg(test)]
mod bounds_tests;
mod document;
mod expression;
mod functions;
#[cfg(test)]
mod items_tests;
mod meter;
mod names;
mod pages;
mod rule;
mod shipped;
#[cfg(test)]
mod tests;
mod values;

use cel::{Context, common::types::CelBool};
use chrono_tz::{TZ_VARIANTS, Tz};
use rollcall_events::Order;
use rollcall_ingest::connector::{MappedEvent, MappingError, Problem, ProblemType};

use self::{
    blame::Seen,
    document::Texts,
    expression::{Expression, on_own_stack},
    functions::env,
    meter::{METER, Meter},
    rule::{Body, Common, Rule, Taken},
};

pub use pages::{Paging, PagingText};
pub use rule::RuleText;
pub use shipped::{SHIPPED, ShippedMapping};

/// How many steps mapping one body may cost: some seconds of work at worst.
const MAX_STEPS: u64 = 10_000_000;
/// How many events one body may make.
const MAX_EVENTS: usize = 10_000;
/// How many places of texts that hold JSON: they may stand in one another, and each is read on the same stack.
const MAX_JSON_TEXTS: usize = 8;
/// How many rules a mapping may have.
const MAX_RULES: usize = 100;

/// What the configuration says of a mapping.
#[derive(Debug, Clone)]
pub struct MappingText<'a> {
    /// Expressions that are true of every body of the source.
    pub require: &'a [String],
    /// Where in a body texts are that hold JSON themselves, as JSON pointers.
    pub json_texts: &'a [String],
    /// The rules.
    pub rules: &'a [RuleText],
    /// The sender's id of a notification, for rules that have none.
    pub id: Option<&'a str>,
    /// The instant that orders facts, for rules that have none.
    pub time: Option<&'a str>,
    /// The number that orders facts, for rules that have none.
    pub sequence: Option<&'a str>,
    /// What the source's facts are ordered by.
    pub order: Order,
    /// The zone in which its days begin and end, by its IANA name.
    pub time_zone: &'a str,
}

/// What is wrong with a mapping, by the key that a person would edit, as in `map.0.fields.starts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingMistake {
    /// Where, below the source.
    pub at: String,
    /// What, with its place in the expression.
    pub text: String,
}

/// A mapping that was compiled.
pub struct Mapping {
    json_texts: Texts,
    require: Vec<Expression>,
    rules: Vec<Rule>,
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mapping({} rules)", self.rules.len())
    }
}

impl Mapping {
    /// Compiles a mapping.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(text: &MappingText<'_>) -> Result<Self, Vec<MappingMistake>> {
        let mut wrong = Vec::new();
        let mut report = |at: String, text: String| wrong.push(MappingMistake { at, text });
        let zone = text.time_zone.parse().unwrap_or_else(|_| {
            let near = names::suggest(text.time_zone, TZ_VARIANTS.iter().map(|zone| zone.name()));
            let what = format!("there is no time zone `{}`{near}", text.time_zone.escape_debug());
            report("time_zone".to_owned(), what);
            Tz::UTC
        });
        if text.rules.is_empty() {
            report("map".to_owned(), "say what the notifications mean: `[[source.NAME.map]]`, rule by rule".to_owned());
        }
        if text.rules.len() > MAX_RULES {
            report("map".to_owned(), format!("{} rules, at most {MAX_RULES} may be", text.rules.len()));
        }
        let json_texts = Texts::at(text.json_texts).unwrap_or_else(|n| {
            let what = "a JSON pointer to a text of the body, as in \"/data/attributes/payload\"";
            report(format!("json_texts.{n}"), what.to_owned());
            Texts::default()
        });
        if text.json_texts.len() > MAX_JSON_TEXTS {
            report("json_texts".to_owned(), format!("at most {MAX_JSON_TEXTS} may be"));
        }
        let mut require = Vec::new();
        for (n, source) in text.require.iter().enumerate() {
            match Expression::compile(source, &["payload"], zone) {
                Ok(expression) => require.push(expression),
                Err(mistake) => report(format!("require.{n}"), mistake.to_string()),
            }
        }
        // What stands in the source for all rules is told once, and where it stands.
        let mut common = |key: &str, source: Option<&'_ str>| {
            let compiled = Expression::compile(source?, &["payload"], zone);
            compiled
                .map(|compiled| compiled.source().to_owned())
                .map_err(|mistake| report(key.to_owned(), mistake.to_string()))
                .ok()
        };
        let (id, time, sequence) =
            (common("id", text.id), common("time", text.time), common("sequence", text.sequence));
        for (key, given, needs) in [("time", text.time, Order::Time), ("sequence", text.sequence, Order::Version)] {
            if given.is_some() && text.order != needs {
                report(key.to_owned(), rule::orders_nothing(key, text.order, needs));
            }
        }
        let common = Common {
            id: id.as_deref(),
            time: time.as_deref().or(text.time.and(Some("timestamp(0)"))),
            sequence: sequence.as_deref().or(text.sequence.and(Some("0"))),
            order: text.order,
            zone,
        };
        let mut rules = Vec::new();
        for (n, rule) in text.rules.iter().enumerate().take(MAX_RULES) {
            match Rule::compile(rule, n + 1, &common) {
                Ok(rule) => rules.push(rule),
                Err(more) => wrong.extend(more),
            }
        }
        if wrong.is_empty() { Ok(Self { json_texts, require, rules }) } else { Err(wrong) }
    }

    /// Maps a body: each part by itself, so that one that does not fit touches no other.
    #[must_use]
    pub fn map(&self, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>> {
        self.map_within(body, MAX_STEPS)
    }

    fn map_within(&self, body: &[u8], steps: u64) -> Vec<Result<MappedEvent, MappingError>> {
        on_own_stack(|| self.map_here(body, steps)).unwrap_or_else(|error| {
            let detail = format!("there is no thread to map it on ({error}); replay it");
            vec![Err(Problem::at(ProblemType::MappingFailed, "", detail).into())]
        })
    }

    fn map_here(&self, body: &[u8], steps: u64) -> Vec<Result<MappedEvent, MappingError>> {
        let document = match document::read(body, &self.json_texts) {
            Ok(document) => document,
            Err(problem) => return vec![Err(problem.into())],
        };
        let meter = Meter::of(steps);
        let mut context = Context::with_env(env());
        context.add_variable_as_val("payload", document.root.as_val().clone_as_boxed());
        context.add_variable_as_val(METER, Box::new(meter.clone()));
        let body = Body { payload: &document, context: &context, meter: &meter };
        let mut events = self.map_payload(&body);
        if meter.is_exhausted() {
            let detail = format!(
                "mapping it takes more than {steps} steps: rules that go over a list for each item of another one cost the \
                 product of both. Send less at once, or mend the mapping"
            );
            // Whatever an expression came to when there were no steps left is not what it says.
            events.retain(Result::is_ok);
            events.push(Err(Problem::at(ProblemType::MappingTooCostly, "", detail).into()));
        }
        events
    }

    fn map_payload(&self, body: &Body<'_, '_>) -> Vec<Result<MappedEvent, MappingError>> {
        if let Err(problem) = self.check_required(body) {
            return vec![Err(problem.into())];
        }
        let (mut events, mut taken) = (Vec::new(), false);
        for rule in &self.rules {
            match rule.apply(body, MAX_EVENTS.saturating_sub(events.len())) {
                Taken::No => {}
                Taken::Yes(made) => {
                    taken = true;
                    events.extend(made);
                }
                // None of it: what was left out could be the end of what is taken.
                Taken::TooMany(problem) => return vec![Err(problem.into())],
            }
            if body.meter.is_exhausted() {
                return events;
            }
        }
        if !taken {
            let detail =
                "no rule of the source's mapping is for this: add one, or one with `ignore = true`, and replay it";
            events.push(Err(Problem::at(ProblemType::Unmapped, "", detail).into()));
        }
        events.extend(body.payload.unreadable.iter().map(|problem| Err(problem.clone().into())));
        events
    }

    /// Whether the body is one that the source is configured for.
    fn check_required(&self, body: &Body<'_, '_>) -> Result<(), Problem> {
        for (n, require) in self.require.iter().enumerate() {
            let name = format!("`require` {}", n + 1);
            let seen = Seen { payload: body.payload, item: "" };
            let value = require.evaluate(body.context, body.meter);
            let value = value.map_err(|error| blame::problem(&name, require, &error, seen))?;
            if value.downcast_ref::<CelBool>().map(|value| *value.inner()) != Some(true) {
                let detail = format!("it is not what the source takes: {name} is not true of it: {}", require.source());
                return Err(Problem::at(ProblemType::RequirementNotMet, blame::place(require, seen), detail));
            }
        }
        Ok(())
    }
}
