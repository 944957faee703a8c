//! The stores that a source's runner needs, as traits, so that ingest knows no SQL and a crash between any two steps can
//! be played in a test. What the mirror holds is folded from the log; all else is lost with the store, and no membership.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use async_trait::async_trait;
use rollcall_events::{Body, Digest, Emitter, Epoch, Id, LogId, Position, SourceName};
use sha2::{Digest as _, Sha256};

use crate::{
    Personal,
    plan::{Plan, PlanClosure, PlanId, PlanRow, PlanState},
    pull::{Cursor, PersonalData, RecordedFact, StateEntry, StateUpdate},
    status::SourceStatus,
};

/// The store does not answer. Try again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Facts of one source by subject, as they stand in the log.
pub type RecordedFacts = HashMap<String, RecordedFact>;

/// Tells one fact from another: the first half of SHA-256 over the subject, the type and the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// Of a fact.
    #[must_use]
    pub fn of(subject: &str, kind: &str, data: &str) -> Self {
        Self::from(digest(subject, kind, data))
    }
}

impl From<Digest> for Fingerprint {
    fn from(Digest(bytes): Digest) -> Self {
        let mut half = [0; 16];
        half.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Self(half)
    }
}

/// SHA-256 over a fact.
pub(crate) fn digest(subject: &str, kind: &str, data: &str) -> Digest {
    let mut hash = Sha256::new();
    for part in [subject, "\n", kind, "\n", data] {
        hash.update(part);
    }
    Digest(hash.finalize().into())
}

/// The last thing that a source said of a subject: which it was, and where it stands in the log in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaselineEntry {
    /// Its place in the log.
    pub position: Position,
    /// Whether the subject stands: it was not taken back.
    pub present: bool,
    /// Which fact it was.
    pub fingerprint: Fingerprint,
}

impl BaselineEntry {
    /// Of a fact in the log.
    #[must_use]
    pub fn of(position: Position, subject: &str, kind: &str, data: &str) -> Self {
        Self { position, present: is_present(kind), fingerprint: Fingerprint::of(subject, kind, data) }
    }
}

/// Whether a fact of this type says that its subject is there.
pub(crate) fn is_present(kind: &str) -> bool {
    Body::emitter_of(kind).is_some_and(Emitter::is_for_connectors) && !is_end(kind)
}

/// By the type alone: parsing a hundred thousand facts to learn that would cost as much as the rest of a run.
fn is_end(kind: &str) -> bool {
    let word = kind.trim_end_matches(".v1").rsplit('.').next().unwrap_or_default();
    matches!(word, "removed" | "revoked" | "unmapped" | "unassigned")
}

/// Marks by subject.
pub type BaselineEntries = BTreeMap<Box<str>, BaselineEntry>;

/// Those whose subject begins so.
pub(crate) fn beginning_with<'a>(
    entries: &'a BaselineEntries,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a str, &'a BaselineEntry)> + Clone {
    let from = (Bound::Included(prefix), Bound::Unbounded);
    let behind = entries.range::<str, _>(from).map(|(subject, entry)| (&**subject, entry));
    behind.take_while(move |(subject, _)| subject.starts_with(prefix))
}

/// Takes one thing after the other, each by its name.
pub type Visitor<'a, T> = &'a mut (dyn FnMut(&str, T) + Send);

/// How far the mirror of a source is, and what the log says of its runs up to there.
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

/// Where the follower of a source goes on, and of what that is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedCursor {
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
pub trait BaselineStore: Send + Sync + 'static {
    /// How far it is. What was folded from another log is forgotten first.
    ///
    /// # Errors
    /// As [`StoreError`].
    async fn baseline_state(&self, log: LogId, source: &SourceName) -> Result<BaselineState, StoreError>;

    /// Takes marks in and notes how far it is, whole or not at all.
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

    /// Shows everything that a source said last, in any order.
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

    /// The notebook that belongs to that.
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
