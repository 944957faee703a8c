//! Deliveries as they are shown. Rows and what is asked of them; no SQL.

use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rollcall_events::{Position, SourceName};
use rollcall_ingest::{DeliveryId, Verdict, connector::Headers};
use serde::Serialize;

use super::OpsError;

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
    /// Who let what of it was not recorded be.
    pub dismissed: Option<Dismissal>,
}

/// That what was not recorded of a delivery needs nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dismissal {
    /// When.
    pub at: DateTime<Utc>,
    /// The user or service.
    pub by: String,
    /// Why, in the words of who did it.
    pub because: String,
}

/// What became of parts that the log does not have. Such a part is open until the log takes an event of its source and
/// id, which one in conflict cannot come to, or until its delivery is dismissed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenOutcome {
    /// It does not fit.
    Quarantined,
    /// Its id was used before, with other bytes.
    Conflict,
    /// The log could not take it.
    Unrecorded,
}

impl OpenOutcome {
    /// The word for it, as of a part.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Conflict => "conflict",
            Self::Unrecorded => "unrecorded",
        }
    }
}

/// A delivery of which something is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDelivery {
    /// `dlv_..`; also the cursor.
    pub id: DeliveryId,
    /// Whose hook was called.
    pub source: SourceName,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// How many parts it has.
    pub events: u64,
    /// How many of them are open with the outcome that was asked for.
    pub open: u64,
    /// A problem of one of those.
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
    /// The delivery in which the log took an event of this id after all.
    pub recorded_in: Option<String>,
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

/// What is asked of the kept deliveries, and what a person says of them; `rollcall_ingest::Inbox` keeps them.
#[async_trait]
pub trait DeliveryRecords: Send + Sync + 'static {
    /// Up to `limit` deliveries, newest first, older than `before`.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        before: Option<&DeliveryId>,
        limit: u32,
    ) -> Result<Vec<DeliverySummary>, OpsError>;

    /// One delivery with its parts.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn delivery(&self, id: &DeliveryId) -> Result<Option<DeliveryDetail>, OpsError>;

    /// Up to `limit` deliveries of which a part is open with this outcome, newest first, older than `before`.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn open_deliveries(
        &self,
        outcome: OpenOutcome,
        source: Option<&SourceName>,
        before: Option<&DeliveryId>,
        limit: u32,
    ) -> Result<Vec<OpenDelivery>, OpsError>;

    /// Notes that nothing more is to be done about a delivery. Returns whether there was something open, which nobody
    /// dismissed before. A replay takes the note away.
    ///
    /// # Errors
    /// As [`OpsError`]; dismiss it again, it is safe.
    async fn dismiss(&self, id: &DeliveryId, dismissal: Dismissal) -> Result<bool, OpsError>;
}
