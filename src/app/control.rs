//! What questions and commands need of the running process and may not reach themselves: the fold's progress,
//! projections, keys. Knows no engine. The binary implements it over projector, eventlog and registry.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_access::{Effect, Subject};
use rollcall_eventlog::WriteAhead;
use rollcall_events::Position;
use rollcall_store::{ops::DecisionRow, read::SupersededRow};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::error::{Error, ErrorKind};

/// The running process, as far as it is asked and steered here.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// How far the roster has folded the log. Whoever sees position P here sees P's effect in the roster too.
    fn applied(&self) -> watch::Receiver<Position>;

    /// How long the roster has been behind the log; zero when it is not.
    fn lag(&self, now: DateTime<Utc>) -> std::time::Duration;

    /// What the fold said of the events at these positions, one answer per position, in order. `None`: not folded yet,
    /// or nothing stands there.
    ///
    /// # Errors
    /// The effects cannot be read now.
    async fn effects(&self, positions: &[Position]) -> Result<Vec<Option<Effect>>, ControlError>;

    /// Where each projection stands, `roster` first.
    ///
    /// # Errors
    /// The state cannot be read now.
    async fn projections(&self) -> Result<Vec<Projection>, ControlError>;

    /// Folds the log anew beside the live projection and compares. Changes nothing.
    ///
    /// # Errors
    /// [`ControlError::Unknown`] for a projection that does not exist; [`ControlError::Busy`] while another runs.
    async fn check(&self, projection: &str) -> Result<Checked, ControlError>;

    /// Folds the log anew beside the live projection, compares, and swaps.
    ///
    /// # Errors
    /// As [`Control::check`].
    async fn rebuild(&self, projection: &str) -> Result<Checked, ControlError>;

    /// What each database has written ahead of its place, and who keeps it there.
    fn write_ahead(&self) -> Vec<WriteAhead>;

    /// Reads the whole log and checks its chain.
    ///
    /// # Errors
    /// [`ControlError::Damaged`] names the first position that cannot be trusted.
    async fn verify(&self) -> Result<Verified, ControlError>;

    /// The keys that sign registry tokens, the current one first.
    ///
    /// # Errors
    /// The keys cannot be read now.
    async fn keys(&self) -> Result<Vec<SigningKey>, ControlError>;

    /// Reads secrets and certificates anew, each by itself: where one cannot be used the one before stays.
    ///
    /// # Errors
    /// It cannot be done now.
    async fn reload(&self) -> Result<Reloaded, ControlError>;

    /// Makes a new signing key and signs with it from now on; the former stays published while its tokens live.
    ///
    /// # Errors
    /// The new key could not be kept; nothing changed.
    async fn rotate_keys(&self) -> Result<SigningKey, ControlError>;

    /// The positions, up to one, of the events about these subjects that applied; with `lost` also of those that were
    /// judged and changed nothing. In order. `None` where they are not known within a moment.
    ///
    /// # Errors
    /// They cannot be looked up now.
    async fn events_of(
        &self,
        subjects: &BTreeSet<Subject>,
        to: Position,
        lost: bool,
    ) -> Result<Option<Vec<Position>>, ControlError>;

    /// Events that lost to newer ones, where nothing was judged of their subjects since: of at most `rows` that lost after
    /// a position. And the position of the last that was looked at, where there are more.
    ///
    /// # Errors
    /// They cannot be looked up now.
    async fn superseded(
        &self,
        after: Position,
        rows: u32,
    ) -> Result<(Vec<SupersededRow>, Option<Position>), ControlError>;

    /// The authorities of that bundle, the one that certifies first.
    ///
    /// # Errors
    /// They cannot be read now.
    async fn authorities(&self) -> Result<Vec<SigningAuthority>, ControlError>;

    /// A step of their renewal.
    ///
    /// # Errors
    /// It cannot be done now; nothing changed.
    async fn renew_authority(&self, step: RenewalStep) -> Result<Vec<SigningAuthority>, ControlError>;

    /// The certificates that a registry's `rootcertbundle` wants, PEM.
    ///
    /// # Errors
    /// The keys cannot be read now.
    async fn key_bundle(&self) -> Result<String, ControlError>;
}

/// Takes decisions off the request's path, to be kept and looked up by their ids.
pub trait Decisions: Send + Sync + 'static {
    /// Takes a decision, or drops and counts it when too many are waiting. Must not block and must not fail.
    fn offer(&self, decision: DecisionRow);
}

