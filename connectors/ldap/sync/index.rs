//! What was read of a directory, by id and by name, and who is in which group. Pure: looking up what is not here is
//! somebody else's, and so is the log.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt::Display,
};

use rollcall_events::{
    Body, Id,
    body::{self, GroupMember, Member},
};
use rollcall_ingest::connector::{Fact, FactSelector, SnapshotBuilder, UnreadMembers};

use crate::{
    schema::model::{Group, Listed, Person},
    wire::dn::Dn,
};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    Person(Id),
    Group(Id),
}

/// What became of a listed name that is neither a person nor a group that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupResult {
    /// The directory has no such entry.
    Absent,
    /// It is there and not ours: outside the bases, or not what the filters take.
    Outside,
    /// The directory did not say.
    Unresolved(String),
}

/// A name that somebody has or that a group lists.
#[derive(Debug)]
struct NameEntry {
    dn: Dn,
    named: Option<Resolved>,
    /// What became of it when it was looked up.
    lookup: Option<LookupResult>,
    listed_in: Vec<Id>,
}

/// A user name.
#[derive(Debug, Default)]
struct UidEntry {
    people: BTreeSet<Id>,
    listed_in: Vec<Id>,
}

/// A group that is kept, with its members by number.
#[derive(Debug)]
pub struct IndexedGroup {
    pub id: Id,
    pub dn: Dn,
    /// Its name as it is written.
    pub text: String,
    name: Option<String>,
    sid: Option<Vec<u8>>,
    members: Vec<IndexedMember>,
}

/// Whom a group lists; a name by its number, so that half a million of them take little.
#[derive(Debug)]
enum IndexedMember {
    Name(usize),
    Uid(Box<str>),
    Garbage(Box<str>),
}

/// Everything that was read.
#[derive(Debug, Default)]
pub struct DirectoryIndex {
    people: HashMap<Id, Person>,
    groups: HashMap<Id, IndexedGroup>,
    names: Vec<NameEntry>,
    numbers: HashMap<Dn, usize>,
    uids: HashMap<Box<str>, UidEntry>,
    /// User names that groups list and nobody has.
    uids_of_nobody: BTreeSet<Box<str>>,
    primaries: HashMap<Vec<u8>, BTreeSet<Id>>,
    named_by_people: HashMap<Dn, BTreeSet<Id>>,
    /// Groups by their own SID.
    sids: HashMap<Vec<u8>, BTreeSet<Id>>,
    /// Names that groups list and of which nothing is known yet.
    unknown: BTreeSet<usize>,
    /// Names that were looked up.
    looked_up: Vec<usize>,
    /// Who came, went or is otherwise since somebody cleared this.
    pub changed: HashSet<Id>,
}

/// A group's members, and what could not be one.
#[derive(Debug, Default, PartialEq)]
pub struct Members {
    pub members: Vec<Member>,
    /// Listed, and proven not to exist.
    pub absent: Vec<String>,
    /// Listed, there, and not ours.
    pub outside: Vec<String>,
    /// Listed, and nothing is known; nothing of this group may be concluded.
    pub unresolved: Vec<String>,
    /// A user name that several people have: left as it is for each of them.
    pub conflicts: Vec<(String, Vec<Id>)>,
}

impl DirectoryIndex {
    /// Takes a person in, or as they are now.
    pub fn put_person(&mut self, person: Person) {
        self.remove(&person.id);
        self.changed.insert(person.id.clone());
        self.add_names(&person);
        self.people.insert(person.id.clone(), person);
    }

    /// Remembers by which names a person is known, and nothing else of them.
    pub fn add_names(&mut self, person: &Person) {
        self.resolve_name(&person.dn, Resolved::Person(person.id.clone()));
        for uid in &person.uids {
            self.uids.entry(uid.as_str().into()).or_default().people.insert(person.id.clone());
            self.update_uid_of_nobody(uid);
        }
        if let Some(sid) = &person.primary {
            self.primaries.entry(sid.clone()).or_default().insert(person.id.clone());
        }
        for group in &person.member_of {
            self.named_by_people.entry(group.clone()).or_default().insert(person.id.clone());
        }
    }

