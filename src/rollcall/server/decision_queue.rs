//! Decisions on their way from the token endpoint and the API to the records: a bounded queue, written in batches.
//! Never makes an answer wait; what does not fit is dropped and counted. Each caller has so many rows an hour, and what is
//! more is counted together, by caller and hour. So is from the first on who is nobody in particular, by network and hour:
//! neither takes room in the queue from anybody else.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rollcall_app::Decisions;
use rollcall_authn::network_of;
use rollcall_events::size::clipped;
use rollcall_registry::{Decision, DecisionSink, Outcome, Tie};
use rollcall_store::ops::{DecisionKind, DecisionOutcome, DecisionRecords, DecisionRow};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::server::telemetry::{DecisionDropped, RecordsLetGo};

/// How many decisions may wait. What was granted is only counted, and takes half of that at most.
const QUEUE_CAPACITY: usize = 8192;
/// How many are taken from the queue at a time.
const BATCH_SIZE: usize = 1024;
/// How many rows are one write: whatever is no record waits for one write at most.
const ROWS_AT_ONCE: usize = 64;
/// How long a batch gathers. Waking for every single decision took an eighth of the token endpoint's CPU; nobody looks a
/// decision up sooner than this.
const BATCH_WINDOW: Duration = Duration::from_millis(20);
/// Of how many networks, and of how many callers, requests are counted together in one batch.
const NETWORKS: usize = 1024;
const CALLERS: usize = 1024;
/// How many decisions of one caller have rows of their own in an hour, and of how many callers that is known.
const OWN_ROWS: u32 = 256;
const KNOWN_CALLERS: usize = 65_536;

/// How much of what was asked, granted and said is kept: of somebody, and of nobody in particular.
const ASKED_BYTES: usize = 2048;
const ANONYMOUS_ASKED_BYTES: usize = 256;
const MESSAGE_CHARACTERS: usize = 1024;
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
    own_rows: Mutex<OwnRows>,
}

/// The requests that wait to be written and are counted together, by hour and what came out.
#[derive(Default)]
struct Together {
    networks: HashMap<(i64, IpAddr, Outcome), Counted<Decision>>,
    callers: HashMap<(i64, String, DecisionKind, DecisionOutcome), Counted<DecisionRow>>,
}

/// The newest of them, and how many they are.
struct Counted<T> {
    newest: T,
    count: u64,
}

/// How many rows of its own each caller has in an hour.
#[derive(Default)]
struct OwnRows {
    hour: i64,
    taken: HashMap<String, u32>,
}

impl OwnRows {
    /// Takes one, if there is one left.
    fn take(&mut self, caller: &str, hour: i64) -> bool {
        if self.hour != hour {
            *self = Self { hour, taken: HashMap::new() };
        }
        let full = self.taken.len() >= KNOWN_CALLERS;
        match self.taken.get_mut(caller) {
            Some(taken) if *taken >= OWN_ROWS => false,
            Some(taken) => {
                *taken += 1;
                true
            }
            None if full => false,
            None => self.taken.insert(caller.to_owned(), 1).is_none(),
        }
    }
}

impl DecisionSink for DecisionQueue {
    fn offer(&self, mut decision: Decision) {
        // Here already: what waits is bounded in bytes too.
        decision.asked = cut(decision.asked, ASKED_BYTES);
        decision.granted = cut(decision.granted, ASKED_BYTES);
        let hour = hour_of(decision.at);
        let waits = match decision.user.clone() {
            None => self.count_of_network(decision, hour),
            Some(_) if decision.outcome == Outcome::Granted => self.send_granted(QueuedDecision::Token(decision)),
            Some(user) if self.has_own_row(&user, hour) => self.queue.try_send(QueuedDecision::Token(decision)).is_ok(),
            Some(_) => self.count_of_caller(row(decision), hour),
        };
        if !waits {
            DecisionDropped.emit();
        }
    }
}

impl Decisions for DecisionQueue {
    fn offer(&self, decision: DecisionRow) {
        let hour = hour_of(decision.at);
        let waits = if decision.outcome == DecisionOutcome::Granted {
            self.send_granted(QueuedDecision::Api(decision))
        } else if self.has_own_row(&decision.caller, hour) {
            self.queue.try_send(QueuedDecision::Api(decision)).is_ok()
        } else {
            self.count_of_caller(decision, hour)
        };
        if !waits {
            DecisionDropped.emit();
        }
    }
}

