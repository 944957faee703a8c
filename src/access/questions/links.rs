//! Which persons are to be one user by a rule, and the commands that make them so.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Id, LOCAL,
    body::{self, Author, Link, SourcePerson, UserName},
};

use crate::{
    fold::people::LINK_STATED,
    questions::names::NameClaim,
    roster::{
        Roster,
        facts::{Holder, NONE, instant},
        handles::UserIx,
    },
};

/// By what two persons are taken for one. Somebody confirms what comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRule {
    /// A person of a source that was removed, and one that came since, there or in another source, and asks for its user
    /// name: an entry made again, as when a directory is restored or migrated.
    MadeAgain,
    /// Persons of two sources with one immutable id: one directory that two sources read.
    SameId,
    /// A source says of its person whom it is in another source, as a directory that keeps the other system's id. Once that
    /// was confirmed for the two sources, it is done without being asked again.
    Stated,
}

impl LinkRule {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MadeAgain => "made_again",
            Self::SameId => "same_id",
            Self::Stated => LINK_STATED,
        }
    }

    /// The rule that a word means.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::MadeAgain, Self::SameId, Self::Stated].into_iter().find(|rule| rule.as_str() == word)
    }
}

/// Who links, and with what.
#[derive(Debug, Clone, Default)]
pub struct LinkGiver {
    /// Who.
    pub author: Option<Author>,
    /// The secret that the author signed in with.
    pub made_with: Option<Id>,
}

/// What becomes of a source's word that its person is one of another source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkStatement {
    /// They are one user, or one of them is not there.
    Done,
    /// They are to be linked.
    Open,
    /// Several persons of the source are said to be the one.
    Contradicted,
    /// Somebody parted them by hand.
    Parted,
}

impl Roster {
    /// What becomes of a person's being said to be another.
    pub(crate) fn link_statement(&self, person: u32, other: u32) -> LinkStatement {
        let there = |person: u32| self.facts.persons.get(person).is_some_and(|row| row.register.stands());
        if !self.facts.is_live(person) || !there(other) || self.user_of(person) == self.user_of(other) {
            return LinkStatement::Done;
        }
        let space = |person: u32| self.facts.persons.names.space(person);
        let said = self.index.said_to_be.get(&other).into_iter().flatten();
        if said.filter(|one| space(**one) == space(person) && there(**one)).nth(1).is_some() {
            return LinkStatement::Contradicted;
        }
        let pair = self.index.link.get(&(person.min(other), person.max(other)));
        match pair {
            Some(ix) if !self.facts.rule_links.contains_key(ix) => LinkStatement::Parted,
            _ => LinkStatement::Open,
        }
    }

    /// Whether it was confirmed that a person's source says whom it is in another's.
    pub(crate) fn is_confirmed(&self, person: u32, other: u32) -> bool {
        let names = &self.facts.persons.names;
        self.facts.confirmed_links.contains(&(names.space(person), names.space(other)))
    }

    /// The links that follow from what sources say and was confirmed, as commands: those to be made, of so many persons from
    /// one on, and from where to go on.
    #[must_use]
    pub fn due_links(&self, from: u32, rows: u32) -> (Vec<Body>, Option<u32>) {
        let giver = LinkGiver::default();
        let mut said = self.facts.same_as.range(from..);
        let due = said.by_ref().take(rows as usize).flat_map(|(person, others)| {
            let open = others.iter().filter(|other| {
                self.is_confirmed(*person, **other) && self.link_statement(*person, **other) == LinkStatement::Open
            });
            let pairs = open.filter_map(|other| Some([self.source_person(*person)?, self.source_person(*other)?]));
            pairs.flat_map(|pair| self.link_commands(pair, Some(LinkRule::Stated), &giver)).collect::<Vec<_>>()
        });
        (due.collect(), said.next().map(|(person, _)| *person))
    }

    /// The links that a source's word made and that it does not say any more, as commands that end them.
    #[must_use]
    pub fn links_over(&self, from: u32, rows: u32) -> (Vec<Body>, Option<u32>) {
        let mut made = self.facts.rule_links.range(from..);
        let over = made.by_ref().take(rows as usize).filter_map(|(ix, person)| {
            let pair = self.facts.links.get(*ix as usize).filter(|pair| pair.register.stands())?;
            let other = if pair.left == *person { pair.right } else { pair.left };
            let there = self.facts.persons.get(*person).is_some_and(|row| row.register.stands());
            let said = self.facts.same_as.get(person).is_some_and(|others| others.contains(&other));
            if !there || said {
                return None;
            }
            let persons = [self.source_person(*person)?, self.source_person(other)?];
            let rule = Some(LinkRule::Stated.as_str().to_owned());
            Some(Body::IdentityUnlinked(Link { persons, rule, author: None, made_with: None }))
        });
        (over.collect(), made.next().map(|(ix, _)| *ix))
    }

