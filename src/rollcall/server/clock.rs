//! The one place that reads the clock. Everything else is handed an instant, or a `Clock`.

use chrono::{DateTime, Utc};
use rollcall_events::Clock;

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
