//! Deliveries: ingest's inbox, and what the API shows of it.

use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rollcall_events::{Position, SourceName};
use rollcall_ingest::{
    Delivery, DeliveryId, Durability, Headers, Inbox, InboxError, Part, PartOutcomes, PartState, Personal, ProblemType,
    StoredDelivery, Verdict,
};
use serde::Serialize;
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    Ops, OpsError,
    rows::{Rows, json},
    sql,
    writer::Write,
};

/// Which deliveries a list is about. Absent = any.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Of this source.
    pub source: Option<SourceName>,
    /// With one of these verdicts; empty for any.
    pub verdicts: Vec<Verdict>,
}

impl DeliveryFilter {
    /// The verdicts that somebody should look at.
    pub const FAILED: &'static [Verdict] =
        &[Verdict::Rejected, Verdict::Unrecorded, Verdict::Quarantined, Verdict::Conflict];
}

/// A delivery in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliverySummary {
    /// `dlv_..`; also the cursor of the list.
    pub id: DeliveryId,
    /// Whose hook was called.
    pub source: SourceName,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// Who called.
    pub client: Option<IpAddr>,
    /// How long the body was.
    pub bytes: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it was rejected.
    pub reason: Option<String>,
    /// When its bytes were erased.
    pub erased_at: Option<DateTime<Utc>>,
    /// How many parts it has.
    pub events: u64,
    /// How many of them are in quarantine.
    pub quarantined: u64,
    /// A problem of one of them.
    pub problem: Option<String>,
}

/// A delivery with everything that is kept of it.
#[derive(Debug, Clone)]
pub struct DeliveryDetail {
    /// As in the list.
    pub summary: DeliverySummary,
    /// The headers that its hook keeps.
    pub headers: Headers,
    /// The bytes: absent once erased, cut for a long rejected one. May hold personal data.
    pub body: Option<Bytes>,
    /// Its parts, in order.
    pub parts: Vec<PartRow>,
    /// When it was replayed, oldest first.
    pub replays: Vec<ReplayRow>,
}

/// One part of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartRow {
    /// The sender's id, if it was found.
    pub id: Option<String>,
    /// The event type, if it was found.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// `pending`, `recorded`, `duplicate`, `conflict`, `quarantined` or `unrecorded`.
    pub outcome: String,
    /// Where the log has it.
    pub position: Option<Position>,
    /// Why it is in quarantine.
    pub problem: Option<PartProblem>,
}

/// Why a part is in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartProblem {
    /// One of `ProblemType`.
    #[serde(rename = "type")]
    pub kind: String,
    /// JSON pointer into the event.
    pub pointer: String,
    /// What was found and what to do.
    pub detail: String,
}

/// One replay of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayRow {
    /// When.
    pub at: DateTime<Utc>,
    /// What the delivery had been until then.
    pub was: String,
}

