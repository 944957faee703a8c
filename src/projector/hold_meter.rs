//! For how long the roster is held, as a histogram. Whoever folds waits for a look, and a look for whoever folds.

use metrics::Histogram;
use rollcall_access::{Hold, HoldMeter};
use tokio::time::Instant;

/// `rollcall_roster_held_seconds`, by what for.
pub(crate) struct HeldSeconds {
    start: Instant,
    look: Histogram,
    view: Histogram,
    fold: Histogram,
}

impl HeldSeconds {
    pub(crate) fn new() -> Self {
        let histogram = |hold: &'static str| metrics::histogram!("rollcall_roster_held_seconds", "for" => hold);
        Self { start: Instant::now(), look: histogram("look"), view: histogram("view"), fold: histogram("fold") }
    }
}

impl HoldMeter for HeldSeconds {
    fn begin(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    #[expect(clippy::cast_precision_loss, reason = "histograms are floating point")]
    fn end(&self, hold: Hold, begun: u64) {
        let seconds = self.begin().saturating_sub(begun) as f64 / 1e9;
        match hold {
            Hold::Look => self.look.record(seconds),
            Hold::View => self.view.record(seconds),
            Hold::Fold => self.fold.record(seconds),
        }
    }
}
