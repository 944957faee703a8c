//! Who was said to be two people, by parting or excepting them by hand, and whom else that keeps a rule from joining.

use std::collections::{BTreeSet, HashMap};

use rollcall_events::{Position, body::SourcePerson};

use crate::roster::{Roster, facts::NONE, handles::UserIx};

/// Two persons whom somebody said to be two, and the event that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parting {
    pub(crate) persons: [u32; 2],
    pub(crate) at: Position,
}

impl Parting {
    /// Whether it is about these two, so that it was somebody's decision about them.
    pub(crate) fn is_of(&self, one: u32, two: u32) -> bool {
        self.persons == [one, two] || self.persons == [two, one]
    }
}

/// Two persons whom a rule takes for one and does not link, as it would join others whom somebody parted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Those two.
    pub persons: [SourcePerson; 2],
    /// In words, who was parted by which event.
    pub why: String,
    /// The event that parted those.
    pub parted_at: Position,
}

/// A pair that a rule takes for one, and what keeps it apart.
pub(crate) type KeptApart = ((u32, u32), Parting);

/// Of how many who ask for one name it is looked who of them could be one person.
const MAX_NAMESAKES: usize = 256;

impl Roster {
    /// Whether somebody said of exactly these two that they are two.
    pub(crate) fn parted(&self, one: u32, two: u32) -> Option<Parting> {
        let ix = *self.index.link.get(&(one.min(two), one.max(two)))?;
        self.parting_of_link(ix)
    }

    fn parting_of_link(&self, link: u32) -> Option<Parting> {
        let pair = self.facts.links.get(link as usize)?;
        let is_parted = pair.register.stated() && !pair.register.stands();
        let by_hand = is_parted && !self.facts.rule_links.contains_key(&link);
        by_hand.then_some(Parting { persons: [pair.left, pair.right], at: pair.register.cause })
    }

    /// What keeps a rule from making two persons one user: somebody parted a person of the one from a person of the other. In
    /// two sources an entry may be one that was made again, whose parting holds for it: so whoever else of its source asks for
    /// its name counts with it, there or not, as it may come before the old one is gone.
    pub(crate) fn kept_apart(&self, one: u32, two: u32) -> Option<Parting> {
        if self.index.person_links.is_empty() {
            return None;
        }
        let names = &self.facts.persons.names;
        self.parted(one, two).or_else(|| self.parting_between(&[one], &[two], names.space(one) != names.space(two)))
    }

    fn parting_between(&self, ones: &[u32], twos: &[u32], with_namesakes: bool) -> Option<Parting> {
        let all = |persons: &[u32]| {
            let mut all = self.with_their_users(persons.iter().copied());
            if with_namesakes {
                let others: Vec<u32> = all.iter().flat_map(|one| self.namesakes(*one)).collect();
                all.extend(self.with_their_users(others.into_iter()));
            }
            all
        };
        let (mine, theirs) = (all(ones), all(twos));
        let links = mine.iter().flat_map(|one| self.index.person_links.get(one).into_iter().flatten());
        let partings = links.filter_map(|ix| self.parting_of_link(*ix));
        let between = |a: u32, b: u32| mine.contains(&a) && theirs.contains(&b);
        partings.into_iter().find(|Parting { persons: [a, b], .. }| between(*a, *b) || between(*b, *a))
    }

    /// Persons, with all that they are by links.
    fn with_their_users(&self, persons: impl Iterator<Item = u32>) -> BTreeSet<u32> {
        persons
            .flat_map(|one| std::iter::once(one).chain(self.persons_of(UserIx(self.user_of(one))).iter().copied()))
            .collect()
    }

