//! Deliveries: ingest's inbox, and the lists of it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rollcall_events::{Digest, Position, SourceName};
use rollcall_ingest::{
    Delivery, DeliveryId, Durability, Inbox, InboxError, Part, PartForm, PartOutcomes, PartState, Personal, Quarantine,
    SaidAgain, SameDelivery, SameNotification, Sent, StoredDelivery, Verdict,
    connector::{Headers, Notification, ProblemType},
};
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    columns::{damaged, json, time},
    sql,
    store::SqliteOps,
    writes::{Rows, Write},
};
use crate::ops::{
    DeliveryDetail, DeliveryFilter, DeliveryRecords, DeliverySummary, Dismissal, OpenDelivery, OpenOutcome, OpsError,
    PartProblem, PartRow, ReplayRow,
};

#[async_trait]
impl DeliveryRecords for SqliteOps {
    async fn deliveries(
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

    async fn delivery(&self, id: &DeliveryId) -> Result<Option<DeliveryDetail>, OpsError> {
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
            summary: DeliverySummary { events: parts.len() as u64, quarantined, problem, ..delivery_columns(&row)? },
            headers: headers(&row)?,
            body: row.try_get::<Option<Vec<u8>>, _>("body")?.map(Bytes::from),
            parts,
            replays: replays.iter().map(replay).collect::<Result<_, OpsError>>()?,
        }))
    }

    async fn open_deliveries(
        &self,
        outcome: OpenOutcome,
        source: Option<&SourceName>,
        before: Option<&DeliveryId>,
        limit: u32,
    ) -> Result<Vec<OpenDelivery>, OpsError> {
        let query = sqlx::query(sql::OPEN_DELIVERIES)
            .bind(before.map_or("~", DeliveryId::as_str))
            .bind(limit)
            .bind(outcome.as_str())
            .bind(source.map(SourceName::as_str));
        query.fetch_all(&self.readers).await?.iter().map(open_delivery).collect()
    }

    async fn dismiss(&self, id: &DeliveryId, dismissal: Dismissal) -> Result<bool, OpsError> {
        let write = Write::Dismiss { delivery: id.to_string(), dismissal };
        Ok(self.writer.write(write, Durability::Synced).await?.count() > 0)
    }
}

#[async_trait]
impl Inbox for SqliteOps {
    async fn store(
        &self,
        delivery: Delivery,
        first: Option<&Sent>,
        parts: Vec<Part>,
        personal: Vec<Personal>,
        durability: Durability,
    ) -> Result<(), InboxError> {
        let verdict = initial_verdict(&parts);
        self.writer.write(Write::Rows(Rows::delivery(delivery, first, verdict, parts, personal)), durability).await?;
        Ok(())
    }

    fn reject(&self, delivery: Delivery, reason: &'static str) {
        let id = delivery.id.clone();
        if !self.writer.try_enqueue_rejected(Rows::rejected(delivery, reason)) {
            tracing::debug!(delivery = %id, "rejected delivery not kept");
        }
    }

