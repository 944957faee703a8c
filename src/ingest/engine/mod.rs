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
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rollcall_eventlog::{Append, AppendError, Filter, Outcome, Tail, TailError};
use rollcall_events::{Body, Clock, EventKey, NewEvent, Position, Recorded, Sayer, SourceName, body::Run, prefixed_id};
use tokio::sync::{Mutex, Notify};

use crate::{
    plan::{Plan, PlanId},
    pull::{Bracket, Failure, Known, Pull, Sheet},
    schedule::Cron,
    standing::{Standing, State},
    stores::{Facts, Reached, Shelf, StoreError},
    telemetry,
};

pub use conclude::{Concluded, Numbers};

/// How many records are folded at once, and how many events appended.
const PAGE: usize = 1000;
/// How often a log that has too much to write is asked again, and after which pause.
const PATIENCE: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);
/// How long one full read may take at most. A connector has its own, shorter limits on everything that it waits for.
const LONGEST_READ: Duration = Duration::from_secs(6 * 3600);

/// Where random numbers come from.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How one source is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// When it is read as a whole.
    pub schedule: Cron,
    /// Every read begins so much later at most, so that not all sources are asked in the same second.
    pub jitter: Duration,
    /// Whether the first read waits for a person.
    pub first_run_waits: bool,
    /// Whether removals are held when they are too many.
    pub brake: bool,
    /// After so long without a good read everything that it said ends. None: never.
    pub revoke_after: Option<Duration>,
}

/// What the engines of all sources share.
#[derive(Clone)]
pub struct Works {
    /// Takes events.
    pub append: Arc<dyn Append>,
    /// Reads them.
    pub tail: Arc<dyn Tail>,
    /// What is kept beside the log.
    pub shelf: Arc<dyn Shelf>,
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
    /// To record what differs if its removals are those of this plan.
    Apply(Box<Plan>),
}

/// The way of one source's facts to the log. One per source and log: the epoch says which one a run is of.
pub(crate) struct Engine {
    pub source: SourceName,
    pub pull: Arc<dyn Pull>,
    pub works: Works,
    pub options: Options,
    /// The epoch of this engine, once the log was asked for the last one.
    epoch: std::sync::OnceLock<u64>,
    /// Held while something is compared and appended: what is compared must not move.
    writing: Mutex<()>,
    /// Held for a whole run: one at a time.
    running: Arc<Mutex<()>>,
    /// Somebody wants a full read soon.
    pub wanted: Notify,
    /// What a follower told and what waits for that read.
    withheld: desk::Withheld,
}

impl Engine {
    pub fn new(source: SourceName, pull: Arc<dyn Pull>, works: Works, options: Options) -> Self {
        Self {
            source,
            pull,
            works,
            options,
            epoch: std::sync::OnceLock::new(),
            writing: Mutex::default(),
            running: Arc::default(),
            wanted: Notify::new(),
            withheld: desk::Withheld::default(),
        }
    }

    fn random_bytes(&self) -> [u8; 10] {
        let (a, b) = ((self.works.random)().to_be_bytes(), (self.works.random)().to_be_bytes());
        let mut bytes = [0; 10];
        bytes.iter_mut().zip(a.into_iter().chain(b)).for_each(|(to, from)| *to = from);
        bytes
    }

    fn plan_id(&self) -> PlanId {
        PlanId::new(self.works.clock.now(), self.random_bytes())
    }

    /// Folds what the log has of this source into the mirror, up to the head. Only while `writing` is held.
    async fn catch_up(&self) -> Result<Reached, RunError> {
        let Works { shelf, tail, append, .. } = &self.works;
        let mut reached = shelf.reached(append.log_id(), &self.source).await?;
        let filter = Filter { source: Some(self.source.to_string()), ..Filter::default() };
        loop {
            let (records, ended) = tail.page(reached.position, PAGE, &filter).await?;
            let last = records.len() < PAGE;
            if ended > reached.position {
                let mut facts = Facts::new();
                records.iter().for_each(|record| fold(&mut facts, &mut reached, record));
                reached.position = ended;
                shelf.fold(append.log_id(), &self.source, facts, reached.clone()).await?;
            }
            if last {
                return Ok(reached);
            }
        }
    }

    /// Appends, in parts that the log takes at once; a log with too much to write is asked again.
    async fn append(&self, events: Vec<NewEvent>) -> Result<Option<Position>, RunError> {
        let mut newest = None;
        let mut events = events.into_iter();
        loop {
            let batch: Vec<NewEvent> = events.by_ref().take(PAGE).collect();
            if batch.is_empty() {
                return Ok(newest);
            }
            let mut tries = 0;
            let outcomes = loop {
                match self.works.append.append(batch.clone()).await {
                    Err(AppendError::Overloaded { .. }) if tries < PATIENCE => {
                        tries += 1;
                        tokio::time::sleep(PAUSE).await;
                    }
                    other => break other?,
                }
            };
            telemetry::facts_appended(&self.source, &batch, &outcomes);
            let positions = outcomes.iter().map(|outcome| match outcome {
                Outcome::Recorded(at) | Outcome::Duplicate(at) | Outcome::Conflict(at) => *at,
            });
            newest = newest.max(positions.max());
        }
    }

