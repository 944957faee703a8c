//! What every engine offers besides its two halves, and what the facade asks of it. Names no engine.

use async_trait::async_trait;
use rollcall_events::{Position, Version};
use rollcall_sqlite::WriteAhead;

use crate::{Append, ClockAhead, Tail};

/// An open log, as an engine keeps it.
#[async_trait]
pub(crate) trait Engine: Append + Tail {
    /// Whether it takes events. Reading goes on while it does not.
    fn health(&self) -> Health;

    /// How far the machine's clock is ahead of what it can say; nothing where it can be right.
    fn clock_ahead(&self) -> Option<ClockAhead>;

    /// What is written ahead of its place in the storage.
    fn write_ahead(&self) -> WriteAhead;

    /// Writes what waits, signs the head and lets go of the storage. Later appends are refused.
    async fn close(&self);
}

/// Whether a log takes events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Writable,
    /// It rests after an error, until it has been opened anew.
    Resting {
        /// The error.
        why: String,
    },
}

impl Health {
    /// Why the log takes no events, where it does not.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Writable => None,
            Self::Resting { why } => Some(why),
        }
    }
}

/// Why a log is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes there.
    #[error("{place} is in use by another rollcall process; {remedy}")]
    InUse {
        /// Where the log is.
        place: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The log is not what was written. Nothing in it may be used before somebody has looked.
    #[error("{place}: {what}")]
    Damaged {
        /// Which part of the storage: a file, a stream.
        place: String,
        /// What was seen.
        what: String,
    },
    /// A newer version of Rollcall recorded here what this one cannot judge. Nothing was recorded.
    #[error(
        "{place}: from position {position} on the log holds what this version, {this}, cannot judge: start Rollcall {version} \
         or a newer one, or go back to a backup from before (docs/upgrades.md)",
        this = Version::CURRENT
    )]
    Newer {
        /// Where the log is.
        place: String,
        /// From where on.
        position: Position,
        /// A version that can.
        version: String,
    },
    /// A newer version of Rollcall gave the storage another form. Nothing was touched.
    #[error("{place}: {}", .by.newer_form())]
    NewerForm {
        /// Which part of the storage: a file, a stream.
        place: String,
        /// The version that did, where that is known.
        by: Version,
    },
    /// The machine's clock cannot be right. Nothing was touched.
    #[error("{0}")]
    Clock(#[from] ClockAhead),
    /// The storage said no.
    #[error("{place}: {what}")]
    Storage {
        /// Which part of the storage: a file, a stream.
        place: String,
        /// What was seen.
        what: String,
    },
}
