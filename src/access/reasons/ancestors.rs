//! The ways up from the accounts that a person is or was in, along present and former parents.
//! Finds them and what stands in their way; what is at their end, the rules know.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{Cause, Hindrance, Obstacle, PathSearch, Standing, obstacle};
use crate::roster::facts::{Account, Cycle, Field};

/// How far a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// To the person's accounts.
    Own,
    /// To everything above them too.
    Up,
}

/// How many accounts all paths of one person look at.
const MAX_STEPS: usize = 65_536;

/// Everything that can be reached from one account of the person.
pub(super) struct AncestorPaths {
    pub(super) start: u32,
    pub(super) steps: Vec<AncestorStep>,
}

/// One account on the way; how it was come by is followed back.
pub(super) struct AncestorStep {
    pub(super) account: u32,
    from: Option<usize>,
    /// What stands in the way from there to here.
    between: Option<Obstacle>,
    /// What stands in the whole way.
    pub(super) hindrance: Hindrance,
}

impl PathSearch<'_> {
    /// From every account that the person is or was in, along every present and former parent, the wanted way first: a
    /// clean way up is found even where a former parent was a short cut.
    pub(super) fn ancestor_paths(&self, person: u32, reach: Reach) -> Vec<AncestorPaths> {
        let facts = &self.roster.facts;
        let Some(row) = facts.persons.get(person) else { return Vec::new() };
        let mut left = MAX_STEPS;
        let mut all_paths = Vec::new();
        for start in facts.current_and_former(Field::PersonAccount, person, row.account) {
            let between = (start != row.account).then(|| {
                let name = facts.accounts.id(start);
                let (text, remedy) = (format!("left account {name}"), format!("is in account {name} again"));
                let cause = self.left_by(self.person_cause(person), Field::PersonAccount, person, start);
                let left = obstacle(Standing::Ended, text, remedy, Some(cause));
                left.with_fix(self.fix_person(person, json!({"account": name})))
            });
            let mut paths = AncestorPaths { start, steps: Vec::new() };
            let hindrance = Hindrance::NONE.and(&between);
            let first = AncestorStep { account: start, from: None, between, hindrance };
            let mut queue = BTreeMap::from([((self.wanted.order(hindrance), 0), first)]);
            let (mut seen, mut order) = (BTreeSet::new(), 0);
            while let Some((_, mut step)) = queue.pop_first() {
                if !seen.insert(step.account) {
                    continue;
                }
                if left == 0 {
                    break;
                }
                left -= 1;
                let account = step.account;
                let row = facts.accounts.get(account);
                step.hindrance = step.hindrance.and(&self.account_gone(account));
                let (here, so_far) = (paths.steps.len(), step.hindrance);
                paths.steps.push(step);
                let Some(row) = row.filter(|_| reach == Reach::Up) else { continue };
                for parent in facts.current_and_former(Field::AccountParent, account, row.parent) {
                    let between = self.above(account, parent, row);
                    let hindrance = so_far.and(&between);
                    order += 1;
                    let next = AncestorStep { account: parent, from: Some(here), between, hindrance };
                    queue.insert((self.wanted.order(hindrance), order), next);
                }
            }
            all_paths.push(paths);
        }
        all_paths
    }

    /// What stands between an account and one that is or was above it.
    fn above(&self, account: u32, parent: u32, row: &Account) -> Option<Obstacle> {
        let facts = &self.roster.facts;
        let (child, name) = (facts.accounts.id(account), facts.accounts.id(parent));
        if parent != row.parent {
            let text = format!("account {child} was moved away from account {name}");
            let remedy = format!("account {child} is below account {name} again");
            let cause = self.left_by(self.account_cause(account), Field::AccountParent, account, parent);
            let moved = obstacle(Standing::Ended, text, remedy, Some(cause));
            Some(moved.with_fix(self.fix_account(account, json!({"parent": name}))))
        } else {
            let cycle = row.cycle.filter(|cycle| cycle.closed)?;
            let text = format!("account {child} is in a cycle of accounts and so nobody's sub-account");
            let cause = Some(self.cycle_cause(cycle));
            Some(obstacle(Standing::Never, text, "the cycle of accounts is broken".to_owned(), cause))
        }
    }

    /// The event that closed or broke a cycle.
    fn cycle_cause(&self, cycle: Cycle) -> Cause {
        Cause { position: cycle.at, ..self.account_cause(cycle.by) }
    }

    /// What stands in the whole way to a step, and the events that it rests on, from the person upwards.
    pub(super) fn along(&self, paths: &AncestorPaths, to: usize) -> (Vec<Obstacle>, Vec<Cause>) {
        let mut path = Vec::new();
        let mut next = paths.steps.get(to);
        while let Some(step) = next {
            path.push(step);
            next = step.from.and_then(|ix| paths.steps.get(ix));
        }
        path.reverse();
        let mut obstacles = Vec::new();
        for step in &path {
            obstacles.extend(step.between.clone());
            obstacles.extend(self.account_gone(step.account));
        }
        let accounts = &self.roster.facts.accounts;
        let cycle = |step: &&AncestorStep| accounts.get(step.account).and_then(|row| row.cycle);
        let broken = path.iter().filter_map(cycle).filter(|cycle| !cycle.closed).map(|cycle| self.cycle_cause(cycle));
        (obstacles, path.iter().map(|step| self.account_cause(step.account)).chain(broken).collect())
    }
}
