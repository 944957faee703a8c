//! Instants as people and programs write them: RFC 3339 with a year of four digits, here and in UTC, and nothing else. One
//! reader for whatever comes in, so that one refusal says what is expected.

use std::{borrow::Cow, fmt};

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, de};

/// How far ahead of our clock a time may be that orders events, and that a sender signs with.
pub const MAX_AHEAD: chrono::TimeDelta = chrono::TimeDelta::seconds(300);

/// What an instant looks like.
pub const FORM: &str = "an instant in RFC 3339, such as 2026-01-31T12:00:00Z";

/// A text that is no instant, and what it seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidTime {
    /// Nothing.
    Empty,
    /// A number, of whatever unit since whenever.
    Number,
    /// A day, which is as long as its zone says.
    Day,
    /// A time without a zone.
    NoZone,
    /// The hour 24.
    Hour24,
    /// A year that has not four digits, or has not in UTC.
    Year,
    /// The form is right, and there is no such day or time.
    NoSuchTime,
    /// Something else.
    Other,
}

impl fmt::Display for InvalidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = match self {
            Self::Empty => "an empty text is there",
            Self::Number => "a number is there, which does not say since when it counts what",
            Self::Day => "a day is there, and which instant of it is meant is not said",
            Self::NoZone => "the zone is missing: `Z`, or an offset such as +01:00",
            Self::Hour24 => "the hour 24 is written as 00:00 of the next day",
            Self::Year => "a year has four digits, 0000 to 9999, in UTC too",
            Self::NoSuchTime => "there is no such day or time",
            Self::Other => "it has another form",
        };
        write!(f, "{FORM}; {found}")
    }
}

/// Reads an instant. Digits behind the microsecond are not kept; a leap second is the first one after it.
///
/// # Errors
/// What it is instead.
pub fn parse_instant(text: &str) -> Result<DateTime<Utc>, InvalidTime> {
    let found = || guess(text);
    let four_digits = |text: &str| text.len() > 4 && text.bytes().take(4).all(|b| b.is_ascii_digit());
    if !text.is_ascii() || !four_digits(text) {
        return Err(found());
    }
    let instant = DateTime::parse_from_rfc3339(text).map_err(|_| found())?.to_utc();
    let instant = DateTime::from_timestamp_micros(instant.timestamp_micros()).ok_or(InvalidTime::Year)?;
    if (0..=9999).contains(&instant.year()) { Ok(instant) } else { Err(InvalidTime::Year) }
}

