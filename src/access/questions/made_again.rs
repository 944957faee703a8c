//! Who may be somebody who was removed, made again: known by what its source asks for it to be called, whatever it is called
//! here, and whoever has that name.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::{
    questions::apart::{Apart, KeptApart, MAX_NAMESAKES},
    roster::{
        Roster,
        facts::{NONE, NameNotInEffect},
        handles::UserIx,
    },
};

/// Whom a rule does not link, and who could be meant.
#[derive(Default)]
pub(super) struct NotLinked {
    pub(super) left_out: Vec<KeptApart>,
    pub(super) still_there: Vec<u32>,
    pub(super) at_once: Vec<u32>,
    pub(super) not_known: Vec<u32>,
}

impl Roster {
    /// Whether a person could be one who was removed, made again: it came after that one was gone, unless `overlapping`. A source's
    /// own removals may be held back while what it has anew comes, and it has none twice.
    fn came_since(&self, gone: u32, person: u32, overlapping: bool) -> bool {
        let names = &self.facts.persons.names;
        let removed = self.facts.persons.get(gone).map(|row| row.register.cause);
        let came = self.facts.persons.get(person).map(|row| row.first);
        !self.stands(gone) && (overlapping || names.space(gone) == names.space(person) || removed < came)
    }

    /// Who asked or asks in a source for the user name that a person asks for, whoever has it there first; also who gave it up, as
    /// it stays reserved.
    fn who_had_or_ask(&self, person: u32, source: u16) -> impl Iterator<Item = u32> {
        let holder = self.asked_name_of(person).and_then(|name| self.kept_for(name));
        let holder = holder.filter(|one| self.facts.persons.names.space(*one) == source && *one != person);
        let others = self.who_ask_as(person, source).filter(move |one| Some(*one) != holder);
        holder.into_iter().chain(others.take(MAX_NAMESAKES))
    }

    /// Those who were removed and whose name a person asks for, whom a rule would take for it, made again, if nothing kept them
    /// apart: of its own source, where that knows another of the name; else of the source that is asked about, or else of that of
    /// whoever has the name.
    fn perhaps_removed(&self, person: u32, of: Option<u16>, overlapping: bool) -> Vec<u32> {
        let space = |person: u32| self.facts.persons.names.space(person);
        // Also of who is inactive: the one of before may have been so too.
        if !self.stands(person) || self.facts.is_suspended(space(person)) {
            return Vec::new();
        }
        let owner = self.asked_name_of(person).and_then(|name| self.kept_for(name));
        let mut all: Vec<u32> = self.maybe_the_same(person).filter(|one| of.is_none() || !self.stands(*one)).collect();
        if all.is_empty() {
            let of = of.or(owner.map(space));
            all = of.into_iter().flat_map(|of| self.who_had_or_ask(person, of)).collect();
        }
        all.retain(|one| self.user_of(*one) != self.user_of(person) && self.came_since(*one, person, overlapping));
        // Whose name was given to one of the others, or to this one, is not who is called so.
        if owner.is_some_and(|owner| owner == person || all.contains(&owner)) {
            let name = self.asked_name_of(person).and_then(|name| self.facts.user_names.find(0, name));
            let before = name.and_then(|name| self.facts.name_holders.get(&name)).map_or(&[][..], Vec::as_slice);
            all.retain(|one| Some(*one) == owner || !before.contains(one));
        }
        all
    }

    /// Those of some whom nothing keeps from being a person, one of each user. Of several nobody but a person knows which: whoever
    /// has the name may only have been the first.
    fn one_of_each(&self, mut all: Vec<u32>, person: u32) -> Vec<u32> {
        let mut users = BTreeSet::new();
        all.retain(|one| self.apart(*one, person).is_none() && users.insert(self.user_of(*one)));
        all
    }

    /// Those who may be a person that asks for a name, made again: several where nobody but a person knows which. In another source
    /// only where the two are of authoritative ones.
    pub(super) fn perhaps_made_again(&self, person: u32) -> Vec<u32> {
        let space = |person: u32| self.facts.persons.names.space(person);
        let mut all = self.one_of_each(self.perhaps_removed(person, None, false), person);
        all.retain(|one| {
            let theirs = self.persons_of(UserIx(self.user_of(*one)));
            let both_count = || self.is_authoritative(person) && theirs.iter().any(|of| self.is_authoritative(*of));
            space(*one) == space(person) || both_count()
        });
        if !all.is_empty() || !self.is_authoritative(person) || self.has_namesake(person) {
            return all;
        }
        // Whoever has the name is somebody else: that says nothing of who was called so elsewhere.
        let authoritative = self.authoritative_spaces().filter(|of| *of != space(person));
        let all = authoritative.flat_map(|of| self.perhaps_removed(person, Some(of), false)).collect();
        self.one_of_each(all, person)
    }

