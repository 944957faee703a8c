//! The file: opening, whether it may be used, writing one batch, closing and replacing it.
//! Knows the checkpoint and the pragmas; knows no row but the checkpoint's.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rollcall_events::{Digest, Position};
use sqlx::{
    ConnectOptions, Row, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{batch::Batch, statements as sql};
use crate::read::{Origin, ReadError};

const TABLES: &str = include_str!("../../../../migrations/sqlite/read/1_read.sql");
const INDEXES: &str = include_str!("../../../../migrations/sqlite/read/2_indexes.sql");
/// Readers at a time; SQLite reads of one file hardly gain from more on small machines.
const READERS: u32 = 4;

/// A file of so few events needs no figures.
const FEW: u64 = 1_000;

/// One file with its connections: one that writes, some that read.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    /// Where the planner's figures were taken last.
    analyzed: AtomicU64,
}

/// A connection that sees the file as it was at one position.
pub(super) struct FrozenFile {
    pub(super) connection: SqliteConnection,
    pub(super) position: Position,
}

/// Why a file is not used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("there is none")]
    Missing,
    #[error("it has another schema")]
    Schema,
    #[error("it was written by version {0} of the projector, this is version {1}")]
    Version(i64, u32),
    #[error("it was derived from log {0}, this is log {1}")]
    Log(String, String),
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// The schema's own number, so that a forgotten version is noticed.
fn schema_number() -> i32 {
    let [a, b, c, d, ..] = Digest::of([TABLES, INDEXES].concat().as_bytes()).0;
    i32::from_be_bytes([a & 0x7f, b, c, d])
}

fn options(path: &Path) -> SqliteConnectOptions {
    // Busy: a person with their own SQL may hold a lock for a moment.
    SqliteConnectOptions::new().filename(path).busy_timeout(std::time::Duration::from_secs(10))
}

fn in_use(path: &Path) -> SqliteConnectOptions {
    // Losing the last commits of a derived file in a power failure costs a second of folding, so no fsync per batch.
    options(path).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal)
}

async fn pool(options: SqliteConnectOptions, connections: u32) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await
}

