//! What becomes of a complete read: compared, checked by the removal guard, then appended or planned; and the source's status
//! after it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use rollcall_events::{Body, Id, NewEvent, Position};

use super::{
    Engine, Intent, RunError,
    compare::{Difference, removals, split_links},
    lookup::{LOOKED_UP, Unconfirmed, not_asked},
};
use crate::{
    connector::{FactSelector, Failure, PersonalData, RunContext, Snapshot},
    personal::{Personal, micros},
    reading::{
        change::{Change, in_order},
        consequences::ProposedFacts,
        guard::{HoldReason, Impact, MIN_PROTECTED, MIN_REMOVALS, hold_reason},
        plan::{PlanReason, PlanState},
        run::{ChangeCounts, RunOutcome},
        status::{AbsentMembers, ExcludedFacts, LastFullRead, MAX_SHOWN, SourceState, SourceStatus},
        stores::BaselineState,
    },
};

/// Why a plan of links waits.
const LINKS_WAIT: &str =
    "`links` is configured otherwise: whom the source says to be one waits; everything else that it says counts";

/// What is not recorded now.
enum Hold {
    Nothing,
    Removals(PlanReason, String),
    All(PlanReason, String),
}

impl Engine {
    /// Compares a sealed read with what the source said last and records what differs, as far as that is meant.
    pub(super) async fn apply(&self, mut snapshot: Snapshot, intent: Intent) -> Result<RunOutcome, RunError> {
        let run_context = snapshot.run_context.take();
        let Some(run_context) = run_context else {
            return Err(Failure::Partial("a snapshot was sealed that no run began".to_owned()).into());
        };
        let _writing = self.writing.lock().await;
        let mut difference = self.compare(&mut snapshot, &run_context).await?;
        let links_wait = !difference.links.is_empty();
        if !matches!(intent, Intent::Record) {
            difference = difference.with_links();
        }
        let rescoped = difference.baseline.scope.as_deref() != Some(self.pull.scope().digest().as_str());
        let hold = self.hold(&difference).await;
        let nothing_counts = matches!((&intent, &hold), (Intent::Record, Hold::All(..)));
        // The first read has nothing to be behind, and keeps its speed.
        if !nothing_counts && !matches!(intent, Intent::Plan) && difference.baseline.scope.is_some() {
            let links_wait = difference.links_wait && matches!(intent, Intent::Record);
            let given = self.find_unconfirmed(&difference.changes, links_wait).await;
            let given = given.unwrap_or_else(|failure| Unconfirmed::failed(&difference.changes, &failure));
            given.take_from(&mut difference.changes);
            let left_out = given.refused.into_iter().chain(given.unanswered);
            difference.excluded.extend(left_out.map(|(subject, why)| (FactSelector::Subject(subject), why)));
        }
        if matches!((&intent, &hold), (Intent::Record, Hold::Nothing)) {
            let there = self.find_still_present(&difference.changes).await;
            let there = there.unwrap_or_else(|failure| not_asked(&difference.changes, &failure));
            if !there.is_empty() {
                difference.changes.retain(|change| !there.contains_key(&FactSelector::Subject(change.subject.clone())));
            }
            difference.excluded.extend(there);
        }
        let outcome = match (&intent, hold) {
            (Intent::Plan, hold) => {
                let reason = match hold {
                    Hold::Nothing if links_wait => format!("it was asked for; {LINKS_WAIT}"),
                    Hold::Nothing => "it was asked for; the next read records it by itself".to_owned(),
                    Hold::Removals(_, why) | Hold::All(_, why) => format!("it was asked for; {why}"),
                };
                RunOutcome::Planned(self.plan(&difference, PlanReason::Asked, reason, true).await?)
            }
            (Intent::Apply(plan, _), _)
                if removals(&difference) != plan.removals_digest || !self.is_open(&plan.id).await? =>
            {
                let reason = format!("the removals are no longer those of {}", plan.id);
                RunOutcome::Differs(
                    self.seal_and_hold(&snapshot, &difference, &run_context, plan.why, reason, true).await?,
                )
            }
            (Intent::Record, Hold::All(why, reason)) => {
                let plan = self.seal_and_hold(&snapshot, &difference, &run_context, why, reason, true).await?;
                RunOutcome::Held { recorded: ChangeCounts::default(), plan }
            }
            (Intent::Record, Hold::Removals(why, reason)) => {
                let now = |change: &&Change| !difference.can_wait(change);
                let facts = difference.changes.iter().filter(now);
                let facts = facts.map(|change| change.event(&self.source, &run_context.run));
                self.record(&snapshot, &difference, &run_context, facts).await?;
                let recorded = ChangeCounts::of(difference.changes.iter().filter(now));
                RunOutcome::Held {
                    recorded,
                    plan: self.hold_back(&difference, &run_context, why, reason, false).await?,
                }
            }
            (Intent::Record, Hold::Nothing) if !difference.links.is_empty() => {
                let facts = difference.changes.iter().map(|change| change.event(&self.source, &run_context.run));
                self.record(&snapshot, &difference, &run_context, facts).await?;
                let recorded = ChangeCounts::of(difference.changes.iter());
                difference.changes.clear();
                let reason = LINKS_WAIT.to_owned();
                let plan = self.hold_back(&difference, &run_context, PlanReason::Links, reason, false).await?;
                RunOutcome::Held { recorded, plan }
            }
            (Intent::Record | Intent::Apply(..), _) => {
                let facts = difference.changes.iter().map(|change| change.event(&self.source, &run_context.run));
                let empty = difference.baseline.scope.is_none() && snapshot.stated_count() == 0;
                let mut applied = None;
                if !difference.changes.is_empty() || (rescoped && !empty) || matches!(intent, Intent::Apply(..)) {
                    let confirmed = match &intent {
                        Intent::Apply(plan, by) => Some(format!("{} was confirmed by {}", plan.id, by.as_str())),
                        Intent::Record | Intent::Plan => None,
                    };
                    applied = self.run_of(&run_context.run, confirmed).map(Body::SnapshotApplied);
                }
                let events = facts.chain(applied.map(|body| self.run_event(&body, &run_context.run)));
                let position = self.record(&snapshot, &difference, &run_context, events).await?;
                if let Intent::Apply(plan, by) = &intent {
                    self.close(&plan.id, PlanState::Applied, Some(by.clone())).await?;
                }
                // What waited is not what the source says now, or was among what has just been recorded.
                if let Some(held) = self.deps.store.held_plan(&self.source).await? {
                    self.close(&held.id, PlanState::Superseded, None).await?;
                }
                RunOutcome::UpToDate { recorded: ChangeCounts::of(difference.changes.iter()), position }
            }
        };
        if run_context.recorded {
            // Of a first read too: whose address somebody else has is part of its plan.
            let first = difference.baseline.scope.is_none();
            if (!nothing_counts || first) && !matches!(outcome, RunOutcome::Differs(_)) {
                self.save_personal(std::mem::take(&mut snapshot.found.personal)).await?;
            }
            let mut status = self.status_after(&snapshot, &difference, &outcome).await?;
            let last_full_read = run_context
                .full_read_reason
                .as_ref()
                .map(|why| LastFullRead { at: self.deps.clock.now(), why: why.to_string() });
            status.whole = last_full_read.or(status.whole);
            self.save_status(status).await?;
            self.withheld.cover(run_context.withheld);
        }
        drop(run_context.turn);
        Ok(outcome)
    }

