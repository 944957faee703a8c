//! Readers of the file besides the store's own, an operator's for one: they stop nobody, and are told of.

use std::time::Duration;

use rollcall_events::Position;
use rollcall_ingest::{Durability, Inbox, PartState};
use rollcall_sqlite::{Limits, WriteAhead};
use sqlx::{Connection, Executor, SqliteConnection};

use super::{
    SqliteOps,
    ops_tests::{id, large, store},
};
use crate::{ops::Ops, suite::kit::Dir};

/// Little is much.
fn small() -> Limits {
    let (look_again, wait) = (Duration::from_millis(20), Duration::from_millis(50));
    Limits { step: 64 << 10, most: 1 << 20, look_again, rest: Duration::ZERO, wait, ..Limits::USUAL }
}

/// Somebody who sees what there is now, and keeps it.
async fn reader_that_stays(dir: &Dir) -> SqliteConnection {
    let mut reader = SqliteConnection::connect(dir.join("ops.db").to_str().unwrap()).await.unwrap();
    reader.execute("BEGIN").await.unwrap();
    reader.execute("SELECT count(*) FROM delivery").await.unwrap();
    reader
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stays_is_told_of_until_it_is_gone() {
    let dir = Dir::new();
    let ops = SqliteOps::open_with(&dir, small()).await.unwrap();
    store(&ops, 1, PartState::Recorded(Position(1))).await;
    let reader = reader_that_stays(&dir).await;
    for n in 2..30 {
        ops.store(large(n), None, vec![], vec![], Durability::Synced).await.unwrap();
    }
    while ops.write_ahead().held.is_none() {
        tokio::task::yield_now().await;
    }
    assert!(ops.write_ahead().bytes > 1 << 20);
    reader.close().await.unwrap();
    while ops.write_ahead() != (WriteAhead { database: "ops.db", ..WriteAhead::default() }) {
        tokio::task::yield_now().await;
    }
    assert_eq!(std::fs::metadata(dir.join("ops.db-wal")).unwrap().len(), 0, "what it took is given back");
    ops.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_write_it_is_taken_up_again_while_a_reader_stays() {
    let dir = Dir::new();
    let ops = SqliteOps::open_with(&dir, small()).await.unwrap();
    store(&ops, 1, PartState::Recorded(Position(1))).await;
    let mut stray = SqliteConnection::connect(dir.join("ops.db").to_str().unwrap()).await.unwrap();
    stray.execute("CREATE TRIGGER no BEFORE INSERT ON delivery BEGIN SELECT RAISE(ABORT, 'no'); END").await.unwrap();
    let reader = reader_that_stays(&dir).await;
    ops.store(large(2), None, vec![], vec![], Durability::Synced).await.unwrap_err();
    stray.execute("DROP TRIGGER no").await.unwrap();
    ops.store(large(3), None, vec![], vec![], Durability::Synced).await.unwrap();
    let there = [ops.find(&id(1)).await.unwrap().is_some(), ops.find(&id(2)).await.unwrap().is_some()];
    assert_eq!(there, [true, false]);
    reader.close().await.unwrap();
    stray.close().await.unwrap();
    ops.close().await;
    let ops = dir.ops().await;
    assert!(ops.find(&id(3)).await.unwrap().is_some());
}
