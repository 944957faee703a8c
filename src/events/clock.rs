//! The clock as a value: run loops hold one, the core is handed plain instants.
//! Nothing here reads time; the one place that does is the binary.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Where a run loop gets the time from. Pure code takes `now` as a parameter instead.
pub trait Clock: Send + Sync + 'static {
    /// The present instant, UTC.
    fn now(&self) -> DateTime<Utc>;

    /// For how long the machine has run, sleep included, by a clock that nobody sets; nothing where there is none.
    fn uptime(&self) -> Option<Duration> {
        None
    }

    /// An instant that only goes on, whatever is done to the clock: to tell how long ago something was, never what day it is.
    /// `now`, where the machine has no such clock.
    fn steady(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.uptime().map_or(now, |uptime| DateTime::UNIX_EPOCH + uptime)
    }
}
