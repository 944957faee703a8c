//! What an expression can call: the functions of CEL, and five of ours for times as licensing systems write them.
//!
//! | function | takes | gives |
//! |---|---|---|
//! | `seconds(x)`, `millis(x)` | a whole number, or a text of digits | the instant so long after 1970-01-01T00:00:00Z |
//! | `day_start(x)` | a day, as in 2026-01-31, or an instant, of which the day in UTC is meant | the instant at which that day begins in the source's `time_zone` |
//! | `day_end(x)` | the same | the instant at which that day is over: what `ends` is where the last day still counts |
//! | `never(x)` | anything, also a member that is not there | whether it says that there is no such time: it is absent, null, `""`, 0, or in the year 9999 |

use std::sync::{Arc, LazyLock};

use cel::{
    Env, ExecutionError,
    common::{
        ast::{CallExpr, Expr, operators},
        types::{CelBool, CelInt, CelOptional, CelString, CelTimestamp, CelUInt, DYN_TYPE, Kind},
        value::{CowVal, Val},
    },
    parser::Macro,
};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use rollcall_events::time::parse_day;

use super::{
    meter::Meter,
    values::{contains, readable, same, weight},
};

/// Functions that are called with everything in parentheses.
pub(super) const GLOBAL: &[&str] = &[
    "bool",
    "bytes",
    "day_end",
    "day_start",
    "double",
    "duration",
    "dyn",
    "int",
    "millis",
    "never",
    "seconds",
    "size",
    "string",
    "timestamp",
    "type",
    "uint",
];

/// Functions that are called on a value.
pub(super) const MEMBER: &[&str] = &[
    "contains",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "hasValue",
    "or",
    "orValue",
    "size",
    "startsWith",
    "value",
];

/// What is written like a function on a value and means a loop or a binding.
pub(super) const MACROS: &[&str] =
    &["all", "exists", "exists_one", "existsOne", "filter", "has", "map", "optFlatMap", "optMap"];

/// Functions of the namespace `optional`.
pub(super) const OPTIONAL: &[&str] = &["none", "of", "ofNonZeroValue"];

/// The names of types, which `type(x)` is compared with.
pub(super) const TYPES: &[&str] =
    &["bool", "bytes", "double", "int", "list", "map", "null_type", "optional_type", "string", "type", "uint"];

/// What is written into an expression when it is compiled. No expression can spell them.
pub(super) const COST: &str = "@cost";
pub(super) const LOOP: &str = "@loop";
pub(super) const SAME: &str = "@same";
pub(super) const IN: &str = "@within";
pub(super) const NEVER: &str = "@never";
pub(super) const OBJECT: &str = "@object";
pub(super) const LIST: &str = "@list";
pub(super) const INDEXED: &str = "@indexed";
/// They need the source's time zone.
pub(super) const ZONED: [(&str, &str); 2] = [("day_start", "@day_start"), ("day_end", "@day_end")];

type Args<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// The environment in which every expression is compiled and evaluated.
pub(super) fn env() -> Arc<Env> {
    static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut env = Env::stdlib();
        let one = || vec![DYN_TYPE];
        let two = || vec![DYN_TYPE, DYN_TYPE];
        let three = || vec![DYN_TYPE, DYN_TYPE, DYN_TYPE];
        // None is declared twice: a test calls each.
        drop(env.add_overload(COST, COST, two(), cost));
        drop(env.add_overload(LOOP, LOOP, three(), charge_loop));
        drop(env.add_overload(SAME, SAME, three(), is_same));
        drop(env.add_overload(IN, IN, three(), is_in));
        drop(env.add_overload(NEVER, NEVER, one(), is_never));
        drop(env.add_overload(OBJECT, OBJECT, one(), object));
        drop(env.add_overload(LIST, LIST, one(), list));
        drop(env.add_overload(INDEXED, INDEXED, one(), indexed));
        drop(env.add_overload("seconds", "seconds", one(), seconds));
        drop(env.add_overload("millis", "millis", one(), millis));
        drop(env.add_overload("@day_start", "@day_start", two(), day_start));
        drop(env.add_overload("@day_end", "@day_end", two(), day_end));
        drop(env.add_macro(Macro::global("never", 1, |helper, _, args| {
            let Some(value) = args.pop() else { return Ok(None) };
            let mut call = |name: &str, args| {
                helper.next_expr(Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
            };
            let Expr::Select(member) = &value.expr else { return Ok(Some(call(NEVER, vec![value]))) };
            let mut member = member.clone();
            member.test = true;
            let is_never = call(NEVER, vec![value]);
            let has = helper.next_expr(Expr::Select(member));
            let mut call = |name: &str, args| {
                helper.next_expr(Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
            };
            let absent = call(operators::LOGICAL_NOT, vec![has]);
            Ok(Some(call(operators::LOGICAL_OR, vec![absent, is_never])))
        })));
        Arc::new(env)
    });
    Arc::clone(&ENV)
}

