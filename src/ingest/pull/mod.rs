//! What a connector is that asks its source: full reads, looking up single subjects, following.
//! It is handed a sheet to write facts on and the time, nothing else: no log, no store, no role, no clock of its own.

mod change_sink;
mod snapshot;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::{Body, Digest, Id, body::group_member_subject_prefix};

pub(crate) use change_sink::SinkBackend;
pub use change_sink::{
    ChangeSink, Cursor, FullReadReason, ResumePoint, SaveOutcome, SinkError, SourceChange, StateEntry, StateUpdate,
};
pub(crate) use snapshot::RunContext;
pub use snapshot::{RecordedFact, Section, Snapshot, SnapshotBuilder};

/// The pulling half of a connector, configured for one source. A source that is pulled is ordered as `observed`.
///
/// Every method may be dropped at any await (the process stops) and may panic (its run is aborted): nothing that it
/// wrote on a sheet counts before the sheet is sealed. Timeouts of connections and of single answers are its own.
#[async_trait]
pub trait Pull: Send + Sync + 'static {
    /// What is read, as far as it changes the answer: bases, filters, attributes, the organisation; no secrets, no
    /// addresses of replicas. Where it differs from that of the last applied run, the next run is only a plan.
    fn scope(&self) -> Scope;

    /// Reads everything onto the sheet and seals it.
    ///
    /// # Errors
    /// Why nothing can be concluded from this read. Nothing that was written on the sheet counts then.
    async fn read(&self, builder: SnapshotBuilder) -> Result<Snapshot, Failure>;

    /// Looks single subjects up, one answer for each, in order. Asked for subjects about which something was recorded
    /// while a full read ran, and after a hint. Each is given as the fact that was stated last (or its end).
    ///
    /// # Errors
    /// Nothing is known of any of them; they are left as they are.
    async fn look_up(&self, subjects: &[Body], now: DateTime<Utc>) -> Result<Vec<LookupAnswer>, Failure> {
        let _ = now;
        Ok(subjects.iter().map(|_| LookupAnswer::Unknown("this source is only read as a whole".to_owned())).collect())
    }

    /// Whether [`Pull::follow`] does something.
    fn follows(&self) -> bool {
        false
    }

    /// Follows the source for as long as it can, from what was kept last ([`ChangeSink::recall`]), and says why it ended. It is
    /// called again after a pause, so it need not try again itself.
    async fn follow(&self, sink: ChangeSink) -> Failure {
        let _ = sink;
        Failure::Unreachable("this source cannot be followed".to_owned())
    }
}

/// A fact as the source states it, personal data apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The fact; one that a connector may say, and not the end of one.
    pub body: Body,
    /// E-mail and display name of a person. None leaves what is kept as it is.
    pub personal: Option<PersonalData>,
}

impl From<Body> for Fact {
    fn from(body: Body) -> Self {
        Self { body, personal: None }
    }
}

/// Personal data of a person: kept beside the log, never in it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PersonalData {
    /// The e-mail address.
    pub email: Option<String>,
    /// The display name.
    pub name: Option<String>,
}

/// Not for printing.
impl std::fmt::Debug for PersonalData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names(***)")
    }
}

/// Which facts something is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactSelector {
    /// One subject, as [`Body::subject`] writes it.
    Subject(String),
    /// Every member of a group.
    MembersOf(Id),
}

impl FactSelector {
    /// What the subjects of a group's members begin with, where it is about those.
    pub(crate) fn members(&self) -> Option<String> {
        match self {
            Self::Subject(_) => None,
            Self::MembersOf(group) => Some(group_member_subject_prefix(group)),
        }
    }
}

impl std::fmt::Display for FactSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Subject(subject) => f.write_str(subject),
            Self::MembersOf(group) => write!(f, "the members of group/{group}"),
        }
    }
}

/// What is read, as one text and its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    /// Of these parts, in this order; each keeps its own bounds.
    #[must_use]
    pub fn of<S: AsRef<str>>(parts: impl IntoIterator<Item = S>) -> Self {
        let mut all = String::new();
        for part in parts {
            let part = part.as_ref();
            all.push_str(&format!("{}:{part}\n", part.len()));
        }
        Self(Digest::of(all.as_bytes()).to_string())
    }

    /// SHA-256 of the parts, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.0
    }
}

/// What a look-up of one subject came to.
#[derive(Debug, Clone, PartialEq)]
pub enum LookupAnswer {
    /// The source states this of it.
    Stated(Fact),
    /// The source says that it is no more. Where it may just not be visible any more, say [`Answer::Unknown`].
    Gone,
    /// The source does not know it any more, or does not show it to us, for this reason. It is left as it is, unless a
    /// whole read concludes otherwise.
    Unknown(String),
    /// The source did not answer the question, for this reason. Nothing is concluded, by nobody.
    Unanswered(String),
}

/// Why a read or a follow came to nothing. The text names the place (base, page, code) and is shown to people; no
/// secrets in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No answer: no connection, a time-out, a connection that broke.
    #[error("{0}")]
    Unreachable(String),
    /// The source does not know us, or lets us do nothing: a password, a token, a certificate.
    #[error("{0}")]
    Unauthorised(String),
    /// The source answers and gives nothing now: throttled, suspended, in maintenance.
    #[error("{reason}")]
    Blind {
        /// What it said.
        reason: String,
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// The source answered, and not with everything: a base is gone, a limit was hit, an answer could not be read.
    /// Shown as blind.
    #[error("{0}")]
    Partial(String),
}
