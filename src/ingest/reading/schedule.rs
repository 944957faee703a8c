//! When a source is read: cron expressions of five fields with the usual weekday numbers, pauses after a failure.
//! Pure: the present and every random number are handed in. All times are UTC.

use std::{str::FromStr, time::Duration};

use chrono::{DateTime, Utc};

const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// No expression that ever fires is silent for longer than from one 29 February to the one after the next.
const HORIZON: i64 = 366 * 9;

/// A schedule: five fields (minute, hour, day of month, month, day of week) or one of `@hourly`, `@daily`, `@weekly`,
/// `@monthly`, `@yearly`.
#[derive(Debug, Clone)]
pub struct Cron {
    text: String,
    /// Where both day fields are restricted either may match, so there are two.
    any: Vec<cron::Schedule>,
}

/// What is wrong with an expression, and what one looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a schedule: {what}", text = text.escape_debug())]
pub struct InvalidCron {
    text: String,
    what: String,
}

impl FromStr for Cron {
    type Err = InvalidCron;

    fn from_str(text: &str) -> Result<Self, InvalidCron> {
        let any = parse(text).map_err(|what| InvalidCron { text: text.to_owned(), what })?;
        Ok(Self { text: text.to_owned(), any })
    }
}

impl std::fmt::Display for Cron {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Cron {
    /// The first time after `after`.
    #[must_use]
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.any.iter().filter_map(|schedule| schedule.after(&after).next()).min()
    }
}

fn parse(text: &str) -> Result<Vec<cron::Schedule>, String> {
    const WORDS: [&str; 5] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly"];
    let schedule = |text: &str| cron::Schedule::from_str(text).map_err(|error| error.to_string());
    if text.starts_with('@') {
        if !WORDS.contains(&text) {
            return Err(format!("one of {} or five fields", WORDS.join(", ")));
        }
        return Ok(vec![schedule(text)?]);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, dom, month, dow] = fields.as_slice() else {
        let found = fields.len();
        return Err(format!("it has {found} fields; write five: minute hour day-of-month month day-of-week"));
    };
    let days = weekdays(dow)?;
    // POSIX: with both day fields restricted either may match; `cron` would want both.
    let any = if free(dom) || free(dow) {
        vec![schedule(&format!("0 {minute} {hour} {dom} {month} {days}"))?]
    } else {
        vec![
            schedule(&format!("0 {minute} {hour} {dom} {month} *"))?,
            schedule(&format!("0 {minute} {hour} * {month} {days}"))?,
        ]
    };
    // 31 February is accepted by the parser and never comes.
    let start = DateTime::UNIX_EPOCH;
    let end = start + chrono::Duration::days(HORIZON);
    match any.iter().any(|schedule| schedule.after(&start).next().is_some_and(|first| first < end)) {
        true => Ok(any),
        false => Err("that day never comes".to_owned()),
    }
}

fn free(field: &str) -> bool {
    field == "*" || field == "?"
}

/// A POSIX weekday field (0 and 7 are Sunday; names, lists, ranges that may wrap, steps) as names.
fn weekdays(field: &str) -> Result<String, String> {
    if free(field) {
        return Ok("*".to_owned());
    }
    let day = |text: &str| match text.parse::<usize>() {
        Ok(number) if number <= 7 => Ok(number),
        Ok(number) => Err(format!("weekday {number}: write 0 to 7 or SUN to SAT")),
        Err(_) => DAYS
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))
            .ok_or(format!("weekday {}: write 0 to 7 or SUN to SAT", text.escape_debug())),
    };
    let mut on = [false; 7];
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step = step.parse::<usize>().ok().filter(|step| *step > 0);
                (range, step.ok_or(format!("a step is a number from 1 on, as in */2, not in {}", part.escape_debug()))?)
            }
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (0, 6),
            Some((first, last)) => {
                let (first, last) = (day(first)?, day(last)?);
                (first, if last < first { last + 7 } else { last })
            }
            None => {
                let first = day(range)?;
                (first, if step > 1 { 6 } else { first })
            }
        };
        for day in (first..=last).step_by(step) {
            if let Some(on) = on.get_mut(day % 7) {
                *on = true;
            }
        }
    }
    let names: Vec<&str> = DAYS.iter().zip(on).filter_map(|(name, on)| on.then_some(*name)).collect();
    Ok(names.join(","))
}

