//! Memberships as lists: who is in a project, where a user is, and the digest by which two rosters are compared.
//! Who could be meant is found through the index; whether it is so, the reasons say.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_events::Digest;
use serde::Serialize;

use crate::{
    facts::NONE,
    reasons::Reason,
    roster::{ProjectIx, Roster, UserIx},
};

/// A user's role in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The user's id.
    pub user: String,
    /// The user's name.
    pub name: String,
    /// The role.
    pub role: String,
    /// Every reason for it, by name.
    pub reasons: Vec<Reason>,
}

/// A project in which a user has a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Membership {
    /// The project's name.
    pub project: String,
    /// The role.
    pub role: String,
    /// Every reason for it, by name.
    pub reasons: Vec<Reason>,
}

fn by_role(reasons: Vec<Reason>) -> BTreeMap<String, Vec<Reason>> {
    let mut roles: BTreeMap<String, Vec<Reason>> = BTreeMap::new();
    for reason in reasons {
        roles.entry(reason.role.clone()).or_default().push(reason);
    }
    roles
}

/// Everybody who has a role in the project at `now`, by user name and role. One row per role.
#[must_use]
pub fn members(roster: &Roster, project: ProjectIx, now: DateTime<Utc>) -> Vec<Member> {
    let mut rows = Vec::new();
    for user in roster.candidates(project) {
        for (role, reasons) in by_role(roster.reasons(user, project, now)) {
            rows.push(Member { user: roster.user_id(user), name: roster.user_name(user).to_owned(), role, reasons });
        }
    }
    rows.sort_by(|a, b| (&a.name, &a.user, &a.role).cmp(&(&b.name, &b.user, &b.role)));
    rows
}

/// Every project in which the user has a role at `now`, by project name and role. One row per role.
#[must_use]
pub fn memberships_of(roster: &Roster, user: UserIx, now: DateTime<Utc>) -> Vec<Membership> {
    let mut rows = Vec::new();
    for project in roster.projects_near(user) {
        for (role, reasons) in by_role(roster.reasons(user, project, now)) {
            rows.push(Membership { project: roster.project_name(project).to_owned(), role, reasons });
        }
    }
    rows.sort_by(|a, b| (&a.project, &a.role).cmp(&(&b.project, &b.role)));
    rows
}

/// SHA-256 over every membership at `now`: user, project, role and named reasons, one per line, sorted. Positions are
/// not in it, so that two logs that say the same in another order have the same digest (DESIGN 11, promise 2).
#[must_use]
pub fn membership_digest(roster: &Roster, now: DateTime<Utc>) -> Digest {
    let mut lines = BTreeSet::new();
    for project in roster.projects() {
        for member in members(roster, project, now) {
            for reason in &member.reasons {
                lines.insert(format!(
                    "{}\t{}\t{}\t{}:{}\n",
                    member.user,
                    roster.project_name(project),
                    member.role,
                    reason.rule,
                    reason.name
                ));
            }
        }
    }
    Digest::of(lines.into_iter().collect::<String>().as_bytes())
}

impl Roster {
    /// Everybody who could have a role in a project: a superset, found without looking at time or state.
    fn candidates(&self, project: ProjectIx) -> BTreeSet<UserIx> {
        let mut people = BTreeSet::new();
        let facts = &self.facts;
        let Some(package_ix) = self.project_row(project).map(|row| row.package) else { return BTreeSet::new() };
        if let Some(package) = facts.packages.get(package_ix) {
            for account in self.below(package.producer) {
                let holds = |person: &&u32| facts.permissions.contains_key(*person);
                people.extend(self.index.account_people.of(account).iter().filter(holds));
            }
        }
        let mut buyers = BTreeSet::new();
        for mapping in self.index.package_mappings.of(package_ix) {
            let Some(pair) = facts.mappings.get(*mapping as usize) else { continue };
            for line in self.index.product_lines.of(pair.right) {
                buyers.extend(facts.lines.get(*line).map(|line| line.entitlement));
            }
        }
        let mut accounts = BTreeSet::new();
        for entitlement in buyers {
            let Some(row) = facts.entitlements.get(entitlement) else { continue };
            if row.narrowed {
                let assigned = self.index.entitlement_assignments.get(&entitlement).into_iter().flatten();
                people.extend(assigned.filter_map(|ix| facts.assignments.get(*ix as usize)).map(|pair| pair.right));
            } else if self.settings.customer_sub_accounts {
                accounts.extend(self.below(row.account));
            } else {
                accounts.insert(row.account);
            }
        }
        for account in accounts {
            people.extend(self.index.account_people.of(account));
        }
        for (person, bindings) in &self.index.person_bindings {
            let here = |ix: &u32| {
                facts
                    .bindings
                    .get(*ix)
                    .and_then(Option::as_ref)
                    .is_some_and(|row| row.project == NONE || row.project == project.0)
            };
            if bindings.iter().any(here) {
                people.insert(*person);
            }
        }
        people
            .into_iter()
            .filter_map(|person| facts.persons.get(person))
            .filter(|row| row.user != NONE)
            .map(|row| UserIx(row.user))
            .collect()
    }

    /// An account and everything that is or was below it.
    fn below(&self, account: u32) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let mut queue = vec![account];
        while let Some(next) = queue.pop() {
            if found.insert(next) {
                queue.extend_from_slice(self.index.account_children.of(next));
            }
        }
        found
    }

    /// Every project in which a user could have a role: a superset, like `candidates`.
    fn projects_near(&self, user: UserIx) -> BTreeSet<ProjectIx> {
        let facts = &self.facts;
        let mut packages = BTreeSet::new();
        let mut everywhere = false;
        for person in self.persons_of(user) {
            let Some(row) = facts.persons.get(*person) else { continue };
            for account in self.line_up(row.account) {
                packages.extend(self.index.account_packages.of(account));
            }
            let accounts: Vec<u32> = if self.settings.customer_sub_accounts {
                self.line_up(row.account).collect()
            } else {
                vec![row.account]
            };
            let mut entitlements: BTreeSet<u32> =
                accounts.iter().flat_map(|account| self.index.account_entitlements.of(*account)).copied().collect();
            let assigned = self.index.person_assignments.get(person).into_iter().flatten();
            entitlements.extend(assigned.filter_map(|ix| facts.assignments.get(*ix as usize)).map(|pair| pair.left));
            for line in entitlements.iter().flat_map(|entitlement| self.index.entitlement_lines.of(*entitlement)) {
                let Some(line) = facts.lines.get(*line) else { continue };
                for mapping in self.index.product_mappings.of(line.product) {
                    packages.extend(facts.mappings.get(*mapping as usize).map(|pair| pair.left));
                }
            }
            for ix in self.index.person_bindings.get(person).into_iter().flatten() {
                match facts.bindings.get(*ix).and_then(Option::as_ref) {
                    Some(row) if row.project == NONE => everywhere = true,
                    Some(row) => packages.extend(facts.projects.get(row.project as usize).map(|row| row.package)),
                    None => {}
                }
            }
        }
        if everywhere {
            return self.projects().collect();
        }
        let project =
            |package: u32| facts.packages.get(package).map(|row| row.project).filter(|project| *project != NONE);
        packages.into_iter().filter_map(project).map(ProjectIx).collect()
    }
}
