//! Groups: who is in which, to any depth. Found from the member upwards, so that a question costs what the caller is
//! in; cycles and diamonds are walked once.

use chrono::{DateTime, Utc};
use hashbrown::HashSet;
use rollcall_events::{
    LOCAL, Position,
    body::{self, member_subject},
    dn,
    names::{canonical_name, hidden},
};

use crate::{
    persistent::HashMap,
    roster::{
        Roster,
        facts::{Binding, Group, Holder, Member},
        handles::{GroupIx, Principal, ServiceIx, UserIx},
    },
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
    /// How the source's people know it, e.g. a DN.
    pub external_id: Option<&'a str>,
    /// The newest event about it.
    pub changed: Position,
}

/// Groups by what people call them: the label, and the last part of how the source's people know them. Entries of names that
/// were given up stay; whoever follows one holds the group against the word.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupNames(HashMap<String, Vec<u32>>);

impl GroupNames {
    pub(crate) fn add(&mut self, ix: u32, group: &Group) {
        let own = group.external_id.as_deref().map(last_part);
        for name in group.name.as_deref().map(canonical_name).into_iter().chain(own) {
            self.0.update(name, |rows| {
                if !rows.contains(&ix) {
                    rows.push(ix);
                }
            });
        }
    }
}

/// The last part of how a group is known: of a DN the value of the entry's own part, of a path what is behind the last `/`.
fn last_part(known: &str) -> String {
    match dn::parts(known).and_then(|parts| parts.into_iter().next()) {
        Some((_, value)) => value,
        None => canonical_name(known.rsplit('/').next().unwrap_or(known)),
    }
}

/// Whether a group is called so: by its label, by its DN in any spelling, or by a path down to it, as in `eng/devs` of
/// `cn=devs,ou=eng,..`.
fn is_called(group: &Group, word: &str) -> bool {
    let name = canonical_name(word);
    let known = group.external_id.as_deref();
    if group.name.as_deref().map(canonical_name).as_ref() == Some(&name) || known.map(canonical_name) == Some(name) {
        return true;
    }
    let Some(known) = known else { return false };
    let up: Vec<String> = match dn::parts(known) {
        Some(parts) if dn::parts(word).as_ref() == Some(&parts) => return true,
        Some(parts) => parts.into_iter().map(|(_, value)| value).collect(),
        None => known.rsplit('/').map(canonical_name).collect(),
    };
    let path: Vec<String> = word.rsplit('/').map(canonical_name).collect();
    up.starts_with(&path)
}

