//! The task that moves the write-ahead log of one open database into it, by a connection of its own: whoever writes waits for
//! none of it but the little that came while the rest was moved. Knows no table; which failure means what is its owner's.

use std::{
    fs::{File, OpenOptions},
    mem::ManuallyDrop,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{MutexGuard, Notify, watch},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    durable::{blocking, make_durable},
    locks::ProcessLock,
    write_ahead::{self, Held, Moved, WriteAhead},
};

/// So much of a file is given back at once: a file system may take a quarter of a second for a gigabyte.
const PIECE: u64 = 32 << 20;

/// When what is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many bytes gather before they are moved.
    pub step: u64,
    /// How many bytes the write-ahead log has at most, unless a reader stays.
    pub most: u64,
    /// How long whoever writes may wait for readers so that the write-ahead log keeps to that.
    pub insist: Duration,
    /// How long until it is looked again whether a reader that stays is gone, or a failure over.
    pub look_again: Duration,
    /// How long it is not looked again after a look: each costs a statement.
    pub rest: Duration,
    /// How long a connection waits for readers where all has to be moved.
    pub wait: Duration,
    /// Whether what is committed must survive everything. Where it need not, a failure is told and it is tried again.
    pub durable: bool,
}

impl Limits {
    /// What is usual.
    pub const USUAL: Self = Self {
        step: 16 << 20,
        most: 256 << 20,
        insist: Duration::from_millis(100),
        look_again: Duration::from_secs(1),
        rest: Duration::from_millis(10),
        wait: Duration::from_secs(5),
        durable: true,
    };
}

/// So often all is moved beside whoever writes; then they wait for what came meanwhile, else it might never end.
const ROUNDS: u32 = 3;

/// Whoever holds it is the only one that writes, or takes the last step of moving. Dropped, it says that something was
/// written.
#[derive(Debug)]
pub struct Turn<'a> {
    wrote: &'a Notify,
    _only: MutexGuard<'a, ()>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.wrote.notify_one();
    }
}

/// Moves the write-ahead log of one database. Dropped, it stops.
#[derive(Debug)]
pub struct Checkpointer {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    path: PathBuf,
    connect: SqliteConnectOptions,
    limits: Limits,
    /// Something was written.
    wrote: Notify,
    turn: tokio::sync::Mutex<()>,
    own: tokio::sync::Mutex<Own>,
    state: Mutex<State>,
    fault: watch::Sender<Option<String>>,
}

/// What is taken in the order turn, own.
#[derive(Debug, Default)]
struct Own {
    sql: Option<SqliteConnection>,
    /// The database's own file, to sync it with. Opened once and closed last: closing any file of a database takes all
    /// locks on it from the whole process.
    data: Option<Arc<File>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    seen: Moved,
    held_since: Option<Instant>,
    /// When it was moved last, and how far.
    last: Option<(Instant, Moved)>,
    /// How much there was when somebody last had to wait for readers, and in vain.
    insisted: u64,
}

impl Checkpointer {
    /// Makes durable what is in the database, and moves from now on what is written into it. `writer` is the connection
    /// that writes it, and `connect` how another one is opened.
    ///
    /// # Errors
    /// What the storage said.
    pub async fn start(
        (name, path): (&'static str, &Path),
        connect: SqliteConnectOptions,
        writer: &mut SqliteConnection,
        limits: Limits,
    ) -> Result<Self, String> {
        let shared = Arc::new(Shared {
            name,
            path: path.to_owned(),
            connect: connect.pragma("wal_autocheckpoint", "0"),
            limits,
            wrote: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            own: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            fault: watch::Sender::new(None),
        });
        if limits.durable {
            let data = OpenOptions::new().read(true).write(true).open(path).map_err(|e| e.to_string())?;
            shared.own.lock().await.data = Some(Arc::new(data));
        }
        shared.begin_anew(writer).await?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(Arc::clone(&shared), stopped));
        Ok(Self { shared, stop, task: tokio::sync::Mutex::new(Some(task)) })
    }

