//! Folding beside the live roster: a check, a rebuild, a read side that fell behind. Ends under the gate, where two
//! rosters can be compared at one position. Changes nothing live before that.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use rollcall_access::{Folded, Roster, membership_digest};
use rollcall_eventlog::TailError;
use rollcall_events::{Digest, Position};
use rollcall_store::read::{Projection, ReadError, Rebuild};
use serde::Serialize;
use tokio::sync::MutexGuard;

use crate::{
    PAGE,
    follower::BATCH,
    shared::{Feed, Shared, is_known, lock, unknown},
    snapshot,
};

/// How near, in positions, a fold has to be before the live one is made to wait for it.
const NEAR: u64 = 100;
/// How long a check makes the live roster wait for the SQL side.
const WAIT_FOR_SQL: Duration = Duration::from_secs(10);

/// Why something was not folded beside. The live roster and the read side are as they were.
#[derive(Debug, thiserror::Error)]
pub enum BesideError {
    /// Another check or rebuild is under way. Wait for it.
    #[error("a check, a rebuild or a catching up is under way")]
    Busy,
    /// The process is stopping, or the fold has stopped.
    #[error("the projector has stopped or is stopping")]
    Stopping,
    /// The log holds what this version does not know.
    #[error("{0}")]
    Unknown(String),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] TailError),
    /// The read side cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Two folds of one log, and the SQL view, held against each other at one position and instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The position that all had.
    pub position: Position,
    /// The instant at which windows were judged.
    pub at: DateTime<Utc>,
    /// The membership digest of the live roster.
    pub live: Digest,
    /// The one of the roster folded anew.
    pub replayed: Digest,
    /// The one of the SQL view; absent where the SQL side was not at that position.
    pub sql: Option<Digest>,
    /// Whether the new roster and read side took the place of the live ones.
    pub swapped: bool,
}

impl Compared {
    /// Whether all that were compared are the same.
    #[must_use]
    pub fn same(&self) -> bool {
        self.live == self.replayed && self.sql.is_none_or(|sql| sql == self.replayed)
    }
}

/// How far something beside the live roster has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// `check`, `rebuild` or `catch up`.
    pub what: &'static str,
    /// The last position folded.
    pub position: Position,
    /// The log's newest position.
    pub head: Position,
}

/// Where what is folded beside is written to.
enum Target {
    Nowhere,
    InUse(Arc<dyn Projection>),
    Next(Box<dyn Rebuild>),
}

/// A second fold of the log.
struct Beside<'a> {
    shared: &'a Shared,
    what: &'static str,
    roster: Roster,
    target: Target,
    written: Position,
    waiting: Vec<Folded>,
}

impl<'a> Beside<'a> {
    fn new(shared: &'a Shared, what: &'static str, roster: Roster, target: Target, written: Position) -> Self {
        Self { shared, what, roster, target, written, waiting: Vec::new() }
    }

    /// Folds until it is near the live roster.
    async fn approach(&mut self) -> Result<(), BesideError> {
        let shared = self.shared;
        let applied = shared.applied.subscribe();
        let mut pages = shared.tail.read(self.roster.position(), PAGE);
        while applied.borrow().0 > self.roster.position().0 + NEAR {
            let page = pages.next().await.ok_or(BesideError::Stopping)??;
            self.fold(page.iter(), Position(u64::MAX)).await?;
        }
        Ok(())
    }

    /// Approaches, and makes the indexes of a second file as soon as nearly everything is in it.
    async fn approach_and_index(&mut self) -> Result<(), BesideError> {
        self.approach().await?;
        self.flush().await?;
        if let Target::Next(next) = &self.target {
            next.index().await?;
            self.approach().await?;
        }
        Ok(())
    }