fn hour_of(at: chrono::DateTime<chrono::Utc>) -> i64 {
    at.timestamp().div_euclid(3600)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DecisionQueue {
    /// What is only counted leaves half of the queue to what is kept.
    fn send_granted(&self, decision: QueuedDecision) -> bool {
        self.queue.capacity() > QUEUE_CAPACITY / 2 && self.queue.try_send(decision).is_ok()
    }

    fn has_own_row(&self, caller: &str, hour: i64) -> bool {
        locked(&self.own_rows).take(caller, hour)
    }

    /// Counts a decision about nobody in particular; whether there is room for its network.
    fn count_of_network(&self, decision: Decision, hour: i64) -> bool {
        let key = (hour, network_of(decision.address).addr(), decision.outcome);
        let counted = count(&mut locked(&self.together).networks, key, decision, NETWORKS);
        self.wake(counted)
    }

    /// Counts a decision of a caller who had many; whether there is room for the caller.
    fn count_of_caller(&self, decision: DecisionRow, hour: i64) -> bool {
        let key = (hour, decision.caller.clone(), decision.kind, decision.outcome);
        let counted = count(&mut locked(&self.together).callers, key, decision, CALLERS);
        self.wake(counted)
    }

    /// Has the queue looked through, if this was the first to be counted; whether it was counted.
    fn wake(&self, counted: Option<First>) -> bool {
        // A full queue is looked through soon anyhow, and with it what is counted.
        if counted == Some(First::Yes) {
            let _ = self.queue.try_send(QueuedDecision::Together);
        }
        counted.is_some()
    }
}

/// Whether something is the first of what is counted.
#[derive(PartialEq, Eq)]
enum First {
    Yes,
    No,
}

/// Counts one; nothing where there are too many kinds of them.
fn count<K: std::hash::Hash + Eq, T>(
    counted: &mut HashMap<K, Counted<T>>,
    key: K,
    newest: T,
    most: usize,
) -> Option<First> {
    let (first, full) = (if counted.is_empty() { First::Yes } else { First::No }, counted.len() >= most);
    match counted.entry(key) {
        Entry::Occupied(mut known) => {
            let count = known.get().count + 1;
            known.insert(Counted { newest, count });
        }
        Entry::Vacant(_) if full => return None,
        Entry::Vacant(place) => {
            place.insert(Counted { newest, count: 1 });
        }
    }
    Some(first)
}

/// Starts a queue into the records. The task ends, everything written that was decided until then, once `ended` is
/// cancelled: whoever still holds a handle of the queue keeps it from nothing.
pub fn start(ops: Arc<dyn DecisionRecords>, ended: CancellationToken) -> (DecisionQueue, JoinHandle<()>) {
    let (sender, mut waiting) = mpsc::channel(QUEUE_CAPACITY);
    let together = Arc::<Mutex<Together>>::default();
    let counted = Arc::clone(&together);
    let task = tokio::spawn(async move {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = ended.cancelled(), if !waiting.is_closed() => waiting.close(),
                some = waiting.recv_many(&mut batch, BATCH_SIZE) => if some == 0 { break },
            }
            if batch.len() < BATCH_SIZE && !waiting.is_closed() {
                tokio::time::sleep(BATCH_WINDOW).await;
                while batch.len() < BATCH_SIZE
                    && let Ok(decision) = waiting.try_recv()
                {
                    batch.push(decision);
                }
            }
            let Together { networks, callers } = std::mem::take(&mut *locked(&counted));
            let in_words = |waiting| match waiting {
                QueuedDecision::Token(decision) => Some(row(decision)),
                QueuedDecision::Api(row) => Some(row),
                QueuedDecision::Together => None,
            };
            let together = networks.into_values().map(of_network).chain(callers.into_values().map(of_caller));
            for rows in in_writes(batch.drain(..).filter_map(in_words).chain(together)) {
                match ops.record_decisions(&rows).await {
                    Ok(0) => {}
                    Ok(gone) => RecordsLetGo { kind: "decision", rows: gone }.emit(),
                    Err(error) => tracing::warn!(%error, lost = rows.len(), "decisions not kept"),
                }
            }
        }
    });
    (DecisionQueue { queue: sender, together, own_rows: Mutex::default() }, task)
}

/// Rows as they are written: few that are kept in each, and all that are only counted in the first.
fn in_writes(rows: impl Iterator<Item = DecisionRow>) -> Vec<Vec<DecisionRow>> {
    let (mut write, kept): (Vec<_>, Vec<_>) = rows.partition(|row| row.outcome == DecisionOutcome::Granted);
    let mut kept = kept.into_iter().peekable();
    let mut writes = Vec::new();
    loop {
        write.extend(kept.by_ref().take(ROWS_AT_ONCE));
        writes.push(std::mem::take(&mut write));
        if kept.peek().is_none() {
            return writes;
        }
    }
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
        asked: decision.asked,
        granted: decision.granted,
        message: decision.message.map(|message| clipped(message, MESSAGE_CHARACTERS)),
        position: decision.position,
        count: 1,
        kind,
        caller: user.clone().unwrap_or_default(),
        together: None,
        user_id: user,
    }
}

