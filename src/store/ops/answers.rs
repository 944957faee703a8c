//! Idempotency keys of the API: the answer that a repeated request gets. Kept for a day. No SQL.
//! Never hand in an answer that holds a secret: what is shown once must not be shown twice.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_events::Digest;

use super::OpsError;

/// How long an answer is kept.
pub(crate) const ANSWERS_KEPT: TimeDelta = TimeDelta::hours(24);

/// What a request with an idempotency key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The first: go on, then `store_answer` or `abandon_answer`.
    First,
    /// The same again: this was the answer.
    Answered(StoredAnswer),
    /// The same again while the first still runs (409).
    Running,
    /// Another request under the same key (422).
    Other,
}

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// The answers of requests with an idempotency key.
#[async_trait]
pub trait AnswerRecords: Send + Sync + 'static {
    /// Claims an idempotency key for a request. `key` is the caller's, made unique by who calls and what; `digest` is
    /// over the whole request.
    ///
    /// # Errors
    /// As [`OpsError`]; the request must not go on.
    async fn claim_answer(&self, key: &str, digest: Digest, now: DateTime<Utc>) -> Result<Claim, OpsError>;

    /// Keeps the answer to a claimed request.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn store_answer(&self, key: &str, answer: StoredAnswer) -> Result<(), OpsError>;

    /// Gives a claimed key back: the request was not carried out.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn abandon_answer(&self, key: &str) -> Result<(), OpsError>;
}
