//! How a source that is read is: one of seven states that never share a word, and what the last read found.

use chrono::{DateTime, Utc};
use rollcall_events::{Position, SourceName};
use serde::Serialize;

use crate::{connector::Failure, string_enum::string_enum};

string_enum! {
    /// How a source is.
    SourceState {
        /// It was read whole, and what it said is in force.
        Healthy = "healthy",
        /// It was read whole, and removals wait for a person.
        Held = "held",
        /// It answered well, with nothing, though it said something before.
        Empty = "empty",
        /// It does not answer.
        Unreachable = "unreachable",
        /// It does not let us in.
        Unauthorised = "unauthorised",
        /// It lets us in and does not let us see: throttled, suspended, an answer that is not whole.
        Blind = "blind",
        /// It is retired, for ever, and not read any more.
        Retired = "retired",
    }
}

impl SourceState {
    /// Whether nothing can be concluded from the last attempt.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Unreachable | Self::Unauthorised | Self::Blind)
    }
}

impl From<&Failure> for SourceState {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Unreachable(_) => Self::Unreachable,
            Failure::Unauthorised(_) => Self::Unauthorised,
            Failure::Blind { .. } | Failure::Partial(_) => Self::Blind,
        }
    }
}

/// What is known of a source that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// Which.
    pub source: SourceName,
    /// How it is.
    pub state: SourceState,
    /// The same for people.
    pub reason: Option<String>,
    /// When it was read last, with whatever outcome.
    pub checked_at: DateTime<Utc>,
    /// When it was last read whole, or heard while followed.
    pub sealed_at: Option<DateTime<Utc>>,
    /// The log's position up to which what it said is recorded.
    pub applied: Position,
    /// How many of its facts stand.
    pub facts: u64,
    /// Attempts that failed since the last good one.
    pub failures: u32,
    /// Members that are listed and not there: how many, and the first of them.
    pub absent: AbsentMembers,
    /// Members that are listed, and exist, and are not read: how many, and the first of them.
    pub outside: AbsentMembers,
    /// What was left out of the last read: how much, and the first of it.
    pub excluded: ExcludedFacts,
    /// When its follower read everything last, and why it did not go on from where it was.
    pub whole: Option<LastFullRead>,
}

/// A follower read everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFullRead {
    /// When.
    pub at: DateTime<Utc>,
    /// Why, for people.
    pub why: String,
}

/// Members that are listed and not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct AbsentMembers {
    /// How many.
    pub count: u64,
    /// The first of them, as the source lists them.
    pub first: Vec<String>,
}

impl AbsentMembers {
    pub(crate) fn of(members: &[String]) -> Self {
        Self { count: members.len() as u64, first: members.iter().take(MAX_SHOWN).cloned().collect() }
    }
}

/// What was left out of a read because it could not be resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct ExcludedFacts {
    /// How much.
    pub count: u64,
    /// The first of it: what, and why.
    pub first: Vec<(String, String)>,
}

/// How much of what is absent or excluded is kept to be shown.
pub(crate) const MAX_SHOWN: usize = 50;

impl SourceStatus {
    pub(crate) fn new(source: SourceName, now: DateTime<Utc>) -> Self {
        Self {
            source,
            state: SourceState::Healthy,
            reason: None,
            checked_at: now,
            sealed_at: None,
            applied: Position(0),
            facts: 0,
            failures: 0,
            absent: AbsentMembers::default(),
            outside: AbsentMembers::default(),
            excluded: ExcludedFacts::default(),
            whole: None,
        }
    }
}
