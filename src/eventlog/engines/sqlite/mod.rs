//! The embedded engine: one SQLite file, one writer, any number of readers.
//! Opening (`open`) decides whether the log may be trusted; writing is in `writer`, reading in `reader`, both hold
//! records against the chain (`chain`, `record`).

mod backup;
mod chain;
mod error;
mod files;
mod open;
mod reader;
mod recent;
mod record;
mod shared;
mod verify;
mod writer;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod reader_tests;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream::BoxStream};
use rollcall_events::{Clock, LogId, NewEvent, Position, Recorded};
use rollcall_sqlite::Checkpointer;
use sqlx::sqlite::SqlitePoolOptions;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Append, AppendError, ClockAhead, Filter, Head, Health, Moment, OpenError, Outcome, SignedHead, Tail, TailError,
    When, WriteAhead,
    engine::Engine,
    plausible::{LastKnown, Reading},
    stream::{stream_pages, stream_records},
};
use files::Lock;
use reader::Cursor;
use shared::{Shared, sign_periodically};
use writer::{Message, Writer};

pub(crate) use backup::backup;
pub(crate) use open::{ClockBound, Options};
pub(crate) use verify::verify;

/// Whether there is a log in `dir`.
pub(crate) fn exists(dir: &Path) -> bool {
    files::database(dir).exists()
}

/// The log in `log.db`. Cheap to clone; clones are the same log.
#[derive(Clone)]
pub(crate) struct SqliteLog {
    shared: Arc<Shared>,
    queue: mpsc::UnboundedSender<Message>,
    done: watch::Receiver<()>,
}

impl SqliteLog {
    /// Opens the log in `dir`, or makes a new one.
    ///
    /// # Errors
    /// When somebody else writes there, when the log is damaged, shorter than what was acknowledged or other than what
    /// was signed, or when the storage says no.
    pub(crate) async fn open(dir: &Path, clock: Arc<dyn Clock>, options: Options) -> Result<Self, OpenError> {
        let file = files::database(dir);
        let open_until = files::last_noted(dir)?;
        let mut lock = Lock::take(dir)?;
        let heads = [files::acknowledged_head(dir)?, files::checked_signed_head(dir, None)?];
        if !file.exists() && heads.iter().flatten().any(|head| head.position > Position(0)) {
            return Err(OpenError::Damaged {
                place: files::place(&file),
                what: "the log is gone, but something was recorded in it".into(),
            });
        }
        let key = files::read_or_make_key(dir)?;
        let mut sql = open::connect(&file, &options).await?;
        let database = (files::DATABASE, file.as_path());
        let moving = Checkpointer::start(database, open::read_write(&file, &options), &mut sql, options.write_ahead);
        let checkpointer = moving.await.map_err(|what| OpenError::Storage { place: files::place(&file), what })?;
        let opened = async {
            let id = open::prepare(&mut sql, &file).await?;
            files::sync_dir(dir).map_err(files::storage(dir))?;
            files::checked_signed_head(dir, Some(id))?;
            for head in heads.iter().flatten() {
                open::expect_head(&mut sql, &file, id, *head).await?;
            }
            let trusted = heads.into_iter().flatten().max_by_key(|head| head.position);
            let (head, last_time) = open::read_end(&mut sql, &file, id, trusted).await?;
            let reading = Reading::of(&*clock);
            // Before anything is noted: a start that is refused must not make the next one look plausible.
            let rested = match options.clock {
                ClockBound::Plausible if head.position > Position(0) => {
                    Some(open_until.unwrap_or_default().max(last_time))
                }
                ClockBound::Plausible | ClockBound::None => None,
            };
            let last_known = LastKnown::at_opening(rested, reading)?;
            lock.write_head(head).and_then(|()| lock.sync()).map_err(files::storage(dir))?;
            Ok((id, head, last_time, last_known))
        }
        .await;
        let (id, head, last_time, last_known) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                checkpointer.stop().await;
                return Err(error);
            }
        };

        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .test_before_acquire(false)
            .connect_lazy_with(open::read_only(&file, options.busy_timeout));
        let (publish, head) = watch::channel(head);
        let signed = files::read_signed_head(dir)?;
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
            health: Mutex::new(Health::Writable),
            last_known: Mutex::new(last_known),
            checkpointer,
        });
        let (queue, messages) = mpsc::unbounded_channel();
        let (finished, done) = watch::channel(());
        let signing = tokio::spawn(sign_periodically(Arc::clone(&shared)));
        let writer = Writer::new(Arc::clone(&shared), sql, messages, publish, last_time, lock);
        tokio::spawn(async move {
            let lock = writer.run().await;
            // The lock is let go last: who opens next must find everything written.
            let _ = signing.await;
            drop((lock, finished));
        });
        Ok(Self { shared, queue, done })
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
        let weight = batch.iter().map(|event| 1 + event.bytes() / 4096).sum();
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
        stream_pages(Cursor::new(Arc::clone(&self.shared), after, page), Cursor::next).boxed()
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

    fn records(&self, positions: Vec<Position>) -> BoxStream<'_, Result<Vec<Recorded>, TailError>> {
        stream_records(positions, move |left| reader::records(&self.shared, left)).boxed()
    }

    async fn by_id(&self, source: &str, begins: &str, limit: u32) -> Result<Vec<Position>, TailError> {
        reader::by_id(&self.shared, source, begins, limit).await
    }

    async fn since_by_id(
        &self,
        source: &str,
        begins: &[String],
        since: Position,
    ) -> Result<Vec<Vec<Position>>, TailError> {
        reader::since_by_id(&self.shared, source, begins, since).await
    }

    async fn newest_by_id(&self, source: &str, begins: &[String]) -> Result<Vec<Option<Position>>, TailError> {
        reader::newest_by_id(&self.shared, source, begins).await
    }

    async fn newest_by_other_id(&self, source: &str, begins: &str) -> Result<Option<Position>, TailError> {
        reader::newest_by_other_id(&self.shared, source, begins).await
    }

    async fn moment(&self, when: When) -> Result<Option<Moment>, TailError> {
        let mends = self.clock_mends().await?;
        reader::moment(&self.shared, &mends, when).await
    }

    async fn signed_head(&self) -> Result<SignedHead, TailError> {
        self.shared.sign().await.map_err(TailError::Unavailable)
    }

    fn public_key_pem(&self) -> String {
        self.shared.key.public_key_pem()
    }
}

#[async_trait]
impl Engine for SqliteLog {
    fn health(&self) -> Health {
        match (self.shared.health(), self.clock_ahead()) {
            (Health::Writable, Some(ahead)) => Health::Resting { why: ahead.to_string() },
            (health, _) => health,
        }
    }

    fn clock_ahead(&self) -> Option<ClockAhead> {
        self.shared.judge_clock().err()
    }

    fn write_ahead(&self) -> WriteAhead {
        self.shared.checkpointer.write_ahead()
    }

    async fn close(&self) {
        let _ = self.queue.send(Message::Close);
        let mut done = self.done.clone();
        while done.changed().await.is_ok() {}
    }
}
