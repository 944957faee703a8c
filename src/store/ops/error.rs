//! What the ops store can refuse, whichever engine keeps it.

use rollcall_events::Version;
use rollcall_ingest::{InboxError, StoreError};

/// What the ops store can refuse.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpsError {
    /// Too much is waiting to be written. Nothing was kept; try again after a moment.
    #[error("too much is waiting to be written")]
    Overloaded,
    /// The database does not answer, or holds what it cannot hold. Nothing was kept; try again later.
    #[error("ops.db cannot be used: {0}")]
    Database(String),
}

impl From<OpsError> for InboxError {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::Overloaded => Self::Overloaded,
            OpsError::Database(_) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<OpsError> for StoreError {
    fn from(error: OpsError) -> Self {
        Self(error.to_string())
    }
}

/// Why the ops store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened.
    #[error("{place}: {what}")]
    Database {
        /// Where it is.
        place: String,
        /// What was seen.
        what: String,
    },
    /// A newer version of Rollcall gave it another form. Nothing was touched.
    #[error("{place}: {}", .by.newer_form())]
    Newer {
        /// Where it is.
        place: String,
        /// The version that did, where that is known.
        by: Version,
    },
    /// Its form cannot be changed to this version's.
    #[error("{place} cannot be brought up to date: {what}")]
    Migration {
        /// Where it is.
        place: String,
        /// What was seen.
        what: String,
    },
}