    /// Takes a group in, or as it is now.
    pub fn put_group(&mut self, group: Group) {
        self.remove(&group.id);
        self.changed.insert(group.id.clone());
        let group = self.index_group(group);
        self.insert_group(group);
    }

    /// Takes a group in that nothing will be asked about again: where every name that it lists is known, it is added to
    /// the snapshot at once and not kept.
    pub fn state_or_keep_group(&mut self, group: Group, builder: &mut SnapshotBuilder, report: &mut ReadReport) {
        let group = self.index_group(group);
        let known = |entered: &IndexedMember| match entered {
            IndexedMember::Name(number) => self.names.get(*number).is_some_and(|name| name.named.is_some()),
            IndexedMember::Uid(_) | IndexedMember::Garbage(_) => false,
        };
        if group.members.iter().all(known) {
            self.state_group(&group, builder, report);
        } else {
            self.insert_group(group);
        }
    }

    /// Gives a group its name, and the names that it lists their numbers.
    fn index_group(&mut self, group: Group) -> IndexedGroup {
        let Group { id, dn, text, name, members, sid } = group;
        self.resolve_name(&dn, Resolved::Group(id.clone()));
        let members = members.into_iter().map(|listed| match listed {
            Listed::Dn(dn) => IndexedMember::Name(self.number(&dn)),
            Listed::Uid(uid) => IndexedMember::Uid(uid.into()),
            Listed::Garbage(text) => IndexedMember::Garbage(text.into()),
        });
        let members = members.collect();
        IndexedGroup { id, dn, text, name, sid, members }
    }

    fn insert_group(&mut self, group: IndexedGroup) {
        for entered in &group.members {
            match entered {
                IndexedMember::Name(number) => {
                    if let Some(name) = self.names.get_mut(*number) {
                        name.listed_in.push(group.id.clone());
                    }
                    self.update_unknown(*number);
                }
                IndexedMember::Uid(uid) => {
                    self.uids.entry(uid.clone()).or_default().listed_in.push(group.id.clone());
                    self.update_uid_of_nobody(uid);
                }
                IndexedMember::Garbage(_) => {}
            }
        }
        if let Some(sid) = &group.sid {
            self.sids.entry(sid.clone()).or_default().insert(group.id.clone());
        }
        self.groups.insert(group.id.clone(), group);
    }

    fn number(&mut self, dn: &Dn) -> usize {
        if let Some(number) = self.numbers.get(dn) {
            return *number;
        }
        let number = self.names.len();
        self.names.push(NameEntry { dn: dn.clone(), named: None, lookup: None, listed_in: Vec::new() });
        self.numbers.insert(dn.clone(), number);
        number
    }

    fn name(&self, dn: &Dn) -> Option<&NameEntry> {
        self.names.get(*self.numbers.get(dn)?)
    }

    fn resolve_name(&mut self, dn: &Dn, named: Resolved) {
        let number = self.number(dn);
        if let Some(name) = self.names.get_mut(number) {
            (name.named, name.lookup) = (Some(named), None);
        }
        self.update_unknown(number);
    }

    /// Whether a name is one of which nothing is known may have changed.
    fn update_unknown(&mut self, number: usize) {
        let open = |name: &NameEntry| name.named.is_none() && name.lookup.is_none() && !name.listed_in.is_empty();
        if self.names.get(number).is_some_and(open) {
            self.unknown.insert(number);
        } else {
            self.unknown.remove(&number);
        }
    }

    fn update_uid_of_nobody(&mut self, uid: &str) {
        match self.uids.get(uid) {
            Some(user) if user.people.is_empty() && !user.listed_in.is_empty() => {
                self.uids_of_nobody.insert(uid.into());
            }
            _ => {
                self.uids_of_nobody.remove(uid);
            }
        }
    }

