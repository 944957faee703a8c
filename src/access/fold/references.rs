//! References between rows: where each points, where it pointed, and what superseded events referred to.

use crate::{
    fold::change::Effect,
    roster::{
        Roster,
        facts::{Field, NONE},
    },
};

impl Roster {
    /// Points a row's reference somewhere else, remembers where it pointed, and files the row there.
    pub(crate) fn set_reference(&mut self, field: Field, row: u32, to: u32) {
        let at = self.facts.position;
        let facts = &mut self.facts;
        let slot = match field {
            Field::PersonAccount => facts.persons.get_mut(row).map(|row| &mut row.account),
            Field::AccountParent => facts.accounts.get_mut(row).map(|row| &mut row.parent),
            Field::PackageProducer => facts.packages.get_mut(row).map(|row| &mut row.producer),
            Field::EntitlementAccount => facts.entitlements.get_mut(row).map(|row| &mut row.account),
            Field::LineEntitlement => facts.lines.get_mut(row).map(|row| &mut row.entitlement),
            Field::LineProduct => facts.lines.get_mut(row).map(|row| &mut row.product),
            Field::PersonName | Field::PersonSameAs | Field::FolderParent | Field::ProjectFolder => None,
        };
        let Some(slot) = slot else { return };
        let old = std::mem::replace(slot, to);
        if old == to {
            return;
        }
        let filed = facts.formers.get(&(field, row)).is_some_and(|past| past.iter().any(|former| former.to == to));
        facts.note_former(field, row, old, at);
        if filed || to == NONE {
            return;
        }
        match field {
            Field::PersonAccount => self.index.account_people.push(to, row),
            Field::AccountParent => self.index.account_children.push(to, row),
            Field::PackageProducer => self.index.account_packages.push(to, row),
            Field::EntitlementAccount => {
                self.index.account_entitlements.push(to, row);
                for line in self.index.entitlement_lines.of(row).to_vec() {
                    self.index.add_purchase(&self.facts, line);
                }
            }
            Field::LineEntitlement => {
                self.index.entitlement_lines.push(to, row);
                self.index.add_purchase(&self.facts, row);
            }
            Field::LineProduct => {
                self.index.product_lines.push(to, row);
                self.index.add_purchase(&self.facts, row);
            }
            Field::PersonName | Field::PersonSameAs | Field::FolderParent | Field::ProjectFolder => {}
        }
    }

    /// Notes what a superseded event referred to.
    pub(crate) fn note_mention(&mut self, effect: &Effect, field: Field, row: u32, to: u32) {
        if *effect == Effect::Superseded {
            self.mention(field, row, to);
        }
    }

    pub(super) fn mention(&mut self, field: Field, row: u32, to: u32) {
        if self.facts.note_mention(field, row, to) {
            self.index.mentioned.update((field, to), |rows| rows.push(row));
        }
    }
}
