//! What was read of a directory, by id and by name, and who is in which group. Pure: looking up what is not here is
//! somebody else's, and so is the log.

mod lookups;
mod statements;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    iter,
};

use rollcall_events::{Id, names::canonical_name};
use rollcall_ingest::connector::SnapshotBuilder;

pub use self::{
    lookups::LookupResult,
    statements::{ReadReport, group_fact, member_fact, person_fact, read_person},
};
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

impl Resolved {
    pub fn id(&self) -> &Id {
        match self {
            Self::Person(id) | Self::Group(id) => id,
        }
    }
}

/// A name that somebody has or that a group lists.
#[derive(Debug)]
struct NameEntry {
    dn: Dn,
    named: Option<Resolved>,
    /// What became of it when it was looked up.
    lookup: Option<LookupResult>,
    listed_in: Vec<Id>,
    /// Whether somebody's own entry names it as a group of theirs.
    claimed: bool,
}

impl NameEntry {
    /// Whom it stands for: who was read under it, or as the server says.
    fn means(&self) -> Option<&Resolved> {
        match (&self.named, &self.lookup) {
            (Some(named), _) | (None, Some(LookupResult::Means(named))) => Some(named),
            _ => None,
        }
    }
}

/// A user name.
#[derive(Debug, Default)]
struct UidEntry {
    /// Who has exactly this one.
    people: BTreeSet<Id>,
    /// Whether the server has to say whom it means.
    asks: bool,
    /// What the server said.
    lookup: Option<BTreeSet<Id>>,
    listed_in: Vec<Id>,
}

impl UidEntry {
    /// Whom it stands for; None where that was not looked up.
    fn means(&self) -> Option<&BTreeSet<Id>> {
        if self.asks { self.lookup.as_ref() } else { Some(&self.people) }
    }
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
    /// User names that groups list and of which the server has to say whom they mean: nobody has exactly this one, or somebody
    /// has another one that seems the same.
    asked_uids: BTreeSet<Box<str>>,
    /// User names that are written otherwise than in the one form of all that seem the same, by that.
    other_uids: HashMap<Box<str>, BTreeSet<Box<str>>>,
    primaries: HashMap<Vec<u8>, BTreeSet<Id>>,
    named_by_people: HashMap<Dn, BTreeSet<Id>>,
    /// Groups by their own SID.
    sids: HashMap<Vec<u8>, BTreeSet<Id>>,
    /// Names that groups list and of which nothing is known yet.
    unknown: BTreeSet<usize>,
    /// Names that were looked up.
    looked_up: BTreeSet<usize>,
    /// Other spellings of the names of people and groups that were read, by the server's word.
    spellings: HashMap<Id, BTreeSet<usize>>,
    /// Who came, went or is otherwise since somebody cleared this.
    pub changed: HashSet<Id>,
}

impl DirectoryIndex {
    /// Takes a person in, or as they are now.
    pub fn put_person(&mut self, person: Person) {
        self.replace(&person.id, &person.dn);
        self.add_names(&person);
        self.people.insert(person.id.clone(), person);
    }

    /// Remembers by which names a person is known, and nothing else of them.
    pub fn add_names(&mut self, person: &Person) {
        self.resolve_name(&person.dn, Resolved::Person(person.id.clone()));
        for uid in &person.uids {
            self.uid(uid).people.insert(person.id.clone());
            self.update_asked_uids(uid);
        }
        if let Some(sid) = &person.primary {
            self.primaries.entry(sid.clone()).or_default().insert(person.id.clone());
        }
        for group in &person.member_of {
            self.named_by_people.entry(group.clone()).or_default().insert(person.id.clone());
            let number = self.number(group);
            if let Some(name) = self.names.get_mut(number) {
                name.claimed = true;
            }
            self.update_unknown(number);
        }
    }

    /// Takes a group in, or as it is now.
    pub fn put_group(&mut self, group: Group) {
        self.replace(&group.id, &group.dn);
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
                    self.uid(uid).listed_in.push(group.id.clone());
                    self.update_asked_uids(uid);
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
        self.names.push(NameEntry { dn: dn.clone(), named: None, lookup: None, listed_in: Vec::new(), claimed: false });
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
        let asked = |name: &NameEntry| name.claimed || !name.listed_in.is_empty();
        let open = |name: &NameEntry| name.named.is_none() && name.lookup.is_none() && asked(name);
        if self.names.get(number).is_some_and(open) {
            self.unknown.insert(number);
        } else {
            self.unknown.remove(&number);
        }
    }

    fn uid(&mut self, uid: &str) -> &mut UidEntry {
        if !self.uids.contains_key(uid) {
            let canonical = canonical_name(uid);
            if canonical != uid {
                self.other_uids.entry(canonical.into()).or_default().insert(uid.into());
            }
        }
        self.uids.entry(uid.into()).or_default()
    }

    /// The user names that seem to be this one, itself among them. Whether they are is the server's to say.
    pub fn seem_same(&self, uid: &str) -> Vec<String> {
        let canonical = canonical_name(uid);
        let others = self.other_uids.get(&*canonical).into_iter().flatten().map(|other| other.to_string());
        others.chain(iter::once(canonical.clone())).filter(|other| self.uids.contains_key(other.as_str())).collect()
    }

    /// Of which user names the server is asked may have changed.
    fn update_asked_uids(&mut self, uid: &str) {
        let same = self.seem_same(uid);
        let held = same.iter().filter(|uid| self.uids.get(uid.as_str()).is_some_and(|user| !user.people.is_empty()));
        let several = held.count() > 1;
        for uid in same {
            let Some(user) = self.uids.get_mut(uid.as_str()) else { continue };
            user.asks = !user.listed_in.is_empty() && (user.people.is_empty() || several);
            if user.asks {
                self.asked_uids.insert(uid.into());
            } else {
                user.lookup = None;
                self.asked_uids.remove(uid.as_str());
            }
        }
    }

    /// Forgets whoever has this id, for whom comes in their place; under the same name, whose other spellings stay known.
    fn replace(&mut self, id: &Id, dn: &Dn) {
        let same = self.name_of(id) == Some(dn);
        let kept = same.then(|| self.spellings.remove(id)).flatten();
        self.remove(id);
        self.spellings.extend(kept.map(|spellings| (id.clone(), spellings)));
        self.changed.insert(id.clone());
    }

    /// Forgets whoever has this id, and says what it was.
    pub fn remove(&mut self, id: &Id) -> Option<Resolved> {
        let (dn, named) = if let Some(person) = self.people.remove(id) {
            for uid in &person.uids {
                let _ = self.uids.get_mut(uid.as_str()).is_some_and(|user| user.people.remove(id));
                self.update_asked_uids(uid);
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
                        self.update_asked_uids(uid);
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
        for number in self.spellings.remove(id).unwrap_or_default() {
            self.forget_lookup(number);
        }
        Some(named)
    }

    /// Who was read under exactly this name.
    pub fn named(&self, dn: &Dn) -> Option<&Resolved> {
        self.name(dn)?.named.as_ref()
    }

    /// Whether an id is a person or a group that is kept.
    pub fn resolved(&self, id: &Id) -> Option<Resolved> {
        let person = self.people.get(id).map(|person| Resolved::Person(person.id.clone()));
        person.or_else(|| self.groups.get(id).map(|group| Resolved::Group(group.id.clone())))
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
        let by_name = names.iter().filter_map(|dn| match self.name(dn)?.means() {
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
}

#[cfg(test)]
mod tests;
