//! What the run loop, the SQL side, rebuilds and handles share, and the gate under which it moves.
//! Folds chunks and publishes them; reads no page and writes no row itself.

use std::{
    collections::{HashSet, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use chrono::{DateTime, Utc};
use rollcall_access::{Effect, Folded, Roster, SharedRoster};
use rollcall_eventlog::Tail;
use rollcall_events::{Body, Clock, Position, Raised, Reader, Recorded, Version};
use rollcall_store::read::Read;
use tokio::{
    sync::{Mutex as AsyncMutex, MutexGuard, OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::Instant,
};

use crate::{Compared, Options, Progress, State, Task};

/// How many events are folded and then published together.
const FOLD_CHUNK: usize = 256;
/// How many events are folded under one lock of the roster: right after a view was taken each copies some pages, and whoever looks
/// something up waits.
const FOLD_HOLD: usize = 16;

static KNOWN_TYPES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| Body::TYPES.iter().copied().collect());

/// What the SQL side is handed, in order.
pub(crate) enum Work {
    /// What was folded after one position up to another, and its room in the queue.
    Batch { folded: Vec<Folded>, from: Position, to: Position, room: OwnedSemaphorePermit },
    /// The roster as it was, and which fold made its facts; to be kept as soon as everything before it is written.
    Snapshot(Arc<Roster>, u32),
    /// The SQL side was detached: it must fold for itself.
    Detached,
}

/// The queue to the SQL side. Its lock is the gate of the fold.
pub(crate) struct ReadQueue {
    work: Option<mpsc::UnboundedSender<Work>>,
    room: Arc<Semaphore>,
    /// Where the newest snapshot was taken.
    snapshot: Position,
}

/// The gate of the fold, held by somebody else: nothing is folded meanwhile. Nobody writes, waits or looks through much
/// under it; how long it took is measured.
pub(crate) struct Gate<'a> {
    _queue: MutexGuard<'a, ReadQueue>,
    task: Task,
    since: Instant,
}

impl<'a> Gate<'a> {
    pub(crate) async fn take(shared: &'a Shared, task: Task) -> Self {
        Self { _queue: shared.gate.lock().await, task, since: Instant::now() }
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        metrics::histogram!("rollcall_fold_held_seconds", "by" => self.task.as_str()).record(self.since.elapsed());
    }
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
    /// The fold that made the oldest facts of the live roster; changes only under the gate.
    facts_of: AtomicU32,
    /// The fold that made the facts of the snapshot.
    pub(crate) kept_of: AtomicU32,
    pub(crate) read: Arc<dyn Read>,
    pub(crate) options: Options,
    /// Held while anything is folded into the live roster: who has it sees one position.
    pub(crate) gate: AsyncMutex<ReadQueue>,
    /// Whether the SQL side is handed what is folded; changes only under the gate.
    pub(crate) attached: AtomicBool,
    pub(crate) applied: watch::Sender<Position>,
    /// The SQL side's position; held while it is written or swapped.
    pub(crate) read_position: AsyncMutex<Position>,
    pub(crate) written: watch::Sender<Position>,
    pub(crate) state: watch::Sender<State>,
    /// Where the log ended at the start.
    start: Position,
    recent: Mutex<Recent>,
    fresh: Mutex<DateTime<Utc>>,
    /// One check, rebuild or catching up at a time.
    pub(crate) rebuilding: AsyncMutex<()>,
    pub(crate) progress: watch::Sender<Option<Progress>>,
    pub(crate) rebuilt: Mutex<Option<Compared>>,
    pub(crate) stopping: watch::Sender<bool>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "called once, by what opened all of it")]
    pub(crate) fn new(
        dir: &Path,
        tail: Arc<dyn Tail>,
        clock: Arc<dyn Clock>,
        options: Options,
        (live, facts_of): (SharedRoster, u32),
        read: Arc<dyn Read>,
        written: Position,
        attached: bool,
    ) -> (Self, mpsc::UnboundedReceiver<Work>) {
        let (work, receiver) = mpsc::unbounded_channel();
        if !attached {
            drop(work.send(Work::Detached));
        }
        let position = live.read().position();
        let start = tail.head().borrow().position;
        let room = usize::try_from(options.waiting).unwrap_or(Semaphore::MAX_PERMITS);
        let shared = Self {
            dir: dir.to_owned(),
            live: Arc::new(live),
            facts_of: AtomicU32::new(facts_of),
            kept_of: AtomicU32::new(facts_of),
            read,
            options,
            gate: AsyncMutex::new(ReadQueue {
                work: Some(work),
                room: Arc::new(Semaphore::new(room)),
                snapshot: position,
            }),
            attached: AtomicBool::new(attached),
            applied: watch::Sender::new(position),
            read_position: AsyncMutex::new(written),
            written: watch::Sender::new(written),
            state: watch::Sender::new(State::CatchingUp),
            start,
            // Whatever still waits for the SQL side is among the newest.
            recent: Mutex::new(Recent { effects: VecDeque::new(), limit: room }),
            fresh: Mutex::new(DateTime::UNIX_EPOCH),
            rebuilding: AsyncMutex::new(()),
            progress: watch::Sender::new(None),
            rebuilt: Mutex::new(None),
            stopping: watch::Sender::new(false),
            tail,
            clock,
        };
        shared.note_position(position);
        (shared, receiver)
    }

    /// Hands what was folded to the SQL side; detaches it where that would have to wait.
    fn enqueue(&self, queue: &ReadQueue, folded: Vec<Folded>, from: Position, to: Position) {
        let Some(work) = queue.work.as_ref().filter(|_| self.attached.load(Ordering::Relaxed)) else { return };
        let size = u32::try_from(folded.len()).unwrap_or(u32::MAX);
        let sent = match Arc::clone(&queue.room).try_acquire_many_owned(size) {
            Ok(room) => work.send(Work::Batch { folded, from, to, room }),
            Err(_) => {
                tracing::warn!(at = %to, "read side detached, it is too far behind and folds for itself");
                self.attached.store(false, Ordering::Relaxed);
                work.send(Work::Detached)
            }
        };
        // The receiver goes only when the process ends.
        drop(sent);
    }

    /// Folds a page into the live roster, publishes it and hands it to the SQL side.
    pub(crate) async fn fold(&self, page: &[Recorded]) -> Result<(), String> {
        for chunk in page.chunks(FOLD_CHUNK) {
            let strange = chunk.iter().position(|record| !is_known(record)).unwrap_or(chunk.len());
            let (chunk, strange) = chunk.split_at(strange);
            let mut queue = self.gate.lock().await;
            if let State::Stopped(why) = &*self.state.borrow() {
                return Err(why.clone());
            }
            let mut folded: Vec<Folded> = Vec::with_capacity(chunk.len());
            for some in chunk.chunks(FOLD_HOLD) {
                let mut roster = self.live.write();
                folded.extend(some.iter().map(|record| roster.apply(record)));
            }
            if let Some(Folded { position, .. }) = folded.last() {
                let (before, position) = (*self.applied.borrow(), *position);
                self.publish(&folded, position);
                self.enqueue(&queue, folded, before, position);
                self.snapshot_if_due(&mut queue, position);
            }
            if let Some(record) = strange.first() {
                return Err(unknown_type(record));
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
        self.note_position(position);
    }

    /// What follows from the roster being at `position`: it is as fresh as the log, it has caught up.
    fn note_position(&self, position: Position) {
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

    fn snapshot_if_due(&self, queue: &mut ReadQueue, position: Position) {
        // Positions are not dense in every log, so this is "at most every".
        let due = position.0 - queue.snapshot.0 >= self.options.snapshot_every;
        // While the SQL side is detached it would wait, and what a view holds with it.
        let taken = self.attached.load(Ordering::Relaxed) && *self.state.borrow() == State::Following;
        if due && taken {
            self.snapshot(queue);
        }
    }

    /// Only a view is taken here: it is made into bytes while the fold goes on.
    fn snapshot(&self, queue: &mut ReadQueue) {
        // Whoever was fenced leaves the files to whoever writes them now.
        let stopped = matches!(*self.state.borrow(), State::Stopped(_));
        let Some(work) = queue.work.as_ref().filter(|_| !stopped) else { return };
        let view = self.view();
        if view.position() != queue.snapshot {
            queue.snapshot = view.position();
            drop(work.send(Work::Snapshot(view, self.facts_of.load(Ordering::Relaxed))));
        }
    }

    /// The fold that made the oldest facts of the live roster, where that is an earlier one than this.
    pub(crate) fn older_fold(&self) -> Option<u32> {
        let version = self.facts_of.load(Ordering::Relaxed);
        (version != self.options.folds.current).then_some(version)
    }

    /// Puts a roster in the place of the live one that this fold made from the beginning, and hands that back with a view
    /// of the new one. To be called under the gate.
    pub(crate) fn exchange(&self, roster: Roster) -> (Roster, Arc<Roster>) {
        self.facts_of.store(self.options.folds.current, Ordering::Relaxed);
        (self.live.replace(roster), self.view())
    }

    /// The roster as it is now, for as long as somebody looks at it; the fold goes on.
    pub(crate) fn view(&self) -> Arc<Roster> {
        self.live.view()
    }

    /// Hands the SQL side a snapshot and closes its queue.
    pub(crate) async fn close(&self) {
        self.stopping.send_replace(true);
        let mut queue = self.gate.lock().await;
        self.snapshot(&mut queue);
        queue.work = None;
    }

    /// Stops folding for good and stays, so that nobody starts it over in a loop.
    pub(crate) async fn halt(&self, why: String) {
        self.stop_for_good(why);
        std::future::pending().await
    }

    /// The first reason stands.
    pub(crate) fn stop_for_good(&self, why: String) {
        self.state.send_if_modified(|state| {
            let goes_on = !matches!(state, State::Stopped(_));
            if goes_on {
                tracing::error!(%why, "projector stopped, the process is not ready");
                *state = State::Stopped(why);
            }
            goes_on
        });
    }

    /// Whether folding must end.
    pub(crate) fn has_stopped(&self) -> bool {
        *self.stopping.borrow() || matches!(*self.state.borrow(), State::Stopped(_))
    }

    /// Looks how old the roster is: what it holds was durable when somebody last looked, or is all that is durable now.
    /// Returns what the log has now, and when now is.
    pub(crate) fn refresh_age(&self, (seen, then): (Position, DateTime<Utc>)) -> (Position, DateTime<Utc>) {
        let log = self.tail.head();
        let now = self.clock.now();
        let head = log.borrow().position;
        let position = *self.applied.borrow();
        let stopped = matches!(*self.state.borrow(), State::Stopped(_));
        if position >= seen && !stopped && log.has_changed().is_ok() {
            let mut fresh = lock(&self.fresh);
            *fresh = fresh.max(if position >= head { now } else { then });
        }
        self.report_metrics(head, now);
        (head, now)
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
    fn report_metrics(&self, head: Position, now: DateTime<Utc>) {
        let lag = self.age(now).as_secs_f64();
        metrics::gauge!("rollcall_log_head_position").set(head.0 as f64);
        for (projection, position) in [("roster", &self.applied), ("read", &self.written)] {
            metrics::gauge!("rollcall_projection_position", "projection" => projection).set(position.borrow().0 as f64);
        }
        metrics::gauge!("rollcall_projection_lag_seconds", "projection" => "roster").set(lag);
        let counts = self.live.read().counts();
        metrics::gauge!("rollcall_parked_events", "projection" => "roster").set(counts.parked as f64);
        metrics::gauge!("rollcall_roster_of_an_earlier_fold").set(if self.older_fold().is_some() { 1.0 } else { 0.0 });
        metrics::gauge!("rollcall_project_names_taken").set(counts.name_taken as f64);
    }

    /// How long ago the roster was last known to hold everything that was durable.
    pub(crate) fn age(&self, now: DateTime<Utc>) -> std::time::Duration {
        (now - *lock(&self.fresh)).to_std().unwrap_or_default()
    }

    /// The effect of an event among the newest; `Err` where the SQL side has to be asked.
    pub(crate) fn recent_effect(&self, position: Position) -> Result<Option<Effect>, ()> {
        let recent = lock(&self.recent);
        match recent.effects.binary_search_by_key(&position, |(at, _)| *at) {
            Ok(at) => Ok(recent.effects.get(at).map(|(_, effect)| effect.clone())),
            Err(0) if position <= *self.applied.borrow() => Err(()),
            Err(_) => Ok(None),
        }
    }
}

/// Whether this version can judge an event: one of an unknown type a newer version recorded, as ingest takes none, and so
/// did one that says that from there on it takes a newer version.
pub(crate) fn is_known(record: &Recorded) -> bool {
    let kind = &*record.event.kind;
    KNOWN_TYPES.contains(kind) && Raised::read(&record.event).is_none_or(|raised| raised.reader <= Reader::CURRENT)
}

/// Why an event that this version cannot judge stops the fold.
pub(crate) fn unknown_type(record: &Recorded) -> String {
    match Raised::read(&record.event) {
        Some(raised) => format!(
            "from position {} on the log holds what this version, {}, cannot judge: start Rollcall {} or a newer one",
            record.position,
            Version::CURRENT,
            raised.version
        ),
        None => format!(
            "the event at {} is a `{}`, which this version does not know: start a newer version of Rollcall",
            record.position, record.event.kind
        ),
    }
}