/// The pause before a source is asked again after `failures` in a row: between nothing and 1 s, 2 s, 4 s and so on up to
/// 5 minutes, by `random`, so that many who failed together do not come back together.
#[must_use]
pub fn backoff(failures: u32, random: u64) -> Duration {
    const MAX_BACKOFF: Duration = Duration::from_secs(300);
    let ceiling = Duration::from_secs(1).saturating_mul(1 << failures.saturating_sub(1).min(9)).min(MAX_BACKOFF);
    jitter(ceiling, random)
}

/// A part of `most`, by `random`.
#[must_use]
pub fn jitter(most: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(if nanos == 0 { 0 } else { random % (nanos + 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first time after a Monday, 2026-11-23 00:00.
    fn first(text: &str) -> String {
        let monday = "2026-11-23T00:00:00Z".parse().unwrap();
        text.parse::<Cron>().unwrap().next(monday).unwrap().format("%a %d %b %H:%M").to_string()
    }

    #[test]
    fn five_fields_mean_what_they_mean_everywhere() {
        for (text, expected) in [
            ("*/5 * * * *", "Mon 23 Nov 00:05"),
            ("30 4 * * *", "Mon 23 Nov 04:30"),
            ("0 0 * * 1", "Mon 30 Nov 00:00"),
            ("0 0 * * 0", "Sun 29 Nov 00:00"),
            ("0 0 * * 7", "Sun 29 Nov 00:00"),
            ("0 0 * * SUN", "Sun 29 Nov 00:00"),
            ("0 0 * * 1-5", "Tue 24 Nov 00:00"),
            ("0 0 * * FRI-MON", "Fri 27 Nov 00:00"),
            ("0 0 * * 5-7", "Fri 27 Nov 00:00"),
            ("0 0 * * 3/2", "Wed 25 Nov 00:00"),
            ("0 12 13 * 5", "Fri 27 Nov 12:00"),
            ("0 12 26 * 5", "Thu 26 Nov 12:00"),
            ("0 0 1 1 *", "Fri 01 Jan 00:00"),
            ("@hourly", "Mon 23 Nov 01:00"),
            ("@daily", "Tue 24 Nov 00:00"),
        ] {
            assert_eq!(first(text), expected, "{text}");
        }
        assert!("0 0 29 2 *".parse::<Cron>().is_ok());
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_what_one_looks_like() {
        for (text, hint) in [
            ("", "write five"),
            ("0 */5 * * * *", "write five"),
            ("* * * *", "write five"),
            ("0 0 31 2 *", "never comes"),
            ("0 0 * * 8", "0 to 7"),
            ("0 0 * * MOO", "0 to 7"),
            ("0 0 * * */0", "step"),
            ("61 * * * *", ""),
            ("@reboot", "@daily"),
        ] {
            let error = text.parse::<Cron>().unwrap_err().to_string();
            assert!(error.contains(hint) && error.contains("is not a schedule"), "{text}: {error}");
        }
    }

    #[test]
    fn pauses_grow_to_five_minutes_and_never_beyond() {
        for failures in 0..80_u32 {
            let ceiling = Duration::from_secs(1 << failures.saturating_sub(1).min(9)).min(Duration::from_secs(300));
            for random in [0, 1, 7_919_000_000_003, u64::MAX / 3, u64::MAX] {
                assert!(backoff(failures, random) <= ceiling);
            }
        }
        assert_eq!(backoff(20, 300_000_000_000), Duration::from_secs(300), "the whole of it is reached");
        assert_eq!(jitter(Duration::ZERO, 5), Duration::ZERO);
    }
}
