//! The half of the log that takes events. Knows no engine and cannot read.

use async_trait::async_trait;
use rollcall_events::{LogId, NewEvent, Position};

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
