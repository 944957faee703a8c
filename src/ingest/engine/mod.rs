//! What carries one source's facts to the log: brings the mirror up to date, opens and closes the bracket of a run,
//! appends. What a read comes to is `conclude`, what a follower tells is `desk`, when anything happens is `runner`.

mod again;
mod conclude;
mod desk;
mod discard;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod races;
#[cfg(test)]
mod recalled;
mod revoke;
#[cfg(test)]
mod rivals;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use rollcall_eventlog::{Append, AppendError, Filter, Outcome, Tail, TailError};
use rollcall_events::{
    Body, Clock, Emitter, Epoch, NewEvent, Position, Recorded, SourceName,
    body::{Author, Run},
    run_id,
};
use tokio::sync::{Mutex, Notify};

use crate::{
    baseline_index::{BaselineIndex, SharedIndex},
    consequences::Consequences,
    plan::{Plan, PlanId},
    pull::{Failure, Pull, RecordedFact, RunContext, SnapshotBuilder},
    schedule::Cron,
    status::{SourceState, SourceStatus},
    stores::{BaselineEntries, BaselineEntry, BaselineState, RecordedFacts, SourceStore, StoreError},
    telemetry,
};

pub use conclude::{ChangeCounts, RunOutcome};

/// How many records are folded at once, and how many events appended.
const PAGE: usize = 1000;
/// How often a log that has too much to write is asked again, and after which pause.
const MAX_APPEND_ATTEMPTS: u32 = 100;
const APPEND_RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long one full read may take at most. A connector has its own, shorter limits on everything that it waits for.
const READ_TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// Where random numbers come from.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How one source is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOptions {
    /// When it is read as a whole.
    pub schedule: Cron,
    /// Every read begins so much later at most, so that not all sources are asked in the same second.
    pub jitter: Duration,
    /// Whether the first read waits for a person.
    pub first_run_waits: bool,
    /// Whether removals are held when they are too many.
    pub guard: bool,
    /// After so long without a good read everything that it said ends. None: never.
    pub revoke_after: Option<Duration>,
}

/// What the engines of all sources share.
#[derive(Clone)]
pub struct EngineDeps {
    /// Takes events.
    pub append: Arc<dyn Append>,
    /// Reads them.
    pub tail: Arc<dyn Tail>,
    /// What is kept beside the log.
    pub store: Arc<dyn SourceStore>,
    /// Knows what facts come to.
    pub consequences: Arc<dyn Consequences>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Random,
}

