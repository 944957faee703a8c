//! When anything happens: one task per source reads it on its schedule, after a failure with growing pauses, and when
//! somebody asks; another one follows it. `Runners` is how the rest of the process reaches them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rollcall_events::{SourceName, body::Author};
use tokio::sync::{mpsc, oneshot};

use crate::{
    connector::{Failure, Pull},
    reading::{
        engine::Engine,
        plan::{Plan, PlanId, PlanState},
        run::{EngineDeps, Intent, ReadOptions, RunError, RunOutcome},
        schedule::{backoff, jitter},
        stores::StoreError,
        supervised::Supervised,
        telemetry,
    },
};

/// How long a runner sleeps at most before it looks at the clock again: a machine may have been suspended.
const MAX_SLEEP: Duration = Duration::from_secs(30);

/// What somebody asks of a runner.
enum Request {
    Plan(oneshot::Sender<Result<Plan, RunnerError>>),
    Apply { plan: PlanId, confirmed: u64, by: Author, done: oneshot::Sender<Result<ApplyOutcome, RunnerError>> },
    Discard { plan: PlanId, by: Author, done: oneshot::Sender<Result<Plan, RunnerError>> },
}

/// What became of a confirmed plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// Exactly what was confirmed was removed, and the rest recorded.
    Done(RunOutcome),
    /// The source says something else by now: nothing was recorded, and this is the new plan.
    Differs(Plan),
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// No source of this name is read by Rollcall.
    #[error("no source of this name is read by Rollcall; sources that only post have no plans")]
    UnknownSource,
    /// No plan has this id.
    #[error("no plan has this id")]
    UnknownPlan,
    /// The plan is no longer open.
    #[error("the plan is {}", .0.as_str())]
    NotOpen(PlanState),
    /// The number that was confirmed is not the plan's.
    #[error("the plan removes {removals} facts, and {confirmed} were confirmed")]
    WrongNumber {
        /// The plan's.
        removals: u64,
        /// What was confirmed.
        confirmed: u64,
    },
    /// The source could not be read. Nothing was recorded.
    #[error("the source could not be read: {0}")]
    Source(Failure),
    /// The source is retired, for ever. It was not read.
    #[error("source {0} is retired, for ever: it is not read any more")]
    Retired(SourceName),
    /// The log or the store does not answer, or the process stops.
    #[error("{0}")]
    Unavailable(String),
}

impl From<RunError> for RunnerError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Source(failure) => Self::Source(failure),
            RunError::Retired(source) => Self::Retired(source),
            RunError::Storage(why) => Self::Unavailable(why),
        }
    }
}

impl From<StoreError> for RunnerError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// The ways to one source's runner.
struct Runner {
    requests: mpsc::Sender<Request>,
    engine: Arc<Engine>,
}

/// The runners of all sources that are read. Cheap to clone.
#[derive(Clone)]
pub struct Runners {
    all: Arc<BTreeMap<SourceName, Runner>>,
    deps: EngineDeps,
}

/// The tasks behind [`Runners`]. Dropped, they end; what they were at is found again by the next start.
pub struct RunnerTasks(Vec<Supervised<()>>);

impl RunnerTasks {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Runners {
    /// Starts a runner for each source. Needs a running tokio.
    #[must_use]
    pub fn start(deps: EngineDeps, sources: Vec<(SourceName, Arc<dyn Pull>, ReadOptions)>) -> (Self, RunnerTasks) {
        let (mut all, mut tasks) = (BTreeMap::new(), Vec::new());
        for (source, pull, options) in sources {
            let (requests, receiver) = mpsc::channel(16);
            let engine = Arc::new(Engine::new(source.clone(), pull, deps.clone(), options));
            if engine.pull.follows() {
                tasks.push(Supervised(tokio::spawn(follow(Arc::clone(&engine)))));
            }
            tasks.push(Supervised(tokio::spawn(read(Arc::clone(&engine), receiver))));
            all.insert(source, Runner { requests, engine });
        }
        (Self { all: Arc::new(all), deps }, RunnerTasks(tasks))
    }

    /// Whether Rollcall reads a source.
    #[must_use]
    pub fn reads(&self, source: &str) -> bool {
        self.all.keys().any(|known| known.as_str() == source)
    }

