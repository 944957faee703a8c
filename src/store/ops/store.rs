//! The whole of what the ops store does, as one trait over the concerns.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_ingest::{Inbox, SourceStore};
use rollcall_sqlite::WriteAhead;

use super::{
    AnswerRecords, DecisionRecords, DeliveryRecords, OpsError, PersonRecords, RefusedSignIns, Retention, SourceQueries,
};

/// The ops store, whichever engine keeps it: what ingest needs of it, and what is asked of it besides. Who needs one
/// concern holds that trait alone.
#[async_trait]
pub trait Ops:
    Inbox + SourceStore + DeliveryRecords + DecisionRecords + AnswerRecords + PersonRecords + RefusedSignIns + SourceQueries
{
    /// Waits until all that was handed in before can be read: what became of a delivery is noted behind its answer.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn caught_up(&self) -> Result<(), OpsError>;

    /// Deletes what is older than it should be. Returns how many rows went, what hung on them not counted.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn prune(&self, now: DateTime<Utc>, retention: &Retention) -> Result<u64, OpsError>;

    /// What is written ahead of its place in the storage, and who keeps it there.
    fn write_ahead(&self) -> WriteAhead;

    /// Writes all that waits and closes the store. What is offered afterwards is refused.
    async fn close(&self);
}
