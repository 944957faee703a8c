//! What a full read that was complete comes to: what differs is found, held against the brake, appended or planned.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_eventlog::Filter;
use rollcall_events::{Body, NewEvent, Position, body::Run};

use super::{Engine, Intent, PAGE, RunError, again::unsure};
use crate::{
    Personal,
    brake::{Braked, Weight, brake},
    difference::{Change, Verb, digest, in_order},
    judge::micros,
    plan::{Plan, PlanState, Row, Why},
    pull::{Answer, Bracket, Failure, Known, Names, Sealed, Which},
    standing::{Absent, Excluded, SHOWN, Standing, State, Whole},
    stores::{Facts, Reached},
};

/// How many subjects are looked up singly at most; the rest is left to the next full read.
const LOOKED_UP: usize = 1000;

/// How many facts were recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// New ones.
    pub additions: u64,
    /// Changed ones.
    pub changes: u64,
    /// Those that ended.
    pub removals: u64,
}

impl Numbers {
    pub(super) fn of<'a>(changes: impl Iterator<Item = &'a Change>) -> Self {
        let mut numbers = Self::default();
        for change in changes {
            match change.verb() {
                Verb::Add => numbers.additions += 1,
                Verb::Change => numbers.changes += 1,
                Verb::Remove => numbers.removals += 1,
            }
        }
        numbers
    }
}

/// What a full read came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concluded {
    /// The log says what the source says.
    InForce {
        /// What was recorded for that.
        recorded: Numbers,
        /// The log's position that holds all of it.
        position: Position,
    },
    /// Part of it waits for a person.
    Held {
        /// What was recorded.
        recorded: Numbers,
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
    Removals(Why, String),
    All(Why, String),
}

/// What a read came to, before it is decided what of it is recorded.
struct Finding {
    /// In the order in which they are appended.
    changes: Vec<Change>,
    excluded: BTreeMap<Which, String>,
    weight: Weight,
    reached: Reached,
}

