//! What entries mean: a person, a group and whom it lists, whether an account is in force. Pure; the time is a parameter.
//! Values are bytes until somebody knows better, so an id that happens to be text is read like any other.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_events::{Id, SourceName, body::SourcePerson};
use rollcall_ingest::connector::PersonalData;

use crate::{
    config::{Attributes, Config},
    schema::{account::AccountRules, server::Kind},
    wire::{dn::Dn, filter::Filter, message::Entry},
};

/// A person as the directory has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    pub id: Id,
    pub dn: Dn,
    pub username: Option<String>,
    pub active: bool,
    /// What is kept beside the log; None where it is not known here.
    pub names: Option<PersonalData>,
    /// Every value of the user name's attribute: what a posixGroup may call them.
    pub uids: Vec<String>,
    /// The SID of the primary group (Active Directory).
    pub primary: Option<Vec<u8>>,
    /// The groups that the entry itself names, where the operator wants that.
    pub member_of: Vec<Dn>,
    /// The same person in other sources, by the ids that the entry keeps of them.
    pub same_as: Vec<SourcePerson>,
}

impl Person {
    /// Keeps the user name that was said last, where the entry is not named by any: a second value renames nobody.
    pub fn keep_name(&mut self, schema: &Schema, said: impl Fn(&str) -> bool) {
        let named = self
            .username
            .as_deref()
            .is_some_and(|name| self.dn.names(&schema.username).any(|value| value.trim() == name));
        if !named
            && self.uids.len() > 1
            && let Some(kept) = self.uids.iter().find(|uid| said(uid))
        {
            self.username = Some(kept.clone());
        }
    }
}

/// A group as the directory has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub id: Id,
    pub dn: Dn,
    /// Its name as it is written.
    pub text: String,
    pub name: Option<String>,
    pub members: Vec<Listed>,
    pub sid: Option<Vec<u8>>,
}

/// Somebody whom a group lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listed {
    /// By name.
    Dn(Dn),
    /// By user name (posixGroup).
    Uid(String),
    /// By something that is no name; kept for people to see.
    Garbage(String),
}

/// An entry of which nothing can be concluded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{dn}: {what}")]
pub struct Unreadable {
    pub dn: String,
    pub what: String,
}

/// The attributes and classes that are asked for, fitted to a server.
#[derive(Debug, Clone)]
pub struct Schema {
    pub kind: Kind,
    pub id: String,
    pub username: String,
    pub email: String,
    pub name: String,
    pub group_name: String,
    pub people: Filter,
    pub groups: Filter,
    pub member_of: bool,
    /// How many members are asked for at once.
    pub members: Option<u32>,
    /// What says whether an account is in force.
    pub accounts: AccountRules,
    /// What people may also type as their name, beside the user name.
    pub sign_in: Vec<String>,
    /// What holds the id that another source has for the same person.
    pub links: BTreeMap<SourceName, String>,
}

/// What group entries name their members with.
pub const MEMBER_LISTS: [&str; 3] = ["member", "uniqueMember", "memberUid"];

impl Schema {
    pub fn of(config: &Config, kind: Kind) -> Self {
        let Attributes { id, username, email, name, group_name, sign_in, links, .. } = config.attributes.clone();
        let class = |name: &str| Filter::Equal("objectClass".to_owned(), name.as_bytes().to_vec());
        let usual_people = match kind {
            Kind::ActiveDirectory => {
                Filter::And(vec![Filter::Equal("objectCategory".to_owned(), b"person".to_vec()), class("user")])
            }
            _ => Filter::Or(["inetOrgPerson", "posixAccount", "account"].map(class).to_vec()),
        };
        let usual_groups = match kind {
            Kind::ActiveDirectory => class("group"),
            _ => Filter::Or(
                ["groupOfNames", "groupOfUniqueNames", "posixGroup", "groupOfMembers", "groupOfEntries", "groupOfURLs"]
                    .map(class)
                    .to_vec(),
            ),
        };
        let usual_sign_in: &[&str] = match kind {
            Kind::ActiveDirectory => &["userPrincipalName", "mail"],
            _ => &["mail"],
        };
        let usual_name = if kind == Kind::ActiveDirectory { "sAMAccountName" } else { "uid" };
        Self {
            kind,
            id: id.unwrap_or_else(|| kind.id().to_owned()),
            username: username.unwrap_or_else(|| usual_name.to_owned()),
            email,
            name,
            group_name,
            people: config.people_filter.clone().unwrap_or(usual_people),
            groups: config.group_filter.clone().unwrap_or(usual_groups),
            member_of: config.member_of,
            members: config.members,
            accounts: AccountRules::of(config, kind),
            links,
            sign_in: sign_in.unwrap_or_else(|| usual_sign_in.iter().map(|&name| name.to_owned()).collect()),
        }
    }