    /// Takes the gate and folds what is left: the live roster stands still at this one's position as long as the guard
    /// that is returned is held.
    async fn arrive(&mut self) -> Result<MutexGuard<'a, Feed>, BesideError> {
        let gate = self.shared.gate.lock().await;
        let to = *self.shared.applied.borrow();
        let mut pages = self.shared.tail.read(self.roster.position(), PAGE);
        while self.roster.position() < to {
            let page = pages.next().await.ok_or(BesideError::Stopping)??;
            self.fold(page.iter().take_while(|record| record.position <= to), to).await?;
        }
        self.flush().await?;
        Ok(gate)
    }

    async fn fold(
        &mut self,
        page: impl Iterator<Item = &rollcall_events::Recorded>,
        to: Position,
    ) -> Result<(), BesideError> {
        for record in page {
            if !is_known(record) {
                return Err(BesideError::Unknown(unknown(record)));
            }
            let folded = self.roster.apply(record);
            if folded.position > self.written && !matches!(self.target, Target::Nowhere) {
                self.waiting.push(folded);
            }
        }
        if self.waiting.len() >= BATCH || self.roster.position() >= to {
            self.flush().await?;
        }
        if self.shared.is_over() {
            return Err(BesideError::Stopping);
        }
        let head = self.shared.tail.head().borrow().position;
        let progress = Progress { what: self.what, position: self.roster.position(), head };
        self.shared.progress.send_replace(Some(progress));
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BesideError> {
        if let Some(Folded { position: to, .. }) = self.waiting.last() {
            let to = *to;
            match &self.target {
                Target::Nowhere => {}
                Target::Next(next) => next.apply(&self.waiting, self.written, to).await?,
                Target::InUse(read) => {
                    read.apply(&self.waiting, self.written, to).await?;
                    self.shared.written.send_replace(to);
                }
            }
            self.written = to;
            self.waiting.clear();
        }
        Ok(())
    }
}

/// Clears the progress at the end, however it came.
struct Done<'a>(&'a Shared);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.progress.send_replace(None);
    }
}

/// The digest of the live roster, computed off the runtime: it takes a while, and readers go on meanwhile.
async fn live_digest(shared: &Shared, now: DateTime<Utc>) -> Result<Digest, BesideError> {
    let live = Arc::clone(&shared.live);
    let digest = tokio::task::spawn_blocking(move || membership_digest(&live.read(), now)).await;
    digest.map_err(|_| BesideError::Stopping)
}

async fn digest(roster: Roster, now: DateTime<Utc>) -> Result<(Roster, Digest), BesideError> {
    let digest = tokio::task::spawn_blocking(move || {
        let digest = membership_digest(&roster, now);
        (roster, digest)
    })
    .await;
    digest.map_err(|_| BesideError::Stopping)
}

/// Folds the whole log into a second roster and compares it, and the SQL view, with the live one.
pub(crate) async fn check(shared: &Shared) -> Result<Compared, BesideError> {
    let _only = shared.beside.try_lock().map_err(|_| BesideError::Busy)?;
    let _done = Done(shared);
    let mut beside = begin(shared, "check", Target::Nowhere)?;
    beside.approach().await?;
    let gate = beside.arrive().await?;
    let (position, now) = (beside.roster.position(), shared.clock.now());
    let live = live_digest(shared, now).await?;
    // The SQL side is held where the rosters were compared; then the roster goes on.
    let sql = if shared.attached.load(Ordering::Relaxed) {
        let mut written = shared.written.subscribe();
        let there = tokio::time::timeout(WAIT_FOR_SQL, written.wait_for(|written| *written >= position)).await;
        let there = there.is_ok_and(|reached| reached.is_ok());
        if there { Some(shared.sql.lock().await) } else { None }
    } else {
        None
    };
    drop(gate);
    let (_, replayed) = digest(beside.roster, now).await?;
    let sql = match sql {
        Some(_held) => Some(shared.read.membership_digest(now).await?),
        None => None,
    };
    let compared = Compared { position, at: now, live, replayed, sql, swapped: false };
    said(&compared, "check");
    Ok(compared)
}

