//! Which removals that a follower told wait for a full read: those that come in numbers, and what hangs on them. Decides
//! by numbers; what waits is found again by that read, and the guard holds it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{MutexGuard, PoisonError},
};

use rollcall_events::Body;

use super::{Engine, RunError};
use crate::{
    baseline::{BaselineEntries, beginning_with},
    reading::{
        change::{Change, ChangeKind},
        consequences::{ProposedFacts, Trial},
        guard::{Impact, MIN_PROTECTED, MIN_REMOVALS, hold_reason},
        removal_window::{RemovalWindow, class_of},
        stores::BaselineState,
    },
};

impl Engine {
    pub(super) fn removal_window(&self) -> MutexGuard<'_, RemovalWindow> {
        self.removal_window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The subjects whose removal is not recorded now. Suspensions are none and never wait.
    pub(super) async fn withheld_removals(
        &self,
        changes: &[Change],
        inferred: &BTreeSet<String>,
        baseline: &BaselineState,
    ) -> Result<BTreeSet<String>, RunError> {
        let now = self.deps.clock.now();
        self.removal_window().advance(now);
        let removals: Vec<&Change> = changes.iter().filter(|change| change.body.is_removal()).collect();
        if !self.options.guard || removals.is_empty() {
            return Ok(BTreeSet::new());
        }
        self.forget_ended().await?;
        let mut classes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for change in &removals {
            classes.entry(class_of(&change.subject)).or_default().push(&change.subject);
        }
        let mut held = BTreeSet::new();
        for (class, subjects) in classes {
            let crowd = class.starts_with("member/") && subjects.len() as u64 >= MIN_PROTECTED;
            let needs_count = self.removal_window().needs_count(class, &subjects);
            let members = if crowd || needs_count { self.present(class).await? } else { 0 };
            if needs_count {
                self.removal_window().count(class, members);
            }
            let window = self.removal_window();
            held.extend(window.must_wait(class, &subjects, self.withheld.is_pending()).into_iter().map(str::to_owned));
            let added = changes.iter().filter(|c| c.verb() == ChangeKind::Add && class_of(&c.subject) == class).count();
            let emptied = (members + added as u64).saturating_sub(subjects.len() as u64) == 0;
            if crowd && emptied && members.saturating_sub(window.newcomers(class)) >= MIN_PROTECTED {
                held.extend(subjects.into_iter().map(str::to_owned));
            }
        }
        self.withhold_by_share(inferred, baseline, &mut held).await?;
        self.withhold_what_empties(changes, baseline, &mut held).await;
        self.withhold_what_hangs_on_it(&removals, &mut held);
        Ok(held)
    }

    /// A batch as a small read: what it only did not name, and does not wait already, is too large a part of the source.
    async fn withhold_by_share(
        &self,
        inferred: &BTreeSet<String>,
        baseline: &BaselineState,
        held: &mut BTreeSet<String>,
    ) -> Result<(), RunError> {
        let removals = inferred.difference(held).count() as u64;
        // Few removals are never too many by their share, however many facts there are.
        if removals >= MIN_REMOVALS {
            let facts = self.index(baseline).await?.lock().fact_count();
            if hold_reason(&Impact { facts, removals, stated: 1, ..Impact::default() }).is_some() {
                held.extend(inferred.iter().cloned());
            }
        }
        Ok(())
    }

    /// What would empty a project. Looked into only where all together would, on a trial of its own.
    async fn withhold_what_empties(&self, changes: &[Change], baseline: &BaselineState, held: &mut BTreeSet<String>) {
        let goes_on: Vec<Change> = changes.iter().filter(|change| !held.contains(&change.subject)).cloned().collect();
        let facts = bodies(&goes_on);
        let proposed = ProposedFacts { source: self.source.clone(), seen: baseline.position, facts };
        if self.deps.consequences.emptied(proposed, MIN_PROTECTED).await.is_empty() {
            return;
        }
        let inquiry = Box::new(move |trial: &mut dyn Trial| what_empties(trial, goes_on));
        let consequences = &self.deps.consequences;
        held.extend(consequences.inquire(self.source.clone(), baseline.position, MIN_PROTECTED, inquiry).await);
    }