    /// Forgets whoever has this id, and says what it was.
    pub fn remove(&mut self, id: &Id) -> Option<Resolved> {
        let (dn, named) = if let Some(person) = self.people.remove(id) {
            for uid in &person.uids {
                let _ = self.uids.get_mut(uid.as_str()).is_some_and(|user| user.people.remove(id));
                self.update_uid_of_nobody(uid);
            }
            if let Some(sid) = &person.primary {
                let _ = self.primaries.get_mut(sid).is_some_and(|set| set.remove(id));
            }
            for group in &person.member_of {
                let _ = self.named_by_people.get_mut(group).is_some_and(|set| set.remove(id));
            }
            (person.dn, Resolved::Person(id.clone()))
        } else {
            let group = self.groups.remove(id)?;
            if let Some(sid) = &group.sid {
                let _ = self.sids.get_mut(sid).is_some_and(|set| set.remove(id));
            }
            for entered in &group.members {
                match entered {
                    IndexedMember::Name(number) => {
                        if let Some(name) = self.names.get_mut(*number) {
                            name.listed_in.retain(|group| group != id);
                        }
                        self.update_unknown(*number);
                    }
                    IndexedMember::Uid(uid) => {
                        let _ = self.uids.get_mut(uid).is_some_and(|user| {
                            user.listed_in.retain(|group| group != id);
                            true
                        });
                        self.update_uid_of_nobody(uid);
                    }
                    IndexedMember::Garbage(_) => {}
                }
            }
            (group.dn, Resolved::Group(id.clone()))
        };
        self.changed.insert(id.clone());
        let number = self.number(&dn);
        // Another entry may have this name by now.
        if let Some(name) = self.names.get_mut(number).filter(|name| name.named.as_ref() == Some(&named)) {
            name.named = None;
        }
        self.update_unknown(number);
        Some(named)
    }

    /// Notes what became of a name that was looked up.
    pub fn set_lookup(&mut self, dn: &Dn, lookup: LookupResult) {
        let number = self.number(dn);
        if let Some(name) = self.names.get_mut(number) {
            name.lookup = Some(lookup);
        }
        self.looked_up.push(number);
        self.update_unknown(number);
    }

    /// Forgets what was looked up of names: they are looked up again.
    pub fn clear_lookups(&mut self) {
        for number in std::mem::take(&mut self.looked_up) {
            if let Some(name) = self.names.get_mut(number) {
                name.lookup = None;
            }
            self.update_unknown(number);
        }
    }

    /// The names that groups list and of which nothing is known yet.
    pub fn unknown(&self) -> Vec<Dn> {
        self.unknown.iter().filter_map(|number| self.names.get(*number)).map(|name| name.dn.clone()).collect()
    }

    /// What a name stands for, where that was read.
    pub fn named(&self, dn: &Dn) -> Option<&Resolved> {
        self.name(dn)?.named.as_ref()
    }

    /// Under which name somebody was read.
    pub fn name_of(&self, id: &Id) -> Option<&Dn> {
        let person = self.people.get(id).map(|person| &person.dn);
        person.or_else(|| self.groups.get(id).map(|group| &group.dn))
    }

    pub fn person(&self, id: &Id) -> Option<&Person> {
        self.people.get(id)
    }

    pub fn group(&self, id: &Id) -> Option<&IndexedGroup> {
        self.groups.get(id)
    }

    /// A group as it was put in.
    pub fn group_as_read(&self, id: &Id) -> Option<Group> {
        let IndexedGroup { id, dn, text, name, sid, members } = self.groups.get(id)?;
        let members = members.iter().filter_map(|entered| match entered {
            IndexedMember::Name(number) => self.names.get(*number).map(|name| Listed::Dn(name.dn.clone())),
            IndexedMember::Uid(uid) => Some(Listed::Uid(uid.to_string())),
            IndexedMember::Garbage(text) => Some(Listed::Garbage(text.to_string())),
        });
        let members = members.collect();
        Some(Group {
            id: id.clone(),
            dn: dn.clone(),
            text: text.clone(),
            name: name.clone(),
            members,
            sid: sid.clone(),
        })
    }

