//! The facade: opens, verifies and backs up a log, whichever engine keeps it. The only place that chooses between
//! engines; knows nothing of how one works.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::{TryStreamExt, stream::BoxStream};
use rollcall_events::{
    Body, Clock, LOCAL, LogId, NewEvent, Position, READER_RAISED, Raised, Reader, Recorded, SourceName,
    body::{Author, ClockMended},
    prefixed_id,
};
use tokio::sync::watch;

use crate::{
    Append, AppendError, ClockAhead, ClockMend, Filter, Head, Health, Moment, OpenError, Outcome, SignedHead, Tail,
    TailError, VerifyError, VerifyOptions, VerifyProgress, VerifyReport, When, WriteAhead,
    engine::Engine,
    engines::{memory::MemoryLog, sqlite},
    tail::CLOCK_MENDED,
};

/// Which engine keeps a log, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineConfig {
    /// Files in a data directory, written by one process.
    Embedded {
        /// The data directory.
        dir: PathBuf,
    },
}

impl EngineConfig {
    /// The engine's name, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded { .. } => "SQLite",
        }
    }

    /// Where it is, for people.
    fn place(&self) -> String {
        match self {
            Self::Embedded { dir } => dir.display().to_string(),
        }
    }
}

/// An open log. Cheap to clone; clones are the same log.
#[derive(Clone)]
pub struct Log {
    engine: Arc<dyn Engine>,
    /// The oldest reader that can judge it.
    reader: Arc<AtomicU32>,
}

impl Log {
    /// Opens the log, or makes a new one.
    ///
    /// # Errors
    /// When somebody else writes there, when the log is damaged, shorter than what was acknowledged or other than what
    /// was signed, or when the storage says no.
    pub async fn open(config: &EngineConfig, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        match config {
            EngineConfig::Embedded { dir } => {
                let log = sqlite::SqliteLog::open(dir, clock, sqlite::Options::default()).await?;
                Self::of_reader(Arc::new(log), config).await
            }
        }
    }

    /// Opens a log that is there whatever the clock says: for whoever looks at both and then says which is right.
    ///
    /// # Errors
    /// As [`Self::open`], and not for the clock.
    pub async fn open_to_mend(config: &EngineConfig, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        match config {
            EngineConfig::Embedded { dir } => {
                let options = sqlite::Options { clock: sqlite::ClockBound::None, ..sqlite::Options::default() };
                Self::of_reader(Arc::new(sqlite::SqliteLog::open(dir, clock, options).await?), config).await
            }
        }
    }

    /// An open log, if this version can judge all of it.
    async fn of_reader(engine: Arc<dyn Engine>, config: &EngineConfig) -> Result<Self, OpenError> {
        let raised = oldest_reader(&*engine).await.map_err(|error| OpenError::Storage {
            place: format!("the log in {}", config.place()),
            what: error.to_string(),
        });
        let newer = match raised {
            Ok(Some((Raised { reader, version }, position))) if reader > Reader::CURRENT => {
                Err(OpenError::Newer { place: config.place(), position, version })
            }
            Ok(raised) => Ok(raised.map_or(Reader::FIRST, |(raised, _)| raised.reader)),
            Err(error) => Err(error),
        };
        match newer {
            Ok(reader) => Ok(Self { engine, reader: Arc::new(AtomicU32::new(reader.0)) }),
            Err(error) => {
                engine.close().await;
                Err(error)
            }
        }
    }

    /// Records that the machine's clock is right: from here on time is counted by it, even if that goes back.
    ///
    /// # Errors
    /// Nothing was recorded.
    pub async fn mend_clock(&self, now: DateTime<Utc>) -> Result<Position, AppendError> {
        let mut random = [0; 10];
        let filled = aws_lc_rs::rand::fill(&mut random);
        filled.map_err(|_| AppendError::Unavailable("no randomness is to be had".into()))?;
        let body = ClockMended { from: now, author: Some(Author::operator()), made_with: None };
        let id = prefixed_id(CLOCK_MENDED, now, random);
        let event = NewEvent { time: Some(now), ..NewEvent::of(SourceName::local(), id, &Body::LogClockMended(body)) };
        match self.append(vec![event]).await?.first() {
            Some(Outcome::Recorded(position)) => Ok(*position),
            _ => Err(AppendError::Unavailable("it was not recorded; do it again".into())),
        }
    }

    /// How far the machine's clock is ahead of what it can say; nothing where it can be right.
    #[must_use]
    pub fn clock_ahead(&self) -> Option<ClockAhead> {
        self.engine.clock_ahead()
    }

    /// An empty log in memory, for tests: nothing of it survives the process.
    #[must_use]
    pub fn in_memory(id: LogId, clock: Arc<dyn Clock>) -> Self {
        Self { engine: Arc::new(MemoryLog::new(id, clock)), reader: Arc::new(AtomicU32::new(Reader::FIRST.0)) }
    }

