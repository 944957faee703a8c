//! Work that takes long or holds a copy of the roster: little of it at once, and none on the threads that answer.
//! Knows not what the work is.

use std::{sync::Arc, time::Duration};

use rollcall_access::{Roster, SharedRoster};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::problem::{Answer, Kind};

/// How long a question waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// Previews hold two copies of the roster each.
const PREVIEWS: usize = 1;
/// Questions about the past hold a roster of what they depend on each.
const PASTS: usize = 2;

/// Whose turn it is.
#[derive(Clone)]
pub(crate) struct Heavy {
    previews: Arc<Semaphore>,
    pasts: Arc<Semaphore>,
}

impl Default for Heavy {
    fn default() -> Self {
        Self { previews: Arc::new(Semaphore::new(PREVIEWS)), pasts: Arc::new(Semaphore::new(PASTS)) }
    }
}

/// The right to do something heavy now, until it is dropped.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Heavy {
    /// Waits until no preview runs.
    pub async fn preview(&self) -> Answer<Turn> {
        turn(&self.previews, PATIENCE).await
    }

    /// Waits until few questions about the past are worked out.
    pub async fn past(&self) -> Answer<Turn> {
        turn(&self.pasts, PATIENCE).await
    }
}

async fn turn(semaphore: &Arc<Semaphore>, patience: Duration) -> Answer<Turn> {
    match tokio::time::timeout(patience, Arc::clone(semaphore).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(Turn { _permit: permit }),
        _ => Err(Kind::Unavailable
            .because(
                "Others ask questions of this kind, which take long. Send it again in a moment. Nothing was changed.",
            )
            .retry_after(5)),
    }
}

impl Turn {
    /// Does work on a copy of the roster; whoever waits for the roster waits no longer than the copy takes.
    pub async fn on_a_copy<T: Send + 'static>(
        self,
        live: &Arc<SharedRoster>,
        work: impl FnOnce(&Roster) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let live = Arc::clone(live);
        aside(move || {
            // Kept by the work itself, which goes on when the caller goes away.
            let _turn = self;
            let copy = live.read().clone();
            work(&copy)
        })
        .await?
    }
}

/// Does work that takes long away from the threads that answer.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Kind::Internal.because("It broke off half way. Nothing was changed. Report this."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_preview_runs_at_a_time_and_the_next_does_not_wait_for_ever() {
        let heavy = Heavy::default();
        let first = heavy.preview().await.unwrap();
        let refused = turn(&heavy.previews, Duration::ZERO).await.err().unwrap();
        assert_eq!(refused.kind(), Kind::Unavailable);
        assert!(heavy.past().await.is_ok(), "the past waits for no preview");
        drop(first);
        assert!(heavy.preview().await.is_ok());
    }
}
