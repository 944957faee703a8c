//! The SQL side behind the roster: takes what was folded, batch by batch, and keeps the snapshot.
//! Never folds the live roster; where it fell behind it folds beside.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rollcall_access::Folded;
use rollcall_events::Position;
use rollcall_store::read::ReadError;
use tokio::sync::mpsc;

use crate::{
    beside,
    shared::{Shared, State, Work},
    snapshot,
};

/// How many events go into one transaction where that many wait.
pub(crate) const BATCH: usize = 4096;
/// How long a read side that cannot be written is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Works until nothing more will come.
pub(crate) async fn follow(shared: Arc<Shared>, mut work: mpsc::UnboundedReceiver<Work>) {
    let mut set_aside = None;
    loop {
        let next = match set_aside.take() {
            Some(next) => Some(next),
            None => work.recv().await,
        };
        match next {
            None => return,
            Some(Work::Batch { mut folded, from, mut to, room }) => {
                let mut rooms = vec![room];
                while folded.len() < BATCH {
                    match work.try_recv() {
                        Ok(Work::Batch { folded: more, from, to: further, room }) if from == to => {
                            folded.extend(more);
                            to = further;
                            rooms.push(room);
                        }
                        Ok(other) => {
                            set_aside = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                write(&shared, &folded, from, to).await;
            }
            Some(Work::Snapshot { bytes, at }) => keep(shared.dir.clone(), bytes, at).await,
            Some(Work::Behind) => catch_up(&shared).await,
        }
    }
}

/// Writes a batch; tries again for as long as the read side cannot be written.
async fn write(shared: &Shared, folded: &[Folded], from: Position, to: Position) {
    loop {
        let mut position = shared.sql.lock().await;
        if to <= *position {
            // A rebuild went past it.
            return;
        }
        if from > *position {
            // Handed on while a second file was to be swapped in, which failed: what is in between is folded beside.
            return;
        }
        let new = folded.get(folded.partition_point(|folded| folded.position <= *position)..).unwrap_or_default();
        match shared.read.apply(new, *position, to).await {
            Ok(()) => {
                *position = to;
                shared.written.send_replace(to);
                return;
            }
            Err(error @ ReadError::Fenced { .. }) => return shared.stop_answering(error.to_string()),
            Err(error) => {
                drop(position);
                tracing::error!(error = &error as &dyn std::error::Error, "read side not written, trying again");
                if shared.is_over() {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn keep(dir: PathBuf, bytes: Vec<u8>, at: Position) {
    let size = bytes.len();
    let written = tokio::task::spawn_blocking(move || snapshot::write(&dir, &bytes)).await;
    match written.map_err(std::io::Error::other).flatten() {
        Ok(()) => tracing::info!(position = %at, bytes = size, "roster snapshot written"),
        Err(error) => tracing::warn!(%error, "roster snapshot not written, the next start takes longer"),
    }
}

/// Folds beside until the SQL side can be attached again.
async fn catch_up(shared: &Shared) {
    let mut state = shared.state.subscribe();
    let mut stopping = shared.stopping.subscribe();
    tokio::select! {
        // The roster first: it is what answers.
        _ = state.wait_for(|state| *state != State::CatchingUp) => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    while !shared.is_over() {
        match beside::catch_up(shared).await {
            Ok(()) => return,
            Err(beside::BesideError::Stopping) => return,
            Err(beside::BesideError::Read(error @ ReadError::Fenced { .. })) => {
                return shared.stop_answering(error.to_string());
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "read side not caught up, trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