    /// Whether there is a log already.
    #[must_use]
    pub fn exists(config: &EngineConfig) -> bool {
        match config {
            EngineConfig::Embedded { dir } => sqlite::exists(dir),
        }
    }

    /// Verifies the log; also beside a running server, whose later appends are not looked at.
    ///
    /// # Errors
    /// The first thing that is not in order, by position or by place.
    pub async fn verify(
        config: &EngineConfig,
        options: VerifyOptions,
        progress: impl FnMut(VerifyProgress) + Send,
    ) -> Result<VerifyReport, VerifyError> {
        match config {
            EngineConfig::Embedded { dir } => sqlite::verify(dir, options, progress).await,
        }
    }

    /// Copies the log into a directory that holds none yet, and verifies the copy; also beside a running server. The
    /// log's key is copied too, so that a restored log can go on signing: whoever holds a backup can sign heads.
    ///
    /// # Errors
    /// When something of it is there already, cannot be read or written, or the copy is not in order.
    pub async fn backup(config: &EngineConfig, target: &Path) -> Result<VerifyReport, VerifyError> {
        match config {
            EngineConfig::Embedded { dir } => sqlite::backup(dir, target).await,
        }
    }

    /// The newest durable record.
    #[must_use]
    pub fn newest(&self) -> Head {
        *self.engine.head().borrow()
    }

    /// Whether the log takes events.
    #[must_use]
    pub fn health(&self) -> Health {
        self.engine.health()
    }

    /// What is written ahead of its place in the storage, and who keeps it there.
    #[must_use]
    pub fn write_ahead(&self) -> WriteAhead {
        self.engine.write_ahead()
    }

    /// Writes what waits, signs the head and lets go of the storage. Later appends are refused.
    pub async fn close(&self) {
        self.engine.close().await;
    }
}

/// What the log says last of who can judge it, and where.
async fn oldest_reader(tail: &dyn Engine) -> Result<Option<(Raised, Position)>, TailError> {
    let positions = tail.by_id(LOCAL, READER_RAISED, u32::MAX).await?;
    let records = tail.records(positions).try_concat().await?;
    let raised = records.iter().filter_map(|record| Some((Raised::read(&record.event)?, record.position)));
    Ok(raised.max_by_key(|(raised, _)| raised.reader))
}

#[async_trait]
impl Append for Log {
    fn log_id(&self) -> LogId {
        Append::log_id(&*self.engine)
    }

    async fn append(&self, batch: Vec<NewEvent>) -> Result<Vec<Outcome>, AppendError> {
        let reader = batch.iter().map(Reader::of).max().unwrap_or(Reader::FIRST);
        let known = Reader(self.reader.load(Ordering::Relaxed));
        if reader <= known {
            return self.engine.append(batch).await;
        }
        // In one batch with it, and before it: no reader finds the event without what is said of it.
        let with_reader = std::iter::once(reader.raised()).chain(batch).collect();
        let mut outcomes = self.engine.append(with_reader).await?;
        self.reader.fetch_max(reader.0, Ordering::Relaxed);
        Ok(outcomes.split_off(1))
    }
}

#[async_trait]
impl Tail for Log {
    fn log_id(&self) -> LogId {
        Tail::log_id(&*self.engine)
    }

    fn read(&self, after: Position, page: usize) -> BoxStream<'_, Result<Arc<[Recorded]>, TailError>> {
        self.engine.read(after, page)
    }

    fn head(&self) -> watch::Receiver<Head> {
        self.engine.head()
    }

    async fn page(
        &self,
        after: Position,
        limit: usize,
        filter: &Filter,
    ) -> Result<(Vec<Recorded>, Position), TailError> {
        self.engine.page(after, limit, filter).await
    }

    fn records(&self, positions: Vec<Position>) -> BoxStream<'_, Result<Vec<Recorded>, TailError>> {
        self.engine.records(positions)
    }

    async fn by_id(&self, source: &str, begins: &str, limit: u32) -> Result<Vec<Position>, TailError> {
        self.engine.by_id(source, begins, limit).await
    }

    async fn since_by_id(
        &self,
        source: &str,
        begins: &[String],
        since: Position,
    ) -> Result<Vec<Vec<Position>>, TailError> {
        self.engine.since_by_id(source, begins, since).await
    }

    async fn newest_by_id(&self, source: &str, begins: &[String]) -> Result<Vec<Option<Position>>, TailError> {
        self.engine.newest_by_id(source, begins).await
    }

    async fn newest_by_other_id(&self, source: &str, begins: &str) -> Result<Option<Position>, TailError> {
        self.engine.newest_by_other_id(source, begins).await
    }

    async fn clock_mends(&self) -> Result<Vec<ClockMend>, TailError> {
        self.engine.clock_mends().await
    }

    async fn moment(&self, when: When) -> Result<Option<Moment>, TailError> {
        self.engine.moment(when).await
    }

    async fn signed_head(&self) -> Result<SignedHead, TailError> {
        self.engine.signed_head().await
    }

    fn public_key_pem(&self) -> String {
        self.engine.public_key_pem()
    }
}
