//! Products, entitlements, their lines and the people whom they are assigned to.

use rollcall_events::body::{self, EntitlementState};

use crate::{
    fold::{
        change::{Change, Effect},
        context::FoldContext,
    },
    roster::{
        Roster,
        facts::{Field, State, micros, push_pair},
        register::Rank,
    },
};

impl Roster {
    pub(super) fn set_product(&mut self, cx: &mut FoldContext<'_>, id: &str, rank: Rank) -> Effect {
        let ix = self.facts.products.intern(cx.space, id);
        let Some(row) = self.facts.products.get_mut(ix) else { return Effect::NoChange };
        let stood = row.register.stands();
        let effect = cx.update(&mut row.register, rank, "product");
        if row.register.stands() != stood {
            for mapping in self.index.product_mappings.of(ix) {
                let Some(pair) = self.facts.mappings.get(*mapping as usize) else { continue };
                self.fast_path.update_package(&self.facts, &self.index, pair.left);
            }
        }
        effect
    }

    pub(super) fn set_mapping(&mut self, cx: &mut FoldContext<'_>, data: &body::PackageProduct, rank: Rank) -> Effect {
        let package = self.facts.packages.intern(cx.space, data.package.as_str());
        let product = self.facts.products.intern(cx.space, data.product.as_str());
        let ix = match self.index.mapping.get(&(package, product)) {
            Some(ix) => *ix,
            None => {
                let ix = push_pair(&mut self.facts.mappings, package, product);
                self.index.add_mapping(ix, package, product);
                ix
            }
        };
        let effect = self.update_row(cx, ix, rank, "package_product", |roster, ix| {
            roster.facts.mappings.get_mut(ix as usize).map(|row| &mut row.register)
        });
        self.fast_path.update_package(&self.facts, &self.index, package);
        effect
    }

    pub(super) fn upsert_entitlement(&mut self, cx: &mut FoldContext<'_>, data: &body::Entitlement) -> Effect {
        let ix = self.facts.entitlements.intern(cx.space, data.entitlement.as_str());
        let account = self.facts.accounts.intern(cx.space, data.account.as_str());
        let state = match data.state {
            EntitlementState::Draft => State::Draft,
            EntitlementState::Active => State::Active,
            EntitlementState::OnHold => State::OnHold,
            EntitlementState::Inactive => State::Inactive,
            EntitlementState::Obsolete => State::Obsolete,
            EntitlementState::Unknown => State::Unknown,
        };
        let rank = if state == State::Active { Rank::Full } else { Rank::Lesser };
        let Some(row) = self.facts.entitlements.get_mut(ix) else { return Effect::NoChange };
        let effect = cx.update(&mut row.register, rank, "entitlement");
        if effect == Effect::Applied {
            row.state = state;
            self.set_reference(Field::EntitlementAccount, ix, account);
            self.fast_path.update_entitlement(&self.facts, &self.index, ix);
        }
        self.note_mention(&effect, Field::EntitlementAccount, ix, account);
        effect
    }

    pub(super) fn upsert_line(&mut self, cx: &mut FoldContext<'_>, data: &body::Line) -> Effect {
        let ix = self.facts.lines.intern(cx.space, data.line.as_str());
        let entitlement = self.facts.entitlements.intern(cx.space, data.entitlement.as_str());
        let product = self.facts.products.intern(cx.space, data.product.as_str());
        let Some(row) = self.facts.lines.get_mut(ix) else { return Effect::NoChange };
        let effect = cx.update(&mut row.register, Rank::Full, "line");
        if effect == Effect::Applied {
            row.starts = micros(data.starts, i64::MIN);
            row.ends = micros(data.ends, i64::MAX);
            self.set_reference(Field::LineEntitlement, ix, entitlement);
            self.set_reference(Field::LineProduct, ix, product);
            self.fast_path.update_line(&self.facts, ix);
        }
        self.note_mention(&effect, Field::LineEntitlement, ix, entitlement);
        self.note_mention(&effect, Field::LineProduct, ix, product);
        effect
    }

    pub(super) fn set_assignment(
        &mut self,
        cx: &mut FoldContext<'_>,
        data: &body::EntitlementPerson,
        rank: Rank,
    ) -> Effect {
        let entitlement = self.facts.entitlements.intern(cx.space, data.entitlement.as_str());
        let person = self.facts.persons.intern(cx.space, data.person.as_str());
        let ix = match self.index.assignment.get(&(entitlement, person)) {
            Some(ix) => *ix,
            None => {
                let ix = push_pair(&mut self.facts.assignments, entitlement, person);
                self.index.add_assignment(ix, entitlement, person);
                self.fast_path.update_person(&self.facts, &self.index, person);
                ix
            }
        };
        // Whoever was unassigned had been assigned: narrowing does not depend on which of the two arrives first.
        if let Some(row) = self.facts.entitlements.get_mut(entitlement).filter(|row| !row.narrowed) {
            row.narrowed = true;
            cx.changes.push(Change::Narrowed { source: cx.source(), entitlement: data.entitlement.as_str().into() });
            self.fast_path.update_entitlement(&self.facts, &self.index, entitlement);
        }
        self.update_row(cx, ix, rank, "entitlement_person", |roster, ix| {
            roster.facts.assignments.get_mut(ix as usize).map(|row| &mut row.register)
        })
    }
}
