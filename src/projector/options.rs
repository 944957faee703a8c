//! What may be set, and the sizes that are not.

use std::time::Duration;

use rollcall_access::FoldVersions;

/// What may be set; the defaults are right for every installation that was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// After how many events the roster is written to `roster.snap`.
    pub snapshot_every: u64,
    /// How many folded events may wait for the SQL side before it is detached.
    pub waiting: u32,
    /// For how long the SQL side keeps what facts said that are over; for ever where absent.
    pub history: Option<Duration>,
    /// Which fold this is.
    pub folds: FoldVersions,
}

impl Default for Options {
    fn default() -> Self {
        Self { snapshot_every: 1_000_000, waiting: 65_536, history: None, folds: FoldVersions::CURRENT }
    }
}

/// How many records are asked of the tail at a time.
pub(crate) const PAGE_RECORDS: usize = 1024;
/// How many events go into one transaction of the read side where that many wait.
pub(crate) const READ_BATCH: usize = 4096;
