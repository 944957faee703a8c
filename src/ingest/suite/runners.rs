//! Runners as the rest of the process sees them: they read at the start, and carry out what is asked of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rollcall_eventlog::{Filter, Log, Tail};
use rollcall_events::{
    LogId, Position,
    body::{Author, Principal},
};

use super::kit::{TestClock, corp, read_options};
use crate::{
    connector::{
        ChangeSink, Cursor, Failure, FullReadReason, Pull, ResumePoint, Scope, Snapshot, SnapshotBuilder, SourceChange,
        StateUpdate,
    },
    reading::{
        plan::PlanState,
        run::{EngineDeps, ReadOptions, RunOutcome},
        runner::{ApplyOutcome, RunnerError, RunnerTasks, Runners},
        status::SourceState,
        stores::SourceRecords,
    },
    testkit::{MemoryProjects, MemorySource, MemorySourceStore, person},
};

fn kim() -> Author {
    Author::of(&Principal::User("corp/kim".parse().unwrap()))
}

fn start(pull: Arc<dyn Pull>, log: &Log, store: &MemorySourceStore) -> (Runners, RunnerTasks) {
    start_with(pull, log, store, MemoryProjects::default())
}

fn start_with(
    pull: Arc<dyn Pull>,
    log: &Log,
    store: &MemorySourceStore,
    projects: MemoryProjects,
) -> (Runners, RunnerTasks) {
    let random = AtomicU64::new(1);
    let deps = EngineDeps {
        append: Arc::new(log.clone()),
        tail: Arc::new(log.clone()),
        store: Arc::new(store.clone()),
        consequences: Arc::new(projects),
        clock: Arc::new(TestClock::default()),
        random: Arc::new(move || random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)),
    };
    let options = ReadOptions { schedule: "@yearly".parse().unwrap(), ..read_options() };
    Runners::start(deps, vec![(corp(), pull, options)])
}

fn world() -> (MemorySource, Log, MemorySourceStore) {
    (
        MemorySource::default(),
        Log::in_memory(LogId([1; 8]), Arc::new(TestClock::default())),
        MemorySourceStore::default(),
    )
}

