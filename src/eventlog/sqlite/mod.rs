//! The embedded engine: one SQLite file, one writer, any number of readers.
//! Opening decides whether the log may be trusted; writing is in `writer`, reading in `reader`, both hold records
//! against the chain with `record`.

mod backup;
mod files;
mod reader;
mod record;
mod verify;
mod writer;

#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream::BoxStream};
use rollcall_events::{Clock, LogId, NewEvent, Position, Recorded};
use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Append, AppendError, Filter, Head, Moment, Outcome, SignedHead, Tail, TailError, When, head::SigningKey,
    tail::follow,
};
use files::Lock;
use reader::{Cursor, Recent};
use writer::{Message, Writer};

pub use backup::backup;
pub use verify::{Check, Progress, Verified, VerifyError, verify};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/sqlite/log");

/// What an operator or a test may want otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How many events may wait to be written; an event counts once per started 4 KiB.
    pub queue: usize,
    /// How long the log rests after an error before it is opened anew.
    pub back_off: Duration,
    /// How long a statement waits for a lock that another process holds (a restore, a stray tool).
    pub patience: Duration,
    /// How many bytes may gather in the write-ahead log before they are moved into the database.
    pub checkpoint_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue: 16_384,
            back_off: Duration::from_secs(1),
            patience: Duration::from_secs(5),
            checkpoint_bytes: 16 << 20,
        }
    }
}

/// Why a log is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes there.
    #[error("the data directory {} is in use by another rollcall process; stop it, or choose another data_dir", dir.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// The log is not what was written. Nothing in it may be used before somebody has looked.
    #[error("{}: {what}", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What was seen.
        what: String,
    },
    /// The disk or the file system said no.
    #[error("{}: {what}", file.display())]
    Storage {
        /// Which file.
        file: PathBuf,
        /// What was seen.
        what: String,
    },
}

/// The log in `log.db`. Cheap to clone; clones are the same log.
#[derive(Clone)]
pub struct SqliteLog {
    shared: Arc<Shared>,
    queue: mpsc::UnboundedSender<Message>,
    done: watch::Receiver<()>,
}

/// What writer and readers share.
pub(crate) struct Shared {
    dir: PathBuf,
    id: LogId,
    clock: Arc<dyn Clock>,
    key: SigningKey,
    options: Options,
    readers: SqlitePool,
    head: watch::Receiver<Head>,
    recent: Mutex<Recent>,
    /// Weight of what waits to be written.
    waiting: AtomicUsize,
    /// The last signed head, as in `head.json`.
    signed: tokio::sync::Mutex<Option<SignedHead>>,
    /// Why the log takes no events at present.
    trouble: Mutex<Option<String>>,
}

