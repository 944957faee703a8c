//! What a follower tells as it happens, and what it keeps to go on from: a cursor with its notes.
//! A call returns when what it told is durable; so a cursor that is kept afterwards never runs ahead of the facts.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::{Body, Id};

use super::{Fact, Snapshot, SnapshotBuilder};

/// Where a follower goes on: bytes that only its source understands.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

/// An entry of a follower's notebook: a key, and bytes that only its source understands. No names and no addresses.
pub type StateEntry = (String, Vec<u8>);

/// What is kept of a notebook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateUpdate {
    /// This is all of it: what was kept before goes.
    Replace(Vec<StateEntry>),
    /// This is what is otherwise than it was when it was kept last; None: no more.
    Merge(Vec<(String, Option<Vec<u8>>)>),
}

/// From what a follower goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct ResumePoint {
    /// Where.
    pub cursor: Cursor,
    /// The whole notebook as it was then.
    pub entries: Vec<StateEntry>,
    /// The facts of the source (or their ends) that were recorded after that, by this follower or by a full read: of these
    /// the notebook knows nothing.
    pub later: Vec<Body>,
}

/// Whether something was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveOutcome {
    /// It was.
    Saved,
    /// Removals of this source are held, so that they must be told again. Bring the notes again next time.
    Deferred,
}

/// Why a follower reads everything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FullReadReason {
    /// Nothing that the source said is in force yet.
    #[error("first start")]
    FirstStart,
    /// The source was read before, and nothing is kept to go on from.
    #[error("nothing is kept to go on from: ops.db was lost, or the source was not followed before")]
    NothingSaved,
    /// It was kept with another log.
    #[error("the log is another one than when it was kept where to go on")]
    OtherLog,
    /// The scope is another one.
    #[error("the scope is another one (bases, filters or attributes changed)")]
    OtherScope,
    /// What is kept cannot be read.
    #[error("what was kept to go on from cannot be read: {0}")]
    Unreadable(String),
    /// The source does not go on from the cursor.
    #[error("{0}")]
    Refused(String),
    /// The source is not followed at all.
    #[error("it is not followed: {0}")]
    NotFollowed(String),
}

impl FullReadReason {
    /// One word, for a metric.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::FirstStart => "first",
            Self::NothingSaved => "lost",
            Self::OtherLog => "log",
            Self::OtherScope => "scope",
            Self::Unreadable(_) => "unreadable",
            Self::Refused(_) => "refused",
            Self::NotFollowed(_) => "unable",
        }
    }
}

/// One thing that a follower was told.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceChange {
    /// The source states this. Recorded if it is not what was stated last.
    Stated(Fact),
    /// The source says explicitly that this is no more; given as the end of a fact (`Body::PersonRemoved` and the like).
    /// Recorded if it was there, never held back. Of a group its members go with it.
    Removed(Body),
    /// A group as it is now, with all its members: members that are not among them have left. Held against the brake,
    /// like every conclusion from silence.
    GroupMembers {
        /// The group's id.
        group: Id,
        /// The whole of its members, each a `Body::GroupMemberAdded`.
        members: Vec<Fact>,
    },
}

/// The follower must end now: nothing can be recorded, or the process stops. What was told is told again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what was told could not be recorded: {0}")]
pub struct SinkError(pub String);

impl From<SinkError> for super::Failure {
    fn from(stop: SinkError) -> Self {
        Self::Blind { reason: stop.to_string(), retry_after: None }
    }
}

/// What the engine does with what a follower tells.
#[async_trait]
pub(crate) trait SinkBackend: Send + Sync {
    fn now(&self) -> DateTime<Utc>;
    async fn resume_point(&self) -> Result<Result<ResumePoint, FullReadReason>, SinkError>;
    async fn send(&self, facts: Vec<SourceChange>) -> Result<(), SinkError>;
    async fn begin_snapshot(&self, why: FullReadReason) -> Result<SnapshotBuilder, SinkError>;
    async fn apply_snapshot(&self, snapshot: Snapshot) -> Result<(), SinkError>;
    async fn can_save(&self) -> Result<SaveOutcome, SinkError>;
    async fn save(&self, cursor: Cursor, update: StateUpdate) -> Result<SaveOutcome, SinkError>;
    async fn heartbeat(&self) -> Result<(), SinkError>;
}

/// A follower's way to the log.
#[derive(Clone)]
pub struct ChangeSink(pub(crate) Arc<dyn SinkBackend>);

impl ChangeSink {
    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    /// What was kept last, or why nothing of it is good.
    ///
    /// # Errors
    /// Return it.
    pub async fn resume_point(&self) -> Result<Result<ResumePoint, FullReadReason>, SinkError> {
        self.0.resume_point().await
    }

    /// Tells what happened. Returns when it is durable.
    ///
    /// # Errors
    /// Return it; the cursor has not moved.
    pub async fn send(&self, facts: Vec<SourceChange>) -> Result<(), SinkError> {
        self.0.send(facts).await
    }

    /// Begins a refresh: what is written on the sheet is the whole source, as in [`super::Pull::read`]. A sheet that is
    /// dropped unsealed removes nobody. `why` is shown to people.
    ///
    /// # Errors
    /// Return it.
    pub async fn begin_snapshot(&self, why: FullReadReason) -> Result<SnapshotBuilder, SinkError> {
        self.0.begin_snapshot(why).await
    }

    /// Ends the refresh: it is compared, held against the brake and applied. Returns when that is durable.
    ///
    /// # Errors
    /// Return it; the cursor has not moved.
    pub async fn apply_snapshot(&self, snapshot: Snapshot) -> Result<(), SinkError> {
        self.0.apply_snapshot(snapshot).await
    }

    /// Keeps the cursor and with it, whole or not at all, what the notebook has new, after everything before it was told.
    /// While removals of this source are held nothing is kept, and nobody asks for the notes.
    ///
    /// # Errors
    /// Return it; the cursor has not moved.
    pub async fn save(
        &self,
        cursor: Cursor,
        update: impl FnOnce() -> StateUpdate + Send,
    ) -> Result<SaveOutcome, SinkError> {
        match self.0.can_save().await? {
            SaveOutcome::Saved => self.0.save(cursor, update()).await,
            SaveOutcome::Deferred => Ok(SaveOutcome::Deferred),
        }
    }

    /// Says that the source is heard and has nothing to say. Call it now and then.
    ///
    /// # Errors
    /// Return it.
    pub async fn heartbeat(&self) -> Result<(), SinkError> {
        self.0.heartbeat().await
    }
}

impl std::fmt::Debug for ChangeSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("News")
    }
}
