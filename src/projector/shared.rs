//! What the run loop, the SQL side, rebuilds and handles share, and the gate under which it moves.
//! Folds chunks and publishes them; reads no page and writes no row itself.

use std::{
    collections::{HashSet, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, Utc};
use rollcall_access::{Effect, Folded, SharedRoster};
use rollcall_eventlog::Tail;
use rollcall_events::{Body, Clock, Position, Recorded};
use rollcall_store::read::Read;
use serde::Serialize;
use tokio::sync::{Mutex as Gate, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::{Compared, Options, Progress};

/// How many events are folded under one lock of the roster.
const CHUNK: usize = 256;

static KNOWN: LazyLock<HashSet<&'static str>> = LazyLock::new(|| Body::TYPES.iter().copied().collect());

/// What the fold does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "why", rename_all = "snake_case")]
pub enum State {
    /// It is reading up to where the log ended at the start.
    CatchingUp,
    /// It follows the log.
    Following,
    /// It stopped for good; the process must not answer. The text says why and what to do.
    Stopped(String),
}

/// What the SQL side is handed, in order.
pub(crate) enum Work {
    /// What was folded after one position up to another, and its room in the queue.
    Batch { folded: Vec<Folded>, from: Position, to: Position, room: OwnedSemaphorePermit },
    /// The roster, to be kept as soon as everything before it is written.
    Snapshot { bytes: Vec<u8>, at: Position },
    /// The SQL side was detached: it must fold for itself.
    Behind,
}

/// The way to the SQL side, and the gate of the fold.
pub(crate) struct Feed {
    work: Option<mpsc::UnboundedSender<Work>>,
    room: Arc<Semaphore>,
    /// Where the newest snapshot was taken.
    snapshot: Position,
}

/// The effects of the newest events.
struct Recent {
    effects: VecDeque<(Position, Effect)>,
    limit: usize,
}

pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) tail: Arc<dyn Tail>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) live: Arc<SharedRoster>,
    pub(crate) read: Arc<dyn Read>,
    options: Options,
    /// Held while anything is folded into the live roster: who has it sees one position.
    pub(crate) gate: Gate<Feed>,
    /// Whether the SQL side is handed what is folded; changes only under the gate.
    pub(crate) attached: AtomicBool,
    pub(crate) applied: watch::Sender<Position>,
    /// The SQL side's position; held while it is written or swapped.
    pub(crate) sql: Gate<Position>,
    pub(crate) written: watch::Sender<Position>,
    pub(crate) state: watch::Sender<State>,
    /// Where the log ended at the start.
    start: Position,
    recent: Mutex<Recent>,
    fresh: Mutex<DateTime<Utc>>,
    /// One check, rebuild or catching up at a time.
    pub(crate) beside: Gate<()>,
    pub(crate) progress: watch::Sender<Option<Progress>>,
    pub(crate) rebuilt: Mutex<Option<Compared>>,
    pub(crate) stopping: watch::Sender<bool>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "called once, by what opened all of it")]
    pub(crate) fn new(
        dir: &Path,
        tail: Arc<dyn Tail>,
        clock: Arc<dyn Clock>,
        options: Options,
        live: SharedRoster,
        read: Arc<dyn Read>,
        written: Position,
        attached: bool,
    ) -> (Self, mpsc::UnboundedReceiver<Work>) {
        let (work, receiver) = mpsc::unbounded_channel();
        if !attached {
            drop(work.send(Work::Behind));
        }
        let position = live.read().position();
        let start = tail.head().borrow().position;
        let room = usize::try_from(options.waiting).unwrap_or(Semaphore::MAX_PERMITS);
        let shared = Self {
            dir: dir.to_owned(),
            live: Arc::new(live),
            read,
            options,
            gate: Gate::new(Feed { work: Some(work), room: Arc::new(Semaphore::new(room)), snapshot: position }),
            attached: AtomicBool::new(attached),
            applied: watch::Sender::new(position),
            sql: Gate::new(written),
            written: watch::Sender::new(written),
            state: watch::Sender::new(State::CatchingUp),
            start,
            // Whatever still waits for the SQL side is among the newest.
            recent: Mutex::new(Recent { effects: VecDeque::new(), limit: room }),
            fresh: Mutex::new(DateTime::UNIX_EPOCH),
            beside: Gate::new(()),
            progress: watch::Sender::new(None),
            rebuilt: Mutex::new(None),
            stopping: watch::Sender::new(false),
            tail,
            clock,
        };
        shared.reached(position);
        (shared, receiver)
    }

    /// Hands what was folded to the SQL side; detaches it where that would have to wait.
    fn hand_on(&self, feed: &Feed, folded: Vec<Folded>, from: Position, to: Position) {
        let Some(work) = feed.work.as_ref().filter(|_| self.attached.load(Ordering::Relaxed)) else { return };
        let size = u32::try_from(folded.len()).unwrap_or(u32::MAX);
        let sent = match Arc::clone(&feed.room).try_acquire_many_owned(size) {
            Ok(room) => work.send(Work::Batch { folded, from, to, room }),
            Err(_) => {
                tracing::warn!(at = %to, "read side detached, it is too far behind and folds for itself");
                self.attached.store(false, Ordering::Relaxed);
                work.send(Work::Behind)
            }
        };
        // The receiver goes only when the process ends.
        drop(sent);
    }

    /// Folds a page into the live roster, publishes it and hands it to the SQL side.
    pub(crate) async fn fold(&self, page: &[Recorded]) -> Result<(), String> {
        for chunk in page.chunks(CHUNK) {
            let strange = chunk.iter().position(|record| !is_known(record)).unwrap_or(chunk.len());
            let (chunk, strange) = chunk.split_at(strange);
            let mut feed = self.gate.lock().await;
            let folded: Vec<Folded> = {
                let mut roster = self.live.write();
                chunk.iter().map(|record| roster.apply(record)).collect()
            };
            if let Some(Folded { position, .. }) = folded.last() {
                let (before, position) = (*self.applied.borrow(), *position);
                self.publish(&folded, position);
                self.hand_on(&feed, folded, before, position);
                self.snapshot_if_due(&mut feed, position);
            }
            if let Some(record) = strange.first() {
                return Err(unknown(record));
            }
        }
        Ok(())
    }

    fn publish(&self, folded: &[Folded], position: Position) {
        let mut recent = lock(&self.recent);
        recent.effects.extend(folded.iter().map(|folded| (folded.position, folded.effect.clone())));
        let surplus = recent.effects.len().saturating_sub(recent.limit);
        recent.effects.drain(..surplus);
        drop(recent);
        self.applied.send_replace(position);
        self.reached(position);
    }

    /// What follows from the roster being at `position`.
    fn reached(&self, position: Position) {
        if position >= self.tail.head().borrow().position {
            *lock(&self.fresh) = self.clock.now();
        }
        if position >= self.start {
            self.state.send_if_modified(|state| {
                let arrived = *state == State::CatchingUp;
                if arrived {
                    *state = State::Following;
                    tracing::info!(%position, "roster caught up with the log");
                }
                arrived
            });
        }
    }

    fn snapshot_if_due(&self, feed: &mut Feed, position: Position) {
        // Positions are not dense in every log, so this is "at most every".
        let due = position.0 - feed.snapshot.0 >= self.options.snapshot_every;
        if due && *self.state.borrow() == State::Following {
            self.snapshot(feed);
        }
    }

    fn snapshot(&self, feed: &mut Feed) {
        let Some(work) = &feed.work else { return };
        let roster = self.live.read();
        let at = roster.position();
        if at != feed.snapshot {
            feed.snapshot = at;
            drop(work.send(Work::Snapshot { bytes: roster.to_snapshot(), at }));
        }
    }

    /// The last words to the SQL side: a snapshot, and that no more will come.
    pub(crate) async fn close(&self) {
        self.stopping.send_replace(true);
        let mut feed = self.gate.lock().await;
        self.snapshot(&mut feed);
        feed.work = None;
    }

    /// Stops folding for good and stays, so that nobody starts it over in a loop.
    pub(crate) async fn halt(&self, why: String) {
        self.stop_answering(why);
        std::future::pending().await
    }

    pub(crate) fn stop_answering(&self, why: String) {
        tracing::error!(%why, "projector stopped, the process is not ready");
        self.state.send_replace(State::Stopped(why));
    }

    /// Whether folding must end.
    pub(crate) fn is_over(&self) -> bool {
        *self.stopping.borrow() || matches!(*self.state.borrow(), State::Stopped(_))
    }

    /// One beat: what the roster holds was durable when the last beat looked, or is all that is durable now. Returns
    /// what the log has now, and when now is.
    pub(crate) fn beat(&self, (seen, then): (Position, DateTime<Utc>)) -> (Position, DateTime<Utc>) {
        let log = self.tail.head();
        let now = self.clock.now();
        let head = log.borrow().position;
        let position = *self.applied.borrow();
        let stopped = matches!(*self.state.borrow(), State::Stopped(_));
        if position >= seen && !stopped && log.has_changed().is_ok() {
            let mut fresh = lock(&self.fresh);
            *fresh = fresh.max(if position >= head { now } else { then });
        }
        self.measure(head, now);
        (head, now)
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
    fn measure(&self, head: Position, now: DateTime<Utc>) {
        let lag = self.age(now).as_secs_f64();
        metrics::gauge!("rollcall_log_head_position").set(head.0 as f64);
        for (projection, position) in [("roster", &self.applied), ("read", &self.written)] {
            metrics::gauge!("rollcall_projection_position", "projection" => projection).set(position.borrow().0 as f64);
        }
        metrics::gauge!("rollcall_projection_lag_seconds", "projection" => "roster").set(lag);
        let counts = self.live.read().counts();
        metrics::gauge!("rollcall_parked_events", "projection" => "roster").set(counts.parked as f64);
        metrics::gauge!("rollcall_project_names_taken").set(counts.name_taken as f64);
    }

    /// How long ago the roster was last known to hold everything that was durable.
    pub(crate) fn age(&self, now: DateTime<Utc>) -> std::time::Duration {
        (now - *lock(&self.fresh)).to_std().unwrap_or_default()
    }

    /// The effect of an event among the newest; `Err` where the SQL side has to be asked.
    pub(crate) fn recent(&self, position: Position) -> Result<Option<Effect>, ()> {
        let recent = lock(&self.recent);
        match recent.effects.binary_search_by_key(&position, |(at, _)| *at) {
            Ok(at) => Ok(recent.effects.get(at).map(|(_, effect)| effect.clone())),
            Err(0) if position <= *self.applied.borrow() => Err(()),
            Err(_) => Ok(None),
        }
    }
}

/// Whether this version knows the type of an event. Ingest lets no unknown type into the log, so a newer version did.
pub(crate) fn is_known(record: &Recorded) -> bool {
    KNOWN.contains(&*record.event.kind)
}

/// What is said of an event of an unknown type.
pub(crate) fn unknown(record: &Recorded) -> String {
    format!(
        "the event at {} is a `{}`, which this version does not know: start a newer version of Rollcall",
        record.position, record.event.kind
    )
}
