//! What is stated of what was read: people, groups, who is in them, and what of a list could be nobody.

use std::{collections::BTreeSet, fmt::Display};

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Id,
    body::{self, GroupMember, Member},
};
use rollcall_ingest::connector::{Fact, FactSelector, SnapshotBuilder, UnreadMembers};

use super::{DirectoryIndex, IndexedGroup, IndexedMember, LookupResult, NameEntry, Resolved, UidEntry};
use crate::{
    schema::model::{Group, Person, Schema, Unreadable},
    wire::message::Entry,
};

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
        let uids = self.asked_uids.iter().filter_map(|uid| Some((uid, self.uids.get(uid)?)));
        let uids = uids.filter(|(_, user)| user.lookup.as_ref().unwrap_or(&user.people).is_empty());
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
                    let Some(name) = self.names.get(*number) else { continue };
                    let NameEntry { dn, lookup, .. } = name;
                    match (name.means(), lookup) {
                        (Some(Resolved::Person(id)), _) => members.push((false, id)),
                        // A dummy member that is the group itself is nobody.
                        (Some(Resolved::Group(id)), _) if *id == group.id => {}
                        (Some(Resolved::Group(id)), _) => members.push((true, id)),
                        (None, Some(LookupResult::Absent)) => found.absent.push(dn.to_string()),
                        (None, Some(LookupResult::Outside)) => found.outside.push(dn.to_string()),
                        (None, Some(LookupResult::Unresolved(why))) => found.unresolved.push(format!("{dn}: {why}")),
                        (None, _) => found.unresolved.push(format!("{dn} was not looked up")),
                    }
                }
                IndexedMember::Uid(uid) => {
                    let Some(people) = self.uids.get(uid).and_then(UidEntry::means) else {
                        found.unresolved.push(format!("{uid} was not looked up"));
                        continue;
                    };
                    match (people.first(), people.len()) {
                        (None, _) => found.absent.push(uid.to_string()),
                        (Some(one), 1) => members.push((false, one)),
                        (Some(_), _) => found.conflicts.push((uid.to_string(), people.iter().cloned().collect())),
                    }
                }
                IndexedMember::Garbage(text) => found.unresolved.push(format!("`{text}` is not a name")),
            }
        }
        let primary = group.sid.as_ref().and_then(|sid| self.primaries.get(sid));
        let spellings = self.spellings(&group.id);
        let naming = std::iter::once(&group.dn).chain(&spellings).filter_map(|dn| self.named_by_people.get(dn));
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

    pub(super) fn state_group(&self, group: &IndexedGroup, builder: &mut SnapshotBuilder, report: &mut ReadReport) {
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
    let body = person_body(person, person.username.as_deref(), person.active);
    Fact { body, personal: person.names.clone() }
}

fn person_body(person: &Person, username: Option<&str>, active: bool) -> Body {
    Body::PersonUpserted(body::Person {
        person: person.id.clone(),
        username: username.map(str::to_owned),
        account: None,
        active,
        same_as: person.same_as.clone(),
    })
}

/// Reads a person, who keeps the user name that was said last where several are as good. `said`: whether a fact is what
/// was said last.
pub fn read_person(
    schema: &Schema,
    entry: &Entry,
    now: DateTime<Utc>,
    said: impl Fn(&Body) -> bool,
) -> Result<Person, Unreadable> {
    let mut person = schema.person(entry, now)?;
    let read = person.clone();
    person.keep_name(schema, |name| {
        [true, false].into_iter().any(|active| said(&person_body(&read, Some(name), active)))
    });
    Ok(person)
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
