//! Decisions on their way from the token endpoint and the API to the records: a bounded queue, written in batches.
//! Never makes an answer wait; what does not fit is dropped and counted.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rollcall_app::Decisions;
use rollcall_registry::{Decision, DecisionSink, Outcome};
use rollcall_store::ops::{DecisionOutcome, DecisionRecords, DecisionRow};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::server::telemetry::DecisionDropped;

/// How many decisions may wait.
const QUEUE_CAPACITY: usize = 16_384;
/// How many are written at a time.
const BATCH_SIZE: usize = 1024;
/// How long a batch gathers. Waking for every single decision took an eighth of the token endpoint's CPU; nobody looks a
/// decision up sooner than this.
const BATCH_WINDOW: Duration = Duration::from_millis(20);

/// How many decisions about nobody in particular are kept of one second. Whoever is not signed in can ask as often as
/// the network lets them, and must not fill the disk by it.
const ANONYMOUS_PER_SECOND: u32 = 50;
/// How many images of one such decision are kept; no client that is not signed in needs more.
const ANONYMOUS_IMAGES: usize = 4;

/// What waits: as the token endpoint made it, which has no time to put it into words, or as it is kept.
enum QueuedDecision {
    Token(Decision),
    Api(DecisionRow),
}

/// The queue's way in.
pub struct DecisionQueue {
    queue: mpsc::Sender<QueuedDecision>,
    /// The second that is counted, and how many of it were kept.
    anonymous: Mutex<(i64, u32)>,
}

impl DecisionSink for DecisionQueue {
    fn offer(&self, decision: Decision) {
        if !self.is_within_limit(&decision) || self.queue.try_send(QueuedDecision::Token(decision)).is_err() {
            DecisionDropped.emit();
        }
    }
}

impl Decisions for DecisionQueue {
    fn offer(&self, decision: DecisionRow) {
        if self.queue.try_send(QueuedDecision::Api(decision)).is_err() {
            DecisionDropped.emit();
        }
    }
}

impl DecisionQueue {
    fn is_within_limit(&self, decision: &Decision) -> bool {
        if decision.user.is_some() {
            return true;
        }
        let mut anonymous = self.anonymous.lock().unwrap_or_else(PoisonError::into_inner);
        let second = decision.at.timestamp();
        if anonymous.0 != second {
            *anonymous = (second, 0);
        }
        anonymous.1 += 1;
        anonymous.1 <= ANONYMOUS_PER_SECOND
    }
}

/// Starts a queue into the records. The task ends, everything written, when every queue handle is gone.
pub fn start(ops: Arc<dyn DecisionRecords>) -> (DecisionQueue, JoinHandle<()>) {
    let (sender, mut waiting) = mpsc::channel(QUEUE_CAPACITY);
    let task = tokio::spawn(async move {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, BATCH_SIZE).await > 0 {
            if batch.len() < BATCH_SIZE {
                tokio::time::sleep(BATCH_WINDOW).await;
                while batch.len() < BATCH_SIZE
                    && let Ok(decision) = waiting.try_recv()
                {
                    batch.push(decision);
                }
            }
            let in_words = |waiting| match waiting {
                QueuedDecision::Token(decision) => row(decision),
                QueuedDecision::Api(row) => row,
            };
            let rows: Vec<DecisionRow> = batch.drain(..).map(in_words).collect();
            if let Err(error) = ops.record_decisions(&rows).await {
                tracing::warn!(%error, lost = rows.len(), "decisions not kept");
            }
        }
    });
    (DecisionQueue { queue: sender, anonymous: Mutex::default() }, task)
}

fn row(mut decision: Decision) -> DecisionRow {
    if decision.user.is_none()
        && let Some((end, _)) = decision.asked.match_indices(' ').nth(ANONYMOUS_IMAGES - 1)
    {
        decision.asked.truncate(end);
    }
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
        family: decision.client.name().to_owned(),
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
    use chrono::{DateTime, TimeDelta};
    use rollcall_events::Position;
    use rollcall_registry::ClientFamily;

    use super::*;

    fn decision(user: Option<&str>, second: i64) -> Decision {
        let at = DateTime::from_timestamp(1_767_225_600, 0).unwrap() + TimeDelta::seconds(second);
        let asked: Vec<String> = (0..100).map(|i| format!("repository:acme/{i}:pull")).collect();
        Decision {
            id: format!("dec_{second}"),
            at,
            position: Position(1),
            outcome: Outcome::Denied,
            user: user.map(Arc::from),
            user_name: None,
            secret: None,
            asked: asked.join(" "),
            granted: String::new(),
            token_ends: None,
            address: [127, 0, 0, 1].into(),
            client: ClientFamily::Other,
            client_id: None,
            account_mismatch: None,
            message: None,
        }
    }

    #[test]
    fn nobody_in_particular_cannot_fill_the_disk_and_takes_no_room_from_a_user() {
        let (queue, mut waiting) = mpsc::channel(QUEUE_CAPACITY);
        let sink = DecisionQueue { queue, anonymous: Mutex::default() };
        for _ in 0..1000 {
            DecisionSink::offer(&sink, decision(None, 0));
        }
        DecisionSink::offer(&sink, decision(Some("flexnet/ada"), 0));
        DecisionSink::offer(&sink, decision(None, 1));
        let mut kept = Vec::new();
        while let Ok(QueuedDecision::Token(one)) = waiting.try_recv() {
            kept.push(one);
        }
        let of = |wanted: Option<&str>| kept.iter().filter(|one| one.user.as_deref() == wanted).count();
        assert_eq!((of(None), of(Some("flexnet/ada"))), (50 + 1, 1));
        assert_eq!(row(decision(None, 0)).images, ["acme/0", "acme/1", "acme/2", "acme/3"]);
        assert_eq!(row(decision(Some("flexnet/ada"), 0)).images.len(), 100);
    }

    #[test]
    fn images_are_found_in_scopes() {
        let found = super::images("repository:acme/db:pull,push registry:catalog:* repository:acme/a/b:pull");
        assert_eq!(found, ["acme/db", "acme/a/b"]);
        assert!(super::images("").is_empty());
    }
}
