//! The common case, kept in a few bytes: a user who is one person with nothing but an account, and a project of a package that
//! delivers one product at all times. Nearly every question is about these, and a few bytes of each answer it where a
//! walk over the facts would wait for memory a dozen times. Derived like the index and never written; knows no rule
//! that `decide` does not have, and whatever is not plain is decided there.

use crate::{
    persistent::Pages,
    profile::ActionSet,
    roster::{
        Roster,
        facts::{Facts, Field, Holder, Line, NONE, Origin, State},
        handles::{ProjectIx, RecordedIx, UserIx},
        index::Index,
        names::Names,
    },
};

/// An account that bought more than this is not plain: a list is quick while it is short.
const MAX_PURCHASES: usize = 64;

/// What is kept of each.
#[derive(Debug, Clone, Default)]
pub(crate) struct FastPath {
    /// What anybody who is signed in may do on the project of a package, and what a customer may.
    pub(crate) authenticated: ActionSet,
    pub(crate) customer: ActionSet,
    /// By person: the account. [`NONE`]: not plain.
    people: Pages<u32>,
    /// By project: the product. [`NONE`]: not plain.
    projects: Pages<u32>,
    accounts: Pages<Account>,
}

/// What an account bought for all its people.
#[derive(Debug, Clone, Default)]
struct Account {
    /// It stands, and nobody buys for it but itself.
    buys_alone: bool,
    /// It bought too much for a list, at some time.
    overflowed: bool,
    bought: Vec<Window>,
}

/// A line that runs.
#[derive(Debug, Clone, Copy)]
struct Window {
    product: u32,
    line: u32,
    starts: i64,
    ends: i64,
}

impl FastPath {
    /// Of all facts. `sub_accounts`: what an account buys, its sub-accounts have too.
    pub(crate) fn build(&mut self, facts: &Facts, index: &Index, sub_accounts: bool) {
        let Self { people, projects, accounts, .. } = self;
        people.clear();
        projects.clear();
        accounts.clear();
        for account in 0..facts.accounts.len() {
            self.update_account(facts, account, sub_accounts);
        }
        for person in 0..facts.persons.len() {
            self.update_person(facts, index, person);
        }
        for package in 0..facts.packages.len() {
            self.update_package(facts, index, package);
        }
        for line in 0..facts.lines.len() {
            self.update_line(facts, line);
        }
    }

    /// A person, or what is given to one, is another.
    pub(crate) fn update_person(&mut self, facts: &Facts, index: &Index, person: u32) {
        let holder = Holder::Person(person);
        let plain = facts.persons.get(person).filter(|row| {
            facts.is_live(person)
                && row.user == person
                && !index.linked.contains_key(&person)
                && !facts.permissions.contains_key(&person)
                && !index.person_assignments.contains_key(&person)
                && !index.member_of.contains_key(&holder)
                && !index.holder_bindings.contains_key(&holder)
        });
        update_row(&mut self.people, person, &NONE, |account| *account = plain.map_or(NONE, |row| row.account));
    }

    /// A package, or what it delivers, is another.
    pub(crate) fn update_package(&mut self, facts: &Facts, index: &Index, package: u32) {
        let Some(row) = facts.packages.get(package).filter(|row| row.project != NONE) else { return };
        let counts = row.register.stands() && !facts.is_suspended(facts.packages.names.space(package));
        let always = counts && row.delivery && (row.from, row.until) == (i64::MIN, i64::MAX);
        let own = facts.projects.get(row.project as usize).is_some_and(|project| match project.origin {
            Origin::Package(ix) => ix == package,
            Origin::Local(_) => false,
        });
        let mut delivered = index.delivered_products(facts, package);
        let product = match (delivered.next(), delivered.next()) {
            (Some(product), None) if always && own => product,
            _ => NONE,
        };
        update_row(&mut self.projects, row.project, &NONE, |delivered| *delivered = product);
    }

    /// An account is another.
    pub(crate) fn update_account(&mut self, facts: &Facts, account: u32, sub_accounts: bool) {
        let buys_alone = facts
            .accounts
            .get(account)
            .is_some_and(|row| row.register.stands() && (row.parent == NONE || !sub_accounts));
        update_row(&mut self.accounts, account, &Account::default(), |row| row.buys_alone = buys_alone);
    }

    /// An entitlement is another.
    pub(crate) fn update_entitlement(&mut self, facts: &Facts, index: &Index, entitlement: u32) {
        for line in index.entitlement_lines.of(entitlement) {
            self.update_line(facts, *line);
        }
    }

    /// A line is another.
    pub(crate) fn update_line(&mut self, facts: &Facts, line: u32) {
        let Some(row) = facts.lines.get(line) else { return };
        for entitlement in facts.current_and_former(Field::LineEntitlement, line, row.entitlement) {
            let Some(buyer) = facts.entitlements.get(entitlement) else { continue };
            for account in facts.current_and_former(Field::EntitlementAccount, entitlement, buyer.account) {
                if let Some(account) = self.accounts.get_mut(account as usize) {
                    account.bought.retain(|window| window.line != line);
                }
            }
        }
        let Some(buyer) = facts.entitlements.get(row.entitlement) else { return };
        let grants = buyer.register.stands() && buyer.state == State::Active && !buyer.narrowed;
        if !(row.register.stands() && grants) {
            return;
        }
        let Line { product, starts, ends, .. } = *row;
        update_row(&mut self.accounts, buyer.account, &Account::default(), |account| {
            account.overflowed |= account.bought.len() >= MAX_PURCHASES;
            if account.overflowed {
                account.bought = Vec::new();
                return;
            }
            // There are very many of these lists, most of them short, and none grows often.
            account.bought.reserve_exact(1);
            account.bought.push(Window { product, line, starts, ends });
        });
    }

