//! Moments and ends as people say them: `yesterday`, `2h ago`, `90d`, a day, an instant with its zone. One reader for the
//! command line and for questions about the past. What is recorded and what programs send is in `time`.

use std::fmt;

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::time::{InvalidTime, guess, parse_day, parse_instant};

/// What was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// One instant.
    Instant(DateTime<Utc>),
    /// A day in UTC.
    Day(NaiveDate),
}

/// Which way a duration goes that does not say so: `2h` of something past is two hours ago, of an end in two hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Backwards from now.
    Ago,
    /// Forwards from now.
    Ahead,
}

/// A text that says no moment, and what it seems to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unclear {
    /// A duration with something else than a unit.
    Unit(String),
    /// Further away than any year of four digits.
    Beyond,
    /// No duration at all.
    Time(InvalidTime),
}

/// What a moment looks like.
pub const FORM: &str =
    "a day (2026-03-01, today, yesterday), a time with its zone (2026-03-01T12:00Z) or a duration (2h, 90d, 2w)";

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit(unit) => write!(
                f,
                "{FORM}; `{}` is no unit: there are s, m (minutes), h, d, w, mo (months) and y",
                unit.escape_debug()
            ),
            Self::Beyond => write!(f, "{FORM}; it is beyond the year 9999"),
            Self::Time(time) => {
                let text = time.to_string();
                let found = text.split_once("; ").map_or(text.as_str(), |(_, found)| found);
                write!(f, "{FORM}; {found}")
            }
        }
    }
}

impl Said {
    /// Where it begins: of a day its first instant.
    #[must_use]
    pub fn begins(self) -> DateTime<Utc> {
        match self {
            Self::Instant(instant) => instant,
            Self::Day(day) => day.and_time(NaiveTime::MIN).and_utc(),
        }
    }

    /// Where it ends, exclusive: of a day the first instant of the next one.
    #[must_use]
    pub fn ends(self) -> DateTime<Utc> {
        match self {
            Self::Instant(instant) => instant,
            Self::Day(day) => day.checked_add_days(Days::new(1)).unwrap_or(day).and_time(NaiveTime::MIN).and_utc(),
        }
    }
}

/// Reads what somebody said at an instant.
///
/// # Errors
/// What it is instead.
pub fn read(text: &str, now: DateTime<Utc>, direction: Direction) -> Result<Said, Unclear> {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let today = NaiveDate::from_ymd_opt(now.year(), now.month(), now.day()).unwrap_or_default();
    let day = |day: Option<NaiveDate>| day.map(Said::Day).ok_or(Unclear::Beyond);
    match words.to_ascii_lowercase().as_str() {
        "now" => return Ok(Said::Instant(now)),
        "today" => return Ok(Said::Day(today)),
        "yesterday" => return day(today.pred_opt()),
        "tomorrow" => return day(today.succ_opt()),
        _ => {}
    }
    if let Some(day) = parse_day(&words) {
        return Ok(Said::Day(day));
    }
    if let Some(instant) = instant(&words) {
        return instant.map(Said::Instant).map_err(Unclear::Time);
    }
    let (rest, direction) = match (words.strip_suffix(" ago"), words.strip_prefix("in ")) {
        (Some(rest), _) => (rest, Direction::Ago),
        (None, Some(rest)) => (rest, Direction::Ahead),
        (None, None) => (words.as_str(), direction),
    };
    let (months, seconds) = match duration(rest) {
        Some(duration) => duration?,
        None => return Err(Unclear::Time(guess(&words))),
    };
    let by = TimeDelta::try_seconds(seconds).ok_or(Unclear::Beyond)?;
    let there = match direction {
        Direction::Ago => now.checked_sub_months(months).and_then(|at| at.checked_sub_signed(by)),
        Direction::Ahead => now.checked_add_months(months).and_then(|at| at.checked_add_signed(by)),
    };
    there.filter(|at| (0..=9999).contains(&at.year())).map(Said::Instant).ok_or(Unclear::Beyond)
}

/// An instant, also without seconds and with a space before its zone; nothing where the text has not its form.
fn instant(words: &str) -> Option<Result<DateTime<Utc>, InvalidTime>> {
    let begins = words.get(..10).and_then(parse_day).is_some();
    let (day, rest) = words.split_at_checked(11).filter(|_| begins)?;
    let rest = rest.replace(' ', "");
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit() || b == b':');
    let (minutes, zone) = rest.split_at_checked(5).filter(|(minutes, _)| digits(minutes))?;
    let (seconds, zone) = match zone.find(['Z', 'z', '+', '-', 'U', 'u']) {
        Some(at) => zone.split_at(at),
        None => (zone, ""),
    };
    let seconds = if seconds.is_empty() { ":00" } else { seconds };
    let zone = if zone.eq_ignore_ascii_case("utc") { "Z" } else { zone };
    let whole = format!("{day}{minutes}{seconds}{zone}");
    Some(parse_instant(&whole))
}