    /// The pairs of who was removed at one source and who came since at another, or at the same one; and of whom that is not so,
    /// though it asks for somebody's name, or not for sure.
    pub(super) fn made_again(&self, of: u16, place: u16, overlapping: bool, found: &mut NotLinked) -> Vec<(u32, u32)> {
        let names = &self.facts.persons.names;
        let everybody = || (0..self.facts.persons.len()).filter(|one| self.user_of(*one) != NONE);
        let asked = everybody().filter(|one| names.space(*one) == of).filter_map(|one| self.asked_name_of(one));
        let asked: HashSet<&str> = asked.collect();
        let mut again = Vec::new();
        for person in everybody().filter(|one| self.stands(*one)) {
            let is_here = names.space(person) == place;
            let is_asked = || self.asked_name_of(person).is_some_and(|name| asked.contains(name));
            if !is_here && (!self.could_come_from(person, of) || !is_asked()) {
                continue;
            }
            if !is_asked() && !self.facts.names_not_in_effect.contains_key(&person) {
                continue;
            }
            let mut all = self.perhaps_removed(person, Some(of), overlapping && is_here);
            let own = all.iter().copied().find(|one| names.space(*one) != of);
            all.retain(|one| names.space(*one) == of);
            if all.is_empty() && is_here {
                self.note_not_taken(person, of, own, found);
            }
            let mut users = BTreeSet::new();
            all.retain(|one| {
                let apart = self.apart(*one, person);
                found.left_out.extend(apart.map(|apart| ((*one, person), apart)));
                apart.is_none() && users.insert(self.user_of(*one))
            });
            match *all {
                [one] => again.push((one, person)),
                _ => found.left_out.extend(all.iter().map(|one| ((*one, person), Apart::OneOfSeveral))),
            }
        }
        // Of two who could be the same one neither is.
        let mut asking: HashMap<u32, usize> = HashMap::new();
        again.iter().for_each(|(one, _)| *asking.entry(self.user_of(*one)).or_default() += 1);
        again.retain(|(one, person)| {
            let is_one = asking.get(&self.user_of(*one)) == Some(&1);
            found.left_out.extend((!is_one).then_some(((*one, *person), Apart::OneOfSeveral)));
            is_one && names.space(*person) == place
        });
        found.left_out.retain(|((_, person), _)| names.space(*person) == place);
        again
    }

    /// Whether somebody of another source than a rule is told could be whom it is about: where it is the same one, or both decide.
    fn could_come_from(&self, person: u32, of: u16) -> bool {
        let space = self.facts.persons.names.space(person);
        space == of || (self.is_authoritative(person) && self.authoritative_spaces().any(|one| one == of))
    }

    /// Why nobody who was removed is taken for a person. `own`: who was removed of its own source and is not of the one asked about.
    fn note_not_taken(&self, person: u32, of: u16, own: Option<u32>, found: &mut NotLinked) {
        let other = |one: &u32| self.user_of(*one) != self.user_of(person) && self.parted(*one, person).is_none();
        let (there, gone): (Vec<u32>, Vec<u32>) =
            self.who_had_or_ask(person, of).filter(other).partition(|one| self.stands(*one));
        let is_waiting = || match self.facts.names_not_in_effect.get(&person) {
            Some(NameNotInEffect::Taken(name)) => {
                let owner = self.facts.user_names.get(*name).copied().filter(|owner| *owner != NONE);
                owner.is_some_and(|owner| self.user_of(owner) != self.user_of(person))
            }
            _ => false,
        };
        match (own, &*gone, &*there) {
            (Some(own), [one, ..], _) => found.left_out.push(((*one, person), Apart::OwnNamesake(own))),
            (None, [_, ..], _) if !self.perhaps_removed(person, Some(of), true).is_empty() => {
                found.at_once.push(person)
            }
            (_, [], [_, ..]) => found.still_there.push(person),
            (_, [], []) if is_waiting() => found.not_known.push(person),
            _ => {}
        }
    }
}
