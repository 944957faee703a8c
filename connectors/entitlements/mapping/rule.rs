//! One rule of a mapping: when it is for a body, over what it goes, and the facts that it makes.

use std::collections::BTreeMap;

use cel::{
    Context,
    common::{
        types::{CelBool, CelInt, CelString, CelTimestamp, CelUInt},
        value::{CowVal, Val},
    },
};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use rollcall_events::Order;
use rollcall_ingest::connector::{MappedEvent, MappingError, Problem, ProblemType, SenderId};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    MAX_EVENTS, MappingMistake,
    blame::{Seen, problem},
    document::{Document, List, Object, Unreadable},
    expression::Expression,
    functions::told,
    meter::Meter,
    names::{EventType, event_type, short, suggest},
    values::to_json,
};

/// What a rule of a mapping says. Each text but `emit` is an expression (CEL) over `payload`, the whole body, and, below
/// `for_each`, `item`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuleText {
    /// Whether the rule is for a body: true or false. When absent, for every one.
    pub when: Option<String>,
    /// A list, for each `item` of which a fact is made. When absent, one is made of the body.
    pub for_each: Option<String>,
    /// The type of the facts, as in `entitlement.line.upserted`.
    pub emit: Option<String>,
    /// Whether what the rule is for is known and means nothing here. It has no `emit` then.
    pub ignore: bool,
    /// The sender's id of the notification, by which one that comes again is known. When absent, the source's; else an event
    /// is the same as another one that says the same.
    pub id: Option<String>,
    /// The instant that orders the facts of a source with `order = "time"`. When absent, the source's.
    pub time: Option<String>,
    /// The whole number that orders the facts of a source with `order = "version"`. When absent, the source's.
    pub sequence: Option<String>,
    /// The members of a fact, by name.
    pub fields: BTreeMap<String, String>,
}

impl RuleText {
    /// All that says what it makes of a body, in a fixed order.
    pub fn parts(&self) -> impl Iterator<Item = String> {
        let Self { when, for_each, emit, ignore, id: _, time: _, sequence: _, fields } = self;
        let texts = [when, for_each, emit].map(|text| text.clone().unwrap_or_default());
        let fields: Vec<_> = fields.iter().flat_map(|(name, source)| [name.clone(), source.clone()]).collect();
        texts.into_iter().chain([ignore.to_string()]).chain(fields)
    }
}

/// A rule that may be evaluated.
pub(super) struct Rule {
    /// Which, counted from 1.
    number: usize,
    when: Option<Expression>,
    for_each: Option<Expression>,
    /// Nothing where what it is for means nothing.
    emit: Option<Emit>,
}

struct Emit {
    kind: &'static str,
    id: Option<Expression>,
    time: Option<Expression>,
    sequence: Option<Expression>,
    fields: Vec<(String, Expression)>,
}

/// What stands in the source for all of its rules.
pub(super) struct Common<'a> {
    pub id: Option<&'a str>,
    pub time: Option<&'a str>,
    pub sequence: Option<&'a str>,
    pub order: Order,
    pub zone: Tz,
}

/// What is mapped now.
pub(super) struct Body<'a, 'c> {
    pub payload: &'a Document,
    pub context: &'a Context<'c, 'static>,
    pub meter: &'a Meter,
}

/// What a rule made of a body.
pub(super) enum Taken {
    /// It is not for it.
    No,
    /// It is, and made these.
    Yes(Vec<Result<MappedEvent, MappingError>>),
    /// It is, and makes more than one body may.
    TooMany(Problem),
}

