//! One read of one source: what it is for, what it needs, and what it can come to.

use std::{sync::Arc, time::Duration};

use rollcall_eventlog::{Append, AppendError, Tail, TailError};
use rollcall_events::{Clock, Position, SourceName, body::Author};

use crate::{
    connector::Failure,
    reading::{
        change::{Change, ChangeKind},
        consequences::Consequences,
        plan::Plan,
        schedule::Cron,
        stores::{SourceStore, StoreError},
    },
};

/// Where random numbers come from.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How one source is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOptions {
    /// When it is read as a whole.
    pub schedule: Cron,
    /// Every read begins so much later at most, so that not all sources are asked in the same second.
    pub jitter: Duration,
    /// Whether the first read waits for a person.
    pub first_run_waits: bool,
    /// Whether removals are held when they are too many.
    pub guard: bool,
    /// After so long without a good read everything that it said ends. None: never.
    pub revoke_after: Option<Duration>,
}

/// What the engines of all sources share.
#[derive(Clone)]
pub struct EngineDeps {
    /// Takes events.
    pub append: Arc<dyn Append>,
    /// Reads them.
    pub tail: Arc<dyn Tail>,
    /// What is kept beside the log.
    pub store: Arc<dyn SourceStore>,
    /// Knows what facts come to.
    pub consequences: Arc<dyn Consequences>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Random,
}

/// What a full read is for.
#[derive(Debug, Clone)]
pub(crate) enum Intent {
    /// To record what differs.
    Record,
    /// To show what differs, and to record nothing.
    Plan,
    /// To record what differs if its removals are those of this plan, on the word of whoever confirmed them.
    Apply(Box<Plan>, Author),
}

/// What a full read came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunOutcome {
    /// The log says what the source says.
    UpToDate {
        /// What was recorded for that.
        recorded: ChangeCounts,
        /// The log's position that holds all of it.
        position: Position,
    },
    /// Part of it waits for a person.
    Held {
        /// What was recorded.
        recorded: ChangeCounts,
        /// What waits.
        plan: Plan,
    },
    /// It was only looked at.
    Planned(Plan),
    /// The removals are not those that were confirmed. Nothing was recorded.
    Differs(Plan),
}

/// How many facts were recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// New ones.
    pub additions: u64,
    /// Changed ones.
    pub changes: u64,
    /// Those that ended.
    pub removals: u64,
}

impl ChangeCounts {
    pub(crate) fn of<'a>(changes: impl Iterator<Item = &'a Change>) -> Self {
        let mut numbers = Self::default();
        for change in changes {
            match change.verb() {
                ChangeKind::Add => numbers.additions += 1,
                ChangeKind::Change => numbers.changes += 1,
                ChangeKind::Remove => numbers.removals += 1,
            }
        }
        numbers
    }
}

/// Why a run came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Nothing can be concluded about the source; its state says so.
    #[error(transparent)]
    Source(#[from] Failure),
    /// The source is retired, for ever: it was not read.
    #[error("source {0} is retired, for ever: it is not read any more")]
    Retired(SourceName),
    /// The log or the store does not answer. Nothing is concluded about the source.
    #[error("{0}")]
    Storage(String),
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<TailError> for RunError {
    fn from(error: TailError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<AppendError> for RunError {
    fn from(error: AppendError) -> Self {
        Self::Storage(error.to_string())
    }
}
