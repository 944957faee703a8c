//! What is written, and how each write is carried out inside a transaction. Opens and commits none.

mod answers;
mod budgets;
mod decisions;
mod people;
mod prune;
mod refused;
mod rows;
mod sources;

use rollcall_ingest::Sent;
use sqlx::SqliteConnection;

use super::sql;
use crate::ops::{Claim, Dismissal, OpsError};

pub(crate) use decisions::DecisionRows;
pub(crate) use prune::PruneStep;
pub(crate) use refused::RefusedRows;
use rows::Batch;
pub(crate) use rows::Rows;
pub(crate) use sources::{SourceWrite, StateEntryJson};

/// Something to write.
pub(crate) enum Write {
    /// Rows that join the rows of others.
    Rows(Rows),
    /// The parts of a kept delivery anew.
    Replace {
        delivery: String,
        at: i64,
        verdict: &'static str,
        /// When the notification was sent first, where it came before.
        first: Option<Sent>,
        rows: Rows,
    },
    /// That nothing more is to be done about a delivery.
    Dismiss {
        delivery: String,
        dismissal: Dismissal,
    },
    /// An idempotency key.
    Claim {
        key: String,
        digest: String,
        at: i64,
        expired: i64,
    },
    Store {
        key: String,
        status: i64,
        body: Vec<u8>,
    },
    Abandon {
        key: String,
    },
    Erase {
        source: String,
        person: String,
        at: i64,
    },
    Source(SourceWrite),
    /// Decisions.
    Decisions(DecisionRows),
    /// Sign-ins that were refused.
    Refused(RefusedRows),
    Prune(PruneStep),
    /// Nothing more will come.
    Close,
}

/// What the writer says when the commit is done.
#[derive(Debug)]
pub(crate) enum Reply {
    Done,
    Claimed(Claim),
    Count(u64),
    /// Of so many deliveries something was erased.
    Erased(u64),
    /// It is erased from the tables, and the write-ahead log could not be emptied.
    NotErased(OpsError),
}

impl Reply {
    /// How many rows it was about.
    pub(crate) fn count(self) -> u64 {
        match self {
            Self::Count(rows) | Self::Erased(rows) => rows,
            Self::Done | Self::Claimed(_) | Self::NotErased(_) => 0,
        }
    }
}

/// Carries out the writes of one transaction: what they have in common goes in as one set per table.
pub(crate) async fn apply(connection: &mut SqliteConnection, writes: Vec<Write>) -> Result<Vec<Reply>, OpsError> {
    let mut batch = Batch::default();
    let mut replies = Vec::with_capacity(writes.len());
    let mut singles = Vec::new();
    for (at, write) in writes.into_iter().enumerate() {
        replies.push(Reply::Done);
        match write {
            Write::Rows(rows) => batch.add(rows),
            Write::Replace { delivery, at, verdict, first, rows } => {
                replace(connection, &delivery, at, verdict, first.as_ref()).await?;
                batch.add(rows);
            }
            other => singles.push((at, other)),
        }
    }
    batch.write(connection).await?;
    for (at, write) in singles {
        let reply = apply_alone(connection, write).await?;
        if let Some(place) = replies.get_mut(at) {
            *place = reply;
        }
    }
    Ok(replies)
}

async fn replace(
    connection: &mut SqliteConnection,
    id: &str,
    at: i64,
    verdict: &str,
    first: Option<&Sent>,
) -> Result<(), OpsError> {
    // Of what came in this delivery first, the delivery says it itself.
    let first = first.filter(|first| first.id.as_str() != id);
    sqlx::query(sql::NOTE_REPLAY).bind(id).bind(at).execute(&mut *connection).await?;
    sqlx::query(sql::DROP_PARTS).bind(id).execute(&mut *connection).await?;
    let reopened =
        sqlx::query(sql::REOPEN_DELIVERY).bind(id).bind(verdict).bind(first.map(|first| first.id.to_string()));
    let reopened = reopened.bind(first.map(|first| first.received_at.timestamp_micros()));
    let reopened = reopened.bind(first.and_then(|first| first.signed_at).map(|at| at.timestamp_micros()));
    reopened.bind(first.map(|first| first.refused)).execute(connection).await?;
    Ok(())
}

/// A write that is a statement of its own.
async fn apply_alone(connection: &mut SqliteConnection, write: Write) -> Result<Reply, OpsError> {
    match write {
        Write::Claim { key, digest, at, expired } => {
            answers::claim(connection, &key, &digest, at, expired).await.map(Reply::Claimed)
        }
        Write::Store { key, status, body } => {
            sqlx::query(sql::STORE_ANSWER).bind(key).bind(status).bind(body).execute(connection).await?;
            Ok(Reply::Done)
        }
        Write::Abandon { key } => {
            sqlx::query(sql::DROP_ANSWER).bind(key).execute(connection).await?;
            Ok(Reply::Done)
        }
        Write::Dismiss { delivery, dismissal: Dismissal { at, by, because } } => {
            let dismiss = sqlx::query(sql::DISMISS_DELIVERY).bind(delivery).bind(at.timestamp_micros());
            Ok(Reply::Count(dismiss.bind(by).bind(because).execute(connection).await?.rows_affected()))
        }
        Write::Erase { source, person, at } => people::erase(connection, &source, &person, at).await.map(Reply::Erased),
        Write::Source(write) => sources::write(connection, write).await.map(|()| Reply::Done),
        Write::Decisions(rows) => rows.write(connection).await.map(Reply::Count),
        Write::Refused(rows) => rows.write(connection).await.map(Reply::Count),
        Write::Prune(step) => prune::prune(connection, &step).await.map(Reply::Count),
        Write::Rows(_) | Write::Replace { .. } | Write::Close => Ok(Reply::Done),
    }
}
