//! Accounts above and below others, of which each may have several above it. Nobody is above an account in a cycle.

use std::collections::BTreeSet;

use crate::roster::{Roster, facts::NONE};

impl Roster {
    /// Every account that a source ever named, as source and id.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = &self.facts.accounts.names;
        (0..self.facts.accounts.len()).map(|ix| (self.source_text(names.space(ix)), names.text(ix)))
    }

    /// Whether any source ever named an account so.
    #[must_use]
    pub fn is_account(&self, id: &str) -> bool {
        let spaces = 0..self.facts.sources.len();
        spaces.filter_map(|space| u16::try_from(space).ok()).any(|space| self.facts.accounts.find(space, id).is_some())
    }

    /// Accounts whose chain of parents comes back to themselves, as `source/account`. They are nobody's sub-accounts.
    #[must_use]
    pub fn accounts_in_cycles(&self) -> Vec<String> {
        (0_u32..)
            .zip(self.facts.accounts.rows.iter())
            .filter(|(_, row)| row.in_cycle())
            .map(|(ix, _)| {
                let names = &self.facts.accounts.names;
                format!("{}/{}", self.source_text(names.space(ix)), names.text(ix))
            })
            .collect()
    }

    /// Whether an account is another or a sub-account of it, all of them stated and not removed.
    pub(crate) fn is_below(&self, account: u32, above: u32) -> bool {
        self.account_and_ancestors(account).any(|ix| ix == above)
    }

    /// The account and all above it, as far as they stand, each once. Nobody is above an account in a cycle.
    pub(crate) fn account_and_ancestors(&self, account: u32) -> impl Iterator<Item = u32> + '_ {
        Upwards::from(self, account, false)
    }

    /// The same along whatever was stated, cycles too.
    pub(crate) fn stated_above(&self, account: u32) -> impl Iterator<Item = u32> + '_ {
        Upwards::from(self, account, true)
    }

    /// An account and everything that is or was below it.
    pub(crate) fn below(&self, account: u32) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let mut queue = vec![account];
        while let Some(next) = queue.pop() {
            if found.insert(next) {
                queue.extend_from_slice(self.index.account_children.of(next));
            }
        }
        found
    }
}

/// Accounts upwards from one. Allocates nothing before the first that is below several: nearly every account is below one, and
/// a decision walks here.
struct Upwards<'a> {
    roster: &'a Roster,
    through_cycles: bool,
    next: Option<u32>,
    others: Vec<u32>,
    /// Those that a second way could lead to: from the first on that has several above it.
    seen: BTreeSet<u32>,
    branched: bool,
}

impl<'a> Upwards<'a> {
    fn from(roster: &'a Roster, account: u32, through_cycles: bool) -> Self {
        let (next, others, seen) = (Some(account), Vec::new(), BTreeSet::new());
        Self { roster, through_cycles, next, others, seen, branched: through_cycles }
    }
}

impl Iterator for Upwards<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            let account = self.next.take().or_else(|| self.others.pop())?;
            let facts = &self.roster.facts;
            let Some(row) = facts.accounts.get(account).filter(|row| row.register.stands()) else { continue };
            let further = facts.further_parents(account);
            self.branched |= !further.is_empty();
            if self.branched && !self.seen.insert(account) {
                continue;
            }
            if self.through_cycles || !row.in_cycle() {
                self.next = Some(row.parent).filter(|parent| *parent != NONE);
                self.others.extend_from_slice(further);
            }
            return Some(account);
        }
    }
}
