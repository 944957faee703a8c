//! Rows on their way into `ops.db`: what the writes of one transaction have in common goes in as one set per table.

use std::collections::BTreeSet;

use bytes::Bytes;
use rollcall_events::{Digest, SourceName};
use rollcall_ingest::{Delivery, Part, PartOutcomes, PartState, Personal, Sent};
use serde::Serialize;
use sqlx::SqliteConnection;

use super::budgets::let_go;
use crate::ops::{
    OpsError,
    sqlite::{
        columns::{execute_set, json},
        sql,
    },
};

/// How many rejected deliveries of a source are kept, and how many bytes of them in all.
const REJECTED_KEPT: i64 = 1000;
const REJECTED_BYTES: i64 = 8 << 20;
/// The same of one client.
const REJECTED_KEPT_OF_CLIENT: i64 = 100;
const REJECTED_BYTES_OF_CLIENT: i64 = 1 << 20;
/// How much of a rejected body is kept.
const REJECTED_BODY: usize = 64 << 10;

/// The rows of one write.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) delivery: Option<DeliveryRow>,
    /// The source of a rejected delivery, whose older ones may have to go.
    rejected: Option<String>,
    /// How many rejected ones found no room before it.
    dropped: u64,
    parts: Vec<PartJson>,
    personal: Vec<PersonalJson>,
    settled: Option<SettledJson>,
    outcomes: Vec<OutcomeJson>,
}

pub(crate) struct DeliveryRow {
    json: DeliveryJson,
    pub(crate) body: Bytes,
}

#[derive(Serialize)]
struct DeliveryJson {
    id: String,
    source: String,
    at: i64,
    client: Option<String>,
    headers: String,
    from: usize,
    len: usize,
    bytes: usize,
    verdict: &'static str,
    reason: Option<&'static str>,
    notification: Option<String>,
    digest: Option<String>,
    signed_at: Option<i64>,
    first: Option<String>,
    first_received_at: Option<i64>,
    first_signed_at: Option<i64>,
    first_refused: Option<bool>,
}

#[derive(Serialize)]
struct PartJson {
    delivery: String,
    idx: usize,
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    subject: Option<String>,
    outcome: &'static str,
    position: Option<u64>,
    problem: Option<&'static str>,
    pointer: Option<String>,
    detail: Option<String>,
}

#[derive(Serialize)]
struct PersonalJson {
    source: String,
    person: String,
    email: Option<String>,
    name: Option<String>,
    order_key: String,
}

#[derive(Serialize)]
struct SettledJson {
    id: String,
    verdict: &'static str,
}

#[derive(Serialize)]
struct OutcomeJson {
    delivery: String,
    idx: usize,
    outcome: &'static str,
    position: Option<u64>,
}

impl Rows {
    /// An authentic delivery with all that was found in it.
    pub(crate) fn delivery(
        delivery: Delivery,
        first: Option<&Sent>,
        verdict: &'static str,
        parts: Vec<Part>,
        personal: Vec<Personal>,
    ) -> Self {
        let rows = Self::parts(&delivery, parts, personal);
        let mut row = DeliveryRow::new(delivery, verdict, None);
        if let Some(first) = first {
            row.json.first = Some(first.id.to_string());
            row.json.first_received_at = Some(first.received_at.timestamp_micros());
            row.json.first_signed_at = first.signed_at.map(|at| at.timestamp_micros());
            row.json.first_refused = Some(first.refused);
        }
        Self { delivery: Some(row), ..rows }
    }

    /// The parts of a delivery and the personal data in it.
    pub(crate) fn parts(delivery: &Delivery, parts: Vec<Part>, personal: Vec<Personal>) -> Self {
        let part = |(idx, part): (usize, Part)| {
            let (outcome, position) = (part.state.as_str(), part.state.position().map(|at| at.0));
            let problem = match part.state {
                PartState::Quarantined(problem) => Some(problem),
                _ => None,
            };
            let (kind, pointer, detail) = match problem {
                Some(problem) => (Some(problem.kind.as_str()), Some(problem.pointer), Some(problem.detail)),
                None => (None, None, None),
            };
            PartJson {
                delivery: delivery.id.to_string(),
                idx,
                id: part.id,
                kind: part.kind,
                subject: part.subject,
                outcome,
                position,
                problem: kind,
                pointer,
                detail,
            }
        };
        Self { parts: parts.into_iter().enumerate().map(part).collect(), ..Self::personal(&delivery.source, personal) }
    }

    /// Personal data of a source.
    pub(crate) fn personal(source: &SourceName, personal: Vec<Personal>) -> Self {
        let personal = personal.into_iter().map(|row| PersonalJson {
            source: source.to_string(),
            person: row.person.to_string(),
            email: row.email,
            name: row.name,
            order_key: row.order_key,
        });
        Self { personal: personal.collect(), ..Self::default() }
    }

