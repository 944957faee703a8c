//! A body of any JSON as values of CEL, read once and strictly: whoever counts on what it says reads the same as we do.
//! Lists and objects know their place, so that what is missing can be told by its JSON pointer; a copy of one is cheap.

use std::{cmp::Ordering, fmt, sync::Arc};

use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use rollcall_events::json;
use rollcall_ingest::connector::{Problem, ProblemType};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

/// How many values a body may hold: each takes some fifty bytes, whatever it is.
const MAX_VALUES: u32 = 1_000_000;

/// The whole numbers of JSON that are read exactly end below it, either way.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// One value of a body.
#[derive(Clone)]
pub(super) enum Node {
    Null(CelNull),
    Bool(CelBool),
    Int(CelInt),
    UInt(CelUInt),
    Double(CelDouble),
    Text(CelString<'static>),
    List(List),
    Object(Object),
}

/// A list of a body.
#[derive(Clone)]
pub(super) struct List(Arc<ListData>);

struct ListData {
    /// Its number among the lists and objects of the body, as they begin.
    number: u32,
    items: Vec<Node>,
}

/// An object of a body.
#[derive(Clone)]
pub(super) struct Object(Arc<ObjectData>);

struct ObjectData {
    number: u32,
    /// Sorted by name.
    members: Vec<(CelString<'static>, Node)>,
}

impl Node {
    /// As CEL sees it.
    pub fn as_val(&self) -> &(dyn Val + 'static) {
        match self {
            Self::Null(value) => value,
            Self::Bool(value) => value,
            Self::Int(value) => value,
            Self::UInt(value) => value,
            Self::Double(value) => value,
            Self::Text(value) => value,
            Self::List(value) => value,
            Self::Object(value) => value,
        }
    }

    /// The place of a list or object by its number.
    pub fn pointer_of(&self, number: u32) -> Option<String> {
        let mut pointer = String::new();
        let mut at = self;
        loop {
            let own = at.number()?;
            if own == number {
                return Some(pointer);
            }
            // They are numbered as they begin, so it is in the last one that begins before it.
            let (step, inner) = match at {
                Self::List(list) => {
                    let inside = list.0.items.iter().enumerate().rfind(|(_, item)| item.begins_by(number))?;
                    (inside.0.to_string(), inside.1)
                }
                Self::Object(object) => {
                    let inside = object.0.members.iter().filter(|(_, member)| member.begins_by(number));
                    let inside = inside.max_by_key(|(_, member)| member.number())?;
                    (escaped(inside.0.inner()), &inside.1)
                }
                _ => return None,
            };
            pointer.push('/');
            pointer.push_str(&step);
            at = inner;
        }
    }

    fn number(&self) -> Option<u32> {
        match self {
            Self::List(list) => Some(list.0.number),
            Self::Object(object) => Some(object.0.number),
            _ => None,
        }
    }

    fn begins_by(&self, number: u32) -> bool {
        self.number().is_some_and(|own| own <= number)
    }

    /// What stands at a JSON pointer.
    pub fn at(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |at, step| match at {
            Self::Object(object) => object.member(&step.replace("~1", "/").replace("~0", "~")),
            Self::List(list) => list.items().get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl List {
    pub fn items(&self) -> &[Node] {
        &self.0.items
    }

    pub fn number(&self) -> u32 {
        self.0.number
    }
}

impl Object {
    pub fn members(&self) -> &[(CelString<'static>, Node)] {
        &self.0.members
    }

    pub fn member(&self, name: &str) -> Option<&Node> {
        let at = self.0.members.binary_search_by(|(known, _)| known.inner().cmp(name)).ok()?;
        self.0.members.get(at).map(|(_, value)| value)
    }

    pub fn number(&self) -> u32 {
        self.0.number
    }
}

/// A step of a JSON pointer.
pub(super) fn escaped(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

/// Reads a body.
///
/// # Errors
/// It is no JSON, says something twice, or has a number that cannot be kept as it is written.
pub(super) fn read(body: &[u8]) -> Result<Node, Problem> {
    let body = json::without_mark(body);
    let malformed = |pointer: String, detail: String| Problem::at(ProblemType::Malformed, pointer, detail);
    if let Some(error) = json::syntax_error(body) {
        return Err(malformed(String::new(), format!("{error} ({})", json::place(body, error.at))));
    }
    let mut reading = Reading::default();
    let mut de = serde_json::Deserializer::from_slice(body);
    let read = Value(&mut reading).deserialize(&mut de).and_then(|value| de.end().map(|()| value));
    read.map_err(|error| {
        let pointer = reading.steps.iter().map(|step| format!("/{}", escaped(step))).collect();
        match reading.wrong {
            Some(Wrong::TooMany) => {
                let detail = format!("the body holds more than {MAX_VALUES} values; send several");
                Problem::at(ProblemType::BatchTooLarge, "", detail)
            }
            Some(Wrong::Twice) => malformed(pointer, "it is there twice; state it once".to_owned()),
            Some(Wrong::Number) => {
                let detail = "a whole number of more than 64 bits, which is not kept exactly; send it as a text";
                malformed(pointer, detail.to_owned())
            }
            None => malformed(pointer, json::plain_words(&error.to_string())),
        }
    })
}

/// What is known while a body is read.
#[derive(Default)]
struct Reading {
    values: u32,
    containers: u32,
    /// Where the reader is; where it stopped, once it did.
    steps: Vec<String>,
    wrong: Option<Wrong>,
}

enum Wrong {
    TooMany,
    Twice,
    Number,
}

struct Value<'a>(&'a mut Reading);

impl Value<'_> {
    fn refuse<E: Error>(self, wrong: Wrong) -> E {
        self.0.wrong = Some(wrong);
        E::custom("refused")
    }

    fn begin(&mut self) -> u32 {
        self.0.containers += 1;
        self.0.containers
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Node, D::Error> {
        self.0.values += 1;
        if self.0.values > MAX_VALUES {
            return Err(self.refuse(Wrong::TooMany));
        }
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null(CelNull))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or_else(|_| Node::UInt(value.into()), |value| Node::Int(value.into())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        if value.abs() >= TWO_TO_63 {
            return Err(self.refuse(Wrong::Number));
        }
        Ok(Node::Double(value.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(CelString::from(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut all: A) -> Result<Node, A::Error> {
        let number = self.begin();
        let mut items = Vec::new();
        self.0.steps.push(String::new());
        loop {
            if let Some(step) = self.0.steps.last_mut() {
                *step = items.len().to_string();
            }
            match all.next_element_seed(Value(self.0))? {
                Some(item) => items.push(item),
                None => break,
            }
        }
        self.0.steps.pop();
        Ok(Node::List(List(Arc::new(ListData { number, items }))))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut all: A) -> Result<Node, A::Error> {
        let number = self.begin();
        let mut members: Vec<(CelString<'static>, Node)> = Vec::new();
        while let Some(name) = all.next_key::<String>()? {
            self.0.steps.push(name.clone());
            let value = all.next_value_seed(Value(self.0))?;
            self.0.steps.pop();
            members.push((CelString::from(name), value));
        }
        members.sort_by(|(a, _), (b, _)| a.inner().cmp(b.inner()));
        let twice = |pair: &&[(CelString<'static>, Node)]| matches!(pair, [(a, _), (b, _)] if a.inner().cmp(b.inner()) == Ordering::Equal);
        if let Some([(name, _), ..]) = members.windows(2).find(twice) {
            self.0.steps.push(name.inner().to_owned());
            return Err(self.refuse(Wrong::Twice));
        }
        Ok(Node::Object(Object(Arc::new(ObjectData { number, members }))))
    }
}
