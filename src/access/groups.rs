//! Groups: who is in which, to any depth. Found from the member upwards, so that a question costs what the asker is in;
//! cycles and diamonds are walked once.

use chrono::{DateTime, Utc};
use hashbrown::HashSet;
use rollcall_events::{
    Position,
    body::{self, Member as MemberOf, member_subject},
};

use crate::{
    Effect, Principal,
    decide::LiveRole,
    facts::{Binding, Holder, Member, NONE, Person},
    fold::At,
    place::{GroupIx, Place, ProfileKind, ServiceIx},
    register::{Rank, Register},
    roster::{Roster, UserIx},
};

/// A group as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView<'a> {
    /// `source/group`; `local/group` for one that is kept here.
    pub id: String,
    /// The source that says who is in it.
    pub source: &'a str,
    /// A label.
    pub name: Option<&'a str>,
    /// The newest event about it.
    pub changed: Position,
}

impl Roster {
    /// The group with an id, `source/group`; one that was removed is not found.
    #[must_use]
    pub fn group_by_id(&self, id: &str) -> Option<GroupIx> {
        let ix = self.group_row_of(id)?;
        self.facts.groups.get(ix).filter(|row| row.register.stands()).map(|_| GroupIx(ix))
    }

    /// The row of a group that was ever named.
    pub(crate) fn group_row_of(&self, id: &str) -> Option<u32> {
        let (source, id) = id.split_once('/')?;
        let space = u16::try_from(self.facts.sources.find(0, source)?).ok()?;
        self.facts.groups.find(space, id)
    }

    /// Every group that was not removed.
    pub fn groups(&self) -> impl Iterator<Item = GroupIx> {
        (0_u32..).zip(&self.facts.groups.rows).filter(|(_, row)| row.register.stands()).map(|(ix, _)| GroupIx(ix))
    }

