//! A check, a rebuild, a read side that fell behind: each a second fold (`replay`) beside the live one. Whoever folds
//! waits for none of them longer than it takes to fold some hundred events: what is compared is compared on views.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::try_join;
use rollcall_access::{FoldVersions, Roster, membership_digest};
use rollcall_events::{Digest, Position};

use crate::{
    Compared, ComparedSql, RebuildError, Task,
    replay::{Replay, Target},
    shared::{Shared, lock},
    snapshot,
};

/// How long a check waits for the SQL side.
const READ_SIDE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many of what was found wrong are named.
const FLAWS_NAMED: usize = 16;

/// Clears the progress at the end, however it came.
struct ClearProgress<'a>(&'a Shared);

impl Drop for ClearProgress<'_> {
    fn drop(&mut self) {
        self.0.progress.send_replace(None);
    }
}

/// Works off the runtime: it takes a while.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RebuildError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| RebuildError::Stopping)
}

/// The digest of all facts: two folds of one log have the same bytes.
fn facts_digest(roster: &Roster) -> Digest {
    Digest::of(&roster.to_snapshot())
}

/// The digests of the facts of the live roster and of the one folded anew, and about how many things the live one kept ready
/// what does not follow from its facts.
fn compare(live: &Roster, again: &Roster) -> (Digest, Digest, usize) {
    let flaws = live.fast_path_flaws();
    if !flaws.is_empty() {
        let some: Vec<_> = flaws.iter().take(FLAWS_NAMED).collect();
        tracing::error!(flaws = flaws.len(), ?some, "what is kept ready for decisions does not follow from the facts");
    }
    (facts_digest(live), facts_digest(again), flaws.len())
}

/// Folds the whole log into a second roster and compares it with the live one, and with the SQL view.
pub(crate) async fn check(shared: &Shared) -> Result<Compared, RebuildError> {
    let _only = shared.rebuilding.try_lock().map_err(|_| RebuildError::Busy)?;
    let _done = ClearProgress(shared);
    let mut replay = start(shared, Task::Check, Target::Nowhere)?;
    replay.fold_until_near().await?;
    let gate = replay.finish_under_gate().await?;
    let live = shared.view();
    drop(gate);
    let position = live.position();
    let again = replay.roster.clone();
    let (live, replayed, flaws) = blocking(move || compare(&live, &again)).await?;
    let sql = compare_sql(shared, replay).await?;
    let compared = Compared { position, live, replayed, flaws, sql, swapped: false };
    log_comparison(&compared, Task::Check);
    Ok(compared)
}

/// Folds the whole log into a second roster and a second read side and puts both in the place of the live ones.
pub(crate) async fn rebuild(shared: &Shared) -> Result<Compared, RebuildError> {
    let _only = shared.rebuilding.try_lock().map_err(|_| RebuildError::Busy)?;
    let _done = ClearProgress(shared);
    let compared = replace(shared, Task::Rebuild).await?;
    log_comparison(&compared, Task::Rebuild);
    *lock(&shared.rebuilt) = Some(compared);
    Ok(compared)
}

/// As a rebuild, of a roster whose facts an earlier fold made: that they differ is no fault.
pub(crate) async fn refold(shared: &Shared) -> Result<(), RebuildError> {
    let _only = shared.rebuilding.lock().await;
    let _done = ClearProgress(shared);
    let Some(version) = shared.older_fold() else { return Ok(()) };
    let compared = replace(shared, Task::Refold).await?;
    let Compared { position, live, replayed, sql, .. } = compared;
    if let Some(sql) = sql.filter(|sql| !sql.same()) {
        tracing::error!(?sql, "the read side that was made anew differs from the roster that was made anew");
    }
    tracing::info!(from = version, %position, same = live == replayed, "facts folded anew, as this version understands the log");
    Ok(())
}

async fn replace(shared: &Shared, task: Task) -> Result<Compared, RebuildError> {
    let next = Target::Next(shared.read.start_rebuild().await?);
    let mut replay = start(shared, task, next)?;
    replay.fold_until_near_and_index().await?;
    let sql = compare_next(shared, &mut replay).await?;
    if shared.older_fold().is_some() {
        // Kept before it answers: a start in between must not begin all over.
        let roster = Arc::new(replay.roster.clone());
        snapshot::keep(shared, roster, shared.options.folds.current).await;
    }
    let ((old, new), position) = attach(shared, replay, |roster| shared.exchange(roster)).await?;
    let (live, replayed, flaws) = blocking(move || compare(&old, &new)).await?;
    Ok(Compared { position, live, replayed, flaws, sql, swapped: true })
}

