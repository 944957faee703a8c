//! What was read of a directory, by id and by name, and who is in which group. Pure: looking up what is not here is
//! somebody else's, and so is the log.

use std::collections::{BTreeSet, HashMap, HashSet};

use rollcall_events::{
    Body, Id,
    body::{self, GroupMember, Member},
};
use rollcall_ingest::pull::{Sheet, Stated, Which};

use crate::{
    dn::Dn,
    model::{Group, Listed, Person},
};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    Person(Id),
    Group(Id),
}

/// What became of a listed name that is neither a person nor a group that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The directory has no such entry.
    Absent,
    /// It is there and not ours: outside the bases, or not what the filters take.
    Outside,
    /// The directory did not say.
    Unresolved(String),
}

/// Everything that was read.
#[derive(Debug, Default)]
pub struct World {
    people: HashMap<Id, Person>,
    groups: HashMap<Id, Group>,
    names: HashMap<Dn, Named>,
    uids: HashMap<String, BTreeSet<Id>>,
    primaries: HashMap<Vec<u8>, BTreeSet<Id>>,
    named_by_people: HashMap<Dn, BTreeSet<Id>>,
    elsewhere: HashMap<Dn, Fate>,
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

impl World {
    /// Takes a person in, or as they are now.
    pub fn put_person(&mut self, person: Person) {
        self.remove(&person.id);
        self.changed.insert(person.id.clone());
        self.settle(&person.dn, Named::Person(person.id.clone()));
        for uid in &person.uids {
            self.uids.entry(uid.clone()).or_default().insert(person.id.clone());
        }
        if let Some(sid) = &person.primary {
            self.primaries.entry(sid.clone()).or_default().insert(person.id.clone());
        }
        for group in &person.member_of {
            self.named_by_people.entry(group.clone()).or_default().insert(person.id.clone());
        }
        self.people.insert(person.id.clone(), person);
    }

    /// Takes a group in, or as it is now.
    pub fn put_group(&mut self, group: Group) {
        self.remove(&group.id);
        self.changed.insert(group.id.clone());
        self.settle(&group.dn, Named::Group(group.id.clone()));
        self.groups.insert(group.id.clone(), group);
    }

    fn settle(&mut self, dn: &Dn, named: Named) {
        self.elsewhere.remove(dn);
        self.names.insert(dn.clone(), named);
    }

    /// Forgets whoever has this id, and says what it was.
    pub fn remove(&mut self, id: &Id) -> Option<Named> {
        let drop_from = |map: &mut HashMap<Vec<u8>, BTreeSet<Id>>, key: &Vec<u8>| {
            let _ = map.get_mut(key).is_some_and(|set| set.remove(id));
        };
        let (dn, named) = if let Some(person) = self.people.remove(id) {
            for uid in &person.uids {
                let _ = self.uids.get_mut(uid).is_some_and(|set| set.remove(id));
            }
            person.primary.iter().for_each(|sid| drop_from(&mut self.primaries, sid));
            for group in &person.member_of {
                let _ = self.named_by_people.get_mut(group).is_some_and(|set| set.remove(id));
            }
            (person.dn, Named::Person(id.clone()))
        } else {
            (self.groups.remove(id)?.dn, Named::Group(id.clone()))
        };
        self.changed.insert(id.clone());
        // Another entry may have this name by now.
        if self.names.get(&dn) == Some(&named) {
            self.names.remove(&dn);
        }
        Some(named)
    }

    /// Notes what became of a name that was looked up.
    pub fn note(&mut self, dn: Dn, fate: Fate) {
        self.elsewhere.insert(dn, fate);
    }

    /// Forgets what was looked up of names: they are looked up again.
    pub fn forget_fates(&mut self) {
        self.elsewhere.clear();
    }

    /// The names that groups list and of which nothing is known yet.
    pub fn unknown(&self) -> Vec<Dn> {
        let listed = self.groups.values().flat_map(|group| &group.members);
        let unknown = listed.filter_map(|member| match member {
            Listed::Dn(dn) if !self.names.contains_key(dn) && !self.elsewhere.contains_key(dn) => Some(dn),
            _ => None,
        });
        let unknown: HashSet<&Dn> = unknown.collect();
        unknown.into_iter().cloned().collect()
    }

    /// What a name stands for, where that was read.
    pub fn named(&self, dn: &Dn) -> Option<&Named> {
        self.names.get(dn)
    }

    /// Under which name somebody was read.
    pub fn name_of(&self, id: &Id) -> Option<&Dn> {
        let person = self.people.get(id).map(|person| &person.dn);
        person.or_else(|| self.groups.get(id).map(|group| &group.dn))
    }

    pub fn person(&self, id: &Id) -> Option<&Person> {
        self.people.get(id)
    }

    pub fn group(&self, id: &Id) -> Option<&Group> {
        self.groups.get(id)
    }

