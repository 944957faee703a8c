//! What CEL can do with the lists and objects of a body, how two values are compared, and how a result becomes JSON.

use std::{any::Any, fmt, sync::Arc};

use cel::{
    ExecutionError,
    common::{
        traits::{Adder, Container, Indexer, Iterable, Iterator, Sizer},
        types::{
            CelBool, CelDouble, CelInt, CelList, CelMap, CelOptional, CelString, CelTimestamp, CelUInt, Kind,
            LIST_TYPE, MAP_TYPE, Type,
        },
        value::{CowVal, StaticVal, Val},
    },
};
use chrono::SecondsFormat;
use serde_json::Value;

use super::{
    document::{List, Node, Object, Unreadable},
    meter::Meter,
};

/// What separates the number of an object from the name of the member that it lacks, in the error of one.
const MISSING: char = '\u{1}';

/// The object and the member in the error of a look-up that found nothing in a body.
pub(super) fn missing_member(key: &str) -> Option<(u32, &str)> {
    let (number, name) = key.split_once(MISSING)?;
    Some((number.parse().ok()?, name))
}

/// Both print as what they are: errors of CEL show values, and a body can be long.
impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("list")
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("object")
    }
}

impl StaticVal for Unreadable {}

static UNREADABLE: Type = Type::new_unspecified_type("unreadable");

impl Val for Unreadable {
    fn get_type(&self) -> &Type {
        &UNREADABLE
    }
    fn cel_type() -> &'static Type {
        &UNREADABLE
    }
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for List {}
impl StaticVal for Object {}

static LIST: Type = LIST_TYPE;
static MAP: Type = MAP_TYPE;

impl Val for List {
    fn get_type(&self) -> &Type {
        &LIST
    }
    fn cel_type() -> &'static Type {
        &LIST
    }
    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }
    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }
    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }
    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }
    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }
    fn equals(&self, other: &dyn Val) -> bool {
        same(self, other, None).unwrap_or(false)
    }
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl Adder for List {
    fn add<'b, 'v>(&'b self, rhs: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let own: Vec<Box<dyn Val + 'v>> = self.items().iter().map(|item| item.as_val().clone_as_boxed()).collect();
        let own = CelList::from(own);
        own.as_adder().map_or_else(
            || Err(ExecutionError::missing_argument_or_target()),
            |own| own.add(rhs).map(|sum| CowVal::Owned(sum.into_owned())),
        )
    }
}

impl Container for List {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        contains(self, value, None)
    }
}

impl Indexer for List {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(at) = index.downcast_ref::<CelInt>().map(|at| *at.inner()) else {
            let got = index.get_type().name().to_owned();
            return Err(ExecutionError::UnexpectedType { got, want: "int".to_owned() });
        };
        let found = usize::try_from(at).ok().and_then(|at| self.items().get(at));
        found.map(|item| CowVal::Borrowed(item.as_val())).ok_or_else(|| ExecutionError::IndexOutOfBounds(at.into()))
    }
    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

impl Iterable for List {
    fn iter<'b, 'v>(&'b self) -> Box<dyn Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Each(self.items().iter().map(Node::as_val)))
    }
}

impl Sizer for List {
    fn size(&self) -> CelInt {
        count(self.items().len())
    }
}

impl Val for Object {
    fn get_type(&self) -> &Type {
        &MAP
    }
    fn cel_type() -> &'static Type {
        &MAP
    }
    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }
    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }
    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }
    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }
    fn equals(&self, other: &dyn Val) -> bool {
        same(self, other, None).unwrap_or(false)
    }
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl Container for Object {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(key.downcast_ref::<CelString>().is_some_and(|key| self.member(key.inner()).is_some()))
    }
}

impl Indexer for Object {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(name) = key.downcast_ref::<CelString>() else {
            let got = key.get_type().name().to_owned();
            return Err(ExecutionError::UnexpectedType { got, want: "string".to_owned() });
        };
        let missing = || ExecutionError::NoSuchKey(Arc::new(format!("{}{MISSING}{}", self.number(), name.inner())));
        self.member(name.inner()).map(|value| CowVal::Borrowed(value.as_val())).ok_or_else(missing)
    }
    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

impl Iterable for Object {
    fn iter<'b, 'v>(&'b self) -> Box<dyn Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Each(self.members().iter().map(|(name, _)| name as &dyn Val)))
    }
}

impl Sizer for Object {
    fn size(&self) -> CelInt {
        count(self.members().len())
    }
}

/// An iterator of Rust as one of CEL.
struct Each<I>(I);

impl<'b, 'v, I: std::iter::Iterator<Item = &'b (dyn Val + 'static)>> Iterator<'b, 'v> for Each<I> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|value| value as &(dyn Val + 'v))
    }
}

fn count(length: usize) -> CelInt {
    i64::try_from(length).unwrap_or(i64::MAX).into()
}

/// What cannot be read may be anything: whoever looks at it comes to nothing.
///
/// # Errors
/// It cannot be read.
pub(super) fn readable(value: &dyn Val) -> Result<(), ExecutionError> {
    match value.as_any().is_some_and(|any| any.is::<Unreadable>()) {
        true => Err(ExecutionError::function_error("", "it depends on what cannot be read")),
        false => Ok(()),
    }
}

