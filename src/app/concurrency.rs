//! Work that takes long or holds a copy of the roster: little of it at once, and none on the threads that answer.
//! Does not know what the work is.

use std::{sync::Arc, time::Duration};

use rollcall_access::{Roster, SharedRoster};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ErrorKind, Result};

/// How long a question waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Previews hold two copies of the roster each.
const MAX_PREVIEWS: usize = 1;
/// Questions about the past hold a roster of what they depend on each.
const MAX_PAST_QUESTIONS: usize = 2;

/// How much of such work is done at once.
pub(crate) struct ConcurrencyLimits {
    previews: Arc<Semaphore>,
    past_questions: Arc<Semaphore>,
}

impl Default for ConcurrencyLimits {
    fn default() -> Self {
        Self {
            previews: Arc::new(Semaphore::new(MAX_PREVIEWS)),
            past_questions: Arc::new(Semaphore::new(MAX_PAST_QUESTIONS)),
        }
    }
}

/// The permission to do such work now, until it is dropped.
pub(crate) struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl ConcurrencyLimits {
    /// Waits until no preview runs.
    pub async fn preview(&self) -> Result<Permit> {
        acquire(&self.previews, PERMIT_TIMEOUT).await
    }

    /// Waits until few questions about the past are worked out.
    pub async fn past(&self) -> Result<Permit> {
        acquire(&self.past_questions, PERMIT_TIMEOUT).await
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, timeout: Duration) -> Result<Permit> {
    match tokio::time::timeout(timeout, Arc::clone(semaphore).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(Permit { _permit: permit }),
        _ => Err(ErrorKind::Unavailable
            .because(
                "Others ask questions of this kind, which take long. Send it again in a moment. Nothing was changed.",
            )
            .retry_after(5)),
    }
}

impl Permit {
    /// Does work on a copy of the roster; whoever waits for the roster waits no longer than the copy takes.
    pub async fn run_on_copy<T: Send + 'static>(
        self,
        live: &Arc<SharedRoster>,
        work: impl FnOnce(&Roster) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run_with_copy(live, move |copy| work(&copy)).await?
    }

    /// As [`Self::run_on_copy`], for work that uses the copy up.
    pub async fn run_with_copy<T: Send + 'static>(
        self,
        live: &Arc<SharedRoster>,
        work: impl FnOnce(Roster) -> T + Send + 'static,
    ) -> Result<T> {
        let live = Arc::clone(live);
        run_blocking(move || {
            // Kept by the work itself, which goes on when the caller goes away.
            let _permit = self;
            let copy = live.read().clone();
            work(copy)
        })
        .await
    }
}

/// Does work that takes long away from the threads that answer.
pub(crate) async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ErrorKind::Internal.because("It broke off half way. Nothing was changed. Report this."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_preview_runs_at_a_time_and_the_next_does_not_wait_for_ever() {
        let limits = ConcurrencyLimits::default();
        let first = limits.preview().await.unwrap();
        let refused = acquire(&limits.previews, Duration::ZERO).await.err().unwrap();
        assert_eq!(refused.kind, ErrorKind::Unavailable);
        assert!(limits.past().await.is_ok(), "the past waits for no preview");
        drop(first);
        assert!(limits.preview().await.is_ok());
    }
}