    /// The turn to write. Held through one transaction.
    pub async fn turn(&self) -> Turn<'_> {
        Turn { _only: self.shared.turn.lock().await, wrote: &self.shared.wrote }
    }

    /// What failed. Nothing may be acknowledged, and nothing is moved, until [`Self::begin_anew`] succeeds.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.shared.fault.borrow().clone()
    }

    /// Waits for a failure.
    pub async fn failed(&self) {
        let mut fault = self.shared.fault.subscribe();
        if fault.wait_for(Option::is_some).await.is_err() {
            std::future::pending().await
        }
    }

    /// Makes all that is committed durable by a new connection of whoever writes, whatever failed before, and goes on. To be
    /// called with the turn.
    ///
    /// # Errors
    /// What the storage said. Nothing may be acknowledged then.
    pub async fn begin_anew(&self, writer: &mut SqliteConnection) -> Result<(), String> {
        self.shared.begin_anew(writer).await
    }

    /// Moves all of it now and empties it, waiting for readers. Whether that was possible. To be called with the turn.
    ///
    /// # Errors
    /// What the storage said.
    pub async fn empty(&self) -> Result<bool, String> {
        let done = self.shared.empty(self.shared.limits.wait).await;
        self.shared.fail_with(done)
    }

    /// What is written ahead, and where that is too much, who reads.
    #[must_use]
    pub fn write_ahead(&self) -> WriteAhead {
        let (state, Shared { name, path, limits, .. }) = (self.shared.state(), &*self.shared);
        let held = state.held_since.filter(|_| is_over(state, *limits)).map(|since| Held {
            lasting: since.elapsed(),
            by: write_ahead::readers(path).iter().map(ProcessLock::holder).collect(),
        });
        WriteAhead { database: name, bytes: state.seen.bytes(), held }
    }

    /// Moves all that can be moved and lets go of the database; `writer` is the last connection to it. After a failure that
    /// was not mended, or without one, what is open stays so until the process ends: closing it would move what SQLite
    /// believes is left, and throw the write-ahead log away.
    pub async fn close(&self, writer: Option<SqliteConnection>) {
        self.stop_moving().await;
        let mut left = ManuallyDrop::new((writer, std::mem::take(&mut *self.shared.own.lock().await)));
        let sound = self.fault().is_none();
        let moved = match &mut left.0 {
            Some(writer) if sound => write_ahead::empty(writer, self.shared.limits.wait).await.is_ok(),
            _ => false,
        };
        if !moved {
            tracing::warn!(database = self.shared.name, "it is not moved at close, but at the next start");
            return;
        }
        let (writer, Own { sql, data }) = ManuallyDrop::into_inner(left);
        for sql in [sql, writer].into_iter().flatten() {
            let _ = sql.close().await;
        }
        drop(data);
    }

    /// Moves nothing any more and closes its own connection; whoever writes has others.
    pub async fn stop(&self) {
        self.stop_moving().await;
        if let Some(sql) = self.shared.own.lock().await.sql.take() {
            let _ = sql.close().await;
        }
    }

    async fn stop_moving(&self) {
        let _ = self.stop.send(true);
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await;
        }
    }
}

#[cfg(test)]
impl Checkpointer {
    /// What a pass holds while it moves.
    pub(crate) async fn hold_moving(&self) -> impl Drop + use<'_> {
        self.shared.own.lock().await
    }

    /// The next look fails.
    pub(crate) async fn fail_once(&self) {
        let sql = self.shared.own.lock().await.sql.take();
        sql.unwrap().close().await.unwrap();
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

/// Whether there is more than should be, because somebody reads.
fn is_over(state: State, limits: Limits) -> bool {
    state.held_since.is_some() && state.seen.bytes() > limits.most
}

async fn run(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let Limits { look_again, rest, .. } = shared.limits;
    let mut failed = false;
    loop {
        let waits = failed || shared.state().held_since.is_some() || shared.takes_much();
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            () = shared.wrote.notified() => {}
            () = tokio::time::sleep(look_again), if waits => {}
        }
        if shared.fault.borrow().is_some() {
            continue;
        }
        let worked = shared.fail_with(shared.work().await);
        failed = worked.is_err();
        if let Err(what) = worked {
            tracing::warn!(database = shared.name, what, "what is written ahead is not moved; it is tried again");
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            () = tokio::time::sleep(if failed { look_again } else { rest }) => {}
        }
    }
}

impl Shared {
    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a failure, for whoever writes: where nothing may be lost, the owner has to begin anew.
    fn fail_with<T>(&self, result: Result<T, String>) -> Result<T, String> {
        if let (Err(what), true) = (&result, self.limits.durable) {
            self.fault.send_replace(Some(what.clone()));
        }
        result
    }

    async fn begin_anew(&self, writer: &mut SqliteConnection) -> Result<(), String> {
        let mut own = self.own.lock().await;
        if let Some(data) = &own.data {
            make_durable(writer, &self.path, data, self.limits.wait).await?;
        }
        // Its predecessor is closed while the writer's is open: it is not the last, which would throw the write-ahead log
        // away.
        if let Some(sql) = own.sql.take() {
            let _ = sql.close().await;
        }
        own.sql = Some(self.connect.connect().await.map_err(|e| e.to_string())?);
        self.fault.send_replace(None);
        self.wrote.notify_one();
        Ok(())
    }

    /// Looks how much there is, and moves it where that is due.
    async fn work(&self) -> Result<(), String> {
        let seen = self.look().await?;
        if !self.is_due(seen) {
            return Ok(());
        }
        for _ in 0..ROUNDS {
            let moved = self.advance().await?;
            if !moved.is_whole() || self.look().await?.left() <= self.limits.step / 4 {
                break;
            }
        }
        self.finish().await?;
        self.give_back().await
    }

