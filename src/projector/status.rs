//! How the projector is, as others see it. Plain values.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rollcall_events::{Digest, Position};
use serde::Serialize;

/// What the fold does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "why", rename_all = "snake_case")]
pub enum State {
    /// It is reading up to where the log ended at the start.
    CatchingUp,
    /// It follows the log.
    Following,
    /// It stopped for good; the process must not answer. The text says why and what to do.
    Stopped(String),
}

/// Where everything derived stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// What the fold does.
    #[serde(flatten)]
    pub state: State,
    /// The log's newest position.
    pub head: Position,
    /// The roster's.
    pub roster: Position,
    /// The SQL side's.
    pub read: Position,
    /// Whether the SQL side follows the roster; `false` while it folds for itself.
    pub read_follows: bool,
    /// The fold that made the roster's facts, where that is an earlier one: it has every event, and what came before the
    /// new start as that fold understood it, until the log is folded anew.
    pub older_fold: Option<u32>,
    /// How long ago the roster was last known to hold everything that was durable.
    pub age: Duration,
    /// How far a check, a rebuild or a catching up is; absent while there is none.
    pub rebuild: Option<Progress>,
    /// What the last rebuild of this process found.
    pub rebuilt: Option<Compared>,
}

/// What is derived from the log, held against the log folded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The position at which the rosters were compared.
    pub position: Position,
    /// The digest of the facts of the live roster.
    pub live: Digest,
    /// The one of the roster folded anew.
    pub replayed: Digest,
    /// About how many people, projects, accounts and bindings the live roster kept ready what does not follow from its facts.
    pub flaws: usize,
    /// The SQL view; absent where the SQL side did not come to that position in time.
    pub sql: Option<ComparedSql>,
    /// Whether the new roster and read side took the place of the live ones.
    pub swapped: bool,
}

/// The memberships of the SQL view, held against those of the log folded anew. It is written behind the roster, so this is
/// at a position of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ComparedSql {
    /// The position that both had.
    pub position: Position,
    /// The instant at which windows were judged.
    pub at: DateTime<Utc>,
    /// The membership digest of the view.
    pub view: Digest,
    /// The one of the roster folded anew.
    pub replayed: Digest,
}

impl Compared {
    /// Whether all that were compared are the same.
    #[must_use]
    pub fn same(&self) -> bool {
        self.live == self.replayed && self.flaws == 0 && self.sql.is_none_or(|sql| sql.same())
    }
}

impl ComparedSql {
    /// Whether both are the same.
    #[must_use]
    pub fn same(&self) -> bool {
        self.view == self.replayed
    }
}

/// What folds the log a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A comparison that changes nothing.
    Check,
    /// A new roster and read side.
    Rebuild,
    /// A read side that fell behind.
    CatchUp,
    /// A new roster and read side in the place of what an earlier fold made.
    Refold,
}

impl Task {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Rebuild => "rebuild",
            Self::CatchUp => "catch up",
            Self::Refold => "refold",
        }
    }
}

/// How far a second fold of the log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What it is for.
    pub task: Task,
    /// The last position folded.
    pub position: Position,
    /// The log's newest position.
    pub head: Position,
}
