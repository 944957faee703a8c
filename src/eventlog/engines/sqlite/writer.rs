//! The one writer: all that waits becomes one transaction with one fsync, then everybody is answered.
//! After any error it acknowledges nothing until it has opened the file anew and held its tail against the chain.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rollcall_events::{EventKey, NewEvent, Position, Recorded};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{
    mpsc::{UnboundedReceiver, error::TryRecvError},
    oneshot, watch,
};

use super::{
    files::{self, Lock},
    open,
    record::{self, Decoder, Found},
    shared::Shared,
};
use crate::{
    AppendError, Head, Health, OpenError, Outcome, TailError,
    sequence::{Known, Sequenced, sequence},
};

/// How often the time is noted of a log into which nothing is written.
const NOTE_INTERVAL: Duration = Duration::from_hours(6);

/// Who waits for what became of a batch.
type Reply = oneshot::Sender<Result<Vec<Outcome>, AppendError>>;

pub(crate) enum Message {
    Append { batch: Vec<NewEvent>, weight: usize, reply: Reply },
    Close,
}

/// What one transaction is made of.
#[derive(Default)]
struct Group {
    batches: Vec<Vec<NewEvent>>,
    replies: Vec<Reply>,
    weight: usize,
}

/// What the writer does next.
enum Next {
    Message(Message),
    /// Nobody has wanted anything for a while: the time is noted.
    Idle,
    /// What is written ahead could not be moved.
    Failed,
    End,
}

