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
    Body, Clock, Epoch, NewEvent, Position, Recorded, Sayer, SourceName,
    body::{Author, Run},
    run_id,
};
use tokio::sync::{Mutex, Notify};

use crate::{
    consequences::Consequences,
    ledger::{Book, Ledger},
    plan::{Plan, PlanId},
    pull::{Bracket, Failure, Known, Pull, Sheet},
    schedule::Cron,
    standing::{Standing, State},
    stores::{Facts, Mark, Marks, Reached, Shelf, StoreError},
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
    pub works: Works,
    pub options: Options,
    /// Who this engine is in the log, once the log was asked for the last one.
    lease: std::sync::OnceLock<Lease>,
    /// What the source said last, once a read was held against it.
    book: std::sync::Mutex<Option<Book>>,
    /// Held while something is compared and appended: what is compared must not move.
    writing: Mutex<()>,
    /// Held for a whole run: one at a time.
    running: Arc<Mutex<()>>,
    /// Somebody wants a full read soon.
    pub wanted: Notify,
    /// What a follower told and what waits for that read.
    withheld: desk::Withheld,
}

/// One engine's right to a source (DESIGN 13).
struct Lease {
    epoch: Epoch,
    /// The run that everything names which its follower is told.
    following: String,
}

impl Engine {
    pub fn new(source: SourceName, pull: Arc<dyn Pull>, works: Works, options: Options) -> Self {
        Self {
            source,
            pull,
            works,
            options,
            lease: std::sync::OnceLock::new(),
            book: std::sync::Mutex::default(),
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

    fn lease(&self, reached: &Reached) -> &Lease {
        self.lease.get_or_init(|| {
            let epoch = reached.epoch.next();
            Lease { epoch, following: run_id(epoch, self.works.clock.now(), self.random_bytes()) }
        })
    }

    fn plan_id(&self) -> PlanId {
        PlanId::new(self.works.clock.now(), self.random_bytes())
    }

    /// Folds what the log has of this source into the mirror, up to the head. Only while `writing` is held. An engine
    /// that is no longer the one stops here; what it has under way is refused by every fold of the log.
    async fn catch_up(&self) -> Result<Reached, RunError> {
        let mut reached = self.works.shelf.reached(self.works.append.log_id(), &self.source).await?;
        self.catch_up_from(&mut reached, &mut |_| ()).await?;
        Ok(reached)
    }

    /// The same from where that is, and shows each record.
    async fn catch_up_from(
        &self,
        reached: &mut Reached,
        show: &mut (dyn FnMut(&Recorded) + Send),
    ) -> Result<(), RunError> {
        let filter = self.own();
        loop {
            let (records, ended) = self.works.tail.page(reached.position, PAGE, &filter).await?;
            if ended <= reached.position {
                break;
            }
            let mut marks = Marks::new();
            for record in &records {
                fold(&mut marks, reached, record.position, &record.event);
                show(record);
            }
            let from = std::mem::replace(&mut reached.position, ended);
            self.advance(&marks, from, reached).await?;
        }
        match self.lease.get() {
            Some(own) if own.epoch < reached.epoch => {
                let (own, newest) = (own.epoch.0, reached.epoch.0);
                Err(RunError::Storage(format!(
                    "another runner of epoch {newest} reads the source; this one is of {own}"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Brings the mirror from a place to where `reached` is, and the book with it.
    async fn advance(&self, marks: &Marks, from: Position, reached: &Reached) -> Result<(), RunError> {
        self.works.shelf.fold(self.works.append.log_id(), &self.source, marks, reached).await?;
        let mut slot = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = slot.as_ref().is_some_and(|book| book.open().position() == from);
        match &*slot {
            Some(book) if follows => book.open().fold(marks, reached.position),
            // Not what the mirror holds: it is read anew when somebody needs it.
            _ => *slot = None,
        }
        Ok(())
    }

    /// What the source said last, up to where the mirror is. Only while `writing` is held.
    async fn book(&self, reached: &Reached) -> Result<Book, RunError> {
        if let Some(book) = self.open_book().filter(|book| book.open().position() == reached.position) {
            return Ok(book);
        }
        let mut ledger = Ledger::at(reached.position);
        self.works.shelf.each(&self.source, &mut |subject, mark| ledger.put(subject, mark)).await?;
        let book = Book::new(ledger);
        *self.book.lock().unwrap_or_else(PoisonError::into_inner) = Some(book.clone());
        Ok(book)
    }

    fn open_book(&self) -> Option<Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The facts at these places of the log, by subject.
    async fn facts(&self, positions: &[Position]) -> Result<Facts, RunError> {
        let mut facts = Facts::with_capacity(positions.len());
        for some in positions.chunks(PAGE) {
            facts.extend(self.works.tail.records(some).await?.iter().filter_map(fact));
        }
        Ok(facts)
    }

    /// What the source said last of these subjects.
    async fn last_said(&self, subjects: &[String]) -> Result<Facts, RunError> {
        let marks = self.works.shelf.some(&self.source, subjects, &[]).await?;
        self.facts(&marks.values().map(|mark| mark.position).collect::<Vec<_>>()).await
    }

    /// What the log has of this source.
    fn own(&self) -> Filter {
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
            match self.works.append.append(batch.to_vec()).await {
                Err(AppendError::Overloaded { .. }) if tries < PATIENCE => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
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
    async fn carry(
        &self,
        mut reached: Reached,
        mut events: impl Iterator<Item = NewEvent>,
        run: &str,
    ) -> Result<(Option<Position>, Vec<Arc<str>>), RunError> {
        let (mut newest, mut others) = (None, Vec::new());
        let mut written: Option<(Marks, Position, Reached)> = None;
        loop {
            let batch: Vec<NewEvent> = events.by_ref().take(PAGE).collect();
            let keep = async {
                match written.take() {
                    Some((marks, from, reached)) => self.advance(&marks, from, &reached).await,
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
            let from = reached.position;
            if positions.iter().map(|at| at.0).eq((from.0 + 1..).take(batch.len())) {
                let mut marks = Marks::new();
                positions.iter().zip(&batch).for_each(|(at, event)| fold(&mut marks, &mut reached, *at, event));
                reached.position = positions.last().copied().unwrap_or(from);
                written = Some((marks, from, reached.clone()));
                continue;
            }
            // Somebody else wrote in between, or not all of it is new.
            let mut other = |record: &Recorded| {
                if record.event.correlation.as_deref() != Some(run) {
                    others.push(Arc::clone(&record.event.subject));
                }
            };
            self.catch_up_from(&mut reached, &mut other).await?;
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
    fn opening(&self, reached: &Reached, run: &str) -> Vec<NewEvent> {
        let mut events = Vec::new();
        if let Some(open) = &reached.open {
            let cut = self.run_of(open, Some("it was cut off before its end".to_owned()));
            events.extend(cut.map(|cut| self.run_event(&Body::SnapshotAborted(cut), open)));
        }
        events.extend(self.run_of(run, None).map(|start| self.run_event(&Body::SnapshotStarted(start), run)));
        events
    }

    /// Opens the bracket of a run and gives the sheet for it.
    pub async fn begin(&self, recorded: bool) -> Result<Sheet, RunError> {
        let turn = Arc::clone(&self.running).lock_owned().await;
        let _writing = self.writing.lock().await;
        let mut reached = self.catch_up().await?;
        let (now, withheld) = (self.works.clock.now(), self.withheld.told());
        let run = run_id(self.lease(&reached).epoch, now, self.random_bytes());
        if recorded {
            self.append(self.opening(&reached, &run)).await?;
            reached = self.catch_up().await?;
        }
        let mut sheet = Sheet::against(self.book(&reached).await?, now);
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
        let _writing = self.writing.lock().await;
        if let Some(run) = run {
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

    /// Notes how the source is. Only while `writing` is held: reader and follower both read it, change it and write it.
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

/// A record as a fact of the source, by its subject.
fn fact(record: &Recorded) -> Option<(String, Known)> {
    let event = &record.event;
    let kind = Body::type_named(&event.kind).filter(|kind| is_fact(kind))?;
    Some((event.subject.to_string(), Known { position: record.position, kind, data: (*event.data).into() }))
}

fn is_fact(kind: &str) -> bool {
    Body::sayer_of(kind).is_some_and(Sayer::is_for_sources)
}

/// Takes one event of the source in. What the roster refuses as stale was never said here either.
fn fold(marks: &mut Marks, reached: &mut Reached, at: Position, event: &NewEvent) {
    if reached.epoch.admit(event).is_err() {
        return;
    }
    match Body::sayer_of(&event.kind) {
        Some(sayer) if sayer.is_for_sources() => {
            marks.insert((*event.subject).into(), Mark::of(at, &event.subject, &event.kind, &event.data));
        }
        Some(Sayer::Ingest) => match Body::parse(&event.kind, &event.data) {
            Ok(Body::SnapshotStarted(run)) => reached.open = Some(run.run.to_string()),
            Ok(Body::SnapshotSealed(_) | Body::SnapshotAborted(_)) => reached.open = None,
            Ok(Body::SnapshotApplied(run)) => reached.scope = run.scope,
            _ => {}
        },
        _ => {}
    }
}
