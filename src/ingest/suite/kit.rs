//! The kit of these tests: a clock set by hand, a log that fails where a test wants it to, and one source in its engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_eventlog::{Append, AppendError, Filter, Log, Outcome, Tail};
use rollcall_events::{Body, Clock, Epoch, LogId, NewEvent, Position, Recorded, SourceName, body::Author};

use crate::{
    connector::{ChangeSink, Cursor, FullReadReason, Pull, SaveOutcome, StateUpdate},
    reading::{
        engine::Engine,
        plan::Plan,
        run::{EngineDeps, Intent, ReadOptions, RunError, RunOutcome},
        status::SourceState,
        stores::SourceRecords,
    },
    testkit::{MemoryProjects, MemorySource, MemorySourceStore},
};

#[derive(Default)]
pub(super) struct TestClock(pub AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600 + self.0.load(Ordering::Relaxed), 0).unwrap()
    }
}

/// A log that stops working after so many batches: the last one is recorded or not, its sender is told neither.
#[derive(Clone)]
pub(super) struct FailingLog {
    pub log: Log,
    pub left: Arc<AtomicU64>,
    pub takes_last: Arc<AtomicU64>,
    /// What others record just before the next batch of more than one.
    pub intruders: Arc<Mutex<Vec<NewEvent>>>,
}

#[async_trait]
impl Append for FailingLog {
    fn log_id(&self) -> LogId {
        Append::log_id(&self.log)
    }
    async fn append(&self, batch: Vec<NewEvent>) -> Result<Vec<Outcome>, AppendError> {
        if batch.len() > 1 {
            let intruders = std::mem::take(&mut *self.intruders.lock().unwrap());
            self.log.append(intruders).await?;
        }
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(AppendError::Unavailable("the process is gone".into()));
        }
        if left != u64::MAX {
            self.left.store(left - 1, Ordering::Relaxed);
        }
        if left == 1 {
            if self.takes_last.load(Ordering::Relaxed) == 1 {
                self.log.append(batch).await?;
            }
            return Err(AppendError::Unavailable("the process is gone".into()));
        }
        self.log.append(batch).await
    }
}

pub(super) struct World {
    pub source: MemorySource,
    pub log: FailingLog,
    pub store: MemorySourceStore,
    pub projects: MemoryProjects,
    pub clock: Arc<TestClock>,
    pub deps: EngineDeps,
    pub options: ReadOptions,
    pub engine: Arc<Engine>,
    /// Up to here the log was looked at.
    pub looked: Position,
}

pub(super) fn corp() -> SourceName {
    "corp".parse().unwrap()
}

pub(super) fn read_options() -> ReadOptions {
    ReadOptions {
        schedule: "@hourly".parse().unwrap(),
        jitter: Duration::ZERO,
        first_run_waits: false,
        guard: true,
        revoke_after: None,
    }
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(TestClock::default());
        let log = Log::in_memory(LogId([3; 8]), clock.clone());
        let log = FailingLog {
            log,
            left: Arc::new(AtomicU64::new(u64::MAX)),
            takes_last: Arc::default(),
            intruders: Arc::default(),
        };
        let random = AtomicU64::new(1);
        let (store, projects) = (MemorySourceStore::default(), MemoryProjects::default());
        let deps = EngineDeps {
            append: Arc::new(log.clone()),
            tail: Arc::new(log.log.clone()),
            store: Arc::new(store.clone()),
            consequences: Arc::new(projects.clone()),
            clock: clock.clone(),
            random: Arc::new(move || random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)),
        };
        let (source, options) = (MemorySource::default(), read_options());
        let engine = Arc::new(Engine::new(corp(), Arc::new(source.clone()), deps.clone(), options.clone()));
        Self { source, log, store, projects, clock, deps, options, engine, looked: Position(0) }
    }

    pub fn with(bodies: impl IntoIterator<Item = Option<Body>>) -> Self {
        let world = Self::new();
        bodies.into_iter().for_each(|body| world.source.put(body.unwrap()));
        world
    }

    /// The process starts anew.
    pub fn restart(&mut self) {
        self.restart_with(Arc::new(self.source.clone()));
    }

    pub fn restart_with(&mut self, pull: Arc<dyn Pull>) {
        self.log.left.store(u64::MAX, Ordering::Relaxed);
        self.engine = Arc::new(Engine::new(corp(), pull, self.deps.clone(), self.options.clone()));
    }

    pub async fn read(&self) -> Result<RunOutcome, RunError> {
        self.engine.run(Intent::Record).await
    }

    /// What was recorded since somebody looked last, short.
    pub async fn new_records(&mut self) -> Vec<String> {
        let records = self.records(self.looked).await;
        self.looked = records.last().map_or(self.looked, |record| record.position);
        let short = |record: &Recorded| {
            let kind = record.event.kind.trim_start_matches("rollcall.").trim_end_matches(".v1").to_owned();
            if kind.starts_with("snapshot") { kind } else { format!("{kind} {}", record.event.subject) }
        };
        records.iter().map(short).collect()
    }

    pub async fn records(&self, after: Position) -> Vec<Recorded> {
        self.log.log.page(after, usize::MAX, &Filter::default()).await.unwrap().0
    }

    /// What the log says that the source says.
    pub async fn present_facts(&self) -> BTreeSet<String> {
        let (mut facts, mut epoch) = (BTreeMap::<String, Body>::new(), Epoch::default());
        for record in self.records(Position(0)).await {
            if epoch.admit(&record.event).is_err() {
                continue;
            }
            let body = Body::parse(&record.event.kind, &record.event.data).unwrap();
            if body.emitter().is_for_connectors() {
                facts.insert(record.event.subject.to_string(), body);
            }
        }
        facts.values().filter(|body| !body.is_removal()).map(Body::data).collect()
    }

    pub fn states(&self) -> BTreeSet<String> {
        self.source.facts().iter().map(Body::data).collect()
    }

    /// Somebody confirms a plan.
    pub async fn apply(&self, plan: &Plan) -> Result<RunOutcome, RunError> {
        self.engine.run(Intent::Apply(Box::new(plan.clone()), Author::operator())).await
    }

    pub async fn state(&self) -> SourceState {
        self.engine.status().await.unwrap().state
    }

    pub async fn held(&self) -> Plan {
        self.store.held_plan(&corp()).await.unwrap().expect("a plan is held")
    }

    /// The event with which the next runner of the source begins.
    pub async fn newer_runner_event(&self) -> NewEvent {
        let mut newest = Epoch::default();
        for record in self.records(Position(0)).await {
            let _ = newest.admit(&record.event);
        }
        let data = format!(r#"{{"run":"rival","epoch":{}}}"#, newest.next().0);
        let begun = Body::parse("rollcall.snapshot.started.v1", &data).unwrap();
        NewEvent { data: data.into(), ..self.engine.run_event(&begun, &format!("rival{}", newest.0)) }
    }
}

pub(super) fn removed(concluded: &RunOutcome) -> u64 {
    match concluded {
        RunOutcome::UpToDate { recorded, .. } | RunOutcome::Held { recorded, .. } => recorded.removals,
        RunOutcome::Planned(_) | RunOutcome::Differs(_) => 0,
    }
}

pub(super) async fn save(sink: &ChangeSink, n: u8) -> SaveOutcome {
    sink.save(Cursor(vec![n]), || StateUpdate::Replace(Vec::new())).await.unwrap()
}

pub(super) async fn recalled(sink: &ChangeSink) -> Result<u8, FullReadReason> {
    sink.resume_point().await.unwrap().map(|kept| kept.cursor.0[0])
}