    /// The pairs of persons that a rule takes for one, the older first. `with`: the other source, where a rule is about two;
    /// the same one where who was made again is to be found there.
    #[must_use]
    pub fn linkable(&self, rule: LinkRule, source: &str, with: &str) -> Vec<[SourcePerson; 2]> {
        let space = |name: &str| self.facts.sources.find(0, name).and_then(|ix| u16::try_from(ix).ok());
        let Some(space_of_one) = space(source) else { return Vec::new() };
        let names = &self.facts.persons.names;
        let pairs: Vec<(u32, u32)> = match rule {
            LinkRule::MadeAgain => {
                let Some(place) = space(with) else { return Vec::new() };
                let waiting = self.facts.names_not_in_effect.keys().copied();
                let again = waiting.filter_map(|person| {
                    let (NameClaim::MadeAgain, name) = self.name_claim(person)? else { return None };
                    Some((*self.facts.user_names.get(name)?, person))
                });
                let again: Vec<(u32, u32)> = again.filter(|(holder, _)| names.space(*holder) == space_of_one).collect();
                let mut asked: HashMap<u32, usize> = HashMap::new();
                again.iter().for_each(|(holder, _)| *asked.entry(*holder).or_default() += 1);
                // Of two who could be the same one neither is.
                let alone = |holder: &u32| asked.get(holder) == Some(&1);
                again.into_iter().filter(|(holder, person)| alone(holder) && names.space(*person) == place).collect()
            }
            LinkRule::SameId => {
                let Some(other) = space(with).filter(|other| *other != space_of_one) else { return Vec::new() };
                let mine = (0..self.facts.persons.len()).filter(|person| names.space(*person) == space_of_one);
                let both =
                    mine.filter_map(|person| Some((person, self.facts.persons.find(other, names.text(person))?)));
                let stands = |person: u32| self.facts.persons.get(person).is_some_and(|row| row.register.stands());
                both.filter(|(one, two)| stands(*one) && stands(*two) && self.user_of(*one) != self.user_of(*two))
                    .collect()
            }
            LinkRule::Stated => {
                let said = self.facts.same_as.iter().filter(|(person, _)| names.space(**person) == space_of_one);
                said.flat_map(|(person, others)| others.iter().map(|other| (*person, *other)))
                    .filter(|(person, other)| self.link_statement(*person, *other) == LinkStatement::Open)
                    .collect()
            }
        };
        pairs.into_iter().filter_map(|(one, two)| Some([self.source_person(one)?, self.source_person(two)?])).collect()
    }

    /// A person as events name it.
    pub(crate) fn source_person(&self, person: u32) -> Option<SourcePerson> {
        let names = &self.facts.persons.names;
        Some(SourcePerson {
            source: self.source_text(names.space(person)).parse().ok()?,
            person: names.text(person).parse().ok()?,
        })
    }

    /// The commands that make two persons one user: the link and, where the older user cannot sign in any more, the name that
    /// the younger one's source asks for.
    #[must_use]
    pub fn link_commands(&self, persons: [SourcePerson; 2], rule: Option<LinkRule>, giver: &LinkGiver) -> Vec<Body> {
        let LinkGiver { author, made_with } = giver.clone();
        let users = persons.clone().map(|one| self.user_by_id(&format!("{}/{}", one.source, one.person)));
        let link = Body::IdentityLinked(Link {
            persons,
            rule: rule.map(|rule| rule.as_str().to_owned()),
            author: author.clone(),
            made_with: made_with.clone(),
        });
        let name = match users {
            [Some(one), Some(two)] => self.name_when_linked(one, two),
            _ => None,
        };
        let given = name.and_then(|(user, username)| {
            let rule = Some("linked".to_owned());
            Some(Body::UserNameGiven(UserName { username, user: user.parse().ok()?, rule, author, made_with }))
        });
        std::iter::once(link).chain(given).collect()
    }

