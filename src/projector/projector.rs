//! The run loop: opens, folds what the tail gives, and lets go in the end. The fold itself is in `shared`.

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use futures_util::StreamExt;
use rollcall_access::{Roster, SharedRoster};
use rollcall_eventlog::{Tail, TailError};
use rollcall_events::{Clock, Position};
use rollcall_store::read::{Read, ReadError};
use tokio::sync::mpsc;

use crate::{
    Handle, Options, history,
    hold_meter::HeldSeconds,
    options::PAGE_RECORDS,
    read_writer,
    shared::{Shared, Work},
    snapshot,
};

/// How long a log that cannot be read is left alone.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How often the roster's age is looked at while nothing happens.
const AGE_INTERVAL: Duration = Duration::from_secs(1);

/// Why the projector does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log lacks what was once read from it. Restore the whole log, or remove the file if the log is meant to be so.
    #[error("the log ends at {head}, but {file} was derived from it up to {at}: the log is not whole")]
    LogShorter {
        /// The file that knows of more.
        file: &'static str,
        /// Up to where.
        at: Position,
        /// Where the log ends.
        head: Position,
    },
    /// The read side cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The run loop, opened and not yet running.
pub struct Projector {
    shared: Arc<Shared>,
    work: mpsc::UnboundedReceiver<Work>,
}

impl Projector {
    /// Opens the snapshot in `dir` for the log behind `tail`, with `read` behind it. [`Projector::run`] brings both up to
    /// date.
    ///
    /// # Errors
    /// As [`StartError`]. A damaged or foreign snapshot is no error: the roster is derived anew, aloud.
    pub async fn open(
        dir: &Path,
        tail: Arc<dyn Tail>,
        read: Arc<dyn Read>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<(Self, Handle), StartError> {
        let log = tail.log_id();
        let head = tail.head().borrow().position;
        let current = options.folds.current;
        let kept = snapshot::load(dir, log, options.folds);
        let (roster, version) = kept.unwrap_or_else(|| (Roster::new(log), current));
        let written = read.position().await?;
        for (file, at) in [(snapshot::FILE, roster.position()), (read.name(), written)] {
            if at > head {
                return Err(StartError::LogShorter { file, at, head });
            }
        }
        tracing::info!(log = %log, head = %head, roster = %roster.position(), read = %written, "projector opened");
        if version != current {
            let at = roster.position();
            tracing::warn!(version, current, position = %at, "answers by the facts of an earlier fold until the log is folded anew");
        }
        let attached =
            version == current && written >= roster.position() && head.0 - written.0 <= u64::from(options.waiting);
        let live = (SharedRoster::new(roster).measured_by(Arc::new(HeldSeconds::new())), version);
        let (shared, work) = Shared::new(dir, tail, clock, options, live, read, written, attached);
        let shared = Arc::new(shared);
        Ok((Self { shared: Arc::clone(&shared), work }, Handle { shared }))
    }

    /// Folds until `stop` is done, then lets the SQL side write what waits and writes the snapshot. Does not return
    /// before `stop`: what makes folding impossible is in [`Handle::state`].
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { shared, work } = self;
        let writing = tokio::spawn(read_writer::run(Arc::clone(&shared), work));
        tokio::select! {
            () = stop => {}
            () = fold(&shared) => {}
            () = refresh_ages(&shared) => {}
            () = history::run(&shared) => {}
        }
        shared.close().await;
        if let Err(error) = writing.await {
            tracing::error!(%error, "read side ended");
        }
    }
}

/// Folds what the tail gives, for ever. After what cannot be folded it only waits.
async fn fold(shared: &Shared) {
    loop {
        let after = shared.live.read().position();
        let mut pages = shared.tail.read(after, PAGE_RECORDS);
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error @ TailError::Damaged { .. }) => return shared.halt(error.to_string()).await,
                Err(TailError::Unavailable(why)) => {
                    tracing::warn!(%why, "log unreadable, trying again");
                    break;
                }
            };
            if let Err(why) = shared.fold(&page).await {
                return shared.halt(why).await;
            }
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

async fn refresh_ages(shared: &Shared) {
    let mut tick = tokio::time::interval(AGE_INTERVAL);
    let mut seen = (Position(u64::MAX), shared.clock.now());
    loop {
        tick.tick().await;
        seen = shared.refresh_age(seen);
    }
}