    /// What is asked of a person.
    pub fn person_attributes(&self) -> Vec<String> {
        let mut names = vec![self.id.as_str(), "objectClass", &self.username, &self.email, &self.name, "cn"];
        names.extend(self.accounts.attributes());
        names.extend(self.links.values().map(String::as_str));
        if self.kind == Kind::ActiveDirectory {
            names.extend(["primaryGroupID", "objectSid"]);
        }
        if self.member_of {
            names.push("memberOf");
        }
        names.into_iter().map(str::to_owned).collect()
    }

    /// What is asked of a group.
    pub fn group_attributes(&self) -> Vec<String> {
        let mut names = vec![self.id.as_str(), "objectClass", &self.group_name];
        if self.kind == Kind::ActiveDirectory {
            names.push("objectSid");
        }
        let lists = MEMBER_LISTS.map(|list| match self.members.filter(|_| list == "member") {
            Some(most) => format!("{list};range=0-{}", most.saturating_sub(1)),
            None => list.to_owned(),
        });
        names.into_iter().map(str::to_owned).chain(lists).collect()
    }

    /// What is asked of an entry that may have changed: also what is not asked here changes nothing here.
    pub fn announcing_attributes(&self) -> Vec<String> {
        let mut names = [self.person_attributes(), self.group_attributes()].concat();
        names.extend(["name", "isDeleted"].map(str::to_owned));
        self.people.names(&mut names);
        self.groups.names(&mut names);
        let plain = names.iter().map(|name| name.split(';').next().unwrap_or_default().to_ascii_lowercase());
        plain.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Reads a person.
    pub fn person(&self, entry: &Entry, now: DateTime<Utc>) -> Result<Person, Unreadable> {
        let (id, dn) = self.identity(entry)?;
        let usernames = || entry.texts(&self.username).map(str::trim).filter(|text| !text.is_empty());
        let named = |name: &&str| dn.names(&self.username).any(|value| value.trim() == *name);
        // The one that the entry is named by comes before others; of these any may come first, and the least is always the same.
        let username = usernames().filter(named).min().or_else(|| usernames().min());
        let name = entry.text(&self.name).or_else(|| entry.text("cn"));
        let domain =
            entry.values("objectSid").first().and_then(|sid| Some(sid.get(..sid.len().checked_sub(4)?)?.to_vec()));
        let rid = entry.text("primaryGroupID").and_then(|text| text.parse::<u32>().ok());
        let member_of = if self.member_of { entry.texts("memberOf") } else { entry.texts("") };
        Ok(Person {
            username: username.map(str::to_owned),
            active: self.accounts.in_force(entry, now),
            names: Some(PersonalData {
                email: entry.text(&self.email).map(str::to_owned),
                name: name.map(str::to_owned),
            }),
            uids: usernames().map(str::to_owned).collect(),
            primary: domain.zip(rid).map(|(domain, rid)| [domain, rid.to_le_bytes().to_vec()].concat()),
            member_of: member_of.filter_map(|text| text.parse().ok()).collect(),
            same_as: self.links.iter().filter_map(|(source, attribute)| same_as(entry, source, attribute)).collect(),
            id,
            dn,
        })
    }

    /// Reads a group; its lists are whole.
    pub fn group(&self, entry: &Entry) -> Result<Group, Unreadable> {
        let (id, dn) = self.identity(entry)?;
        if entry.is("groupOfURLs") {
            let what = "a dynamic group (groupOfURLs), whose members only the server could work out; leave it out with group_filter";
            return Err(Unreadable { dn: entry.dn.clone(), what: what.to_owned() });
        }
        let mut members: Vec<Listed> = Vec::new();
        for (list, value) in
            MEMBER_LISTS.iter().flat_map(|list| entry.values(list).iter().map(move |value| (*list, value)))
        {
            let text = String::from_utf8_lossy(value);
            // Servers and people leave an empty value where the schema wants one.
            if text.trim().is_empty() {
                continue;
            }
            members.push(match list {
                "memberUid" => Listed::Uid(text.trim().to_owned()),
                _ => {
                    let name = if list == "uniqueMember" { without_bits(&text) } else { &text };
                    name.parse().map_or_else(|_| Listed::Garbage(text.escape_debug().to_string()), Listed::Dn)
                }
            });
        }
        members.sort();
        members.dedup();
        Ok(Group {
            id,
            // A dummy member that is the group itself is nobody.
            members: members.into_iter().filter(|member| *member != Listed::Dn(dn.clone())).collect(),
            dn,
            text: entry.dn.clone(),
            name: entry.text(&self.group_name).map(str::to_owned),
            sid: entry.values("objectSid").first().cloned(),
        })
    }

    /// An id as the directory has it in a filter.
    pub fn id_value(&self, id: &Id) -> Vec<u8> {
        let text = id.as_str();
        let guid = self.id.eq_ignore_ascii_case("GUID");
        if !guid && !self.id.eq_ignore_ascii_case("objectGUID") {
            return text.as_bytes().to_vec();
        }
        let digits: Vec<u8> =
            text.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
        let bytes: Vec<u8> =
            digits.chunks_exact(2).filter_map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect();
        match <[u8; 16]>::try_from(bytes) {
            // eDirectory's is in the order in which it is written.
            Ok(bytes) if guid => bytes.to_vec(),
            Ok([d, c, b, a, f, e, h, g, rest @ ..]) => [[a, b, c, d, e, f, g, h], rest].concat(),
            Err(_) => text.as_bytes().to_vec(),
        }
    }

    /// The id of an entry.
    pub fn id_of(&self, entry: &Entry) -> Result<Id, Unreadable> {
        let fail = |what: String| Unreadable { dn: entry.dn.clone(), what };
        let value = entry.values(&self.id).first();
        let value = value.ok_or_else(|| {
            fail(format!(
                "it has no {}; the bind account may not read it, or `id_attribute` should name another",
                self.id
            ))
        })?;
        id_of(&self.id, value).ok_or_else(|| fail(format!("its {} is no id", self.id)))
    }

    fn identity(&self, entry: &Entry) -> Result<(Id, Dn), Unreadable> {
        let fail = |error: crate::wire::dn::InvalidDn| Unreadable { dn: entry.dn.clone(), what: error.to_string() };
        Ok((self.id_of(entry)?, entry.dn.parse().map_err(fail)?))
    }
}

/// The person of another source that an entry names by an attribute: by its one value, as two name nobody.
fn same_as(entry: &Entry, source: &SourceName, attribute: &str) -> Option<SourcePerson> {
    let mut values = entry.texts(attribute).map(str::trim).filter(|text| !text.is_empty());
    let person = values.next().filter(|_| values.next().is_none())?.parse().ok()?;
    Some(SourcePerson { source: source.clone(), person })
}

/// An id as text: 16 bytes of a GUID as Microsoft writes them, anything else as it is, in lower case.
fn id_of(attribute: &str, value: &[u8]) -> Option<Id> {
    if attribute.eq_ignore_ascii_case("objectGUID") {
        let [a, b, c, d, e, f, g, h, rest @ ..] = <[u8; 16]>::try_from(value).ok()?;
        return uuid_text(&[[d, c, b, a, f, e, h, g], rest].concat()).parse().ok();
    }
    if attribute.eq_ignore_ascii_case("GUID") {
        return uuid_text(&<[u8; 16]>::try_from(value).ok()?).parse().ok();
    }
    let text = std::str::from_utf8(value).ok()?.trim();
    let uuid = ["entryuuid", "nsuniqueid", "ipauniqueid"].contains(&attribute.to_ascii_lowercase().as_str());
    if uuid { text.to_ascii_lowercase().parse().ok() } else { text.parse().ok() }
}

/// 16 bytes as a UUID is written.
pub fn uuid_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// A uniqueMember may carry a bit string behind its name: `cn=a,dc=x#'0101'B`.
fn without_bits(text: &str) -> &str {
    match text.rsplit_once('#') {
        Some((name, bits)) if bits.starts_with('\'') && bits.ends_with("'B") => name,
        _ => text,
    }
}
