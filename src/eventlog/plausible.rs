//! Whether the machine's clock can be right: what is recorded a year ahead owns the log for a year. Pure: the clock and the
//! time that the machine has run are handed in.
//!
//! While the process runs a clock goes as fast as the time that the machine has run. At a start nobody knows how long it did
//! not run, so that the bound is a wide one, from the last time that was known to be right.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_events::{Clock, time::for_people};

/// How far the clock may go ahead of the time that the machine has run, between two looks.
pub(crate) const MOST_STEP: TimeDelta = TimeDelta::minutes(10);
/// How long a log may have rested when it is opened: one that is open notes the time every day.
pub(crate) const MOST_REST: TimeDelta = TimeDelta::days(30);

/// What a clock says, and for how long the machine has run, where it can say so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub now: DateTime<Utc>,
    pub uptime: Option<Duration>,
}

impl Reading {
    pub(crate) fn of(clock: &dyn Clock) -> Self {
        Self { now: clock.now(), uptime: clock.uptime() }
    }
}

/// Why nothing is recorded: the clock is further ahead than it can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockAhead {
    /// What the clock says.
    pub now: DateTime<Utc>,
    /// How far that is ahead of the latest that it could say.
    pub ahead: TimeDelta,
    since: Since,
}

impl std::fmt::Display for ClockAhead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { now, ahead, since } = self;
        write!(f, "this machine's clock says {}, {} ahead of what it can say: ", for_people(*now), in_words(*ahead))?;
        match since {
            Since::Record(at) => write!(
                f,
                "the log was last known to be open at {}, and {} days are the longest that it may have rested",
                for_people(*at),
                MOST_REST.num_days()
            ),
            Since::Look(at) => {
                write!(f, "by the time that the machine has run since the last look it is about {}", for_people(*at))
            }
        }?;
        f.write_str(
            ". Set the clock. If it is right, start again; should that be refused too, say so: rollcall log mend-clock",
        )
    }
}

impl std::error::Error for ClockAhead {}

/// What the clock was held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Record(DateTime<Utc>),
    Look(DateTime<Utc>),
}

/// A span of time, for people.
fn in_words(span: TimeDelta) -> String {
    match span.num_hours() {
        0 => format!("{} minutes", span.num_minutes()),
        hours @ 1..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}

/// The last time that was known to be right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastKnown(Reading);

impl LastKnown {
    /// Of a log that is opened: `rested` is the time of its last record or later, nothing where it has none.
    ///
    /// # Errors
    /// The clock is further ahead than a log may have rested.
    pub(crate) fn at_opening(rested: Option<DateTime<Utc>>, reading: Reading) -> Result<Self, ClockAhead> {
        if let Some(rested) = rested {
            let ahead = reading.now - rested - MOST_REST;
            if ahead > TimeDelta::zero() {
                return Err(ClockAhead { now: reading.now, ahead, since: Since::Record(rested) });
            }
        }
        Ok(Self(reading))
    }

    /// Holds the clock against the time that the machine has run; what can be right is known from there on.
    ///
    /// # Errors
    /// The clock is further ahead.
    pub(crate) fn judge(&mut self, reading: Reading) -> Result<(), ClockAhead> {
        if let (Some(then), Some(uptime)) = (self.0.uptime, reading.uptime) {
            let ran = TimeDelta::from_std(uptime.saturating_sub(then)).unwrap_or(TimeDelta::MAX);
            let expected = self.0.now.checked_add_signed(ran).unwrap_or(DateTime::<Utc>::MAX_UTC);
            let ahead = reading.now - expected - MOST_STEP;
            if ahead > TimeDelta::zero() {
                return Err(ClockAhead { now: reading.now, ahead, since: Since::Look(expected) });
            }
        }
        self.0 = reading;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(hours: i64, ran: u64) -> Reading {
        let now = DateTime::from_timestamp(1_767_225_600, 0).unwrap() + TimeDelta::hours(hours);
        Reading { now, uptime: Some(Duration::from_secs(ran * 3600)) }
    }

    #[test]
    fn a_clock_goes_as_fast_as_the_machine_and_is_believed_again_when_it_is_set_right() {
        let mut known = LastKnown::at_opening(None, reading(0, 5)).unwrap();
        assert_eq!(known.judge(reading(1, 6)), Ok(()));
        let ahead = known.judge(reading(8_761, 6)).unwrap_err();
        assert_eq!(ahead.ahead, TimeDelta::hours(8_760) - MOST_STEP);
        assert!(ahead.to_string().contains("364 days ahead"), "{ahead}");
        assert!(known.judge(reading(8_762, 7)).is_err(), "it is not believed for being said twice");
        assert_eq!(known.judge(reading(2, 7)), Ok(()));
        assert_eq!(known.judge(reading(-5, 8)), Ok(()), "back it may be set");
        assert_eq!(known.judge(reading(1_000, 1_013)), Ok(()), "a long rest of everybody is none of the clock");
    }

    #[test]
    fn at_a_start_a_clock_may_be_ahead_of_the_last_record_for_as_long_as_a_log_may_rest() {
        let last = reading(0, 0).now;
        let rest = MOST_REST.num_hours();
        assert!(LastKnown::at_opening(Some(last), reading(rest, 0)).is_ok());
        assert!(LastKnown::at_opening(Some(last), reading(-9_000, 0)).is_ok());
        let refused = LastKnown::at_opening(Some(last), reading(rest + 1, 0)).unwrap_err().to_string();
        assert!(refused.contains("rollcall log mend-clock") && refused.contains("30 days"), "{refused}");
        assert!(LastKnown::at_opening(None, reading(1_000_000, 0)).is_ok(), "a new log begins whenever it does");
    }
}
