//! Memberships as lists: who is in a project, where a user is, and the digest by which two rosters are compared.
//! Who could be meant is found through the index; whether it is so, the reasons say.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_events::Digest;
use serde::Serialize;

use crate::{
    effort::{Effort, GivenUp},
    reasons::{Reason, Rule},
    roster::{
        Roster,
        facts::{Holder, NONE, RecordedScope},
        handles::{FolderIx, Place, Principal, ProjectIx, ServiceIx, UserIx},
    },
};

/// A user's or service's role in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The user's id; of a service `service:` and its id.
    pub user: String,
    /// The user's name; of a service `service:` and its id.
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
    let all = roster.candidates(project).into_iter().flat_map(|who| roles_of_member(roster, who, project, now));
    let mut rows: Vec<Member> = all.collect();
    rows.sort_by(|a, b| (&a.name, &a.user, &a.role).cmp(&(&b.name, &b.user, &b.role)));
    rows
}

/// The rows of one caller: with a secret that somebody else made, as far as that reaches.
fn roles_of_member(roster: &Roster, who: Principal, project: ProjectIx, now: DateTime<Utc>) -> Vec<Member> {
    let (user, name) = roster.caller_names(who);
    let rows = by_role(roster.reasons(who, project.into(), now)).into_iter();
    rows.map(|(role, reasons)| Member { user: user.clone(), name: name.clone(), role, reasons }).collect()
}

/// Which members are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MembersPage<'a> {
    /// Only this one's rows.
    pub only: Option<Principal>,
    /// Who asks: with a secret that somebody else made, the own rows are shown as far as that reaches.
    pub viewer: Option<Principal>,
    /// Name and role of the last row before.
    pub after: Option<(&'a str, &'a str)>,
    /// How many rows.
    pub limit: usize,
}

/// How many people are named between two looks at whether somebody still waits.
const BETWEEN_CHECKS: usize = 256;

/// Everybody who could have a role in a project at any time, by name and id.
///
/// # Errors
/// It was given up half way.
pub fn candidates_by_name(roster: &Roster, project: ProjectIx, effort: &Effort<'_>) -> Result<Vec<Principal>, GivenUp> {
    let mut named = Vec::new();
    for (n, who) in roster.candidates(project).into_iter().enumerate() {
        if n.is_multiple_of(BETWEEN_CHECKS) {
            effort.check()?;
        }
        named.push((roster.caller_name(who), who));
    }
    named.sort();
    Ok(named.into_iter().map(|(_, who)| who).collect())
}

/// Some of [`members`], in the same order. Reasons are looked for of the page's rows alone. `candidates`: those of this roster, by
/// name.
///
/// # Errors
/// It was given up half way.
pub fn next_members(
    roster: &Roster,
    project: ProjectIx,
    now: DateTime<Utc>,
    page: MembersPage<'_>,
    candidates: &[Principal],
    effort: &Effort<'_>,
) -> Result<Vec<Member>, GivenUp> {
    let from = page.after.map_or("", |(name, _)| name);
    let only = page.only.as_ref().map(std::slice::from_ref);
    let candidates = only.unwrap_or(candidates);
    let first = candidates.partition_point(|who| *roster.caller_name(*who) < *from);
    let mut rows = Vec::new();
    for who in candidates.iter().skip(first).copied() {
        if rows.len() >= page.limit {
            break;
        }
        effort.step()?;
        let who = match page.viewer {
            Some(limited @ Principal::Limited(own, _)) if who == Principal::User(own) => limited,
            _ => who,
        };
        let name = roster.caller_name(who);
        let of_one = roles_of_member(roster, who, project, now).into_iter();
        let is_next = |row: &Member| page.after.is_none_or(|after| (&*name, row.role.as_str()) > after);
        rows.extend(of_one.filter(is_next));
    }
    rows.truncate(page.limit);
    Ok(rows)
}

