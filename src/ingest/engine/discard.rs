//! A plan that somebody decided against.

use rollcall_events::{Body, body::Author};

use super::{Engine, RunError};
use crate::plan::{Plan, PlanClosure, PlanState};

impl Engine {
    /// Puts an open plan aside and says so in the log. What it would have removed stands; the next read finds it again.
    pub async fn discard(&self, plan: Plan, by: Author) -> Result<Plan, RunError> {
        let _writing = self.writing.lock().await;
        let baseline = self.catch_up().await?;
        self.lease(&baseline);
        let run = plan.id.as_str();
        let reason = format!("{} decided against it", by.as_str());
        let discarded = self.run_of(run, Some(reason)).map(Body::SnapshotDiscarded);
        self.append(discarded.map(|body| self.run_event(&body, run)).into_iter().collect()).await?;
        let closed = PlanClosure { at: self.deps.clock.now(), by: Some(by) };
        self.deps.store.close_plan(&plan.id, PlanState::Discarded, &closed).await?;
        Ok(Plan { state: PlanState::Discarded, closed: Some(closed), ..plan })
    }
}
