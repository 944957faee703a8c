//! What only the embedded engine must do: one process, kept through everything, damage named.

use std::{path::PathBuf, sync::Arc};

use sqlx::{Connection, Executor, SqlSafeStr};

use super::*;
use crate::conformance::{TestClock, all, conformance, events};

/// A directory of one test, gone afterwards.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let path = std::env::temp_dir().join(format!("rollcall-log-{}", LogId(random)));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn quick() -> Options {
    Options { back_off: Duration::from_millis(20), patience: Duration::from_millis(200), ..Options::default() }
}

async fn open(dir: &Dir) -> Result<SqliteLog, OpenError> {
    SqliteLog::open(&dir.0, TestClock::new(), quick()).await
}

async fn make(clock: Arc<TestClock>) -> (SqliteLog, Dir) {
    let dir = Dir::new();
    (SqliteLog::open(&dir.0, clock, Options::default()).await.unwrap(), dir)
}
conformance!(make);

#[tokio::test]
async fn everything_is_kept_through_a_reopening() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    log.append(events(0..50)).await.unwrap();
    let (id, head, read) = (Tail::log_id(&log), log.newest(), all(&log, 50, 7).await);
    log.close().await;
    let error = log.append(events(50..51)).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error}");

    let log = open(&dir).await.unwrap();
    assert_eq!((Tail::log_id(&log), log.newest()), (id, head));
    assert_eq!(all(&log, 50, 7).await, read);
    assert!(log.append(events(0..50)).await.unwrap().iter().all(|o| matches!(o, Outcome::Duplicate(_))));
    assert_eq!(log.append(events(50..51)).await.unwrap(), [Outcome::Recorded(Position(51))]);
}

#[tokio::test]
async fn a_second_writer_is_refused_and_told_which_directory() {
    let dir = Dir::new();
    let log = open(&dir).await.unwrap();
    let Err(error) = open(&dir).await else { panic!("two writers") };
    assert!(matches!(&error, OpenError::InUse { dir: named } if *named == dir.0));
    assert!(error.to_string().contains(dir.0.to_str().unwrap()), "{error}");
    log.close().await;
    open(&dir).await.unwrap();
}

#[tokio::test]
async fn every_statement_prepares() {
    let dir = Dir::new();
    open(&dir).await.unwrap().close().await;
    let mut sql = read_only(&files::database(&dir.0), Duration::ZERO).connect().await.unwrap();
    for statement in record::STATEMENTS {
        sql.prepare(statement.into_sql_str()).await.unwrap();
    }
    sql.close().await.unwrap();
}