/// Every recorded project in which a caller has a role at `now`, by project name and role. One row per role.
#[must_use]
pub fn memberships_of(roster: &Roster, caller: impl Into<Principal>, now: DateTime<Utc>) -> Vec<Membership> {
    let caller = caller.into();
    let mut rows = Vec::new();
    for project in roster.projects_near(caller) {
        for (role, reasons) in by_role(roster.reasons(caller, project.into(), now)) {
            rows.push(Membership { project: roster.project_name(project).to_owned(), role, reasons });
        }
    }
    rows.sort_by(|a, b| (&a.project, &a.role).cmp(&(&b.project, &b.role)));
    rows
}

/// Whether all that a caller has in a project at `now` comes of entitlements (rule 3), and something does.
#[must_use]
pub fn is_only_customer(roster: &Roster, caller: Principal, project: ProjectIx, now: DateTime<Utc>) -> bool {
    let reasons = roster.reasons(caller, project.into(), now);
    !reasons.is_empty() && reasons.iter().all(|reason| reason.rule == Rule::Customer)
}

/// The digest of a set, whatever the order in which its members come: the sum of the SHA-256 of each. Holds none of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetDigest {
    sums: [u64; 4],
    members: u64,
}

impl SetDigest {
    /// Adds a member that was not added yet.
    pub fn add(&mut self, member: &[u8]) {
        let sha256 = Digest::of(member).0;
        for (sum, word) in self.sums.iter_mut().zip(sha256.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_be_bytes(*word));
        }
        self.members += 1;
    }

    /// The digest of what was added.
    #[must_use]
    pub fn digest(self) -> Digest {
        let words: Vec<u8> = self.sums.iter().chain([&self.members]).flat_map(|word| word.to_be_bytes()).collect();
        Digest::of(&words)
    }
}

/// The [`SetDigest`] of every membership at `now`: user, project, role and a named reason, one a line. Positions are not
/// in it, so that two logs that say the same in another order have the same digest (DESIGN 11, promise 2).
#[must_use]
pub fn membership_digest(roster: &Roster, now: DateTime<Utc>) -> Digest {
    let mut all = SetDigest::default();
    for project in roster.projects() {
        let name = roster.project_name(project);
        let line = |member: &Member, reason: &Reason| {
            format!("{}\t{name}\t{}\t{}:{}\n", member.user, member.role, reason.rule, reason.name)
        };
        let members = members(roster, project, now);
        let lines: BTreeSet<String> =
            members.iter().flat_map(|member| member.reasons.iter().map(move |reason| line(member, reason))).collect();
        lines.iter().for_each(|line| all.add(line.as_bytes()));
    }
    all.digest()
}

impl Roster {
    /// Everybody who could have a role in a project: a superset, found without looking at time or state.
    pub(crate) fn candidates(&self, project: ProjectIx) -> BTreeSet<Principal> {
        let mut found = BTreeSet::new();
        if let ProjectIx::Personal(user) = project {
            found.insert(Principal::User(user));
        }
        if let Some(package) = self.package_of(project) {
            let people = self.package_people(package);
            let users = people.into_iter().filter_map(|person| self.facts.persons.get(person)).map(|row| row.user);
            found.extend(users.filter(|user| *user != NONE).map(|user| Principal::User(UserIx(user))));
        }
        found.extend(self.holders_over(project.into()));
        found
    }

    /// Everybody to whom a role was given on a scope or above it, groups entered.
    pub(crate) fn holders_over(&self, place: Place) -> BTreeSet<Principal> {
        let mut found = BTreeSet::new();
        for on in self.path(place) {
            for ix in self.index.scope_bindings.get(&on).into_iter().flatten() {
                let Some(row) = self.facts.bindings.get(*ix).and_then(Option::as_ref) else { continue };
                match row.holder {
                    Holder::Person(person) => {
                        let user = self.facts.persons.get(person).map_or(NONE, |row| row.user);
                        found.extend((user != NONE).then_some(Principal::User(UserIx(user))));
                    }
                    Holder::Service(ix) => {
                        found.insert(Principal::Service(ServiceIx(ix)));
                    }
                    Holder::Group(group) => found.extend(self.principals_in(group, |_| false)),
                }
            }
        }
        found
    }

