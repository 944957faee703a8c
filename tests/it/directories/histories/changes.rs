//! Random changes of a directory: entries come, go, come again, move and exchange their names; lists change and are
//! written otherwise; people have second user names.

use std::collections::BTreeSet;

use super::{
    World,
    tree::{Entry, Op, Tag, line, rdn_value, spelled},
};
use crate::support::{
    random::Random,
    slapd::{BASE, SYNC},
};

/// Where people can be; the last is not read.
const PLACES: [&str; 6] = ["people", "people", "people", "staff", "staff", "away"];
/// Few names, so that they are used again; one of them can be written in several forms of Unicode.
const NAMES: [&str; 7] = ["u0", "u1", "u2", "u3", "u4", "u5", "jos\u{e9}6"];
/// Names that come before and behind all of those, and some of those.
const SECOND_NAMES: [&str; 6] = ["a0", "a1", "z0", "z1", "u1", "u4"];

/// A change as LDIF, and what it does.
pub type Change = (String, Op);

/// Adds an entry.
pub fn add(tag: &str, entry: Entry) -> Change {
    let name = rdn_value(&entry.dn);
    let mut ldif = line("dn", &entry.dn) + &format!("changetype: add\ndescription: {tag}\n") + &line("cn", name);
    if tag.starts_with('g') {
        ldif += "objectClass: groupOfNames\n";
        entry.members.iter().for_each(|member| ldif += &line("member", member));
    } else {
        ldif += &format!("objectClass: inetOrgPerson\nuserPassword: {tag}\n");
        ldif += &(line("uid", name) + &line("sn", name));
    }
    (ldif, Op::Add(tag.to_owned(), entry))
}

/// Somebody new of this name. A group has somebody who always stays, so that it is never without members.
pub fn entry(dn: String, group: bool) -> Entry {
    let members = if group { BTreeSet::from([SYNC.to_owned()]) } else { BTreeSet::new() };
    Entry { dn, members, uids: BTreeSet::new() }
}

pub fn remove(tag: &str, dn: &str) -> Change {
    (line("dn", dn) + "changetype: delete\n", Op::Remove(tag.to_owned()))
}

fn rename(tag: &str, from: &str, to: &str) -> Change {
    let (rdn, parent) = to.split_once(',').unwrap();
    let ldif = line("dn", from) + "changetype: modrdn\n" + &line("newrdn", rdn) + "deleteoldrdn: 1\n";
    (ldif + &line("newsuperior", parent), Op::Rename(tag.to_owned(), to.to_owned()))
}

pub fn modify(dn: &str, how: &str, attribute: &str, value: &str) -> String {
    line("dn", dn) + &format!("changetype: modify\n{how}: {attribute}\n") + &line(attribute, value) + "-\n"
}

/// A member's name in a list, often as somebody else would write it.
fn written(random: &mut Random, dn: &str) -> String {
    if random.below(2) == 0 { dn.to_owned() } else { spelled(random, dn) }
}

impl World {
    /// A place that nobody has: a uid and where, or a name of a group.
    fn free(&mut self, group: bool) -> Option<String> {
        let dn = if group {
            format!("cn=c{},ou=groups,{BASE}", self.random.below(NAMES.len()))
        } else {
            let name = NAMES[self.random.below(NAMES.len())];
            format!("uid={name},ou={},{BASE}", PLACES[self.random.below(PLACES.len())])
        };
        self.tree.entries.values().all(|entry| entry.dn != dn).then_some(dn)
    }

    /// Somebody of a kind, not one of these.
    pub fn some(&mut self, kind: &str, but: &BTreeSet<Tag>) -> Option<Tag> {
        let all: Vec<&Tag> =
            self.tree.entries.keys().filter(|tag| tag.starts_with(kind) && !but.contains(*tag)).collect();
        if all.is_empty() { None } else { Some(all[self.random.below(all.len())].clone()) }
    }

    pub fn new_tag(&mut self, kind: &str) -> Tag {
        self.made += 1;
        format!("{kind}{}", self.made)
    }

