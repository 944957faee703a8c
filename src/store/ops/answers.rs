//! Idempotency keys of the API: the answer that a repeated request gets. Kept for a day.
//! Never hand in an answer that holds a secret: what is shown once must not be shown twice.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_events::Digest;
use rollcall_ingest::Durability;
use sqlx::{Row, SqliteConnection};

use super::{
    Ops, OpsError,
    deliveries::damaged,
    sql,
    writer::{Reply, Write},
};

/// How long an answer is kept.
pub(super) const KEPT: TimeDelta = TimeDelta::hours(24);

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

impl Ops {
    /// Claims an idempotency key for a request. `key` is the caller's, made unique by who calls and what; `digest` is
    /// over the whole request.
    ///
    /// # Errors
    /// As [`OpsError`]; the request must not go on.
    pub async fn claim_answer(&self, key: &str, digest: Digest, now: DateTime<Utc>) -> Result<Claim, OpsError> {
        let write = Write::Claim {
            key: key.to_owned(),
            digest: digest.to_string(),
            at: now.timestamp_micros(),
            expired: (now - KEPT).timestamp_micros(),
        };
        match self.writer.write(write, Durability::Written).await? {
            Reply::Claimed(claim) => Ok(claim),
            Reply::Done | Reply::Count(_) => Err(damaged("no answer to a claim")),
        }
    }

    /// Keeps the answer to a claimed request.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn store_answer(&self, key: &str, answer: StoredAnswer) -> Result<(), OpsError> {
        let StoredAnswer { status, body } = answer;
        let write = Write::Store { key: key.to_owned(), status: status.into(), body };
        self.writer.write(write, Durability::Synced).await.map(drop)
    }

    /// Gives a claimed key back: the request was not carried out.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn abandon_answer(&self, key: &str) -> Result<(), OpsError> {
        self.writer.write(Write::Abandon { key: key.to_owned() }, Durability::Written).await.map(drop)
    }
}

pub(super) async fn claim(
    connection: &mut SqliteConnection,
    key: &str,
    digest: &str,
    at: i64,
    expired: i64,
) -> Result<Claim, OpsError> {
    sqlx::query(sql::EXPIRE_ANSWER).bind(key).bind(expired).execute(&mut *connection).await?;
    let claimed = sqlx::query(sql::CLAIM_ANSWER).bind(key).bind(digest).bind(at).execute(&mut *connection).await?;
    if claimed.rows_affected() == 1 {
        return Ok(Claim::First);
    }
    let row = sqlx::query(sql::FIND_ANSWER).bind(key).fetch_one(connection).await?;
    if row.try_get::<&str, _>("digest")? != digest {
        return Ok(Claim::Other);
    }
    match row.try_get::<Option<i64>, _>("status")? {
        None => Ok(Claim::Running),
        Some(status) => {
            let status = status.try_into().map_err(damaged)?;
            let body = row.try_get::<Option<Vec<u8>>, _>("body")?.unwrap_or_default();
            Ok(Claim::Answered(StoredAnswer { status, body }))
        }
    }
}
