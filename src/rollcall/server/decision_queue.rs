//! Decisions on their way from the token endpoint and the API to the records: a bounded queue, written in batches.
//! Never makes an answer wait; what does not fit is dropped and counted. Who is nobody in particular takes no room in it:
//! such requests are counted together, by network and hour.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rollcall_app::Decisions;
use rollcall_authn::network_of;
use rollcall_registry::{Decision, DecisionSink, Outcome, Tie};
use rollcall_store::ops::{DecisionKind, DecisionOutcome, DecisionRecords, DecisionRow};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::server::telemetry::{DecisionDropped, RecordsLetGo};

/// How many decisions may wait.
const QUEUE_CAPACITY: usize = 16_384;
/// How many are written at a time.
const BATCH_SIZE: usize = 1024;
/// How long a batch gathers. Waking for every single decision took an eighth of the token endpoint's CPU; nobody looks a
/// decision up sooner than this.
const BATCH_WINDOW: Duration = Duration::from_millis(20);
/// Of how many networks requests of nobody in particular are counted in one batch.
const NETWORKS: usize = 1024;

/// How much of what was asked is kept: of somebody, and of nobody in particular.
const ASKED_BYTES: usize = 4096;
const ANONYMOUS_ASKED_BYTES: usize = 256;
/// How many images of one decision can be found by their names.
const IMAGES: usize = 16;

/// What waits: as the token endpoint made it, which has no time to put it into words, or as it is kept.
enum QueuedDecision {
    Token(Decision),
    Api(DecisionRow),
    /// Something is counted together.
    Together,
}

/// The queue's way in.
pub struct DecisionQueue {
    queue: mpsc::Sender<QueuedDecision>,
    together: Arc<Mutex<Together>>,
}

/// The requests of nobody in particular that wait to be written, by hour, network and what came out.
type Together = HashMap<(i64, IpAddr, Outcome), Counted>;

/// The first of them, and what is known of all.
struct Counted {
    newest: Decision,
    count: u64,
}

impl DecisionSink for DecisionQueue {
    fn offer(&self, decision: Decision) {
        let waits = if decision.user.is_none() {
            self.count(decision)
        } else {
            self.queue.try_send(QueuedDecision::Token(decision)).is_ok()
        };
        if !waits {
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
    /// Counts a decision about nobody in particular; whether there is room for its network.
    fn count(&self, decision: Decision) -> bool {
        let mut together = self.together.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, full) = (together.is_empty(), together.len() >= NETWORKS);
        let hour = decision.at.timestamp().div_euclid(3600);
        match together.entry((hour, network_of(decision.address).addr(), decision.outcome)) {
            std::collections::hash_map::Entry::Occupied(mut counted) => {
                let counted = counted.get_mut();
                counted.count += 1;
                counted.newest = decision;
            }
            std::collections::hash_map::Entry::Vacant(_) if full => return false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(Counted { newest: decision, count: 1 });
            }
        }
        drop(together);
        // A full queue is looked through soon anyhow, and with it what is counted.
        if first {
            let _ = self.queue.try_send(QueuedDecision::Together);
        }
        true
    }
}

/// Starts a queue into the records. The task ends, everything written, when every queue handle is gone.
pub fn start(ops: Arc<dyn DecisionRecords>) -> (DecisionQueue, JoinHandle<()>) {
    let (sender, mut waiting) = mpsc::channel(QUEUE_CAPACITY);
    let together = Arc::<Mutex<Together>>::default();
    let counted = Arc::clone(&together);
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
            let counted = std::mem::take(&mut *counted.lock().unwrap_or_else(PoisonError::into_inner));
            let in_words = |waiting| match waiting {
                QueuedDecision::Token(decision) => Some(row(decision)),
                QueuedDecision::Api(row) => Some(row),
                QueuedDecision::Together => None,
            };
            let rows: Vec<DecisionRow> =
                batch.drain(..).filter_map(in_words).chain(counted.into_values().map(row_together)).collect();
            match ops.record_decisions(&rows).await {
                Ok(0) => {}
                Ok(gone) => RecordsLetGo { kind: "decision", rows: gone }.emit(),
                Err(error) => tracing::warn!(%error, lost = rows.len(), "decisions not kept"),
            }
        }
    });
    (DecisionQueue { queue: sender, together }, task)
}

fn row(decision: Decision) -> DecisionRow {
    let user = decision.user.map(|user| user.to_string());
    let kind = match (&user, decision.tie) {
        (None, _) => DecisionKind::Anonymous,
        (Some(_), Tie::Some) => DecisionKind::Tied,
        (Some(_), Tie::None) => DecisionKind::Stranger,
    };
    DecisionRow {
        images: images(&decision.asked, &decision.invented),
        id: decision.id,
        at: decision.at,
        outcome: match decision.outcome {
            Outcome::Granted => DecisionOutcome::Granted,
            Outcome::Reduced => DecisionOutcome::Reduced,
            Outcome::Denied => DecisionOutcome::Denied,
        },
        user_name: decision.user_name.map(|name| name.to_string()),
        client: decision.address.to_string(),
        family: decision.client.name().to_owned(),
        asked: cut(decision.asked, ASKED_BYTES),
        granted: cut(decision.granted, ASKED_BYTES),
        message: decision.message,
        position: decision.position,
        count: 1,
        kind,
        caller: user.clone().unwrap_or_default(),
        together: None,
        user_id: user,
    }
}