/// Why a run came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Nothing can be concluded about the source; its state says so.
    #[error(transparent)]
    Source(#[from] Failure),
    /// The log or the store does not answer. Nothing is concluded about the source.
    #[error("{0}")]
    Storage(String),
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<TailError> for RunError {
    fn from(error: TailError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<AppendError> for RunError {
    fn from(error: AppendError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// What a full read is for.
#[derive(Debug, Clone)]
pub(crate) enum Intent {
    /// To record what differs.
    Record,
    /// To show what differs, and to record nothing.
    Plan,
    /// To record what differs if its removals are those of this plan, on the word of whoever confirmed them.
    Apply(Box<Plan>, Author),
}

/// The way of one source's facts to the log. One per source and log: the epoch says which one a run is of.
pub(crate) struct Engine {
    pub source: SourceName,
    pub pull: Arc<dyn Pull>,
    pub deps: EngineDeps,
    pub options: ReadOptions,
    /// Who this engine is in the log, once the log was asked for the last one.
    lease: std::sync::OnceLock<Lease>,
    /// What the source said last, once a read was held against it.
    index: std::sync::Mutex<Option<SharedIndex>>,
    /// Held while something is compared and appended: what is compared must not move.
    writing: Mutex<()>,
    /// Held for a whole run: one at a time.
    running: Arc<Mutex<()>>,
    /// Somebody wants a full read soon.
    pub wanted: Notify,
    /// What a follower told and what waits for that read.
    withheld: desk::WithheldRemovals,
}

/// One engine's right to a source (DESIGN 13).
struct Lease {
    epoch: Epoch,
    /// The run that everything names which its follower is told.
    following: String,
}

impl Engine {
    pub fn new(source: SourceName, pull: Arc<dyn Pull>, deps: EngineDeps, options: ReadOptions) -> Self {
        Self {
            source,
            pull,
            deps,
            options,
            lease: std::sync::OnceLock::new(),
            index: std::sync::Mutex::default(),
            writing: Mutex::default(),
            running: Arc::default(),
            wanted: Notify::new(),
            withheld: desk::WithheldRemovals::default(),
        }
    }

    fn random_bytes(&self) -> [u8; 10] {
        let (a, b) = ((self.deps.random)().to_be_bytes(), (self.deps.random)().to_be_bytes());
        let mut bytes = [0; 10];
        bytes.iter_mut().zip(a.into_iter().chain(b)).for_each(|(to, from)| *to = from);
        bytes
    }

    fn lease(&self, baseline: &BaselineState) -> &Lease {
        self.lease.get_or_init(|| {
            let epoch = baseline.epoch.next();
            Lease { epoch, following: run_id(epoch, self.deps.clock.now(), self.random_bytes()) }
        })
    }

    fn plan_id(&self) -> PlanId {
        PlanId::new(self.deps.clock.now(), self.random_bytes())
    }

    /// Folds what the log has of this source into the mirror, up to the head. Only while `writing` is held. An engine
    /// that is no longer the one stops here; what it has under way is refused by every fold of the log.
    async fn catch_up(&self) -> Result<BaselineState, RunError> {
        let mut baseline = self.deps.store.baseline_state(self.deps.append.log_id(), &self.source).await?;
        self.catch_up_from(&mut baseline, &mut |_| ()).await?;
        Ok(baseline)
    }

    /// The same from where that is, and shows each record.
    async fn catch_up_from(
        &self,
        baseline: &mut BaselineState,
        show: &mut (dyn FnMut(&Recorded) + Send),
    ) -> Result<(), RunError> {
        let filter = self.source_filter();
        loop {
            let (records, ended) = self.deps.tail.page(baseline.position, PAGE, &filter).await?;
            if ended <= baseline.position {
                break;
            }
            let mut entries = BaselineEntries::new();
            for record in &records {
                fold(&mut entries, baseline, record.position, &record.event);
                show(record);
            }
            let from = std::mem::replace(&mut baseline.position, ended);
            self.advance(&entries, from, baseline).await?;
        }
        match self.lease.get() {
            Some(own) if own.epoch < baseline.epoch => {
                let (own, newest) = (own.epoch.0, baseline.epoch.0);
                Err(RunError::Storage(format!(
                    "another runner of epoch {newest} reads the source; this one is of {own}"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Brings the mirror from a place to where `reached` is, and the book with it.
    async fn advance(
        &self,
        entries: &BaselineEntries,
        from: Position,
        baseline: &BaselineState,
    ) -> Result<(), RunError> {
        self.deps.store.fold(self.deps.append.log_id(), &self.source, entries, baseline).await?;
        let mut slot = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = slot.as_ref().is_some_and(|index| index.lock().position() == from);
        match &*slot {
            Some(index) if follows => index.lock().fold(entries, baseline.position),
            // Not what the mirror holds: it is read anew when somebody needs it.
            _ => *slot = None,
        }
        Ok(())
    }

    /// What the source said last, up to where the mirror is. Only while `writing` is held.
    async fn index(&self, baseline: &BaselineState) -> Result<SharedIndex, RunError> {
        if let Some(index) = self.open_index().filter(|index| index.lock().position() == baseline.position) {
            return Ok(index);
        }
        let mut index = BaselineIndex::at(baseline.position);
        self.deps.store.for_each_entry(&self.source, &mut |subject, entry| index.insert(subject, entry)).await?;
        let index = SharedIndex::new(index);
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(index.clone());
        Ok(index)
    }

    fn open_index(&self) -> Option<SharedIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The facts at these places of the log, by subject.
    async fn facts_at(&self, positions: &[Position]) -> Result<RecordedFacts, RunError> {
        let mut facts = RecordedFacts::with_capacity(positions.len());
        for some in positions.chunks(PAGE) {
            facts.extend(self.deps.tail.records(some).await?.iter().filter_map(fact));
        }
        Ok(facts)
    }

    /// What the source said last of these subjects.
    async fn last_facts(&self, subjects: &[String]) -> Result<RecordedFacts, RunError> {
        let entries = self.deps.store.entries(&self.source, subjects, &[]).await?;
        self.facts_at(&entries.values().map(|entry| entry.position).collect::<Vec<_>>()).await
    }

    /// What the log has of this source.
    fn source_filter(&self) -> Filter {
        Filter { source: Some(self.source.to_string()), ..Filter::default() }
    }

    /// Appends, in parts that the log takes at once.
    async fn append(&self, events: Vec<NewEvent>) -> Result<Option<Position>, RunError> {
        let mut newest = None;
        for batch in events.chunks(PAGE) {
            newest = newest.max(self.append_batch(batch).await?.into_iter().max());
        }
        Ok(newest)
    }

    /// Appends one part; a log with too much to write is asked again. Gives where each event stands.
    async fn append_batch(&self, batch: &[NewEvent]) -> Result<Vec<Position>, RunError> {
        let mut tries = 0;
        let outcomes = loop {
            match self.deps.append.append(batch.to_vec()).await {
                Err(AppendError::Overloaded { .. }) if tries < MAX_APPEND_ATTEMPTS => {
                    tries += 1;
                    tokio::time::sleep(APPEND_RETRY_DELAY).await;
                }
                other => break other?,
            }
        };
        telemetry::facts_appended(&self.source, batch, &outcomes);
        let positions = outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Recorded(at) | Outcome::Duplicate(at) | Outcome::Conflict(at) => at,
        });
        Ok(positions.collect())
    }

    /// Appends the events of a run and folds them while the next are written, without reading them again. Gives the
    /// newest place, and of which subjects somebody else said something in between.
    async fn append_and_fold(
        &self,
        mut baseline: BaselineState,
        mut events: impl Iterator<Item = NewEvent>,
        run: &str,
    ) -> Result<(Option<Position>, Vec<Arc<str>>), RunError> {
        let (mut newest, mut others) = (None, Vec::new());
        let mut written: Option<(BaselineEntries, Position, BaselineState)> = None;
        loop {
            let batch: Vec<NewEvent> = events.by_ref().take(PAGE).collect();
            let keep = async {
                match written.take() {
                    Some((entries, from, baseline)) => self.advance(&entries, from, &baseline).await,
                    None => Ok(()),
                }
            };
            if batch.is_empty() {
                keep.await?;
                return Ok((newest, others));
            }
            let (positions, kept) = tokio::join!(self.append_batch(&batch), keep);
            let positions = positions?;
            kept?;
            newest = newest.max(positions.iter().copied().max());
            let from = baseline.position;
            if positions.iter().map(|at| at.0).eq((from.0 + 1..).take(batch.len())) {
                let mut entries = BaselineEntries::new();
                positions.iter().zip(&batch).for_each(|(at, event)| fold(&mut entries, &mut baseline, *at, event));
                baseline.position = positions.last().copied().unwrap_or(from);
                written = Some((entries, from, baseline.clone()));
                continue;
            }
            // Somebody else wrote in between, or not all of it is new.
            let mut other = |record: &Recorded| {
                if record.event.correlation.as_deref() != Some(run) {
                    others.push(Arc::clone(&record.event.subject));
                }
            };
            self.catch_up_from(&mut baseline, &mut other).await?;
        }
    }

    fn run_event(&self, body: &Body, run: &str) -> NewEvent {
        let word = body.kind().trim_end_matches(".v1").rsplit('.').next().unwrap_or_default();
        let event = NewEvent::of(self.source.clone(), format!("{run}/{word}"), body);
        NewEvent { correlation: Some(run.into()), ..event }
    }

    /// The data of a run's event.
    fn run_of(&self, run: &str, reason: Option<String>) -> Option<Run> {
        let epoch = self.lease.get().map_or(0, |lease| lease.epoch.0);
        let scope = Some(self.pull.scope().digest().to_owned());
        Some(Run { run: run.parse().ok()?, scope, epoch, counts: BTreeMap::new(), digest: None, reason })
    }

    /// The events with which a run begins. One that was cut off before is closed first.
    fn run_opening(&self, baseline: &BaselineState, run: &str) -> Vec<NewEvent> {
        let mut events = Vec::new();
        if let Some(open) = &baseline.open {
            let cut = self.run_of(open, Some("it was cut off before its end".to_owned()));
            events.extend(cut.map(|cut| self.run_event(&Body::SnapshotAborted(cut), open)));
        }
        events.extend(self.run_of(run, None).map(|start| self.run_event(&Body::SnapshotStarted(start), run)));
        events
    }

    /// Opens the bracket of a run and gives the sheet for it.
    pub async fn begin(&self, recorded: bool) -> Result<SnapshotBuilder, RunError> {
        let turn = Arc::clone(&self.running).lock_owned().await;
        let _writing = self.writing.lock().await;
        let mut baseline = self.catch_up().await?;
        let (now, withheld) = (self.deps.clock.now(), self.withheld.count());
        let run = run_id(self.lease(&baseline).epoch, now, self.random_bytes());
        if recorded {
            self.append(self.run_opening(&baseline, &run)).await?;
            baseline = self.catch_up().await?;
        }
        let mut builder = SnapshotBuilder::against(self.index(&baseline).await?, now);
        builder.run_context =
            Some(RunContext { run, recorded, since: baseline.position, turn, withheld, full_read_reason: None });
        Ok(builder)
    }

    /// A full read from its beginning to what came of it.
    pub async fn run(&self, intent: Intent) -> Result<RunOutcome, RunError> {
        let builder = self.begin(!matches!(intent, Intent::Plan)).await?;
        let run = builder
            .run_context
            .as_ref()
            .filter(|run_context| run_context.recorded)
            .map(|run_context| run_context.run.clone());
        let pull = Arc::clone(&self.pull);
        // A task of its own: what panics there costs this run and nothing else.
        let reading = Supervised(tokio::spawn(async move { pull.read(builder).await }));
        let read = match tokio::time::timeout(READ_TIMEOUT, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) => Err(Failure::Partial("the connector failed: a defect of Rollcall".to_owned())),
            Err(_) => Err(Failure::Unreachable(format!("it was not read to its end in {READ_TIMEOUT:?}"))),
        };
        match read {
            Ok(snapshot) => self.conclude(snapshot, intent).await,
            Err(failure) => {
                self.record_failure(&failure, run).await?;
                Err(failure.into())
            }
        }
    }

    /// Closes a run that failed, and notes how the source is.
    pub async fn record_failure(&self, failure: &Failure, run: Option<String>) -> Result<(), RunError> {
        let _writing = self.writing.lock().await;
        if let Some(run) = run {
            let aborted = self.run_of(&run, Some(failure.to_string())).map(Body::SnapshotAborted);
            self.append(aborted.map(|body| self.run_event(&body, &run)).into_iter().collect()).await?;
        }
        let mut status = self.status().await?;
        status.state = SourceState::from(failure);
        status.reason = Some(failure.to_string());
        status.failures = status.failures.saturating_add(1);
        self.save_status(status).await?;
        Ok(())
    }

    pub async fn status(&self) -> Result<SourceStatus, RunError> {
        let known = self.deps.store.status(&self.source).await?;
        Ok(known.unwrap_or_else(|| SourceStatus::new(self.source.clone(), self.deps.clock.now())))
    }

    /// Notes how the source is. Only while `writing` is held: reader and follower both read it, change it and write it.
    async fn save_status(&self, mut status: SourceStatus) -> Result<(), RunError> {
        status.checked_at = self.deps.clock.now();
        telemetry::source_checked(&status);
        self.deps.store.save_status(&status).await?;
        Ok(())
    }
}

/// A task that ends with whoever waits for it.
pub(crate) struct Supervised<T>(pub tokio::task::JoinHandle<T>);

impl<T> Drop for Supervised<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for Supervised<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context)
    }
}

/// A record as a fact of the source, by its subject.
fn fact(record: &Recorded) -> Option<(String, RecordedFact)> {
    let event = &record.event;
    let kind = Body::known_type(&event.kind).filter(|kind| is_fact(kind))?;
    Some((event.subject.to_string(), RecordedFact { position: record.position, kind, data: (*event.data).into() }))
}

fn is_fact(kind: &str) -> bool {
    Body::emitter_of(kind).is_some_and(Emitter::is_for_connectors)
}

/// Takes one event of the source in. What the roster refuses as stale was never said here either.
fn fold(entries: &mut BaselineEntries, baseline: &mut BaselineState, at: Position, event: &NewEvent) {
    if baseline.epoch.admit(event).is_err() {
        return;
    }
    match Body::emitter_of(&event.kind) {
        Some(emitter) if emitter.is_for_connectors() => {
            entries.insert((*event.subject).into(), BaselineEntry::of(at, &event.subject, &event.kind, &event.data));
        }
        Some(Emitter::Ingest) => match Body::parse(&event.kind, &event.data) {
            Ok(Body::SnapshotStarted(run)) => baseline.open = Some(run.run.to_string()),
            Ok(Body::SnapshotSealed(_) | Body::SnapshotAborted(_)) => baseline.open = None,
            Ok(Body::SnapshotApplied(run)) => baseline.scope = run.scope,
            _ => {}
        },
        _ => {}
    }
}