/// Folds the whole log into a second roster and a second read side and puts both in the place of the live ones.
pub(crate) async fn rebuild(shared: &Shared) -> Result<Compared, BesideError> {
    let _only = shared.beside.try_lock().map_err(|_| BesideError::Busy)?;
    let _done = Done(shared);
    let next = Target::Next(shared.read.start_rebuild().await?);
    let mut beside = begin(shared, "rebuild", next)?;
    beside.approach_and_index().await?;
    let gate = beside.arrive().await?;
    let Beside { roster, target, .. } = beside;
    let (position, now) = (roster.position(), shared.clock.now());
    let live = live_digest(shared, now).await?;
    let (roster, replayed) = digest(roster, now).await?;
    let old = shared.live.replace(roster);
    let sql = swap(shared, gate, target, position, Some(now)).await?;
    drop(old);
    let compared = Compared { position, at: now, live, replayed, sql, swapped: true };
    said(&compared, "rebuild");
    *lock(&shared.rebuilt) = Some(compared);
    Ok(compared)
}

/// Brings the read side to where the live roster is, and attaches it.
pub(crate) async fn catch_up(shared: &Shared) -> Result<(), BesideError> {
    let _only = shared.beside.lock().await;
    let _done = Done(shared);
    if shared.attached.load(Ordering::Relaxed) {
        // A rebuild did it.
        return Ok(());
    }
    // Nobody else writes while it is detached.
    let written = shared.read.position().await?;
    let log = shared.tail.log_id();
    tracing::info!(from = %written, to = %*shared.applied.borrow(), "read side catches up");
    let (roster, target) = if written == Position(0) {
        // From nothing, a second file is filled faster.
        (None, Target::Next(shared.read.start_rebuild().await?))
    } else {
        // What is folded again only has to lead up to where the file stands.
        let start = snapshot::load(&shared.dir, log).filter(|roster| roster.position() <= written);
        (start, Target::InUse(shared.read.clone()))
    };
    let mut beside = Beside::new(shared, "catch up", roster.unwrap_or_else(|| Roster::new(log)), target, written);
    beside.approach_and_index().await?;
    let gate = beside.arrive().await?;
    let position = beside.roster.position();
    swap(shared, gate, beside.target, position, None).await?;
    tracing::info!(%position, "read side caught up");
    Ok(())
}

/// Lets the SQL side follow from `position` on, where the gate holds the live roster, with what was folded beside. The
/// gate is let go first: the exchange waits for readers, and the roster must not. Gives the digest of the SQL view
/// where an instant is given.
async fn swap(
    shared: &Shared,
    gate: MutexGuard<'_, Feed>,
    target: Target,
    position: Position,
    at: Option<DateTime<Utc>>,
) -> Result<Option<Digest>, BesideError> {
    let mut sql = shared.sql.lock().await;
    let was_attached = shared.attached.swap(true, Ordering::Relaxed);
    drop(gate);
    let exchange = async {
        let mut digest = None;
        if let Target::Next(next) = target {
            if let Some(at) = at {
                digest = Some(next.membership_digest(at).await?);
            }
            next.swap().await?;
        }
        Ok(digest)
    };
    match exchange.await {
        Ok(digest) => {
            *sql = position;
            shared.written.send_replace(position);
            Ok(digest)
        }
        Err(error) => {
            // The file in use stays: what is handed on since `position` fits it only if it was attached all along.
            drop(sql);
            let _gate = shared.gate.lock().await;
            shared.attached.store(was_attached, Ordering::Relaxed);
            Err(error)
        }
    }
}

fn begin<'a>(shared: &'a Shared, what: &'static str, target: Target) -> Result<Beside<'a>, BesideError> {
    if shared.is_over() {
        return Err(BesideError::Stopping);
    }
    Ok(Beside::new(shared, what, Roster::new(shared.tail.log_id()), target, Position(0)))
}

/// Says aloud what a comparison found. The log is the truth: a live roster that differs from it is a fault to report.
fn said(compared: &Compared, what: &'static str) {
    let Compared { position, live, replayed, sql, swapped, .. } = compared;
    if compared.same() {
        tracing::info!(what, %position, digest = %live, swapped, "compared, no difference");
    } else {
        tracing::error!(what, %position, %live, %replayed, ?sql, swapped, "compared, different");
    }
}
