//! A check, a rebuild, a read side that fell behind: each a second fold (`replay`) that ends under the gate, where two
//! rosters can be compared at one position and the new one put in place.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rollcall_access::{Roster, membership_digest};
use rollcall_events::{Digest, Position};
use tokio::sync::MutexGuard;

use crate::{
    Compared, RebuildError, Task,
    replay::{Replay, Target},
    shared::{ReadQueue, Shared, lock},
    snapshot,
};

/// How long a check makes the live roster wait for the SQL side.
const READ_SIDE_TIMEOUT: Duration = Duration::from_secs(10);

/// Clears the progress at the end, however it came.
struct ClearProgress<'a>(&'a Shared);

impl Drop for ClearProgress<'_> {
    fn drop(&mut self) {
        self.0.progress.send_replace(None);
    }
}

/// The digest of the live roster, computed off the runtime: it takes a while, and readers go on meanwhile.
async fn live_digest(shared: &Shared, now: DateTime<Utc>) -> Result<Digest, RebuildError> {
    let live = Arc::clone(&shared.live);
    let digest = tokio::task::spawn_blocking(move || membership_digest(&live.read_long(), now)).await;
    digest.map_err(|_| RebuildError::Stopping)
}

async fn digest(roster: Roster, now: DateTime<Utc>) -> Result<(Roster, Digest), RebuildError> {
    let digest = tokio::task::spawn_blocking(move || {
        let digest = membership_digest(&roster, now);
        (roster, digest)
    })
    .await;
    digest.map_err(|_| RebuildError::Stopping)
}

/// Folds the whole log into a second roster and compares it, and the SQL view, with the live one.
pub(crate) async fn check(shared: &Shared) -> Result<Compared, RebuildError> {
    let _only = shared.rebuilding.try_lock().map_err(|_| RebuildError::Busy)?;
    let _done = ClearProgress(shared);
    let mut replay = start(shared, Task::Check, Target::Nowhere)?;
    replay.fold_until_near().await?;
    let gate = replay.finish_under_gate().await?;
    let (position, now) = (replay.roster.position(), shared.clock.now());
    let live = live_digest(shared, now).await?;
    // The SQL side is held where the rosters were compared; then the roster goes on.
    let sql = if shared.attached.load(Ordering::Relaxed) {
        let mut written = shared.written.subscribe();
        let there = tokio::time::timeout(READ_SIDE_TIMEOUT, written.wait_for(|written| *written >= position)).await;
        let there = there.is_ok_and(|reached| reached.is_ok());
        if there { Some(shared.read_position.lock().await) } else { None }
    } else {
        None
    };
    drop(gate);
    let (_, replayed) = digest(replay.roster, now).await?;
    let sql = match sql {
        Some(_held) => Some(shared.read.membership_digest(now).await?),
        None => None,
    };
    let compared = Compared { position, at: now, live, replayed, sql, swapped: false };
    log_comparison(&compared, Task::Check);
    Ok(compared)
}

/// Folds the whole log into a second roster and a second read side and puts both in the place of the live ones.
pub(crate) async fn rebuild(shared: &Shared) -> Result<Compared, RebuildError> {
    let _only = shared.rebuilding.try_lock().map_err(|_| RebuildError::Busy)?;
    let _done = ClearProgress(shared);
    let next = Target::Next(shared.read.start_rebuild().await?);
    let mut replay = start(shared, Task::Rebuild, next)?;
    replay.fold_until_near_and_index().await?;
    let gate = replay.finish_under_gate().await?;
    let Replay { roster, target, .. } = replay;
    let (position, now) = (roster.position(), shared.clock.now());
    let live = live_digest(shared, now).await?;
    let (roster, replayed) = digest(roster, now).await?;
    let old = shared.live.replace(roster);
    let sql = attach(shared, gate, target, position, Some(now)).await?;
    drop(old);
    let compared = Compared { position, at: now, live, replayed, sql, swapped: true };
    log_comparison(&compared, Task::Rebuild);
    *lock(&shared.rebuilt) = Some(compared);
    Ok(compared)
}

/// Brings the read side to where the live roster is, and attaches it.
pub(crate) async fn catch_up(shared: &Shared) -> Result<(), RebuildError> {
    let _only = shared.rebuilding.lock().await;
    let _done = ClearProgress(shared);
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
    let mut replay = Replay::new(shared, Task::CatchUp, roster.unwrap_or_else(|| Roster::new(log)), target, written);
    replay.fold_until_near_and_index().await?;
    let gate = replay.finish_under_gate().await?;
    let position = replay.roster.position();
    attach(shared, gate, replay.target, position, None).await?;
    tracing::info!(%position, "read side caught up");
    Ok(())
}

/// Lets the SQL side follow from `position` on, where the gate holds the live roster, with what was folded replay. The
/// gate is let go first: the exchange waits for readers, and the roster must not. Gives the digest of the SQL view
/// where an instant is given.
async fn attach(
    shared: &Shared,
    gate: MutexGuard<'_, ReadQueue>,
    target: Target,
    position: Position,
    at: Option<DateTime<Utc>>,
) -> Result<Option<Digest>, RebuildError> {
    let mut sql = shared.read_position.lock().await;
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

fn start<'a>(shared: &'a Shared, task: Task, target: Target) -> Result<Replay<'a>, RebuildError> {
    if shared.has_stopped() {
        return Err(RebuildError::Stopping);
    }
    Ok(Replay::new(shared, task, Roster::new(shared.tail.log_id()), target, Position(0)))
}

/// Logs what a comparison found. The log is the truth: a live roster that differs from it is a fault to report.
fn log_comparison(compared: &Compared, task: Task) {
    let what = task.as_str();
    let Compared { position, live, replayed, sql, swapped, .. } = compared;
    if compared.same() {
        tracing::info!(what, %position, digest = %live, swapped, "compared, no difference");
    } else {
        tracing::error!(what, %position, %live, %replayed, ?sql, swapped, "compared, different");
    }
}