fn metered<'a>(args: &'a [CowVal<'_, '_>]) -> Result<&'a Meter, ExecutionError> {
    let meter = args.last().and_then(|meter| meter.as_any()?.downcast_ref::<Meter>());
    meter.ok_or_else(|| ExecutionError::function_error(COST, "there is no meter"))
}

/// Hands a value on that can be read and charges what it costs to copy it or to look at it.
fn cost<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let value = first(&args)?;
    readable(value)?;
    metered(&args)?.charge(weight(value))?;
    into_first(args)
}

/// Hands on what a loop goes over and charges so many steps for each of it.
fn charge_loop<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let size = first(&args)?.as_sizer().map_or(1, |sizer| *sizer.size().inner()).unsigned_abs();
    let steps = args.get(1).and_then(|steps| steps.downcast_ref::<CelInt>()).map_or(1, |steps| *steps.inner());
    metered(&args)?.charge(size.saturating_mul(steps.unsigned_abs()).saturating_add(weight(first(&args)?)))?;
    into_first(args)
}

fn is_same<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let [one, other, ..] = &args[..] else { return Err(ExecutionError::missing_argument_or_target()) };
    Ok(truth(same(one.as_ref(), other.as_ref(), Some(metered(&args)?))?))
}

fn is_in<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let [value, all, ..] = &args[..] else { return Err(ExecutionError::missing_argument_or_target()) };
    Ok(truth(contains(all.as_ref(), value.as_ref(), Some(metered(&args)?))?))
}

/// Hands on what a member is looked for in. The library takes what is no object for one without members: what is of another
/// kind would count as absent.
fn object<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    of_kind(args, OBJECT, &[Kind::Map])
}

/// The same of what has an index that is a number.
fn list<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    of_kind(args, LIST, &[Kind::List])
}

/// The same of what has an index of any kind.
fn indexed<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    of_kind(args, INDEXED, &[Kind::Map, Kind::List])
}

fn of_kind<'b, 'v>(args: Args<'b, 'v>, function: &str, kinds: &[Kind]) -> Answer<'b, 'v> {
    let value = first(&args)?;
    let found = match value.downcast_ref::<CelOptional>() {
        None => Some(value.get_type()),
        Some(optional) => optional.option().map(|inner| inner.get_type()),
    };
    match found {
        Some(found) if !kinds.contains(&found.kind()) => {
            Err(ExecutionError::function_error(function, type_in_words(found.name())))
        }
        _ => into_first(args),
    }
}

fn is_never<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let value = first(&args)?;
    let in_9999 = |time: &CelTimestamp| time.inner().to_utc().year() >= 9999;
    let number = value.downcast_ref::<CelInt>().map(|number| *number.inner());
    let never = match value.downcast_ref::<CelString>().map(CelString::inner) {
        Some(text) => {
            let text = text.trim();
            text.is_empty() || text.bytes().all(|b| b == b'0') || text.starts_with("9999-")
        }
        None => {
            value.get_type().kind() == Kind::NullType
                || number == Some(0)
                || value.downcast_ref::<CelTimestamp>().is_some_and(in_9999)
        }
    };
    Ok(truth(never))
}

fn seconds<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let number = whole_number("seconds", first(&args)?)?;
    instant("seconds", number, DateTime::from_timestamp(number, 0))
}

fn millis<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let number = whole_number("millis", first(&args)?)?;
    instant("millis", number, DateTime::from_timestamp_millis(number))
}

fn day_start<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let (day, zone) = day_and_zone("day_start", &args)?;
    beginning("day_start", Some(day), zone)
}

fn day_end<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let (day, zone) = day_and_zone("day_end", &args)?;
    beginning("day_end", day.succ_opt(), zone)
}