    /// Why nothing of what is read may be recorded before a person has looked.
    pub(super) fn needs_review(&self, baseline: &BaselineState) -> Option<(PlanReason, &'static str)> {
        match baseline.scope.as_deref() {
            None if self.options.first_run_waits => {
                Some((PlanReason::FirstRun, "it is the first read; a person looks at it first"))
            }
            Some(applied) if !self.pull.scope().reads_the_same_people(applied) => {
                Some((PlanReason::Scope, "who is read is configured otherwise (bases, filters or attributes)"))
            }
            _ => None,
        }
    }

    /// Whether what links say waits for a person, while all else counts: other attributes than before say it.
    pub(super) fn links_wait(&self, baseline: &BaselineState) -> bool {
        let scope = self.pull.scope();
        let same_people = |applied: &str| scope.reads_the_same_people(applied) && applied != scope.digest();
        baseline.scope.as_deref().is_some_and(same_people)
    }

    /// What must wait for a person.
    async fn hold(&self, difference: &Difference) -> Hold {
        if difference.changes.is_empty() {
            return Hold::Nothing;
        }
        if let Some((why, reason)) = self.needs_review(&difference.baseline) {
            return Hold::All(why, reason.to_owned());
        }
        // Suspensions that alone are not too many never wait, whatever they empty.
        if !difference.changes.iter().any(|change| difference.can_wait(change)) {
            return Hold::Nothing;
        }
        // They came by another way under the same name: nobody has said yet that this way speaks for them too.
        if difference.baseline.scope.is_none() && difference.impact.removals > 0 {
            let reason =
                format!("it is the first read, and {} facts that stand already would end", difference.impact.removals);
            return Hold::Removals(PlanReason::FirstRun, reason);
        }
        match self.guard_reason(difference.impact.clone(), &difference.changes, &difference.baseline).await {
            // The rest of many: those before it have ended already.
            None => match self.rest_of_many(&difference.changes) {
                0 => Hold::Nothing,
                rest => Hold::Removals(
                    PlanReason::Guard,
                    format!("{rest} of these were deleted together with too many others of their kind or group"),
                ),
            },
            Some(hold_reason @ HoldReason::Empty { .. }) => Hold::Removals(PlanReason::Empty, hold_reason.to_string()),
            Some(hold_reason) => Hold::Removals(PlanReason::Guard, hold_reason.to_string()),
        }
    }

