//! Accounts, and which of them form a cycle and so are nobody's sub-accounts.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_events::body;

use crate::{
    fold::{change::Effect, context::FoldContext},
    roster::{
        Roster,
        facts::{Cycle, Field},
        register::Rank,
    },
};

impl Roster {
    pub(crate) fn upsert_account(&mut self, cx: &mut FoldContext<'_>, data: &body::Account) -> Effect {
        let ix = self.facts.accounts.intern(cx.space, data.account.as_str());
        let above = data.above();
        let parents: Vec<u32> = above.into_iter().map(|id| self.facts.accounts.intern(cx.space, id.as_str())).collect();
        let before = self.cycle_of(ix);
        let Some(row) = self.facts.accounts.get_mut(ix) else { return Effect::NoChange };
        let effect = cx.update(&mut row.register, Rank::Full, "account");
        if effect == Effect::Applied {
            self.set_parents(ix, &parents);
            self.settle_cycles(cx, ix, &before);
            self.fast_path.update_account(&self.facts, ix, self.settings.customer_sub_accounts);
        }
        for parent in parents {
            self.note_mention(&effect, Field::AccountParent, ix, parent);
        }
        effect
    }

    pub(crate) fn remove_account(&mut self, cx: &mut FoldContext<'_>, id: &str) -> Effect {
        let ix = self.facts.accounts.intern(cx.space, id);
        let before = self.cycle_of(ix);
        let Some(row) = self.facts.accounts.get_mut(ix) else { return Effect::NoChange };
        let effect = cx.update(&mut row.register, Rank::Removed, "account");
        if effect == Effect::Applied {
            self.settle_cycles(cx, ix, &before);
            self.fast_path.update_account(&self.facts, ix, self.settings.customer_sub_accounts);
        }
        effect
    }

    /// The accounts above, as stated; cycles are not looked at.
    fn stated_parents(&self, account: u32) -> Vec<u32> {
        let stands = self.facts.accounts.get(account).is_some_and(|row| row.register.stands());
        self.facts.parents(account).filter(|_| stands).collect()
    }

    /// The accounts in a cycle at and above one that is in a cycle; nothing for another one.
    fn cycle_of(&self, account: u32) -> BTreeSet<u32> {
        let is_in_one = self.facts.accounts.get(account).is_some_and(|row| row.in_cycle());
        if is_in_one { self.cycles_above([account]) } else { BTreeSet::new() }
    }

    /// An account was said anew, and these were in a cycle at and above it: which of them are no more, and which are now.
    fn settle_cycles(&mut self, cx: &FoldContext<'_>, account: u32, before: &BTreeSet<u32>) {
        // Where nothing leads back to it, it closes none.
        let closes = || self.stated_above(account).any(|ix| self.stated_parents(ix).contains(&account));
        if before.is_empty() && !closes() {
            return;
        }
        let now = self.cycles_above(before.iter().copied().chain([account]));
        for ix in before.union(&now) {
            let Some(row) = self.facts.accounts.get_mut(*ix) else { continue };
            let closed = now.contains(ix);
            // One that is in a cycle as before is so since what closed that.
            if row.in_cycle() != closed {
                row.cycle = Some(Cycle { at: cx.position(), by: account, closed });
            }
        }
    }

    /// Of these accounts and all above them those that are in a cycle: that are above themselves, whichever way is gone from
    /// several parents (Tarjan's components).
    fn cycles_above(&self, from: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
        struct Visit {
            account: u32,
            entered: usize,
            /// The first of those that are not settled which is reached from here.
            reaches: usize,
            left: Vec<u32>,
        }
        let mut found = BTreeSet::new();
        let mut entered: BTreeMap<u32, usize> = BTreeMap::new();
        let (mut open, mut settled) = (Vec::new(), BTreeSet::new());
        for first in from {
            let (mut path, mut next) = (Vec::<Visit>::new(), Some(first));
            loop {
                if let Some(account) = next.take().filter(|account| !entered.contains_key(account)) {
                    let at = entered.len();
                    entered.insert(account, at);
                    open.push(account);
                    path.push(Visit { account, entered: at, reaches: at, left: self.stated_parents(account) });
                }
                let Some(visit) = path.last_mut() else { break };
                if let Some(parent) = visit.left.pop() {
                    match entered.get(&parent) {
                        None => next = Some(parent),
                        Some(at) if !settled.contains(&parent) => visit.reaches = visit.reaches.min(*at),
                        Some(_) => {}
                    }
                    continue;
                }
                let Some(visit) = path.pop() else { break };
                if let Some(below) = path.last_mut() {
                    below.reaches = below.reaches.min(visit.reaches);
                }
                if visit.reaches < visit.entered {
                    continue;
                }
                let start = open.iter().rposition(|ix| *ix == visit.account).unwrap_or(0);
                let together = open.split_off(start);
                settled.extend(together.iter().copied());
                if together.len() > 1 || self.stated_parents(visit.account).contains(&visit.account) {
                    found.extend(together);
                }
            }
        }
        found
    }
}
