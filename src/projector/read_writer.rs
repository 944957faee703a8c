//! Writes the read side behind the roster, batch by batch, and has the snapshot kept. Never folds the live roster; where it
//! fell behind, the log is folded a second time (`rebuild`).

use std::{sync::Arc, time::Duration};

use rollcall_access::Folded;
use rollcall_events::Position;
use rollcall_store::read::ReadError;
use tokio::sync::mpsc;

use crate::{
    RebuildError, State,
    options::READ_BATCH,
    rebuild,
    shared::{Shared, Work},
    snapshot,
};

/// How long a read side that cannot be written is left alone.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Works until nothing more will come.
pub(crate) async fn run(shared: Arc<Shared>, mut work: mpsc::UnboundedReceiver<Work>) {
    let mut postponed = None;
    loop {
        let next = match postponed.take() {
            Some(next) => Some(next),
            None => work.recv().await,
        };
        match next {
            None => return,
            Some(Work::Batch { mut folded, from, mut to, room }) => {
                let mut rooms = vec![room];
                while folded.len() < READ_BATCH {
                    match work.try_recv() {
                        Ok(Work::Batch { folded: more, from, to: further, room }) if from == to => {
                            folded.extend(more);
                            to = further;
                            rooms.push(room);
                        }
                        Ok(other) => {
                            postponed = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                write(&shared, &folded, from, to).await;
            }
            Some(Work::Snapshot(roster, version)) => snapshot::keep(&shared, roster, version).await,
            Some(Work::Detached) => catch_up(&shared).await,
        }
    }
}

/// Writes a batch; tries again for as long as the read side cannot be written.
async fn write(shared: &Shared, folded: &[Folded], from: Position, to: Position) {
    loop {
        let mut position = shared.read_position.lock().await;
        if to <= *position {
            // A rebuild went past it.
            return;
        }
        if from > *position {
            // Handed on while a second file was to be swapped in, which failed: what is in between is folded again.
            return;
        }
        let new = folded.get(folded.partition_point(|folded| folded.position <= *position)..).unwrap_or_default();
        match shared.read.apply(new, *position, to).await {
            Ok(()) => {
                *position = to;
                shared.written.send_replace(to);
                return;
            }
            Err(error @ ReadError::Fenced { .. }) => return shared.stop_for_good(error.to_string()),
            Err(error) => {
                drop(position);
                tracing::error!(error = &error as &dyn std::error::Error, "read side not written, trying again");
                if shared.has_stopped() {
                    return;
                }
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Folds a second time until the SQL side can be attached again.
async fn catch_up(shared: &Shared) {
    let mut state = shared.state.subscribe();
    let mut stopping = shared.stopping.subscribe();
    tokio::select! {
        // The roster first: it is what answers.
        _ = state.wait_for(|state| *state != State::CatchingUp) => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    while !shared.has_stopped() {
        let caught_up = match shared.older_fold() {
            Some(_) => rebuild::refold(shared).await,
            None => rebuild::catch_up(shared).await,
        };
        match caught_up {
            Ok(()) => return,
            Err(RebuildError::Stopping) => return,
            Err(RebuildError::Read(error @ ReadError::Fenced { .. })) => {
                return shared.stop_for_good(error.to_string());
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "read side not caught up, trying again");
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}
