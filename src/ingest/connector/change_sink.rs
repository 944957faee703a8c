//! Where a follower sends changes as they happen, and its sync state: the cursor from which it goes on, with what it must
//! know for that. A call returns when what it sent is durable, so a cursor saved afterwards never runs ahead of the facts.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::{Body, Id};

use super::{Fact, FullReadReason, Snapshot, SnapshotBuilder};

/// Where a follower goes on: bytes that only its source understands.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

/// An entry of a follower's sync state: a key, and bytes that only its connector understands. No display names, no addresses.
pub type StateEntry = (String, Vec<u8>);

/// What is saved of a sync state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateUpdate {
    /// All of it: what was saved before goes.
    Replace(Vec<StateEntry>),
    /// What changed since it was saved last; None deletes an entry.
    Merge(Vec<(String, Option<Vec<u8>>)>),
}

/// From where a follower goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct ResumePoint {
    /// Where.
    pub cursor: Cursor,
    /// The whole sync state as it was then.
    pub entries: Vec<StateEntry>,
    /// The facts of the source (or their ends) that were recorded after that, by this follower or by a full read: the
    /// sync state knows nothing of these.
    pub later: Vec<Body>,
}

/// Whether a sync state was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveOutcome {
    /// It was.
    Saved,
    /// Changes of this source wait for a full read or are held, and must be sent again: bring the update again next time.
    Deferred,
}

/// One change that a follower heard of.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceChange {
    /// The source states this. Recorded if it is not what was stated last; a membership, and who or what was known before,
    /// once the source says so when it is asked.
    Fact(Fact),
    /// The source says explicitly that this is no more; given as the end of a fact (`Body::PersonRemoved` and the like).
    /// Recorded if it was there, at once; removals that come in numbers wait for a full read and its guard. Of a group its
    /// members go with it.
    Removed(Body),
    /// A group as it is now, with all its members: members that are not among them have left. The removal
    /// guard checks that, like every conclusion from silence.
    GroupMembers {
        /// The group's id.
        group: Id,
        /// The whole of its members, each a `Body::GroupMemberAdded`.
        members: Vec<Fact>,
    },
}

/// The follower must end now: nothing can be recorded, or the process stops. It will hear the same changes again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the changes could not be recorded: {0}")]
pub struct SinkError(pub String);

impl From<SinkError> for super::Failure {
    fn from(stop: SinkError) -> Self {
        Self::Blind { reason: stop.to_string(), retry_after: None }
    }
}

/// Members that groups list and that are not read, each by the name under which the source lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnreadMembers {
    /// Proven not to be there.
    pub absent: Vec<String>,
    /// There, and outside what is read.
    pub outside: Vec<String>,
}

/// The engine behind a change sink.
#[async_trait]
pub(crate) trait SinkBackend: Send + Sync {
    fn now(&self) -> DateTime<Utc>;
    async fn resume_point(&self) -> Result<Result<ResumePoint, FullReadReason>, SinkError>;
    async fn send(&self, facts: Vec<SourceChange>) -> Result<Vec<Id>, SinkError>;
    async fn begin_snapshot(&self, why: FullReadReason) -> Result<SnapshotBuilder, SinkError>;
    async fn apply_snapshot(&self, snapshot: Snapshot) -> Result<(), SinkError>;
    async fn can_save(&self) -> Result<SaveOutcome, SinkError>;
    async fn save(&self, cursor: Cursor, update: StateUpdate) -> Result<SaveOutcome, SinkError>;
    async fn heartbeat(&self) -> Result<(), SinkError>;
    async fn note_unread_members(&self, members: UnreadMembers) -> Result<(), SinkError>;
}

/// Where a follower sends what it hears. Cheap to clone.
#[derive(Clone)]
pub struct ChangeSink(pub(crate) Arc<dyn SinkBackend>);

impl ChangeSink {
    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    /// The sync state that was saved last, or why everything must be read instead.
    ///
    /// # Errors
    /// Return it.
    pub async fn resume_point(&self) -> Result<Result<ResumePoint, FullReadReason>, SinkError> {
        self.0.resume_point().await
    }

    /// Records changes. Returns when they are durable. What gives somebody something is looked up first
    /// ([`super::Pull::look_up`]) and left out where the source says otherwise by then; returned are the groups of which a
    /// membership was left out, to be read again in a moment.
    ///
    /// # Errors
    /// Return it; the cursor has not moved.
    pub async fn send(&self, facts: Vec<SourceChange>) -> Result<Vec<Id>, SinkError> {
        self.0.send(facts).await
    }

    /// Begins a full read, as for [`super::Pull::read`]. A builder that is dropped removes nobody. `why` is shown to people.
    ///
    /// # Errors
    /// Return it.
    pub async fn begin_snapshot(&self, why: FullReadReason) -> Result<SnapshotBuilder, SinkError> {
        self.0.begin_snapshot(why).await
    }

    /// Ends the full read: it is compared, checked by the removal guard and applied. Returns when that is durable.
    ///
    /// # Errors
    /// Return it; the cursor has not moved.
    pub async fn apply_snapshot(&self, snapshot: Snapshot) -> Result<(), SinkError> {
        self.0.apply_snapshot(snapshot).await
    }

    /// Saves the cursor and the update of the sync state, both or neither, after everything before it was sent. While
    /// changes of this source wait for a full read or are held nothing is saved, and `update` is not called.
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

    /// Notes all members that are listed now and not read, as [`SnapshotBuilder::add_absent`] and
    /// [`SnapshotBuilder::add_outside`] do.
    ///
    /// # Errors
    /// Return it.
    pub async fn note_unread_members(&self, members: UnreadMembers) -> Result<(), SinkError> {
        self.0.note_unread_members(members).await
    }

    /// Says that the source is reachable and has nothing new. Call it now and then.
    ///
    /// # Errors
    /// Return it.
    pub async fn heartbeat(&self) -> Result<(), SinkError> {
        self.0.heartbeat().await
    }
}

impl std::fmt::Debug for ChangeSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChangeSink")
    }
}