    fn dn(&self, tag: &Tag) -> String {
        self.tree.entries[tag].dn.clone()
    }

    /// What happens next to some who are not `touched`: what a server mends by itself it does a moment later.
    pub fn next(&mut self, touched: &mut BTreeSet<Tag>) -> Option<Vec<Change>> {
        let kind = if self.random.below(3) == 0 { "g" } else { "p" };
        let changes = match self.random.below(15) {
            0..=2 => {
                let dn = self.free(kind == "g")?;
                vec![add(&self.new_tag(kind), entry(dn, kind == "g"))]
            }
            3 => {
                let tag = self.some(kind, touched)?;
                vec![remove(&tag, &self.dn(&tag))]
            }
            4 | 5 => {
                let (to, tag) = (self.free(kind == "g")?, self.some(kind, touched)?);
                vec![rename(&tag, &self.dn(&tag), &to)]
            }
            6 => {
                // Made again: another entry of the same name.
                let tag = self.some(kind, touched)?;
                touched.insert(tag.clone());
                let dn = self.dn(&tag);
                vec![remove(&tag, &dn), add(&self.new_tag(kind), entry(dn, kind == "g"))]
            }
            7 | 8 => {
                let tag = self.some("p", touched)?;
                let Entry { dn, uids, .. } = &self.tree.entries[&tag];
                let uid = SECOND_NAMES[self.random.below(SECOND_NAMES.len())].to_owned();
                let change = match uids.contains(&uid) {
                    true => (modify(dn, "delete", "uid", &uid), Op::RemoveUid(tag.clone(), uid)),
                    false if rdn_value(dn) == uid => return None,
                    false => (modify(dn, "add", "uid", &uid), Op::AddUid(tag.clone(), uid)),
                };
                touched.insert(tag);
                vec![change]
            }
            _ => self.lists(touched)?,
        };
        touched.extend(changes.iter().filter_map(|(_, op)| match op {
            Op::Add(tag, _) | Op::Remove(tag) | Op::Rename(tag, _) => Some(tag.clone()),
            _ => None,
        }));
        Some(changes)
    }

    /// A group lists others.
    fn lists(&mut self, touched: &mut BTreeSet<Tag>) -> Option<Vec<Change>> {
        let group = self.some("g", touched)?;
        touched.insert(group.clone());
        let Entry { dn, members, .. } = self.tree.entries[&group].clone();
        let mut changes = Vec::new();
        for _ in 0..=self.random.below(3) {
            let kind = if self.random.below(4) == 0 { "g" } else { "p" };
            let Some(other) = self.some(kind, touched) else { continue };
            let name = self.dn(&other);
            touched.insert(other);
            let other_spelling = written(&mut self.random, &name);
            let mut change = |how: &str, op: Op| {
                changes.push((modify(&dn, how, "member", &other_spelling), op));
            };
            match members.contains(&name) {
                false => change("add", Op::List(group.clone(), name)),
                true if self.random.below(3) == 0 => {
                    let again = line("member", &spelled(&mut self.random, &name));
                    let ldif = modify(&dn, "delete", "member", &other_spelling) + "add: member\n" + &again + "-\n";
                    changes.push((ldif, Op::Spell));
                }
                true => change("delete", Op::Unlist(group.clone(), name)),
            }
        }
        (!changes.is_empty()).then_some(changes)
    }

    /// Two people, or two groups, exchange their names by a third one.
    pub fn exchange(&mut self) -> Option<Vec<Change>> {
        let kind = if self.random.below(4) == 0 { "g" } else { "p" };
        let one = self.some(kind, &BTreeSet::new())?;
        let other = self.some(kind, &BTreeSet::from([one.clone()]))?;
        let (a, b) = (self.dn(&one), self.dn(&other));
        let (attribute, _) = a.split_once('=')?;
        let (_, parent) = a.split_once(',')?;
        let third = format!("{attribute}=third,{parent}");
        Some(vec![rename(&one, &a, &third), rename(&other, &b, &a), rename(&one, &third, &b)])
    }
}
