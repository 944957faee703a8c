//! What a full read that was complete comes to: what differs is found, held against the brake, appended or planned.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use rollcall_events::{
    Body, Id, NewEvent, Position,
    body::{Author, Run},
};

use super::{Engine, Intent, PAGE, RunError, again::unconfirmed, fact};
use crate::{
    Personal,
    consequences::ProposedFacts,
    difference::{Change, ChangeKind, digest, in_order},
    guard::{CROWD, HoldReason, Impact, hold_reason},
    plan::{Plan, PlanClosure, PlanId, PlanReason, PlanRow, PlanState},
    pull::{FactSelector, Failure, LookupAnswer, PersonalData, RecordedFact, RunContext, Snapshot},
    status::{AbsentMembers, ExcludedFacts, LastFullRead, SHOWN, SourceState, SourceStatus},
    stores::{BaselineEntries, BaselineState, RecordedFacts, beginning_with},
    validate::micros,
};

/// How many subjects are looked up singly at most; the rest is left to the next full read.
const LOOKED_UP: usize = 1000;

/// How many facts were recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// New ones.
    pub additions: u64,
    /// Changed ones.
    pub changes: u64,
    /// Those that ended.
    pub removals: u64,
}

impl ChangeCounts {
    pub(super) fn of<'a>(changes: impl Iterator<Item = &'a Change>) -> Self {
        let mut numbers = Self::default();
        for change in changes {
            match change.verb() {
                ChangeKind::Add => numbers.additions += 1,
                ChangeKind::Change => numbers.changes += 1,
                ChangeKind::Remove => numbers.removals += 1,
            }
        }
        numbers
    }
}

/// What a full read came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunOutcome {
    /// The log says what the source says.
    UpToDate {
        /// What was recorded for that.
        recorded: ChangeCounts,
        /// The log's position that holds all of it.
        position: Position,
    },
    /// Part of it waits for a person.
    Held {
        /// What was recorded.
        recorded: ChangeCounts,
        /// What waits.
        plan: Plan,
    },
    /// It was only looked at.
    Planned(Plan),
    /// The removals are not those that were confirmed. Nothing was recorded.
    Differs(Plan),
}

/// What is not recorded now.
enum Hold {
    Nothing,
    Removals(PlanReason, String),
    All(PlanReason, String),
}

/// What a read came to, before it is decided what of it is recorded.
struct Difference {
    /// In the order in which they are appended.
    changes: Vec<Change>,
    excluded: BTreeMap<FactSelector, String>,
    impact: Impact,
    baseline: BaselineState,
}

