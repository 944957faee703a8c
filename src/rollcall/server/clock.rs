//! The one place that reads the clock. Everything else is handed an instant, or a `Clock`.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use rollcall_events::Clock;

/// The machine's clock, to the microsecond: finer than that nothing is kept, and what is shown stays as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }

    #[cfg(target_os = "linux")]
    fn uptime(&self) -> Option<Duration> {
        Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::Boottime)).ok()
    }
}