/// Holds the SQL view against the log, at the position that it has once it is where the roster was. `None` where it does
/// not come there in time.
async fn compare_sql(shared: &Shared, mut replay: Replay<'_>) -> Result<Option<ComparedSql>, RebuildError> {
    let reached = replay.roster.position();
    let mut written = shared.written.subscribe();
    let arrival = tokio::time::timeout(READ_SIDE_TIMEOUT, written.wait_for(|written| *written >= reached));
    if !shared.attached.load(Ordering::Relaxed) || !matches!(arrival.await, Ok(Ok(_))) {
        return Ok(None);
    }
    let frozen = shared.read.freeze().await?;
    let (position, at) = (frozen.position(), shared.clock.now());
    replay.fold_to(position).await?;
    let roster = replay.roster;
    let view = async { Ok(frozen.membership_digest(at).await?) };
    let (replayed, view) = try_join(blocking(move || membership_digest(&roster, at)), view).await?;
    Ok(Some(ComparedSql { position, at, view, replayed }))
}

/// Holds a second file against the roster that it was filled from. Nobody else has either yet.
async fn compare_next(shared: &Shared, replay: &mut Replay<'_>) -> Result<Option<ComparedSql>, RebuildError> {
    replay.sink.flush().await?;
    let Target::Next(next) = &replay.sink.target else { return Ok(None) };
    let (position, at) = (replay.roster.position(), shared.clock.now());
    let roster = replay.roster.clone();
    let view = async { Ok(next.membership_digest(at).await?) };
    let (replayed, view) = try_join(blocking(move || membership_digest(&roster, at)), view).await?;
    Ok(Some(ComparedSql { position, at, view, replayed }))
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
        let folds = shared.options.folds;
        let kept = snapshot::load(&shared.dir, log, FoldVersions { readable_since: folds.current, ..folds });
        let start = kept.map(|(roster, _)| roster).filter(|roster| roster.position() <= written);
        (start, Target::InUse(shared.read.clone()))
    };
    let mut replay = Replay::new(shared, Task::CatchUp, roster.unwrap_or_else(|| Roster::new(log)), target, written);
    replay.fold_until_near_and_index().await?;
    // Handed out, so that nobody waits at the gate until it is gone.
    let (roster, position) = attach(shared, replay, |roster| roster).await?;
    blocking(move || drop(roster)).await?;
    tracing::info!(%position, "read side caught up");
    Ok(())
}

/// Lets the SQL side follow from where a replay meets the live roster. Whoever folds waits there for the last events and
/// for `exchange`, which gets the roster that was folded; all that writes or waits for readers comes before or after.
async fn attach<T>(
    shared: &Shared,
    mut replay: Replay<'_>,
    exchange: impl FnOnce(Roster) -> T,
) -> Result<(T, Position), RebuildError> {
    replay.fold_until_near().await?;
    // Before the gate: a batch may be on its way. What is handed on from here on waits.
    let mut sql = shared.read_position.lock().await;
    replay.fold_until_near().await?;
    replay.sink.flush().await?;
    let gate = replay.finish_under_gate().await?;
    let Replay { roster, mut sink, .. } = replay;
    let position = roster.position();
    let exchanged = exchange(roster);
    let was_attached = shared.attached.swap(true, Ordering::Relaxed);
    drop(gate);
    let follow = async {
        sink.flush().await?;
        match sink.target {
            Target::Next(next) => next.swap().await,
            Target::InUse(_) | Target::Nowhere => Ok(()),
        }
    };
    match follow.await {
        Ok(()) => {
            *sql = position;
            shared.written.send_replace(position);
            Ok((exchanged, position))
        }
        Err(error) => {
            // The file in use stays: what is handed on since `position` fits it only if it was attached all along.
            drop(sql);
            let _gate = shared.gate.lock().await;
            shared.attached.store(was_attached, Ordering::Relaxed);
            Err(error.into())
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
    let Compared { position, live, replayed, flaws, sql, swapped } = compared;
    if compared.same() {
        tracing::info!(what, %position, facts = %live, swapped, "compared, no difference");
    } else {
        tracing::error!(what, %position, %live, %replayed, flaws, ?sql, swapped, "compared, different");
    }
}