    /// The groups that list any of these names, or user names.
    pub fn groups_listing(&self, dns: &HashSet<Dn>, uids: &HashSet<String>) -> Vec<Id> {
        let by_name = dns.iter().filter_map(|dn| self.name(dn)).flat_map(|name| &name.listed_in);
        let by_uid = uids.iter().filter_map(|uid| self.uids.get(uid.as_str())).flat_map(|user| &user.listed_in);
        let groups: BTreeSet<&Id> = by_name.chain(by_uid).collect();
        groups.into_iter().cloned().collect()
    }

    /// The groups that people's own entries name: by SID as their primary group, or by name.
    pub fn groups_claimed(&self, sids: &HashSet<Vec<u8>>, names: &HashSet<Dn>) -> Vec<Id> {
        let by_sid = sids.iter().filter_map(|sid| self.sids.get(sid)).flatten();
        let by_name = names.iter().filter_map(|dn| match self.named(dn) {
            Some(Resolved::Group(id)) => Some(id),
            _ => None,
        });
        let groups: BTreeSet<&Id> = by_sid.chain(by_name).collect();
        groups.into_iter().cloned().collect()
    }

    /// The groups that list somebody who is there and not ours.
    pub fn groups_listing_outsiders(&self) -> Vec<Id> {
        let names = self.looked_up.iter().filter_map(|number| self.names.get(*number));
        let outside = names.filter(|name| name.lookup == Some(LookupResult::Outside)).flat_map(|name| &name.listed_in);
        let groups: BTreeSet<&Id> = outside.collect();
        groups.into_iter().cloned().collect()
    }

    /// Whom groups list and nobody reads, each with the group.
    pub fn unread_members(&self) -> UnreadMembers {
        let shown = |who: &dyn Display, groups: &[Id]| -> Vec<String> {
            groups.iter().filter_map(|group| Some(listed_in(&who.to_string(), &self.group(group)?.text))).collect()
        };
        let names = self.looked_up.iter().filter_map(|number| self.names.get(*number));
        let names: Vec<&NameEntry> = names.filter(|name| name.named.is_none()).collect();
        let found = |wanted: LookupResult| {
            let found = names.iter().filter(move |name| name.lookup.as_ref() == Some(&wanted));
            found.flat_map(|name| shown(&name.dn, &name.listed_in))
        };
        let uids = self.uids_of_nobody.iter().filter_map(|uid| Some((uid, self.uids.get(uid)?)));
        let absent = found(LookupResult::Absent).chain(uids.flat_map(|(uid, user)| shown(uid, &user.listed_in)));
        UnreadMembers {
            absent: absent.collect::<BTreeSet<_>>().into_iter().collect(),
            outside: found(LookupResult::Outside).collect::<BTreeSet<_>>().into_iter().collect(),
        }
    }

    /// Who is in a group directly. Nesting is closed by whoever asks for access.
    pub fn members(&self, group: &IndexedGroup) -> Members {
        let mut found = Members::default();
        let mut members: Vec<(bool, &Id)> = Vec::with_capacity(group.members.len());
        for entered in &group.members {
            match entered {
                IndexedMember::Name(number) => {
                    let Some(NameEntry { dn, named, lookup, .. }) = self.names.get(*number) else { continue };
                    match (named, lookup) {
                        (Some(Resolved::Person(id)), _) => members.push((false, id)),
                        (Some(Resolved::Group(id)), _) => members.push((true, id)),
                        (None, Some(LookupResult::Absent)) => found.absent.push(dn.to_string()),
                        (None, Some(LookupResult::Outside)) => found.outside.push(dn.to_string()),
                        (None, Some(LookupResult::Unresolved(why))) => found.unresolved.push(format!("{dn}: {why}")),
                        (None, None) => found.unresolved.push(format!("{dn} was not looked up")),
                    }
                }
                IndexedMember::Uid(uid) => {
                    let mut people = self.uids.get(uid).into_iter().flat_map(|user| &user.people);
                    match (people.next(), people.next()) {
                        (None, _) => found.absent.push(uid.to_string()),
                        (Some(one), None) => members.push((false, one)),
                        (Some(_), Some(_)) => {
                            let several = self.uids.get(uid).into_iter().flat_map(|user| &user.people);
                            found.conflicts.push((uid.to_string(), several.cloned().collect()));
                        }
                    }
                }
                IndexedMember::Garbage(text) => found.unresolved.push(format!("`{text}` is not a name")),
            }
        }
        let primary = group.sid.as_ref().and_then(|sid| self.primaries.get(sid));
        let naming = self.named_by_people.get(&group.dn);
        members.extend(primary.into_iter().chain(naming).flatten().map(|id| (false, id)));
        members.sort_unstable();
        members.dedup();
        let member = |(is_group, id): (bool, &Id)| match is_group {
            true => Member::Group(id.clone()),
            false => Member::Person(id.clone()),
        };
        found.members = members.into_iter().map(member).collect();
        found
    }

