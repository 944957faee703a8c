//! What the read side does, as traits: what a projector writes and asks, and what is listed.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_access::{Effect, Folded, Subject};
use rollcall_events::{Digest, Position};
use rollcall_sqlite::WriteAhead;

use super::{FactRow, Membership, ParkedRow, ProjectRow, ReadError, SupersededRow};

/// The read side, whichever engine keeps it.
pub trait Read: Projection + Lists {}

impl<T: Projection + Lists> Read for T {}

/// What a projector writes and asks.
#[async_trait]
pub trait Projection: Send + Sync + 'static {
    /// What people call it, in a refusal.
    fn name(&self) -> &'static str;

    /// Up to where the log is in it.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn position(&self) -> Result<Position, ReadError>;

    /// Applies a batch in one transaction: changes, effects, parked subjects, and the checkpoint from `from` to `to`.
    ///
    /// # Errors
    /// `Fenced` when the checkpoint is not at `from`; nothing is applied then.
    async fn apply(&self, batch: &[Folded], from: Position, to: Position) -> Result<(), ReadError>;

    /// An empty read side beside the one in use, to be filled and then swapped in. One that was begun before is
    /// discarded.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn start_rebuild(&self) -> Result<Box<dyn Rebuild>, ReadError>;

    /// What the events at these positions did, in their order; `None` for one that has not been folded into the read
    /// side yet.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn effects(&self, positions: &[Position]) -> Result<Vec<Option<Effect>>, ReadError>;

    /// The positions, up to one, of the events that applied to any of these subjects, or began or ended a fact of one;
    /// with `ineffective` also of those that were judged and changed nothing. In order. To be trusted up to [`Self::position`].
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn events_of(
        &self,
        subjects: &BTreeSet<Subject>,
        to: Position,
        ineffective: bool,
    ) -> Result<Vec<Position>, ReadError>;

    /// Lets go of what facts said that were over by a position, of at most so many: how many it were. That they stood, and
    /// from where to where, stays, so that the past is found in the log.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn forget(&self, to: Position, rows: u32) -> Result<u64, ReadError>;

    /// What is written ahead of its place in the storage, and who keeps it there.
    fn write_ahead(&self) -> WriteAhead;

    /// The read side as it is now, which is not before [`Self::position`], however much is written meanwhile.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn freeze(&self) -> Result<Box<dyn Frozen>, ReadError>;
}

/// The read side at one position. To be let go soon: what is written meanwhile is kept beside it.
#[async_trait]
pub trait Frozen: Send + 'static {
    /// Up to where the log is in it.
    fn position(&self) -> Position;

    /// The digest of all memberships at an instant, as the roster's `membership_digest` makes it.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn membership_digest(self: Box<Self>, at: DateTime<Utc>) -> Result<Digest, ReadError>;
}

/// A read side that is filled beside the one in use. Dropped, it is discarded.
#[async_trait]
pub trait Rebuild: Send + Sync + 'static {
    /// As [`Projection::apply`], but durable only after the swap.
    ///
    /// # Errors
    /// As [`Projection::apply`].
    async fn apply(&self, batch: &[Folded], from: Position, to: Position) -> Result<(), ReadError>;

    /// Makes what only reading needs, and has it on the disk. To be called when nearly everything is in.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn index(&self) -> Result<(), ReadError>;

    /// As [`Frozen::membership_digest`].
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn membership_digest(&self, at: DateTime<Utc>) -> Result<Digest, ReadError>;

    /// Takes the place of the read side in use. Reads wait for the moment that it takes; the earlier one is kept until
    /// the next swap.
    ///
    /// # Errors
    /// `InUse` when another process holds the one in use open; it stays in use then.
    async fn swap(self: Box<Self>) -> Result<(), ReadError>;
}

/// What is listed.
#[async_trait]
pub trait Lists: Send + Sync + 'static {
    /// Every fact of a subject that ever stood, oldest first.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn history(&self, source: &str, subject: &str) -> Result<Vec<FactRow>, ReadError>;

    /// The facts of a noun that stand now, by source and subject: those after (source, subject), at most `limit`.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn facts(&self, noun: &str, after: (&str, &str), limit: u32) -> Result<Vec<FactRow>, ReadError>;

    /// The parked subjects after (source, subject), at most `limit`.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn parked(&self, after: (&str, &str), limit: u32) -> Result<Vec<ParkedRow>, ReadError>;

    /// Events that lost to newer ones, where nothing was judged of their subjects since: of at most `rows` that lost after
    /// a position. And the position of the last that was looked at, where there are more.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn superseded(&self, after: Position, rows: u32)
    -> Result<(Vec<SupersededRow>, Option<Position>), ReadError>;

    /// How many subjects are parked.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn parked_count(&self) -> Result<u64, ReadError>;

    /// Every name that a package's project had, oldest first; the last is the one that it has.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn project_history(&self, source: &str, package: &str) -> Result<Vec<ProjectRow>, ReadError>;

    /// What the view `membership` shows at an instant: a second, independent answer to the roster's. Of one project, or
    /// of all.
    ///
    /// # Errors
    /// As [`ReadError`].
    async fn memberships(&self, project: Option<&str>, at: DateTime<Utc>) -> Result<Vec<Membership>, ReadError>;
}
