//! The write-ahead log: how much is in it, and who keeps it from being moved into the database. A reader that stays stops
//! nobody from writing; it lets the write-ahead log grow, and that is told. Decides nothing about records.

use std::{
    fs::OpenOptions,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;

use super::locks::{ProcessLock, locks_on};

/// A page of the database as the write-ahead log has it: with a header of its own.
const FRAME: u64 = 4096 + 24;

/// What came of moving the write-ahead log into the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    /// How many bytes are in it still.
    pub(crate) bytes: u64,
    /// Whether all of them stand in the database too. Where not, somebody reads what was before.
    pub(crate) whole: bool,
}

/// How the write-ahead log of an open log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// How many bytes were in it when it was moved last.
    pub(crate) bytes: u64,
    /// Since when a reader keeps some of them from being moved.
    pub(crate) held_since: Option<DateTime<Utc>>,
}

impl State {
    pub(crate) fn note(&mut self, moved: Moved, now: DateTime<Utc>) {
        self.bytes = moved.bytes;
        self.held_since = if moved.whole { None } else { self.held_since.or(Some(now)) };
    }
}

/// Moves what can be moved, and waits for nobody.
pub(crate) async fn advance(sql: &mut SqliteConnection) -> Result<Moved, String> {
    checkpoint(sql, "PRAGMA wal_checkpoint(PASSIVE)").await
}

/// Moves all of it and empties it, waiting for readers as long as the connection waits for locks.
pub(crate) async fn empty(sql: &mut SqliteConnection) -> Result<Moved, String> {
    checkpoint(sql, "PRAGMA wal_checkpoint(TRUNCATE)").await
}

/// The same, and waits for readers so long at most; `usual` is how long the connection waits otherwise.
pub(crate) async fn empty_within(sql: &mut SqliteConnection, most: Duration, usual: Duration) -> Result<Moved, String> {
    wait_for_locks(sql, most.min(usual)).await?;
    let moved = empty(sql).await?;
    wait_for_locks(sql, usual).await?;
    Ok(moved)
}

async fn checkpoint(sql: &mut SqliteConnection, statement: &'static str) -> Result<Moved, String> {
    let (busy, frames, moved): (i64, i64, i64) = sqlx::query_as(statement)
        .fetch_one(sql)
        .await
        .map_err(|e| format!("the write-ahead log cannot be moved into the database: {e}"))?;
    Ok(Moved { bytes: u64::try_from(frames).unwrap_or_default() * FRAME, whole: busy == 0 && moved == frames })
}

async fn wait_for_locks(sql: &mut SqliteConnection, time: Duration) -> Result<(), String> {
    // PRAGMA takes no parameter, and sqlx only static text.
    let statement = sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {}", time.as_millis()));
    sqlx::query(statement).execute(sql).await.map(drop).map_err(|e| e.to_string())
}

/// Makes what is committed durable, whatever became of earlier syncs: what is in the page cache after a failed one may never
/// have reached the disk although it reads well. Writing it again makes it dirty again, and only then does a sync mean
/// something. Usually that is moving all of it into the database; where somebody reads what was before, it is written
/// over itself.
pub(crate) async fn make_durable(sql: &mut SqliteConnection, database: &Path) -> Result<(), String> {
    if empty(sql).await?.whole {
        return Ok(());
    }
    // Nobody else may write meanwhile: neither new frames nor, from the beginning, over these.
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut *sql)
        .await
        .map_err(|_| "the write-ahead log is in use by another process that writes".to_owned())?;
    let file = sibling(database, "-wal");
    let rewritten = tokio::task::spawn_blocking(move || rewrite(&file)).await;
    sqlx::query("ROLLBACK").execute(sql).await.map_err(|e| e.to_string())?;
    rewritten.map_err(|e| e.to_string())?.map_err(|e| format!("the write-ahead log cannot be written: {e}"))
}

/// Writes a file over itself and syncs it.
fn rewrite(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        file.seek(SeekFrom::Start(at))?;
        file.write_all(part)?;
        at += read as u64;
    }
    file.sync_all()
}

/// Where SQLite's processes lock what they read of the write-ahead log, in the file beside it: a place each for up to five
/// states of it.
const READ_LOCKS: std::ops::RangeInclusive<u64> = 123..=127;

/// The processes that read the database now; this one only where it is the only one.
pub(crate) fn readers(database: &Path) -> Vec<ProcessLock> {
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

fn sibling(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
