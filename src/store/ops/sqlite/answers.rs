//! Idempotency keys of the API.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::Digest;
use rollcall_ingest::Durability;

use super::{
    columns::damaged,
    store::SqliteOps,
    writes::{Reply, Write},
};
use crate::ops::{ANSWERS_KEPT, AnswerRecords, Claim, OpsError, StoredAnswer};

#[async_trait]
impl AnswerRecords for SqliteOps {
    async fn claim_answer(&self, key: &str, digest: Digest, now: DateTime<Utc>) -> Result<Claim, OpsError> {
        let write = Write::Claim {
            key: key.to_owned(),
            digest: digest.to_string(),
            at: now.timestamp_micros(),
            expired: (now - ANSWERS_KEPT).timestamp_micros(),
        };
        match self.writer.write(write, Durability::Written).await? {
            Reply::Claimed(claim) => Ok(claim),
            Reply::Done | Reply::Count(_) | Reply::Erased(_) | Reply::NotErased(_) => {
                Err(damaged("no answer to a claim"))
            }
        }
    }

    async fn store_answer(&self, key: &str, answer: StoredAnswer) -> Result<(), OpsError> {
        let StoredAnswer { status, body } = answer;
        let write = Write::Store { key: key.to_owned(), status: status.into(), body };
        self.writer.write(write, Durability::Synced).await.map(drop)
    }

    async fn abandon_answer(&self, key: &str) -> Result<(), OpsError> {
        self.writer.write(Write::Abandon { key: key.to_owned() }, Durability::Written).await.map(drop)
    }
}