/// Reads a day, as in 2026-01-31; nothing where it is none.
#[must_use]
pub fn parse_day(text: &str) -> Option<NaiveDate> {
    let form = text.len() == 10
        && text.bytes().enumerate().all(|(at, b)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    form.then(|| text.parse().ok()).flatten()
}

/// What a text that is no instant seems to be.
pub(crate) fn guess(stated: &str) -> InvalidTime {
    let text = stated.trim();
    let unsigned = text.trim_start_matches(['+', '-']);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let is_number = !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text {
        "" => InvalidTime::Empty,
        _ if is_number => InvalidTime::Number,
        _ if unsigned.get(digits..digits + 1) == Some("-") && (digits != 4 || unsigned != text) => InvalidTime::Year,
        _ if parse_day(text).is_some() => InvalidTime::Day,
        _ if text.get(10..13).is_some_and(|hour| hour.eq_ignore_ascii_case("T24")) => InvalidTime::Hour24,
        _ if text.replacen(' ', "T", 1).parse::<NaiveDateTime>().is_ok() => InvalidTime::NoZone,
        _ if has_form(stated) => InvalidTime::NoSuchTime,
        _ => InvalidTime::Other,
    }
}

/// Whether digits stand where an instant has them, and a zone behind them.
fn has_form(text: &str) -> bool {
    const SECONDS: &str = "dddd-dd-ddTdd:dd:dd";
    let Some((seconds, rest)) = text.split_at_checked(SECONDS.len()) else { return false };
    let zone = match rest.strip_prefix('.') {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            fraction.trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => rest,
    };
    fits(SECONDS, seconds) && (fits("Z", zone) || fits("+dd:dd", zone))
}

fn fits(form: &str, text: &str) -> bool {
    form.len() == text.len()
        && form.bytes().zip(text.bytes()).all(|(form, b)| match form {
            b'd' => b.is_ascii_digit(),
            b'T' => b.eq_ignore_ascii_case(&b'T') || b == b' ',
            b'Z' => b.eq_ignore_ascii_case(&b'Z'),
            b'+' => b == b'+' || b == b'-',
            other => b == other,
        })
}

/// An instant as people read it: to the second, without what is behind it.
#[must_use]
pub fn for_people(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Reads an instant of a document.
///
/// # Errors
/// It is none.
pub fn required<'de, D: Deserializer<'de>>(de: D) -> Result<DateTime<Utc>, D::Error> {
    parse_instant(&Cow::<str>::deserialize(de)?).map_err(de::Error::custom)
}

/// Reads an instant of a document, or `null`. Of a member that may be left out, together with `default`.
///
/// # Errors
/// It is neither.
pub fn nullable<'de, D: Deserializer<'de>>(de: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = Option::<Cow<'_, str>>::deserialize(de)?;
    text.map(|text| parse_instant(&text).map_err(de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_rfc_3339_with_a_year_of_four_digits() {
        for (text, utc) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
            ("2026-01-31t12:00:00z", "2026-01-31T12:00:00Z"),
            ("2026-01-31 12:00:00+01:00", "2026-01-31T11:00:00Z"),
            ("2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00.123456Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ] {
            let read = parse_instant(text).unwrap();
            assert_eq!(read.to_rfc3339_opts(SecondsFormat::AutoSi, true), utc, "{text}");
        }
        assert_eq!(for_people(parse_instant("2026-01-31T12:00:00.9Z").unwrap()), "2026-01-31T12:00:00Z");
    }

    #[test]
    fn whatever_else_is_refused_with_what_it_seems_to_be() {
        use InvalidTime::{Day, Empty, Hour24, NoSuchTime, NoZone, Number, Other, Year};
        for (text, found) in [
            ("", Empty),
            (" ", Empty),
            ("1798675200000", Number),
            ("-5", Number),
            ("1798675200.5", Number),
            ("2027-06-26", Day),
            ("2027-06-26T00:00:00", NoZone),
            ("2027-06-26 00:00", Other),
            ("2027-06-26T24:00:00Z", Hour24),
            ("9999-12-31T23:59:59-05:00", Year),
            ("0000-01-01T00:00:00+01:00", Year),
            ("+10000-01-01T00:00:00Z", Year),
            ("+262142-12-31T23:59:59Z", Year),
            ("-0001-01-01T00:00:00Z", Year),
            ("10000-01-01T00:00:00Z", Year),
            ("+2026-01-01T00:00:00Z", Year),
            ("2027-02-29T00:00:00Z", NoSuchTime),
            ("2027-06-26T23:61:00Z", NoSuchTime),
            ("2027-06-26T23:00:61.5+01:00", NoSuchTime),
            ("2027-06-26T23:00:00+24:00", NoSuchTime),
            (" 2027-06-26T23:00:00Z", Other),
            ("2027-06-26T23:00:00 Z", Other),
            ("2027-06-26T23:00:00,5Z", Other),
            ("2027-06-26T23:00:00.Z", Other),
            ("2027-06-26T23:00:00+1:00", Other),
            ("2027-06-26T23:00:00+0100", Other),
            ("Sat, 26 Jun 2027 00:00:00 GMT", Other),
            ("tomorrow", Other),
            ("２０２６-01-31T12:00:00Z", Other),
        ] {
            assert_eq!(parse_instant(text), Err(found), "{text}");
            assert!(found.to_string().starts_with(FORM));
        }
    }
}