    /// The groups that list any of these names, or user names.
    pub fn listing(&self, dns: &HashSet<Dn>, uids: &HashSet<String>) -> Vec<Id> {
        if dns.is_empty() && uids.is_empty() {
            return Vec::new();
        }
        let lists = |group: &&Group| {
            group.members.iter().any(|member| match member {
                Listed::Dn(dn) => dns.contains(dn),
                Listed::Uid(uid) => uids.contains(uid),
                Listed::Garbage(_) => false,
            })
        };
        self.groups.values().filter(lists).map(|group| group.id.clone()).collect()
    }

    /// The groups that people's own entries name: by SID as their primary group, or by name.
    pub fn claimed(&self, sids: &HashSet<Vec<u8>>, names: &HashSet<Dn>) -> Vec<Id> {
        if sids.is_empty() && names.is_empty() {
            return Vec::new();
        }
        let claimed =
            |group: &&Group| names.contains(&group.dn) || group.sid.as_ref().is_some_and(|s| sids.contains(s));
        self.groups.values().filter(claimed).map(|group| group.id.clone()).collect()
    }

    /// The groups that list somebody who is there and not ours.
    pub fn listing_outsiders(&self) -> Vec<Id> {
        let outside = self.elsewhere.iter().filter(|(_, fate)| **fate == Fate::Outside).map(|(dn, _)| dn.clone());
        self.listing(&outside.collect(), &HashSet::new())
    }

    /// Who is in a group directly. Nesting is closed by whoever asks for access.
    pub fn members(&self, group: &Group) -> Members {
        let mut found = Members::default();
        let mut members: BTreeSet<(bool, Id)> = BTreeSet::new();
        for listed in &group.members {
            match listed {
                Listed::Dn(dn) => match (self.names.get(dn), self.elsewhere.get(dn)) {
                    (Some(Named::Person(id)), _) => _ = members.insert((false, id.clone())),
                    (Some(Named::Group(id)), _) => _ = members.insert((true, id.clone())),
                    (None, Some(Fate::Absent)) => found.absent.push(dn.to_string()),
                    (None, Some(Fate::Outside)) => found.outside.push(dn.to_string()),
                    (None, Some(Fate::Unresolved(why))) => found.unresolved.push(format!("{dn}: {why}")),
                    (None, None) => found.unresolved.push(format!("{dn} was not looked up")),
                },
                Listed::Uid(uid) => {
                    let people: Vec<&Id> = self.uids.get(uid).into_iter().flatten().collect();
                    match people.as_slice() {
                        [] => found.absent.push(uid.clone()),
                        [one] => _ = members.insert((false, (*one).clone())),
                        several => {
                            found.conflicts.push((uid.clone(), several.iter().map(|id| (*id).clone()).collect()))
                        }
                    }
                }
                Listed::Garbage(text) => found.unresolved.push(format!("`{text}` is not a name")),
            }
        }
        let primary = group.sid.as_ref().and_then(|sid| self.primaries.get(sid));
        let naming = self.named_by_people.get(&group.dn);
        members.extend(primary.into_iter().chain(naming).flatten().map(|id| (false, id.clone())));
        let member = |(is_group, id)| if is_group { Member::Group(id) } else { Member::Person(id) };
        found.members = members.into_iter().map(member).collect();
        found
    }

