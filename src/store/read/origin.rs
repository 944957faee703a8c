//! What a read side is derived from.

use rollcall_access::FOLD_VERSION;
use rollcall_events::LogId;

/// What a read side must have been derived from, and by which fold, to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The version of the fold that wrote it.
    pub version: u32,
    /// The log that it was folded from.
    pub log_id: LogId,
}

impl Origin {
    /// This version's fold of a log.
    #[must_use]
    pub fn of(log_id: LogId) -> Self {
        Self { version: FOLD_VERSION, log_id }
    }
}
