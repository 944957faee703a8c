//! A directory source in its engine: the real runner and connector over a log and stores in memory. Started, dropped and
//! started again like a process, without being one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use rollcall_eventlog::{Filter, Log, Tail};
use rollcall_events::{Body, Clock, LogId, Position, Recorded, SourceName};
use rollcall_ingest::{
    EngineDeps, ReadOptions, RunnerTasks, Runners, SourceRecords, SourceStatus,
    testkit::{MemoryProjects, MemorySourceStore},
};
use rollcall_ldap::{Config, Directory};
use tokio::runtime::{Builder, Runtime};

use super::wait_for;

/// The machine's clock.
pub struct Now;

impl Clock for Now {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

pub struct Corp {
    pub log: Log,
    pub store: MemorySourceStore,
    pub config: Config,
    pub options: ReadOptions,
    runtime: Runtime,
    random: Arc<AtomicU64>,
    runs: Option<(Runners, RunnerTasks)>,
}

/// The source's name.
pub fn name() -> SourceName {
    "corp".parse().unwrap()
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

impl Corp {
    /// Not started yet. It is read when it starts, when somebody wants that, and after failures with short pauses.
    pub fn new(config: Config) -> Self {
        let options = ReadOptions {
            schedule: "@yearly".parse().unwrap(),
            jitter: Duration::ZERO,
            first_run_waits: false,
            guard: true,
            revoke_after: None,
        };
        Self {
            log: Log::in_memory(LogId([4; 8]), Arc::new(Now)),
            store: MemorySourceStore::default(),
            config,
            options,
            runtime: runtime(),
            random: Arc::default(),
            runs: None,
        }
    }

    pub fn start(&mut self) {
        let random = Arc::clone(&self.random);
        let deps = EngineDeps {
            append: Arc::new(self.log.clone()),
            tail: Arc::new(self.log.clone()),
            store: Arc::new(self.store.clone()),
            consequences: Arc::new(MemoryProjects::default()),
            clock: Arc::new(Now),
            // Pauses are a part of their most by this: 30 ms.
            random: Arc::new(move || 30_000_000 + random.fetch_add(1, Ordering::Relaxed)),
        };
        let directory = Directory::new(self.config.clone()).unwrap();
        let _inside = self.runtime.enter();
        self.runs = Some(Runners::start(deps, vec![(name(), Arc::new(directory), self.options.clone())]));
    }

    /// The process is gone, wherever it was.
    pub fn stop(&mut self) {
        self.runs = None;
        // Its threads with it: a task that is ended may still be in the middle of an append.
        std::mem::replace(&mut self.runtime, runtime()).shutdown_timeout(Duration::from_secs(60));
    }

    pub fn runners(&self) -> &Runners {
        &self.runs.as_ref().unwrap().0
    }

    /// Has the directory read soon.
    pub fn hint(&self) {
        self.runners().hint(&name());
    }

    pub fn block<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// What was recorded after a position.
    pub fn records(&self, after: Position) -> Vec<Recorded> {
        self.block(self.log.page(after, usize::MAX, &Filter::default())).unwrap().0
    }

    pub fn bodies(&self, after: Position) -> Vec<Body> {
        let body = |record: &Recorded| Body::parse(&record.event.kind, &record.event.data).unwrap();
        self.records(after).iter().map(body).collect()
    }

    pub fn head(&self) -> Position {
        self.records(Position(0)).last().map_or(Position(0), |record| record.position)
    }

    pub fn status(&self) -> Option<SourceStatus> {
        self.block(self.store.status(&name())).unwrap()
    }

    /// The subjects that stand, snapshots apart.
    pub fn stands(&self) -> BTreeSet<String> {
        let mut all: BTreeMap<String, bool> = BTreeMap::new();
        for body in self.bodies(Position(0)).iter().filter(|body| body.emitter().is_for_connectors()) {
            all.insert(body.subject(), !body.is_removal());
        }
        all.into_iter().filter(|(_, stands)| *stands).map(|(subject, _)| subject).collect()
    }

    /// How many facts ended after a position.
    pub fn removals(&self, after: Position) -> usize {
        self.bodies(after).iter().filter(|body| body.emitter().is_for_connectors() && body.is_removal()).count()
    }

    /// Has the directory read, and waits until that was done to its end by a read that began after now.
    pub fn read(&self) {
        let before = self.head();
        self.hint();
        wait_for("a whole read", || {
            let mut begun = BTreeSet::new();
            self.bodies(before).into_iter().find(|body| match body {
                Body::SnapshotStarted(run) => !begun.insert(run.run.clone()),
                Body::SnapshotSealed(run) => begun.contains(&run.run),
                _ => false,
            })
        });
    }
}