/// `90d`, `1h30m`, `2 weeks` is none: months and seconds; nothing where no number is there.
fn duration(text: &str) -> Option<Result<(Months, i64), Unclear>> {
    let (mut months, mut seconds) = (0_u32, 0_i64);
    let mut rest = text.trim();
    if !rest.starts_with(|c: char| c.is_ascii_digit()) || rest.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let ends = after.find(|c: char| c.is_ascii_digit() || c == ' ').unwrap_or(after.len());
        let (unit, more) = after.split_at(ends);
        let Ok(number) = number.parse::<u32>() else { return Some(Err(Unclear::Beyond)) };
        let of_seconds = match unit {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            "mo" | "y" => 0,
            // A text of another kind that begins with a number.
            _ if unit.is_empty() || !unit.bytes().all(|b| b.is_ascii_alphabetic()) => return None,
            unit => return Some(Err(Unclear::Unit(unit.to_owned()))),
        };
        let of_months = match unit {
            "mo" => 1,
            "y" => 12,
            _ => 0,
        };
        let added = (|| {
            months = months.checked_add(number.checked_mul(of_months)?)?;
            seconds = seconds.checked_add(i64::from(number).checked_mul(of_seconds)?)?;
            Some(())
        })();
        if added.is_none() {
            return Some(Err(Unclear::Beyond));
        }
        rest = more.trim_start();
    }
    Some(Ok((Months::new(months), seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-31T12:30:00Z".parse().unwrap()
    }

    #[test]
    fn what_people_say_is_a_moment() {
        use Direction::{Ago, Ahead};
        let at = |text: &str| Said::Instant(text.parse().unwrap());
        let day = |text: &str| Said::Day(text.parse().unwrap());
        for (text, direction, said) in [
            ("now", Ago, at("2026-03-31T12:30:00Z")),
            ("today", Ago, day("2026-03-31")),
            ("Yesterday", Ago, day("2026-03-30")),
            ("tomorrow", Ahead, day("2026-04-01")),
            ("2026-03-01", Ago, day("2026-03-01")),
            ("2h ago", Ahead, at("2026-03-31T10:30:00Z")),
            ("2h", Ago, at("2026-03-31T10:30:00Z")),
            ("2h", Ahead, at("2026-03-31T14:30:00Z")),
            ("in 90d", Ago, at("2026-06-29T12:30:00Z")),
            ("1h30m ago", Ago, at("2026-03-31T11:00:00Z")),
            ("1 h 30 min ago", Ago, at("2026-03-31T11:00:00Z")),
            ("2w", Ahead, at("2026-04-14T12:30:00Z")),
            ("1mo", Ahead, at("2026-04-30T12:30:00Z")),
            ("1y", Ahead, at("2027-03-31T12:30:00Z")),
            ("2026-03-01T12:00:00Z", Ago, at("2026-03-01T12:00:00Z")),
            ("2026-03-01T12:00Z", Ago, at("2026-03-01T12:00:00Z")),
            ("2026-03-01 12:00 +01:00", Ago, at("2026-03-01T11:00:00Z")),
            ("2026-03-01 12:00:30.5 UTC", Ago, at("2026-03-01T12:00:30.5Z")),
        ] {
            assert_eq!(read(text, now(), direction), Ok(said), "{text}");
        }
        assert_eq!(day("2026-03-01").ends(), day("2026-03-02").begins());
    }

    #[test]
    fn what_is_no_moment_is_told_from_the_others() {
        for (text, told) in [
            ("", "an empty text is there"),
            ("soon", "it has another form"),
            ("12", "a number is there"),
            ("90x", "`x` is no unit"),
            ("5M", "`M` is no unit"),
            ("2026-03-01T12:00", "the zone is missing"),
            ("2026-03-01 12:00", "the zone is missing"),
            ("2026-02-30", "it has another form"),
            ("2026-03-01T25:00Z", "there is no such day or time"),
            ("9999y", "beyond the year 9999"),
            ("99999999999d", "beyond the year 9999"),
            ("-2h", "it has another form"),
        ] {
            let unclear = read(text, now(), Direction::Ago).unwrap_err().to_string();
            assert!(unclear.starts_with(FORM) && unclear.contains(told), "{text}: {unclear}");
        }
    }
}