impl Ops {
    /// Up to `limit` deliveries, newest first, older than `before`.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        before: Option<&DeliveryId>,
        limit: u32,
    ) -> Result<Vec<DeliverySummary>, OpsError> {
        // `~` sorts behind every id.
        let before = before.map_or("~", DeliveryId::as_str);
        let source = filter.source.as_ref().map(SourceName::as_str);
        let verdicts = (!filter.verdicts.is_empty()).then(|| json(&filter.verdicts)).transpose()?;
        let query = match (source, verdicts) {
            (None, None) => sqlx::query(sql::LIST_ALL).bind(before).bind(limit),
            (Some(source), None) => sqlx::query(sql::LIST_SOURCE).bind(before).bind(limit).bind(source),
            (None, Some(verdicts)) => sqlx::query(sql::LIST_VERDICTS).bind(before).bind(limit).bind(verdicts),
            (Some(source), Some(verdicts)) => {
                sqlx::query(sql::LIST_SOURCE_VERDICTS).bind(before).bind(limit).bind(source).bind(verdicts)
            }
        };
        query.fetch_all(&self.readers).await?.iter().map(summary).collect()
    }

    /// One delivery with its parts.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn delivery(&self, id: &DeliveryId) -> Result<Option<DeliveryDetail>, OpsError> {
        // One transaction: the parts of the row that was read, also while a replay replaces them.
        let mut reader = self.readers.begin().await?;
        let Some(row) = sqlx::query(sql::FIND_DELIVERY).bind(id.as_str()).fetch_optional(&mut *reader).await? else {
            return Ok(None);
        };
        let parts = sqlx::query(sql::PARTS_OF).bind(id.as_str()).fetch_all(&mut *reader).await?;
        let replays = sqlx::query(sql::REPLAYS_OF).bind(id.as_str()).fetch_all(&mut *reader).await?;
        let parts: Vec<PartRow> = parts.iter().map(part).collect::<Result<_, _>>()?;
        let quarantined = parts.iter().filter(|part| part.problem.is_some()).count() as u64;
        let problem = parts.iter().filter_map(|part| part.problem.as_ref()).map(|problem| problem.kind.clone()).min();
        let replay = |row: &SqliteRow| Ok(ReplayRow { at: time(row.try_get("at")?)?, was: row.try_get("was")? });
        Ok(Some(DeliveryDetail {
            summary: DeliverySummary { events: parts.len() as u64, quarantined, problem, ..kept_columns(&row)? },
            headers: headers(&row)?,
            body: row.try_get::<Option<Vec<u8>>, _>("body")?.map(Bytes::from),
            parts,
            replays: replays.iter().map(replay).collect::<Result<_, OpsError>>()?,
        }))
    }
}

#[async_trait]
impl Inbox for Ops {
    async fn store(
        &self,
        delivery: Delivery,
        parts: Vec<Part>,
        personal: Vec<Personal>,
        durability: Durability,
    ) -> Result<(), InboxError> {
        let verdict = verdict_before(&parts);
        self.writer.write(Write::Rows(Rows::kept(delivery, verdict, parts, personal)), durability).await?;
        Ok(())
    }

    fn reject(&self, delivery: Delivery, reason: &'static str) {
        let id = delivery.id.clone();
        if !self.writer.offer_rejected(Rows::rejected(delivery, reason)) {
            tracing::debug!(delivery = %id, "rejected delivery not kept");
        }
    }

    async fn store_replay(
        &self,
        delivery: &Delivery,
        at: DateTime<Utc>,
        parts: Vec<Part>,
        personal: Vec<Personal>,
    ) -> Result<(), InboxError> {
        let write = Write::Replace {
            delivery: delivery.id.to_string(),
            at: at.timestamp_micros(),
            verdict: verdict_before(&parts),
            rows: Rows::parts(delivery, parts, personal),
        };
        self.writer.write(write, Durability::Synced).await?;
        Ok(())
    }

    async fn record_outcomes(
        &self,
        delivery: &DeliveryId,
        settled: PartOutcomes,
        durability: Durability,
    ) -> Result<(), InboxError> {
        let rows = Rows::settled(delivery.as_str(), settled);
        match durability {
            Durability::Written => self.writer.get_in_line(rows).await?,
            Durability::Synced => self.writer.write(Write::Rows(rows), durability).await.map(drop)?,
        }
        Ok(())
    }

    async fn find(&self, id: &DeliveryId) -> Result<Option<StoredDelivery>, InboxError> {
        let row = sqlx::query(sql::FIND_DELIVERY).bind(id.as_str()).fetch_optional(&self.readers).await;
        let Some(row) = row.map_err(OpsError::from)? else { return Ok(None) };
        Ok(Some(kept(&row)?))
    }