    /// A group's name and state.
    #[must_use]
    pub fn group(&self, GroupIx(ix): GroupIx) -> GroupView<'_> {
        let row = self.facts.groups.get(ix);
        GroupView {
            id: self.group_key(ix),
            source: self.source_text(self.facts.groups.names.space(ix)),
            name: row.and_then(|row| row.name.as_deref()),
            changed: row.map(|row| row.register.cause).unwrap_or_default(),
        }
    }

    pub(crate) fn group_key(&self, ix: u32) -> String {
        let names = &self.facts.groups.names;
        format!("{}/{}", self.source_text(names.space(ix)), names.text(ix))
    }

    /// The newest event about a group or about who is in it itself.
    #[must_use]
    pub fn group_changed(&self, GroupIx(ix): GroupIx) -> Position {
        let own = self.facts.groups.get(ix).map(|row| row.register.cause);
        let members = self.index.group_members.get(&ix).into_iter().flatten();
        let entered = members.filter_map(|ix| self.facts.members.get(*ix as usize)).map(|row| row.register.cause);
        own.into_iter().chain(entered).max().unwrap_or_default()
    }

    /// Who is in a group itself, as the words of a binding: users and groups by id.
    pub fn group_members(&self, GroupIx(ix): GroupIx) -> impl Iterator<Item = body::Principal> + '_ {
        self.index.group_members.get(&ix).into_iter().flatten().filter_map(|member| {
            let row = self.facts.members.get(*member as usize).filter(|row| row.register.stands())?;
            self.holder_word(row.holder)
        })
    }

    /// Every user and service that is in a group, to any depth.
    #[must_use]
    pub fn everybody_in(&self, GroupIx(ix): GroupIx) -> Vec<Principal> {
        let mut found = self.inside(ix, |_| false);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// A holder in the words of a binding.
    pub(crate) fn holder_word(&self, holder: Holder) -> Option<body::Principal> {
        Some(match holder {
            Holder::Person(ix) => body::Principal::User(self.person_key(ix).parse().ok()?),
            Holder::Service(ix) => body::Principal::Service(self.facts.services.id(ix).parse().ok()?),
            Holder::Group(ix) => body::Principal::Group(self.group_key(ix).parse().ok()?),
        })
    }

    /// A source's group, or one that is kept locally.
    pub(crate) fn set_group(&mut self, at: &mut At<'_>, id: &str, name: Option<&str>, rank: Rank) -> Effect {
        let ix = self.facts.groups.at(at.space, id);
        let Some(row) = self.facts.groups.get_mut(ix) else { return Effect::NoChange };
        let effect = at.settle(&mut row.register, rank, "group");
        if effect == Effect::Applied && rank == Rank::Full {
            row.name = name.map(str::to_owned);
        }
        effect
    }

    /// Somebody enters or leaves a group.
    pub(crate) fn set_member(&mut self, at: &mut At<'_>, data: &body::GroupMember, rank: Rank) -> Effect {
        let group = self.facts.groups.at(at.space, data.group.as_str());
        let holder = match &data.member {
            // What is kept here names people and groups of any source; what a source says is about its own.
            member if at.is_local() => match self.local_member(member) {
                Ok(holder) => holder,
                Err(why) => return Effect::Refused(why),
            },
            MemberOf::Person(id) => Holder::Person(self.facts.persons.at(at.space, id.as_str())),
            MemberOf::Service(id) => Holder::Service(self.facts.services.at(at.space, id.as_str())),
            MemberOf::Group(id) => Holder::Group(self.facts.groups.at(at.space, id.as_str())),
        };
        let known = self.index.member.get(&(group, holder)).copied();
        let is_in = known.and_then(|ix| self.facts.members.get(ix as usize)).is_some_and(|row| row.register.stands());
        // Who says again what is so changes nothing, whoever it is.
        if at.is_local() && is_in == (rank != Rank::Removed) {
            return Effect::NoChange;
        }
        let ix = match known {
            Some(ix) => ix,
            None => {
                let ix = u32::try_from(self.facts.members.len()).unwrap_or(NONE);
                self.facts.members.push(Member { group, holder, register: Register::default() });
                self.index.join(ix, group, holder);
                if let Holder::Person(person) = holder {
                    self.plain.person(&self.facts, &self.index, person);
                }
                ix
            }
        };
        let Some(row) = self.facts.members.get_mut(ix as usize) else { return Effect::NoChange };
        at.settle(&mut row.register, rank, "member")
    }

    pub(crate) fn local_member(&self, member: &MemberOf) -> Result<Holder, String> {
        match member {
            MemberOf::Person(id) => {
                self.person_of(id.as_str()).map(Holder::Person).ok_or(format!("there is no user `{id}`"))
            }
            MemberOf::Service(id) => self
                .service_by_id(id.as_str())
                .map(|ServiceIx(ix)| Holder::Service(ix))
                .ok_or(format!("there is no service `{id}`")),
            MemberOf::Group(id) => self
                .group_by_id(id.as_str())
                .map(|GroupIx(ix)| Holder::Group(ix))
                .ok_or(format!("there is no group `{id}`")),
        }
    }

    /// Calls `with` for everything as which a caller holds roles: its live persons, or the service, and every standing
    /// group that any of them is in.
    pub(crate) fn each_holder(&self, principal: Principal, mut with: impl FnMut(Holder)) {
        let mut groups = Distinct::default();
        let enter = |groups: &mut Distinct, holder: Holder| {
            for ix in self.index.member_of.get(&holder).into_iter().flatten() {
                let Some(row) = self.facts.members.get(*ix as usize).filter(|row| row.register.stands()) else {
                    continue;
                };
                if self.facts.groups.get(row.group).is_some_and(|group| group.register.stands()) {
                    groups.add(row.group);
                }
            }
        };
        let grouped = !self.index.member_of.is_empty();
        let mut begin = |holder: Holder| {
            with(holder);
            if grouped {
                enter(&mut groups, holder);
            }
        };
        match principal {
            Principal::Anyone => {}
            // A role rests on the person that it names, as every reason rests on what it names.
            Principal::User(user) => self
                .persons_of(user)
                .iter()
                .filter(|person| self.facts.persons.get(**person).is_some_and(Person::is_live))
                .for_each(|person| begin(Holder::Person(*person))),
            Principal::Service(ServiceIx(ix)) => begin(Holder::Service(ix)),
        }
        let mut next = 0;
        while let Some(group) = groups.list.get(next).copied() {
            next += 1;
            with(Holder::Group(group));
            enter(&mut groups, Holder::Group(group));
        }
    }

    /// Rules 4 and 5: roles given by hand, to the caller or a group, on the place or above it. Costs what the caller is
    /// in times the depth of the tree, however many roles a group holds elsewhere.
    pub(crate) fn bound(&self, rights: ProfileKind, principal: Principal, place: Place, now: i64) -> Vec<LiveRole> {
        let mut found = Vec::new();
        if self.index.given.is_empty() {
            return found;
        }
        let path = self.path(place);
        self.each_holder(principal, |holder| {
            // Few hold anything themselves, and a table of few is near.
            if !self.index.holder_bindings.contains_key(&holder) {
                return;
            }
            for ix in path.clone().filter_map(|on| self.index.given.get(&(holder, on))).flatten() {
                let Some(row) = self.facts.bindings.get(*ix).and_then(Option::as_ref) else { continue };
                let Some((by, held)) = self.roles.get(*ix as usize).copied().flatten() else { continue };
                if by == rights && row.runs(now) {
                    found.push(LiveRole { held, until: row.ends });
                }
            }
        });
        found
    }

    /// A membership in the words of its events: whose it is, and its subject.
    pub(crate) fn membership_word(&self, row: &Member) -> (u16, String) {
        let (groups, persons) = (&self.facts.groups.names, &self.facts.persons.names);
        let space = groups.space(row.group);
        let (kind, id) = match row.holder {
            Holder::Person(ix) => ("person", self.source_own_id(space, persons.space(ix), persons.text(ix))),
            Holder::Service(ix) => ("service", self.facts.services.id(ix).to_owned()),
            Holder::Group(ix) => ("group", self.source_own_id(space, groups.space(ix), groups.text(ix))),
        };
        (space, member_subject(groups.text(row.group), kind, &id))
    }

    /// Something that holds roles is gone: what it held and where it was a member ends, so that it begins empty when it
    /// is made again. What a source says of its own groups stays.
    pub(crate) fn end_holder(&mut self, at: &mut At<'_>, holder: Holder) {
        self.end_bindings(at, self.index.holder_bindings.get(&holder).cloned().unwrap_or_default());
        let mut members = self.index.member_of.get(&holder).cloned().unwrap_or_default();
        if let Holder::Group(group) = holder {
            members.extend(self.index.group_members.get(&group).into_iter().flatten());
        }
        for ix in members {
            let Some(row) = self.facts.members.get(ix as usize) else { continue };
            let (space, subject) = self.membership_word(row);
            if space == at.space
                && let Some(row) = self.facts.members.get_mut(ix as usize)
            {
                at.end_implied(&mut row.register, &subject);
            }
        }
    }

    /// Ends these bindings with what they were held by or given on.
    pub(crate) fn end_bindings(&mut self, at: &mut At<'_>, bindings: Vec<u32>) {
        for ix in bindings {
            let subject = self.facts.bindings.id(ix).to_owned();
            if let Some(row) = self.facts.bindings.get_mut(ix).and_then(Option::as_mut) {
                at.end_implied(&mut row.register, &subject);
            }
        }
    }

    /// A holder and every group above it, by memberships that stand, whether the groups themselves stand or not.
    fn above(&self, first: impl IntoIterator<Item = Holder>) -> Vec<Holder> {
        let mut all: Vec<Holder> = first.into_iter().collect();
        let mut seen: HashSet<Holder> = all.iter().copied().collect();
        let mut next = 0;
        while let Some(holder) = all.get(next).copied() {
            next += 1;
            for ix in self.index.member_of.get(&holder).into_iter().flatten() {
                let row = self.facts.members.get(*ix as usize).filter(|row| row.register.stands());
                all.extend(row.map(|row| Holder::Group(row.group)).filter(|group| seen.insert(*group)));
            }
        }
        all
    }

    /// What these and the groups above them were given by hand, of either profile, and runs now or will.
    pub(crate) fn given_above(
        &self,
        first: impl IntoIterator<Item = Holder>,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = &Binding> {
        let now = now.timestamp_micros();
        self.above(first)
            .into_iter()
            .filter_map(|holder| self.index.holder_bindings.get(&holder))
            .flatten()
            .filter_map(|ix| self.facts.bindings.get(*ix).and_then(Option::as_ref))
            .filter(move |row| row.register.stands() && now < row.ends)
    }

    /// Whether somebody holds, or will, a role that was given by hand: to any person of the user, also one who is away.
    pub(crate) fn was_given(&self, principal: Principal, now: DateTime<Utc>) -> bool {
        let own: Vec<Holder> = match principal {
            Principal::Anyone => Vec::new(),
            Principal::User(user) => self.persons_of(user).iter().map(|person| Holder::Person(*person)).collect(),
            Principal::Service(ServiceIx(ix)) => vec![Holder::Service(ix)],
        };
        self.given_above(own, now).next().is_some()
    }

    /// Every user and service that is in a group, to any depth. `skip` leaves out single memberships.
    pub(crate) fn inside(&self, group: u32, skip: impl Fn(u32) -> bool) -> Vec<Principal> {
        let (mut found, mut queue) = (Vec::new(), vec![group]);
        let mut seen: HashSet<u32> = HashSet::new();
        seen.insert(group);
        while let Some(group) = queue.pop() {
            if self.facts.groups.get(group).is_none_or(|row| !row.register.stands()) {
                continue;
            }
            for ix in self.index.group_members.get(&group).into_iter().flatten().filter(|ix| !skip(**ix)) {
                let Some(row) = self.facts.members.get(*ix as usize).filter(|row| row.register.stands()) else {
                    continue;
                };
                match row.holder {
                    Holder::Group(inner) if seen.insert(inner) => queue.push(inner),
                    Holder::Group(_) => {}
                    Holder::Person(ix) => {
                        found.extend(
                            self.facts
                                .persons
                                .get(ix)
                                .filter(|row| row.is_live())
                                .map(|row| Principal::User(UserIx(row.user))),
                        );
                    }
                    Holder::Service(ix) => {
                        found.extend(
                            Some(Principal::Service(ServiceIx(ix))).filter(|_| self.service_stands(ServiceIx(ix))),
                        );
                    }
                }
            }
        }
        found
    }
}

/// Small numbers, each once, in the order in which they came. Most callers are in few groups, some in thousands.
#[derive(Default)]
struct Distinct {
    list: Vec<u32>,
    set: HashSet<u32>,
}

impl Distinct {
    /// So many are looked through one by one.
    const FEW: usize = 32;

    fn add(&mut self, number: u32) {
        if self.list.len() < Self::FEW {
            if !self.list.contains(&number) {
                self.list.push(number);
            }
            return;
        }
        if self.set.is_empty() {
            self.set.extend(&self.list);
        }
        if self.set.insert(number) {
            self.list.push(number);
        }
    }
}

impl Binding {
    /// Not taken away, and within its window.
    pub(crate) fn runs(&self, now: i64) -> bool {
        self.register.stands() && self.starts <= now && now < self.ends
    }
}