    /// Whoever waits keeps its memberships, and a group waits with its members.
    fn withhold_what_hangs_on_it(&self, removals: &[&Change], held: &mut BTreeSet<String>) {
        let window = self.removal_window();
        for change in removals {
            if let Some(id) = change.subject.strip_prefix("group/")
                && held.range(format!("member/{id}/")..).next().is_some_and(|s| s.starts_with(&format!("member/{id}/")))
            {
                held.insert(change.subject.clone());
            }
        }
        let waits = |subject: &str| held.contains(subject) || window.is_waiting(subject);
        let hanging = removals.iter().map(|change| &change.subject).filter(|subject| {
            let Some(membership) = subject.strip_prefix("member/") else { return false };
            membership.split_once('/').is_some_and(|(group, member)| waits(member) || waits(&format!("group/{group}")))
        });
        let hanging: Vec<String> = hanging.cloned().collect();
        held.extend(hanging);
    }

    /// How many facts whose subject begins so are there.
    async fn present(&self, class: &str) -> Result<u64, RunError> {
        let entries = self.deps.store.entries(&self.source, &[], &[class.to_owned()]).await?;
        Ok(beginning_with(&entries, class).filter(|(_, entry)| entry.present).count() as u64)
    }

    /// What waited and has ended by a confirmed plan, or by another read, waits no longer.
    async fn forget_ended(&self) -> Result<(), RunError> {
        let waiting: Vec<String> = self.removal_window().waiting().map(str::to_owned).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let known: BaselineEntries = self.deps.store.entries(&self.source, &waiting, &[]).await?;
        self.removal_window().retain_waiting(|subject| known.get(subject).is_some_and(|entry| entry.present));
        Ok(())
    }
}

/// The subjects whose removal empties projects. People are judged by themselves: nobody waits as one of a project that
/// memberships empty. Of these, by kind and by group, all wait that take part, and nothing that only came beside them.
fn what_empties(trial: &mut dyn Trial, changes: Vec<Change>) -> BTreeSet<String> {
    let (ended, goes): (Vec<Change>, Vec<Change>) = changes.into_iter().partition(|change| change.body.is_removal());
    let (people, rest): (Vec<Change>, Vec<Change>) =
        ended.into_iter().partition(|change| matches!(change.body, Body::PersonRemoved(_)));
    let mut held = BTreeSet::new();
    // Suspensions never wait, whatever they empty.
    trial.record(&bodies(&goes));
    let anyway = trial.emptied();
    trial.record(&bodies(&people));
    if !trial.emptied().is_subset(&anyway) {
        held.extend(subjects(&people));
        trial.begin_anew();
        trial.record(&bodies(&goes));
    }
    trial.record(&bodies(&rest));
    let emptied = trial.emptied();
    let mut classes: BTreeMap<&str, Vec<Change>> = BTreeMap::new();
    rest.iter().for_each(|change| classes.entry(class_of(&change.subject)).or_default().push(change.clone()));
    // Halved, so that each change is tried a few times and not once for each class.
    let mut parts = vec![classes.into_values().collect::<Vec<_>>()];
    let mut taking_part = Vec::new();
    while let Some(mut part) = parts.pop() {
        let all = part.concat();
        take_back(trial, &all);
        let without = trial.are_empty(&emptied);
        trial.record(&bodies(&all));
        match part.len() {
            _ if without => {}
            1 => taking_part.extend(all),
            several => {
                parts.push(part.split_off(several / 2));
                parts.push(part);
            }
        }
    }
    // Where each of several alone would do it, none of them could be missed.
    take_back(trial, &taking_part);
    let several = !trial.emptied().is_subset(&anyway);
    held.extend(subjects(if several { &rest } else { &taking_part }));
    held
}

fn bodies(changes: &[Change]) -> Vec<Body> {
    changes.iter().map(|change| change.body.clone()).collect()
}

fn subjects(changes: &[Change]) -> impl Iterator<Item = String> {
    changes.iter().map(|change| change.subject.clone())
}

/// As if these had not been recorded, the last one first.
fn take_back(trial: &mut dyn Trial, changes: &[Change]) {
    trial.record(&changes.iter().rev().filter_map(|change| change.was.clone()).collect::<Vec<_>>());
}