    /// Writes everything onto a sheet.
    pub fn state(&self, sheet: &mut Sheet) -> Notes {
        let mut notes = Notes::default();
        for person in self.people.values() {
            sheet.state(person_fact(person));
        }
        for group in self.groups.values() {
            sheet.state(group_fact(group));
            let found = self.members(group);
            notes.outside += found.outside.len();
            for member in found.members {
                sheet.state(member_fact(&group.id, member));
            }
            for who in found.absent {
                notes.absent += 1;
                sheet.absent(format!("{who} (listed in {})", group.text));
            }
            for (uid, people) in found.conflicts {
                notes.conflicts.push(format!(
                    "{} lists {uid}, and {} people have that user name",
                    group.text,
                    people.len()
                ));
                for person in people {
                    let subject = member_fact(&group.id, Member::Person(person)).subject();
                    let reason = format!("{} lists {uid}, and several people have that user name", group.text);
                    sheet.exclude(Which::Subject(subject), reason);
                }
            }
            if let Some(first) = found.unresolved.first() {
                let reason = format!("{}: {first} ({} in all)", group.text, found.unresolved.len());
                notes.unresolved += found.unresolved.len();
                sheet.exclude(Which::MembersOf(group.id.clone()), reason);
            }
        }
        notes
    }
}

/// What a read met that is no fact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
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

pub fn person_fact(person: &Person) -> Stated {
    let body = Body::PersonUpserted(body::Person {
        person: person.id.clone(),
        username: person.username.clone(),
        account: None,
        active: person.active,
    });
    Stated { body, personal: person.names.clone() }
}

pub fn group_fact(group: &Group) -> Body {
    Body::GroupUpserted(body::Group {
        group: group.id.clone(),
        name: group.name.clone(),
        external_id: Some(group.text.clone()),
        author: None,
    })
}

pub fn member_fact(group: &Id, member: Member) -> Body {
    Body::GroupMemberAdded(GroupMember { group: group.clone(), member, author: None })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    fn dn(text: &str) -> Dn {
        text.parse().unwrap()
    }

    fn person(name: &str, base: &str) -> Person {
        Person {
            id: id(&format!("{name}-{base}")),
            dn: dn(&format!("uid={name},ou={base},dc=x")),
            username: Some(name.to_owned()),
            active: true,
            names: None,
            uids: vec![name.to_owned()],
            primary: None,
            member_of: Vec::new(),
        }
    }

    fn group(name: &str, members: Vec<Listed>) -> Group {
        Group {
            id: id(name),
            dn: dn(&format!("cn={name},dc=x")),
            text: format!("cn={name},dc=x"),
            name: None,
            members,
            sid: None,
        }
    }

    fn members(world: &World, name: &str) -> Members {
        world.members(world.group(&id(name)).unwrap())
    }

    #[test]
    fn every_kind_of_list_leads_to_its_people_and_groups() {
        let mut world = World::default();
        let mut kim = person("kim", "a");
        kim.primary = Some(b"S-513".to_vec());
        kim.member_of = vec![dn("CN=Named, DC=X")];
        world.put_person(person("ada", "a"));
        world.put_person(kim);
        world.put_group(group("inner", vec![Listed::Uid("ada".into())]));
        world.put_group(group("outer", vec![Listed::Dn(dn("CN=INNER,DC=X")), Listed::Dn(dn("uid=Ada,ou=A,dc=x"))]));
        world.put_group(Group { sid: Some(b"S-513".to_vec()), ..group("users", Vec::new()) });
        world.put_group(group("named", Vec::new()));
        let of = |name| members(&world, name).members;
        assert_eq!(of("inner"), [Member::Person(id("ada-a"))]);
        assert_eq!(of("outer"), [Member::Person(id("ada-a")), Member::Group(id("inner"))]);
        assert_eq!(of("users"), [Member::Person(id("kim-a"))]);
        assert_eq!(of("named"), [Member::Person(id("kim-a"))]);
    }

    #[test]
    fn a_listed_name_is_absent_outside_or_unresolved_and_each_is_told_apart() {
        let mut world = World::default();
        let names = ["uid=gone,dc=x", "uid=far,dc=y", "uid=silent,dc=x"];
        let mut listed: Vec<Listed> = names.iter().map(|name| Listed::Dn(dn(name))).collect();
        listed.push(Listed::Garbage("admins".into()));
        world.put_group(group("g", listed));
        assert_eq!(world.unknown().len(), 3);
        for (name, fate) in names.iter().zip([Fate::Absent, Fate::Outside, Fate::Unresolved("busy".into())]) {
            world.note(dn(name), fate);
        }
        assert!(world.unknown().is_empty());
        let found = members(&world, "g");
        assert_eq!(
            (found.members.len(), found.absent.len(), found.outside.len(), found.unresolved.len()),
            (0, 1, 1, 2)
        );

        let mut sheet = Sheet::blank(DateTime::UNIX_EPOCH);
        let part = sheet.open("all");
        world.state(&mut sheet);
        sheet.close(part);
        let sealed = sheet.seal().unwrap();
        assert_eq!(sealed.absent(), ["uid=gone,dc=x (listed in cn=g,dc=x)"]);
        let excluded: Vec<_> = sealed.excluded().map(|(which, _)| which.clone()).collect();
        assert_eq!(excluded, [Which::MembersOf(id("g"))]);
    }

    #[test]
    fn l16_a_user_name_of_two_people_grants_neither() {
        let mut world = World::default();
        world.put_person(person("ada", "a"));
        world.put_person(person("ada", "b"));
        world.put_group(group("g", vec![Listed::Uid("ada".into())]));
        let found = members(&world, "g");
        assert_eq!(found.members, []);
        assert_eq!(found.conflicts, [("ada".to_owned(), vec![id("ada-a"), id("ada-b")])]);
    }

    #[test]
    fn l07_a_person_who_moves_is_the_same_and_the_old_name_is_free() {
        let mut world = World::default();
        world.put_person(person("ada", "a"));
        let moved = Person { dn: dn("uid=ada,ou=b,dc=x"), ..person("ada", "a") };
        world.put_person(moved);
        let other = Person { id: id("new"), ..person("ada", "a") };
        world.put_person(other);
        world.put_group(group("g", vec![Listed::Dn(dn("uid=ada,ou=a,dc=x"))]));
        assert_eq!(members(&world, "g").members, [Member::Person(id("new"))]);
        assert_eq!(world.remove(&id("ada-a")), Some(Named::Person(id("ada-a"))));
        assert_eq!(members(&world, "g").members, [Member::Person(id("new"))]);
    }
}
