//! What the SQL side keeps of what is over: it lets go of it part by part, when the operator has it so.

use std::time::Duration;

use rollcall_eventlog::{TailError, When};
use rollcall_store::read::ReadError;

use crate::shared::Shared;

/// How often it is looked for.
const INTERVAL: Duration = Duration::from_secs(3600);
/// How many facts are forgotten in one transaction.
const PART: u32 = 4096;

/// Why nothing was forgotten. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    #[error(transparent)]
    Log(#[from] TailError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Forgets now and then, for ever; where the operator keeps everything it only waits.
pub(crate) async fn run(shared: &Shared) {
    let Some(history) = shared.options.history else { return std::future::pending().await };
    let mut tick = tokio::time::interval(INTERVAL);
    loop {
        tick.tick().await;
        match forget(shared, history).await {
            Ok(0) => {}
            Ok(facts) => tracing::info!(facts, "what facts said that are over for long is forgotten in read.db"),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "nothing forgotten in read.db"),
        }
    }
}

/// Forgets what facts said that are over for longer than this. How many it were.
pub(crate) async fn forget(shared: &Shared, history: Duration) -> Result<u64, HistoryError> {
    let head = shared.tail.head().borrow().position;
    let Some(newest) = shared.tail.moment(When::Position(head)).await? else { return Ok(0) };
    // By a clock that jumped nothing is recorded, and nothing is forgotten.
    let then = newest.recorded_at.min(shared.clock.now()) - history;
    let Some(moment) = shared.tail.moment(When::Instant(then)).await? else { return Ok(0) };
    let mut all = 0;
    loop {
        let some = shared.read.forget(moment.position, PART).await?;
        all += some;
        if some < u64::from(PART) {
            return Ok(all);
        }
    }
}