    /// Of pairs that are each to be linked those that together join nobody whom somebody parted.
    pub(crate) fn joining_nobody_parted(
        &self,
        pairs: Vec<(u32, u32)>,
        left_out: &mut Vec<KeptApart>,
    ) -> Vec<(u32, u32)> {
        let (mut joined_to, mut sets) = (HashMap::<u32, u32>::new(), HashMap::<u32, Vec<u32>>::new());
        let names = &self.facts.persons.names;
        let mut kept = Vec::with_capacity(pairs.len());
        for (one, two) in pairs {
            let root = |mut user: u32| {
                while let Some(next) = joined_to.get(&user) {
                    user = *next;
                }
                user
            };
            let (a, b) = (root(self.user_of(one)), root(self.user_of(two)));
            if a != b {
                let is_alone = !sets.contains_key(&a) && !sets.contains_key(&b);
                let set = |user: u32| sets.get(&user).cloned().unwrap_or_else(|| vec![user]);
                let (mut mine, theirs) = (set(a), set(b));
                // Of two that nothing was joined with yet it is known.
                let parting =
                    (!is_alone).then(|| self.parting_between(&mine, &theirs, names.space(one) != names.space(two)));
                if let Some(parting) = parting.flatten() {
                    left_out.push(((one, two), parting));
                    continue;
                }
                mine.extend(theirs);
                joined_to.insert(b, a);
                sets.insert(a, mine);
            }
            kept.push((one, two));
        }
        kept
    }

    /// The name that a person's source asks for, in effect or not, usable or not.
    pub(crate) fn asked_name_of(&self, person: u32) -> Option<&str> {
        let row = self.facts.persons.get(person).filter(|row| row.user != NONE)?;
        Some(match self.facts.names_not_in_effect.get(&person) {
            Some(why) => self.facts.text_of_asked(why),
            None => self.facts.user_names.id(row.name),
        })
    }

    /// The other persons, of whatever source, that ask or asked last for the user name that a person asks for, there or not.
    pub(crate) fn who_ask_as(&self, person: u32) -> impl Iterator<Item = u32> {
        let name = self.asked_name_of(person);
        let holder = name.and_then(|name| self.facts.user_names.find(0, name));
        let holder = holder.and_then(|ix| self.facts.user_names.get(ix)).copied();
        let holder = holder.filter(|holder| self.asked_name_of(*holder) == name);
        let others = name.map(|name| self.index.asked_names.range((name.to_owned(), 0)..=(name.to_owned(), u32::MAX)));
        let others = others.into_iter().flatten().map(|((_, one), ())| *one).filter(move |one| Some(*one) != holder);
        holder.into_iter().chain(others).filter(move |one| *one != person)
    }

    /// Those of them that are of the person's own source.
    pub(crate) fn namesakes(&self, person: u32) -> impl Iterator<Item = u32> {
        let names = &self.facts.persons.names;
        self.who_ask_as(person).filter(move |one| names.space(*one) == names.space(person))
    }

    /// What keeps people apart, in words.
    pub(crate) fn parting_text(&self, parting: &Parting) -> String {
        let [one, two] = parting.persons.map(|person| self.person_key(person));
        format!("{one} and {two} were parted by hand (event {})", parting.at)
    }

    pub(crate) fn left_out(&self, ((one, two), parting): &KeptApart) -> Option<LeftOut> {
        let persons = [self.source_person(*one)?, self.source_person(*two)?];
        Some(LeftOut { persons, why: self.parting_text(parting), parted_at: parting.at })
    }

    /// Those of a person's namesakes who may be the same one: of another user, and nobody said that they are two.
    fn maybe_the_same(&self, person: u32) -> impl Iterator<Item = u32> {
        let all = self.namesakes(person).take(MAX_NAMESAKES);
        all.filter(move |one| self.user_of(*one) != self.user_of(person) && self.parted(*one, person).is_none())
    }

    /// Whether another entry of a person's source asks for its name that may be the same person's.
    pub(crate) fn has_namesake(&self, person: u32) -> bool {
        self.maybe_the_same(person).next().is_some()
    }

    /// Those who were removed at a person's source, and may be it, made again: one person of each user. Whoever of them has the name
    /// is the one; somebody gave it to that one, or no other had it.
    pub(crate) fn predecessors(&self, person: u32) -> Vec<u32> {
        let gone = |one: &u32| self.facts.persons.get(*one).is_some_and(|row| !row.register.stands());
        let called = self.asked_name_of(person).and_then(|name| self.facts.user_names.find(0, name));
        let holder = called.and_then(|name| self.facts.user_names.get(name)).copied();
        let mut users = BTreeSet::new();
        let gone = self.maybe_the_same(person).filter(gone);
        let mut all: Vec<u32> = gone
            .filter(|one| self.may_be_made_again(*one, person, false) && users.insert(self.user_of(*one)))
            .collect();
        if let Some(holder) = all.iter().copied().find(|one| Some(*one) == holder) {
            all = vec![holder];
        }
        all
    }
}