    /// Adds everything that is kept to a snapshot.
    pub fn state(&self, builder: &mut SnapshotBuilder) -> ReadReport {
        let mut report = ReadReport::default();
        self.people.values().for_each(|person| builder.add(person_fact(person)));
        self.groups.values().for_each(|group| self.state_group(group, builder, &mut report));
        report
    }

    fn state_group(&self, group: &IndexedGroup, builder: &mut SnapshotBuilder, report: &mut ReadReport) {
        builder.add(kept_fact(group));
        let found = self.members(group);
        report.outside += found.outside.len();
        for who in found.outside {
            builder.add_outside(listed_in(&who, &group.text));
        }
        for member in found.members {
            builder.add(member_fact(&group.id, member));
        }
        for who in found.absent {
            report.absent += 1;
            builder.add_absent(listed_in(&who, &group.text));
        }
        for (uid, people) in found.conflicts {
            report.conflicts.push(format!(
                "{} lists {uid}, and {} people have that user name",
                group.text,
                people.len()
            ));
            for person in people {
                let subject = member_fact(&group.id, Member::Person(person)).subject();
                let reason = format!("{} lists {uid}, and several people have that user name", group.text);
                builder.exclude(FactSelector::Subject(subject), reason);
            }
        }
        if let Some(first) = found.unresolved.first() {
            let reason = format!("{}: {first} ({} in all)", group.text, found.unresolved.len());
            report.unresolved += found.unresolved.len();
            builder.exclude(FactSelector::MembersOf(group.id.clone()), reason);
        }
    }
}

fn listed_in(who: &dyn std::fmt::Display, group: &str) -> String {
    format!("{who} (listed in {group})")
}

/// What a read met that is no fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// Members that exist and are not ours.
    pub outside: usize,
    /// Members that do not exist.
    pub absent: usize,
    /// Members of which nothing is known.
    pub unresolved: usize,
    /// User names that several people have.
    pub conflicts: Vec<String>,
    /// References to other servers, which are not followed.
    pub references: usize,
    /// Entries that were left out, and why.
    pub left_out: Vec<String>,
}

impl ReadReport {
    /// Takes in what something else met.
    pub fn add(&mut self, more: Self) {
        self.outside += more.outside;
        self.absent += more.absent;
        self.unresolved += more.unresolved;
        self.references += more.references;
        self.conflicts.extend(more.conflicts);
        self.left_out.extend(more.left_out);
    }
}

pub fn person_fact(person: &Person) -> Fact {
    let body = Body::PersonUpserted(body::Person {
        person: person.id.clone(),
        username: person.username.clone(),
        account: None,
        active: person.active,
    });
    Fact { body, personal: person.names.clone() }
}

pub fn group_fact(group: &Group) -> Body {
    named_fact(&group.id, group.name.as_deref(), &group.text)
}

fn kept_fact(group: &IndexedGroup) -> Body {
    named_fact(&group.id, group.name.as_deref(), &group.text)
}

fn named_fact(id: &Id, name: Option<&str>, text: &str) -> Body {
    Body::GroupUpserted(body::Group {
        group: id.clone(),
        name: name.map(str::to_owned),
        external_id: Some(text.to_owned()),
        author: None,
        made_with: None,
    })
}

pub fn member_fact(group: &Id, member: Member) -> Body {
    Body::GroupMemberAdded(GroupMember { group: group.clone(), member, author: None, made_with: None })
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