    /// What was given by hand to persons of two users who were removed, as commands that give it to whom they are once they
    /// are linked: such a thing rests on the person that it names. That is of whoever is linked, or is made again at the same
    /// source; what somebody had who left, and is beside them by an older link, does not come back. What that person has
    /// already, and what cannot be given any more, stays where it is.
    #[must_use]
    pub fn moved_when_linked(&self, persons: &[SourcePerson; 2], giver: &LinkGiver, now: DateTime<Utc>) -> Vec<Body> {
        let users = persons.each_ref().map(|one| self.user_by_id(&format!("{}/{}", one.source, one.person)));
        let [Some(one), Some(two)] = users else { return Vec::new() };
        let mut all = [self.persons_of(one), self.persons_of(two)].concat();
        all.sort_by_key(|ix| self.facts.persons.get(*ix).map(|row| row.first));
        let Some(to) = all.iter().copied().find(|person| self.facts.is_live(*person)) else { return Vec::new() };
        let pair = persons.each_ref().map(|one| self.person_of(&format!("{}/{}", one.source, one.person)));
        let space = |person: u32| self.facts.persons.names.space(person);
        let made_again = |from: u32| {
            let other = if self.user_of(from) == one.0 { two } else { one };
            self.persons_of(other).iter().any(|person| self.facts.is_live(*person) && space(*person) == space(from))
        };
        let gone = |from: &u32| {
            self.facts.persons.get(*from).is_none_or(|row| !row.register.stands())
                && (pair.contains(&Some(*from)) || made_again(*from))
        };
        let (mut given, mut taken, mut subjects) = (Vec::new(), Vec::new(), BTreeSet::new());
        for from in all.into_iter().filter(gone) {
            let roles = self.index.holder_bindings.get(&Holder::Person(from)).into_iter().flatten();
            let places = self.index.member_of.get(&Holder::Person(from)).into_iter().flatten();
            let moves = roles.filter_map(|ix| self.moved_role(*ix, to, giver, now));
            for (set, removed) in moves.chain(places.filter_map(|ix| self.moved_place(*ix, to, giver))) {
                if self.check_command(&set, now).is_ok() && subjects.insert(set.subject()) {
                    given.push(set);
                    taken.push(removed);
                }
            }
        }
        given.into_iter().chain(taken).collect()
    }

    fn moved_role(&self, ix: u32, to: u32, giver: &LinkGiver, now: DateTime<Utc>) -> Option<(Body, Body)> {
        let row = self.facts.bindings.get(ix)?.as_ref()?;
        let in_force = row.register.stands() && now.timestamp_micros() < row.ends;
        let author = giver.author.clone().unwrap_or_else(Author::operator);
        let set = body::Binding {
            principal: self.event_holder(Holder::Person(to)).filter(|_| in_force)?,
            role: row.role.clone(),
            scope: self.event_scope(row.on)?,
            author: author.clone(),
            starts: instant(row.starts),
            ends: instant(row.ends),
            made_with: giver.made_with.clone(),
        };
        let set = Body::BindingSet(set);
        let over = |ends: Option<DateTime<Utc>>| ends.is_some_and(|ends| ends <= now);
        if self.binding_of(&set.subject()).is_some_and(|has| !over(has.ends)) {
            return None;
        }
        let removed = body::BindingRef {
            principal: self.event_holder(row.holder)?,
            role: row.role.clone(),
            scope: self.event_scope(row.on)?,
            author,
            made_with: giver.made_with.clone(),
        };
        Some((set, Body::BindingRemoved(removed)))
    }

    fn moved_place(&self, ix: u32, to: u32, giver: &LinkGiver) -> Option<(Body, Body)> {
        let row = self.facts.members.get(ix as usize).filter(|row| row.register.stands())?;
        let groups = &self.facts.groups.names;
        let kept_here = self.source_text(groups.space(row.group)) == LOCAL;
        let place = |holder: Holder| {
            let body::Principal::User(person) = self.event_holder(holder)? else { return None };
            Some(body::GroupMember {
                group: groups.text(row.group).parse().ok()?,
                member: body::Member::Person(person),
                author: Some(giver.author.clone().unwrap_or_else(Author::operator)),
                made_with: giver.made_with.clone(),
            })
        };
        let (added, removed) = (place(Holder::Person(to)).filter(|_| kept_here)?, place(row.holder)?);
        Some((Body::GroupMemberAdded(added), Body::GroupMemberRemoved(removed)))
    }

    /// The user that two would be, and the name that it has to be given.
    fn name_when_linked(&self, one: UserIx, two: UserIx) -> Option<(String, String)> {
        let first = |user: UserIx| self.facts.persons.get(user.0).map(|row| row.first);
        let (older, younger) = if first(one) <= first(two) { (one, two) } else { (two, one) };
        if older == younger || !self.shut_out(older) || self.shut_out(younger) {
            return None;
        }
        let name = self.wanted_name(younger.0)?;
        let holder = self.facts.user_names.find(0, name).and_then(|ix| self.facts.user_names.get(ix)).copied();
        let theirs = holder.is_none_or(|of| of == NONE || [older.0, younger.0].contains(&self.user_of(of)));
        (theirs && self.user_name(older) != name).then(|| (self.user_id(older), name.to_owned()))
    }

    /// The link between two persons that stands.
    #[must_use]
    pub fn is_linked(&self, persons: &[SourcePerson; 2]) -> bool {
        let [a, b] = persons.clone().map(|one| self.person_of(&format!("{}/{}", one.source, one.person)));
        let (Some(a), Some(b)) = (a, b) else { return false };
        let pair = self.index.link.get(&(a.min(b), a.max(b)));
        pair.and_then(|ix| self.facts.links.get(*ix as usize)).is_some_and(|pair| pair.register.stands())
    }
}
