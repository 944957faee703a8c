//! A plan that somebody decided against.

use rollcall_events::Body;

use super::{Engine, RunError};
use crate::plan::{Plan, PlanState};

impl Engine {
    /// Puts an open plan aside and says so in the log. What it would have removed stands; the next read finds it again.
    pub async fn discard(&self, plan: Plan) -> Result<Plan, RunError> {
        let _writing = self.writing.lock().await;
        let reached = self.catch_up().await?;
        self.epoch.get_or_init(|| reached.epoch + 1);
        let run = plan.id.as_str();
        let discarded = self.run_of(run, Some("a person decided against it".to_owned())).map(Body::SnapshotDiscarded);
        self.append(discarded.map(|body| self.run_event(&body, run)).into_iter().collect()).await?;
        self.works.shelf.settle_plan(&plan.id, PlanState::Discarded).await?;
        Ok(Plan { state: PlanState::Discarded, ..plan })
    }
}