impl Roster {
    /// Every group that a word of people can mean, in the order of their ids: `source/id` means that one and no other; else by
    /// label, DN or path, of any source or, behind `source/`, of that one alone, whatever paths others have; and by its id
    /// alone what is kept here.
    #[must_use]
    pub fn groups_called(&self, word: &str) -> Vec<GroupIx> {
        if let Some(group) = self.group_by_id(word) {
            return vec![group];
        }
        let of_source = word.split_once('/').filter(|(source, _)| self.is_source(source));
        let source = of_source.map(|(source, _)| source);
        let words = std::iter::once(word).chain(of_source.map(|(_, rest)| rest));
        let mut found: Vec<GroupIx> = self.group_by_id(&format!("{LOCAL}/{word}")).into_iter().collect();
        for word in words {
            for key in [canonical_name(word), last_part(word)] {
                let rows = self.index.group_names.0.get(&key).into_iter().flatten().copied();
                found.extend(rows.filter_map(|ix| {
                    let row = self.facts.groups.get(ix).filter(|row| row.register.stands())?;
                    let from = self.source_text(self.facts.groups.names.space(ix));
                    (source.is_none_or(|source| source == from) && is_called(row, word)).then_some(GroupIx(ix))
                }));
            }
        }
        found.sort_by_cached_key(|GroupIx(ix)| self.group_key(*ix));
        found.dedup();
        found
    }

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
        let stands = |ix: &u32| self.facts.groups.get(*ix).is_some_and(|row| row.register.stands());
        (0..self.facts.groups.len()).filter(stands).map(GroupIx)
    }

    /// Every group whose name has a character that is not seen, and which.
    pub fn groups_with_hidden_names(&self) -> impl Iterator<Item = (GroupView<'_>, char)> {
        self.groups()
            .map(|group| self.group(group))
            .filter_map(|view| Some((hidden(view.name?)?, view)))
            .map(|(c, view)| (view, c))
    }

    /// A group's name and state.
    #[must_use]
    pub fn group(&self, GroupIx(ix): GroupIx) -> GroupView<'_> {
        let row = self.facts.groups.get(ix);
        GroupView {
            id: self.group_key(ix),
            source: self.source_text(self.facts.groups.names.space(ix)),
            name: row.and_then(|row| row.name.as_deref()),
            external_id: row.and_then(|row| row.external_id.as_deref()),
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
            self.event_holder(row.holder)
        })
    }

    /// The persons of a user that are in a group themselves, `source/person`.
    #[must_use]
    pub fn members_of_user(&self, GroupIx(group): GroupIx, user: UserIx) -> Vec<String> {
        let is_in = |person: &&u32| {
            let places = self.index.member_of.get(&Holder::Person(**person)).into_iter().flatten();
            let rows = places.filter_map(|ix| self.facts.members.get(*ix as usize));
            rows.filter(|row| row.register.stands()).any(|row| row.group == group)
        };
        self.persons_of(user).iter().filter(is_in).map(|person| self.person_key(*person)).collect()
    }

    /// Every user and service that is in a group, to any depth.
    #[must_use]
    pub fn everybody_in(&self, GroupIx(ix): GroupIx) -> Vec<Principal> {
        let mut found = self.principals_in(ix, |_| false);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether what is given by hand to a person is in effect: it is the user's, while one of its persons is there for whom
    /// it can be.
    pub(crate) fn holds_what_is_given(&self, person: u32) -> bool {
        self.facts.is_live(person)
            || self
                .index
                .linked
                .get(&self.user_of(person))
                .is_some_and(|set| set.iter().any(|one| self.facts.is_live(*one) && self.stands_for(*one, person)))
    }

    /// Whether a person can stand for another one of the user, who is gone: of the same source, or of an authoritative one. What
    /// somebody had who left a company is not that of the customer whom she is still.
    pub(crate) fn stands_for(&self, person: u32, gone: u32) -> bool {
        let space = |person: u32| self.facts.persons.names.space(person);
        space(person) == space(gone) || self.is_authoritative(person)
    }

    /// Whether a group is kept here, and who is in it given by hand.
    pub(crate) fn is_kept_here(&self, group: u32) -> bool {
        self.source_text(self.facts.groups.names.space(group)) == LOCAL
    }

    /// Calls `with` for everything as which a caller holds roles: the user's persons, or the service, and every standing
    /// group that any of them is in.
    pub(crate) fn each_holder(&self, principal: Principal, mut with: impl FnMut(Holder)) {
        let mut groups = Distinct::default();
        let enter = |groups: &mut Distinct, holder: Holder, there: bool| {
            for ix in self.index.member_of.get(&holder).into_iter().flatten() {
                let Some(row) = self.facts.members.get(*ix as usize).filter(|row| row.register.stands()) else {
                    continue;
                };
                if self.facts.group_counts(row.group) && (there || self.is_kept_here(row.group)) {
                    groups.add(row.group);
                }
            }
        };
        let grouped = !self.index.member_of.is_empty();
        let mut begin = |holder: Holder, there: bool| {
            with(holder);
            if grouped {
                enter(&mut groups, holder, there);
            }
        };
        match principal {
            // What was given by hand, somebody else gave.
            Principal::Anyone | Principal::Limited(..) => {}
            // What is given by hand is the user's, whichever of its persons it names; what a source says of a group rests on
            // the person that it names.
            Principal::User(user) => {
                let held = self.persons_of(user).iter().filter(|person| self.holds_what_is_given(**person));
                held.for_each(|person| begin(Holder::Person(*person), self.facts.is_live(*person)));
            }
            Principal::Service(ServiceIx(ix)) => begin(Holder::Service(ix), true),
        }
        let mut next = 0;
        while let Some(group) = groups.list.get(next).copied() {
            next += 1;
            with(Holder::Group(group));
            enter(&mut groups, Holder::Group(group), true);
        }
    }

    /// A membership in the words of its events: whose it is, and its subject.
    pub(crate) fn membership_subject(&self, row: &Member) -> (u16, String) {
        let (groups, persons) = (&self.facts.groups.names, &self.facts.persons.names);
        let space = groups.space(row.group);
        let (kind, id) = match row.holder {
            Holder::Person(ix) => ("person", self.source_own_id(space, persons.space(ix), persons.text(ix))),
            Holder::Service(ix) => ("service", self.facts.services.id(ix).to_owned()),
            Holder::Group(ix) => ("group", self.source_own_id(space, groups.space(ix), groups.text(ix))),
        };
        (space, member_subject(groups.text(row.group), kind, &id))
    }

    /// A holder and every group above it, by memberships that stand, whether the groups themselves stand or not.
    fn holders_and_groups_above(&self, first: impl IntoIterator<Item = Holder>) -> Vec<Holder> {
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
    pub(crate) fn bindings_of_and_above(
        &self,
        first: impl IntoIterator<Item = Holder>,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = &Binding> {
        let now = now.timestamp_micros();
        self.holders_and_groups_above(first)
            .into_iter()
            .filter_map(|holder| self.index.holder_bindings.get(&holder))
            .flatten()
            .filter_map(|ix| self.facts.bindings.get(*ix).and_then(Option::as_ref))
            .filter(move |row| row.register.stands() && now < row.ends)
    }

    /// Every user and service that is in a group, to any depth. `skip` leaves out single memberships.
    pub(crate) fn principals_in(&self, group: u32, skip: impl Fn(u32) -> bool) -> Vec<Principal> {
        let (mut found, mut queue) = (Vec::new(), vec![group]);
        let mut seen: HashSet<u32> = HashSet::new();
        seen.insert(group);
        while let Some(group) = queue.pop() {
            if !self.facts.group_counts(group) {
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
                                .filter(|_| {
                                    self.facts.is_live(ix) || (self.is_kept_here(group) && self.holds_what_is_given(ix))
                                })
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