impl Engine {
    /// Compares a sealed read with what the source said last and records what differs, as far as that is meant.
    pub(super) async fn conclude(&self, mut sealed: Sealed, intent: Intent) -> Result<Concluded, RunError> {
        let bracket = sealed.bracket.take();
        let Some(bracket) = bracket else {
            return Err(Failure::Partial("a sheet was sealed that was not given for a run".to_owned()).into());
        };
        let _writing = self.writing.lock().await;
        let mut finding = self.find(&sealed, &bracket).await?;
        let scope = self.pull.scope();
        let rescoped = finding.reached.scope.as_deref() != Some(scope.digest());
        let hold = self.hold(&finding, rescoped);
        if matches!((&intent, &hold), (Intent::Record, Hold::Nothing)) {
            let there = self.still_there(&finding.changes).await;
            let there = there.unwrap_or_else(|failure| unsure(&finding.changes, &failure));
            finding.changes.retain(|change| !there.contains_key(&Which::Subject(change.subject.clone())));
            finding.excluded.extend(there);
        }
        let concluded = match (&intent, hold) {
            (Intent::Plan, hold) => {
                let reason = match hold {
                    Hold::Nothing => "it was asked for; applying needs no confirmation".to_owned(),
                    Hold::Removals(_, why) | Hold::All(_, why) => format!("it was asked for; {why}"),
                };
                Concluded::Planned(self.plan(&sealed, &finding, Why::Asked, reason, true).await?)
            }
            (Intent::Apply(plan), _) if removals(&finding) != plan.removals_digest => {
                let reason = format!("the removals are no longer those of {}", plan.id);
                Concluded::Differs(self.close_held(&sealed, &finding, &bracket, plan.why, reason, true).await?)
            }
            (Intent::Record, Hold::All(why, reason)) => {
                let plan = self.close_held(&sealed, &finding, &bracket, why, reason, true).await?;
                Concluded::Held { recorded: Numbers::default(), plan }
            }
            (Intent::Record, Hold::Removals(why, reason)) => {
                let now = |change: &&Change| change.verb() != Verb::Remove;
                let adding: Vec<&Change> = finding.changes.iter().filter(now).collect();
                let facts = adding.iter().map(|change| change.event(&self.source, Some(&bracket.run))).collect();
                self.record(&sealed, &finding, &bracket, facts).await?;
                let recorded = Numbers::of(adding.into_iter());
                Concluded::Held {
                    recorded,
                    plan: self.hold_back(&sealed, &finding, &bracket, why, reason, false).await?,
                }
            }
            (Intent::Record | Intent::Apply(_), _) => {
                let facts = finding.changes.iter().map(|change| change.event(&self.source, Some(&bracket.run)));
                let mut events: Vec<NewEvent> = facts.collect();
                let empty = finding.reached.scope.is_none() && sealed.stated() == 0;
                if !events.is_empty() || (rescoped && !empty) || matches!(intent, Intent::Apply(_)) {
                    let confirmed = match &intent {
                        Intent::Apply(plan) => Some(format!("{} was confirmed", plan.id)),
                        Intent::Record | Intent::Plan => None,
                    };
                    let applied = self.run_of(&bracket.run, confirmed).map(Body::SnapshotApplied);
                    events.extend(applied.map(|body| self.run_event(&body, &bracket.run)));
                }
                let position = self.record(&sealed, &finding, &bracket, events).await?;
                let held = self.works.shelf.held_plan(&self.source).await?;
                let (settled, state) = match &intent {
                    Intent::Apply(plan) => (Some(plan.id.clone()), PlanState::Applied),
                    _ => (None, PlanState::Superseded),
                };
                if let Some(settled) = &settled {
                    self.works.shelf.settle_plan(settled, state).await?;
                }
                if let Some(held) = held.filter(|held| Some(&held.id) != settled.as_ref()) {
                    self.works.shelf.settle_plan(&held.id, PlanState::Superseded).await?;
                }
                Concluded::InForce { recorded: Numbers::of(finding.changes.iter()), position }
            }
        };
        if bracket.recorded {
            if !matches!(
                concluded,
                Concluded::Differs(_) | Concluded::Held { plan: Plan { why: Why::Scope | Why::FirstRun, .. }, .. }
            ) {
                self.keep_names(std::mem::take(&mut sealed.found.personal)).await?;
            }
            let mut standing = self.stands(&sealed, &finding, &concluded).await?;
            let anew = bracket.anew.as_ref().map(|why| Whole { at: self.works.clock.now(), why: why.to_string() });
            standing.whole = anew.or(standing.whole);
            self.note(standing).await?;
            self.withheld.seen(bracket.withheld);
        }
        drop(bracket.turn);
        Ok(concluded)
    }

    /// Everything that the source says otherwise than it did, what was recorded meanwhile looked up.
    async fn find(&self, sealed: &Sealed, bracket: &Bracket) -> Result<Finding, RunError> {
        let reached = self.catch_up().await?;
        let touched = self.works.shelf.since(&self.source, bracket.since).await?;
        let mut changes = Vec::new();
        for (subject, stated) in sealed.changes().filter(|(subject, _)| !touched.contains_key(*subject)) {
            let known = sealed.known(subject);
            changes.push(Change {
                subject: subject.to_owned(),
                body: stated.body.clone(),
                previous: known.map_or(Position(0), |known| known.position),
                was: known.filter(|known| known.stands()).and_then(Known::body),
            });
        }
        for (subject, known, was) in sealed.gone().filter(|(subject, ..)| !touched.contains_key(*subject)) {
            if let Some(body) = was.ending() {
                changes.push(Change { subject: subject.to_owned(), body, previous: known.position, was: Some(was) });
            }
        }
        let mut excluded = sealed.found.excluded.clone();
        let otherwise = touched.into_iter().filter(|(subject, known)| {
            sealed.view(subject).is_some_and(|view| view != known.body().filter(|_| known.stands()))
        });
        changes.extend(self.look_up(otherwise.collect(), &mut excluded).await);
        let changes = in_order(changes);
        let facts = self.works.shelf.count(&self.source).await?;
        let removals = Numbers::of(changes.iter()).removals;
        let groups = shrinking(sealed, &changes);
        let weight = Weight { facts, removals, stated: sealed.stated(), groups };
        Ok(Finding { changes, excluded, weight, reached })
    }