    /// A delivery that was not authentic; only the beginning of a long one.
    pub(crate) fn rejected(mut delivery: Delivery, reason: &'static str) -> Self {
        let (bytes, source) = (delivery.body.len(), delivery.source.to_string());
        let digest = delivery.notification.as_ref().map(|_| Digest::of(&delivery.body).to_string());
        // A copy, so that the rest of the buffer is freed.
        delivery.body = Bytes::copy_from_slice(delivery.body.get(..REJECTED_BODY).unwrap_or(&delivery.body));
        let mut row = DeliveryRow::new(delivery, "rejected", Some(reason));
        row.json.digest = digest;
        row.json.bytes = bytes;
        Self { delivery: Some(row), rejected: Some(source), ..Self::default() }
    }

    /// Notes that so many rejected deliveries before it found no room.
    pub(crate) fn note_dropped(&mut self, dropped: u64) {
        self.dropped += dropped;
    }

    /// What became of the parts of a delivery.
    pub(crate) fn outcomes(delivery: &str, settled: PartOutcomes) -> Self {
        let outcome = |(idx, outcome, position): (usize, _, Option<rollcall_events::Position>)| OutcomeJson {
            delivery: delivery.to_owned(),
            idx,
            outcome,
            position: position.map(|at| at.0),
        };
        Self {
            settled: Some(SettledJson { id: delivery.to_owned(), verdict: settled.verdict.as_str() }),
            outcomes: settled.parts.into_iter().map(outcome).collect(),
            ..Self::default()
        }
    }
}

impl DeliveryRow {
    fn new(delivery: Delivery, verdict: &'static str, reason: Option<&'static str>) -> Self {
        let signed_at = delivery.notification.as_ref().map(|of| of.signed_at.timestamp_micros());
        let digest = delivery.notification.as_ref().map(|_| Digest::of(&delivery.body).to_string());
        let json = DeliveryJson {
            id: delivery.id.to_string(),
            source: delivery.source.to_string(),
            at: delivery.received_at.timestamp_micros(),
            client: delivery.client.map(|client| client.to_string()),
            headers: serde_json::to_string(&delivery.headers).unwrap_or_else(|_| "[]".to_owned()),
            from: 0,
            len: delivery.body.len(),
            bytes: delivery.body.len(),
            verdict,
            reason,
            notification: delivery.notification.map(|of| of.id),
            digest,
            signed_at,
            first: None,
            first_received_at: None,
            first_signed_at: None,
            first_refused: None,
        };
        Self { json, body: delivery.body }
    }
}

/// The rows of all writes of one transaction.
#[derive(Default)]
pub(crate) struct Batch {
    deliveries: Vec<DeliveryJson>,
    bodies: Vec<u8>,
    rejected: BTreeSet<String>,
    dropped: u64,
    parts: Vec<PartJson>,
    personal: Vec<PersonalJson>,
    settled: Vec<SettledJson>,
    outcomes: Vec<OutcomeJson>,
}

impl Batch {
    pub(crate) fn add(&mut self, rows: Rows) {
        if let Some(DeliveryRow { mut json, body }) = rows.delivery {
            json.from = self.bodies.len();
            self.bodies.extend_from_slice(&body);
            self.deliveries.push(json);
        }
        self.rejected.extend(rows.rejected);
        self.dropped += rows.dropped;
        self.parts.extend(rows.parts);
        self.personal.extend(rows.personal);
        self.settled.extend(rows.settled);
        self.outcomes.extend(rows.outcomes);
    }

    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<(), OpsError> {
        if !self.deliveries.is_empty() {
            let rows = json(&self.deliveries)?;
            sqlx::query(sql::INSERT_DELIVERIES).bind(rows).bind(self.bodies).execute(&mut *connection).await?;
        }
        execute_set(connection, sql::INSERT_PARTS, &self.parts).await?;
        execute_set(connection, sql::UPSERT_PERSONAL, &self.personal).await?;
        execute_set(connection, sql::SETTLE_DELIVERIES, &self.settled).await?;
        execute_set(connection, sql::SETTLE_PARTS, &self.outcomes).await?;
        execute_set(connection, sql::CLOSE_PARTS, &self.outcomes).await?;
        let mut gone = self.dropped;
        for source in self.rejected {
            let trim = sqlx::query(sql::TRIM_REJECTED).bind(source).bind(REJECTED_KEPT).bind(REJECTED_BYTES);
            let trim = trim.bind(REJECTED_KEPT_OF_CLIENT).bind(REJECTED_BYTES_OF_CLIENT);
            gone += trim.execute(&mut *connection).await?.rows_affected();
        }
        let_go(connection, "rejected_delivery", gone).await
    }
}