impl Rule {
    /// Reads a rule; `number` counts from 1.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(text: &RuleText, number: usize, common: &Common<'_>) -> Result<Self, Vec<MappingMistake>> {
        let mut wrong = Vec::new();
        let at = |key: &str| format!("map.{}.{key}", number - 1);
        let mut compile = |key: &str, source: Option<&str>, variables: &[&str]| {
            let compiled = Expression::compile(source?, variables, common.zone);
            compiled.map_err(|mistake| wrong.push(MappingMistake { at: at(key), text: mistake.to_string() })).ok()
        };
        let variables: &[&str] = if text.for_each.is_some() { &["payload", "item"] } else { &["payload"] };
        let when = compile("when", text.when.as_deref(), &["payload"]);
        let for_each = compile("for_each", text.for_each.as_deref(), &["payload"]);
        let mut own = |key: &str, own: &Option<String>, of_source: Option<&str>| match own {
            Some(own) => compile(key, Some(own), variables),
            // It was read for the source, and is read alike here: `payload` is there too.
            None => compile(key, of_source, variables),
        };
        let id = own("id", &text.id, common.id);
        let time = own("time", &text.time, common.time);
        let sequence = own("sequence", &text.sequence, common.sequence);
        let mut fields = Vec::new();
        for (name, source) in &text.fields {
            let compiled = compile(&format!("fields.{name}"), Some(source), variables);
            fields.extend(compiled.map(|compiled| (name.clone(), compiled)));
        }
        let mut report = |key: &str, text: String| wrong.push(MappingMistake { at: at(key), text });
        let emit = match (&text.emit, text.ignore) {
            (Some(_), true) => {
                report("ignore", "a rule that ignores has no `emit`; take one of them away".to_owned());
                None
            }
            (None, false) => {
                report(
                    "emit",
                    "say what the rule makes, as in \"entitlement.upserted\", or `ignore = true`".to_owned(),
                );
                None
            }
            (None, true) => {
                let more = [text.for_each.is_some(), !text.fields.is_empty(), text.id.is_some()];
                if more.contains(&true) {
                    report("ignore", "a rule that ignores has nothing but `when`".to_owned());
                }
                None
            }
            (Some(name), false) => match event_type(name) {
                Err(what) => {
                    report("emit", what);
                    None
                }
                Ok(of) => {
                    check_fields(&of, text, &mut report);
                    for (key, given, needs) in
                        [("time", &text.time, Order::Time), ("sequence", &text.sequence, Order::Version)]
                    {
                        if given.is_some() && common.order != needs {
                            report(key, orders_nothing(key, common.order, needs));
                        }
                    }
                    match common.order {
                        Order::Version if text.sequence.is_none() && common.sequence.is_none() => {
                            let what = "the source has `order = \"version\"`: say which number orders its facts";
                            report("sequence", what.to_owned());
                        }
                        Order::Time if text.time.is_none() && common.time.is_none() => {
                            let what = "the source has `order = \"time\"`: say which instant orders its facts, as in millis(payload.time)";
                            report("time", what.to_owned());
                        }
                        _ => {}
                    }
                    Some(Emit { kind: of.kind, id, time, sequence, fields })
                }
            },
        };
        if wrong.is_empty() { Ok(Self { number, when, for_each, emit }) } else { Err(wrong) }
    }

    /// What it makes of a body; at most `most` events.
    pub fn apply(&self, body: &Body<'_, '_>, most: usize) -> Taken {
        let seen = Seen { payload: body.payload, item: "" };
        if let Some(when) = &self.when {
            match when.evaluate(body.context, body.meter) {
                Ok(value) => match value.downcast_ref::<CelBool>().map(|value| *value.inner()) {
                    Some(true) => {}
                    Some(false) => return Taken::No,
                    None => return Taken::Yes(vec![self.failed("when", "", "is no truth value", value.as_ref())]),
                },
                Err(error) => return Taken::Yes(vec![Err(self.problem("when", when, &error, seen))]),
            }
        }
        let Some(emit) = &self.emit else { return Taken::Yes(Vec::new()) };
        let Some(for_each) = &self.for_each else {
            return Taken::Yes(vec![self.event(emit, body, body.context, "")]);
        };
        let all = match for_each.evaluate(body.context, body.meter) {
            Ok(all) => all,
            Err(error) => return Taken::Yes(vec![Err(self.problem("for_each", for_each, &error, seen))]),
        };
        let is_list = all.get_type().name() == "list";
        let Some(items) = all.as_iterable().filter(|_| is_list) else {
            return Taken::Yes(vec![self.failed("for_each", "", "is no list", all.as_ref())]);
        };
        let list = all.as_any().and_then(|list| list.downcast_ref::<List>());
        let list = list.and_then(|list| body.payload.pointer_of(list.number()));
        let (mut events, mut items, mut nth) = (Vec::new(), items.iter(), 0);
        while let Some(item) = items.next() {
            if events.len() >= most {
                let detail = format!(
                    "{} makes more than {MAX_EVENTS} facts of one body with those of the rules before it: nothing of it is \
                     taken; send several",
                    self.name("for_each")
                );
                return Taken::TooMany(Problem::at(ProblemType::BatchTooLarge, "", detail));
            }
            // It is told already, once for all rules.
            if item.as_any().is_some_and(|any| any.is::<Unreadable>()) {
                nth += 1;
                continue;
            }
            let place = place_of_item(body.payload, item, list.as_deref(), nth);
            let mut context = body.context.new_inner_scope();
            context.add_variable_as_val("item", item.clone_as_boxed());
            events.push(self.event(emit, body, &context, &place));
            if body.meter.is_exhausted() {
                break;
            }
            nth += 1;
        }
        Taken::Yes(events)
    }

    fn event(
        &self,
        emit: &Emit,
        body: &Body<'_, '_>,
        context: &Context<'_, 'static>,
        item: &str,
    ) -> Result<MappedEvent, MappingError> {
        let one = Evaluation { rule: self, body, context, seen: Seen { payload: body.payload, item } };
        let mut event = MappedEvent { kind: emit.kind.to_owned(), ..MappedEvent::default() };
        let made = one.fill(emit, &mut event);
        made.map(|()| event.clone()).map_err(|problem| MappingError {
            id: event.id.text().map(str::to_owned),
            kind: Some(emit.kind.to_owned()),
            problem,
        })
    }

    /// What an expression is called in a message.
    fn name(&self, key: &str) -> String {
        match &self.emit {
            Some(emit) => format!("rule {}, `{}`: `{key}`", self.number, short(emit.kind)),
            None => format!("rule {}: `{key}`", self.number),
        }
    }

    fn problem(&self, key: &str, of: &Expression, error: &cel::ExecutionError, seen: Seen<'_>) -> MappingError {
        let kind = self.emit.as_ref().map(|emit| emit.kind.to_owned());
        MappingError { id: None, kind, problem: problem(&self.name(key), of, error, seen) }
    }

    fn failed<T>(&self, key: &str, pointer: &str, what: &str, found: &dyn Val) -> Result<T, MappingError> {
        let kind = self.emit.as_ref().map(|emit| emit.kind.to_owned());
        let detail = format!("{} gives {}, which {what}", self.name(key), told(found));
        Err(MappingError { id: None, kind, problem: Problem::at(ProblemType::ExpressionFailed, pointer, detail) })
    }
}