/// Why the process could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is nothing of that name; the text lists what there is.
    #[error("{0}")]
    Unknown(String),
    /// It is being done already. Try again later.
    #[error("{0}")]
    Busy(String),
    /// The log is not what was recorded.
    #[error("the log is damaged at position {position}: {what}")]
    Damaged {
        /// The first position that cannot be trusted.
        position: Position,
        /// What was seen.
        what: String,
    },
    /// It cannot be done now. Try again later.
    #[error("{0}")]
    Unavailable(String),
}

/// Where a projection stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Projection {
    /// `roster` (memory) or `read` (SQL).
    pub name: String,
    /// What it does now.
    pub state: ProjectionState,
    /// How far it has folded the log.
    #[schema(value_type = u64)]
    pub position: Position,
    /// The log's newest position.
    #[schema(value_type = u64)]
    pub head: Position,
    /// How long it has been behind, in seconds.
    pub lag_seconds: f64,
    /// How many subjects are parked.
    pub parked: u64,
}

/// What a projection does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProjectionState {
    /// It follows the log.
    Live,
    /// It is reading up to the head.
    CatchingUp,
    /// A rebuild runs beside it.
    Rebuilding,
    /// It stopped; the process must be started anew.
    Stopped,
}

/// A live projection held against the log folded anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    /// Which projection.
    pub name: String,
    /// The position at which both were compared.
    #[schema(value_type = u64)]
    pub position: Position,
    /// Whether they are the same.
    pub same: bool,
    /// Digest of the live one, hexadecimal: of `roster` over its facts, of `read` over its memberships.
    pub live: String,
    /// The same of the one folded anew.
    pub replayed: String,
    /// About how many people, projects, accounts and bindings the live roster kept ready what does not follow from its facts. A
    /// rebuild makes them anew.
    pub flaws: u64,
    /// Whether the new one took the live one's place.
    pub swapped: bool,
}

/// What became of reading secrets and certificates anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// What was read, each with what became of it.
    pub items: Vec<ReloadedItem>,
    /// Keys of the configuration that have another value now, which counts after a restart.
    pub restart: Vec<String>,
}

/// One thing that was read anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReloadedItem {
    /// Which: `source NAME`, `admin key`, `signing keys`, `tls`, `configuration`.
    pub what: String,
    /// What became of it.
    pub outcome: ReloadOutcome,
    /// The same for people; of one that could not be used, why.
    pub detail: String,
}

/// What became of one thing that was read anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// The new one is in use.
    Reloaded,
    /// It is the same as before.
    Unchanged,
    /// The new one cannot be used; the one before stays.
    Kept,
}

impl ReloadOutcome {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reloaded => "reloaded",
            Self::Unchanged => "unchanged",
            Self::Kept => "kept",
        }
    }
}

/// A log whose chain was read and found whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verified {
    /// How many records were read.
    pub events: u64,
    /// The last of them.
    #[schema(value_type = u64)]
    pub position: Position,
    /// The chain's hash there, hexadecimal.
    pub hash: String,
}

/// An authority that certifies signing keys, whose certificate registries hold; never its private half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SigningAuthority {
    /// Its name in certificates.
    pub name: String,
    /// `certifies`, `next` (it stands in the bundle and will certify) or `former`.
    pub role: String,
    /// When it ends; of a former one, when it leaves the bundle.
    pub not_after: DateTime<Utc>,
    /// When the next one takes over by itself at the latest: by then every registry needs the bundle with both.
    pub takeover: DateTime<Utc>,
}

/// A step of the renewal of the authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RenewalStep {
    /// Make the next one, and put it into the bundle.
    Make,
    /// Certify with it from now on.
    Use,
}

/// A key that signs registry tokens; never its private half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SigningKey {
    /// The libtrust key id, as in the tokens' `kid`.
    pub kid: String,
    /// `ES256` or `RS256`.
    pub algorithm: String,
    /// Whether tokens are signed with it now.
    pub current: bool,
    /// When its certificate begins to hold.
    pub not_before: DateTime<Utc>,
    /// When its certificate ends.
    pub not_after: DateTime<Utc>,
}

impl From<ControlError> for Error {
    fn from(error: ControlError) -> Self {
        let text = error.to_string();
        match error {
            ControlError::Unknown(_) => ErrorKind::UnknownProjection.because(text),
            ControlError::Busy(_) => {
                ErrorKind::Busy.because(format!("{text}. Try again when it is done.")).retry_after(5)
            }
            ControlError::Damaged { position, .. } => ErrorKind::Damaged
                .because(format!("{text}. Nothing from there on is used. Stop the server and restore a backup."))
                .at(position),
            ControlError::Unavailable(_) => Self::unavailable("It cannot be done now", &error),
        }
    }
}
