//! Who was said to be two people, by parting or excepting them by hand, and whom else that keeps a rule from joining.

use std::collections::{BTreeSet, HashMap};

use rollcall_events::{Position, body::SourcePerson};

use crate::roster::{
    Roster,
    facts::{Field, NONE},
    handles::UserIx,
};

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

/// What keeps a rule from making two persons one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Apart {
    /// Somebody parted a person of the one from a person of the other.
    Parted(Parting),
    /// So many of this one's source ask for its name that it was not looked whether one of them was parted: in doubt they are two.
    Crowd(u32),
    /// These two, of whom each would be one of them, are there and of one source.
    Several([u32; 2]),
    /// Of several who were removed, or who came, each could be the one. Only a plan says so.
    OneOfSeveral,
    /// This other one of the own source was removed and asked for the name too. Only a plan says so.
    OwnNamesake(u32),
}

/// Two persons whom a rule takes for one and does not link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Those two.
    pub persons: [SourcePerson; 2],
    /// Why, in words: who was parted by which event, who would be two people of one source, or that it could be several.
    pub why: String,
    /// The event that parted those, where one did.
    pub parted_at: Option<Position>,
}

/// A pair that a rule takes for one, and what keeps it apart.
pub(crate) type KeptApart = ((u32, u32), Apart);

/// Of how many who ask for one name it is looked who of them could be one person.
pub(super) const MAX_NAMESAKES: usize = 256;

impl Roster {
    /// Whether somebody said of exactly these two that they are two.
    pub(crate) fn parted(&self, one: u32, two: u32) -> Option<Parting> {
        let ix = *self.index.link.get(&(one.min(two), one.max(two)))?;
        self.parting_of_link(ix)
    }

    fn parting_of_link(&self, link: u32) -> Option<Parting> {
        let pair = self.facts.links.get(link as usize).filter(|_| self.facts.is_parting(link))?;
        Some(Parting { persons: [pair.left, pair.right], at: pair.register.cause })
    }

    /// What keeps a rule from making two persons one user. Whatever joins by a rule asks this, by statement, in a plan and when it
    /// is recorded.
    pub(crate) fn apart(&self, one: u32, two: u32) -> Option<Apart> {
        self.parted(one, two)
            .map(Apart::Parted)
            .or_else(|| self.apart_between(&[one], &[two], self.with_namesakes(one, two)))
    }

    /// In two sources an entry may be one that was made again, whose parting holds for it. Within one it would forbid what is to be
    /// linked.
    fn with_namesakes(&self, one: u32, two: u32) -> bool {
        let names = &self.facts.persons.names;
        names.space(one) != names.space(two)
    }

    fn apart_between(&self, ones: &[u32], twos: &[u32], with_namesakes: bool) -> Option<Apart> {
        let [mine, theirs] = [ones, twos].map(|persons| self.with_their_users(persons.iter().copied()));
        self.parting_between(&mine, &theirs, with_namesakes)
            .or_else(|| self.of_one_source(&mine, &theirs).map(Apart::Several))
    }

    /// Of two that would be one, two persons who are there and of one source: it would be two of its people.
    fn of_one_source(&self, mine: &BTreeSet<u32>, theirs: &BTreeSet<u32>) -> Option<[u32; 2]> {
        let names = &self.facts.persons.names;
        let there = |one: &&u32| self.stands(**one);
        let known: HashMap<u16, u32> = theirs.iter().filter(there).map(|one| (names.space(*one), *one)).collect();
        let other = |one: u32| known.get(&names.space(one)).copied().filter(|other| *other != one);
        mine.iter().filter(there).find_map(|one| Some([*one, other(*one)?]))
    }

    /// Whether somebody parted a person of the one from a person of the other, which holds until a hand makes the two one.
    /// `with_namesakes`: whoever else of a person's source asks for its name counts with it, there or not, as it may come before
    /// the old one is gone.
    fn parting_between(&self, mine: &BTreeSet<u32>, theirs: &BTreeSet<u32>, with_namesakes: bool) -> Option<Apart> {
        if self.index.partings == 0 {
            return None;
        }
        let (mut mine, mut theirs) = (mine.clone(), theirs.clone());
        for all in [&mut mine, &mut theirs].into_iter().filter(|_| with_namesakes) {
            for one in all.clone() {
                let others: Vec<u32> = self.namesakes(one).take(MAX_NAMESAKES + 1).collect();
                if others.len() > MAX_NAMESAKES {
                    return Some(Apart::Crowd(one));
                }
                all.extend(self.with_their_users(others.into_iter()));
            }
        }
        let links = mine.iter().flat_map(|one| self.index.person_links.get(one).into_iter().flatten());
        let mut partings = links.filter_map(|ix| self.parting_of_link(*ix));
        let between = |a: u32, b: u32| mine.contains(&a) && theirs.contains(&b);
        let parting = partings.find(|Parting { persons: [a, b], .. }| {
            (between(*a, *b) || between(*b, *a)) && self.user_of(*a) != self.user_of(*b)
        });
        parting.map(Apart::Parted)
    }

