//! Which persons are to be one user by a rule, and the commands that make them so.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Id, Position,
    body::{self, Author, Link, SourcePerson},
};

use crate::{
    fold::people::LINK_STATED,
    questions::{
        apart::{Apart, LeftOut},
        made_again::NotLinked,
    },
    roster::{
        Roster,
        facts::{Holder, NONE, instant, micros},
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

/// How often a source says whom its persons are elsewhere, by what becomes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatementCounts {
    /// They are to be linked.
    pub open: usize,
    /// The same was said of somebody else before: they are linked when somebody looks at it.
    pub waiting: usize,
    /// They are one user already.
    pub linked: usize,
    /// One of them is not there, is inactive, or is of a source that is suspended.
    pub not_there: usize,
    /// Several persons are said to be one, or they would be two people of one source who are there.
    pub contradicted: usize,
    /// Somebody said that they are two, or others who would be one with them.
    pub parted: usize,
}

/// The persons that a rule takes for one, two by two, the older first.
#[derive(Debug, Clone, Default)]
pub struct Linkable {
    /// Those to be linked.
    pub pairs: Vec<[SourcePerson; 2]>,
    /// Those that would join others whom somebody parted, or two people of one source, and those of which several could be meant.
    pub left_out: Vec<LeftOut>,
    /// Who asks for the name of somebody who was not removed.
    pub still_there: Vec<SourcePerson>,
    /// Who asks for the name of somebody who was removed, and was there while that one was.
    pub at_once: Vec<SourcePerson>,
    /// Who asks for a name that somebody else has, and that nobody of the rule's source asked for.
    pub not_known: Vec<SourcePerson>,
}

/// What a rule takes for one with somebody.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// Those of whom nobody said yet that they are two.
    pub pairs: Vec<[SourcePerson; 2]>,
    /// Whether it takes anybody for one with that person, also where somebody said that they are two.
    pub is_known: bool,
}

/// What becomes of a source's word that its person is one of another source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkStatement {
    /// They are one user, or one of them is not there.
    Done,
    /// They are to be linked.
    Open,
    /// Several persons of the source are said to be that user.
    Contradicted,
    /// This other person is or was said to be that user, or is another one of it who is no contact. They are linked when somebody
    /// says so.
    Waits(u32),
    /// A rule does not link them.
    Apart(Apart),
}

impl Roster {
    pub(crate) fn stands(&self, person: u32) -> bool {
        self.facts.persons.get(person).is_some_and(|row| row.register.stands())
    }

    /// What becomes of a person's being said to be another.
    pub(crate) fn link_statement(&self, person: u32, other: u32) -> LinkStatement {
        if !self.facts.is_live(person) || !self.stands(other) || self.user_of(person) == self.user_of(other) {
            return LinkStatement::Done;
        }
        let apart = self.apart(person, other);
        if let Some(apart @ (Apart::Parted(_) | Apart::Crowd(_))) = apart {
            return LinkStatement::Apart(apart);
        }
        let names = &self.facts.persons.names;
        let same_source = |one: u32, two: u32| names.space(one) == names.space(two);
        let [mine, theirs] = [person, other].map(|one| self.persons_of(UserIx(self.user_of(one))));
        // Whose word nobody confirmed keeps nobody waiting.
        let counts = |one: u32, of: u32| same_source(one, person) || self.is_confirmed(one, of);
        let ever = theirs.iter().flat_map(|of| {
            let said = self.index.said_to_be.get(of).into_iter().flatten().copied();
            said.filter(|one| *one != person && counts(*one, *of)).map(|one| (one, *of))
        });
        // Who was said not to be that one is no rival of whoever is.
        let rival = |one: u32, of: u32| {
            same_source(one, person) && self.stands(one) && self.says(one, of) && self.parted(one, of).is_none()
        };
        if ever.clone().any(|(one, of)| rival(one, of)) {
            return LinkStatement::Contradicted;
        }
        if let Some(apart) = apart {
            return LinkStatement::Apart(apart);
        }
        // An entry that was made again is known by its name, and the one of before is there no more.
        let again = |one: u32| {
            let is =
                |of: &u32| same_source(one, *of) && self.parted(one, *of).is_none() && self.ever_asked_as(one, *of);
            !self.stands(one) && mine.iter().any(is)
        };
        if theirs.iter().any(|one| again(*one)) {
            return LinkStatement::Open;
        }
        let another = |one: &u32| self.user_of(*one) != self.user_of(person) && !again(*one);
        // Nobody said whose of two directories' people a customer is, where one of them was linked by hand.
        let was = theirs.iter().copied().filter(|one| !same_source(*one, other));
        let was = was.filter(|one| self.is_authoritative(*one) || mine.iter().any(|of| same_source(*one, *of)));
        ever.map(|(one, _)| one).chain(was).find(another).map_or(LinkStatement::Open, LinkStatement::Waits)
    }

