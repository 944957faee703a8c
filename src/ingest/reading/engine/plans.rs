//! Plans of one source: made of what is not recorded, kept, closed. Decides neither that one is needed nor that it is applied.

use std::collections::{BTreeSet, HashMap};

use rollcall_events::{Body, body::Author};

use super::{
    Engine, RunError,
    compare::{Difference, removals},
};
use crate::{
    baseline::RecordedFact,
    connector::{RunContext, Snapshot},
    reading::{
        change::{Change, digest},
        plan::{Plan, PlanClosure, PlanId, PlanReason, PlanRow, PlanState},
        run::ChangeCounts,
    },
};

impl Engine {
    /// A plan can be closed between the word to apply it and now: a follower's refresh found something else.
    pub(super) async fn is_open(&self, id: &PlanId) -> Result<bool, RunError> {
        Ok(self.deps.store.plan(id).await?.is_some_and(|plan| plan.state == PlanState::Open))
    }

    pub(super) async fn close(&self, id: &PlanId, state: PlanState, by: Option<Author>) -> Result<(), RunError> {
        let closed = PlanClosure { at: self.deps.clock.now(), by };
        Ok(self.deps.store.close_plan(id, state, &closed).await?)
    }

    /// A plan of the changes that are not recorded.
    pub(super) async fn plan(
        &self,
        difference: &Difference,
        why: PlanReason,
        reason: String,
        all: bool,
    ) -> Result<Plan, RunError> {
        let rows: Vec<&Change> = if all { difference.changes.iter().collect() } else { difference.held().collect() };
        let numbers = ChangeCounts::of(rows.iter().copied());
        let plan = Plan {
            id: self.plan_id(),
            source: self.source.clone(),
            made_at: self.deps.clock.now(),
            position: difference.baseline.position,
            why,
            reason,
            state: PlanState::Open,
            closed: None,
            facts: difference.impact.facts,
            additions: numbers.additions,
            changes: numbers.changes,
            removals: numbers.removals,
            removals_digest: removals(difference),
            rows_digest: digest(rows.iter().copied()).to_string(),
        };
        // Whoever looks twice at the same finds the same plan.
        let waiting = self.deps.store.held_plan(&self.source).await?;
        if let Some(same) =
            waiting.filter(|waiting| why != PlanReason::Asked && waiting.rows_digest == plan.rows_digest)
        {
            return Ok(same);
        }
        let stated: HashMap<&str, &Body> = {
            let stands = difference.changes.iter().filter(|change| !change.body.is_removal());
            stands.map(|change| (change.subject.as_str(), &change.body)).collect()
        };
        let named =
            rows.iter().flat_map(|change| change.names()).filter(|subject| !stated.contains_key(subject.as_str()));
        let named: BTreeSet<String> = named.collect();
        let last = self.last_facts(&named.into_iter().collect::<Vec<_>>()).await?;
        let known = |subject: &str| {
            let stated = stated.get(subject).map(|body| (*body).clone());
            stated.or_else(|| last.get(subject).and_then(RecordedFact::body))
        };
        let rows: Vec<PlanRow> = rows.into_iter().map(|change| PlanRow::of(change, change.text(&known))).collect();
        self.deps.store.save_plan(&plan, &rows).await?;
        Ok(plan)
    }

    /// Keeps a plan and says in the log that its removals are held, once for each plan.
    pub(super) async fn hold_back(
        &self,
        difference: &Difference,
        run_context: &RunContext,
        why: PlanReason,
        reason: String,
        all: bool,
    ) -> Result<Plan, RunError> {
        let before = self.deps.store.held_plan(&self.source).await?;
        let plan = self.plan(difference, why, reason, all).await?;
        // What was only asked for holds nothing.
        if why != PlanReason::Asked && before.is_none_or(|before| before.id != plan.id) {
            let reason = format!("{}: {}", plan.id, plan.reason);
            let held = self.run_of(&run_context.run, Some(reason)).map(Body::SnapshotHeld);
            self.append(held.map(|body| self.run_event(&body, &run_context.run)).into_iter().collect()).await?;
            self.catch_up().await?;
        }
        Ok(plan)
    }

    /// As `hold_back`, for a run of which nothing is recorded.
    pub(super) async fn seal_and_hold(
        &self,
        snapshot: &Snapshot,
        difference: &Difference,
        run_context: &RunContext,
        why: PlanReason,
        reason: String,
        all: bool,
    ) -> Result<Plan, RunError> {
        self.append(self.sealed_event(snapshot, difference, run_context).into_iter().collect()).await?;
        self.hold_back(difference, run_context, why, reason, all).await
    }

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