/// That a key says what facts are ordered by, and the source orders them by something else.
pub(super) fn orders_nothing(key: &str, order: Order, needs: Order) -> String {
    let name = |order| match order {
        Order::Version => "version",
        Order::Time => "time",
        Order::Observed => "observed",
    };
    let (order, needs) = (name(order), name(needs));
    format!(
        "`{key}` orders nothing where the source has `order = \"{order}\"`: set `order = \"{needs}\"`, or leave it out"
    )
}

/// Adds what is wrong with the names of a rule's fields.
fn check_fields(of: &EventType, text: &RuleText, report: &mut impl FnMut(&str, String)) {
    for name in text.fields.keys().filter(|name| !of.fields.contains(name)) {
        let near = suggest(name, of.fields.iter().map(String::as_str));
        let near = if near.is_empty() { format!("; it has {}", of.fields.join(", ")) } else { near };
        report(&format!("fields.{name}"), format!("`{}` has no `{}`{near}", short(of.kind), name.escape_debug()));
    }
    let missing: Vec<_> = of.required.iter().filter(|name| !text.fields.contains_key(*name)).collect();
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|name| format!("`fields.{name}`")).collect();
        report("emit", format!("`{}` needs {}", short(of.kind), names.join(", ")));
    }
}

/// Where an item stands.
fn place_of_item(payload: &Document, item: &dyn Val, list: Option<&str>, nth: usize) -> String {
    let any = item.as_any();
    let number = any.and_then(|any| any.downcast_ref::<Object>()).map(Object::number);
    let number = number.or_else(|| any.and_then(|any| any.downcast_ref::<List>()).map(List::number));
    let own = number.and_then(|number| payload.pointer_of(number));
    own.or_else(|| list.map(|list| format!("{list}/{nth}"))).unwrap_or_default()
}

/// One event while it is made.
struct Evaluation<'a, 'c, 'b> {
    rule: &'a Rule,
    body: &'a Body<'b, 'c>,
    context: &'a Context<'a, 'static>,
    seen: Seen<'a>,
}

impl Evaluation<'_, '_, '_> {
    fn fill(&self, emit: &Emit, event: &mut MappedEvent) -> Result<(), Problem> {
        let id = self.of("id", emit.id.as_ref(), "is no text and no whole number", as_id)?;
        event.id = id.map_or(SenderId::None, SenderId::OfNotification);
        event.time = self.of("time", emit.time.as_ref(), "is no instant, as millis(..) gives one", as_instant)?;
        event.sequence = self.of("sequence", emit.sequence.as_ref(), "is no whole number from 0", as_sequence)?;
        let mut data = serde_json::Map::new();
        for (name, of) in &emit.fields {
            let key = format!("fields.{name}");
            let value = of.evaluate(self.context, self.body.meter);
            let value = value.and_then(|value| to_json(value.as_ref(), self.body.meter));
            let value = value.map_err(|error| problem(&self.rule.name(&key), of, &error, self.seen))?;
            if let Some(value) = value {
                data.insert(name.clone(), value);
            }
        }
        event.data = serde_json::Value::Object(data).to_string();
        Ok(())
    }

    fn of<T>(
        &self,
        key: &str,
        of: Option<&Expression>,
        else_what: &str,
        read: impl Fn(&dyn Val) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(of) = of else { return Ok(None) };
        let value = of.evaluate(self.context, self.body.meter);
        let value: CowVal<'_, '_> = value.map_err(|error| problem(&self.rule.name(key), of, &error, self.seen))?;
        read(value.as_ref()).map(Some).ok_or_else(|| {
            let detail = format!("{} gives {}, which {else_what}", self.rule.name(key), told(value.as_ref()));
            Problem::at(ProblemType::ExpressionFailed, self.seen.item, detail)
        })
    }
}

fn as_id(value: &dyn Val) -> Option<String> {
    let text = value.downcast_ref::<CelString>().map(|text| text.inner().to_owned());
    text.or_else(|| Some(as_sequence(value)?.to_string()))
}

fn as_instant(value: &dyn Val) -> Option<DateTime<Utc>> {
    value.downcast_ref::<CelTimestamp>().map(|time| time.inner().to_utc())
}

fn as_sequence(value: &dyn Val) -> Option<u64> {
    let int = value.downcast_ref::<CelInt>().and_then(|number| u64::try_from(*number.inner()).ok());
    int.or_else(|| value.downcast_ref::<CelUInt>().map(|number| *number.inner()))
}