    fn run_event(&self, body: &Body, run: &str) -> NewEvent {
        let word = body.kind().trim_end_matches(".v1").rsplit('.').next().unwrap_or_default();
        NewEvent {
            key: EventKey { source: self.source.clone(), id: format!("{run}/{word}").into() },
            kind: body.kind().into(),
            subject: body.subject().into(),
            time: None,
            sequence: None,
            origin: None,
            correlation: Some(run.into()),
            traceparent: None,
            data: body.data().into(),
        }
    }

    /// The data of a run's event.
    fn run_of(&self, run: &str, reason: Option<String>) -> Option<Run> {
        let epoch = self.epoch.get().copied().unwrap_or_default();
        let scope = Some(self.pull.scope().digest().to_owned());
        Some(Run { run: run.parse().ok()?, scope, epoch, counts: BTreeMap::new(), digest: None, reason })
    }

    /// Opens the bracket of a run and gives the sheet for it. A run that was cut off before is closed first.
    pub async fn begin(&self, recorded: bool) -> Result<Sheet, RunError> {
        let turn = Arc::clone(&self.running).lock_owned().await;
        let _writing = self.writing.lock().await;
        let mut reached = self.catch_up().await?;
        self.epoch.get_or_init(|| reached.epoch + 1);
        let (now, withheld) = (self.works.clock.now(), self.withheld.told());
        let run = prefixed_id("run", now, self.random_bytes());
        if recorded {
            let mut events = Vec::new();
            if let Some(open) = &reached.open {
                let cut = self.run_of(open, Some("it was cut off before its end".to_owned()));
                events.extend(cut.map(|cut| self.run_event(&Body::SnapshotAborted(cut), open)));
            }
            events.extend(self.run_of(&run, None).map(|start| self.run_event(&Body::SnapshotStarted(start), &run)));
            self.append(events).await?;
            reached = self.catch_up().await?;
        }
        let known = self.works.shelf.all(&self.source).await?;
        let mut sheet = Sheet::against(known, now);
        sheet.bracket = Some(Bracket { run, recorded, since: reached.position, turn, withheld, anew: None });
        Ok(sheet)
    }

    /// A full read from its beginning to what came of it.
    pub async fn run(&self, intent: Intent) -> Result<Concluded, RunError> {
        let sheet = self.begin(!matches!(intent, Intent::Plan)).await?;
        let run = sheet.bracket.as_ref().filter(|bracket| bracket.recorded).map(|bracket| bracket.run.clone());
        let pull = Arc::clone(&self.pull);
        // A task of its own: what panics there costs this run and nothing else.
        let reading = Supervised(tokio::spawn(async move { pull.read(sheet).await }));
        let read = match tokio::time::timeout(LONGEST_READ, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) => Err(Failure::Partial("the connector failed: a defect of Rollcall".to_owned())),
            Err(_) => Err(Failure::Unreachable(format!("it was not read to its end in {LONGEST_READ:?}"))),
        };
        match read {
            Ok(sealed) => self.conclude(sealed, intent).await,
            Err(failure) => {
                self.failed(&failure, run).await?;
                Err(failure.into())
            }
        }
    }

    /// Closes a run that failed, and notes how the source is.
    pub async fn failed(&self, failure: &Failure, run: Option<String>) -> Result<(), RunError> {
        if let Some(run) = run {
            let _writing = self.writing.lock().await;
            let aborted = self.run_of(&run, Some(failure.to_string())).map(Body::SnapshotAborted);
            self.append(aborted.map(|body| self.run_event(&body, &run)).into_iter().collect()).await?;
        }
        let mut standing = self.standing().await?;
        standing.state = State::from(failure);
        standing.reason = Some(failure.to_string());
        standing.failures = standing.failures.saturating_add(1);
        self.note(standing).await?;
        Ok(())
    }

    pub async fn standing(&self) -> Result<Standing, RunError> {
        let known = self.works.shelf.standing(&self.source).await?;
        Ok(known.unwrap_or_else(|| Standing::new(self.source.clone(), self.works.clock.now())))
    }

    async fn note(&self, mut standing: Standing) -> Result<(), RunError> {
        standing.checked_at = self.works.clock.now();
        telemetry::source_checked(&standing);
        self.works.shelf.note(&standing).await?;
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

/// Takes one record of the source in.
fn fold(facts: &mut Facts, reached: &mut Reached, record: &Recorded) {
    let event = &record.event;
    match Body::sayer_of(&event.kind) {
        Some(sayer) if sayer.is_for_sources() => {
            if let Some(kind) = Body::type_named(&event.kind) {
                let known = Known { position: record.position, kind, data: (*event.data).into() };
                facts.insert((*event.subject).into(), known);
            }
        }
        Some(Sayer::Ingest) => match Body::parse(&event.kind, &event.data) {
            Ok(Body::SnapshotStarted(run)) => {
                reached.epoch = reached.epoch.max(run.epoch);
                reached.open = Some(run.run.to_string());
            }
            Ok(Body::SnapshotSealed(_) | Body::SnapshotAborted(_)) => reached.open = None,
            Ok(Body::SnapshotApplied(run)) => reached.scope = run.scope,
            _ => {}
        },
        _ => {}
    }
}