    /// How many of these removals came to a follower in numbers: a moment ago, or so many that they wait for a person
    /// however long that takes.
    fn rest_of_many(&self, changes: &[Change]) -> u64 {
        let (now, window) = (self.deps.clock.now(), self.removal_window());
        let ended = || changes.iter().filter(|change| change.body.is_removal()).map(|change| &*change.subject);
        let rest = ended().filter(|subject| window.is_waiting(subject)).count() as u64;
        if rest >= MIN_REMOVALS { rest } else { ended().filter(|subject| window.counts(subject, now)).count() as u64 }
    }

    /// Whether what would be recorded is too much to believe. Projects are asked about last, and only where something
    /// would be taken away: that costs a copy of the roster.
    async fn guard_reason(
        &self,
        mut impact: Impact,
        changes: &[Change],
        baseline: &BaselineState,
    ) -> Option<HoldReason> {
        if !self.options.guard || impact.removals == 0 {
            return None;
        }
        match hold_reason(&impact) {
            Some(hold_reason @ (HoldReason::Empty { .. } | HoldReason::Share { .. })) => Some(hold_reason),
            Some(HoldReason::Emptied(_)) | None => {
                let facts = changes.iter().map(|change| change.body.clone()).collect();
                let proposed = ProposedFacts { source: self.source.clone(), seen: baseline.position, facts };
                impact.projects = self.deps.consequences.emptied(proposed, MIN_PROTECTED).await;
                hold_reason(&impact)
            }
        }
    }

    /// Appends that the read was complete, and what follows from it; then looks whether somebody else recorded
    /// something of the same subjects in between.
    async fn record(
        &self,
        snapshot: &Snapshot,
        difference: &Difference,
        run_context: &RunContext,
        facts: impl Iterator<Item = NewEvent> + Send,
    ) -> Result<Position, RunError> {
        let events = self.sealed_event(snapshot, difference, run_context).into_iter().chain(facts);
        let (newest, others) = self.append_and_fold(difference.baseline.clone(), events, &run_context.run).await?;
        self.resolve_races(others, &difference.changes, &run_context.run).await?;
        Ok(newest.unwrap_or(difference.baseline.position))
    }