    /// Until when a user may do this on a project, if at all; outer None where that is not plain.
    #[expect(clippy::option_option, reason = "not known here, and known and not allowed")]
    pub(crate) fn until(
        &self,
        UserIx(user): UserIx,
        project: ProjectIx,
        actions: ActionSet,
        now: i64,
    ) -> Option<Option<i64>> {
        let ProjectIx::Recorded(RecordedIx(project)) = project else { return None };
        let product = *self.projects.get(project as usize).filter(|product| **product != NONE)?;
        let account = *self.people.get(user as usize)?;
        let account =
            self.accounts.get(account as usize).filter(|account| account.buys_alone && !account.overflowed)?;
        if actions.is_empty() {
            return Some(None);
        }
        if self.authenticated.contains(actions) {
            return Some(Some(i64::MAX));
        }
        if !self.customer.contains(actions) {
            return Some(None);
        }
        let runs = |window: &&Window| window.product == product && window.starts <= now && now < window.ends;
        Some(account.bought.iter().filter(runs).map(|window| window.ends).max())
    }
}

/// Changes a row of a column, made where it is new.
fn update_row<T: Clone>(column: &mut Pages<T>, row: u32, new: &T, change: impl FnOnce(&mut T)) {
    column.get_or_grow(row as usize, new).map(change);
}

/// What is kept ready, held against what it is derived from.
impl Roster {
    /// The people, projects, accounts and bindings about which something is kept ready that does not follow from the facts:
    /// what a check looks for, as nearly every decision is made by it.
    #[must_use]
    pub fn fast_path_flaws(&self) -> Vec<String> {
        let mut again = self.clone();
        again.derive_from_settings();
        again.rebuild_fast_path();
        let (facts, kept, anew) = (&self.facts, &self.fast_path, &again.fast_path);
        let name = |what: &str, names: &Names, ix: u32| {
            format!("{what} {}/{}", self.source_text(names.space(ix)), names.text(ix))
        };
        let person = |ix: &u32| of_row(&kept.people, *ix) != of_row(&anew.people, *ix);
        let project = |ix: &u32| of_row(&kept.projects, *ix) != of_row(&anew.projects, *ix);
        let account = |ix: &u32| {
            let of = |path: &FastPath| path.accounts.get(*ix as usize).cloned().unwrap_or_default();
            let (kept, anew) = (of(kept), of(anew));
            // Of one that bought too much at some time nothing is kept ready.
            !kept.overflowed
                && (anew.overflowed || kept.buys_alone != anew.buys_alone || kept.sorted() != anew.sorted())
        };
        let people = (0..facts.persons.len()).filter(person).map(|ix| name("person", &facts.persons.names, ix));
        let projects = (0..u32::try_from(facts.projects.len()).unwrap_or(NONE)).filter(project);
        let projects = projects.map(|ix| format!("project {}", self.project_name(ProjectIx::recorded(ix))));
        let accounts = (0..facts.accounts.len()).filter(account).map(|ix| name("account", &facts.accounts.names, ix));
        let role = |roster: &Self, ix: u32| roster.roles.get(ix as usize).copied().flatten();
        let bindings = (0..facts.bindings.len()).filter(|ix| role(self, *ix) != role(&again, *ix));
        let bindings = bindings.map(|ix| name("binding", &facts.bindings.names, ix));
        let rules = |roster: &Self| {
            let ready = (roster.fast_path.authenticated, roster.fast_path.customer);
            (ready, roster.producer_role, roster.consumer_role, roster.authoritative.clone())
        };
        let rules = (rules(self) != rules(&again)).then(|| "the rules of profile and settings".to_owned());
        people.chain(projects).chain(accounts).chain(bindings).chain(rules).collect()
    }
}

impl Account {
    /// What was bought, in an order that is the same however it came about.
    fn sorted(&self) -> Vec<(u32, u32, i64, i64)> {
        let mut all: Vec<_> = self
            .bought
            .iter()
            .map(|Window { product, line, starts, ends }| (*product, *line, *starts, *ends))
            .collect();
        all.sort_unstable();
        all
    }
}

fn of_row(column: &Pages<u32>, row: u32) -> u32 {
    column.get(row as usize).copied().unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::histories::small;

    type Spoil = fn(&mut FastPath);

    fn buyer(path: &mut FastPath) -> &mut Account {
        path.accounts.change_those(|account| !account.bought.is_empty()).next().unwrap()
    }

    #[test]
    fn whatever_is_kept_ready_and_does_not_follow_from_the_facts_is_named() {
        let sound = small().fold();
        assert_eq!(sound.fast_path_flaws(), Vec::<String>::new());
        let spoilt: [(&str, Spoil); 7] = [
            ("the rules", |path| path.customer = path.authenticated),
            ("person", |path| *path.people.get_mut(0).unwrap() ^= 1),
            ("person", |path| path.people.clear()),
            ("project", |path| *path.projects.get_mut(0).unwrap() ^= 1),
            ("account", |path| buyer(path).bought[0].ends ^= 1),
            ("account", |path| buyer(path).bought.clear()),
            ("account", |path| buyer(path).buys_alone ^= true),
        ];
        for (what, spoil) in spoilt {
            let mut roster = sound.clone();
            spoil(&mut roster.fast_path);
            let flaws = roster.fast_path_flaws();
            assert!(!flaws.is_empty() && flaws.iter().all(|flaw| flaw.starts_with(what)), "{what}: {flaws:?}");
        }
    }
}
