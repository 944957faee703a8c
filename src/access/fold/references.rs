//! References between rows: where each points, where it pointed, and what superseded events referred to.

use crate::{
    fold::change::Effect,
    roster::{
        Roster,
        facts::{Field, NONE, PassedOn},
    },
};

impl Roster {
    /// Points a row's reference somewhere else, remembers where it pointed, and files the row there.
    pub(crate) fn set_reference(&mut self, field: Field, row: u32, to: u32) {
        let at = self.facts.position;
        let facts = &mut self.facts;
        let slot = match field {
            Field::PersonAccount => facts.persons.get_mut(row).map(|row| &mut row.account),
            Field::PackageProducer => facts.packages.get_mut(row).map(|row| &mut row.producer),
            Field::EntitlementAccount => facts.entitlements.get_mut(row).map(|row| &mut row.account),
            Field::LineEntitlement => facts.lines.get_mut(row).map(|row| &mut row.entitlement),
            Field::LineProduct => facts.lines.get_mut(row).map(|row| &mut row.product),
            Field::AccountParent
            | Field::PersonName
            | Field::PersonSameAs
            | Field::FolderParent
            | Field::ProjectFolder => None,
        };
        let Some(slot) = slot else { return };
        let old = std::mem::replace(slot, to);
        if old == to {
            return;
        }
        let filed = facts.formers.get(&(field, row)).is_some_and(|past| past.iter().any(|former| former.to == to));
        facts.note_former(field, row, old, at);
        if to == NONE {
            return;
        }
        if !filed {
            match field {
                Field::PersonAccount => self.index.account_people.push(to, row),
                Field::PackageProducer => self.index.account_packages.push(to, row),
                Field::EntitlementAccount => self.index.account_entitlements.push(to, row),
                Field::LineEntitlement => self.index.entitlement_lines.push(to, row),
                Field::LineProduct => self.index.product_lines.push(to, row),
                Field::AccountParent
                | Field::PersonName
                | Field::PersonSameAs
                | Field::FolderParent
                | Field::ProjectFolder => {}
            }
        }
        match field {
            Field::EntitlementAccount => self.file_purchases(row),
            Field::LineEntitlement | Field::LineProduct => self.index.add_purchase(&self.facts, row),
            _ => {}
        }
    }

    /// Files the lines of an entitlement under whoever has and had it.
    fn file_purchases(&mut self, entitlement: u32) {
        for line in self.index.entitlement_lines.of(entitlement).to_vec() {
            self.index.add_purchase(&self.facts, line);
        }
    }

    /// Puts an account below these, remembers below which it was, and files it under each.
    pub(super) fn set_parents(&mut self, account: u32, parents: &[u32]) {
        let at = self.facts.position;
        let ever: Vec<u32> = self.facts.parents_ever(account).collect();
        let left: Vec<u32> = self.facts.parents(account).filter(|before| !parents.contains(before)).collect();
        let (first, further) = parents.split_first().map_or((NONE, &[][..]), |(first, further)| (*first, further));
        if let Some(row) = self.facts.accounts.get_mut(account) {
            row.parent = first;
        }
        if further.is_empty() {
            self.facts.further_parents.remove(&account);
        } else {
            self.facts.further_parents.insert(account, further.to_vec());
        }
        for before in left {
            self.facts.note_former(Field::AccountParent, account, before, at);
        }
        for parent in parents.iter().filter(|parent| !ever.contains(parent)) {
            self.index.account_children.push(*parent, account);
        }
    }

    /// Who passed an entitlement on had it before, whether or not that was ever said while it was so.
    pub(super) fn set_passed_on(&mut self, entitlement: u32, by: Vec<PassedOn>) {
        let at = self.facts.position;
        let owner = self.facts.entitlements.get(entitlement).map_or(NONE, |row| row.account);
        for PassedOn { account, .. } in by.iter().filter(|one| one.account != owner) {
            if self.facts.left(Field::EntitlementAccount, entitlement, *account).is_none() {
                self.facts.note_former(Field::EntitlementAccount, entitlement, *account, at);
                self.index.account_entitlements.push(*account, entitlement);
                self.file_purchases(entitlement);
            }
        }
        if by.is_empty() {
            self.facts.passed_on.remove(&entitlement);
        } else {
            self.facts.passed_on.insert(entitlement, by);
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