    /// Two who say something of one subject at the same moment: the read is older than what came by itself, and stands
    /// behind it in the log. Such subjects are looked up and said once more.
    async fn resolve_races(&self, others: Vec<Arc<str>>, changes: &[Change], run: &str) -> Result<(), RunError> {
        if others.is_empty() {
            return Ok(());
        }
        let ours: HashSet<&str> = changes.iter().map(|change| change.subject.as_str()).collect();
        let raced: BTreeSet<String> =
            others.iter().filter(|other| ours.contains(&***other)).map(ToString::to_string).collect();
        if raced.is_empty() {
            return Ok(());
        }
        let known = self.last_facts(&raced.into_iter().collect::<Vec<_>>()).await?;
        let mut changes = in_order(self.look_up(known.into_iter().collect(), &mut BTreeMap::new()).await);
        if self.links_wait(&self.catch_up().await?) {
            changes = split_links(changes).0;
        }
        self.append(changes.iter().map(|change| change.event(&self.source, run)).collect()).await?;
        self.catch_up().await.map(drop)
    }

    /// Keeps the personal data that is not as it was.
    pub(super) async fn save_personal(&self, found: Vec<(Id, PersonalData)>) -> Result<(), RunError> {
        let mut found: HashMap<Id, PersonalData> =
            found.into_iter().map(|(person, names)| (person, names.fitting())).collect();
        if found.len() > LOOKED_UP {
            let mut drop_same = |person: &str, names: PersonalData| {
                if found.get(person) == Some(&names) {
                    found.remove(person);
                }
            };
            self.deps.store.for_each_personal(&self.source, &mut drop_same).await?;
        } else if !found.is_empty() {
            let persons: Vec<Id> = found.keys().cloned().collect();
            let kept = self.deps.store.personal(&self.source, &persons).await?;
            found.retain(|person, names| kept.get(person) != Some(names));
        }
        let order_key = micros(self.deps.clock.now());
        let changed = found.into_iter();
        let changed: Vec<Personal> = changed
            .map(|(person, PersonalData { email, name })| Personal {
                person,
                email,
                name,
                order_key: order_key.clone(),
            })
            .collect();
        if !changed.is_empty() {
            self.deps.store.save_personal(&self.source, changed).await?;
        }
        Ok(())
    }

    /// How the source is after this.
    async fn status_after(
        &self,
        snapshot: &Snapshot,
        difference: &Difference,
        outcome: &RunOutcome,
    ) -> Result<SourceStatus, RunError> {
        let mut status = self.status().await?;
        let now = self.deps.clock.now();
        status.sealed_at = Some(now);
        status.failures = 0;
        status.facts = snapshot.index.lock().fact_count();
        status.absent = AbsentMembers::of(snapshot.absent());
        status.outside = AbsentMembers::of(snapshot.outside());
        let excluded = difference.excluded.iter().map(|(which, reason)| (which.to_string(), reason.clone()));
        status.excluded =
            ExcludedFacts { count: difference.excluded.len() as u64, first: excluded.take(MAX_SHOWN).collect() };
        (status.state, status.reason) = match outcome {
            RunOutcome::UpToDate { position, .. } => {
                status.applied = *position;
                (SourceState::Healthy, None)
            }
            RunOutcome::Planned(plan) | RunOutcome::Differs(plan) if plan.why == PlanReason::Asked => {
                // Nothing waits: it was read well, and what it said before is in force.
                let failed = status.state.is_failure();
                if failed { (SourceState::Healthy, None) } else { (status.state, status.reason.take()) }
            }
            RunOutcome::Held { plan, .. } | RunOutcome::Planned(plan) | RunOutcome::Differs(plan) => {
                let state = if snapshot.stated_count() == 0 { SourceState::Empty } else { SourceState::Held };
                (state, Some(plan.reason.clone()))
            }
        };
        Ok(status)
    }
}
