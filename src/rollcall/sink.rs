//! Decisions on their way from the token endpoint to the records: a bounded queue, written in batches.
//! Never makes an answer wait; what does not fit is dropped and counted.

use rollcall_registry::{Decision, DecisionSink, Outcome};
use rollcall_store::ops::{DecisionOutcome, DecisionRow, Ops};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::telemetry::DecisionDropped;

/// How many decisions may wait.
const WAITING: usize = 16_384;
/// How many are written at a time.
const BATCH: usize = 1024;

/// The queue's way in.
pub struct Sink(mpsc::Sender<Decision>);

impl DecisionSink for Sink {
    fn offer(&self, decision: Decision) {
        if self.0.try_send(decision).is_err() {
            DecisionDropped.emit();
        }
    }
}

/// Starts a queue into the records. The task ends, everything written, when every sink is gone.
pub fn start(ops: Ops) -> (Sink, JoinHandle<()>) {
    let (sender, mut waiting) = mpsc::channel(WAITING);
    let task = tokio::spawn(async move {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            let rows: Vec<DecisionRow> = batch.drain(..).map(row).collect();
            if let Err(error) = ops.record_decisions(&rows).await {
                tracing::warn!(%error, lost = rows.len(), "decisions not kept");
            }
        }
    });
    (Sink(sender), task)
}

fn row(decision: Decision) -> DecisionRow {
    DecisionRow {
        images: images(&decision.asked),
        id: decision.id,
        at: decision.at,
        outcome: match decision.outcome {
            Outcome::Granted => DecisionOutcome::Granted,
            Outcome::Reduced => DecisionOutcome::Reduced,
            Outcome::Denied => DecisionOutcome::Denied,
        },
        user_id: decision.user.map(|user| user.to_string()),
        user_name: decision.user_name.map(|name| name.to_string()),
        client: decision.address.to_string(),
        family: decision.client.word().to_owned(),
        asked: decision.asked,
        granted: decision.granted,
        message: decision.message,
        position: decision.position,
    }
}

/// The images that scopes are about: `repository:acme/db:pull,push` is about `acme/db`.
fn images(scopes: &str) -> Vec<String> {
    let name = |scope: &str| scope.strip_prefix("repository:")?.rsplit_once(':').map(|(name, _)| name.to_owned());
    scopes.split(' ').filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn images_are_found_in_scopes() {
        let found = super::images("repository:acme/db:pull,push registry:catalog:* repository:acme/a/b:pull");
        assert_eq!(found, ["acme/db", "acme/a/b"]);
        assert!(super::images("").is_empty());
    }
}