    /// Whether a source says now that its person is this one.
    fn says(&self, person: u32, other: u32) -> bool {
        self.facts.same_as.get(&person).is_some_and(|others| others.contains(&other))
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
            let pairs = open.filter_map(|other| self.source_persons(*person, *other));
            pairs.map(|pair| self.link_command(pair, Some(LinkRule::Stated), &giver)).collect::<Vec<_>>()
        });
        (due.collect(), said.next().map(|(person, _)| *person))
    }

    /// Whether what a rule says is so still: another command may have been first.
    #[must_use]
    pub fn is_due(&self, body: &Body) -> bool {
        let Body::IdentityLinked(Link { persons, rule: Some(_), .. }) = body else { return true };
        let [Some(one), Some(two)] = persons.each_ref().map(|one| self.person_named(one)) else { return false };
        self.link_statement(one, two) == LinkStatement::Open
    }

    /// The links that a source's word made and that it does not say any more, as commands that end them. Of whoever is gone it
    /// says nothing any more, so that those stay, unless it says by now that it was another of its persons.
    #[must_use]
    pub fn links_over(&self, from: u32, rows: u32) -> (Vec<Body>, Option<u32>) {
        let mut made = self.facts.rule_links.range(from..);
        let names = &self.facts.persons.names;
        let over = made.by_ref().take(rows as usize).filter_map(|(ix, person)| {
            let pair = self.facts.links.get(*ix as usize).filter(|pair| pair.register.stands())?;
            let other = if pair.left == *person { pair.right } else { pair.left };
            let is_another =
                |one: &u32| names.space(*one) == names.space(*person) && self.stands(*one) && self.says(*one, other);
            let of_another = || self.index.said_to_be.get(&other).into_iter().flatten().any(is_another);
            // Of whoever is gone nothing is said any more, and cleaning up must not take what the user was given.
            if !self.stands(*person) || self.says(*person, other) || !(self.stands(other) || of_another()) {
                return None;
            }
            let persons = [self.source_person(*person)?, self.source_person(other)?];
            let rule = Some(LinkRule::Stated.as_str().to_owned());
            Some(Body::IdentityUnlinked(Link { persons, rule, author: None, made_with: None, given_since: None }))
        });
        (over.collect(), made.next().map(|(ix, _)| *ix))
    }

    pub(super) fn source_space(&self, name: &str) -> Option<u16> {
        self.facts.sources.find(0, name).and_then(|ix| u16::try_from(ix).ok())
    }

    /// The pairs of persons that a rule takes for one, and those of them that it does not link as that would join others who are
    /// to be kept apart. `with`: the other source, where a rule is about two; the same one where who was made again is to be
    /// found there.
    #[must_use]
    pub fn linkable(&self, rule: LinkRule, source: &str, with: &str, overlapping: bool) -> Linkable {
        let mut found = NotLinked::default();
        let pairs = self.taken_for_one(rule, source, with, overlapping, &mut found).unwrap_or_default();
        let NotLinked { mut left_out, still_there, at_once, not_known } = found;
        let pairs = self.joining_nobody_apart(pairs, &mut left_out).into_iter();
        let named = |all: Vec<u32>| all.into_iter().filter_map(|one| self.source_person(one)).collect();
        Linkable {
            pairs: pairs.filter_map(|(one, two)| self.source_persons(one, two)).collect(),
            left_out: left_out.iter().filter_map(|one| self.left_out(one)).collect(),
            still_there: named(still_there),
            at_once: named(at_once),
            not_known: named(not_known),
        }
    }

    fn taken_for_one(
        &self,
        rule: LinkRule,
        source: &str,
        with: &str,
        overlapping: bool,
        found: &mut NotLinked,
    ) -> Option<Vec<(u32, u32)>> {
        let space_of_one = self.source_space(source)?;
        let names = &self.facts.persons.names;
        let mut unless = |apart: Option<Apart>, one: u32, two: u32| {
            found.left_out.extend(apart.map(|apart| ((one, two), apart)));
            apart.is_none()
        };
        let pairs = match rule {
            LinkRule::MadeAgain => {
                let place = self.source_space(with)?;
                return Some(self.made_again(space_of_one, place, overlapping, found));
            }
            LinkRule::SameId => {
                let other = self.source_space(with).filter(|other| *other != space_of_one)?;
                let mine = (0..self.facts.persons.len()).filter(|person| names.space(*person) == space_of_one);
                let both =
                    mine.filter_map(|person| Some((person, self.facts.persons.find(other, names.text(person))?)));
                both.filter(|(one, two)| {
                    let are_there = self.stands(*one) && self.stands(*two);
                    are_there && self.user_of(*one) != self.user_of(*two) && unless(self.apart(*one, *two), *one, *two)
                })
                .collect()
            }
            LinkRule::Stated => {
                let said = self.facts.same_as.iter().filter(|(person, _)| names.space(**person) == space_of_one);
                let said = said.flat_map(|(person, others)| others.iter().map(|other| (*person, *other)));
                said.filter(|(person, other)| match self.link_statement(*person, *other) {
                    LinkStatement::Open | LinkStatement::Waits(_) => true,
                    LinkStatement::Apart(apart) => unless(Some(apart), *person, *other),
                    LinkStatement::Done | LinkStatement::Contradicted => false,
                })
                .collect()
            }
        };
        Some(pairs)
    }

    /// What a rule takes for one with a person's user, whatever becomes of it now: also what is contradicted, of people who are
    /// inactive, or of several who could be the same one. And whether somebody said of all of it already that they are two.
    #[must_use]
    pub fn taken_for(&self, rule: LinkRule, source: &str, with: &str, person: &SourcePerson) -> Taken {
        let spaces = self.source_space(source).zip(Some(self.source_space(with)));
        let (Some((one_space, other_space)), Some(person)) = (spaces, self.person_named(person)) else {
            return Taken::default();
        };
        let names = &self.facts.persons.names;
        let mut pairs = BTreeSet::new();
        for mine in self.persons_of(UserIx(self.user_of(person))).iter().copied() {
            let space = names.space(mine);
            match rule {
                LinkRule::Stated => {
                    let said = self.facts.same_as.get(&mine).filter(|_| space == one_space);
                    pairs.extend(said.into_iter().flatten().map(|other| (mine, *other)));
                    let said = self.index.said_to_be.get(&mine).into_iter().flatten().copied();
                    let said = said.filter(|one| names.space(*one) == one_space && self.says(*one, mine));
                    pairs.extend(said.map(|one| (one, mine)));
                }
                LinkRule::SameId => {
                    let there = |space: Option<u16>| self.facts.persons.find(space?, names.text(mine));
                    if space == one_space {
                        pairs.extend(there(other_space).map(|other| (mine, other)));
                    } else if Some(space) == other_space {
                        pairs.extend(there(Some(one_space)).map(|one| (one, mine)));
                    }
                }
                LinkRule::MadeAgain => {
                    let place = other_space.unwrap_or(one_space);
                    if space == place && self.stands(mine) {
                        let gone = self.who_ask_as(mine, one_space).filter(|one| !self.stands(*one));
                        pairs.extend(gone.map(|one| (one, mine)));
                    }
                    if space == one_space && !self.stands(mine) {
                        let came = self.who_ask_as(mine, place).filter(|one| self.stands(*one));
                        pairs.extend(came.map(|one| (mine, one)));
                    }
                }
            }
        }
        let stated = |one: u32| self.user_of(one) != NONE;
        pairs.retain(|(one, two)| stated(*one) && stated(*two) && self.user_of(*one) != self.user_of(*two));
        let is_known = !pairs.is_empty();
        pairs.retain(|(one, two)| self.parted(*one, *two).is_none());
        let pairs = pairs.into_iter().filter_map(|(one, two)| self.source_persons(one, two));
        Taken { pairs: pairs.collect(), is_known }
    }

    fn source_persons(&self, one: u32, two: u32) -> Option<[SourcePerson; 2]> {
        Some([self.source_person(one)?, self.source_person(two)?])
    }

    /// What a source says of who its persons are elsewhere, by what becomes of it: how often each.
    #[must_use]
    pub fn statements_of(&self, source: &str) -> StatementCounts {
        let space = self.source_space(source);
        let names = &self.facts.persons.names;
        let said = self.facts.same_as.iter().filter(|(person, _)| Some(names.space(**person)) == space);
        let mut counts = StatementCounts::default();
        for (person, other) in said.flat_map(|(person, others)| others.iter().map(|other| (*person, *other))) {
            let count = match self.link_statement(person, other) {
                LinkStatement::Done if self.user_of(person) == self.user_of(other) => &mut counts.linked,
                LinkStatement::Done => &mut counts.not_there,
                LinkStatement::Open => &mut counts.open,
                LinkStatement::Waits(_) => &mut counts.waiting,
                LinkStatement::Contradicted | LinkStatement::Apart(Apart::Several(_)) => &mut counts.contradicted,
                LinkStatement::Apart(
                    Apart::Parted(_) | Apart::Crowd(_) | Apart::OneOfSeveral | Apart::OwnNamesake(_),
                ) => &mut counts.parted,
            };
            *count += 1;
        }
        counts
    }

    /// The person that events name so, who was there at some time.
    pub(crate) fn person_named(&self, one: &SourcePerson) -> Option<u32> {
        self.person_of(&format!("{}/{}", one.source, one.person))
    }

    /// A person as events name it.
    pub(crate) fn source_person(&self, person: u32) -> Option<SourcePerson> {
        let names = &self.facts.persons.names;
        Some(SourcePerson {
            source: self.source_text(names.space(person)).parse().ok()?,
            person: names.text(person).parse().ok()?,
        })
    }

    /// The command that makes two persons one user.
    #[must_use]
    pub fn link_command(&self, persons: [SourcePerson; 2], rule: Option<LinkRule>, giver: &LinkGiver) -> Body {
        let LinkGiver { author, made_with } = giver.clone();
        let rule = rule.map(|rule| rule.as_str().to_owned());
        Body::IdentityLinked(Link { persons, rule, author, made_with, given_since: None })
    }

    /// What two persons were given by hand since they were linked that would not stay with one of them when they part, as
    /// commands that give it to that one. Of what it has already it has the wider window, where the two meet, and the other one
    /// nothing. What cannot be given any more stays where it is.
    #[must_use]
    pub fn moved_when_parted(
        &self,
        persons: &[SourcePerson; 2],
        to: &SourcePerson,
        giver: &LinkGiver,
        now: DateTime<Utc>,
    ) -> Vec<Body> {
        let Some((since, sides)) = self.parting(persons) else { return Vec::new() };
        let Some(to) = self.person_named(to) else { return Vec::new() };
        let others = sides.iter().filter(|side| !side.contains(&to)).flatten();
        // By what it is: whether there is something to give, and what is taken for it, of several persons.
        let mut moves = BTreeMap::<String, (Body, bool, Vec<Body>)>::new();
        for from in others {
            let (roles, places) = self.given_since(*from, since, now);
            for (set, removed) in roles.into_iter().filter_map(|ix| self.moved_role(ix, to, giver, now)) {
                let subject = Body::BindingSet(set.clone()).subject();
                let had = self.binding_of(&subject).map(|has| body::Binding {
                    starts: has.starts,
                    ends: has.ends,
                    ..set.clone()
                });
                let had = had.filter(|had| had.ends.is_none_or(|ends| now < ends));
                let (all, is_more, taken) = moves.entry(subject).or_insert_with(|| {
                    let is_more = had.is_none();
                    (Body::BindingSet(had.unwrap_or_else(|| set.clone())), is_more, Vec::new())
                });
                if let Body::BindingSet(all) = all {
                    *is_more |= widen(all, &set);
                }
                taken.push(removed);
            }
            for (set, removed) in places.into_iter().filter_map(|ix| self.moved_place(ix, to, giver)) {
                moves.entry(set.subject()).or_insert_with(|| (set, true, Vec::new())).2.push(removed);
            }
        }
        let (mut given, mut taken) = (Vec::new(), Vec::new());
        for (set, is_more, removed) in moves.into_values() {
            if is_more && self.check_command(&set, now).is_err() {
                continue;
            }
            given.extend(is_more.then_some(set));
            taken.extend(removed);
        }
        given.into_iter().chain(taken).collect()
    }

    /// Whether two persons who are linked would be two users without that link.
    #[must_use]
    pub fn would_part(&self, persons: &[SourcePerson; 2]) -> bool {
        self.parting(persons).is_some()
    }

    /// What ending a link would part: where the two were linked, and the persons of each side; nothing where they stay one by
    /// other links.
    pub(crate) fn parting(&self, persons: &[SourcePerson; 2]) -> Option<(Position, [Vec<u32>; 2])> {
        let [a, b] = persons.each_ref().map(|one| self.person_named(one));
        let (a, b) = (a?, b?);
        let ix = *self.index.link.get(&(a.min(b), a.max(b)))?;
        let pair = self.facts.links.get(ix as usize).filter(|pair| pair.register.stands())?;
        let sides = [a, b].map(|person| self.reached_from(person, Some(ix)));
        (!sides[0].contains(&b)).then_some((pair.register.cause, sides))
    }

    /// The roles in force that a person was given by hand since then, and its places in groups that are kept here.
    pub(crate) fn given_since(&self, person: u32, since: Position, now: DateTime<Utc>) -> (Vec<u32>, Vec<u32>) {
        let roles = self.index.holder_bindings.get(&Holder::Person(person)).into_iter().flatten().copied();
        let is_newer = |ix: &u32| {
            let row = self.facts.bindings.get(*ix).and_then(Option::as_ref);
            row.is_some_and(|row| row.register.stands() && now.timestamp_micros() < row.ends && row.since > since)
        };
        let places = self.index.member_of.get(&Holder::Person(person)).into_iter().flatten().copied();
        let is_newer_place = |ix: &u32| {
            let row = self.facts.members.get(*ix as usize);
            row.is_some_and(|row| row.register.stands() && row.register.cause > since && self.is_kept_here(row.group))
        };
        (roles.filter(is_newer).collect(), places.filter(is_newer_place).collect())
    }

    fn moved_role(&self, ix: u32, to: u32, giver: &LinkGiver, now: DateTime<Utc>) -> Option<(body::Binding, Body)> {
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
        let kept_here = self.is_kept_here(row.group);
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

    /// The event by which somebody said of exactly these two that they are two people.
    #[must_use]
    pub fn parted_at(&self, persons: &[SourcePerson; 2]) -> Option<Position> {
        let [a, b] = persons.each_ref().map(|one| self.person_named(one));
        self.parted(a?, b?).map(|parting| parting.at)
    }

    /// The link between two persons that stands.
    #[must_use]
    pub fn is_linked(&self, persons: &[SourcePerson; 2]) -> bool {
        let [a, b] = persons.each_ref().map(|one| self.person_named(one));
        let (Some(a), Some(b)) = (a, b) else { return false };
        let pair = self.index.link.get(&(a.min(b), a.max(b)));
        pair.and_then(|ix| self.facts.links.get(*ix as usize)).is_some_and(|pair| pair.register.stands())
    }
}

/// Widens the window of a role by that of another, where the two meet: a role has one. Whether that is more.
fn widen(role: &mut body::Binding, by: &body::Binding) -> bool {
    let window = |one: &body::Binding| (micros(one.starts, i64::MIN), micros(one.ends, i64::MAX));
    let ((starts, ends), (from, until)) = (window(role), window(by));
    if until < starts || ends < from || (starts <= from && until <= ends) {
        return false;
    }
    (role.starts, role.ends) = (instant(starts.min(from)), instant(ends.max(until)));
    true
}
