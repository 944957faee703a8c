//! A newer version starts on what an earlier fold left: it answers at once by those facts, takes what comes, and folds the
//! log anew beside.

use rollcall_access::{FOLD_VERSION, FoldVersions};
use rollcall_eventlog::{Append, Log};
use rollcall_events::{Clock, NewEvent};

use super::{
    held::{hold_up, run},
    kit::{Dir, TestClock},
    projector_tests::{Running, TIMEOUT, log, open, options, roster_without_the_line, small_world},
    worlds::{self, event},
};
use crate::{Options, State, snapshot};

/// The version after this one, which reads what this one wrote.
const NEXT: FoldVersions = FoldVersions { current: FOLD_VERSION + 1, readable_since: FOLD_VERSION };

fn of(folds: FoldVersions) -> Options {
    Options { folds, ..options() }
}

/// A log of a world in which bob is a customer, and what this version left of it: facts by which he is none.
async fn left_behind(dir: &Dir) -> Log {
    let log = log();
    log.append(small_world()).await.unwrap();
    let running = Running::start(dir, &log, options()).await;
    running.settled().await;
    drop(running.handle.live().replace(roster_without_the_line().await));
    running.stop().await;
    log
}

fn suspended(who: &str) -> NewEvent {
    let data = format!(r#"{{"person":"{who}","account":"ACME","active":false}}"#);
    event("a", &format!("suspend {who}"), "person.upserted", &data, 99)
}

fn members(running: &Running) -> Vec<String> {
    let live = running.handle.live();
    let lines = worlds::roster_lines(&live.read(), TestClock::new().now());
    ["ada", "bob"].into_iter().filter(|name| lines.iter().any(|line| line.contains(name))).map(Into::into).collect()
}

#[test]
fn a_newer_fold_answers_by_the_older_facts_and_every_new_event_until_the_log_is_folded_anew() {
    run(async {
        let dir = Dir::new();
        let log = left_behind(&dir).await;
        let busy = hold_up();
        let running = Running::start(&dir, &log, of(NEXT)).await;
        running.handle.state().wait_for(|state| *state == State::Following).await.unwrap();
        assert_eq!(members(&running), ["ada"]);
        log.append(vec![suspended("ada")]).await.unwrap();
        let head = running.handle.shared.tail.head().borrow().position;
        assert!(running.handle.wait_for(head, TIMEOUT).await);
        assert_eq!(members(&running), Vec::<String>::new(), "what comes is taken at once");
        let status = running.handle.status(TestClock::new().now());
        assert_eq!((status.state, status.older_fold, status.roster), (State::Following, Some(FOLD_VERSION), head));
        drop(busy);
        running.assert_views_agree().await;
        assert_eq!(members(&running), ["bob"]);
        assert_eq!(running.handle.status(TestClock::new().now()).older_fold, None);
        assert!(running.handle.check().await.unwrap().same());
        running.stop().await;
        let (kept, version) = snapshot::load(&dir, log.log_id(), NEXT).unwrap();
        assert_eq!((kept.position(), version), (head, NEXT.current));
    });
}

#[test]
fn a_stop_while_the_log_is_folded_anew_loses_nothing() {
    run(async {
        let dir = Dir::new();
        let log = left_behind(&dir).await;
        let busy = hold_up();
        let running = Running::start(&dir, &log, of(NEXT)).await;
        running.handle.state().wait_for(|state| *state == State::Following).await.unwrap();
        log.append(vec![suspended("ada")]).await.unwrap();
        let stopping = tokio::spawn(running.stop());
        drop(busy);
        stopping.await.unwrap();
        let running = Running::start(&dir, &log, of(NEXT)).await;
        running.assert_views_agree().await;
        assert_eq!(
            (members(&running), running.handle.status(TestClock::new().now()).older_fold),
            (vec!["bob".into()], None)
        );
        running.stop().await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_that_the_newer_fold_does_not_understand_answer_nothing() {
    let dir = Dir::new();
    let log = left_behind(&dir).await;
    let unreadable = FoldVersions { readable_since: NEXT.current, ..NEXT };
    let (projector, handle) = open(&dir, &log, of(unreadable)).await.unwrap();
    assert_eq!((handle.live().read().position().0, handle.status(TestClock::new().now()).older_fold), (0, None));
    drop(projector);
    let running = Running::start(&dir, &log, of(unreadable)).await;
    running.assert_views_agree().await;
    assert_eq!(members(&running), ["ada", "bob"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn facts_of_a_later_fold_answer_nothing() {
    let dir = Dir::new();
    let log = left_behind(&dir).await;
    let running = Running::start(&dir, &log, of(NEXT)).await;
    running.assert_views_agree().await;
    running.stop().await;
    let (projector, handle) = open(&dir, &log, options()).await.unwrap();
    assert_eq!(handle.live().read().position().0, 0);
    drop(projector);
}
