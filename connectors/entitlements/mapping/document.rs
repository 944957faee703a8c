//! A body of any JSON as values of CEL, read once and strictly: whoever counts on what it says reads the same as we do.
//! Lists and objects know their place, so that what is missing can be told by its JSON pointer; a copy of one is cheap.

use std::{
    cmp::Ordering,
    collections::VecDeque,
    fmt,
    sync::{Arc, OnceLock},
};

use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use rollcall_events::{Digest, json};
use rollcall_ingest::connector::{Problem, ProblemType};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

/// How many values a body may hold: each takes some fifty bytes, whatever it is.
const MAX_VALUES: u32 = 1_000_000;

/// How many items of a body that cannot be read are told apart.
const MAX_UNREADABLE: usize = 1000;

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
    /// An item that cannot be read, which is told apart from the others.
    Unreadable(Unreadable),
}

/// What stands for an item that cannot be read. No expression makes anything of it.
#[derive(Debug, Clone)]
pub(super) struct Unreadable;

/// A body that was read.
pub(super) struct Document {
    pub root: Node,
    /// What is wrong with each item that cannot be read.
    pub unreadable: Vec<Problem>,
    /// Of each list and object, by its number from 1, the number of what it stands in and its index there.
    places: OnceLock<Vec<(u32, u32)>>,
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
            Self::Unreadable(value) => value,
        }
    }

    fn number(&self) -> Option<u32> {
        match self {
            Self::List(list) => Some(list.0.number),
            Self::Object(object) => Some(object.0.number),
            _ => None,
        }
    }

    /// How many values stand in it.
    fn len(&self) -> usize {
        match self {
            Self::List(list) => list.items().len(),
            Self::Object(object) => object.members().len(),
            _ => 0,
        }
    }

    /// The step to a value that stands in it, and the value.
    fn inner(&self, nth: usize) -> Option<(String, &Self)> {
        match self {
            Self::List(list) => Some((nth.to_string(), list.items().get(nth)?)),
            Self::Object(object) => object.members().get(nth).map(|(name, value)| (escaped(name.inner()), value)),
            _ => None,
        }
    }

    /// Notes where the lists and objects of this one stand.
    fn note_places(&self, places: &mut Vec<(u32, u32)>) {
        let Some(own) = self.number() else { return };
        for nth in 0..self.len() {
            let inner = match self {
                Self::List(list) => list.items().get(nth),
                Self::Object(object) => object.members().get(nth).map(|(_, value)| value),
                _ => None,
            };
            let Some((inner, number)) = inner.and_then(|inner| Some((inner, inner.number()?))) else { continue };
            let at = number as usize;
            if places.len() < at {
                places.resize(at, (0, 0));
            }
            if let Some(place) = places.get_mut(at - 1) {
                *place = (own, u32::try_from(nth).unwrap_or(u32::MAX));
            }
            inner.note_places(places);
        }
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

impl Document {
    /// The place of a list or object by its number. All places are found in one pass, the first time that one is asked for.
    pub fn pointer_of(&self, number: u32) -> Option<String> {
        let places = self.places.get_or_init(|| {
            let mut places = Vec::new();
            self.root.note_places(&mut places);
            places
        });
        let mut steps = Vec::new();
        let mut at = number;
        while Some(at) != self.root.number() {
            let (outer, nth) = *places.get(usize::try_from(at).ok()?.checked_sub(1)?)?;
            steps.push(nth);
            at = outer;
        }
        let (mut pointer, mut node) = (String::new(), &self.root);
        for nth in steps.into_iter().rev() {
            let (step, inner) = node.inner(nth as usize)?;
            pointer.push('/');
            pointer.push_str(&step);
            node = inner;
        }
        Some(pointer)
    }

    /// What stands at a JSON pointer.
    pub fn at(&self, pointer: &str) -> Option<&Node> {
        self.root.at(pointer)
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

/// A text that stands in a body for a text or a word that is none. The body cannot have it: it would have its own digest.
fn stand_in(body: &[u8]) -> String {
    format!("unreadable {}", Digest::of(body))
}

/// Reads a body, and the texts at these places as the JSON that they hold. An item of a list that cannot be read, or that says
/// something twice, does not take the others along where it can be told apart.
///
/// # Errors
/// It is no JSON, says something twice, or has a number that cannot be kept as it is written.
pub(super) fn read(body: &[u8], texts: &Texts) -> Result<Document, Problem> {
    let body = json::without_mark(body);
    let whole = match json::syntax_error(body) {
        None => read_mended(body, texts, None),
        Some(error) => Err(malformed(String::new(), format!("{error} ({})", json::place(body, error.at)))),
    };
    whole.or_else(|problem| {
        if problem.kind != ProblemType::Malformed {
            return Err(problem);
        }
        let stand_in = stand_in(body);
        let Some((mended, wrong)) = json::stand_in(body, &stand_in) else { return Err(problem) };
        if json::syntax_error(&mended).is_some() {
            return Err(problem);
        }
        read_mended(&mended, texts, Some(StandIns { text: stand_in, wrong: wrong.into() })).map_err(|_| problem)
    })
}

fn malformed(pointer: String, detail: String) -> Problem {
    Problem::at(ProblemType::Malformed, pointer, detail)
}

/// Reads what is JSON.
fn read_mended(body: &[u8], texts: &Texts, mended: Option<StandIns>) -> Result<Document, Problem> {
    let mut reading = Reading { mended, texts: texts.clone(), ..Reading::default() };
    let mut de = serde_json::Deserializer::from_slice(body);
    let read = Value(&mut reading).deserialize(&mut de).and_then(|value| de.end().map(|()| value));
    match read {
        Err(_) if reading.too_many => {
            let detail = format!("the body holds more than {MAX_VALUES} values; send several");
            Err(Problem::at(ProblemType::BatchTooLarge, "", detail))
        }
        Err(error) => Err(malformed(reading.pointer(), json::plain_words(&error.to_string()))),
        // It stands in no list: there is nothing that could be told apart.
        Ok(root) => match reading.wrong {
            Some(problem) => Err(problem),
            None => Ok(Document { root, unreadable: reading.unreadable, places: OnceLock::new() }),
        },
    }
}

/// What stands in for what was there.
struct StandIns {
    text: String,
    /// What is wrong with each, in order.
    wrong: VecDeque<String>,
}

/// The places of texts that hold JSON themselves, by their steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts(Arc<[Vec<String>]>);

impl Texts {
    /// Reads JSON pointers.
    ///
    /// # Errors
    /// The first that is none, by its index.
    pub fn at(pointers: &[String]) -> Result<Self, usize> {
        let steps = |(n, pointer): (usize, &String)| {
            let rest = pointer.strip_prefix('/').filter(|rest| !rest.is_empty()).ok_or(n)?;
            Ok(rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
        };
        pointers.iter().enumerate().map(steps).collect::<Result<Vec<_>, _>>().map(|all| Self(all.into()))
    }
}

/// What is known while a body is read.
#[derive(Default)]
struct Reading {
    texts: Texts,
    values: u32,
    containers: u32,
    /// Where the reader is; where it stopped, once it did.
    steps: Vec<String>,
    too_many: bool,
    /// Nothing where nothing stands in.
    mended: Option<StandIns>,
    /// What is wrong with what is read now. The item of a list that it stands in takes it.
    wrong: Option<Problem>,
    unreadable: Vec<Problem>,
}

impl Reading {
    fn pointer(&self) -> String {
        self.steps.iter().map(|step| format!("/{}", escaped(step))).collect()
    }

    fn note(&mut self, detail: impl Into<String>) {
        let problem = malformed(self.pointer(), detail.into());
        self.wrong.get_or_insert(problem);
    }

    /// Whether a text stands in for what cannot be read.
    fn is_stand_in(&mut self, text: &str) -> bool {
        let Some(mended) = self.mended.as_mut().filter(|mended| mended.text == text) else { return false };
        let detail = mended.wrong.pop_front().unwrap_or_else(|| "it is no JSON".to_owned());
        self.note(detail);
        true
    }
}

struct Value<'a>(&'a mut Reading);

impl Value<'_> {
    /// The JSON that a text holds, at its place: what is wrong in it is told with the place in it.
    fn read_text<E: Error>(self, text: String) -> Result<Node, E> {
        let Self(reading) = self;
        let depth = reading.steps.len();
        let mut de = serde_json::Deserializer::from_str(&text);
        let read = Value(&mut *reading).deserialize(&mut de).and_then(|node| de.end().map(|()| node));
        match read {
            Ok(node) => Ok(node),
            Err(_) if reading.too_many => Err(E::custom("refused")),
            Err(error) => {
                let what = json::plain_words(&error.to_string());
                reading.note(format!("the text there is no JSON: {what}"));
                reading.steps.truncate(depth);
                Ok(Node::Text(CelString::from(text)))
            }
        }
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
            self.0.too_many = true;
            return Err(D::Error::custom("refused"));
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
            self.0.note("a whole number of more than 64 bits, which is not kept exactly; send it as a text");
            return Ok(Node::Null(CelNull));
        }
        Ok(Node::Double(value.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Node, E> {
        if !self.0.is_stand_in(&text) && self.0.texts.0.contains(&self.0.steps) {
            return self.read_text(text);
        }
        Ok(Node::Text(CelString::from(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut all: A) -> Result<Node, A::Error> {
        let number = self.begin();
        let mut items = Vec::new();
        // What stands before the list is not its items'.
        let before = self.0.wrong.take();
        self.0.steps.push(String::new());
        loop {
            if let Some(step) = self.0.steps.last_mut() {
                *step = items.len().to_string();
            }
            match all.next_element_seed(Value(self.0))? {
                Some(item) => items.push(match self.0.wrong.take() {
                    Some(problem) if self.0.unreadable.len() < MAX_UNREADABLE => {
                        self.0.unreadable.push(problem);
                        Node::Unreadable(Unreadable)
                    }
                    wrong => {
                        self.0.wrong = wrong;
                        item
                    }
                }),
                None => break,
            }
        }
        self.0.steps.pop();
        self.0.wrong = before.or(self.0.wrong.take());
        Ok(Node::List(List(Arc::new(ListData { number, items }))))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut all: A) -> Result<Node, A::Error> {
        let number = self.begin();
        let mut members: Vec<(CelString<'static>, Node)> = Vec::new();
        while let Some(name) = all.next_key::<String>()? {
            self.0.is_stand_in(&name);
            self.0.steps.push(name.clone());
            let value = all.next_value_seed(Value(self.0))?;
            self.0.steps.pop();
            members.push((CelString::from(name), value));
        }
        members.sort_by(|(a, _), (b, _)| a.inner().cmp(b.inner()));
        let twice = |pair: &&[(CelString<'static>, Node)]| matches!(pair, [(a, _), (b, _)] if a.inner().cmp(b.inner()) == Ordering::Equal);
        if let Some([(name, _), ..]) = members.windows(2).find(twice) {
            self.0.steps.push(name.inner().to_owned());
            self.0.note("it is there twice; state it once");
            self.0.steps.pop();
        }
        Ok(Node::Object(Object(Arc::new(ObjectData { number, members }))))
    }
}
