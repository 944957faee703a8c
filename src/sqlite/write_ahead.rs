//! The write-ahead log of a database: how much is in it, how much of that stands in the database too, and who keeps the rest
//! from being moved. Asks and moves by a connection that it is handed; decides nothing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::SqliteConnection;

use crate::locks::{ProcessLock, locks_on};

/// A page of the database as the write-ahead log has it: with a header of its own.
const FRAME: u64 = 4096 + 24;

/// What is committed and not in its place in the database yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteAhead {
    /// Which database, for people: the name of its file.
    pub database: &'static str,
    /// How many bytes the write-ahead log has, when it was looked at last.
    pub bytes: u64,
    /// That a reader keeps them from being moved, where they are more than they should be. Writing goes on; they grow with it
    /// until the reader ends.
    pub held: Option<Held>,
}

/// A reader that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// For how long.
    pub lasting: Duration,
    /// Who reads, for people; empty where the system does not tell.
    pub by: Vec<String>,
}

impl Held {
    /// Who reads, for people.
    #[must_use]
    pub fn readers(&self) -> String {
        if self.by.is_empty() { "somebody".to_owned() } else { self.by.join(", ") }
    }
}

/// How far the write-ahead log is moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// How many pages are in it.
    pub(crate) frames: u64,
    /// How many of them stand in the database too.
    pub(crate) moved: u64,
    /// Whether somebody was in the way.
    pub(crate) busy: bool,
}

impl Moved {
    pub(crate) fn bytes(self) -> u64 {
        self.frames * FRAME
    }

    /// How many bytes are still to be moved.
    pub(crate) fn left(self) -> u64 {
        self.frames.saturating_sub(self.moved) * FRAME
    }

    /// Whether all of it stands in the database. Where not, somebody reads what was before.
    pub(crate) fn is_whole(self) -> bool {
        !self.busy && self.moved >= self.frames
    }
}

/// Looks, and moves nothing.
pub(crate) async fn look(sql: &mut SqliteConnection) -> Result<Moved, String> {
    checkpoint(sql, "PRAGMA wal_checkpoint(NOOP)").await
}

/// Moves what can be moved, and waits for nobody.
pub(crate) async fn advance(sql: &mut SqliteConnection) -> Result<Moved, String> {
    checkpoint(sql, "PRAGMA wal_checkpoint(PASSIVE)").await
}

/// Moves all of it and empties it, waiting for readers so long at most.
pub(crate) async fn empty(sql: &mut SqliteConnection, most: Duration) -> Result<Moved, String> {
    wait_for_locks(sql, most).await?;
    checkpoint(sql, "PRAGMA wal_checkpoint(TRUNCATE)").await
}

/// The same, and the file stays as large as it is: whoever writes next begins at its beginning.
pub(crate) async fn restart(sql: &mut SqliteConnection, most: Duration) -> Result<Moved, String> {
    wait_for_locks(sql, most).await?;
    checkpoint(sql, "PRAGMA wal_checkpoint(RESTART)").await
}

async fn wait_for_locks(sql: &mut SqliteConnection, most: Duration) -> Result<(), String> {
    // PRAGMA takes no parameter, and sqlx only static text.
    let wait = sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {}", most.as_millis()));
    sqlx::query(wait).execute(sql).await.map(drop).map_err(|e| e.to_string())
}

async fn checkpoint(sql: &mut SqliteConnection, statement: &'static str) -> Result<Moved, String> {
    let (busy, frames, moved): (i64, i64, i64) = sqlx::query_as(statement)
        .fetch_one(sql)
        .await
        .map_err(|e| format!("the write-ahead log cannot be moved into the database: {e}"))?;
    let count = |n: i64| u64::try_from(n).unwrap_or_default();
    Ok(Moved { frames: count(frames), moved: count(moved), busy: busy != 0 })
}

/// Where SQLite's processes lock what they read of the write-ahead log, in the file beside it: a place each for up to five
/// states of it.
const READ_LOCKS: std::ops::RangeInclusive<u64> = 123..=127;

/// The processes that read the database now; this one only where it is the only one.
#[must_use]
pub fn readers(database: &Path) -> Vec<ProcessLock> {
    let mut locks = locks_on(&sibling(database, "-shm"));
    locks.retain(|lock| lock.first <= *READ_LOCKS.end() && lock.last >= *READ_LOCKS.start());
    locks.sort_by_key(|lock| lock.process);
    locks.dedup_by_key(|lock| lock.process);
    let own = i64::from(std::process::id());
    if locks.iter().any(|lock| lock.process != own) {
        locks.retain(|lock| lock.process != own);
    }
    locks
}

/// The write-ahead log's own file.
pub(crate) fn file(database: &Path) -> PathBuf {
    sibling(database, "-wal")
}

fn sibling(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