    async fn quarantined(
        &self,
        source: Option<&SourceName>,
        problem: ProblemType,
        after: Option<&DeliveryId>,
        limit: usize,
    ) -> Result<Vec<DeliveryId>, InboxError> {
        let query = sqlx::query(sql::QUARANTINED)
            .bind(source.map(SourceName::as_str))
            .bind(problem.as_str())
            .bind(after.map_or("", DeliveryId::as_str))
            .bind(limit as i64);
        Ok(ids(&query.fetch_all(&self.readers).await.map_err(OpsError::from)?)?)
    }

    async fn pending(&self, after: Option<&DeliveryId>, limit: usize) -> Result<Vec<DeliveryId>, InboxError> {
        let query = sqlx::query(sql::PENDING).bind(after.map_or("", DeliveryId::as_str)).bind(limit as i64);
        Ok(ids(&query.fetch_all(&self.readers).await.map_err(OpsError::from)?)?)
    }
}

/// What a delivery is until it is settled. Where nothing goes to the log, that is already what became of it.
fn verdict_before(parts: &[Part]) -> &'static str {
    let states = parts.iter().map(|part| &part.state);
    match states.clone().any(|state| *state == PartState::Pending) {
        true => Verdict::Pending.as_str(),
        false => Verdict::of(states).as_str(),
    }
}

fn kept(row: &SqliteRow) -> Result<StoredDelivery, OpsError> {
    let DeliverySummary { id, source, received_at, client, bytes, verdict, .. } = kept_columns(row)?;
    let body = row.try_get::<Option<Vec<u8>>, _>("body")?.unwrap_or_default().into();
    let delivery = Delivery { id, source, received_at, client, headers: headers(row)?, body };
    Ok(StoredDelivery { delivery, bytes, verdict })
}

fn headers(row: &SqliteRow) -> Result<Headers, OpsError> {
    serde_json::from_str(row.try_get("headers")?).map_err(damaged)
}

fn summary(row: &SqliteRow) -> Result<DeliverySummary, OpsError> {
    let count = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    Ok(DeliverySummary {
        events: count("events")?,
        quarantined: count("quarantined")?,
        problem: row.try_get("problem")?,
        ..kept_columns(row)?
    })
}

fn kept_columns(row: &SqliteRow) -> Result<DeliverySummary, OpsError> {
    Ok(DeliverySummary {
        id: row.try_get::<&str, _>("id")?.parse().map_err(damaged)?,
        source: row.try_get::<&str, _>("source")?.parse().map_err(damaged)?,
        received_at: time(row.try_get("received_at")?)?,
        client: row.try_get::<Option<&str>, _>("client")?.and_then(|text| text.parse().ok()),
        bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
        verdict: row.try_get::<&str, _>("verdict")?.parse().map_err(damaged)?,
        reason: row.try_get("reason")?,
        erased_at: row.try_get::<Option<i64>, _>("erased_at")?.map(time).transpose()?,
        events: 0,
        quarantined: 0,
        problem: None,
    })
}

fn part(row: &SqliteRow) -> Result<PartRow, OpsError> {
    let text = |column| row.try_get::<Option<String>, _>(column).map(Option::unwrap_or_default);
    let problem = match row.try_get("problem")? {
        Some(kind) => Some(PartProblem { kind, pointer: text("pointer")?, detail: text("detail")? }),
        None => None,
    };
    Ok(PartRow {
        id: row.try_get("event_id")?,
        kind: row.try_get("type")?,
        subject: row.try_get("subject")?,
        outcome: row.try_get("outcome")?,
        position: row.try_get::<Option<i64>, _>("position")?.map(|at| Position(at.unsigned_abs())),
        problem,
    })
}

fn ids(rows: &[SqliteRow]) -> Result<Vec<DeliveryId>, OpsError> {
    rows.iter().map(|row| row.try_get::<&str, _>("id")?.parse().map_err(damaged)).collect()
}

pub(super) fn time(micros: i64) -> Result<DateTime<Utc>, OpsError> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| damaged("a time out of range"))
}

pub(super) fn damaged(what: impl std::fmt::Display) -> OpsError {
    OpsError::Database(format!("a row is not what was written: {what}"))
}