/// Whether two values are equal. What is compared is charged.
pub(super) fn same(a: &dyn Val, b: &dyn Val, meter: Option<&Meter>) -> Result<bool, ExecutionError> {
    meter.map_or(Ok(()), |meter| meter.charge(weight(a)))?;
    readable(a)?;
    readable(b)?;
    if let (Some(one), Some(other)) = (a.downcast_ref::<CelOptional>(), b.downcast_ref::<CelOptional>()) {
        return match (one.option(), other.option()) {
            (Some(one), Some(other)) => same(one, other, meter),
            (one, other) => {
                one.into_iter().chain(other).try_for_each(readable)?;
                Ok(one.is_none() && other.is_none())
            }
        };
    }
    let size = |value: &dyn Val| value.as_sizer().map(|sizer| *sizer.size().inner());
    match (a.get_type().kind(), b.get_type().kind()) {
        (Kind::List, Kind::List) | (Kind::Map, Kind::Map) if size(a) != size(b) => Ok(false),
        (Kind::List, Kind::List) => {
            let (Some(left), Some(right)) = (a.as_iterable(), b.as_iterable()) else { return Ok(false) };
            let (mut left, mut right) = (left.iter(), right.iter());
            while let (Some(one), Some(other)) = (left.next(), right.next()) {
                if !same(one, other, meter)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Kind::Map, Kind::Map) => {
            let (Some(keys), Some(left), Some(right)) = (a.as_iterable(), a.as_indexer(), b.as_indexer()) else {
                return Ok(false);
            };
            let mut keys = keys.iter();
            while let Some(key) = keys.next() {
                let equal = match (left.get(key), right.get(key)) {
                    (Ok(one), Ok(other)) => same(one.as_ref(), other.as_ref(), meter)?,
                    _ => false,
                };
                if !equal {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Kind::List | Kind::Map, _) | (_, Kind::List | Kind::Map) => Ok(false),
        _ => Ok(a.equals(b)),
    }
}

/// Whether a list or an object contains a value, or a key. What is compared is charged.
pub(super) fn contains(all: &dyn Val, value: &dyn Val, meter: Option<&Meter>) -> Result<bool, ExecutionError> {
    let no_container = || {
        let types = [value, all].map(|one| one.get_type().name().to_owned());
        ExecutionError::no_such_overload("@in", types.to_vec())
    };
    match (all.get_type().kind(), all.as_iterable()) {
        (Kind::List, Some(items)) => {
            let mut items = items.iter();
            while let Some(item) = items.next() {
                if same(item, value, meter)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => all.as_container().ok_or_else(no_container)?.contains(value),
    }
}

/// What it costs to copy a value or to look at all of it. A list or an object of the body is copied by its reference.
pub(super) fn weight(value: &dyn Val) -> u64 {
    if let Some(text) = value.downcast_ref::<CelString>() {
        1 + text.inner().len() as u64 / 16
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        list.inner().iter().fold(1, |sum, item| sum + weight(item.as_ref()))
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        map.inner().values().fold(1, |sum, item| sum + 1 + weight(item.as_ref()))
    } else {
        1
    }
}

/// A result as JSON; nothing for an optional value that is none.
///
/// # Errors
/// What it is instead.
pub(super) fn to_json(value: &dyn Val, meter: &Meter) -> Result<Option<Value>, ExecutionError> {
    meter.charge(weight(value))?;
    let no_json = |what: &str| Err(ExecutionError::function_error("", format!("{what} is no value of a fact")));
    if let Some(optional) = value.downcast_ref::<CelOptional>() {
        return optional.option().map_or(Ok(None), |inner| to_json(inner, meter));
    }
    let json = match value.get_type().kind() {
        Kind::NullType => Value::Null,
        Kind::Boolean => value.downcast_ref::<CelBool>().map(|value| *value.inner()).into(),
        Kind::Int => value.downcast_ref::<CelInt>().map(|value| *value.inner()).into(),
        Kind::UInt => value.downcast_ref::<CelUInt>().map(|value| *value.inner()).into(),
        Kind::Double => match value.downcast_ref::<CelDouble>().map(|value| *value.inner()) {
            // A whole number that was written as 10.0.
            Some(number) if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
                Value::from(number as i64)
            }
            Some(number) if number.is_finite() => number.into(),
            _ => return no_json("NaN or an infinite number"),
        },
        Kind::String => value.downcast_ref::<CelString>().map(|text| text.inner().to_owned()).into(),
        Kind::Timestamp => value
            .downcast_ref::<CelTimestamp>()
            .map(|time| time.inner().to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
            .into(),
        Kind::List => {
            let mut list = Vec::new();
            let mut items = value.as_iterable().map(Iterable::iter);
            while let Some(item) = items.as_mut().and_then(|items| items.next()) {
                list.extend(to_json(item, meter)?);
            }
            Value::Array(list)
        }
        Kind::Map => {
            let mut map = serde_json::Map::new();
            let mut keys = value.as_iterable().map(Iterable::iter);
            while let Some(key) = keys.as_mut().and_then(|keys| keys.next()) {
                let (Some(name), Some(members)) = (key.downcast_ref::<CelString>(), value.as_indexer()) else {
                    return no_json("a map whose keys are no texts");
                };
                if let Some(inner) = to_json(members.get(key)?.as_ref(), meter)? {
                    map.insert(name.inner().to_owned(), inner);
                }
            }
            Value::Object(map)
        }
        Kind::Duration => return no_json("a duration"),
        _ => return no_json("a type, bytes or the like"),
    };
    Ok(Some(json))
}
