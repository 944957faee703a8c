//! The stores that a source's runner needs, as traits, so that ingest knows no SQL and a crash between any two steps can
//! be played in a test. The baseline is folded from the log; everything else is lost with the store, but no membership.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rollcall_events::{Epoch, Id, LogId, Position, SourceName};

use crate::{
    baseline::{BaselineEntries, BaselineEntry},
    connector::{Cursor, PersonalData, StateEntry, StateUpdate},
    personal::Personal,
    reading::{
        plan::{Plan, PlanClosure, PlanId, PlanRow, PlanState},
        status::SourceStatus,
    },
};

/// The store does not answer. Try again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Is called with one thing after the other, each with its name.
pub type Visitor<'a, T> = &'a mut (dyn FnMut(&str, T) + Send);

/// How far the baseline of a source is, and what the log says of its runs up to there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaselineState {
    /// Folded up to here.
    pub position: Position,
    /// The newest epoch of the source.
    pub epoch: Epoch,
    /// The scope of the last run that was applied.
    pub scope: Option<String>,
    /// A run that began and did not end.
    pub open: Option<String>,
}

/// Where the follower of a source goes on, and what it must still be true of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedCursor {
    /// Which log it is, as text.
    pub log: String,
    /// The digest of the scope.
    pub scope: String,
    /// How far the baseline was then.
    pub position: Position,
    /// Where.
    pub cursor: Cursor,
}

/// What each source said last, folded from the log.
#[async_trait]
pub trait BaselineStore: Send + Sync + 'static {
    /// How far it is. What was folded from another log is deleted first.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn baseline_state(&self, log: LogId, source: &SourceName) -> Result<BaselineState, StoreError>;

    /// Takes entries in and notes how far it is, all or nothing.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn fold(
        &self,
        log: LogId,
        source: &SourceName,
        entries: &BaselineEntries,
        baseline: &BaselineState,
    ) -> Result<(), StoreError>;

    /// Visits everything that a source said last, in any order.
    ///
    /// # Errors
    /// As [`StoreError`]; something of it may have been shown.
    async fn for_each_entry(&self, source: &SourceName, visit: Visitor<'_, BaselineEntry>) -> Result<(), StoreError>;

    /// What a source said last of these subjects, and of all whose subject begins with one of `prefixes`.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn entries(
        &self,
        source: &SourceName,
        subjects: &[String],
        prefixes: &[String],
    ) -> Result<BaselineEntries, StoreError>;
}

/// Plans, how sources are, where followers go on, and personal data.
#[async_trait]
pub trait SourceRecords: Send + Sync + 'static {
    /// Keeps a plan; open ones of the same source are superseded by it.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn save_plan(&self, plan: &Plan, rows: &[PlanRow]) -> Result<(), StoreError>;

    /// A plan.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn plan(&self, id: &PlanId) -> Result<Option<Plan>, StoreError>;

    /// The plan of a source that waits for somebody; not one that was only asked for.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn held_plan(&self, source: &SourceName) -> Result<Option<Plan>, StoreError>;

    /// Notes what became of a plan that was open.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn close_plan(&self, id: &PlanId, state: PlanState, closed: &PlanClosure) -> Result<(), StoreError>;

    /// How a source is; None before its first attempt.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn status(&self, source: &SourceName) -> Result<Option<SourceStatus>, StoreError>;

    /// Notes how a source is.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn save_status(&self, status: &SourceStatus) -> Result<(), StoreError>;

    /// Where the follower of a source goes on.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn saved_cursor(&self, source: &SourceName) -> Result<Option<SavedCursor>, StoreError>;

    /// The sync state that belongs to that cursor.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn sync_state(&self, source: &SourceName) -> Result<Vec<StateEntry>, StoreError>;

    /// Keeps both, so that neither is ever found without the other.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn save_sync_state(
        &self,
        source: &SourceName,
        followed: &SavedCursor,
        notes: StateUpdate,
    ) -> Result<(), StoreError>;

    /// Forgets both.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn forget_sync_state(&self, source: &SourceName) -> Result<(), StoreError>;

    /// Shows the personal data of every person of a source, in any order.
    ///
    /// # Errors
    /// As [`StoreError`]; some of it may have been shown.
    async fn for_each_personal(&self, source: &SourceName, visit: Visitor<'_, PersonalData>) -> Result<(), StoreError>;

    /// The personal data of some persons.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn personal(&self, source: &SourceName, persons: &[Id]) -> Result<BTreeMap<Id, PersonalData>, StoreError>;

    /// Keeps personal data.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn save_personal(&self, source: &SourceName, personal: Vec<Personal>) -> Result<(), StoreError>;
}

/// All of it.
pub trait SourceStore: BaselineStore + SourceRecords {}

impl<T: BaselineStore + SourceRecords> SourceStore for T {}