    /// Looks subjects up singly. Whatever cannot be said now is left as it is.
    pub(super) async fn look_up(&self, known: Facts, unsaid: &mut BTreeMap<Which, String>) -> Vec<Change> {
        let mut asked: Vec<(String, Known, Body)> = known
            .into_iter()
            .filter_map(|(subject, known)| known.body().map(|body| (subject.into_string(), known, body)))
            .collect();
        if asked.is_empty() {
            return Vec::new();
        }
        asked.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        asked.truncate(LOOKED_UP);
        let bodies: Vec<Body> = asked.iter().map(|(.., body)| body.clone()).collect();
        let answers = self.ask(bodies).await;
        let answers = answers.unwrap_or_else(|failure| vec![Answer::Unknown(failure.to_string()); asked.len()]);
        let mut changes = Vec::new();
        for ((subject, known, body), answer) in asked.into_iter().zip(answers) {
            let was = known.stands().then_some(body);
            match answer {
                Answer::Stated(stated) if stated.body.subject() == subject && !stated.body.ends() => {
                    if !known.says(&stated.body, &stated.body.data()) {
                        changes.push(Change { subject, body: stated.body, previous: known.position, was });
                    }
                }
                Answer::Stated(_) => {
                    let reason = "the connector answered for another subject: a defect of Rollcall".to_owned();
                    unsaid.insert(Which::Subject(subject), reason);
                }
                Answer::Gone => {
                    if let Some(end) = was.as_ref().and_then(Body::ending) {
                        changes.push(Change { subject, body: end, previous: known.position, was });
                    }
                }
                Answer::Unknown(reason) => drop(unsaid.insert(Which::Subject(subject), reason)),
            }
        }
        changes
    }

    /// What must wait for a person.
    fn hold(&self, finding: &Finding, rescoped: bool) -> Hold {
        if finding.changes.is_empty() {
            return Hold::Nothing;
        }
        match &finding.reached.scope {
            None if self.options.first_run_waits => {
                return Hold::All(Why::FirstRun, "it is the first read; a person looks at it first".to_owned());
            }
            Some(_) if rescoped => {
                let reason = "the scope is another one (bases, filters or attributes changed)".to_owned();
                return Hold::All(Why::Scope, reason);
            }
            _ => {}
        }
        match brake(&finding.weight).filter(|_| self.options.brake) {
            None => Hold::Nothing,
            Some(braked @ Braked::Empty { .. }) => Hold::Removals(Why::Empty, braked.to_string()),
            Some(braked) => Hold::Removals(Why::Brake, braked.to_string()),
        }
    }

    /// Appends that the read was complete, and what follows from it; then looks whether somebody else recorded
    /// something of the same subjects in between.
    async fn record(
        &self,
        sealed: &Sealed,
        finding: &Finding,
        bracket: &Bracket,
        facts: Vec<NewEvent>,
    ) -> Result<Position, RunError> {
        let subjects: BTreeSet<std::sync::Arc<str>> = facts.iter().map(|fact| fact.subject.clone()).collect();
        let mut events: Vec<NewEvent> = Vec::with_capacity(facts.len() + 1);
        events.extend(self.sealed_event(sealed, finding, bracket));
        events.extend(facts);
        let newest = self.append(events).await?;
        let reached = self.catch_up().await?;
        self.settle_races(finding.reached.position, &subjects, &bracket.run).await?;
        Ok(newest.unwrap_or(reached.position))
    }

    fn sealed_event(&self, sealed: &Sealed, finding: &Finding, bracket: &Bracket) -> Option<NewEvent> {
        let mut counts = sealed.found.counts.clone();
        let absent = sealed.absent().len() as u64;
        let more = [("absent", absent), ("excluded", finding.excluded.len() as u64)];
        counts.extend(more.into_iter().filter(|(_, n)| *n > 0).map(|(word, n)| (word.to_owned(), n)));
        let run = self.run_of(&bracket.run, None)?;
        let run = Run { counts, digest: Some(sealed.digest().to_string()), ..run };
        Some(self.run_event(&Body::SnapshotSealed(run), &bracket.run))
    }

