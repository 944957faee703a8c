//! What is kept how long.

use chrono::TimeDelta;

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Deliveries that came to an end.
    pub deliveries: TimeDelta,
    /// Deliveries with a part still in quarantine, or left half way by a crash and of a source that is no more.
    pub quarantine: TimeDelta,
    /// Decisions other than granted ones.
    pub denials: TimeDelta,
    /// How many of those at most.
    pub denials_at_most: u32,
    /// Hourly numbers.
    pub counts: TimeDelta,
    /// How many rows of those at most.
    pub counts_at_most: u32,
    /// Plans that wait no longer.
    pub plans: TimeDelta,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            deliveries: TimeDelta::days(90),
            quarantine: TimeDelta::days(365),
            denials: TimeDelta::days(30),
            denials_at_most: 1_000_000,
            counts: TimeDelta::days(400),
            counts_at_most: 1_000_000,
            plans: TimeDelta::days(90),
        }
    }
}