impl Database {
    pub(super) async fn open(path: &Path, origin: Origin) -> Result<Self, Unusable> {
        if !path.exists() {
            return Err(Unusable::Missing);
        }
        let damaged = |error: sqlx::Error| Unusable::Damaged(error.to_string());
        let db = Self::attach(path).await.map_err(|error| Unusable::Damaged(error.to_string()))?;
        let checked = async {
            let number: i32 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&db.writer).await.map_err(damaged)?;
            if number != schema_number() {
                return Err(Unusable::Schema);
            }
            let row = sqlx::query(sql::CHECKPOINT).fetch_one(&db.writer).await.map_err(damaged)?;
            let version: i64 = row.try_get("version").map_err(damaged)?;
            let log_id: String = row.try_get("log_id").map_err(damaged)?;
            if version != i64::from(origin.version) {
                return Err(Unusable::Version(version, origin.version));
            }
            if log_id != origin.log_id.to_string() {
                return Err(Unusable::Log(log_id, origin.log_id.to_string()));
            }
            Ok(())
        }
        .await;
        let checked = match checked {
            Ok(()) => db.analyze().await.map_err(|error| Unusable::Damaged(error.to_string())),
            Err(why) => Err(why),
        };
        match checked {
            Ok(()) => Ok(db),
            Err(why) => {
                db.writer.close().await;
                db.readers.close().await;
                Err(why)
            }
        }
    }

    /// A new file in use, with everything.
    pub(super) async fn create(path: &Path, origin: Origin) -> Result<Self, ReadError> {
        let writer = pool(in_use(path).create_if_missing(true), 1).await?;
        Self::tables(&writer, origin).await?;
        let db = Self::of(path, writer, readers(path).await?);
        db.index().await?;
        Ok(db)
    }

    fn of(path: &Path, writer: SqlitePool, readers: SqlitePool) -> Self {
        Self { path: path.to_owned(), writer, readers, analyzed: AtomicU64::new(0) }
    }

    /// A new file that nobody reads yet: no journal, no syncs, no indexes for reading until `index`.
    pub(super) async fn create_bulk(path: &Path, origin: Origin) -> Result<Self, ReadError> {
        let bulk = options(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Memory)
            .synchronous(SqliteSynchronous::Off)
            .pragma("cache_size", "-65536");
        let writer = pool(bulk, 1).await?;
        Self::tables(&writer, origin).await?;
        Ok(Self::of(path, writer.clone(), writer))
    }

    /// A file that is known to be good.
    pub(super) async fn attach(path: &Path) -> Result<Self, ReadError> {
        Ok(Self::of(path, pool(in_use(path), 1).await?, readers(path).await?))
    }

    async fn tables(writer: &SqlitePool, origin: Origin) -> Result<(), ReadError> {
        let mut tx = writer.begin().await?;
        sqlx::raw_sql(TABLES).execute(&mut *tx).await?;
        sqlx::query(sql::CHECKPOINT_BEGIN)
            .bind(i64::from(origin.version))
            .bind(origin.log_id.to_string())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn index(&self) -> Result<(), ReadError> {
        let mut tx = self.writer.begin().await?;
        sqlx::raw_sql(INDEXES).execute(&mut *tx).await?;
        // Said last: a file without its indexes is not used. PRAGMA takes no parameter, and sqlx only static text.
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {}", schema_number())))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        self.analyze().await
    }

    /// Takes the planner's figures. Without them, or with those of a much smaller file, it joins the large views in an
    /// order that takes hours.
    async fn analyze(&self) -> Result<(), ReadError> {
        let position = self.position().await?;
        sqlx::raw_sql(sql::ANALYZE).execute(&self.writer).await?;
        self.analyzed.store(position.0, Ordering::Relaxed);
        Ok(())
    }

    /// The file as it is now, however much is written meanwhile. By a connection of its own: it takes long, and knows the
    /// planner's newest figures.
    pub(super) async fn freeze(&self) -> Result<FrozenFile, ReadError> {
        let mut connection = in_use(&self.path).pragma("query_only", "ON").connect().await?;
        sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
        let row = sqlx::query(sql::CHECKPOINT).fetch_one(&mut connection).await?;
        Ok(FrozenFile { position: position(row.try_get("position")?), connection })
    }

    pub(super) async fn position(&self) -> Result<Position, ReadError> {
        let row = sqlx::query(sql::CHECKPOINT).fetch_one(&self.readers).await?;
        Ok(position(row.try_get("position")?))
    }

    pub(super) async fn apply(&self, batch: &Batch<'_>, from: Position, to: Position) -> Result<(), ReadError> {
        let mut tx = self.writer.begin().await?;
        // First, so that the transaction writes from its first statement and a rival waits or is told.
        let moved = sqlx::query(sql::CHECKPOINT_MOVE).bind(number(from)).bind(number(to)).execute(&mut *tx).await?;
        if moved.rows_affected() != 1 {
            let row = sqlx::query(sql::CHECKPOINT).fetch_one(&mut *tx).await?;
            return Err(ReadError::Fenced { expected: from, found: position(row.try_get("position")?) });
        }
        for (statement, rows) in batch.statements() {
            sqlx::query(statement).bind(rows).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Empties so many facts at most that were over by a position. How many it were.
    pub(super) async fn forget(&self, to: Position, rows: u32) -> Result<u64, ReadError> {
        let done = sqlx::query(sql::FORGET).bind(number(to)).bind(rows).execute(&self.writer).await?;
        Ok(done.rows_affected())
    }

    /// Takes the planner's figures where the file may have doubled since they were taken.
    pub(super) async fn analyze_if_grown(&self, to: Position) -> Result<(), ReadError> {
        if to.0 / 2 >= self.analyzed.load(Ordering::Relaxed).max(FEW) { self.analyze().await } else { Ok(()) }
    }

    /// Has all that was written on the disk.
    pub(super) async fn sync(&self) -> Result<(), ReadError> {
        let path = self.path.clone();
        let synced = tokio::task::spawn_blocking(move || std::fs::File::open(path)?.sync_all()).await;
        let synced = synced.map_err(io::Error::other).flatten();
        synced.map_err(|source| ReadError::Directory { path: self.path.clone(), source })
    }

    /// Writes all to the disk and lets go of the file.
    pub(super) async fn finish(self) -> Result<(), ReadError> {
        self.writer.close().await;
        self.sync().await
    }

    /// Lets go of the file in use. A write-ahead log that stays behind would be taken for the next file's, so then the
    /// file must not be replaced.
    pub(super) fn is_closed(&self) -> bool {
        self.writer.is_closed() || self.readers.is_closed()
    }

    pub(super) async fn close(&self) -> Result<(), ReadError> {
        let path = &self.path;
        self.readers.close().await;
        self.writer.close().await;
        if sibling(path, "-wal").exists() { Err(ReadError::InUse(path.clone())) } else { Ok(()) }
    }
}

async fn readers(path: &Path) -> Result<SqlitePool, sqlx::Error> {
    pool(in_use(path).pragma("query_only", "ON"), READERS).await
}

/// Positions fit: SQLite's integers have 63 bits and a sign.
pub(super) fn number(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

pub(super) fn position(number: i64) -> Position {
    Position(u64::try_from(number).unwrap_or_default())
}

fn sibling(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Removes a database with its side files.
pub(super) fn remove(path: &Path) -> Result<(), ReadError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let file = sibling(path, suffix);
        match std::fs::remove_file(&file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(ReadError::Directory { path: file, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// `next` takes the name of `path` in one step; what had it stays as `*.old`.
pub(super) fn replace(path: &Path, next: &Path) -> Result<(), ReadError> {
    let old = sibling(path, ".old");
    remove(&old)?;
    let steps = || {
        std::fs::hard_link(path, &old)?;
        std::fs::rename(next, path)?;
        path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
    };
    steps().map_err(|source| ReadError::Directory { path: path.to_owned(), source })
}

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Box::new(error))
    }
}
