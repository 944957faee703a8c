//! What a directory should have, what changes it, and how names can be written. A name is kept as its entry writes it;
//! whether another spelling is that name is for the server to say.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::support::random::Random;

/// An entry by a name that it keeps for ever, `p3` or `g1`: its description, by which a plain search tells it.
pub type Tag = String;

/// A group and who is in it.
pub type Membership = (Tag, Tag);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub dn: String,
    /// Of a group, the names that it lists.
    pub members: BTreeSet<String>,
    /// Of a person, user names beside that of its name.
    pub uids: BTreeSet<String>,
}

/// One thing that happens to one entry.
#[derive(Debug, Clone)]
pub enum Op {
    Add(Tag, Entry),
    Remove(Tag),
    Rename(Tag, String),
    /// A group lists a name, or does not any more.
    List(Tag, String),
    Unlist(Tag, String),
    AddUid(Tag, String),
    RemoveUid(Tag, String),
    /// Nothing that counts: a member in another spelling.
    Spell,
}

/// What the overlay refint does behind it: everywhere a name is another one, or gone.
#[derive(Debug, Clone)]
pub struct Mend(String, Option<String>);

/// What the directory has.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub entries: BTreeMap<Tag, Entry>,
}

pub fn is_read(dn: &str) -> bool {
    !dn.contains("ou=away,")
}

/// The value of a name's first part.
pub fn rdn_value(dn: &str) -> &str {
    dn.split_once('=').and_then(|(_, rest)| rest.split_once(',')).unwrap().0
}

impl Tree {
    /// Whom groups list, read or not.
    pub fn listed(&self) -> BTreeSet<Membership> {
        let names: BTreeMap<&str, &Tag> = self.entries.iter().map(|(tag, entry)| (entry.dn.as_str(), tag)).collect();
        let mut all = BTreeSet::new();
        for (tag, entry) in &self.entries {
            let others =
                entry.members.iter().filter_map(|member| names.get(member.as_str())).filter(|other| **other != tag);
            all.extend(others.map(|other| (tag.clone(), (*other).clone())));
        }
        all
    }

    /// Who is in what: a group lists the name of an entry that is there and read.
    pub fn memberships(&self) -> BTreeSet<Membership> {
        let mut all = self.listed();
        all.retain(|(_, member)| is_read(&self.entries[member].dn));
        all
    }

    /// Everybody who is read.
    pub fn read(&self) -> BTreeSet<Tag> {
        self.entries.iter().filter(|(_, entry)| is_read(&entry.dn)).map(|(tag, _)| tag.clone()).collect()
    }

    /// Whether a group lists both.
    pub fn are_listed_together(&self, one: &str, other: &str) -> bool {
        self.entries.values().any(|entry| entry.members.contains(one) && entry.members.contains(other))
    }

    fn of(&mut self, tag: &Tag) -> &mut Entry {
        self.entries.get_mut(tag).unwrap()
    }

    /// Does it. What refint would do then is left to be done.
    pub fn apply(&mut self, op: &Op) -> Option<Mend> {
        match op {
            Op::Add(tag, entry) => drop(self.entries.insert(tag.clone(), entry.clone())),
            Op::Remove(tag) => return self.entries.remove(tag).map(|entry| Mend(entry.dn, None)),
            Op::Rename(tag, to) => {
                let entry = self.of(tag);
                entry.uids.remove(rdn_value(to));
                return Some(Mend(std::mem::replace(&mut entry.dn, to.clone()), Some(to.clone())));
            }
            Op::List(group, name) => drop(self.of(group).members.insert(name.clone())),
            Op::Unlist(group, name) => drop(self.of(group).members.remove(name)),
            Op::AddUid(tag, uid) => drop(self.of(tag).uids.insert(uid.clone())),
            Op::RemoveUid(tag, uid) => drop(self.of(tag).uids.remove(uid)),
            Op::Spell => {}
        }
        None
    }

    pub fn mend(&mut self, Mend(from, to): &Mend) {
        for entry in self.entries.values_mut() {
            if entry.members.remove(from) {
                entry.members.extend(to.clone());
            }
        }
    }

    /// Who could be seen in what while refint lags behind these: each state on the way.
    pub fn lagging(&self, ops: &[Op]) -> Vec<BTreeSet<Membership>> {
        let (mut tree, mut states) = (self.clone(), Vec::new());
        let mut mends = Vec::new();
        for op in ops {
            mends.extend(tree.apply(op));
            let mut mended = tree.clone();
            states.push(mended.listed());
            for mend in &mends {
                mended.mend(mend);
                states.push(mended.listed());
            }
        }
        states
    }
}

/// A line of LDIF.
pub fn line(key: &str, value: &str) -> String {
    if value.is_ascii() { format!("{key}: {value}\n") } else { format!("{key}:: {}\n", BASE64_STANDARD.encode(value)) }
}

/// The lines of one entry of LDIF, by key.
pub fn values(entry: &str, key: &str) -> Vec<String> {
    let value = |line: &str| {
        let value = line.strip_prefix(key)?.strip_prefix(':')?;
        Some(match value.strip_prefix(": ") {
            Some(coded) => String::from_utf8(BASE64_STANDARD.decode(coded).unwrap()).unwrap(),
            None => value.strip_prefix(' ')?.to_owned(),
        })
    };
    entry.lines().filter_map(value).collect()
}

/// The name as somebody else would write it: letters, spaces, codes of characters, numbers of attributes, other forms
/// of one letter.
pub fn spelled(random: &mut Random, dn: &str) -> String {
    let (attribute, rest) = dn.split_once('=').unwrap();
    let (value, parent) = rest.split_once(',').unwrap();
    let attribute = match random.below(4) {
        0 => attribute.to_uppercase(),
        1 if attribute == "uid" => "0.9.2342.19200300.100.1.1".to_owned(),
        1 => "2.5.4.3".to_owned(),
        _ => attribute.to_owned(),
    };
    let value = match random.below(5) {
        0 => value.to_uppercase(),
        1 => format!("\\{:02x}{}", value.as_bytes()[0], &value[1..]),
        2 => value.replace('\u{e9}', "e\u{301}"),
        3 => value.replace('\u{e9}', "E\u{301}").replace('u', "\u{ff35}"),
        _ => value.to_owned(),
    };
    let parent = match random.below(4) {
        0 => parent.to_uppercase(),
        1 => parent.replace('=', " = ").replace(',', " , "),
        _ => parent.to_owned(),
    };
    let [equals, comma] =
        ["=", ","].map(|sign| if random.below(4) == 0 { format!(" {sign} ") } else { sign.to_owned() });
    format!("{attribute}{equals}{value}{comma}{parent}")
}