impl SqliteLog {
    /// Opens the log in `dir`, or makes a new one.
    ///
    /// # Errors
    /// When somebody else writes there, when the log is damaged, shorter than what was acknowledged or other than what
    /// was signed, or when the storage says no.
    pub async fn open(dir: &Path, clock: Arc<dyn Clock>, options: Options) -> Result<Self, OpenError> {
        let file = files::database(dir);
        let mut lock = Lock::take(dir)?;
        let marks = [files::marked(dir)?, files::stated(dir, None)?];
        if !file.exists() && marks.iter().flatten().any(|mark| mark.position > Position(0)) {
            return Err(OpenError::Damaged { file, what: "the log is gone, but something was recorded in it".into() });
        }
        let key = files::key_or_new(dir)?;
        let mut sql = connect(&file, &options).await?;
        let id = prepare(&mut sql, &file).await?;
        files::sync_dir(dir).map_err(files::storage(dir))?;
        files::stated(dir, Some(id))?;
        for mark in marks.iter().flatten() {
            holds(&mut sql, &file, id, *mark).await?;
        }
        let trusted = marks.into_iter().flatten().max_by_key(|mark| mark.position);
        let (head, last_time) = end(&mut sql, &file, id, trusted).await?;
        lock.mark(head).and_then(|()| lock.settle()).map_err(files::storage(dir))?;

        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .test_before_acquire(false)
            .connect_lazy_with(read_only(&file, options.patience));
        let (publish, head) = watch::channel(head);
        let signed = files::signed_head(dir)?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            id,
            clock,
            key,
            options,
            readers,
            head,
            recent: Mutex::default(),
            waiting: AtomicUsize::new(0),
            signed: tokio::sync::Mutex::new(signed),
            trouble: Mutex::default(),
        });
        let (queue, messages) = mpsc::unbounded_channel();
        let (finished, done) = watch::channel(());
        let signing = tokio::spawn(sign_now_and_then(Arc::clone(&shared)));
        let writer = Writer::new(Arc::clone(&shared), sql, messages, publish, last_time, lock);
        tokio::spawn(async move {
            let lock = writer.run().await;
            // The lock is let go last: who opens next must find everything written.
            let _ = signing.await;
            drop((lock, finished));
        });
        Ok(Self { shared, queue, done })
    }

    /// Why the log takes no events at present, if it does not: it rests after an error until it has been opened anew.
    /// Reading goes on.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The newest durable record.
    #[must_use]
    pub fn newest(&self) -> Head {
        *self.shared.head.borrow()
    }

    /// Writes what waits, signs the head and lets the directory go. Later appends are refused.
    pub async fn close(&self) {
        let _ = self.queue.send(Message::Close);
        let mut done = self.done.clone();
        while done.changed().await.is_ok() {}
    }
}

#[async_trait]
impl Append for SqliteLog {
    fn log_id(&self) -> LogId {
        self.shared.id
    }

    async fn append(&self, batch: Vec<NewEvent>) -> Result<Vec<Outcome>, AppendError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let weight = batch.iter().map(|event| 1 + event.data.len() / 4096).sum();
        let limit = self.shared.options.queue;
        // One batch larger than the limit is taken when nothing else waits: refusing it would be refusing it for ever.
        let room = |waiting: usize| (waiting == 0 || waiting + weight <= limit).then(|| waiting + weight);
        let taken = self.shared.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        if let Err(waiting) = taken {
            return Err(AppendError::Overloaded { waiting, limit });
        }
        let (reply, answer) = oneshot::channel();
        let closed = || AppendError::Unavailable("the log was closed".into());
        self.queue.send(Message::Append { batch, weight, reply }).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

#[async_trait]
impl Tail for SqliteLog {
    fn log_id(&self) -> LogId {
        self.shared.id
    }

    fn read(&self, after: Position, page: usize) -> BoxStream<'_, Result<Arc<[Recorded]>, TailError>> {
        follow(Cursor::new(Arc::clone(&self.shared), after, page), Cursor::next).boxed()
    }

    fn head(&self) -> watch::Receiver<Head> {
        self.shared.head.clone()
    }

    async fn page(
        &self,
        after: Position,
        limit: usize,
        filter: &Filter,
    ) -> Result<(Vec<Recorded>, Position), TailError> {
        reader::page(&self.shared, after, limit, filter).await
    }

    async fn records(&self, positions: &[Position]) -> Result<Vec<Recorded>, TailError> {
        reader::records(&self.shared, positions).await
    }

    async fn moment(&self, when: When) -> Result<Option<Moment>, TailError> {
        reader::moment(&self.shared, when).await
    }

    async fn signed_head(&self) -> Result<SignedHead, TailError> {
        self.shared.sign().await.map_err(TailError::Unavailable)
    }

    fn public_key_pem(&self) -> String {
        self.shared.key.public_key_pem()
    }
}

