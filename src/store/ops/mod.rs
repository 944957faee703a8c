//! The records that only this installation has: deliveries and quarantine, personal data, decisions, plans, idempotency
//! answers. What is kept and asked, as rows and one trait per concern; how, is an engine's. Judges nothing, and if it is
//! lost, no membership is.

mod answers;
mod decisions;
mod deliveries;
mod people;
mod retention;
mod sources;
mod sqlite;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_ingest::{Inbox, InboxError, SourceStore, StoreError};

use crate::EngineConfig;

pub(crate) use answers::ANSWERS_KEPT;
pub use answers::{AnswerRecords, Claim, StoredAnswer};
pub use decisions::{DecisionCount, DecisionFilter, DecisionOutcome, DecisionRecords, DecisionRow};
pub use deliveries::{
    DeliveryDetail, DeliveryFilter, DeliveryQueries, DeliverySummary, PartProblem, PartRow, ReplayRow,
};
pub use people::{PersonRecords, PersonalRow};
pub use retention::Retention;
pub use sources::SourceQueries;

/// The ops store, whichever engine keeps it: what ingest needs of it, and what is asked of it besides. Who needs one
/// concern holds that trait alone.
#[async_trait]
pub trait Ops:
    Inbox + SourceStore + DeliveryQueries + DecisionRecords + AnswerRecords + PersonRecords + SourceQueries
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

    /// Writes all that waits and closes the store. What is offered afterwards is refused.
    async fn close(&self);
}

/// Opens the ops store, or makes a new one. Needs a running tokio.
///
/// # Errors
/// As [`OpenError`].
pub async fn open(config: &EngineConfig) -> Result<Arc<dyn Ops>, OpenError> {
    match config {
        EngineConfig::Embedded { dir } => Ok(Arc::new(sqlite::SqliteOps::open(dir).await?)),
    }
}

/// Copies the ops store into a directory that holds none yet, also beside a running server. Does nothing where there is
/// no store yet.
///
/// # Errors
/// When it cannot be read, or is there already.
pub async fn backup(config: &EngineConfig, target: &Path) -> Result<(), OpsError> {
    match config {
        EngineConfig::Embedded { dir } => sqlite::backup(dir, target).await,
    }
}

/// What the ops store can refuse.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpsError {
    /// Too much is waiting to be written. Nothing was kept; try again after a moment.
    #[error("too much is waiting to be written")]
    Overloaded,
    /// The database does not answer, or holds what it cannot hold. Nothing was kept; try again later.
    #[error("ops.db cannot be used: {0}")]
    Database(String),
}

impl From<OpsError> for InboxError {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::Overloaded => Self::Overloaded,
            OpsError::Database(_) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<OpsError> for StoreError {
    fn from(error: OpsError) -> Self {
        Self(error.to_string())
    }
}

/// Why the ops store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened.
    #[error("{place}: {what}")]
    Database {
        /// Where it is.
        place: String,
        /// What was seen.
        what: String,
    },
    /// It is of another, perhaps a newer, version.
    #[error("{place} cannot be brought up to date: {what}")]
    Migration {
        /// Where it is.
        place: String,
        /// What was seen.
        what: String,
    },
}
