//! Plans and statuses of sources that are read, as they are listed. No SQL; the rows are ingest's.

use async_trait::async_trait;
use rollcall_events::SourceName;
use rollcall_ingest::{Plan, PlanId, PlanRow, SourceStatus};

use super::OpsError;

/// What is asked of sources that are read; `rollcall_ingest::SourceStore` keeps it.
#[async_trait]
pub trait SourceQueries: Send + Sync + 'static {
    /// Up to `limit` plans older than `before`, the newest first; of one source or of all.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn plans(
        &self,
        source: Option<&SourceName>,
        before: Option<&PlanId>,
        limit: u32,
    ) -> Result<Vec<Plan>, OpsError>;

    /// Up to `limit` rows of a plan behind the one with number `after` (none: from the first), each with its number.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn plan_rows(&self, id: &PlanId, after: Option<u64>, limit: u32) -> Result<Vec<(u64, PlanRow)>, OpsError>;

    /// How every source is that was ever read.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn source_statuses(&self) -> Result<Vec<SourceStatus>, OpsError>;
}
