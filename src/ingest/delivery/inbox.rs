//! The store that ingest needs: where deliveries, their parts and personal data are kept.
//! A trait, so that ingest knows no SQL and a crash between any two steps can be played in a test.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::{Position, SourceName};

use crate::{
    connector::{Headers, Hook, ProblemType},
    delivery::{
        model::{Delivery, DeliveryId, Part, PartState, Sent, Verdict},
        quarantine::Quarantine,
    },
    personal::Personal,
};

/// How far a write must have got before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// It survives the process. Enough where the log's own fsync carries the promise.
    Written,
    /// It survives the machine.
    Synced,
}

/// What became of the parts of a delivery that went to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartOutcomes {
    /// The verdict over the whole delivery.
    pub verdict: Verdict,
    /// Index of the part, word for its outcome, position.
    pub parts: Vec<(usize, &'static str, Option<Position>)>,
}

/// A delivery that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelivery {
    /// The delivery. Its body is what is left of it: compare with `bytes`.
    pub delivery: Delivery,
    /// How long the body was when it arrived.
    pub bytes: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// Whether it was refused when it arrived, also where it was taken since.
    pub refused: bool,
}

/// What came under the signed id of a notification before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SameNotification {
    /// The deliveries of the source with this id and these bytes, oldest first; some of them may be forged.
    pub deliveries: Vec<SameDelivery>,
    /// Others were taken under this id, with other bytes: it tells nothing.
    pub is_reused: bool,
}

/// A delivery with the id and the bytes of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SameDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// What became of it. Of one that was refused and is not taken yet only its signature tells whether it is the sender's.
    pub verdict: Verdict,
    /// Its headers.
    pub headers: Headers,
    /// Whether its bytes were erased with what is known of a person in it.
    pub erased: bool,
}

/// What was known when it was said again: the log has nothing of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidAgain {
    /// Of what.
    pub subject: Arc<str>,
    /// In which delivery.
    pub delivery: DeliveryId,
    /// Where the log has it.
    pub position: Position,
}

/// What tells whether a part is as it was: whether it is in quarantine, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartForm {
    /// Whether it cannot be recorded.
    pub in_quarantine: bool,
    /// Absent where it was not understood.
    pub subject: Option<String>,
}

impl PartForm {
    pub(crate) fn of(part: &Part) -> Self {
        let in_quarantine = matches!(part.state, PartState::Quarantined(_));
        Self { in_quarantine, subject: part.subject.clone() }
    }
}

impl SameNotification {
    /// Whether some of it was erased.
    pub(crate) fn is_erased(&self) -> bool {
        self.deliveries.iter().any(|same| same.erased)
    }

    /// The deliveries that are the sender's.
    pub(crate) fn authentic(self, delivery: &Delivery, hook: &dyn Hook) -> Vec<DeliveryId> {
        let is_the_senders =
            |same: &SameDelivery| same.verdict != Verdict::Rejected || hook.is_signed(&same.headers, &delivery.body);
        let of_sender = self.deliveries.into_iter().filter(is_the_senders);
        of_sender.map(|same| same.id).collect()
    }
}

/// Where deliveries are kept.
#[async_trait]
pub trait Inbox: Send + Sync + 'static {
    /// Keeps an authentic delivery, its parts and the personal data in it, all or nothing. `first`: when the notification was
    /// sent first, where it came before; what is kept of that may go earlier.
    ///
    /// # Errors
    /// Nothing was kept.
    async fn store(
        &self,
        delivery: Delivery,
        first: Option<&Sent>,
        parts: Vec<Part>,
        personal: Vec<Personal>,
        durability: Durability,
    ) -> Result<(), InboxError>;

    /// Keeps a rejected delivery while there is room: bounded in number and bytes, and never waited for.
    fn reject(&self, delivery: Delivery, reason: &'static str);

    /// Replaces the parts of a kept delivery by what a replay made of it, and notes the replay. `first`: as of `store`.
    ///
    /// # Errors
    /// Nothing was changed.
    async fn store_replay(
        &self,
        delivery: &Delivery,
        first: Option<&Sent>,
        at: DateTime<Utc>,
        parts: Vec<Part>,
        personal: Vec<Personal>,
    ) -> Result<(), InboxError>;

    /// Notes what became of the parts. With `Written` it returns when the note is in line, behind the delivery's own
    /// row; with `Synced` when it is durable.
    ///
    /// # Errors
    /// The note is lost; the delivery is not.
    async fn record_outcomes(
        &self,
        delivery: &DeliveryId,
        settled: PartOutcomes,
        durability: Durability,
    ) -> Result<(), InboxError>;

    /// One delivery.
    ///
    /// # Errors
    /// As [`InboxError`].
    async fn find(&self, delivery: &DeliveryId) -> Result<Option<StoredDelivery>, InboxError>;

    /// When the notification was sent first that each of these is, of those that are kept.
    ///
    /// # Errors
    /// As [`InboxError`].
    async fn sent(&self, deliveries: &[DeliveryId]) -> Result<Vec<(DeliveryId, Sent)>, InboxError>;

    /// What a source said last of these subjects as the log had it, without an id, in deliveries behind `after`: of each the
    /// newest, and the newest of what was refused first. Not what came first in `but`.
    ///
    /// # Errors
    /// As [`InboxError`].
    async fn said_again(
        &self,
        source: &SourceName,
        subjects: &[Arc<str>],
        after: &DeliveryId,
        but: &DeliveryId,
    ) -> Result<Vec<SaidAgain>, InboxError>;

    /// The newest delivery of the same notification, with the same bytes, that is in quarantine and not erased, and its parts.
    ///
    /// # Errors
    /// As [`InboxError`].
    async fn same_in_quarantine(&self, delivery: &Delivery) -> Result<Option<(DeliveryId, Vec<PartForm>)>, InboxError>;

    /// Whether the same notification came before, as far as deliveries are kept. Of one that came thousands of times the
    /// oldest are given.
    ///
    /// # Errors
    /// As [`InboxError`].
    async fn same_notification(&self, delivery: &Delivery) -> Result<SameNotification, InboxError>;

    /// Up to `limit` deliveries after `after` that have a part in quarantine with this problem, oldest first.
    ///
    /// # Errors
    /// As [`InboxError`].
    async fn quarantined(
        &self,
        source: Option<&SourceName>,
        problem: ProblemType,
        after: Option<&DeliveryId>,
        limit: usize,
    ) -> Result<Vec<DeliveryId>, InboxError>;

    /// How much of a source is kept in quarantine.
    ///
    /// # Errors
    /// As [`InboxError`].
    async fn quarantine_of(&self, source: &SourceName) -> Result<Quarantine, InboxError>;

    /// Up to `limit` deliveries after `after` that a crash left on their way to the log, oldest first.
    ///
    /// # Errors
    /// As [`InboxError`].
    async fn pending(&self, after: Option<&DeliveryId>, limit: usize) -> Result<Vec<DeliveryId>, InboxError>;
}

/// What the inbox can refuse.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// Too much is waiting. Try again after a moment.
    #[error("too much is waiting to be written")]
    Overloaded,
    /// The storage does not answer. Try again later.
    #[error("the inbox cannot be used: {0}")]
    Unavailable(String),
}