    /// Two who say something of one subject at the same moment: the read is older than what came by itself, and stands
    /// behind it in the log. Such subjects are looked up and said once more.
    async fn settle_races(
        &self,
        after: Position,
        subjects: &BTreeSet<std::sync::Arc<str>>,
        run: &str,
    ) -> Result<(), RunError> {
        let filter = Filter { source: Some(self.source.to_string()), ..Filter::default() };
        let (mut from, mut raced) = (after, BTreeSet::new());
        loop {
            let (records, ended) = self.works.tail.page(from, PAGE, &filter).await?;
            let others = records.iter().filter(|record| record.event.correlation.as_deref() != Some(run));
            raced.extend(others.map(|record| record.event.subject.clone()).filter(|s| subjects.contains(s)));
            from = ended;
            if records.len() < PAGE {
                break;
            }
        }
        if raced.is_empty() {
            return Ok(());
        }
        let raced: Vec<String> = raced.iter().map(ToString::to_string).collect();
        let known = self.works.shelf.some(&self.source, &raced, &[]).await?;
        let changes = in_order(self.look_up(known, &mut BTreeMap::new()).await);
        self.append(changes.iter().map(|change| change.event(&self.source, Some(run))).collect()).await?;
        self.catch_up().await.map(drop)
    }

    /// A plan of the changes that are not recorded.
    async fn plan(
        &self,
        sealed: &Sealed,
        finding: &Finding,
        why: Why,
        reason: String,
        all: bool,
    ) -> Result<Plan, RunError> {
        let rows: Vec<&Change> = finding.changes.iter().filter(|change| all || change.verb() == Verb::Remove).collect();
        let numbers = Numbers::of(rows.iter().copied());
        let plan = Plan {
            id: self.plan_id(),
            source: self.source.clone(),
            made_at: self.works.clock.now(),
            position: finding.reached.position,
            why,
            reason,
            state: PlanState::Open,
            facts: finding.weight.facts,
            additions: numbers.additions,
            changes: numbers.changes,
            removals: numbers.removals,
            removals_digest: removals(finding),
            rows_digest: digest(rows.iter().copied()).to_string(),
        };
        // Whoever looks twice at the same finds the same plan.
        let waiting = self.works.shelf.held_plan(&self.source).await?;
        if let Some(same) = waiting.filter(|waiting| why != Why::Asked && waiting.rows_digest == plan.rows_digest) {
            return Ok(same);
        }
        let known = |subject: &str| {
            let changed = sealed.found.changes.get(subject).map(|stated| stated.body.clone());
            changed.or_else(|| sealed.known(subject).and_then(Known::body))
        };
        let rows: Vec<Row> = rows.into_iter().map(|change| Row::of(change, change.text(&known))).collect();
        self.works.shelf.keep_plan(&plan, &rows).await?;
        Ok(plan)
    }

    /// Keeps a plan and says in the log that its removals are held, once for each plan.
    async fn hold_back(
        &self,
        sealed: &Sealed,
        finding: &Finding,
        bracket: &Bracket,
        why: Why,
        reason: String,
        all: bool,
    ) -> Result<Plan, RunError> {
        let before = self.works.shelf.held_plan(&self.source).await?;
        let plan = self.plan(sealed, finding, why, reason, all).await?;
        if before.is_none_or(|before| before.id != plan.id) {
            let reason = format!("{}: {}", plan.id, plan.reason);
            let held = self.run_of(&bracket.run, Some(reason)).map(Body::SnapshotHeld);
            self.append(held.map(|body| self.run_event(&body, &bracket.run)).into_iter().collect()).await?;
            self.catch_up().await?;
        }
        Ok(plan)
    }

    /// As `hold_back`, for a run of which nothing is recorded.
    async fn close_held(
        &self,
        sealed: &Sealed,
        finding: &Finding,
        bracket: &Bracket,
        why: Why,
        reason: String,
        all: bool,
    ) -> Result<Plan, RunError> {
        self.append(self.sealed_event(sealed, finding, bracket).into_iter().collect()).await?;
        self.hold_back(sealed, finding, bracket, why, reason, all).await
    }