    fn is_due(&self, seen: Moved) -> bool {
        let (State { held_since, last, .. }, Limits { step, look_again, .. }) = (self.state(), self.limits);
        let Some((at, then)) = last.filter(|_| held_since.is_some() || self.takes_much()) else {
            return seen.left() >= step;
        };
        // What somebody holds is moved no sooner for being looked at more often.
        let grown = if seen.frames < then.frames { seen.left() } else { seen.bytes() - then.bytes() };
        grown >= step || at.elapsed() >= look_again
    }

    /// Whether its file is larger than it should be. It stays as large as it was when it is begun anew.
    fn takes_much(&self) -> bool {
        std::fs::metadata(write_ahead::file(&self.path)).is_ok_and(|file| file.len() > self.limits.most)
    }

    /// What came while the rest was moved is moved while nobody writes, so that the write-ahead log begins anew with the next
    /// transaction. Where it is too large it is emptied, for which readers are waited for a moment; but not where much is
    /// left because of one: it could end just then, and whoever writes would wait until all is moved.
    async fn finish(&self) -> Result<(), String> {
        let State { held_since, last, insisted, .. } = self.state();
        let _turn = self.turn.lock().await;
        let seen = self.look().await?;
        let step = self.limits.step;
        let is_quiet = last.is_none_or(|(_, last)| last.frames == seen.frames);
        let may_wait = is_quiet || seen.bytes() < insisted || seen.bytes() >= insisted + step;
        let is_large = seen.bytes() > self.limits.most || (is_quiet && self.takes_much());
        if is_large && may_wait && (held_since.is_none() || seen.left() <= step) {
            let done = if is_quiet { self.empty(self.limits.insist).await? } else { self.restart().await? };
            self.with_state(|state| state.insisted = if done { 0 } else { seen.bytes() });
            return Ok(());
        }
        if held_since.is_none() && seen.left() > 0 {
            return self.advance().await.map(drop);
        }
        Ok(())
    }

    /// Gives back what a write-ahead log that began anew took before, piece by piece: whoever writes comes in between.
    async fn give_back(&self) -> Result<(), String> {
        while self.takes_much() {
            let _turn = self.turn.lock().await;
            // Far from its end: nobody else that writes gets there meanwhile.
            if self.look().await?.bytes() > self.limits.most / 2 {
                break;
            }
            let (path, most) = (write_ahead::file(&self.path), self.limits.most);
            let cut = blocking(move || {
                let file = OpenOptions::new().write(true).open(path)?;
                file.set_len(file.metadata()?.len().saturating_sub(PIECE).max(most))
            });
            cut.await.map_err(|e| format!("the write-ahead log is not cut: {e}"))?;
        }
        Ok(())
    }

    async fn look(&self) -> Result<Moved, String> {
        let mut own = self.own.lock().await;
        let seen = write_ahead::look(own.connection()?).await?;
        self.with_state(|state| state.seen = seen);
        Ok(seen)
    }

    /// Moves what can be moved, and has it on the disk: SQLite itself syncs it only where nothing was written meanwhile, and
    /// then whoever has the turn would wait for all of it.
    async fn advance(&self) -> Result<Moved, String> {
        let mut own = self.own.lock().await;
        let moved = write_ahead::advance(own.connection()?).await?;
        if let Some(data) = own.data.clone() {
            let synced = blocking(move || data.sync_data()).await;
            synced.map_err(|e| format!("the database cannot be synced: {e}"))?;
        }
        self.note(moved);
        Ok(moved)
    }

    async fn empty(&self, wait: Duration) -> Result<bool, String> {
        let mut own = self.own.lock().await;
        let moved = write_ahead::empty(own.connection()?, wait).await?;
        self.note(moved);
        Ok(moved.is_whole())
    }

    async fn restart(&self) -> Result<bool, String> {
        let mut own = self.own.lock().await;
        let moved = write_ahead::restart(own.connection()?, self.limits.insist).await?;
        self.note(moved);
        if moved.is_whole() {
            // All of it begins anew with the next write.
            self.with_state(|state| (state.held_since, state.seen) = (None, Moved::default()));
        }
        Ok(moved.is_whole())
    }

    fn note(&self, moved: Moved) {
        let limits = self.limits;
        let (was_over, state) = self.with_state(|state| {
            let was_over = is_over(*state, limits);
            state.seen = moved;
            state.last = Some((Instant::now(), moved));
            if !moved.is_whole() {
                state.held_since.get_or_insert_with(Instant::now);
            } else if moved.bytes() <= limits.most {
                // Where there is more it is not known yet whether readers let it begin anew.
                state.held_since = None;
            }
            (was_over, *state)
        });
        let (database, bytes) = (self.name, state.seen.bytes());
        match (was_over, is_over(state, limits)) {
            (false, true) => tracing::warn!(database, bytes, "a reader stays; the write-ahead log grows"),
            (true, false) => tracing::info!(database, bytes, "the write-ahead log is moved again"),
            _ => {}
        }
    }
}

impl Own {
    fn connection(&mut self) -> Result<&mut SqliteConnection, String> {
        self.sql.as_mut().ok_or_else(|| "it is closed".to_owned())
    }
}
