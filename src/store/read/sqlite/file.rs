//! The file: opening, whether it may be used, writing one batch, closing and replacing it.
//! Knows the checkpoint and the pragmas; knows no row but the checkpoint's.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rollcall_events::{Digest, Position};
use rollcall_sqlite::{Checkpointer, Limits, Turn, WriteAhead};
use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::time::Instant;

use super::{batch::Batch, statements as sql};
use crate::read::{Origin, ReadError};

const TABLES: &str = include_str!("../../../../migrations/sqlite/read/1_read.sql");
const INDEXES: &str = include_str!("../../../../migrations/sqlite/read/2_indexes.sql");
/// Readers at a time; SQLite reads of one file hardly gain from more on small machines.
const READERS: u32 = 4;

/// When what is written ahead is moved. The file is derived: what fails is tried again. Everybody who asks waits as long as it
/// is waited for connections that go.
pub(super) const LIMITS: Limits = Limits { durable: false, wait: Duration::from_secs(2), ..Limits::USUAL };

/// How soon it is looked again whether a connection is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A file of so few events needs no figures.
const FEW: u64 = 1_000;

/// One file with its connections: one that writes, some that read.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    /// Moves what is written ahead; none where nobody reads the file yet.
    checkpointer: Option<Checkpointer>,
    limits: Limits,
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
    SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10))
}

fn in_use(path: &Path) -> SqliteConnectOptions {
    // Losing the last commits of a derived file in a power failure costs a second of folding, so no fsync per batch.
    let options = options(path).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal);
    options.pragma("wal_autocheckpoint", "0")
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
    pub(super) async fn open(path: &Path, origin: Origin, limits: Limits) -> Result<Self, Unusable> {
        if !path.exists() {
            return Err(Unusable::Missing);
        }
        let damaged = |error: sqlx::Error| Unusable::Damaged(error.to_string());
        let db = Self::attach(path, limits).await.map_err(|error| Unusable::Damaged(error.to_string()))?;
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
                db.let_go().await;
                Err(why)
            }
        }
    }

    /// A new file in use, with everything.
    pub(super) async fn create(path: &Path, origin: Origin, limits: Limits) -> Result<Self, ReadError> {
        let writer = pool(in_use(path).create_if_missing(true), 1).await?;
        Self::tables(&writer, origin).await?;
        let db = Self::in_use(path, writer, limits).await?;
        db.index().await?;
        Ok(db)
    }

    async fn in_use(path: &Path, writer: SqlitePool, limits: Limits) -> Result<Self, ReadError> {
        let readers = readers(path).await?;
        let mut connection = writer.acquire().await?;
        let moving = Checkpointer::start(("read.db", path), in_use(path), &mut connection, limits).await;
        drop(connection);
        let checkpointer = Some(moving.map_err(|what| ReadError::Database(what.into()))?);
        Ok(Self { path: path.to_owned(), writer, readers, checkpointer, limits, analyzed: AtomicU64::new(0) })
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
        let (readers, path) = (writer.clone(), path.to_owned());
        Ok(Self { path, writer, readers, checkpointer: None, limits: LIMITS, analyzed: AtomicU64::new(0) })
    }

    /// A file that is known to be good.
    pub(super) async fn attach(path: &Path, limits: Limits) -> Result<Self, ReadError> {
        Self::in_use(path, pool(in_use(path), 1).await?, limits).await
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

    /// The turn to write; what was written is moved behind it.
    async fn turn(&self) -> Option<Turn<'_>> {
        Some(self.checkpointer.as_ref()?.turn().await)
    }

    /// What is written ahead, and who keeps it there.
    pub(super) fn write_ahead(&self) -> WriteAhead {
        self.checkpointer.as_ref().map(Checkpointer::write_ahead).unwrap_or_default()
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
        let _turn = self.turn().await;
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
        let _turn = self.turn().await;
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

    pub(super) fn is_closed(&self) -> bool {
        self.writer.is_closed() || self.readers.is_closed()
    }

    async fn let_go(&self) {
        self.readers.close().await;
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.stop().await;
        }
        self.writer.close().await;
    }

    /// Lets go of the file in use. A write-ahead log that stays behind would be taken for the next file's, so then the
    /// file must not be replaced.
    pub(super) async fn close(&self) -> Result<(), ReadError> {
        let (path, since) = (&self.path, Instant::now());
        self.let_go().await;
        // What somebody gave up asking is closed by a thread of its own, a little later. Of two that are closed at once neither
        // is the last, and neither removes it.
        while sibling(path, "-wal").exists() {
            if since.elapsed() >= self.limits.wait {
                return Err(ReadError::InUse(path.clone()));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            if let Ok(mut last) = in_use(path).connect().await {
                let _ = sqlx::query(sql::CHECKPOINT).fetch_one(&mut last).await;
                let _ = last.close().await;
            }
        }
        Ok(())
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
    let mut removed = false;
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let file = sibling(path, suffix);
        match std::fs::remove_file(&file) {
            Ok(()) => removed = true,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ReadError::Directory { path: file, source }),
        }
    }
    // After a power cut a write-ahead log that comes back would be taken for that of the file that is made next.
    let synced = if removed { sync_names(path) } else { Ok(()) };
    synced.map_err(|source| ReadError::Directory { path: path.to_owned(), source })
}

/// `next` takes the name of `path` in one step; what had it stays as `*.old`.
pub(super) fn replace(path: &Path, next: &Path) -> Result<(), ReadError> {
    let old = sibling(path, ".old");
    remove(&old)?;
    let steps = || {
        // First that the write-ahead log of the earlier file is gone: after a power cut it would be taken for the next one's.
        sync_names(path)?;
        std::fs::hard_link(path, &old)?;
        std::fs::rename(next, path)?;
        sync_names(path)
    };
    steps().map_err(|source| ReadError::Directory { path: path.to_owned(), source })
}

/// Has it on the disk which files there are beside one.
fn sync_names(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
}

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Box::new(error))
    }
}