/// One row for all of an hour from one network.
fn of_network(Counted { newest, count }: Counted<Decision>) -> DecisionRow {
    let (network, hour) = (network_of(newest.address).to_string(), hour_of(newest.at));
    let mut row = row(newest);
    if row.outcome != DecisionOutcome::Granted {
        row.together = Some(format!("{hour} {network} {:?}", row.outcome));
    }
    DecisionRow { client: network, asked: cut(row.asked, ANONYMOUS_ASKED_BYTES), count, ..row }
}

/// One row for all of an hour of one caller that have none of their own.
fn of_caller(Counted { newest, count }: Counted<DecisionRow>) -> DecisionRow {
    let together = format!("{} {:?} {} {:?}", hour_of(newest.at), newest.kind, newest.caller, newest.outcome);
    DecisionRow { together: Some(together), count, ..newest }
}

/// Scopes, as many whole ones as fit. What is left out takes no room.
fn cut(mut scopes: String, bytes: usize) -> String {
    if scopes.len() > bytes {
        let end = scopes.get(..bytes).and_then(|text| text.rfind(' ')).unwrap_or_default();
        scopes.truncate(end);
        scopes.shrink_to_fit();
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
    use rollcall_store::ops::{DecisionCount, DecisionFilter, OpsError};

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
        let sink = DecisionQueue { queue, together: Arc::default(), own_rows: Mutex::default() };
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
        let mut rows: Vec<_> = counted.networks.into_values().map(of_network).collect();
        rows.sort_by_key(|row| row.at);
        let shown: Vec<_> = rows.iter().map(|row| (row.client.as_str(), row.count, row.images.len())).collect();
        assert_eq!(shown, [("192.0.2.0/24", 1000, 3), ("127.0.0.0/24", 1, 3)]);
        assert!(rows.iter().all(|row| row.asked.len() <= ANONYMOUS_ASKED_BYTES && row.together.is_some()));
    }

    #[test]
    fn of_many_decisions_of_one_caller_in_an_hour_the_first_are_rows_and_the_rest_one_with_their_number() {
        let (queue, mut waiting) = mpsc::channel(QUEUE_CAPACITY);
        let sink = DecisionQueue { queue, together: Arc::default(), own_rows: Mutex::default() };
        for n in 0..10_000_i64 {
            DecisionSink::offer(&sink, decision(Some("flexnet/ada"), n % 3600));
        }
        DecisionSink::offer(&sink, decision(Some("flexnet/pia"), 0));
        DecisionSink::offer(&sink, decision(Some("flexnet/ada"), 3600));
        let (mut own, mut bytes) = (Vec::new(), 0);
        while let Ok(one) = waiting.try_recv() {
            if let QueuedDecision::Token(one) = one {
                bytes += one.asked.capacity() + one.granted.capacity();
                own.push(one.user.unwrap().to_string());
            }
        }
        let of = |user: &str| own.iter().filter(|owner| *owner == user).count();
        assert_eq!((of("flexnet/ada"), of("flexnet/pia")), (OWN_ROWS as usize + 1, 1), "a new hour has its own");
        assert!(bytes <= own.len() * 2 * ASKED_BYTES, "{bytes} bytes wait");
        let counted = std::mem::take(&mut *sink.together.lock().unwrap());
        let rows: Vec<_> = counted.callers.into_values().map(of_caller).collect();
        let shown: Vec<_> = rows.iter().map(|row| (row.caller.as_str(), row.count, row.kind)).collect();
        assert_eq!(shown, [("flexnet/ada", 10_000 - u64::from(OWN_ROWS), DecisionKind::Tied)]);
        assert!(rows[0].together.is_some());
    }

    #[test]
    fn what_is_granted_leaves_room_for_what_is_refused_and_writes_are_small() {
        let (queue, mut waiting) = mpsc::channel(QUEUE_CAPACITY);
        let sink = DecisionQueue { queue, together: Arc::default(), own_rows: Mutex::default() };
        for n in 0..20_000_i64 {
            let granted = Decision { outcome: Outcome::Granted, ..decision(Some("flexnet/ci"), n % 3600) };
            DecisionSink::offer(&sink, granted);
        }
        DecisionSink::offer(&sink, decision(Some("flexnet/ada"), 0));
        let mut rows = Vec::new();
        while let Ok(QueuedDecision::Token(one)) = waiting.try_recv() {
            rows.push(row(one));
        }
        assert_eq!(rows.len(), QUEUE_CAPACITY / 2 + 1);
        assert_eq!(rows.last().map(|row| row.caller.as_str()), Some("flexnet/ada"));
        let refused = (0..200).map(|n| row(decision(Some("flexnet/ada"), n)));
        let writes = in_writes(rows.into_iter().chain(refused));
        let kept = |rows: &Vec<DecisionRow>| rows.iter().filter(|row| row.outcome != DecisionOutcome::Granted).count();
        assert_eq!(writes.iter().map(kept).collect::<Vec<_>>(), [64, 64, 64, 9]);
        assert_eq!(writes.iter().map(Vec::len).sum::<usize>(), QUEUE_CAPACITY / 2 + 201);
    }

    #[test]
    fn what_one_decision_takes_is_bounded_and_invented_names_are_not_kept_to_be_found() {
        let offered = |decision: Decision| Decision { asked: cut(decision.asked, ASKED_BYTES), ..decision };
        let kept = row(offered(decision(Some("flexnet/ada"), 0)));
        assert!(kept.asked.len() <= ASKED_BYTES && kept.asked.ends_with(":pull"));
        assert_eq!(kept.images.len(), 3);
        assert_eq!((kept.kind, kept.caller.as_str()), (DecisionKind::Tied, "flexnet/ada"));
        let all = Decision { invented: Vec::new(), tie: Tie::None, ..decision(Some("flexnet/ada"), 0) };
        let kept = row(offered(all));
        assert_eq!((kept.images.len(), kept.kind), (IMAGES, DecisionKind::Stranger));
    }

    #[test]
    fn of_more_networks_than_fit_the_rest_is_dropped_and_those_that_are_known_go_on() {
        let (queue, _waiting) = mpsc::channel(2);
        let sink = DecisionQueue { queue, together: Arc::default(), own_rows: Mutex::default() };
        let from = |n: u32| Decision { address: IpAddr::V4((n << 8).into()), ..decision(None, 0) };
        let taken = (0..2 * u32::try_from(NETWORKS).unwrap()).filter(|n| sink.count_of_network(from(*n), 0)).count();
        assert_eq!(taken, NETWORKS);
        assert!(sink.count_of_network(from(7), 0));
    }

    /// Records that take their time: one batch for each permit.
    struct Slow {
        permits: tokio::sync::Semaphore,
        rows: std::sync::atomic::AtomicUsize,
    }

    #[async_trait::async_trait]
    impl DecisionRecords for Slow {
        async fn record_decisions(&self, rows: &[DecisionRow]) -> Result<u64, OpsError> {
            self.permits.acquire().await.unwrap().forget();
            self.rows.fetch_add(rows.len(), std::sync::atomic::Ordering::Relaxed);
            Ok(0)
        }
        async fn decisions(&self, _: &DecisionFilter, _: Option<&str>, _: u32) -> Result<Vec<DecisionRow>, OpsError> {
            Ok(Vec::new())
        }
        async fn decision(&self, _: &str) -> Result<Option<DecisionRow>, OpsError> {
            Ok(None)
        }
        async fn decision_counts(
            &self,
            _: DateTime<chrono::Utc>,
            _: DateTime<chrono::Utc>,
            _: Option<&str>,
        ) -> Result<Vec<DecisionCount>, OpsError> {
            Ok(Vec::new())
        }
    }

    /// A connection that was cut holds the queue's other end, and the disk is slow.
    #[tokio::test]
    async fn what_was_decided_before_the_end_is_written_however_long_it_takes_and_whoever_still_holds_the_queue() {
        let slow =
            Arc::new(Slow { permits: tokio::sync::Semaphore::new(0), rows: std::sync::atomic::AtomicUsize::new(0) });
        let ended = CancellationToken::new();
        let (queue, task) = start(Arc::clone(&slow) as Arc<dyn DecisionRecords>, ended.clone());
        for n in 0..3000 {
            let granted = Decision { outcome: Outcome::Granted, ..decision(Some("flexnet/ada"), n) };
            DecisionSink::offer(&queue, granted);
            DecisionSink::offer(&queue, decision(None, n));
        }
        ended.cancel();
        slow.permits.add_permits(100);
        tokio::time::timeout(Duration::from_secs(60), task).await.expect("it ends").unwrap();
        assert_eq!(slow.rows.load(std::sync::atomic::Ordering::Relaxed), 3001, "and one for nobody in particular");
        drop(queue);
    }

    #[test]
    fn images_are_found_in_scopes() {
        let found = super::images("repository:acme/db:pull,push registry:catalog:* repository:acme/a/b:pull", &[]);
        assert_eq!(found, ["acme/db", "acme/a/b"]);
        assert!(super::images("", &[]).is_empty());
    }
}