impl Engine {
    /// Compares a sealed read with what the source said last and records what differs, as far as that is meant.
    pub(super) async fn conclude(&self, mut snapshot: Snapshot, intent: Intent) -> Result<RunOutcome, RunError> {
        let run_context = snapshot.run_context.take();
        let Some(run_context) = run_context else {
            return Err(Failure::Partial("a sheet was sealed that was not given for a run".to_owned()).into());
        };
        let _writing = self.writing.lock().await;
        let mut difference = self.find(&mut snapshot, &run_context).await?;
        let rescoped = difference.baseline.scope.as_deref() != Some(self.pull.scope().digest());
        let hold = self.hold(&difference).await;
        let nothing_counts = matches!((&intent, &hold), (Intent::Record, Hold::All(..)));
        if matches!((&intent, &hold), (Intent::Record, Hold::Nothing)) {
            let there = self.find_still_present(&difference.changes).await;
            let there = there.unwrap_or_else(|failure| unconfirmed(&difference.changes, &failure));
            if !there.is_empty() {
                difference.changes.retain(|change| !there.contains_key(&FactSelector::Subject(change.subject.clone())));
            }
            difference.excluded.extend(there);
        }
        let concluded = match (&intent, hold) {
            (Intent::Plan, hold) => {
                let reason = match hold {
                    Hold::Nothing => "it was asked for; applying needs no confirmation".to_owned(),
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
                let now = |change: &&Change| change.verb() != ChangeKind::Remove;
                let facts = difference.changes.iter().filter(now);
                let facts = facts.map(|change| change.event(&self.source, &run_context.run));
                self.record(&snapshot, &difference, &run_context, facts).await?;
                let recorded = ChangeCounts::of(difference.changes.iter().filter(now));
                RunOutcome::Held {
                    recorded,
                    plan: self.hold_back(&difference, &run_context, why, reason, false).await?,
                }
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
            if !nothing_counts && !matches!(concluded, RunOutcome::Differs(_)) {
                self.save_personal(std::mem::take(&mut snapshot.found.personal)).await?;
            }
            let mut status = self.status_after(&snapshot, &difference, &concluded).await?;
            let full_read_reason = run_context
                .full_read_reason
                .as_ref()
                .map(|why| LastFullRead { at: self.deps.clock.now(), why: why.to_string() });
            status.whole = full_read_reason.or(status.whole);
            self.save_status(status).await?;
            self.withheld.cover(run_context.withheld);
        }
        drop(run_context.turn);
        Ok(concluded)
    }

    /// A plan can be closed between the word to apply it and now: a follower's refresh found something else.
    async fn is_open(&self, id: &PlanId) -> Result<bool, RunError> {
        Ok(self.deps.store.plan(id).await?.is_some_and(|plan| plan.state == PlanState::Open))
    }

    async fn close(&self, id: &PlanId, state: PlanState, by: Option<Author>) -> Result<(), RunError> {
        let closed = PlanClosure { at: self.deps.clock.now(), by };
        Ok(self.deps.store.close_plan(id, state, &closed).await?)
    }

    /// Everything that the source says otherwise than it did, what was recorded meanwhile looked up.
    async fn find(&self, snapshot: &mut Snapshot, run_context: &RunContext) -> Result<Difference, RunError> {
        let baseline = self.catch_up().await?;
        if self.open_index().is_none_or(|index| !index.is_same(&snapshot.index)) {
            return Err(RunError::Storage("what the source said last was lost while it was read".to_owned()));
        }
        let touched = self.since(run_context.since).await?;
        let otherwise: BTreeMap<String, RecordedFact> =
            touched.clone().into_iter().filter(|(subject, known)| snapshot.contradicts(subject, known)).collect();
        let mut changes = self.stated_otherwise(snapshot, &touched).await?;
        changes.extend(self.gone(snapshot, &touched).await?);
        let mut excluded = snapshot.found.excluded.clone();
        changes.extend(self.look_up(otherwise, &mut excluded).await);
        let changes = in_order(changes);
        let removals = ChangeCounts::of(changes.iter()).removals;
        let groups = self.shrinking(&changes).await?;
        let facts = snapshot.index.lock().fact_count();
        let impact = Impact { facts, removals, stated: snapshot.stated_count(), groups, projects: Vec::new() };
        Ok(Difference { changes, excluded, impact, baseline })
    }

    /// What was recorded of the source behind a place, the last of each subject. As the mirror has it: what came too late
    /// of another runner is not among it.
    pub(super) async fn since(&self, after: Position) -> Result<RecordedFacts, RunError> {
        let (mut subjects, mut from, filter) = (BTreeSet::new(), after, self.source_filter());
        loop {
            let (records, ended) = self.deps.tail.page(from, PAGE, &filter).await?;
            subjects.extend(records.iter().filter_map(fact).map(|(subject, _)| subject));
            if ended <= from {
                break;
            }
            from = ended;
        }
        let mut facts = self.last_facts(&subjects.into_iter().collect::<Vec<_>>()).await?;
        facts.retain(|_, known| known.position > after);
        Ok(facts)
    }

    /// What the read states and the source did not say last.
    async fn stated_otherwise(
        &self,
        snapshot: &mut Snapshot,
        touched: &RecordedFacts,
    ) -> Result<Vec<Change>, RunError> {
        let mut stated = std::mem::take(&mut snapshot.found.changes);
        stated.retain(|subject, _| !touched.contains_key(subject.as_str()));
        let before: Vec<Position> = {
            let index = snapshot.index.lock();
            stated.keys().filter_map(|subject| index.entry(subject)).map(|entry| entry.position).collect()
        };
        let mut before = self.facts_at(&before).await?;
        let changes = stated.into_iter().filter_map(|(subject, body)| {
            let Some(known) = before.remove(subject.as_str()) else {
                return Some(Change { subject, body, previous: Position(0), was: None });
            };
            if known.matches(&body, &body.data()) {
                return None;
            }
            let was = known.body().filter(|_| known.is_present());
            Some(Change { subject, body, previous: known.position, was })
        });
        Ok(changes.collect())
    }

    /// What the source said last and says no more. What was left out, and what was said to be as it was, is not gone.
    async fn gone(&self, snapshot: &Snapshot, touched: &RecordedFacts) -> Result<Vec<Change>, RunError> {
        let groups: Vec<String> = snapshot.protected().filter_map(FactSelector::members).collect();
        let protected = if groups.is_empty() {
            BaselineEntries::new()
        } else {
            self.deps.store.entries(&self.source, &[], &groups).await?
        };
        let unsaid = {
            let mut index = snapshot.index.lock();
            protected.keys().for_each(|subject| index.mark_seen(subject));
            snapshot.protected().for_each(|which| {
                if let FactSelector::Subject(subject) = which {
                    index.mark_seen(subject)
                }
            });
            index.unseen()
        };
        let gone = self.facts_at(&unsaid).await?.into_iter().filter(|(subject, _)| !touched.contains_key(subject));
        let changes = gone.filter_map(|(subject, known)| {
            let was = known.body()?;
            Some(Change { subject, body: was.removal()?, previous: known.position, was: Some(was) })
        });
        Ok(changes.collect())
    }

    /// Groups that lose members: name, members now, members then.
    async fn shrinking(&self, changes: &[Change]) -> Result<Vec<(String, u64, u64)>, RunError> {
        let losing = changes.iter().filter_map(|change| match &change.body {
            Body::GroupMemberRemoved(member) => Some((group_of(&change.subject)?, &member.group)),
            _ => None,
        });
        let losing: BTreeMap<&str, &Id> = losing.collect();
        if losing.is_empty() {
            return Ok(Vec::new());
        }
        let subject = |group: &Id| format!("group/{group}");
        let prefixes: Vec<String> = losing.keys().map(|prefix| (*prefix).to_owned()).collect();
        let members = self.deps.store.entries(&self.source, &[], &prefixes).await?;
        let named = self.last_facts(&losing.values().map(|group| subject(group)).collect::<Vec<_>>()).await?;
        let mut groups: BTreeMap<&str, (String, u64, u64)> = BTreeMap::new();
        for (prefix, group) in losing {
            let name = named.get(subject(group).as_str()).and_then(RecordedFact::body).and_then(|body| match body {
                Body::GroupUpserted(group) => group.name,
                _ => None,
            });
            let name = format!("the group {}", name.unwrap_or_else(|| group.to_string()));
            let now = beginning_with(&members, prefix).filter(|(_, entry)| entry.present).count() as u64;
            groups.insert(prefix, (name, now, now));
        }
        for change in changes {
            if let Some((_, _, then)) = group_of(&change.subject).and_then(|prefix| groups.get_mut(prefix)) {
                *then = match change.verb() {
                    ChangeKind::Add => *then + 1,
                    ChangeKind::Change => *then,
                    ChangeKind::Remove => then.saturating_sub(1),
                };
            }
        }
        Ok(groups.into_values().collect())
    }

    /// Looks subjects up singly. Whatever cannot be said now is left as it is.
    pub(super) async fn look_up(
        &self,
        known: BTreeMap<String, RecordedFact>,
        unsaid: &mut BTreeMap<FactSelector, String>,
    ) -> Vec<Change> {
        let asked = known.into_iter().filter_map(|(subject, known)| known.body().map(|body| (subject, known, body)));
        let mut asked: Vec<(String, RecordedFact, Body)> = asked.collect();
        for (subject, ..) in asked.drain(LOOKED_UP.min(asked.len())..) {
            let reason = format!("more than {LOOKED_UP} changed meanwhile; the next full read compares it");
            unsaid.insert(FactSelector::Subject(subject), reason);
        }
        if asked.is_empty() {
            return Vec::new();
        }
        let bodies: Vec<Body> = asked.iter().map(|(.., body)| body.clone()).collect();
        let answers = self.ask(bodies).await;
        let answers = answers.unwrap_or_else(|failure| vec![LookupAnswer::Unknown(failure.to_string()); asked.len()]);
        let mut changes = Vec::new();
        for ((subject, known, body), answer) in asked.into_iter().zip(answers) {
            let was = known.is_present().then_some(body);
            match answer {
                LookupAnswer::Stated(stated) if stated.body.subject() == subject && !stated.body.is_removal() => {
                    if !known.matches(&stated.body, &stated.body.data()) {
                        changes.push(Change { subject, body: stated.body, previous: known.position, was });
                    }
                }
                LookupAnswer::Stated(_) => {
                    let reason = "the connector answered for another subject: a defect of Rollcall".to_owned();
                    unsaid.insert(FactSelector::Subject(subject), reason);
                }
                LookupAnswer::Gone => {
                    if let Some(end) = was.as_ref().and_then(Body::removal) {
                        changes.push(Change { subject, body: end, previous: known.position, was });
                    }
                }
                LookupAnswer::Unknown(reason) | LookupAnswer::Unanswered(reason) => {
                    drop(unsaid.insert(FactSelector::Subject(subject), reason))
                }
            }
        }
        changes
    }

    /// Why nothing of what is read may be recorded before a person has looked.
    pub(super) fn needs_review(&self, baseline: &BaselineState) -> Option<(PlanReason, &'static str)> {
        match baseline.scope.as_deref() {
            None if self.options.first_run_waits => {
                Some((PlanReason::FirstRun, "it is the first read; a person looks at it first"))
            }
            Some(applied) if applied != self.pull.scope().digest() => {
                Some((PlanReason::Scope, "the scope is another one (bases, filters or attributes changed)"))
            }
            _ => None,
        }
    }

    /// What must wait for a person.
    async fn hold(&self, difference: &Difference) -> Hold {
        if difference.changes.is_empty() {
            return Hold::Nothing;
        }
        if let Some((why, reason)) = self.needs_review(&difference.baseline) {
            return Hold::All(why, reason.to_owned());
        }
        // They came by another way under the same name: nobody has said yet that this way speaks for them too.
        if difference.baseline.scope.is_none() && difference.impact.removals > 0 {
            let reason =
                format!("it is the first read, and {} facts that stand already would end", difference.impact.removals);
            return Hold::Removals(PlanReason::FirstRun, reason);
        }
        match self.hold_reason(difference.impact.clone(), &difference.changes, &difference.baseline).await {
            None => Hold::Nothing,
            Some(hold_reason @ HoldReason::Empty { .. }) => Hold::Removals(PlanReason::Empty, hold_reason.to_string()),
            Some(hold_reason) => Hold::Removals(PlanReason::Guard, hold_reason.to_string()),
        }
    }

    /// Whether what would be recorded is too much to believe. Projects are asked about last, and only where something
    /// would be taken away: that costs a copy of the roster.
    pub(super) async fn hold_reason(
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
                impact.projects = self.deps.consequences.emptied(proposed, CROWD).await;
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

    fn sealed_event(&self, snapshot: &Snapshot, difference: &Difference, run_context: &RunContext) -> Option<NewEvent> {
        let mut counts = snapshot.found.counts.clone();
        let absent = snapshot.absent().len() as u64;
        let more = [("absent", absent), ("excluded", difference.excluded.len() as u64)];
        counts.extend(more.into_iter().filter(|(_, n)| *n > 0).map(|(word, n)| (word.to_owned(), n)));
        let run = self.run_of(&run_context.run, None)?;
        let run = Run { counts, digest: Some(snapshot.digest().to_string()), ..run };
        Some(self.run_event(&Body::SnapshotSealed(run), &run_context.run))
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
        let changes = in_order(self.look_up(known.into_iter().collect(), &mut BTreeMap::new()).await);
        self.append(changes.iter().map(|change| change.event(&self.source, run)).collect()).await?;
        self.catch_up().await.map(drop)
    }

    /// A plan of the changes that are not recorded.
    async fn plan(
        &self,
        difference: &Difference,
        why: PlanReason,
        reason: String,
        all: bool,
    ) -> Result<Plan, RunError> {
        let rows: Vec<&Change> =
            difference.changes.iter().filter(|change| all || change.verb() == ChangeKind::Remove).collect();
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
    async fn hold_back(
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
    async fn seal_and_hold(
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

    /// Keeps the personal data that is not as it was.
    pub(super) async fn save_personal(&self, found: Vec<(Id, PersonalData)>) -> Result<(), RunError> {
        let mut found: HashMap<Id, PersonalData> = found.into_iter().collect();
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
        let news = found.into_iter();
        let news: Vec<Personal> = news
            .map(|(person, PersonalData { email, name })| Personal {
                person,
                email,
                name,
                order_key: order_key.clone(),
            })
            .collect();
        if !news.is_empty() {
            self.deps.store.save_personal(&self.source, news).await?;
        }
        Ok(())
    }

    /// How the source is after this.
    async fn status_after(
        &self,
        snapshot: &Snapshot,
        difference: &Difference,
        concluded: &RunOutcome,
    ) -> Result<SourceStatus, RunError> {
        let mut status = self.status().await?;
        let now = self.deps.clock.now();
        status.sealed_at = Some(now);
        status.failures = 0;
        status.facts = snapshot.index.lock().fact_count();
        let absent = snapshot.absent();
        status.absent =
            AbsentMembers { count: absent.len() as u64, first: absent.iter().take(SHOWN).cloned().collect() };
        let excluded = difference.excluded.iter().map(|(which, reason)| (which.to_string(), reason.clone()));
        status.excluded =
            ExcludedFacts { count: difference.excluded.len() as u64, first: excluded.take(SHOWN).collect() };
        (status.state, status.reason) = match concluded {
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

/// The digest over what a read would end.
fn removals(difference: &Difference) -> String {
    digest(difference.changes.iter().filter(|change| change.verb() == ChangeKind::Remove)).to_string()
}

/// The first two parts of `member/{group}/{kind}/{member}`, which name the group.
fn group_of(subject: &str) -> Option<&str> {
    let (end, _) = subject.match_indices('/').nth(1)?;
    subject.starts_with("member/").then(|| subject.get(..=end)).flatten()
}
