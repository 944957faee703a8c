//! The tree of accounts, upwards and downwards. Nobody is above an account in a cycle.

use std::collections::BTreeSet;

use crate::roster::Roster;

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

    /// The account and all above it, as far as they stand. Nobody is above an account in a cycle.
    pub(crate) fn account_and_ancestors(&self, account: u32) -> impl Iterator<Item = u32> + '_ {
        let standing = |ix: u32| self.facts.accounts.get(ix).filter(|row| row.register.stands()).map(|_| ix);
        std::iter::successors(standing(account), move |ix| {
            let row = self.facts.accounts.get(*ix)?;
            if row.in_cycle() { None } else { standing(row.parent) }
        })
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
