//! What deliveries say about themselves: a log line and its metric in one struct, so that they cannot drift apart.
//! Never a body, a header, a secret or a problem's text: those may hold personal data.

use std::sync::Arc;

use crate::delivery::{
    inbox::InboxError,
    model::{Delivery, DeliveryId, Part, PartState, Replayed, Verdict},
    validate::ValidEvent,
};

/// An authentic delivery was processed.
pub(crate) struct DeliveryProcessed<'a> {
    pub delivery: &'a Delivery,
    pub verdict: Verdict,
    pub parts: &'a [Part],
    /// The types of the parts that went to the log, in order.
    pub kinds: &'a [Arc<str>],
}

impl DeliveryProcessed<'_> {
    pub fn emit(self) {
        let count = |wanted: fn(&PartState) -> bool| self.parts.iter().filter(|part| wanted(&part.state)).count();
        let source = self.delivery.source.as_str();
        tracing::info!(
            source,
            delivery = %self.delivery.id,
            verdict = self.verdict.as_str(),
            bytes = self.delivery.body.len(),
            recorded = count(|s| matches!(s, PartState::Recorded(_))),
            duplicate = count(|s| matches!(s, PartState::Duplicate(_))),
            conflict = count(|s| matches!(s, PartState::Conflict(_))),
            quarantined = count(|s| matches!(s, PartState::Quarantined(_))),
            "delivery processed"
        );
        deliveries(source, self.verdict);
        let appended = self.parts.iter().filter(|part| !matches!(part.state, PartState::Quarantined(_)));
        for (part, kind) in appended.zip(self.kinds) {
            if let PartState::Recorded(_) = part.state {
                // The type is one of the vocabulary: a bounded label.
                metrics::counter!("rollcall_events_appended_total",
                    "source" => source.to_owned(), "type" => kind.to_string())
                .increment(1);
            }
        }
        for part in self.parts {
            if let PartState::Quarantined(problem) = &part.state {
                metrics::counter!("rollcall_webhook_quarantined_total",
                    "source" => source.to_owned(), "problem" => problem.kind.as_str())
                .increment(1);
            }
        }
    }
}

/// Members of an event were left out: its sender speaks a later version of the format.
pub(crate) struct LeftOut<'a> {
    pub delivery: &'a Delivery,
    pub fact: &'a ValidEvent,
}

impl LeftOut<'_> {
    pub fn emit(self) {
        let (source, kind) = (self.delivery.source.as_str(), &*self.fact.event.kind);
        let members = self.fact.left_out.len();
        tracing::warn!(source, delivery = %self.delivery.id, kind, members, "its sender is newer: unknown members left out");
        // The type is one of the vocabulary: a bounded label.
        metrics::counter!("rollcall_members_left_out_total", "source" => source.to_owned(), "type" => kind.to_owned())
            .increment(members as u64);
    }
}

/// A sender gives one id to several notifications: what it says again for good reason is taken for what only comes again.
pub(crate) struct NotificationReused<'a> {
    pub delivery: &'a Delivery,
}

impl NotificationReused<'_> {
    pub fn emit(self) {
        let source = self.delivery.source.as_str();
        tracing::warn!(
            source,
            delivery = %self.delivery.id,
            "its sender used the id of this notification for another one before; have it give each its own"
        );
        metrics::counter!("rollcall_webhook_ids_reused_total", "source" => source.to_owned()).increment(1);
    }
}

/// A delivery was not authentic.
pub(crate) struct DeliveryRejected<'a> {
    pub delivery: &'a Delivery,
    pub reason: &'static str,
}

impl DeliveryRejected<'_> {
    pub fn emit(self) {
        let client = self.delivery.client.map(|client| client.to_string());
        tracing::info!(
            source = self.delivery.source.as_str(),
            delivery = %self.delivery.id,
            reason = self.reason,
            bytes = self.delivery.body.len(),
            client,
            "delivery rejected"
        );
        deliveries(self.delivery.source.as_str(), Verdict::Rejected);
    }
}

/// A kept delivery was gone over again.
pub(crate) struct DeliveryReplayed<'a> {
    pub delivery: &'a Delivery,
    pub was: Verdict,
}

impl DeliveryReplayed<'_> {
    pub fn emit(self) {
        let source = self.delivery.source.as_str();
        tracing::info!(source, delivery = %self.delivery.id, was = self.was.as_str(), "delivery replayed");
        metrics::counter!("rollcall_webhook_replays_total", "source" => source.to_owned()).increment(1);
    }
}

/// At start, the deliveries that a crash had left on their way were gone on with.
pub(crate) struct Recovered<'a> {
    pub all: &'a Replayed,
}

impl Recovered<'_> {
    pub fn emit(self) {
        let Replayed { deliveries, recorded, failed, .. } = self.all;
        match (deliveries, failed.len()) {
            (0, _) => {}
            (_, 0) => tracing::info!(deliveries, recorded, "deliveries recovered"),
            (_, failed) => tracing::warn!(deliveries, recorded, failed, "deliveries recovered, not all"),
        }
        metrics::counter!("rollcall_webhook_recovered_total").increment(*deliveries as u64);
    }
}

/// What became of a delivery could not be noted. The log has its events; only the note is missing.
pub(crate) struct OutcomeLost<'a> {
    pub delivery: &'a DeliveryId,
    pub error: &'a InboxError,
}

impl OutcomeLost<'_> {
    pub fn emit(self) {
        tracing::warn!(delivery = %self.delivery, error = %self.error, "delivery outcome lost");
        metrics::counter!("rollcall_webhook_outcomes_lost_total").increment(1);
    }
}

fn deliveries(source: &str, verdict: Verdict) {
    metrics::counter!("rollcall_webhook_deliveries_total",
        "source" => source.to_owned(), "verdict" => verdict.as_str())
    .increment(1);
}
