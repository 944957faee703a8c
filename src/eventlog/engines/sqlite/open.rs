//! Opening: the connections with their pragmas, the schema, and whether the log may be trusted. Used at the start and
//! again after every failed write.

use std::{path::Path, time::Duration};

use chrono::{DateTime, Utc};
use rollcall_events::{Digest, LogId, Position, Version};
use rollcall_sqlite::Limits;
use sqlx::{
    ConnectOptions, SqliteConnection,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    chain,
    error::{open_error, with_causes},
    files::place,
    record,
};
use crate::{Head, OpenError, TailError};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite/log");

/// What a test may want otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// How many events may wait to be written; an event counts once per started 4 KiB.
    pub queue: usize,
    /// How long the log rests after an error before it is opened anew.
    pub back_off: Duration,
    /// How long a statement waits for a lock that another process holds (a restore, a stray tool).
    pub busy_timeout: Duration,
    /// When what is written ahead is moved into the database.
    pub write_ahead: Limits,
    /// What the clock is held against when the log is opened.
    pub clock: ClockBound,
}

/// What the clock is held against when a log is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockBound {
    /// How long a log may have rested.
    Plausible,
    /// Nothing: somebody looks at both.
    None,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue: 16_384,
            back_off: Duration::from_secs(1),
            busy_timeout: Duration::from_secs(5),
            write_ahead: Limits::USUAL,
            clock: ClockBound::Plausible,
        }
    }
}

/// How a connection is opened that writes, or moves what was written. Every commit is one fsync (`FULL`); moving the
/// write-ahead log into the database is somebody else's step, so that no commit waits for it and its errors are seen.
pub(crate) fn read_write(file: &Path, options: &Options) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(options.busy_timeout)
        .pragma("wal_autocheckpoint", "0")
        .pragma("cell_size_check", "ON")
        .pragma("recursive_triggers", "ON")
        .pragma("cache_size", "-16384")
        .disable_statement_logging()
}

/// The connection that writes. What is committed has to be made durable before it is used.
pub(crate) async fn connect(file: &Path, options: &Options) -> Result<SqliteConnection, OpenError> {
    read_write(file, options).connect().await.map_err(|e| open_error(file, &e))
}

/// A connection that can only read, also beside a running server.
pub(crate) fn read_only(file: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .busy_timeout(busy_timeout)
        .pragma("cell_size_check", "ON")
        .disable_statement_logging()
}

/// `run` would make every future that awaits it refuse to be `Send` ("`Acquire` is not general enough"); this is sqlx's
/// own way around that.
pub(crate) async fn migrate(sql: &mut SqliteConnection) -> Result<(), MigrateError> {
    MIGRATIONS.run_direct(None, sql, false).await
}

/// Brings the schema up to date and gives a new log its id.
pub(crate) async fn prepare(sql: &mut SqliteConnection, file: &Path) -> Result<LogId, OpenError> {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
    let form = "SELECT max(version) FROM _sqlx_migrations";
    // No table of them: a new file.
    let had: Option<i64> = sqlx::query_scalar(form).fetch_one(&mut *sql).await.unwrap_or_default();
    if had > newest {
        let by: u32 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(sql).await.map_err(|e| open_error(file, &e))?;
        return Err(OpenError::NewerForm { place: place(file), by: Version(by) });
    }
    migrate(sql).await.map_err(|e| match &e {
        MigrateError::Execute(e) => open_error(file, e),
        _ => OpenError::Damaged { place: place(file), what: with_causes(&e) },
    })?;
    if had < newest {
        // For the older version that meets it.
        let by = format!("PRAGMA user_version = {}", Version::CURRENT.0);
        sqlx::raw_sql(sqlx::AssertSqlSafe(by)).execute(&mut *sql).await.map_err(|e| open_error(file, &e))?;
    }
    let mut id = [0; 8];
    let random = aws_lc_rs::rand::fill(&mut id);
    random.map_err(|_| OpenError::Storage { place: place(file), what: "no random log id".into() })?;
    // Only an empty log is given an id: one with records that has lost its own is damaged.
    let new = "INSERT INTO log (one, log_id) SELECT 1, $1 \
               WHERE NOT EXISTS (SELECT 1 FROM log) AND NOT EXISTS (SELECT 1 FROM event)";
    sqlx::query(new).bind(id.to_vec()).execute(&mut *sql).await.map_err(|e| open_error(file, &e))?;
    log_id(sql).await.map_err(|e| open_error(file, &e))
}

pub(crate) async fn log_id(sql: &mut SqliteConnection) -> sqlx::Result<LogId> {
    let id: Vec<u8> = sqlx::query_scalar("SELECT log_id FROM log").fetch_one(sql).await?;
    id.try_into().map(LogId).map_err(|_| sqlx::Error::Decode("the log's id is not 8 bytes".into()))
}

/// A log that does not pass through a head that was acknowledged or signed is not that log any more (DESIGN 11.6).
pub(crate) async fn expect_head(
    sql: &mut SqliteConnection,
    file: &Path,
    id: LogId,
    expected: Head,
) -> Result<(), OpenError> {
    let damaged = |what| OpenError::Damaged { place: place(file), what };
    match record::hash_at(sql, id, expected.position).await.map_err(|e| open_error(file, &e))? {
        Some(hash) if hash == expected.hash => Ok(()),
        Some(_) => Err(damaged(format!("the record at {} is not the one that was recorded there", expected.position))),
        None => Err(damaged(format!("the log is shorter than it was: there is no record at {}", expected.position))),
    }
}

/// The newest record, after everything behind what is known to be good was held against the chain.
pub(crate) async fn read_end(
    sql: &mut SqliteConnection,
    file: &Path,
    id: LogId,
    trusted: Option<Head>,
) -> Result<(Head, DateTime<Utc>), OpenError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT max(position) FROM event")
        .fetch_one(&mut *sql)
        .await
        .map_err(|e| open_error(file, &e))?;
    let last = Position(last.unwrap_or_default().cast_unsigned());
    // The last record itself is read in any case: its time is the floor of the next one's.
    let from = trusted.map_or(last, |head| head.position).min(Position(last.0.saturating_sub(1)));
    let hash = record::hash_at(sql, id, from).await.map_err(|e| open_error(file, &e))?;
    let mut at = Head { position: from, hash: hash.unwrap_or(Digest([0; 32])) };
    let mut last_time = DateTime::UNIX_EPOCH;
    while at.position < last {
        let damaged = |e: TailError| OpenError::Damaged { place: place(file), what: e.to_string() };
        let to = chain::range_end(at.position, usize::MAX, last);
        let page = chain::read_checked(sql, &mut record::Decoder::default(), at, to).await.map_err(damaged)?;
        if let Some(last) = page.records.last() {
            (at, last_time) = (Head { position: last.position, hash: page.hash }, last.recorded_at);
        }
    }
    Ok((at, last_time))
}
