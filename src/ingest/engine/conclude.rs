//! What a full read that was complete comes to: what differs is found, held against the brake, appended or planned.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use rollcall_events::{
    Body, Id, NewEvent, Position,
    body::{Author, Run},
};

use super::{Engine, Intent, PAGE, RunError, again::unsure, fact};
use crate::{
    Personal,
    brake::{Braked, CROWD, Weight, brake},
    consequences::Proposed,
    difference::{Change, Verb, digest, in_order},
    judge::micros,
    plan::{Closed, Plan, PlanId, PlanState, Row, Why},
    pull::{Answer, Bracket, Failure, Known, Names, Sealed, Which},
    standing::{Absent, Excluded, SHOWN, Standing, State, Whole},
    stores::{Facts, Marks, Reached, beginning_with},
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
        let mut finding = self.find(&mut sealed, &bracket).await?;
        let rescoped = finding.reached.scope.as_deref() != Some(self.pull.scope().digest());
        let hold = self.hold(&finding).await;
        let nothing_counts = matches!((&intent, &hold), (Intent::Record, Hold::All(..)));
        if matches!((&intent, &hold), (Intent::Record, Hold::Nothing)) {
            let there = self.still_there(&finding.changes).await;
            let there = there.unwrap_or_else(|failure| unsure(&finding.changes, &failure));
            if !there.is_empty() {
                finding.changes.retain(|change| !there.contains_key(&Which::Subject(change.subject.clone())));
            }
            finding.excluded.extend(there);
        }
        let concluded = match (&intent, hold) {
            (Intent::Plan, hold) => {
                let reason = match hold {
                    Hold::Nothing => "it was asked for; applying needs no confirmation".to_owned(),
                    Hold::Removals(_, why) | Hold::All(_, why) => format!("it was asked for; {why}"),
                };
                Concluded::Planned(self.plan(&finding, Why::Asked, reason, true).await?)
            }
            (Intent::Apply(plan, _), _)
                if removals(&finding) != plan.removals_digest || !self.is_open(&plan.id).await? =>
            {
                let reason = format!("the removals are no longer those of {}", plan.id);
                Concluded::Differs(self.close_held(&sealed, &finding, &bracket, plan.why, reason, true).await?)
            }
            (Intent::Record, Hold::All(why, reason)) => {
                let plan = self.close_held(&sealed, &finding, &bracket, why, reason, true).await?;
                Concluded::Held { recorded: Numbers::default(), plan }
            }
            (Intent::Record, Hold::Removals(why, reason)) => {
                let now = |change: &&Change| change.verb() != Verb::Remove;
                let facts = finding.changes.iter().filter(now);
                let facts = facts.map(|change| change.event(&self.source, &bracket.run));
                self.record(&sealed, &finding, &bracket, facts).await?;
                let recorded = Numbers::of(finding.changes.iter().filter(now));
                Concluded::Held { recorded, plan: self.hold_back(&finding, &bracket, why, reason, false).await? }
            }
            (Intent::Record | Intent::Apply(..), _) => {
                let facts = finding.changes.iter().map(|change| change.event(&self.source, &bracket.run));
                let empty = finding.reached.scope.is_none() && sealed.stated() == 0;
                let mut applied = None;
                if !finding.changes.is_empty() || (rescoped && !empty) || matches!(intent, Intent::Apply(..)) {
                    let confirmed = match &intent {
                        Intent::Apply(plan, by) => Some(format!("{} was confirmed by {}", plan.id, by.as_str())),
                        Intent::Record | Intent::Plan => None,
                    };
                    applied = self.run_of(&bracket.run, confirmed).map(Body::SnapshotApplied);
                }
                let events = facts.chain(applied.map(|body| self.run_event(&body, &bracket.run)));
                let position = self.record(&sealed, &finding, &bracket, events).await?;
                if let Intent::Apply(plan, by) = &intent {
                    self.close(&plan.id, PlanState::Applied, Some(by.clone())).await?;
                }
                // What waited is not what the source says now, or was among what has just been recorded.
                if let Some(held) = self.works.shelf.held_plan(&self.source).await? {
                    self.close(&held.id, PlanState::Superseded, None).await?;
                }
                Concluded::InForce { recorded: Numbers::of(finding.changes.iter()), position }
            }
        };
        if bracket.recorded {
            if !nothing_counts && !matches!(concluded, Concluded::Differs(_)) {
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

    /// A plan can be closed between the word to apply it and now: a follower's refresh found something else.
    async fn is_open(&self, id: &PlanId) -> Result<bool, RunError> {
        Ok(self.works.shelf.plan(id).await?.is_some_and(|plan| plan.state == PlanState::Open))
    }

    async fn close(&self, id: &PlanId, state: PlanState, by: Option<Author>) -> Result<(), RunError> {
        let closed = Closed { at: self.works.clock.now(), by };
        Ok(self.works.shelf.close_plan(id, state, &closed).await?)
    }

    /// Everything that the source says otherwise than it did, what was recorded meanwhile looked up.
    async fn find(&self, sealed: &mut Sealed, bracket: &Bracket) -> Result<Finding, RunError> {
        let reached = self.catch_up().await?;
        if self.open_book().is_none_or(|book| !book.is(&sealed.book)) {
            return Err(RunError::Storage("what the source said last was lost while it was read".to_owned()));
        }
        let touched = self.since(bracket.since).await?;
        let otherwise: BTreeMap<String, Known> =
            touched.clone().into_iter().filter(|(subject, known)| sealed.denies(subject, known)).collect();
        let mut changes = self.stated_otherwise(sealed, &touched).await?;
        changes.extend(self.gone(sealed, &touched).await?);
        let mut excluded = sealed.found.excluded.clone();
        changes.extend(self.look_up(otherwise, &mut excluded).await);
        let changes = in_order(changes);
        let removals = Numbers::of(changes.iter()).removals;
        let groups = self.shrinking(&changes).await?;
        let facts = sealed.book.open().standing();
        let weight = Weight { facts, removals, stated: sealed.stated(), groups, projects: Vec::new() };
        Ok(Finding { changes, excluded, weight, reached })
    }

    /// What was recorded of the source behind a place, the last of each subject. As the mirror has it: what came too late
    /// of another runner is not among it.
    pub(super) async fn since(&self, after: Position) -> Result<Facts, RunError> {
        let (mut subjects, mut from, filter) = (BTreeSet::new(), after, self.own());
        loop {
            let (records, ended) = self.works.tail.page(from, PAGE, &filter).await?;
            subjects.extend(records.iter().filter_map(fact).map(|(subject, _)| subject));
            if ended <= from {
                break;
            }
            from = ended;
        }
        let mut facts = self.last_said(&subjects.into_iter().collect::<Vec<_>>()).await?;
        facts.retain(|_, known| known.position > after);
        Ok(facts)
    }

    /// What the read states and the source did not say last.
    async fn stated_otherwise(&self, sealed: &mut Sealed, touched: &Facts) -> Result<Vec<Change>, RunError> {
        let mut stated = std::mem::take(&mut sealed.found.changes);
        stated.retain(|subject, _| !touched.contains_key(subject.as_str()));
        let before: Vec<Position> = {
            let ledger = sealed.book.open();
            stated.keys().filter_map(|subject| ledger.mark(subject)).map(|mark| mark.position).collect()
        };
        let mut before = self.facts(&before).await?;
        let changes = stated.into_iter().filter_map(|(subject, body)| {
            let Some(known) = before.remove(subject.as_str()) else {
                return Some(Change { subject, body, previous: Position(0), was: None });
            };
            if known.says(&body, &body.data()) {
                return None;
            }
            let was = known.body().filter(|_| known.stands());
            Some(Change { subject, body, previous: known.position, was })
        });
        Ok(changes.collect())
    }

    /// What the source said last and says no more. What was left out, and what was said to be as it was, is not gone.
    async fn gone(&self, sealed: &Sealed, touched: &Facts) -> Result<Vec<Change>, RunError> {
        let groups: Vec<String> = sealed.spared().filter_map(Which::members).collect();
        let spared =
            if groups.is_empty() { Marks::new() } else { self.works.shelf.some(&self.source, &[], &groups).await? };
        let unsaid = {
            let mut ledger = sealed.book.open();
            spared.keys().for_each(|subject| ledger.spare(subject));
            sealed.spared().for_each(|which| {
                if let Which::Subject(subject) = which {
                    ledger.spare(subject)
                }
            });
            ledger.unsaid()
        };
        let gone = self.facts(&unsaid).await?.into_iter().filter(|(subject, _)| !touched.contains_key(subject));
        let changes = gone.filter_map(|(subject, known)| {
            let was = known.body()?;
            Some(Change { subject, body: was.ending()?, previous: known.position, was: Some(was) })
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
        let members = self.works.shelf.some(&self.source, &[], &prefixes).await?;
        let named = self.last_said(&losing.values().map(|group| subject(group)).collect::<Vec<_>>()).await?;
        let mut groups: BTreeMap<&str, (String, u64, u64)> = BTreeMap::new();
        for (prefix, group) in losing {
            let name = named.get(subject(group).as_str()).and_then(Known::body).and_then(|body| match body {
                Body::GroupUpserted(group) => group.name,
                _ => None,
            });
            let name = format!("the group {}", name.unwrap_or_else(|| group.to_string()));
            let now = beginning_with(&members, prefix).filter(|(_, mark)| mark.stands).count() as u64;
            groups.insert(prefix, (name, now, now));
        }
        for change in changes {
            if let Some((_, _, then)) = group_of(&change.subject).and_then(|prefix| groups.get_mut(prefix)) {
                *then = match change.verb() {
                    Verb::Add => *then + 1,
                    Verb::Change => *then,
                    Verb::Remove => then.saturating_sub(1),
                };
            }
        }
        Ok(groups.into_values().collect())
    }

    /// Looks subjects up singly. Whatever cannot be said now is left as it is.
    pub(super) async fn look_up(
        &self,
        known: BTreeMap<String, Known>,
        unsaid: &mut BTreeMap<Which, String>,
    ) -> Vec<Change> {
        let asked = known.into_iter().filter_map(|(subject, known)| known.body().map(|body| (subject, known, body)));
        let mut asked: Vec<(String, Known, Body)> = asked.collect();
        for (subject, ..) in asked.drain(LOOKED_UP.min(asked.len())..) {
            let reason = format!("more than {LOOKED_UP} changed meanwhile; the next full read compares it");
            unsaid.insert(Which::Subject(subject), reason);
        }
        if asked.is_empty() {
            return Vec::new();
        }
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
                Answer::Unknown(reason) | Answer::Unanswered(reason) => {
                    drop(unsaid.insert(Which::Subject(subject), reason))
                }
            }
        }
        changes
    }

    /// Why nothing of what is read may be recorded before a person has looked.
    pub(super) fn waits(&self, reached: &Reached) -> Option<(Why, &'static str)> {
        match reached.scope.as_deref() {
            None if self.options.first_run_waits => {
                Some((Why::FirstRun, "it is the first read; a person looks at it first"))
            }
            Some(applied) if applied != self.pull.scope().digest() => {
                Some((Why::Scope, "the scope is another one (bases, filters or attributes changed)"))
            }
            _ => None,
        }
    }

    /// What must wait for a person.
    async fn hold(&self, finding: &Finding) -> Hold {
        if finding.changes.is_empty() {
            return Hold::Nothing;
        }
        if let Some((why, reason)) = self.waits(&finding.reached) {
            return Hold::All(why, reason.to_owned());
        }
        // They came by another way under the same name: nobody has said yet that this way speaks for them too.
        if finding.reached.scope.is_none() && finding.weight.removals > 0 {
            let reason =
                format!("it is the first read, and {} facts that stand already would end", finding.weight.removals);
            return Hold::Removals(Why::FirstRun, reason);
        }
        match self.braked(finding.weight.clone(), &finding.changes, &finding.reached).await {
            None => Hold::Nothing,
            Some(braked @ Braked::Empty { .. }) => Hold::Removals(Why::Empty, braked.to_string()),
            Some(braked) => Hold::Removals(Why::Brake, braked.to_string()),
        }
    }

    /// Whether what would be recorded is too much to believe. Projects are asked about last, and only where something
    /// would be taken away: that costs a copy of the roster.
    pub(super) async fn braked(&self, mut weight: Weight, changes: &[Change], reached: &Reached) -> Option<Braked> {
        if !self.options.brake || weight.removals == 0 {
            return None;
        }
        match brake(&weight) {
            Some(braked @ (Braked::Empty { .. } | Braked::Share { .. })) => Some(braked),
            Some(Braked::Emptied(_)) | None => {
                let facts = changes.iter().map(|change| change.body.clone()).collect();
                let proposed = Proposed { source: self.source.clone(), seen: reached.position, facts };
                weight.projects = self.works.consequences.emptied(proposed, CROWD).await;
                brake(&weight)
            }
        }
    }

    /// Appends that the read was complete, and what follows from it; then looks whether somebody else recorded
    /// something of the same subjects in between.
    async fn record(
        &self,
        sealed: &Sealed,
        finding: &Finding,
        bracket: &Bracket,
        facts: impl Iterator<Item = NewEvent> + Send,
    ) -> Result<Position, RunError> {
        let events = self.sealed_event(sealed, finding, bracket).into_iter().chain(facts);
        let (newest, others) = self.carry(finding.reached.clone(), events, &bracket.run).await?;
        self.settle_races(others, &finding.changes, &bracket.run).await?;
        Ok(newest.unwrap_or(finding.reached.position))
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
    async fn settle_races(&self, others: Vec<Arc<str>>, changes: &[Change], run: &str) -> Result<(), RunError> {
        if others.is_empty() {
            return Ok(());
        }
        let ours: HashSet<&str> = changes.iter().map(|change| change.subject.as_str()).collect();
        let raced: BTreeSet<String> =
            others.iter().filter(|other| ours.contains(&***other)).map(ToString::to_string).collect();
        if raced.is_empty() {
            return Ok(());
        }
        let known = self.last_said(&raced.into_iter().collect::<Vec<_>>()).await?;
        let changes = in_order(self.look_up(known.into_iter().collect(), &mut BTreeMap::new()).await);
        self.append(changes.iter().map(|change| change.event(&self.source, run)).collect()).await?;
        self.catch_up().await.map(drop)
    }

    /// A plan of the changes that are not recorded.
    async fn plan(&self, finding: &Finding, why: Why, reason: String, all: bool) -> Result<Plan, RunError> {
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
            closed: None,
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
        let stated: HashMap<&str, &Body> = {
            let stands = finding.changes.iter().filter(|change| !change.body.ends());
            stands.map(|change| (change.subject.as_str(), &change.body)).collect()
        };
        let named =
            rows.iter().flat_map(|change| change.names()).filter(|subject| !stated.contains_key(subject.as_str()));
        let named: BTreeSet<String> = named.collect();
        let last = self.last_said(&named.into_iter().collect::<Vec<_>>()).await?;
        let known = |subject: &str| {
            let stated = stated.get(subject).map(|body| (*body).clone());
            stated.or_else(|| last.get(subject).and_then(Known::body))
        };
        let rows: Vec<Row> = rows.into_iter().map(|change| Row::of(change, change.text(&known))).collect();
        self.works.shelf.keep_plan(&plan, &rows).await?;
        Ok(plan)
    }

    /// Keeps a plan and says in the log that its removals are held, once for each plan.
    async fn hold_back(
        &self,
        finding: &Finding,
        bracket: &Bracket,
        why: Why,
        reason: String,
        all: bool,
    ) -> Result<Plan, RunError> {
        let before = self.works.shelf.held_plan(&self.source).await?;
        let plan = self.plan(finding, why, reason, all).await?;
        // What was only asked for holds nothing.
        if why != Why::Asked && before.is_none_or(|before| before.id != plan.id) {
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
        self.hold_back(finding, bracket, why, reason, all).await
    }

    /// Keeps the personal data that is not as it was.
    pub(super) async fn keep_names(&self, found: Vec<(Id, Names)>) -> Result<(), RunError> {
        let mut found: HashMap<Id, Names> = found.into_iter().collect();
        if found.len() > LOOKED_UP {
            let mut drop_same = |person: &str, names: Names| {
                if found.get(person) == Some(&names) {
                    found.remove(person);
                }
            };
            self.works.shelf.each_name(&self.source, &mut drop_same).await?;
        } else if !found.is_empty() {
            let persons: Vec<Id> = found.keys().cloned().collect();
            let kept = self.works.shelf.names(&self.source, &persons).await?;
            found.retain(|person, names| kept.get(person) != Some(names));
        }
        let order_key = micros(self.works.clock.now());
        let news = found.into_iter();
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
        standing.facts = sealed.book.open().standing();
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

/// The first two parts of `member/{group}/{kind}/{member}`, which name the group.
fn group_of(subject: &str) -> Option<&str> {
    let (end, _) = subject.match_indices('/').nth(1)?;
    subject.starts_with("member/").then(|| subject.get(..=end)).flatten()
}