    async fn request<T>(
        &self,
        source: &SourceName,
        request: impl FnOnce(oneshot::Sender<Result<T, RunnerError>>) -> Request,
    ) -> Result<T, RunnerError> {
        let stopping = || RunnerError::Unavailable("the runner of this source has ended".to_owned());
        let runner = self.all.get(source).ok_or(RunnerError::UnknownSource)?;
        let (sender, done) = oneshot::channel();
        runner.requests.send(request(sender)).await.map_err(|_| stopping())?;
        done.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Reads a source and keeps a plan of what recording it would append. Records nothing.
    ///
    /// # Errors
    /// As [`RunnerError`].
    pub async fn plan(&self, source: &SourceName) -> Result<Plan, RunnerError> {
        self.request(source, Request::Plan).await
    }

    /// Reads the source of an open plan again and records what differs, if the removals are the plan's and as many as
    /// `by` confirmed.
    ///
    /// # Errors
    /// As [`RunnerError`].
    pub async fn apply(&self, id: &PlanId, confirmed: u64, by: Author) -> Result<ApplyOutcome, RunnerError> {
        let source = confirmed_plan(&self.deps, id, confirmed).await?.source;
        self.request(&source, |done| Request::Apply { plan: id.clone(), confirmed, by, done }).await
    }

    /// Puts an open plan aside. What it would have removed stands, and the next read of the source finds it again.
    ///
    /// # Errors
    /// As [`RunnerError`].
    pub async fn discard(&self, id: &PlanId, by: Author) -> Result<Plan, RunnerError> {
        let source = open(&self.deps, id).await?.source;
        self.request(&source, |done| Request::Discard { plan: id.clone(), by, done }).await
    }

    /// Has a source read soon, once however often that is asked for. For whoever knows that something happened there and
    /// not what; a delivery says what.
    pub fn hint(&self, source: &SourceName) {
        if let Some(runner) = self.all.get(source) {
            runner.engine.read_requested.notify_one();
        }
    }
}

/// A plan that is open. Asked before a request waits for its turn, and again when it has it.
async fn open(deps: &EngineDeps, id: &PlanId) -> Result<Plan, RunnerError> {
    let plan = deps.store.plan(id).await?.ok_or(RunnerError::UnknownPlan)?;
    match plan.state {
        PlanState::Open => Ok(plan),
        state => Err(RunnerError::NotOpen(state)),
    }
}

/// A plan that is open and removes as much as was confirmed.
async fn confirmed_plan(deps: &EngineDeps, id: &PlanId, confirmed: u64) -> Result<Plan, RunnerError> {
    match open(deps, id).await? {
        plan if plan.removals == confirmed => Ok(plan),
        Plan { removals, .. } => Err(RunnerError::WrongNumber { removals, confirmed }),
    }
}

/// What a request came to for the schedule.
enum Attempt {
    /// The source was not read, or only to be shown.
    NotCounted,
    /// It was read, and what it said is recorded or held.
    Succeeded,
    /// It could not be.
    Failed(RunError),
}

impl Attempt {
    fn of<T>(run: &Result<T, RunError>, well: Self) -> Self {
        run.as_ref().map_or_else(|error| Self::Failed(error.clone()), |_| well)
    }
}

/// Carries out a request and answers it.
async fn carry_out(engine: &Engine, request: Request) -> Attempt {
    // Whoever asked may have gone; what was asked for is done all the same.
    match request {
        Request::Plan(done) => {
            let planned = engine.run(Intent::Plan).await;
            let attempt = Attempt::of(&planned, Attempt::NotCounted);
            drop(done.send(match planned {
                Ok(RunOutcome::Planned(plan)) => Ok(plan),
                Ok(_) => Err(RunnerError::Unavailable("the read was not planned: a defect of Rollcall".to_owned())),
                Err(error) => Err(error.into()),
            }));
            attempt
        }
        Request::Apply { plan, confirmed, by, done } => {
            let plan = match confirmed_plan(&engine.deps, &plan, confirmed).await {
                Ok(plan) => plan,
                Err(error) => {
                    drop(done.send(Err(error)));
                    return Attempt::NotCounted;
                }
            };
            let applied = engine.run(Intent::Apply(Box::new(plan), by)).await;
            let attempt = Attempt::of(&applied, Attempt::Succeeded);
            drop(done.send(match applied {
                Ok(RunOutcome::Differs(plan)) => Ok(ApplyOutcome::Differs(plan)),
                Ok(concluded) => Ok(ApplyOutcome::Done(concluded)),
                Err(error) => Err(error.into()),
            }));
            attempt
        }
        Request::Discard { plan, by, done } => {
            let discarded = match open(&engine.deps, &plan).await {
                Ok(plan) => engine.discard(plan, by).await.map_err(Into::into),
                Err(error) => Err(error),
            };
            drop(done.send(discarded));
            Attempt::NotCounted
        }
    }
}

/// Reads a source on its schedule and on demand, for ever.
async fn read(engine: Arc<Engine>, mut requests: mpsc::Receiver<Request>) {
    let EngineDeps { clock, random, .. } = engine.deps.clone();
    let mut failures = 0;
    // A follower begins with a read of its own.
    let mut due = if engine.pull.follows() { None } else { Some(clock.now()) };
    loop {
        let now = clock.now();
        let at = *due.get_or_insert_with(|| next(&engine, now, failures, random()));
        let wait = (at - now).to_std().unwrap_or_default();
        let request = if wait.is_zero() {
            None
        } else {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => Some(request),
                    None => return,
                },
                () = engine.read_requested.notified() => None,
                () = tokio::time::sleep(wait.min(MAX_SLEEP)) => continue,
            }
        };
        let attempt = match request {
            Some(request) => carry_out(&engine, request).await,
            None => Attempt::of(&engine.run(Intent::Record).await, Attempt::Succeeded),
        };
        let mut pause = None;
        match attempt {
            // Whoever asks often would else put the next read off for ever.
            Attempt::NotCounted => continue,
            Attempt::Succeeded => failures = 0,
            // Its state says so; there is nothing to try again.
            Attempt::Failed(RunError::Retired(_)) => failures = 0,
            Attempt::Failed(error) => {
                telemetry::run_failed(&engine.source, &error);
                failures += 1;
                if let Err(error) = engine.revoke_if_due().await {
                    telemetry::run_failed(&engine.source, &error);
                }
                if let RunError::Source(Failure::Blind { retry_after, .. }) = error {
                    pause = retry_after;
                }
            }
        }
        let now = clock.now();
        let next = next(&engine, now, failures, random());
        let asked = pause.and_then(|pause| chrono::Duration::from_std(pause).ok()).map(|pause| now + pause);
        due = Some(asked.map_or(next, |asked| asked.max(next)));
    }
}

