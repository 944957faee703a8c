//! Whoever folds waits for no check, no rebuild and no SQL side: an event that is appended meanwhile is in the next
//! decision.

use std::{
    future::Future,
    sync::mpsc::{Sender, channel},
};

use rollcall_eventlog::{Append, Log};
use rollcall_events::{Clock, Position};
use tokio::{runtime::Builder, task::JoinHandle};

use super::{
    kit::{Dir, TestClock},
    projector_tests::{Running, TIMEOUT, log, options, product, small_world},
};
use crate::{Compared, Handle, RebuildError};

/// Runs with one thread for whatever takes long.
pub(crate) fn run(test: impl Future<Output = ()>) {
    Builder::new_multi_thread().worker_threads(2).max_blocking_threads(1).enable_all().build().unwrap().block_on(test);
}

/// Keeps that thread busy until the sender is dropped: whatever takes long has begun and does not end.
pub(crate) fn hold_up() -> Sender<()> {
    let (sender, receiver) = channel();
    tokio::task::spawn_blocking(move || receiver.recv().is_err());
    sender
}

type Work = JoinHandle<Result<Compared, RebuildError>>;

fn check(handle: &Handle) -> Work {
    let handle = handle.clone();
    tokio::spawn(async move { handle.check().await })
}

fn rebuild(handle: &Handle) -> Work {
    let handle = handle.clone();
    tokio::spawn(async move { handle.rebuild().await })
}

/// A world that is large enough for a second fold to be seen at it.
async fn start(dir: &Dir, log: &Log) -> (Running, Position) {
    log.append(small_world().into_iter().chain((1..200).map(product)).collect()).await.unwrap();
    let running = Running::start(dir, log, options()).await;
    let head = running.settled().await;
    (running, head)
}

/// That events are applied one by one while such work, which has folded up to `head`, goes on to where it cannot go on.
async fn assert_events_are_applied(running: &Running, log: &Log, work: &Work, head: Position) {
    let mut progress = running.handle.progress();
    progress.wait_for(|now| now.is_some_and(|now| now.position >= head)).await.unwrap();
    for n in 1..300 {
        log.append(vec![product(1_000 + n)]).await.unwrap();
        assert!(running.handle.wait_for(Position(head.0 + n), TIMEOUT).await, "the fold waits, event {n}");
    }
    assert!(!work.is_finished());
}

async fn assert_same(running: Running, work: Work) {
    let compared = work.await.unwrap().unwrap();
    assert!(compared.same() && compared.sql.is_some(), "{compared:?}");
    running.assert_views_agree().await;
    running.stop().await;
}

/// While what it compares is looked through.
async fn compare(work: fn(&Handle) -> Work) {
    let (dir, log) = (Dir::new(), log());
    let (running, head) = start(&dir, &log).await;
    let busy = hold_up();
    let work = work(&running.handle);
    assert_events_are_applied(&running, &log, &work, head).await;
    drop(busy);
    assert_same(running, work).await;
}

/// While a batch is on its way to the SQL side.
async fn wait_for_a_batch(work: fn(&Handle) -> Work) {
    let (dir, log) = (Dir::new(), log());
    let (running, head) = start(&dir, &log).await;
    let batch = running.handle.shared.read_position.lock().await;
    log.append(vec![product(1_000)]).await.unwrap();
    let head = Position(head.0 + 1);
    assert!(running.handle.wait_for(head, TIMEOUT).await);
    let work = work(&running.handle);
    assert_events_are_applied(&running, &log, &work, head).await;
    drop(batch);
    assert_same(running, work).await;
}

#[test]
fn events_during_a_check_are_applied_at_once() {
    run(compare(check));
}

#[test]
fn events_during_a_rebuild_are_applied_at_once() {
    run(compare(rebuild));
}

#[test]
fn a_check_that_waits_for_the_sql_side_holds_nobody_up() {
    run(wait_for_a_batch(check));
}

#[test]
fn a_rebuild_that_waits_for_the_sql_side_holds_nobody_up() {
    run(wait_for_a_batch(rebuild));
}

#[test]
fn a_rebuild_comes_to_its_end_when_whoever_asked_is_gone() {
    run(async {
        let (dir, log) = (Dir::new(), log());
        let (running, head) = start(&dir, &log).await;
        let busy = hold_up();
        let mut progress = running.handle.progress();
        let work = rebuild(&running.handle);
        progress.wait_for(|now| now.is_some_and(|now| now.position >= head)).await.unwrap();
        work.abort();
        assert!(work.await.unwrap_err().is_cancelled());
        drop(busy);
        progress.wait_for(Option::is_none).await.unwrap();
        running.assert_views_agree().await;
        let rebuilt = running.handle.status(TestClock::new().now()).rebuilt;
        assert!(rebuilt.is_some_and(|rebuilt| rebuilt.same() && rebuilt.swapped), "{rebuilt:?}");
        running.stop().await;
    });
}
