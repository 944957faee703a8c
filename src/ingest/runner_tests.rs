//! Runners as the rest of the process sees them: they read at the start, and carry out what is asked of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_eventlog::{Filter, Tail, memory::MemoryLog};
use rollcall_events::{Clock, LogId, Position, SourceName};

use crate::{
    Applied, Concluded, Options, OrderError, PlanState, Runners, Running, State, Works,
    memory::{MemoryShelf, MemorySource, person},
    pull::{Anew, Cursor, Failure, Kept, News, Notes, Pull, Scope, Sealed, Sheet, Told},
    stores::Records,
};

struct StoppedClock;
impl Clock for StoppedClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600, 0).unwrap()
    }
}

fn corp() -> SourceName {
    "corp".parse().unwrap()
}

fn start(pull: Arc<dyn Pull>, log: &MemoryLog, shelf: &MemoryShelf) -> (Runners, Running) {
    let random = AtomicU64::new(1);
    let works = Works {
        append: Arc::new(log.clone()),
        tail: Arc::new(log.clone()),
        shelf: Arc::new(shelf.clone()),
        clock: Arc::new(StoppedClock),
        random: Arc::new(move || random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)),
    };
    let options = Options {
        schedule: "@yearly".parse().unwrap(),
        jitter: Duration::ZERO,
        first_run_waits: false,
        brake: true,
        revoke_after: None,
    };
    Runners::start(works, vec![(corp(), pull, options)])
}

fn world() -> (MemorySource, MemoryLog, MemoryShelf) {
    (MemorySource::default(), MemoryLog::new(LogId([1; 8]), Arc::new(StoppedClock)), MemoryShelf::default())
}

/// Waits until the log has an event of this type.
async fn recorded(log: &MemoryLog, kind: &str) {
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
async fn a_runner_reads_at_its_start_and_carries_out_orders() {
    let (source, log, shelf) = world();
    (0..30).for_each(|n| source.put(person(&format!("p{n}"), true).unwrap()));
    let (runners, _running) = start(Arc::new(source.clone()), &log, &shelf);
    recorded(&log, "snapshot.applied").await;

    (0..20).for_each(|n| source.take(&format!("person/p{n}")));
    let plan = runners.plan(&corp()).await.unwrap();
    assert_eq!((plan.removals, plan.facts), (20, 30));
    assert!(plan.reason.contains("20 of its 30 facts"), "{}", plan.reason);
    let wrong = runners.apply(&plan.id, 19).await.unwrap_err();
    assert!(matches!(wrong, OrderError::WrongNumber { removals: 20, confirmed: 19 }), "{wrong}");
    let applied = runners.apply(&plan.id, 20).await.unwrap();
    assert!(matches!(applied, Applied::Done(Concluded::InForce { .. })), "{applied:?}");
    let again = runners.apply(&plan.id, 20).await.unwrap_err();
    assert!(matches!(again, OrderError::NotOpen(PlanState::Applied)), "{again}");

    source.take("person/p29");
    let plan = runners.plan(&corp()).await.unwrap();
    assert_eq!(runners.discard(&plan.id).await.unwrap().state, PlanState::Discarded);
    recorded(&log, "snapshot.discarded").await;
    assert!(matches!(runners.plan(&"other".parse().unwrap()).await, Err(OrderError::UnknownSource)));
    runners.hint(&corp());
    recorded(&log, "person.removed").await;
}

#[tokio::test]
async fn a_source_that_cannot_be_read_answers_an_order_with_its_reason() {
    let (source, log, shelf) = world();
    source.fail(Some(crate::memory::Fault::After(0, Failure::Unauthorised("rc 49".into()))));
    let (runners, _running) = start(Arc::new(source), &log, &shelf);
    let error = runners.plan(&corp()).await.unwrap_err();
    assert!(matches!(&error, OrderError::Source(Failure::Unauthorised(_))), "{error}");
    assert_eq!(shelf.standing(&corp()).await.unwrap().unwrap().state, State::Unauthorised);
}

/// A source that is followed: refreshes, tells one thing, keeps a cursor, then breaks; the second time it goes on.
struct Followed {
    source: MemorySource,
    recalled: tokio::sync::mpsc::UnboundedSender<Result<Kept, Anew>>,
}

#[async_trait]
impl Pull for Followed {
    fn scope(&self) -> Scope {
        self.source.scope()
    }
    async fn read(&self, sheet: Sheet) -> Result<Sealed, Failure> {
        self.source.read(sheet).await
    }
    fn follows(&self) -> bool {
        true
    }
    async fn follow(&self, news: News) -> Failure {
        let went = async {
            let recalled = news.recall().await?;
            self.recalled.send(recalled.clone()).unwrap();
            if let Err(anew) = recalled {
                news.sealed(self.source.read(news.sheet(anew).await?).await?).await?;
            }
            news.tell(vec![Told::Stated(person("told", true).unwrap().into())]).await?;
            news.keep(Cursor(b"one".to_vec()), || Notes::All(vec![("key".into(), b"note".to_vec())])).await?;
            Err::<(), _>(Failure::Unreachable("it broke".into()))
        };
        went.await.unwrap_err()
    }
}

#[tokio::test]
async fn a_follower_goes_on_from_the_cursor_and_the_notes_that_were_kept() {
    let (source, log, shelf) = world();
    source.put(person("ada", true).unwrap());
    let (recalled, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let (_runners, _running) = start(Arc::new(Followed { source, recalled }), &log, &shelf);
    let mut next = async || tokio::time::timeout(Duration::from_secs(20), seen.recv()).await.unwrap().unwrap();
    let kept =
        Kept { cursor: Cursor(b"one".to_vec()), notes: vec![("key".into(), b"note".to_vec())], later: Vec::new() };
    assert_eq!((next().await, next().await), (Err(Anew::First), Ok(kept)));
    let standing = shelf.standing(&corp()).await.unwrap().unwrap();
    assert_eq!(standing.whole.unwrap().why, "first start");
    let (records, _) = log.page(Position(0), 100, &Filter::default()).await.unwrap();
    let people = records.iter().filter(|record| record.event.subject.starts_with("person/"));
    assert_eq!(people.count(), 2, "what is told again is no new fact");
}