/// A whole number, or a text of nothing but digits.
fn whole_number(function: &str, value: &dyn Val) -> Result<i64, ExecutionError> {
    let text = value.downcast_ref::<CelString>().map(CelString::inner);
    let digits = |text: &&str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let number = value.downcast_ref::<CelInt>().map(|number| *number.inner());
    let number = number.or_else(|| i64::try_from(*value.downcast_ref::<CelUInt>()?.inner()).ok());
    let number = number.or_else(|| text.filter(digits)?.parse().ok());
    number.ok_or_else(|| {
        let takes = "takes a whole number or a text of digits";
        ExecutionError::function_error(function, format!("{takes}, not {}", told(value)))
    })
}

/// The day that is meant, and the zone in which it begins.
fn day_and_zone(function: &str, args: &[CowVal<'_, '_>]) -> Result<(NaiveDate, Tz), ExecutionError> {
    let value = args.first().ok_or_else(ExecutionError::missing_argument_or_target)?;
    let of_text = value.downcast_ref::<CelString>().and_then(|text| parse_day(text.inner()));
    let of_instant = || Some(value.downcast_ref::<CelTimestamp>()?.inner().to_utc().date_naive());
    let day = of_text.or_else(of_instant).ok_or_else(|| {
        let takes = "takes a day, as in \"2026-01-31\", or an instant, as of millis(..)";
        ExecutionError::function_error(function, format!("{takes}, not {}", told(value.as_ref())))
    })?;
    let zone = args.get(1).and_then(|zone| zone.downcast_ref::<CelString>()?.inner().parse().ok());
    Ok((day, zone.unwrap_or(Tz::UTC)))
}

/// The first instant of a day: where its midnight is left out, the first one after it; where it comes twice, the first.
fn beginning<'b, 'v>(function: &str, day: Option<NaiveDate>, zone: Tz) -> Answer<'b, 'v> {
    let midnight = day.map(|day| day.and_time(NaiveTime::MIN));
    // A zone may leave out a whole day, where it crossed the date line.
    let quarters = (0..=100).map(|quarters| TimeDelta::minutes(15 * quarters));
    let found = midnight.and_then(|midnight| {
        quarters
            .filter_map(|later| midnight.checked_add_signed(later))
            .find_map(|at| zone.from_local_datetime(&at).earliest())
    });
    let out_of_range = || ExecutionError::function_error(function, "there is no day after the last of the year 9999");
    let found = found.map(|found| found.to_utc()).filter(|found| (0..=9999).contains(&found.year()));
    found.map(timestamp).ok_or_else(out_of_range)
}

fn instant<'b, 'v>(function: &str, number: i64, found: Option<DateTime<Utc>>) -> Answer<'b, 'v> {
    let found = found.filter(|found| (0..=9999).contains(&found.year()));
    let wrong = || ExecutionError::function_error(function, format!("{number} is beyond the year 9999: another unit?"));
    found.map(timestamp).ok_or_else(wrong)
}

fn timestamp<'b, 'v>(instant: DateTime<Utc>) -> CowVal<'b, 'v> {
    CowVal::owned(CelTimestamp::from(instant.fixed_offset()))
}

fn truth<'b, 'v>(value: bool) -> CowVal<'b, 'v> {
    CowVal::owned(CelBool::from(value))
}

/// A value as an error tells it: short, and only what it is where it is long.
pub(super) fn told(value: &dyn Val) -> String {
    let text = value.downcast_ref::<CelString>().map(CelString::inner);
    match (text, value.downcast_ref::<CelInt>()) {
        (Some(""), _) => "an empty text".to_owned(),
        (Some(text), _) if text.chars().count() <= 40 => format!("`{}`", text.escape_debug()),
        (_, Some(number)) => number.inner().to_string(),
        _ => type_in_words(value.get_type().name()),
    }
}

/// The name of a type of CEL in the words of JSON.
pub(super) fn type_in_words(name: &str) -> String {
    match name {
        "null_type" => "null",
        "string" => "a text",
        "int" | "uint" => "a whole number",
        "double" => "a number",
        "bool" => "true or false",
        "list" => "a list",
        "map" => "an object",
        "unreadable" => "an item that cannot be read",
        "google.protobuf.Timestamp" => "an instant",
        "google.protobuf.Duration" => "a duration",
        other => other,
    }
    .to_owned()
}

fn first<'a, 'v>(args: &'a [CowVal<'_, 'v>]) -> Result<&'a (dyn Val + 'v), ExecutionError> {
    args.first().map(AsRef::as_ref).ok_or_else(ExecutionError::missing_argument_or_target)
}

fn into_first<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    args.into_iter().next().ok_or_else(ExecutionError::missing_argument_or_target)
}
