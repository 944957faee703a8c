//! Why a read came to nothing, and why everything has to be read.

use std::time::Duration;

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

/// Why a follower reads everything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FullReadReason {
    /// Nothing that the source said is in force yet.
    #[error("first start")]
    FirstStart,
    /// The source was read before, and no sync state is saved.
    #[error("there is no saved sync state: ops.db was lost, or the source was not followed before")]
    NothingSaved,
    /// It was saved with another log.
    #[error("the sync state was saved with another log")]
    OtherLog,
    /// The scope is another one.
    #[error("the scope is another one (bases, filters or attributes changed)")]
    OtherScope,
    /// What was saved cannot be read.
    #[error("the saved sync state cannot be read: {0}")]
    Unreadable(String),
    /// The source does not go on from the cursor.
    #[error("{0}")]
    Refused(String),
    /// The source is not followed at all.
    #[error("it is not followed: {0}")]
    NotFollowed(String),
}

impl FullReadReason {
    /// One word, for a metric.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::FirstStart => "first",
            Self::NothingSaved => "lost",
            Self::OtherLog => "log",
            Self::OtherScope => "scope",
            Self::Unreadable(_) => "unreadable",
            Self::Refused(_) => "refused",
            Self::NotFollowed(_) => "unable",
        }
    }
}
