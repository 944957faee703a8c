//! EULAs: which text a package asks its customers' people for, and which each of them accepted.

use rollcall_events::Id;

use crate::{
    fold::{change::Effect, context::FoldContext},
    roster::{Roster, facts::NONE, register::Rank},
};

impl Roster {
    /// A package asks for a text, or for none. Of two rivals that which asks for one gives less, and so wins.
    pub(super) fn set_eula(&mut self, cx: &mut FoldContext<'_>, package: &Id, eula: Option<&Id>) -> Effect {
        let package = self.facts.packages.intern(cx.space, package.as_str());
        let text = eula.map_or(NONE, |id| self.facts.eula_texts.intern(cx.space, id.as_str()));
        let effect = self.facts.eulas.update(package, |said| {
            let asked = said.register.stands() && said.eula != NONE;
            let rank = if eula.is_some() { Rank::Lesser } else { Rank::Full };
            let effect = cx.settle(&mut said.register, rank);
            if effect == Effect::Applied {
                said.eula = text;
                match (eula, asked) {
                    (Some(_), _) => cx.fact_began("package_eula"),
                    (None, true) => cx.fact_ended(),
                    (None, false) => {}
                }
            }
            effect
        });
        self.fast_path.update_package(&self.facts, &self.index, package);
        effect
    }

    /// A person accepted a text for a package, or that counts no longer.
    pub(super) fn set_acceptance(
        &mut self,
        cx: &mut FoldContext<'_>,
        (package, person): (&Id, &Id),
        eula: Option<&Id>,
    ) -> Effect {
        let package = self.facts.packages.intern(cx.space, package.as_str());
        let person = self.facts.persons.intern(cx.space, person.as_str());
        let text = eula.map_or(NONE, |id| self.facts.eula_texts.intern(cx.space, id.as_str()));
        let rank = if eula.is_some() { Rank::Full } else { Rank::Removed };
        self.facts.acceptances.update((package, person), |said| {
            let effect = cx.update(&mut said.register, rank, "eula_person");
            if effect == Effect::Applied && text != NONE {
                said.eula = text;
            }
            effect
        })
    }
}