    /// Keeps the personal data that is not as it was.
    pub(super) async fn keep_names(&self, found: Vec<(rollcall_events::Id, Names)>) -> Result<(), RunError> {
        if found.is_empty() {
            return Ok(());
        }
        let kept = self.works.shelf.names(&self.source).await?;
        let order_key = micros(self.works.clock.now());
        let news = found.into_iter().filter(|(person, names)| kept.get(person) != Some(names));
        let news: Vec<Personal> = news
            .map(|(person, Names { email, name })| Personal { person, email, name, order_key: order_key.clone() })
            .collect();
        if !news.is_empty() {
            self.works.shelf.keep_names(&self.source, news).await?;
        }
        Ok(())
    }

    /// How the source is after this.
    async fn stands(&self, sealed: &Sealed, finding: &Finding, concluded: &Concluded) -> Result<Standing, RunError> {
        let mut standing = self.standing().await?;
        let now = self.works.clock.now();
        standing.sealed_at = Some(now);
        standing.failures = 0;
        standing.facts = self.works.shelf.count(&self.source).await?;
        let absent = sealed.absent();
        standing.absent = Absent { count: absent.len() as u64, first: absent.iter().take(SHOWN).cloned().collect() };
        let excluded = finding.excluded.iter().map(|(which, reason)| (which.to_string(), reason.clone()));
        standing.excluded = Excluded { count: finding.excluded.len() as u64, first: excluded.take(SHOWN).collect() };
        (standing.state, standing.reason) = match concluded {
            Concluded::InForce { position, .. } => {
                standing.applied = *position;
                (State::Healthy, None)
            }
            Concluded::Planned(plan) | Concluded::Differs(plan) if plan.why == Why::Asked => {
                // Nothing waits: it was read well, and what it said before is in force.
                let failed = standing.state.is_failure();
                if failed { (State::Healthy, None) } else { (standing.state, standing.reason.take()) }
            }
            Concluded::Held { plan, .. } | Concluded::Planned(plan) | Concluded::Differs(plan) => {
                let state = if sealed.stated() == 0 { State::Empty } else { State::Held };
                (state, Some(plan.reason.clone()))
            }
        };
        Ok(standing)
    }
}

/// The digest over what a read would end.
fn removals(finding: &Finding) -> String {
    digest(finding.changes.iter().filter(|change| change.verb() == Verb::Remove)).to_string()
}

/// Groups that lose members: name, members now, members then.
fn shrinking(sealed: &Sealed, changes: &[Change]) -> Vec<(String, u64, u64)> {
    let mut groups: BTreeMap<String, (String, u64, u64)> = BTreeMap::new();
    // The first two parts of `member/{group}/{kind}/{member}` name the group.
    let group =
        |subject: &str| subject.strip_prefix("member/").and_then(|rest| rest.split('/').next().map(str::to_owned));
    for change in changes {
        if let (Body::GroupMemberRemoved(member), Some(key)) = (&change.body, group(&change.subject)) {
            let subject = format!("group/{}", member.group);
            let name = sealed.known(&subject).and_then(Known::body).and_then(|body| match body {
                Body::GroupUpserted(group) => group.name,
                _ => None,
            });
            let name = name.unwrap_or_else(|| member.group.to_string());
            groups.entry(key).or_insert((format!("the group {name}"), 0, 0));
        }
    }
    if groups.is_empty() {
        return Vec::new();
    }
    for (subject, _) in sealed.all_known().filter(|(_, known)| known.stands()) {
        if let Some((_, now, then)) = group(subject).and_then(|key| groups.get_mut(&key)) {
            (*now, *then) = (*now + 1, *then + 1);
        }
    }
    for change in changes {
        if let Some((_, _, then)) = group(&change.subject).and_then(|key| groups.get_mut(&key)) {
            *then = match change.verb() {
                Verb::Add => *then + 1,
                Verb::Change => *then,
                Verb::Remove => then.saturating_sub(1),
            };
        }
    }
    groups.into_values().collect()
}