/// Whether the writer goes on.
#[derive(PartialEq, Eq)]
enum State {
    Open,
    Closing,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    sql: Option<SqliteConnection>,
    queue: UnboundedReceiver<Message>,
    publish: watch::Sender<Head>,
    last_time: DateTime<Utc>,
    lock: Lock,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        sql: SqliteConnection,
        queue: UnboundedReceiver<Message>,
        publish: watch::Sender<Head>,
        last_time: DateTime<Utc>,
        lock: Lock,
    ) -> Self {
        Self { shared, sql: Some(sql), queue, publish, last_time, lock }
    }

    /// Writes until the log is closed or nobody can append any more. Gives the lock back, to be let go last.
    pub(crate) async fn run(mut self) -> Lock {
        let mut state = State::Open;
        while state == State::Open {
            let mut group = Group::default();
            match self.next().await {
                Next::Message(first) => state = group.add(first),
                Next::Idle => self.note_time(),
                Next::Failed => {}
                Next::End => break,
            }
            // Those who were just answered get the chance to be in this group already: no timer, only their turn.
            let mut turns = 2;
            while state == State::Open {
                match self.queue.try_recv() {
                    Ok(message) => state = group.add(message),
                    Err(TryRecvError::Empty) if turns > 0 && !group.batches.is_empty() => {
                        turns -= 1;
                        tokio::task::yield_now().await;
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
            if let Err(why) = self.write(group).await {
                let after = self.recover(why).await;
                state = if state == State::Closing { state } else { after };
            }
        }
        self.queue.close();
        self.shared.readers.close().await;
        self.shared.checkpointer.close(self.sql.take()).await;
        self.lock
    }

    /// What is to be done next.
    async fn next(&mut self) -> Next {
        tokio::select! {
            biased;
            message = self.queue.recv() => message.map_or(Next::End, Next::Message),
            () = self.shared.checkpointer.failed() => Next::Failed,
            () = tokio::time::sleep(NOTE_INTERVAL) => Next::Idle,
        }
    }

    /// Notes that the log is open at this time, so that a start knows how long it rested.
    fn note_time(&mut self) {
        let head = *self.publish.borrow();
        if self.shared.judge_clock().is_ok()
            && let Err(error) = self.lock.write_head(head)
        {
            tracing::warn!(%error, "the time is not noted");
        }
    }

    /// One transaction for a whole group; everybody is answered, whatever comes of it.
    async fn write(&mut self, mut group: Group) -> Result<(), String> {
        let shared = Arc::clone(&self.shared);
        let _turn = shared.checkpointer.turn().await;
        let weight = group.weight;
        if let Some(why) = shared.checkpointer.fault() {
            shared.waiting.fetch_sub(weight, Ordering::Relaxed);
            for reply in group.replies {
                let _ = reply.send(Err(AppendError::Unavailable(why.clone())));
            }
            return Err(why);
        }
        if group.batches.is_empty() {
            return Ok(());
        }
        let now = match self.shared.judge_clock() {
            // Who mends the clock says that it is right.
            Err(ahead) if group.batches.iter().flatten().all(NewEvent::mends_clock) => ahead.now,
            Err(ahead) => {
                tracing::error!(error = %ahead, "nothing is recorded");
                self.shared.waiting.fetch_sub(weight, Ordering::Relaxed);
                for reply in group.replies {
                    let _ = reply.send(Err(AppendError::Unavailable(ahead.to_string())));
                }
                return Ok(());
            }
            Ok(now) => now,
        };
        let written = match self.find_recorded(&mut group).await {
            Ok(known) => self.insert(std::mem::take(&mut group.batches), &known, now).await,
            Err(why) => Err(why),
        };
        // Before the answers: who reads one may append at once.
        self.shared.waiting.fetch_sub(weight, Ordering::Relaxed);
        match written {
            Ok(outcomes) => {
                for (reply, outcomes) in group.replies.into_iter().zip(outcomes) {
                    let _ = reply.send(Ok(outcomes));
                }
                Ok(())
            }
            Err(why) => {
                for reply in group.replies {
                    let _ = reply.send(Err(AppendError::Unavailable(why.clone())));
                }
                Err(why)
            }
        }
    }

    /// What stands already under the group's keys. A batch that asks for a damaged record is answered and taken out:
    /// whether it is a duplicate cannot be said.
    async fn find_recorded(&mut self, group: &mut Group) -> Result<HashMap<EventKey, Known>, String> {
        let sql = self.sql.as_mut().ok_or("the log is not open")?;
        let events: Vec<_> = group.batches.iter().flatten().collect();
        let found = record::find_by_key(sql, &events).await?;
        let keys = found.into_iter().filter_map(|(index, position)| Some((position, events.get(index)?.key.clone())));
        let keys: BTreeMap<Position, EventKey> = keys.collect();
        let positions: Vec<Position> = keys.keys().copied().collect();
        let mut known = HashMap::with_capacity(keys.len());
        let mut damaged = HashMap::new();
        let mut left = positions.as_slice();
        while !left.is_empty() {
            let found = record::find_at(sql, &mut Decoder::default(), self.shared.id, left).await;
            let (found, count) = found.map_err(|e| e.to_string())?;
            let (here, rest) = left.split_at(count);
            let mut found: HashMap<Position, Found> = found.into_iter().collect();
            for position in here {
                let Some(key) = keys.get(position) else { continue };
                match found.remove(position).unwrap_or_else(|| Err(TailError::missing(*position))) {
                    Ok((record, _)) if record.event.key == *key => drop(known.insert(key.clone(), Known::of(&record))),
                    Ok(_) => {
                        let why = format!("the index of keys is damaged at position {position}");
                        drop(damaged.insert(key.clone(), why));
                    }
                    Err(error) => drop(damaged.insert(key.clone(), error.to_string())),
                }
            }
            left = rest;
        }
        if !damaged.is_empty() {
            let whole = std::mem::take(group);
            group.weight = whole.weight;
            for (batch, reply) in whole.batches.into_iter().zip(whole.replies) {
                if let Some(why) = batch.iter().find_map(|event| damaged.get(&event.key)) {
                    tracing::error!(error = why, "a returning event cannot be compared");
                    let _ = reply.send(Err(AppendError::Unavailable(why.clone())));
                } else {
                    group.batches.push(batch);
                    group.replies.push(reply);
                }
            }
        }
        Ok(known)
    }

    /// Makes what is new durable, then visible.
    async fn insert(
        &mut self,
        batches: Vec<Vec<NewEvent>>,
        known: &HashMap<EventKey, Known>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Vec<Outcome>>, String> {
        let sql = self.sql.as_mut().ok_or("the log is not open")?;
        let head = *self.publish.borrow();
        let Sequenced { outcomes, new, hashes, head, last_time } =
            sequence(batches, |key| known.get(key).copied(), head, self.last_time, now);
        if !new.is_empty() {
            record::insert(sql, &new, &hashes).await?;
            self.last_time = last_time;
            self.publish_records(head, new)?;
        }
        Ok(outcomes)
    }

    /// Tells readers about records that are durable.
    fn publish_records(&mut self, head: Head, records: Vec<Recorded>) -> Result<(), String> {
        self.lock.write_head(head).map_err(|e| format!("the lock file cannot be written: {e}"))?;
        self.shared.recent().push(records.into(), head.hash);
        self.publish.send_replace(head);
        Ok(())
    }

    /// Nothing is acknowledged any more. After a rest the file is opened anew, until that succeeds.
    ///
    /// Why not simply go on: after a failed fsync the kernel may have dropped the pages and report the next fsync as
    /// good, and SQLite would happily commit the next transaction (reference/log.md section 2).
    async fn recover(&mut self, mut why: String) -> State {
        loop {
            tracing::error!(error = why, "the log takes no events until it has been opened anew");
            self.shared.set_health(Health::Resting { why: why.clone() });
            if let Some(sql) = self.sql.take() {
                let _ = sql.close().await;
            }
            let rest = tokio::time::sleep(self.shared.options.back_off);
            tokio::pin!(rest);
            loop {
                let message = tokio::select! {
                    biased;
                    () = &mut rest => break,
                    message = self.queue.recv() => message,
                };
                let Some(Message::Append { weight, reply, .. }) = message else { return State::Closing };
                self.shared.waiting.fetch_sub(weight, Ordering::Relaxed);
                let _ = reply.send(Err(AppendError::Unavailable(why.clone())));
            }
            match self.reopen().await {
                Ok(()) => {
                    let position = self.publish.borrow().position.0;
                    tracing::warn!(position, "the log was opened anew and takes events again");
                    self.shared.set_health(Health::Writable);
                    return State::Open;
                }
                Err(error) => why = error.to_string(),
            }
        }
    }

    /// Opens the file, makes all of it durable again (see [`rollcall_sqlite::Checkpointer::begin_anew`]) and reads what stands
    /// behind the last record that is known to be durable: a transaction whose commit failed may be there all the same.
    async fn reopen(&mut self) -> Result<(), OpenError> {
        let shared = Arc::clone(&self.shared);
        let file = files::database(&shared.dir);
        let _turn = shared.checkpointer.turn().await;
        let mut sql = open::connect(&file, &shared.options).await?;
        let begun = shared.checkpointer.begin_anew(&mut sql).await;
        begun.map_err(|what| OpenError::Storage { place: files::place(&file), what })?;
        let durable = *self.publish.borrow();
        open::expect_head(&mut sql, &file, shared.id, durable).await?;
        let (head, last_time) = open::read_end(&mut sql, &file, shared.id, Some(durable)).await?;
        self.last_time = last_time.max(self.last_time);
        self.sql = Some(sql);
        if head != durable {
            self.lock.write_head(head).map_err(files::storage(&shared.dir))?;
            self.publish.send_replace(head);
        }
        Ok(())
    }
}

impl Group {
    fn add(&mut self, message: Message) -> State {
        match message {
            Message::Close => State::Closing,
            Message::Append { batch, weight, reply } => {
                self.batches.push(batch);
                self.replies.push(reply);
                self.weight += weight;
                State::Open
            }
        }
    }
}