    /// Persons, with all that they are by links.
    fn with_their_users(&self, persons: impl Iterator<Item = u32>) -> BTreeSet<u32> {
        persons
            .flat_map(|one| std::iter::once(one).chain(self.persons_of(UserIx(self.user_of(one))).iter().copied()))
            .collect()
    }

    /// Of pairs that are each to be linked those that together join nobody who is to be kept apart.
    pub(crate) fn joining_nobody_apart(
        &self,
        pairs: Vec<(u32, u32)>,
        left_out: &mut Vec<KeptApart>,
    ) -> Vec<(u32, u32)> {
        let (mut joined_to, mut sets) = (HashMap::<u32, u32>::new(), HashMap::<u32, Vec<u32>>::new());
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
                let apart = (!is_alone).then(|| self.apart_between(&mine, &theirs, self.with_namesakes(one, two)));
                if let Some(apart) = apart.flatten() {
                    left_out.push(((one, two), apart));
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

    /// The other persons of a source that ask or asked last for the user name that a person asks for, there or not; whoever has
    /// it first.
    pub(crate) fn who_ask_as(&self, person: u32, source: u16) -> impl Iterator<Item = u32> {
        let name = self.asked_name_of(person);
        let holder = name.and_then(|name| self.facts.user_names.find(0, name));
        let holder = holder.and_then(|ix| self.facts.user_names.get(ix)).copied();
        let holder =
            holder.filter(|one| self.facts.persons.names.space(*one) == source && self.asked_name_of(*one) == name);
        let of = |name: &str, person: u32| (source, name.to_owned(), person);
        let others = name.map(|name| self.index.asked_names.range(of(name, 0)..=of(name, u32::MAX)));
        let others = others.into_iter().flatten().map(|((.., one), ())| *one).filter(move |one| Some(*one) != holder);
        holder.into_iter().chain(others).filter(move |one| *one != person)
    }

    /// Those of them that are of the person's own source.
    pub(crate) fn namesakes(&self, person: u32) -> impl Iterator<Item = u32> {
        self.who_ask_as(person, self.facts.persons.names.space(person))
    }

    /// Whether a person's source ever asked for the user name for it that another person asks for, also by what came too late.
    pub(crate) fn ever_asked_as(&self, one: u32, person: u32) -> bool {
        let (Some(name), Some(row)) = (self.asked_name_of(person), self.facts.persons.get(one)) else { return false };
        let mut ever = self.facts.ever_named(Field::PersonName, one, row.name);
        self.asked_name_of(one) == Some(name) || ever.any(|other| self.facts.user_names.id(other) == name)
    }

    /// What keeps people apart, in words.
    pub(crate) fn parting_text(&self, parting: &Parting) -> String {
        let [one, two] = parting.persons.map(|person| self.person_key(person));
        format!("{one} and {two} were parted by hand (event {})", parting.at)
    }

    /// The same of whatever keeps a rule from joining two.
    pub(crate) fn apart_text(&self, apart: &Apart) -> String {
        let source = |person: u32| self.source_text(self.facts.persons.names.space(person));
        match apart {
            Apart::Parted(parting) => self.parting_text(parting),
            Apart::Crowd(one) => format!(
                "more than {MAX_NAMESAKES} people of source {} ask for the user name {}, too many to look who of them was parted by hand",
                source(*one),
                self.asked_name_of(*one).unwrap_or_default()
            ),
            Apart::OneOfSeveral => {
                "several who were removed, or who came, asked for that name, and only you know which".to_owned()
            }
            Apart::OwnNamesake(one) => format!(
                "{} of its own source asked for that name too: `rollcall users link --rule made_again --source {}` first",
                self.person_key(*one),
                source(*one)
            ),
            Apart::Several([one, two]) => {
                format!(
                    "{} and {} are two people of source {}",
                    self.person_key(*one),
                    self.person_key(*two),
                    source(*one)
                )
            }
        }
    }

    pub(crate) fn left_out(&self, ((one, two), apart): &KeptApart) -> Option<LeftOut> {
        let persons = [self.source_person(*one)?, self.source_person(*two)?];
        let parted_at = match apart {
            Apart::Parted(parting) => Some(parting.at),
            Apart::Crowd(_) | Apart::Several(_) | Apart::OneOfSeveral | Apart::OwnNamesake(_) => None,
        };
        let by_hand = || format!(": `rollcall users link {} {}`", self.person_key(*one), self.person_key(*two));
        let by_hand = (*apart == Apart::OneOfSeveral).then(by_hand).unwrap_or_default();
        Some(LeftOut { persons, why: self.apart_text(apart) + &by_hand, parted_at })
    }

    /// Those of a person's namesakes who may be the same one: of another user, and nobody said that they are two.
    pub(super) fn maybe_the_same(&self, person: u32) -> impl Iterator<Item = u32> {
        let all = self.namesakes(person).take(MAX_NAMESAKES);
        all.filter(move |one| self.user_of(*one) != self.user_of(person) && self.parted(*one, person).is_none())
    }

    /// Whether another entry of a person's source asks for its name that may be the same person's.
    pub(crate) fn has_namesake(&self, person: u32) -> bool {
        self.maybe_the_same(person).next().is_some()
    }
}
