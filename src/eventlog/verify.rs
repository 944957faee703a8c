//! What a verification is asked and what it reports, for every engine. Verifies nothing itself.

use rollcall_events::{LogId, Position};

use crate::{Head, HeadError, OpenError, SignedHead, TailError};

/// What is verified against what.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// A head that was kept elsewhere. Without one the log can only be found consistent with itself.
    pub against: Option<SignedHead>,
    /// The log's public key, PEM, kept elsewhere; the log's own if absent.
    pub public_key: Option<String>,
    /// Start behind this position and trust the hash that is stored there; 0 for the whole log.
    pub after: Position,
}

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Verified up to here.
    pub position: Position,
    /// Of this.
    pub end: Position,
}

/// What was found in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Which log.
    pub log: LogId,
    /// How many records were held against the chain.
    pub events: u64,
    /// Where the verification began: behind this position.
    pub after: Position,
    /// The newest record.
    pub head: Head,
    /// The signed head that the chain passes through.
    pub against: Option<SignedHead>,
}

impl std::fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { log, events, after, head, against } = self;
        write!(f, "log {log}: {events} events")?;
        if *after > Position(0) {
            write!(f, " behind position {after}")?;
        }
        write!(f, " up to position {}, ", head.position)?;
        match against {
            Some(signed) => {
                write!(
                    f,
                    "unaltered up to position {} as signed at {}",
                    signed.position,
                    signed.signed_at.to_rfc3339()
                )?;
                if signed.position < head.position {
                    f.write_str(", and consistent with itself from there on")?;
                }
                Ok(())
            }
            None => f.write_str("consistent with itself (only a signed head that was kept elsewhere can show more)"),
        }
    }
}

/// Why a log is not in order, or could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A record is not what was recorded, or is missing.
    #[error("the log is damaged at position {position}: {what}")]
    Damaged {
        /// The first position that cannot be trusted.
        position: Position,
        /// What was seen.
        what: String,
    },
    /// What holds the records is damaged: the structure of the storage, an index, the key, the signed head.
    #[error("{place}: {what}")]
    Structure {
        /// Which part of the storage: a file, a stream.
        place: String,
        /// What was seen.
        what: String,
    },
    /// The signed head is of another log.
    #[error("the head is of log {head}, this is log {log}")]
    OtherLog {
        /// The head's log.
        head: String,
        /// This log.
        log: LogId,
    },
    /// The signed head proves nothing.
    #[error("{0}")]
    Head(#[from] HeadError),
    /// The chain does not pass through the signed head: the log was altered at or before it.
    #[error("the log was altered: what it says at position {position} is not what was signed")]
    Altered {
        /// The head's position.
        position: Position,
    },
    /// The storage does not answer.
    #[error("the log cannot be read: {0}")]
    Unavailable(String),
}

impl From<TailError> for VerifyError {
    fn from(error: TailError) -> Self {
        match error {
            TailError::Damaged { position, what } => Self::Damaged { position, what },
            TailError::Unavailable(what) => Self::Unavailable(what),
        }
    }
}

impl From<OpenError> for VerifyError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Damaged { place, what } => Self::Structure { place, what },
            other => Self::Unavailable(other.to_string()),
        }
    }
}
