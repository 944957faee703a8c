//! What a follower tells as it happens, and the cursor from which it goes on.
//! A call returns when what it told is durable; so a cursor that is kept afterwards never runs ahead of the facts.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::{Body, Id};

use super::{Sealed, Sheet, Stated};

/// Where a follower goes on: bytes that only its source understands.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

/// One thing that a follower was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The source states this. Recorded if it is not what was stated last.
    Stated(Stated),
    /// The source says explicitly that this is no more; given as the end of a fact (`Body::PersonRemoved` and the like).
    /// Recorded if it was there, never held back. Of a group its members go with it.
    Gone(Body),
    /// A group as it is now, with all its members: members that are not among them have left. Held against the brake,
    /// like every conclusion from silence.
    Members {
        /// The group's id.
        group: Id,
        /// The whole of its members, each a `Body::GroupMemberAdded`.
        members: Vec<Stated>,
    },
}

/// The follower must end now: nothing can be recorded, or the process stops. What was told is told again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what was told could not be recorded: {0}")]
pub struct Stop(pub String);

impl From<Stop> for super::Failure {
    fn from(stop: Stop) -> Self {
        Self::Blind { reason: stop.to_string(), retry_after: None }
    }
}

/// What the engine does with what a follower tells.
#[async_trait]
pub(crate) trait Desk: Send + Sync {
    fn now(&self) -> DateTime<Utc>;
    async fn tell(&self, facts: Vec<Told>) -> Result<(), Stop>;
    async fn sheet(&self) -> Result<Sheet, Stop>;
    async fn sealed(&self, sealed: Sealed) -> Result<(), Stop>;
    async fn keep(&self, cursor: Cursor) -> Result<(), Stop>;
    async fn well(&self) -> Result<(), Stop>;
}

/// A follower's way to the log.
#[derive(Clone)]
pub struct News(pub(crate) Arc<dyn Desk>);

impl News {
    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    /// Tells what happened. Returns when it is durable.
    ///
    /// # Errors
    /// Return it; the cursor has not moved.
    pub async fn tell(&self, facts: Vec<Told>) -> Result<(), Stop> {
        self.0.tell(facts).await
    }

    /// Begins a refresh: what is written on the sheet is the whole source, as in [`super::Pull::read`]. A sheet that is
    /// dropped unsealed removes nobody.
    ///
    /// # Errors
    /// Return it.
    pub async fn sheet(&self) -> Result<Sheet, Stop> {
        self.0.sheet().await
    }

    /// Ends the refresh: it is compared, held against the brake and applied. Returns when that is durable.
    ///
    /// # Errors
    /// Return it; the cursor has not moved.
    pub async fn sealed(&self, sealed: Sealed) -> Result<(), Stop> {
        self.0.sealed(sealed).await
    }

    /// Keeps the cursor, after everything before it was told. While removals of this source are held it is not kept, so
    /// that they are told again.
    ///
    /// # Errors
    /// Return it; the cursor has not moved.
    pub async fn keep(&self, cursor: Cursor) -> Result<(), Stop> {
        self.0.keep(cursor).await
    }

    /// Says that the source is heard and has nothing to say. Call it now and then.
    ///
    /// # Errors
    /// Return it.
    pub async fn well(&self) -> Result<(), Stop> {
        self.0.well().await
    }
}

impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("News")
    }
}
