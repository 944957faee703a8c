//! The one task that writes `ops.db`: takes all that waits, one transaction, one commit, then tells all who wait.
//! A transaction is synced when anything in it demands that. What is only a record of what somebody asked or was refused
//! has a way in of its own and comes after everything else, a little at a time. Knows statements; knows nothing of what
//! the rows mean.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rollcall_ingest::Durability;
use rollcall_sqlite::Checkpointer;
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot};

use super::{
    sql,
    writes::{self, Reply, Rows, Write},
};
use crate::ops::OpsError;

/// How many writes may wait.
const MAX_WAITING: usize = 4096;
/// How many writes make one transaction at most, and how many bytes of bodies.
const TRANSACTION_WRITES: usize = 512;
const TRANSACTION_BYTES: usize = 8 << 20;
/// How many records may wait, each of a few rows: who has more waits outside, or drops and counts them.
const MAX_RECORDS_WAITING: usize = 64;

struct Item {
    write: Write,
    durability: Durability,
    waiter: Option<oneshot::Sender<Result<Reply, OpsError>>>,
}

/// The way to the writer.
#[derive(Clone)]
pub(super) struct Handle {
    queue: mpsc::Sender<Item>,
    records: mpsc::Sender<Item>,
    /// Rejected deliveries for which there was no room since it was told last.
    dropped: Arc<AtomicU64>,
}

