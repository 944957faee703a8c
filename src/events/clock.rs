//! The clock as a value: run loops hold one, the core is handed plain instants.
//! Nothing here reads time; the one place that does is the binary.

use chrono::{DateTime, Utc};

/// Where a run loop gets the time from. Pure code takes `now` as a parameter instead.
pub trait Clock: Send + Sync + 'static {
    /// The present instant, UTC.
    fn now(&self) -> DateTime<Utc>;
}