impl Shared {
    /// Signs the newest head and keeps it in `head.json`; what is signed already is given as it is.
    async fn sign(&self) -> Result<SignedHead, String> {
        let mut signed = self.signed.lock().await;
        let head = *self.head.borrow();
        if let Some(last) = signed.as_ref().filter(|last| last.head() == Ok(head)) {
            return Ok(last.clone());
        }
        let new = self.key.sign(self.id, head, self.clock.now()).ok_or("the log's key cannot sign")?;
        let (dir, kept) = (self.dir.clone(), new.clone());
        tokio::task::spawn_blocking(move || files::keep_head(&dir, &kept))
            .await
            .map_err(|e| e.to_string())?
            .map_err(|e| format!("the signed head cannot be kept: {e}"))?;
        *signed = Some(new.clone());
        Ok(new)
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Signs the head every 1 000 events or 60 s when there is something new, at most once a second, and at the end.
async fn sign_now_and_then(shared: Arc<Shared>) {
    let mut head = shared.head.clone();
    let mut last = shared.signed.lock().await.as_ref().map_or(Position(0), |signed| signed.position);
    let mut open = true;
    while open {
        open = signing_is_due(&mut head, last).await;
        if head.borrow().position == last {
            continue;
        }
        match shared.sign().await {
            Ok(signed) => last = signed.position,
            Err(error) => {
                tracing::warn!(error, "the log's head could not be signed");
                open = open && stays_open(&mut head, Duration::from_secs(60)).await;
            }
        }
    }
}

/// Waits for a head that should be signed; false if the log was closed meanwhile.
async fn signing_is_due(head: &mut watch::Receiver<Head>, last: Position) -> bool {
    if head.wait_for(|head| head.position > last).await.is_err() {
        return false;
    }
    let many = head.wait_for(|head| head.position.0 >= last.0.saturating_add(1000));
    match tokio::time::timeout(Duration::from_secs(60), many).await.map(|many| many.is_ok()) {
        Ok(true) => stays_open(head, Duration::from_secs(1)).await,
        Ok(false) => false,
        Err(_) => true,
    }
}

/// Lets `time` pass; false if the log is closed before it has.
async fn stays_open(head: &mut watch::Receiver<Head>, time: Duration) -> bool {
    tokio::time::timeout(time, head.wait_for(|_| false)).await.is_err()
}

/// The writing connection. Every commit is one fsync (`FULL`); moving the write-ahead log into the database is the
/// writer's own step, so that no commit waits for it and its errors are seen.
async fn connect(file: &Path, options: &Options) -> Result<SqliteConnection, OpenError> {
    let connection = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(options.patience)
        .pragma("wal_autocheckpoint", "0")
        .pragma("cell_size_check", "ON")
        .pragma("recursive_triggers", "ON")
        .pragma("cache_size", "-16384")
        .disable_statement_logging();
    let mut sql = connection.connect().await.map_err(|e| sql_error(file, &e))?;
    settle(&mut sql).await.map_err(|what| OpenError::Storage { file: file.to_owned(), what })?;
    Ok(sql)
}

/// A connection that can only read, also beside a running server.
fn read_only(file: &Path, patience: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .busy_timeout(patience)
        .pragma("cell_size_check", "ON")
        .disable_statement_logging()
}

/// Moves the whole write-ahead log into the database and syncs both. Done at every open, because what is in the page
/// cache after a failed fsync may never have reached the disk although it reads well: writing it again makes it dirty
/// again, and only then does an fsync mean something.
async fn settle(sql: &mut SqliteConnection) -> Result<(), String> {
    let (busy, _, _): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(sql).await.map_err(|e| e.to_string())?;
    if busy == 0 { Ok(()) } else { Err("the write-ahead log is in use by another process".into()) }
}

/// `run` would make every future that awaits it refuse to be `Send` ("`Acquire` is not general enough"); this is sqlx's
/// own way around that.
async fn migrate(sql: &mut SqliteConnection) -> Result<(), sqlx::migrate::MigrateError> {
    MIGRATIONS.run_direct(None, sql, false).await
}

/// Brings the schema up to date and gives a new log its id.
async fn prepare(sql: &mut SqliteConnection, file: &Path) -> Result<LogId, OpenError> {
    migrate(sql).await.map_err(|e| match &e {
        sqlx::migrate::MigrateError::Execute(e) => sql_error(file, e),
        _ => OpenError::Damaged { file: file.to_owned(), what: record::words(&e) },
    })?;
    let mut id = [0; 8];
    let random = aws_lc_rs::rand::fill(&mut id);
    random.map_err(|_| OpenError::Storage { file: file.to_owned(), what: "no random log id".into() })?;
    // Only an empty log is given an id: one with records that has lost its own is damaged.
    let new = "INSERT INTO log (one, log_id) SELECT 1, $1 \
               WHERE NOT EXISTS (SELECT 1 FROM log) AND NOT EXISTS (SELECT 1 FROM event)";
    sqlx::query(new).bind(id.to_vec()).execute(&mut *sql).await.map_err(|e| sql_error(file, &e))?;
    log_id(sql).await.map_err(|e| sql_error(file, &e))
}

async fn log_id(sql: &mut SqliteConnection) -> sqlx::Result<LogId> {
    let id: Vec<u8> = sqlx::query_scalar("SELECT log_id FROM log").fetch_one(sql).await?;
    id.try_into().map(LogId).map_err(|_| sqlx::Error::Decode("the log's id is not 8 bytes".into()))
}

/// A log that does not pass through a head that was acknowledged or signed is not that log any more (DESIGN 11.6).
async fn holds(sql: &mut SqliteConnection, file: &Path, id: LogId, mark: Head) -> Result<(), OpenError> {
    let damaged = |what| OpenError::Damaged { file: file.to_owned(), what };
    match record::hash_at(sql, id, mark.position).await.map_err(|e| sql_error(file, &e))? {
        Some(hash) if hash == mark.hash => Ok(()),
        Some(_) => Err(damaged(format!("the record at {} is not the one that was recorded there", mark.position))),
        None => Err(damaged(format!("the log is shorter than it was: there is no record at {}", mark.position))),
    }
}

/// The newest record, after everything behind what is known to be good was held against the chain.
async fn end(
    sql: &mut SqliteConnection,
    file: &Path,
    id: LogId,
    trusted: Option<Head>,
) -> Result<(Head, chrono::DateTime<chrono::Utc>), OpenError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT max(position) FROM event")
        .fetch_one(&mut *sql)
        .await
        .map_err(|e| sql_error(file, &e))?;
    let last = Position(last.unwrap_or_default().cast_unsigned());
    // The last record itself is read in any case: its time is the floor of the next one's.
    let from = trusted.map_or(last, |mark| mark.position).min(Position(last.0.saturating_sub(1)));
    let hash = record::hash_at(sql, id, from).await.map_err(|e| sql_error(file, &e))?;
    let mut at = Head { position: from, hash: hash.unwrap_or(rollcall_events::Digest([0; 32])) };
    let mut last_time = chrono::DateTime::UNIX_EPOCH;
    while at.position < last {
        let damaged = |e: TailError| OpenError::Damaged { file: file.to_owned(), what: e.to_string() };
        let to = reader::stretch(at.position, usize::MAX, last);
        let page = reader::checked(sql, &mut record::Decoder::default(), at, to).await.map_err(damaged)?;
        if let Some(last) = page.records.last() {
            (at, last_time) = (Head { position: last.position, hash: page.hash }, last.recorded_at);
        }
    }
    Ok((at, last_time))
}

/// SQLite's word for a damaged file, or for a disk that says no.
fn sql_error(file: &Path, error: &sqlx::Error) -> OpenError {
    let (file, what) = (file.to_owned(), record::words(error));
    if is_damage(error) { OpenError::Damaged { file, what } } else { OpenError::Storage { file, what } }
}

/// `SQLITE_CORRUPT` and `SQLITE_NOTADB`, in any of their extended forms, and values that are not of their column's type.
fn is_damage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(e) => {
            e.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xff, 11 | 26))
        }
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::RowNotFound => true,
        _ => false,
    }
}