/// Waits until the log has an event of this type.
async fn recorded(log: &Log, kind: &str) {
    let filter = Filter { kind: Some(format!("rollcall.{kind}.v1")), ..Filter::default() };
    let mut head = Tail::head(log);
    let wait = async {
        while log.page(Position(0), 1, &filter).await.unwrap().0.is_empty() {
            head.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("no {kind}"));
}

#[tokio::test]
async fn a_retired_source_is_read_no_more_and_its_state_says_why() {
    let (source, log, store) = world();
    source.put(person("ada", true).unwrap());
    let projects = MemoryProjects::default();
    let (runners, _running) = start_with(Arc::new(source.clone()), &log, &store, projects.clone());
    recorded(&log, "snapshot.applied").await;
    projects.retire();
    source.put(person("late", true).unwrap());
    let before = log.newest().position;
    let told = runners.plan(&corp()).await.unwrap_err();
    assert!(matches!(told, RunnerError::Retired(_)) && told.to_string().contains("retired, for ever"), "{told}");
    let status = store.status(&corp()).await.unwrap().unwrap();
    assert_eq!((status.state, status.failures), (SourceState::Retired, 0));
    assert!(status.reason.unwrap().contains("not read any more"));
    assert_eq!(log.newest().position, before, "nothing of it is in the log");
}

#[tokio::test]
async fn a_runner_reads_at_its_start_and_carries_out_requests() {
    let (source, log, store) = world();
    (0..30).for_each(|n| source.put(person(&format!("p{n}"), true).unwrap()));
    let (runners, _running) = start(Arc::new(source.clone()), &log, &store);
    recorded(&log, "snapshot.applied").await;

    (0..20).for_each(|n| source.take(&format!("person/p{n}")));
    let plan = runners.plan(&corp()).await.unwrap();
    assert_eq!((plan.removals, plan.facts), (20, 30));
    assert!(plan.reason.contains("20 of its 30 facts"), "{}", plan.reason);
    let wrong = runners.apply(&plan.id, 19, kim()).await.unwrap_err();
    assert!(matches!(wrong, RunnerError::WrongNumber { removals: 20, confirmed: 19 }), "{wrong}");
    let applied = runners.apply(&plan.id, 20, kim()).await.unwrap();
    assert!(matches!(applied, ApplyOutcome::Done(RunOutcome::UpToDate { .. })), "{applied:?}");
    let again = runners.apply(&plan.id, 20, kim()).await.unwrap_err();
    assert!(matches!(again, RunnerError::NotOpen(PlanState::Applied)), "{again}");

    let kept = store.plan(&plan.id).await.unwrap().unwrap();
    assert_eq!(kept.closed.unwrap().by, Some(kim()));

    source.take("person/p29");
    let plan = runners.plan(&corp()).await.unwrap();
    let discarded = runners.discard(&plan.id, kim()).await.unwrap();
    assert_eq!((discarded.state, discarded.closed.unwrap().by), (PlanState::Discarded, Some(kim())));
    recorded(&log, "snapshot.discarded").await;
    let (records, _) = log.page(Position(0), 1000, &Filter::default()).await.unwrap();
    for (kind, reason) in
        [("applied", "was confirmed by user:corp/kim"), ("discarded", "user:corp/kim decided against it")]
    {
        let said = records.iter().rfind(|record| record.event.kind.contains(kind)).unwrap();
        assert!(said.event.data.contains(reason), "{}", said.event.data);
    }
    assert!(matches!(runners.plan(&"other".parse().unwrap()).await, Err(RunnerError::UnknownSource)));
}

#[tokio::test]
async fn a_source_that_cannot_be_read_answers_an_order_with_its_reason() {
    let (source, log, store) = world();
    source.fail(Some(crate::testkit::Fault::After(0, Failure::Unauthorised("rc 49".into()))));
    let (runners, _running) = start(Arc::new(source), &log, &store);
    let error = runners.plan(&corp()).await.unwrap_err();
    assert!(matches!(&error, RunnerError::Source(Failure::Unauthorised(_))), "{error}");
    assert_eq!(store.status(&corp()).await.unwrap().unwrap().state, SourceState::Unauthorised);
}

/// A source that is followed: refreshes, tells one thing, keeps a cursor, then breaks; the second time it goes on.
struct Followed {
    source: MemorySource,
    recalled: tokio::sync::mpsc::UnboundedSender<Result<ResumePoint, FullReadReason>>,
}

#[async_trait]
impl Pull for Followed {
    fn scope(&self) -> Scope {
        self.source.scope()
    }
    async fn read(&self, builder: SnapshotBuilder) -> Result<Snapshot, Failure> {
        self.source.read(builder).await
    }
    fn follows(&self) -> bool {
        true
    }
    async fn follow(&self, sink: ChangeSink) -> Failure {
        let went = async {
            let recalled = sink.resume_point().await?;
            self.recalled.send(recalled.clone()).unwrap();
            if let Err(full_read_reason) = recalled {
                sink.apply_snapshot(self.source.read(sink.begin_snapshot(full_read_reason).await?).await?).await?;
            }
            sink.send(vec![SourceChange::Fact(person("told", true).unwrap().into())]).await?;
            sink.save(Cursor(b"one".to_vec()), || StateUpdate::Replace(vec![("key".into(), b"note".to_vec())])).await?;
            Err::<(), _>(Failure::Unreachable("it broke".into()))
        };
        went.await.unwrap_err()
    }
}

#[tokio::test]
async fn a_follower_goes_on_from_the_cursor_and_the_notes_that_were_kept() {
    let (source, log, store) = world();
    source.put(person("ada", true).unwrap());
    let (recalled, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let (_runners, _running) = start(Arc::new(Followed { source, recalled }), &log, &store);
    let mut next = async || tokio::time::timeout(Duration::from_secs(20), seen.recv()).await.unwrap().unwrap();
    let kept = ResumePoint {
        cursor: Cursor(b"one".to_vec()),
        entries: vec![("key".into(), b"note".to_vec())],
        later: Vec::new(),
    };
    assert_eq!((next().await, next().await), (Err(FullReadReason::FirstStart), Ok(kept)));
    let status = store.status(&corp()).await.unwrap().unwrap();
    assert_eq!(status.whole.unwrap().why, "first start");
    let (records, _) = log.page(Position(0), 100, &Filter::default()).await.unwrap();
    let people = records.iter().filter(|record| record.event.subject.starts_with("person/"));
    assert_eq!(people.count(), 2, "what is told again is no new fact");
}

/// A source whose reads wait for a word.
struct Slow {
    source: MemorySource,
    began: tokio::sync::mpsc::UnboundedSender<()>,
    words: tokio::sync::Semaphore,
}

#[async_trait]
impl Pull for Slow {
    fn scope(&self) -> Scope {
        self.source.scope()
    }
    async fn read(&self, builder: SnapshotBuilder) -> Result<Snapshot, Failure> {
        self.began.send(()).unwrap();
        self.words.acquire().await.unwrap().forget();
        self.source.read(builder).await
    }
}

#[tokio::test]
async fn of_two_who_confirm_one_plan_at_the_same_time_one_is_told_that_it_is_done() {
    let (source, log, store) = world();
    (0..3).for_each(|n| source.put(person(&format!("p{n}"), true).unwrap()));
    let (began, mut beginning) = tokio::sync::mpsc::unbounded_channel();
    let slow = Arc::new(Slow { source: source.clone(), began, words: tokio::sync::Semaphore::new(2) });
    let (runners, _running) = start(slow.clone(), &log, &store);
    recorded(&log, "snapshot.applied").await;
    source.take("person/p0");
    let plan = runners.plan(&corp()).await.unwrap();
    for _ in 0..2 {
        beginning.recv().await.unwrap();
    }
    let order = |by: Author| {
        let (runners, id) = (runners.clone(), plan.id.clone());
        tokio::spawn(async move { runners.apply(&id, 1, by).await })
    };
    let first = order(kim());
    beginning.recv().await.unwrap();
    let second = order(Author::operator());
    let (again, id) = (runners.clone(), plan.id.clone());
    let third = tokio::spawn(async move { again.discard(&id, Author::operator()).await });
    // Both look at the plan while it is open, and wait for their turn.
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    slow.words.add_permits(1);
    assert!(matches!(first.await.unwrap(), Ok(ApplyOutcome::Done(_))));
    for late in [second.await.unwrap().map(drop), third.await.unwrap().map(drop)] {
        assert!(matches!(late, Err(RunnerError::NotOpen(PlanState::Applied))), "{late:?}");
    }
    let kept = store.plan(&plan.id).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.closed.unwrap().by), (PlanState::Applied, Some(kim())));
    source.take("person/p1");
    slow.words.add_permits(1);
    (0..3).for_each(|_| runners.hint(&corp()));
    recorded(&log, "person.removed").await;
    let filter = Filter { kind: Some("rollcall.snapshot.discarded.v1".into()), ..Filter::default() };
    assert!(log.page(Position(0), 1, &filter).await.unwrap().0.is_empty());
}
