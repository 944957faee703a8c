//! Decisions: rows, and what is asked of them. No SQL.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::Position;
use serde::Serialize;

use super::OpsError;

/// What came out of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DecisionOutcome {
    /// Everything that was asked.
    Granted,
    /// Less than was asked.
    Reduced,
    /// Nothing of it.
    Denied,
}

impl DecisionOutcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Reduced => "reduced",
            Self::Denied => "denied",
        }
    }
}

/// Of which kind a decision is. Each has a budget of its own for each caller: when it is full, that caller's oldest of that
/// kind goes, and nobody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DecisionKind {
    /// Of somebody who has or had something to do with what was asked.
    Tied,
    /// Of somebody who signed in and has nothing to do with it.
    Stranger,
    /// Of nobody in particular: counted together.
    Anonymous,
    /// Somebody asked about somebody over the API.
    Asked,
}

impl DecisionKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tied => "tied",
            Self::Stranger => "stranger",
            Self::Anonymous => "anonymous",
            Self::Asked => "asked",
        }
    }

    /// How many one caller has, and all callers together have.
    pub(crate) fn budget(self) -> (i64, i64) {
        match self {
            Self::Tied => (1000, 200_000),
            Self::Stranger => (100, 50_000),
            Self::Anonymous => (10_000, 10_000),
            Self::Asked => (10_000, 100_000),
        }
    }
}

/// One answer to an access question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionRow {
    /// `dec_` and a UUIDv7; also the cursor of the list.
    pub id: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What came out. A granted one is only counted.
    pub outcome: DecisionOutcome,
    /// The user's id; absent for nobody in particular.
    pub user_id: Option<String>,
    /// The user's name then.
    pub user_name: Option<String>,
    /// The client's address.
    pub client: String,
    /// The kind of client.
    pub family: String,
    /// What was asked, as scopes.
    pub asked: String,
    /// What was granted, as scopes.
    pub granted: String,
    /// The text that was sent with a refusal.
    pub message: Option<String>,
    /// Of which state of the roster.
    pub position: Position,
    /// How many requests it stands for: those of nobody in particular are counted together.
    pub count: u64,
    /// Of which kind it is.
    #[serde(skip)]
    pub kind: DecisionKind,
    /// Whose budget it is of.
    #[serde(skip)]
    pub caller: String,
    /// What it has in common with those that it is counted together with; its images are then only those of the newest.
    #[serde(skip)]
    pub together: Option<String>,
    /// The images asked for, in full (`acme/db`); the first segment is the project. Empty in what a query returns.
    #[serde(skip)]
    pub images: Vec<String>,
}

/// Which decisions a list is about. Absent = any.
#[derive(Debug, Clone, Default)]
pub struct DecisionFilter {
    /// Of the user of this name.
    pub user: Option<String>,
    /// About this project.
    pub project: Option<String>,
    /// About this image, in full.
    pub image: Option<String>,
    /// Of this outcome.
    pub outcome: Option<DecisionOutcome>,
    /// From when.
    pub from: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    pub until: Option<DateTime<Utc>>,
}

/// How often something came out for a project in an hour. A question about two projects counts for both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionCount {
    /// Start of the hour.
    pub hour: DateTime<Utc>,
    /// The project; empty for what was refused to somebody who has nothing to do with it, and what was counted together.
    pub project: String,
    /// What came out.
    pub outcome: String,
    /// How often.
    pub count: u64,
}

/// What was refused or reduced, to be found again by its id; what was allowed, as numbers.
#[async_trait]
pub trait DecisionRecords: Send + Sync + 'static {
    /// Records a batch of decisions and waits until it is written (not synced: a lost denial costs an explanation,
    /// never a right). Meant for a task that collects them off the request's path. Returns how many older ones went because
    /// a budget was full.
    ///
    /// # Errors
    /// As [`OpsError`]: drop and count them.
    async fn record_decisions(&self, rows: &[DecisionRow]) -> Result<u64, OpsError>;

    /// Up to `limit` decisions, newest first, older than `before`.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn decisions(
        &self,
        filter: &DecisionFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<DecisionRow>, OpsError>;

    /// One decision; nothing for one that was granted, or is no longer kept.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn decision(&self, id: &str) -> Result<Option<DecisionRow>, OpsError>;

    /// The numbers of a time, by hour.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn decision_counts(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        project: Option<&str>,
    ) -> Result<Vec<DecisionCount>, OpsError>;
}
