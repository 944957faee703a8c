//! What carries one source's facts to the log: begins and ends runs, one at a time, and notes how the source is.
//! What is compared, recorded, planned or followed is in the files beside this one; when anything happens is the runner's.

mod apply;
mod compare;
mod follow;
mod log;
mod lookup;
mod plans;
mod revoke;
mod withhold;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rollcall_events::{Body, Epoch, NewEvent, SourceName, body::Run, run_id, size::clipped_reason};
use tokio::sync::{Mutex, Notify};

use crate::{
    baseline::index::SharedIndex,
    connector::{Failure, Pull, RunContext, SnapshotBuilder},
    reading::{
        plan::PlanId,
        removal_window::RemovalWindow,
        run::{EngineDeps, Intent, ReadOptions, RunError, RunOutcome},
        status::{SourceState, SourceStatus},
        stores::BaselineState,
        supervised::Supervised,
        telemetry,
    },
};

/// How many records are folded at once, and how many events appended.
const PAGE: usize = 1000;
/// How often a log that has too much to write is asked again, and after which pause.
const MAX_APPEND_ATTEMPTS: u32 = 100;
const APPEND_RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long one full read may take at most. A connector has its own, shorter limits on everything that it waits for.
const READ_TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// The engine of one source. One per source and log: its epoch says whose a run is.
pub(crate) struct Engine {
    pub source: SourceName,
    pub pull: Arc<dyn Pull>,
    pub deps: EngineDeps,
    pub options: ReadOptions,
    /// Who this engine is in the log, once the log was asked for the last one.
    lease: std::sync::OnceLock<Lease>,
    /// The baseline in memory, once a read was compared with it.
    index: std::sync::Mutex<Option<SharedIndex>>,
    /// Held while something is compared and appended: what is compared must not move.
    writing: Mutex<()>,
    /// Held for a whole run: one at a time.
    running: Arc<Mutex<()>>,
    /// Somebody wants a full read soon.
    pub read_requested: Notify,
    /// What a follower told and what waits for that read.
    withheld: follow::WithheldChanges,
    /// What it told to be gone of late.
    removal_window: std::sync::Mutex<RemovalWindow>,
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
            read_requested: Notify::new(),
            withheld: follow::WithheldChanges::default(),
            removal_window: std::sync::Mutex::default(),
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

    pub fn run_event(&self, body: &Body, run: &str) -> NewEvent {
        let word = body.kind().trim_end_matches(".v1").rsplit('.').next().unwrap_or_default();
        let event = NewEvent::of(self.source.clone(), format!("{run}/{word}"), body);
        NewEvent { correlation: Some(run.into()), ..event }
    }

    /// The data of a run's event.
    fn run_of(&self, run: &str, reason: Option<String>) -> Option<Run> {
        let epoch = self.lease.get().map_or(0, |lease| lease.epoch.0);
        let scope = Some(self.pull.scope().digest());
        let reason = reason.map(clipped_reason);
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

    /// Begins a run and gives the builder for it.
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

    /// Refuses to go on where the source is retired, and notes that.
    pub async fn check_retired(&self) -> Result<(), RunError> {
        if !self.deps.consequences.is_retired(&self.source) {
            return Ok(());
        }
        let retired = RunError::Retired(self.source.clone());
        let _writing = self.writing.lock().await;
        let mut status = self.status().await?;
        if status.state != SourceState::Retired {
            status.state = SourceState::Retired;
            status.reason = Some(retired.to_string());
            status.failures = 0;
            self.save_status(status).await?;
        }
        Err(retired)
    }

    /// A full read from its beginning to what came of it.
    pub async fn run(&self, intent: Intent) -> Result<RunOutcome, RunError> {
        self.check_retired().await?;
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
            Ok(snapshot) => self.apply(snapshot, intent).await,
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
