//! Accounts, and which of them form a cycle and so are nobody's sub-accounts.

use rollcall_events::body;

use crate::{
    fold::{change::Effect, context::FoldContext},
    roster::{
        Roster,
        facts::{Cycle, Field, NONE},
        register::Rank,
    },
};

impl Roster {
    pub(crate) fn upsert_account(&mut self, cx: &mut FoldContext<'_>, data: &body::Account) -> Effect {
        let ix = self.facts.accounts.intern(cx.space, data.account.as_str());
        let parent = data.parent.as_ref().map_or(NONE, |id| self.facts.accounts.intern(cx.space, id.as_str()));
        let Some(row) = self.facts.accounts.get_mut(ix) else { return Effect::NoChange };
        let effect = cx.update(&mut row.register, Rank::Full, "account");
        if effect == Effect::Applied {
            let stays = Some(row.parent == parent).filter(|same| *same).and(row.cycle).filter(|cycle| cycle.closed);
            self.break_cycle(cx, ix);
            self.set_reference(Field::AccountParent, ix, parent);
            self.close_cycle(cx, ix, stays);
            self.fast_path.update_account(&self.facts, ix, self.settings.customer_sub_accounts);
        }
        self.note_mention(&effect, Field::AccountParent, ix, parent);
        effect
    }

    pub(crate) fn remove_account(&mut self, cx: &mut FoldContext<'_>, id: &str) -> Effect {
        let ix = self.facts.accounts.intern(cx.space, id);
        let Some(row) = self.facts.accounts.get_mut(ix) else { return Effect::NoChange };
        let effect = cx.update(&mut row.register, Rank::Removed, "account");
        if effect == Effect::Applied {
            self.break_cycle(cx, ix);
            self.fast_path.update_account(&self.facts, ix, self.settings.customer_sub_accounts);
        }
        effect
    }

    /// The account above, as stated; cycles are not looked at.
    fn stated_parent(&self, account: u32) -> Option<u32> {
        let row = self.facts.accounts.get(account)?;
        (row.register.stands() && row.parent != NONE).then_some(row.parent)
    }

    /// An account of a cycle changes: the cycle is no longer one (until `close_cycle` finds the new one).
    fn break_cycle(&mut self, cx: &FoldContext<'_>, account: u32) {
        let mut next = Some(account);
        while let Some(row) = next.and_then(|ix| self.facts.accounts.get_mut(ix)).filter(|row| row.in_cycle()) {
            row.cycle = Some(Cycle { at: cx.position(), by: account, closed: false });
            next = (row.parent != NONE).then_some(row.parent);
        }
    }

    /// Marks every account of the cycle that an account is in, if it is in one. Accounts form a graph with one way up
    /// from each, so a cycle through this account is found by walking up from it. `same`: the cycle that it was in and
    /// is still, as its parent is the same.
    fn close_cycle(&mut self, cx: &FoldContext<'_>, account: u32, same: Option<Cycle>) {
        let mut path = vec![account];
        let mut next = self.stated_parent(account);
        while let Some(ix) = next {
            if ix == account {
                let cycle = same.unwrap_or(Cycle { at: cx.position(), by: account, closed: true });
                for member in path {
                    if let Some(row) = self.facts.accounts.get_mut(member) {
                        row.cycle = Some(cycle);
                    }
                }
                return;
            }
            if self.facts.accounts.get(ix).is_none_or(|row| row.in_cycle()) {
                return;
            }
            path.push(ix);
            next = self.stated_parent(ix);
        }
    }
}
