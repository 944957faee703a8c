//! What the writer, the readers and the signing task of one open log share. Writes no record.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rollcall_events::{Clock, LogId, Position};
use rollcall_sqlite::Checkpointer;
use sqlx::{Sqlite, SqlitePool, pool::PoolConnection};
use tokio::sync::watch;

use super::{chain::read_error, files, open::Options, recent::Recent};
use crate::{
    ClockAhead, Head, Health, SignedHead, TailError,
    head::SigningKey,
    plausible::{LastKnown, Reading},
};

/// What writer and readers share.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) id: LogId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) key: SigningKey,
    pub(crate) options: Options,
    pub(crate) readers: SqlitePool,
    pub(crate) head: watch::Receiver<Head>,
    pub(crate) recent: Mutex<Recent>,
    /// Weight of what waits to be written.
    pub(crate) waiting: AtomicUsize,
    /// The last signed head, as in `head.json`.
    pub(crate) signed: tokio::sync::Mutex<Option<SignedHead>>,
    pub(crate) health: Mutex<Health>,
    /// The last time that was known to be right.
    pub(crate) last_known: Mutex<LastKnown>,
    /// Moves what is written ahead.
    pub(crate) checkpointer: Checkpointer,
}

impl Shared {
    /// Signs the newest head and keeps it in `head.json`; what is signed already is given as it is.
    pub(crate) async fn sign(&self) -> Result<SignedHead, String> {
        let mut signed = self.signed.lock().await;
        let head = *self.head.borrow();
        if let Some(last) = signed.as_ref().filter(|last| last.head() == Ok(head)) {
            return Ok(last.clone());
        }
        let new = self.key.sign(self.id, head, self.clock.now()).ok_or("the log's key cannot sign")?;
        let (dir, kept) = (self.dir.clone(), new.clone());
        tokio::task::spawn_blocking(move || files::write_signed_head(&dir, &kept))
            .await
            .map_err(|e| e.to_string())?
            .map_err(|e| format!("the signed head cannot be kept: {e}"))?;
        *signed = Some(new.clone());
        Ok(new)
    }

    pub(crate) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What time it is, where the clock can be right.
    pub(crate) fn judge_clock(&self) -> Result<DateTime<Utc>, ClockAhead> {
        let mut known = self.last_known.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = Reading::of(&*self.clock);
        known.judge(reading).map(|()| reading.now)
    }

    pub(crate) fn set_health(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    /// A connection that reads.
    pub(crate) async fn reader(&self) -> Result<PoolConnection<Sqlite>, TailError> {
        self.readers.acquire().await.map_err(|error| read_error(Position(0), &error))
    }
}

/// Signs the head every 1 000 events or 60 s when there is something new, at most once a second, and at the end.
pub(crate) async fn sign_periodically(shared: Arc<Shared>) {
    let mut head = shared.head.clone();
    let mut last = shared.signed.lock().await.as_ref().map_or(Position(0), |signed| signed.position);
    let mut open = true;
    while open {
        open = wait_until_due(&mut head, last).await;
        if head.borrow().position == last {
            continue;
        }
        match shared.sign().await {
            Ok(signed) => last = signed.position,
            Err(error) => {
                tracing::warn!(error, "the log's head could not be signed");
                open = open && sleep_while_open(&mut head, Duration::from_secs(60)).await;
            }
        }
    }
}

/// Waits for a head that should be signed; false if the log was closed meanwhile.
async fn wait_until_due(head: &mut watch::Receiver<Head>, last: Position) -> bool {
    if head.wait_for(|head| head.position > last).await.is_err() {
        return false;
    }
    let many = head.wait_for(|head| head.position.0 >= last.0.saturating_add(1000));
    match tokio::time::timeout(Duration::from_secs(60), many).await.map(|many| many.is_ok()) {
        Ok(true) => sleep_while_open(head, Duration::from_secs(1)).await,
        Ok(false) => false,
        Err(_) => true,
    }
}

/// Lets `time` pass; false if the log is closed before it has.
async fn sleep_while_open(head: &mut watch::Receiver<Head>, time: Duration) -> bool {
    tokio::time::timeout(time, head.wait_for(|_| false)).await.is_err()
}
