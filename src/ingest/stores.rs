//! The stores that a source's runner needs, as traits, so that ingest knows no SQL and a crash between any two steps can
//! be played in a test. What the mirror holds is folded from the log; all else is lost with the store, and no membership.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use rollcall_events::{Id, LogId, Position, SourceName};

use crate::{
    Personal,
    plan::{Plan, PlanId, PlanState, Row},
    pull::{Cursor, Known, Names, Note, Notes},
    standing::Standing,
};

/// The store does not answer. Try again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Facts of one source by subject: the last thing that it said of each, ends included.
pub type Facts = HashMap<Box<str>, Known>;

/// How far the mirror of a source is, and what the log says of its runs up to there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    /// Folded up to here.
    pub position: Position,
    /// The highest epoch that a run of the source carried.
    pub epoch: u64,
    /// The scope of the last run that was applied.
    pub scope: Option<String>,
    /// A run that began and did not end.
    pub open: Option<String>,
}

/// Where the follower of a source goes on, and of what that is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Which log it is, as text.
    pub log: String,
    /// The digest of the scope.
    pub scope: String,
    /// How far the mirror was then.
    pub position: Position,
    /// Where.
    pub cursor: Cursor,
}

/// What each source said last, folded from the log.
#[async_trait]
pub trait Mirror: Send + Sync + 'static {
    /// How far it is. What was folded from another log is forgotten first.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn reached(&self, log: LogId, source: &SourceName) -> Result<Reached, StoreError>;

    /// Takes facts in and notes how far it is, whole or not at all.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn fold(&self, log: LogId, source: &SourceName, facts: Facts, reached: Reached) -> Result<(), StoreError>;

    /// Everything that a source said last.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn all(&self, source: &SourceName) -> Result<Facts, StoreError>;

    /// What a source said last of these subjects, and of all whose subject begins with one of `prefixes`.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn some(&self, source: &SourceName, subjects: &[String], prefixes: &[String]) -> Result<Facts, StoreError>;

    /// What a source said last where that stands behind a position.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn since(&self, source: &SourceName, after: Position) -> Result<Facts, StoreError>;

    /// How many facts of a source stand.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn count(&self, source: &SourceName) -> Result<u64, StoreError>;
}

/// Plans, how sources are, where followers go on, and personal data.
#[async_trait]
pub trait Records: Send + Sync + 'static {
    /// Keeps a plan; open ones of the same source are superseded by it.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn keep_plan(&self, plan: &Plan, rows: &[Row]) -> Result<(), StoreError>;

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
    async fn settle_plan(&self, id: &PlanId, state: PlanState) -> Result<(), StoreError>;

    /// How a source is; None before its first attempt.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn standing(&self, source: &SourceName) -> Result<Option<Standing>, StoreError>;

    /// Notes how a source is.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn note(&self, standing: &Standing) -> Result<(), StoreError>;

    /// Where the follower of a source goes on.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn followed(&self, source: &SourceName) -> Result<Option<Followed>, StoreError>;

    /// The notebook that belongs to that.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn notes(&self, source: &SourceName) -> Result<Vec<Note>, StoreError>;

    /// Keeps both, so that neither is ever found without the other.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn keep_followed(&self, source: &SourceName, followed: &Followed, notes: Notes) -> Result<(), StoreError>;

    /// Forgets both.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn forget_followed(&self, source: &SourceName) -> Result<(), StoreError>;

    /// The personal data of every person of a source.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn names(&self, source: &SourceName) -> Result<BTreeMap<Id, Names>, StoreError>;

    /// Keeps personal data.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn keep_names(&self, source: &SourceName, personal: Vec<Personal>) -> Result<(), StoreError>;
}

/// All of it.
pub trait Shelf: Mirror + Records {}

impl<T: Mirror + Records> Shelf for T {}