    async fn store_replay(
        &self,
        delivery: &Delivery,
        first: Option<&Sent>,
        at: DateTime<Utc>,
        parts: Vec<Part>,
        personal: Vec<Personal>,
    ) -> Result<(), InboxError> {
        let write = Write::Replace {
            delivery: delivery.id.to_string(),
            at: at.timestamp_micros(),
            verdict: initial_verdict(&parts),
            first: first.cloned(),
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
        let rows = Rows::outcomes(delivery.as_str(), settled);
        match durability {
            Durability::Written => self.writer.enqueue(rows).await?,
            Durability::Synced => self.writer.write(Write::Rows(rows), durability).await.map(drop)?,
        }
        Ok(())
    }

    async fn find(&self, id: &DeliveryId) -> Result<Option<StoredDelivery>, InboxError> {
        let row = sqlx::query(sql::FIND_DELIVERY).bind(id.as_str()).fetch_optional(&self.readers).await;
        let Some(row) = row.map_err(OpsError::from)? else { return Ok(None) };
        Ok(Some(stored_delivery(&row)?))
    }

    async fn sent(&self, deliveries: &[DeliveryId]) -> Result<Vec<(DeliveryId, Sent)>, InboxError> {
        let rows = sqlx::query(sql::SENT).bind(json(&deliveries)?).fetch_all(&self.readers).await;
        let sent = |row: &SqliteRow| {
            let sent = Sent {
                id: row.try_get::<&str, _>("id")?.parse().map_err(damaged)?,
                received_at: time(row.try_get("received_at")?)?,
                signed_at: row.try_get::<Option<i64>, _>("signed_at")?.map(time).transpose()?,
                refused: row.try_get("refused")?,
            };
            Ok::<_, OpsError>((row.try_get::<&str, _>("delivery")?.parse().map_err(damaged)?, sent))
        };
        Ok(rows.map_err(OpsError::from)?.iter().map(sent).collect::<Result<_, _>>()?)
    }

    async fn said_again(
        &self,
        source: &SourceName,
        subjects: &[Arc<str>],
        after: &DeliveryId,
        but: &DeliveryId,
    ) -> Result<Vec<SaidAgain>, InboxError> {
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let query = sqlx::query(sql::SAID_AGAIN).bind(source.as_str()).bind(json(&subjects)?).bind(after.as_str());
        let rows = query.bind(but.as_str()).fetch_all(&self.readers).await.map_err(OpsError::from)?;
        let again = |row: &SqliteRow| {
            Ok::<_, OpsError>(SaidAgain {
                subject: row.try_get::<&str, _>("subject")?.into(),
                delivery: row.try_get::<&str, _>("id")?.parse().map_err(damaged)?,
                position: Position(row.try_get::<i64, _>("position")?.unsigned_abs()),
            })
        };
        Ok(rows.iter().map(again).collect::<Result<_, _>>()?)
    }

    async fn same_in_quarantine(&self, delivery: &Delivery) -> Result<Option<(DeliveryId, Vec<PartForm>)>, InboxError> {
        let Some(Notification { id, .. }) = &delivery.notification else { return Ok(None) };
        let digest = Digest::of(&delivery.body).to_string();
        let query = sqlx::query(sql::SAME_IN_QUARANTINE).bind(delivery.source.as_str()).bind(id).bind(digest);
        let Some(row) = query.fetch_optional(&self.readers).await.map_err(OpsError::from)? else { return Ok(None) };
        let parts = row.try_get::<&str, _>("parts").map_err(OpsError::from)?;
        let parts: Vec<(u8, Option<String>)> = serde_json::from_str(parts).map_err(damaged)?;
        let form = |(in_quarantine, subject)| PartForm { in_quarantine: in_quarantine == 1, subject };
        let parts = parts.into_iter().map(form).collect();
        Ok(Some((row.try_get::<&str, _>("id").map_err(OpsError::from)?.parse().map_err(damaged)?, parts)))
    }

    async fn same_notification(&self, delivery: &Delivery) -> Result<SameNotification, InboxError> {
        let Some(Notification { id, .. }) = &delivery.notification else { return Ok(SameNotification::default()) };
        let (source, digest) = (delivery.source.as_str(), Digest::of(&delivery.body).to_string());
        let rows = sqlx::query(sql::SAME_NOTIFICATION).bind(source).bind(id).bind(&digest);
        let rows = rows.bind(delivery.body.len() as i64).bind(&*delivery.body).fetch_all(&self.readers).await;
        let rows = rows.map_err(OpsError::from)?;
        let reused = sqlx::query_scalar(sql::NOTIFICATION_REUSED).bind(source).bind(id).bind(&digest);
        let is_reused: bool = reused.fetch_one(&self.readers).await.map_err(OpsError::from)?;
        let same = |row: &SqliteRow| {
            let id = row.try_get::<&str, _>("id")?.parse().map_err(damaged)?;
            let verdict = row.try_get::<&str, _>("verdict")?.parse().map_err(damaged)?;
            Ok::<_, OpsError>(SameDelivery { id, verdict, headers: headers(row)?, erased: row.try_get("erased")? })
        };
        Ok(SameNotification { deliveries: rows.iter().map(same).collect::<Result<_, _>>()?, is_reused })
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

    async fn quarantine_of(&self, source: &SourceName) -> Result<Quarantine, InboxError> {
        let row = sqlx::query(sql::QUARANTINE_OF).bind(source.as_str()).fetch_one(&self.readers).await;
        let row = row.map_err(OpsError::from)?;
        let count = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs).map_err(OpsError::from);
        Ok(Quarantine { deliveries: count("deliveries")?, bytes: count("bytes")? })
    }

    async fn pending(&self, after: Option<&DeliveryId>, limit: usize) -> Result<Vec<DeliveryId>, InboxError> {
        let query = sqlx::query(sql::PENDING).bind(after.map_or("", DeliveryId::as_str)).bind(limit as i64);
        Ok(ids(&query.fetch_all(&self.readers).await.map_err(OpsError::from)?)?)
    }
}

/// What a delivery is until it is settled. Where nothing goes to the log, that is already what became of it.
fn initial_verdict(parts: &[Part]) -> &'static str {
    let states = parts.iter().map(|part| &part.state);
    match states.clone().any(|state| *state == PartState::Pending) {
        true => Verdict::Pending.as_str(),
        false => Verdict::of(states).as_str(),
    }
}

fn stored_delivery(row: &SqliteRow) -> Result<StoredDelivery, OpsError> {
    let DeliverySummary { id, source, received_at, client, bytes, verdict, .. } = delivery_columns(row)?;
    let body = row.try_get::<Option<Vec<u8>>, _>("body")?.unwrap_or_default().into();
    let signed_at = row.try_get::<Option<i64>, _>("signed_at")?.map(time).transpose()?;
    let notification = row.try_get::<Option<String>, _>("notification")?.zip(signed_at);
    let notification = notification.map(|(id, signed_at)| Notification { id, signed_at });
    let delivery = Delivery { id, source, received_at, client, headers: headers(row)?, body, notification };
    Ok(StoredDelivery { delivery, bytes, verdict, refused: row.try_get("refused")? })
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
        ..delivery_columns(row)?
    })
}

fn delivery_columns(row: &SqliteRow) -> Result<DeliverySummary, OpsError> {
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
        dismissed: dismissal(row)?,
    })
}

fn dismissal(row: &SqliteRow) -> Result<Option<Dismissal>, OpsError> {
    let Some(at) = row.try_get::<Option<i64>, _>("dismissed_at")? else { return Ok(None) };
    Ok(Some(Dismissal { at: time(at)?, by: row.try_get("dismissed_by")?, because: row.try_get("dismissed_because")? }))
}

fn open_delivery(row: &SqliteRow) -> Result<OpenDelivery, OpsError> {
    let count = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    Ok(OpenDelivery {
        id: row.try_get::<&str, _>("id")?.parse().map_err(damaged)?,
        source: row.try_get::<&str, _>("source")?.parse().map_err(damaged)?,
        received_at: time(row.try_get("received_at")?)?,
        events: count("events")?,
        open: count("open")?,
        problem: row.try_get("problem")?,
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
        recorded_in: row.try_get("recorded_in")?,
    })
}

fn ids(rows: &[SqliteRow]) -> Result<Vec<DeliveryId>, OpsError> {
    rows.iter().map(|row| row.try_get::<&str, _>("id")?.parse().map_err(damaged)).collect()
}
