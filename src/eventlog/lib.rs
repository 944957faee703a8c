#![doc = include_str!("README.md")]

mod admit;
mod head;
pub mod memory;
pub mod sqlite;
mod tail;

#[cfg(test)]
mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use rollcall_events::{Digest, LogId, NewEvent, Position, Recorded};
use tokio::sync::watch;

pub use head::{Head, HeadError, SignedHead};

/// What became of one event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// New: it stands at this position and is durable.
    Recorded(Position),
    /// The key was there with the same bytes, at this position.
    Duplicate(Position),
    /// The key was there with other bytes, at this position. Nothing was recorded.
    Conflict(Position),
}

/// The half of the log that takes events.
#[async_trait]
pub trait Append: Send + Sync + 'static {
    /// Which log this is.
    fn log_id(&self) -> LogId;

    /// One outcome per event, in order. `Ok` means durable. What is new in the batch is recorded whole or not at all;
    /// after an `Err` send the same batch again, its keys make that safe.
    ///
    /// # Errors
    /// Nothing was acknowledged.
    async fn append(&self, batch: Vec<NewEvent>) -> Result<Vec<Outcome>, AppendError>;
}

/// What `append` can refuse. Sending the same batch again is always safe.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Too much is waiting (an event counts once per started 4 KiB). Try again after a moment.
    #[error("{waiting} events are waiting to be written, the limit is {limit}")]
    Overloaded {
        /// How many wait.
        waiting: usize,
        /// How many may.
        limit: usize,
    },
    /// The log takes nothing until it has been opened anew and checked. Try again later.
    #[error("the log takes no events: {0}")]
    Unavailable(String),
}

/// The half of the log that is read.
#[async_trait]
pub trait Tail: Send + Sync + 'static {
    /// Which log this is.
    fn log_id(&self) -> LogId;

    /// Catches up, then follows; in position order, in pages of at most `page`; ends only on an error.
    /// Every record is checked against the chain before it is yielded.
    fn read(&self, after: Position, page: usize) -> BoxStream<'_, Result<Arc<[Recorded]>, TailError>>;

    /// The newest durable record. Never ahead of what is durable.
    fn head(&self) -> watch::Receiver<Head>;

    /// Up to `limit` records after `after` that match, in position order, and where the look-up ended
    /// (resume there; it may have seen records that do not match).
    ///
    /// # Errors
    /// As [`TailError`].
    async fn page(
        &self,
        after: Position,
        limit: usize,
        filter: &Filter,
    ) -> Result<(Vec<Recorded>, Position), TailError>;

    /// The records at these positions, in position order, each held against the chain. All of them must be there.
    ///
    /// # Errors
    /// As [`TailError`]; `Damaged` also for a record that is not there.
    async fn records(&self, positions: &[Position]) -> Result<Vec<Recorded>, TailError>;

    /// The newest record at or before a position or an instant; `None` before the first.
    ///
    /// # Errors
    /// As [`TailError`].
    async fn moment(&self, when: When) -> Result<Option<Moment>, TailError>;

    /// The head under the log's own signature, to be kept elsewhere.
    ///
    /// # Errors
    /// As [`TailError`].
    async fn signed_head(&self) -> Result<SignedHead, TailError>;

    /// The public key of the log's signatures, PEM.
    fn public_key_pem(&self) -> String;
}

/// A place in the log, as somebody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At a position.
    Position(Position),
    /// At an instant: after everything that was recorded by then.
    Instant(DateTime<Utc>),
}

/// A record's place: what was recorded up to there is one text with one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The record's position.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The chain's hash there.
    pub hash: Digest,
}

/// Which records a page is about. Absent = any. `kind` and `subject` may end in `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The source's name.
    pub source: Option<String>,
    /// The event type, e.g. `rollcall.entitlement.*`.
    pub kind: Option<String>,
    /// The subject, e.g. `entitlement/ENT-7` or `entitlement/*`.
    pub subject: Option<String>,
    /// What it came with: a delivery id, a run id.
    pub correlation: Option<String>,
}

/// Why the log cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// A record is not what was recorded: it must not be used, and neither must what follows.
    #[error("the log is damaged at position {position}: {what}")]
    Damaged {
        /// The first position that cannot be trusted.
        position: Position,
        /// What was seen.
        what: String,
    },
    /// The storage does not answer. Try again later.
    #[error("the log cannot be read: {0}")]
    Unavailable(String),
}
