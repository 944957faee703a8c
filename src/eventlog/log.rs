//! The facade: opens, verifies and backs up a log, whichever engine keeps it. The only place that chooses between
//! engines; knows nothing of how one works.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use rollcall_events::{
    Body, Clock, LogId, NewEvent, Position, Recorded, SourceName,
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
}

/// An open log. Cheap to clone; clones are the same log.
#[derive(Clone)]
pub struct Log(Arc<dyn Engine>);

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
                Ok(Self(Arc::new(log)))
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
                Ok(Self(Arc::new(sqlite::SqliteLog::open(dir, clock, options).await?)))
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
        match self.0.append(vec![event]).await?.first() {
            Some(Outcome::Recorded(position)) => Ok(*position),
            _ => Err(AppendError::Unavailable("it was not recorded; do it again".into())),
        }
    }

    /// How far the machine's clock is ahead of what it can say; nothing where it can be right.
    #[must_use]
    pub fn clock_ahead(&self) -> Option<ClockAhead> {
        self.0.clock_ahead()
    }

    /// An empty log in memory, for tests: nothing of it survives the process.
    #[must_use]
    pub fn in_memory(id: LogId, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(MemoryLog::new(id, clock)))
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
        *self.0.head().borrow()
    }

    /// Whether the log takes events.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.health()
    }

    /// What is written ahead of its place in the storage, and who keeps it there.
    #[must_use]
    pub fn write_ahead(&self) -> WriteAhead {
        self.0.write_ahead()
    }

    /// Writes what waits, signs the head and lets go of the storage. Later appends are refused.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

#[async_trait]
impl Append for Log {
    fn log_id(&self) -> LogId {
        Append::log_id(&*self.0)
    }

    async fn append(&self, batch: Vec<NewEvent>) -> Result<Vec<Outcome>, AppendError> {
        self.0.append(batch).await
    }
}

#[async_trait]
impl Tail for Log {
    fn log_id(&self) -> LogId {
        Tail::log_id(&*self.0)
    }

    fn read(&self, after: Position, page: usize) -> BoxStream<'_, Result<Arc<[Recorded]>, TailError>> {
        self.0.read(after, page)
    }

    fn head(&self) -> watch::Receiver<Head> {
        self.0.head()
    }

    async fn page(
        &self,
        after: Position,
        limit: usize,
        filter: &Filter,
    ) -> Result<(Vec<Recorded>, Position), TailError> {
        self.0.page(after, limit, filter).await
    }

    fn records(&self, positions: Vec<Position>) -> BoxStream<'_, Result<Vec<Recorded>, TailError>> {
        self.0.records(positions)
    }

    async fn by_id(&self, source: &str, begins: &str, limit: u32) -> Result<Vec<Position>, TailError> {
        self.0.by_id(source, begins, limit).await
    }

    async fn clock_mends(&self) -> Result<Vec<ClockMend>, TailError> {
        self.0.clock_mends().await
    }

    async fn moment(&self, when: When) -> Result<Option<Moment>, TailError> {
        self.0.moment(when).await
    }

    async fn signed_head(&self) -> Result<SignedHead, TailError> {
        self.0.signed_head().await
    }

    fn public_key_pem(&self) -> String {
        self.0.public_key_pem()
    }
}