    /// Everybody whom rules 2 and 3 could make a member of a package's project.
    fn package_people(&self, package_ix: u32) -> BTreeSet<u32> {
        let mut people = BTreeSet::new();
        let facts = &self.facts;
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
        people
    }

    /// Every recorded project in which a caller could have a role: a superset, like `candidates`.
    pub(crate) fn projects_near(&self, caller: Principal) -> BTreeSet<ProjectIx> {
        let facts = &self.facts;
        let mut packages = BTreeSet::new();
        if let Principal::User(user) | Principal::Limited(user, _) = caller {
            for person in self.persons_of(user) {
                self.packages_near(*person, &mut packages);
            }
        }
        let project =
            |package: u32| facts.packages.get(package).map(|row| row.project).filter(|project| *project != NONE);
        let mut found: BTreeSet<ProjectIx> =
            packages.into_iter().filter_map(project).map(ProjectIx::recorded).collect();
        let mut folders = BTreeSet::new();
        let mut everywhere = false;
        self.each_holder(caller, |holder| {
            for ix in self.index.holder_bindings.get(&holder).into_iter().flatten() {
                match facts.bindings.get(*ix).and_then(Option::as_ref).map(|row| row.on) {
                    Some(RecordedScope::Root) => everywhere = true,
                    Some(RecordedScope::Folder(ix)) => {
                        folders.insert(ix);
                    }
                    Some(RecordedScope::Project(ix)) => {
                        found.insert(ProjectIx::recorded(ix));
                    }
                    None => {}
                }
            }
        });
        if everywhere {
            return self.projects().collect();
        }
        for folder in folders {
            found.extend(self.projects_in(FolderIx(folder)));
        }
        found
    }

    /// Packages of which rules 2 and 3 could make a person a member.
    fn packages_near(&self, person: u32, packages: &mut BTreeSet<u32>) {
        let facts = &self.facts;
        let Some(row) = facts.persons.get(person) else { return };
        for account in self.account_and_ancestors(row.account) {
            packages.extend(self.index.account_packages.of(account));
        }
        let accounts: Vec<u32> = if self.settings.customer_sub_accounts {
            self.account_and_ancestors(row.account).collect()
        } else {
            vec![row.account]
        };
        let mut entitlements: BTreeSet<u32> =
            accounts.iter().flat_map(|account| self.index.account_entitlements.of(*account)).copied().collect();
        let assigned = self.index.person_assignments.get(&person).into_iter().flatten();
        entitlements.extend(assigned.filter_map(|ix| facts.assignments.get(*ix as usize)).map(|pair| pair.left));
        for line in entitlements.iter().flat_map(|entitlement| self.index.entitlement_lines.of(*entitlement)) {
            let Some(line) = facts.lines.get(*line) else { continue };
            for mapping in self.index.product_mappings.of(line.product) {
                packages.extend(facts.mappings.get(*mapping as usize).map(|pair| pair.left));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_set_knows_its_members_and_not_their_order() {
        let of = |members: &[&str]| {
            let mut all = SetDigest::default();
            members.iter().for_each(|member| all.add(member.as_bytes()));
            all.digest()
        };
        assert_eq!(of(&["a", "b", "c"]), of(&["c", "a", "b"]));
        let sets: [&[&str]; 6] = [&[], &["a"], &["b"], &["a", "b"], &["ab"], &["a", "b", ""]];
        let digests: BTreeSet<_> = sets.iter().map(|members| of(members).0).collect();
        assert_eq!(digests.len(), sets.len());
    }
}
