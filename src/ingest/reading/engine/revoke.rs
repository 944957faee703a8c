//! The end of everything that a source said, where the operator wants that after so long without a good read.

use chrono::SecondsFormat;
use rollcall_events::{Body, Position};

use super::{Engine, RunError};
use crate::reading::change::{Change, in_order};

impl Engine {
    /// Ends every fact of the source if it has been without a good read for longer than the operator allows. The next
    /// good read brings back what it states then. Says whether it did.
    pub async fn revoke_if_due(&self) -> Result<bool, RunError> {
        if !self.is_overdue().await? {
            return Ok(false);
        }
        {
            let _writing = self.writing.lock().await;
            let baseline = self.catch_up().await?;
            if self.index(&baseline).await?.lock().fact_count() == 0 {
                return Ok(false);
            }
        }
        // Whoever is reading it now comes first.
        let mut builder = self.begin(true).await?;
        let Some(run_context) = builder.run_context.take() else { return Ok(false) };
        let _writing = self.writing.lock().await;
        if !self.is_overdue().await? {
            let reason = "it was read again before its facts were ended".to_owned();
            let aborted = self.run_of(&run_context.run, Some(reason)).map(Body::SnapshotAborted);
            self.append(aborted.map(|body| self.run_event(&body, &run_context.run)).into_iter().collect()).await?;
            return Ok(false);
        }
        let mut status = self.status().await?;
        let baseline = self.catch_up().await?;
        // What a follower knew to be recorded no longer is.
        self.deps.store.forget_sync_state(&self.source).await?;
        // Nothing was said by this run.
        let positions = self.index(&baseline).await?.lock().unseen();
        let ends = self.facts_at(&positions).await?.into_iter().filter_map(|(subject, known)| {
            let was = known.body()?;
            Some(Change { subject, body: was.removal()?, previous: known.position, was: Some(was) })
        });
        let run = &run_context.run;
        let mut events: Vec<_> =
            in_order(ends.collect()).iter().map(|change| change.event(&self.source, run)).collect();
        let since = status.sealed_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default();
        let reason = format!("revoke_after: the source could not be read since {since}");
        let aborted = self.run_of(run, Some(reason)).map(Body::SnapshotAborted);
        events.extend(aborted.map(|body| self.run_event(&body, run)));
        let newest = self.append(events).await?;
        self.catch_up().await?;
        status.facts = 0;
        status.applied = newest.unwrap_or(Position(0)).max(status.applied);
        self.save_status(status).await?;
        Ok(true)
    }

    async fn is_overdue(&self) -> Result<bool, RunError> {
        let Some(after) = self.options.revoke_after else { return Ok(false) };
        let status = self.status().await?;
        let silent = status.sealed_at.and_then(|snapshot| (self.deps.clock.now() - snapshot).to_std().ok());
        Ok(status.state.is_failure() && silent.is_some_and(|silent| silent >= after))
    }
}
