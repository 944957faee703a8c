//! What a complete read says otherwise than the baseline: new, changed and gone facts, in the order in which they would be
//! appended. Decides nothing about them.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use rollcall_events::{Body, Id, NewEvent, Position, body::Run};

use super::{Engine, PAGE, RunError, log::fact};
use crate::{
    baseline::{BaselineEntries, RecordedFact, RecordedFacts, beginning_with},
    connector::{FactSelector, RunContext, Snapshot},
    reading::{
        change::{Change, ChangeKind, digest, in_order},
        guard::{Impact, hold_reason},
        run::ChangeCounts,
        stores::BaselineState,
    },
};

/// What a read came to, before it is decided what of it is recorded.
pub(super) struct Difference {
    /// In the order in which they are appended.
    pub changes: Vec<Change>,
    /// What links say otherwise, beside the changes, as long as nobody has looked at it.
    pub links: Vec<Change>,
    /// Whether they wait, if there are any.
    pub links_wait: bool,
    pub excluded: BTreeMap<FactSelector, String>,
    pub impact: Impact,
    /// Whether the suspensions alone are too many for the guard.
    pub many_suspensions: bool,
    pub baseline: BaselineState,
}

impl Difference {
    /// Whether a change can be held. Whoever is suspended waits for no others who are gone.
    pub fn can_wait(&self, change: &Change) -> bool {
        let links = || self.links_wait && change.loses_links();
        change.verb() == ChangeKind::Remove && (change.body.is_removal() || self.many_suspensions || links())
    }

    /// What is held while the rest is recorded.
    pub fn held(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| self.can_wait(change)).chain(&self.links)
    }

    /// Makes of both what a person confirms: each subject as the source says it now.
    pub fn with_links(mut self) -> Self {
        let mut all: BTreeMap<String, Change> =
            self.changes.into_iter().map(|change| (change.subject.clone(), change)).collect();
        for link in std::mem::take(&mut self.links) {
            match all.entry(link.subject.clone()) {
                Entry::Occupied(mut change) => change.get_mut().body = link.body,
                Entry::Vacant(place) => drop(place.insert(link)),
            }
        }
        Self { changes: in_order(all.into_values().collect()), ..self }
    }
}

impl Engine {
    /// Everything that the source says otherwise than it did, what was recorded meanwhile looked up.
    pub(super) async fn compare(
        &self,
        snapshot: &mut Snapshot,
        run_context: &RunContext,
    ) -> Result<Difference, RunError> {
        let baseline = self.catch_up().await?;
        if self.open_index().is_none_or(|index| !index.is_same(&snapshot.index)) {
            return Err(RunError::Storage("what the source said last was lost while it was read".to_owned()));
        }
        let touched = self.recorded_since(run_context.since).await?;
        let otherwise: BTreeMap<String, RecordedFact> =
            touched.clone().into_iter().filter(|(subject, known)| snapshot.contradicts(subject, known)).collect();
        let mut changes = self.changed_facts(snapshot, &touched).await?;
        changes.extend(self.removed_facts(snapshot, &touched).await?);
        let mut excluded = snapshot.found.excluded.clone();
        changes.extend(self.look_up(otherwise, &mut excluded).await);
        let links_wait = self.links_wait(&baseline);
        let (changes, links) = if links_wait { split_links(changes) } else { (changes, Vec::new()) };
        let (changes, links) = (in_order(changes), in_order(links));
        let removals = ChangeCounts::of(changes.iter()).removals;
        let groups = self.shrinking_groups(&changes).await?;
        let facts = snapshot.index.lock().fact_count();
        let impact = Impact { facts, removals, stated: snapshot.stated_count(), groups, projects: Vec::new() };
        let suspended =
            changes.iter().filter(|change| change.verb() == ChangeKind::Remove && !change.body.is_removal());
        let suspensions =
            Impact { facts, removals: suspended.count() as u64, stated: impact.stated, ..Impact::default() };
        let many_suspensions = hold_reason(&suspensions).is_some();
        Ok(Difference { changes, links, links_wait, excluded, impact, many_suspensions, baseline })
    }

    /// What was recorded of the source behind a place, the last of each subject. As the baseline has it: what came too late
    /// of another runner is not among it.
    pub(super) async fn recorded_since(&self, after: Position) -> Result<RecordedFacts, RunError> {
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
    pub(super) async fn changed_facts(
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

    /// What the source said last and says no more. What was left out is not gone.
    pub(super) async fn removed_facts(
        &self,
        snapshot: &Snapshot,
        touched: &RecordedFacts,
    ) -> Result<Vec<Change>, RunError> {
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
    pub(super) async fn shrinking_groups(&self, changes: &[Change]) -> Result<Vec<(String, u64, u64)>, RunError> {
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

    /// That the read was complete, with what it counted.
    pub(super) fn sealed_event(
        &self,
        snapshot: &Snapshot,
        difference: &Difference,
        run_context: &RunContext,
    ) -> Option<NewEvent> {
        let mut counts = snapshot.found.counts.clone();
        let absent = snapshot.absent().len() as u64;
        let more = [("absent", absent), ("excluded", difference.excluded.len() as u64)];
        counts.extend(more.into_iter().filter(|(_, n)| *n > 0).map(|(word, n)| (word.to_owned(), n)));
        let run = self.run_of(&run_context.run, None)?;
        let run = Run { counts, digest: Some(snapshot.digest().to_string()), ..run };
        Some(self.run_event(&Body::SnapshotSealed(run), &run_context.run))
    }
}

/// The digest over what a read would end and what can be held.
pub(super) fn removals(difference: &Difference) -> String {
    let all = difference.changes.iter().chain(&difference.links);
    digest(all.filter(|change| difference.can_wait(change))).to_string()
}

/// Changes in two: without what links say otherwise, and that.
pub(super) fn split_links(changes: Vec<Change>) -> (Vec<Change>, Vec<Change>) {
    let (changes, links): (Vec<_>, Vec<_>) = changes.into_iter().map(Change::without_links).unzip();
    (changes.into_iter().flatten().collect(), links.into_iter().flatten().collect())
}

/// The first two parts of `member/{group}/{kind}/{member}`, which name the group.
fn group_of(subject: &str) -> Option<&str> {
    let (end, _) = subject.match_indices('/').nth(1)?;
    subject.starts_with("member/").then(|| subject.get(..=end)).flatten()
}