/// When the source is read next: on its schedule, sooner after a failure.
fn next(
    engine: &Engine,
    now: chrono::DateTime<chrono::Utc>,
    failures: u32,
    random: u64,
) -> chrono::DateTime<chrono::Utc> {
    let far = now + chrono::Duration::days(3650);
    let later = |pause: Duration| chrono::Duration::from_std(pause).unwrap_or_default();
    let scheduled = engine.options.schedule.next(now).unwrap_or(far) + later(jitter(engine.options.jitter, random));
    match failures {
        0 => scheduled,
        failures => scheduled.min(now + later(backoff(failures, random))),
    }
}

/// Follows a source, again and again.
async fn follow(engine: Arc<Engine>) {
    let mut failures: u32 = 0;
    loop {
        if let Err(RunError::Retired(_)) = engine.check_retired().await {
            return;
        }
        let before = engine.deps.clock.now();
        let failure = follow_once(&engine).await;
        // It ended because the source is no more.
        if let Err(RunError::Retired(_)) = engine.check_retired().await {
            return;
        }
        if let Err(error) = engine.record_failure(&failure, None).await {
            telemetry::run_failed(&engine.source, &error);
        }
        telemetry::run_failed(&engine.source, &RunError::Source(failure.clone()));
        if let Err(error) = engine.revoke_if_due().await {
            telemetry::run_failed(&engine.source, &error);
        }
        // One that lasted for a while begins anew with a short pause.
        let lasted = (engine.deps.clock.now() - before).to_std().unwrap_or_default();
        failures = if lasted > Duration::from_secs(60) { 1 } else { failures.saturating_add(1) };
        let mut pause = backoff(failures, (engine.deps.random)());
        if let Failure::Blind { retry_after: Some(asked), .. } = &failure {
            pause = pause.max(*asked);
        }
        tokio::time::sleep(pause).await;
    }
}

async fn follow_once(engine: &Arc<Engine>) -> Failure {
    let (pull, sink) = (Arc::clone(&engine.pull), engine.change_sink());
    let following = Supervised(tokio::spawn(async move { pull.follow(sink).await }));
    following.await.unwrap_or_else(|_| Failure::Partial("the connector failed: a defect of Rollcall".to_owned()))
}