impl Handle {
    /// Writes and waits for the commit.
    pub(super) async fn write(&self, write: Write, durability: Durability) -> Result<Reply, OpsError> {
        let (waiter, done) = oneshot::channel();
        self.queue.try_send(Item { write, durability, waiter: Some(waiter) }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => OpsError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        done.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Writes behind everything that is no record, and waits for the commit.
    pub(super) async fn write_record(&self, write: Write) -> Result<Reply, OpsError> {
        let (waiter, done) = oneshot::channel();
        let item = Item { write, durability: Durability::Written, waiter: Some(waiter) };
        self.records.send(item).await.map_err(|_| closed())?;
        done.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Joins the queue and does not wait for the commit.
    pub(super) async fn enqueue(&self, rows: Rows) -> Result<(), OpsError> {
        let item = Item { write: Write::Rows(rows), durability: Durability::Written, waiter: None };
        self.queue.send(item).await.map_err(|_| closed())
    }

    /// Joins the records if few of them wait; whether it did. What does not is counted with the next that does.
    pub(super) fn try_enqueue_rejected(&self, mut rows: Rows) -> bool {
        let before = self.dropped.swap(0, Ordering::Relaxed);
        rows.note_dropped(before);
        let item = Item { write: Write::Rows(rows), durability: Durability::Written, waiter: None };
        let joined = self.records.try_send(item).is_ok();
        if !joined {
            self.dropped.fetch_add(before + 1, Ordering::Relaxed);
        }
        joined
    }

    pub(super) async fn close(&self) {
        let (waiter, done) = oneshot::channel();
        let item = Item { write: Write::Close, durability: Durability::Synced, waiter: Some(waiter) };
        if self.queue.send(item).await.is_ok() {
            let _ = done.await;
        }
    }
}

fn closed() -> OpsError {
    OpsError::Database("it is closed".to_owned())
}

pub(super) fn start(
    options: SqliteConnectOptions,
    connection: SqliteConnection,
    checkpointer: Arc<Checkpointer>,
) -> Handle {
    let (queue, waiting) = mpsc::channel(MAX_WAITING);
    let (records, waiting_records) = mpsc::channel(MAX_RECORDS_WAITING);
    let writer = Writer { options, connection: Some((connection, Durability::Synced)), checkpointer };
    tokio::spawn(writer.run(waiting, waiting_records));
    Handle { queue, records, dropped: Arc::default() }
}

struct Writer {
    options: SqliteConnectOptions,
    /// The connection and what its commits are now. None after a failure.
    connection: Option<(SqliteConnection, Durability)>,
    checkpointer: Arc<Checkpointer>,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<Item>, mut records: mpsc::Receiver<Item>) {
        let mut closing = None;
        loop {
            let first = tokio::select! {
                biased;
                Some(item) = waiting.recv() => item,
                // One at a time: whoever comes meanwhile waits for no more than that.
                Some(item) = records.recv() => {
                    self.write(vec![item]).await;
                    continue;
                }
                else => break,
            };
            let mut items = vec![first];
            let mut bytes = weight(&items);
            while items.len() < TRANSACTION_WRITES && bytes < TRANSACTION_BYTES {
                let Ok(next) = waiting.try_recv() else { break };
                bytes += weight(std::slice::from_ref(&next));
                items.push(next);
            }
            if let Some(at) = items.iter().position(|item| matches!(item.write, Write::Close)) {
                closing = items.remove(at).waiter;
                waiting.close();
                records.close();
            }
            self.write(items).await;
        }
        self.checkpointer.close(self.connection.take().map(|(connection, _)| connection)).await;
        if let Some(waiter) = closing {
            let _ = waiter.send(Ok(Reply::Done));
        }
    }

    async fn write(&mut self, items: Vec<Item>) {
        let durability = items.iter().map(|item| item.durability).max().unwrap_or(Durability::Written);
        let mut writes = Vec::with_capacity(items.len());
        let mut waiters = Vec::with_capacity(items.len());
        for item in items {
            writes.push(item.write);
            waiters.push(item.waiter);
        }
        let checkpointer = Arc::clone(&self.checkpointer);
        let _turn = checkpointer.turn().await;
        let erased = writes.iter().any(|write| matches!(write, Write::Erase { .. }));
        let mut outcome = self.transaction(writes, durability).await;
        // What was erased still stands in the write-ahead log until that is emptied. Where somebody reads it is not, and
        // whoever erases is told, and nobody else.
        if let (true, Ok(replies)) = (erased, &mut outcome)
            && let Err(error) = self.empty().await
        {
            let of_erasures = replies.iter_mut().filter(|reply| matches!(reply, Reply::Erased(_)));
            of_erasures.for_each(|reply| *reply = Reply::NotErased(error.clone()));
        }
        if outcome.is_err() {
            // After a failed sync the kernel may have dropped what was not synced: this connection takes nothing more.
            self.connection = None;
        }
        match outcome {
            Ok(replies) => {
                for (waiter, reply) in waiters.into_iter().zip(replies) {
                    waiter.map(|waiter| waiter.send(Ok(reply)));
                }
            }
            Err(error) => {
                tracing::error!(%error, writes = waiters.len(), "ops store not written");
                for waiter in waiters.into_iter().flatten() {
                    let _ = waiter.send(Err(error.clone()));
                }
            }
        }
    }

    async fn transaction(&mut self, writes: Vec<Write>, durability: Durability) -> Result<Vec<Reply>, OpsError> {
        let (connection, commits) = self.connection().await?;
        if *commits != durability {
            let pragma = match durability {
                Durability::Written => sql::SYNC_NORMAL,
                Durability::Synced => sql::SYNC_FULL,
            };
            sqlx::query(pragma).execute(&mut *connection).await?;
            *commits = durability;
        }
        sqlx::query(sql::BEGIN).execute(&mut *connection).await?;
        let replies = writes::apply(connection, writes).await?;
        sqlx::query(sql::COMMIT).execute(&mut *connection).await?;
        Ok(replies)
    }

    /// The connection; after a failure a new one, and only once everything in the write-ahead log was written once more
    /// and synced: a record behind one that the disk lost would be lost with it.
    async fn connection(&mut self) -> Result<&mut (SqliteConnection, Durability), OpsError> {
        if self.connection.is_none() || self.checkpointer.fault().is_some() {
            self.connection = None;
            let mut fresh = self.options.connect().await?;
            self.checkpointer.begin_anew(&mut fresh).await.map_err(OpsError::Database)?;
            self.connection = Some((fresh, Durability::Synced));
        }
        self.connection.as_mut().ok_or_else(closed)
    }

    /// Brings everything into the file, and leaves nothing in the write-ahead log.
    async fn empty(&self) -> Result<(), OpsError> {
        match self.checkpointer.empty().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(OpsError::Database("its write-ahead log is in use and was not emptied".to_owned())),
            Err(what) => Err(OpsError::Database(what)),
        }
    }
}

fn weight(items: &[Item]) -> usize {
    let body = |item: &Item| match &item.write {
        Write::Rows(rows) => rows.delivery.as_ref().map_or(0, |row| row.body.len()),
        _ => 0,
    };
    items.iter().map(body).sum()
}