/// One row for all of an hour from one network.
fn row_together(counted: Counted) -> DecisionRow {
    let Counted { newest, count } = counted;
    let (network, hour) = (network_of(newest.address).to_string(), newest.at.timestamp().div_euclid(3600));
    let mut row = row(newest);
    if row.outcome != DecisionOutcome::Granted {
        row.together = Some(format!("{hour} {network} {:?}", row.outcome));
    }
    DecisionRow { client: network, asked: cut(row.asked, ANONYMOUS_ASKED_BYTES), count, ..row }
}

/// Scopes, as many whole ones as fit.
fn cut(mut scopes: String, bytes: usize) -> String {
    if scopes.len() > bytes {
        let end = scopes.get(..bytes).and_then(|text| text.rfind(' ')).unwrap_or_default();
        scopes.truncate(end);
    }
    scopes
}

/// The images that scopes are about: `repository:acme/db:pull,push` is about `acme/db`. Those of projects that there are
/// not, by their place, are left out: there is no end of them.
fn images(scopes: &str, invented: &[usize]) -> Vec<String> {
    let name = |scope: &str| scope.strip_prefix("repository:")?.rsplit_once(':').map(|(name, _)| name.to_owned());
    let all = scopes.split(' ').filter_map(name).enumerate();
    all.filter(|(place, _)| !invented.contains(place)).map(|(_, name)| name).take(IMAGES).collect()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use rollcall_events::Position;
    use rollcall_registry::ClientFamily;

    use super::*;

    fn decision(user: Option<&str>, second: i64) -> Decision {
        let at = DateTime::from_timestamp(1_767_225_600, 0).unwrap() + TimeDelta::seconds(second);
        let asked: Vec<String> = (0..100).map(|i| format!("repository:acme{i}/{}:pull", "x".repeat(90))).collect();
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
            tie: Tie::Some,
            invented: (3..100).collect(),
        }
    }

    #[test]
    fn nobody_in_particular_takes_no_room_from_a_user_and_is_one_row_for_a_network_and_an_hour() {
        let (queue, mut waiting) = mpsc::channel(2);
        let sink = DecisionQueue { queue, together: Arc::default() };
        for n in 0..1000_i64 {
            let mut one = decision(None, n);
            one.address = [192, 0, 2, u8::try_from(n % 250).unwrap()].into();
            DecisionSink::offer(&sink, one);
        }
        DecisionSink::offer(&sink, decision(None, 3600));
        DecisionSink::offer(&sink, decision(Some("flexnet/ada"), 0));
        assert!(matches!(waiting.try_recv(), Ok(QueuedDecision::Together)));
        let Ok(QueuedDecision::Token(kept)) = waiting.try_recv() else { panic!("ada was pushed out") };
        assert_eq!(kept.user.as_deref(), Some("flexnet/ada"));
        let counted = std::mem::take(&mut *sink.together.lock().unwrap());
        let mut rows: Vec<_> = counted.into_values().map(row_together).collect();
        rows.sort_by_key(|row| row.at);
        let shown: Vec<_> = rows.iter().map(|row| (row.client.as_str(), row.count, row.images.len())).collect();
        assert_eq!(shown, [("192.0.2.0/24", 1000, 3), ("127.0.0.0/24", 1, 3)]);
        assert!(rows.iter().all(|row| row.asked.len() <= ANONYMOUS_ASKED_BYTES && row.together.is_some()));
    }

    #[test]
    fn what_one_decision_takes_is_bounded_and_invented_names_are_not_kept_to_be_found() {
        let kept = row(decision(Some("flexnet/ada"), 0));
        assert!(kept.asked.len() <= ASKED_BYTES && kept.asked.ends_with(":pull"));
        assert_eq!(kept.images.len(), 3);
        assert_eq!((kept.kind, kept.caller.as_str()), (DecisionKind::Tied, "flexnet/ada"));
        let all = Decision { invented: Vec::new(), tie: Tie::None, ..decision(Some("flexnet/ada"), 0) };
        let kept = row(all);
        assert_eq!((kept.images.len(), kept.kind), (IMAGES, DecisionKind::Stranger));
    }

    #[test]
    fn of_more_networks_than_fit_the_rest_is_dropped_and_those_that_are_known_go_on() {
        let (queue, _waiting) = mpsc::channel(2);
        let sink = DecisionQueue { queue, together: Arc::default() };
        let from = |n: u32| Decision { address: IpAddr::V4((n << 8).into()), ..decision(None, 0) };
        let taken = (0..2 * u32::try_from(NETWORKS).unwrap()).filter(|n| sink.count(from(*n))).count();
        assert_eq!(taken, NETWORKS);
        assert!(sink.count(from(7)));
    }

    #[test]
    fn images_are_found_in_scopes() {
        let found = super::images("repository:acme/db:pull,push registry:catalog:* repository:acme/a/b:pull", &[]);
        assert_eq!(found, ["acme/db", "acme/a/b"]);
        assert!(super::images("", &[]).is_empty());
    }
}
