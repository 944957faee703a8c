//! What holds of a mirror: on the way, nothing was recorded that the directory had not done; in the end it is the
//! directory, and everybody has their own name and nobody else's roles.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_events::{Body, Id, Position, body::Member};
use serde_json::{Value, json};

use super::{
    World,
    tree::{Membership, Tag, is_read, rdn_value, values},
};
use crate::support::{
    server::{Server, claims},
    wait_for,
};

/// The directory as it answers itself: which of two spellings is a name, and who is listed by it, is its to say.
pub struct Answered {
    pub memberships: BTreeSet<Membership>,
    pub read: BTreeSet<Tag>,
    pub ids: BTreeMap<String, Tag>,
    /// Of every person who is read, by id, the name's own user name, and the tag.
    pub people: BTreeMap<String, (String, Tag)>,
}

/// A role that somebody gives by hand, and where.
const ROLE: &str = "developer";
const PROJECT: &str = "lab";
/// How many sign in at each look.
const SIGN_INS: usize = 8;

impl World {
    pub fn ask(&self) -> Answered {
        let mut named = Vec::new();
        let (mut read, mut ids, mut people) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        for entry in self.slapd.dump(&["description", "entryUUID"]).split("\n\n") {
            let value = |key: &str| values(entry, key).pop();
            let (Some(dn), Some(tag), Some(id)) = (value("dn"), value("description"), value("entryUUID")) else {
                continue;
            };
            if is_read(&dn) {
                read.insert(tag.clone());
                if tag.starts_with('p') {
                    people.insert(id.clone(), (rdn_value(&dn).to_owned(), tag.clone()));
                }
            }
            named.push((dn, tag.clone()));
            ids.insert(id, tag);
        }
        let tags: BTreeMap<&String, &Tag> = named.iter().map(|(dn, tag)| (dn, tag)).collect();
        let wanted: Vec<&(String, Tag)> = named.iter().filter(|(dn, _)| is_read(dn)).collect();
        let names: Vec<&str> = wanted.iter().map(|(dn, _)| dn.as_str()).collect();
        let mut memberships = BTreeSet::new();
        for ((_, member), groups) in wanted.iter().zip(self.slapd.listing(&names)) {
            let others = groups.iter().filter_map(|dn| tags.get(dn)).filter(|group| **group != member);
            memberships.extend(others.map(|group| ((*group).clone(), member.clone())));
        }
        Answered { memberships, read, ids, people }
    }

    /// Whatever was recorded to be gone had been taken away, and whatever was recorded to be given had been given.
    pub fn check(&mut self) {
        for (position, body) in self.mirror.said(self.looked) {
            self.looked = position;
            let tag = |id: &Id| self.tags.get(id.as_str()).cloned();
            let gone = match &body {
                Body::PersonUpserted(person) => {
                    if let (Some(tag), Some(name)) = (tag(&person.person), &person.username) {
                        let called = &self.called[&tag];
                        assert!(called.contains(name), "{position} {tag} is called {name}, and was only {called:?}");
                    }
                    continue;
                }
                Body::PersonRemoved(gone) => tag(&gone.person).map(|tag| (tag.clone(), tag)),
                Body::GroupRemoved(gone) => tag(&gone.group).map(|tag| (tag.clone(), tag)),
                Body::GroupMemberRemoved(gone) => {
                    let (Member::Person(id) | Member::Group(id)) = &gone.member else { panic!("{gone:?}") };
                    // The account that reads is in every group and has no tag: it leaves with the group.
                    tag(&gone.group).map(|group| (group.clone(), tag(id).unwrap_or(group)))
                }
                Body::GroupMemberAdded(fact) => {
                    let (Member::Person(id) | Member::Group(id)) = &fact.member else { panic!("{fact:?}") };
                    if let Some(membership) = tag(&fact.group).zip(tag(id)) {
                        let given = self.given.contains(&membership);
                        assert!(given, "{position} {membership:?} was given, and the directory never said so");
                    }
                    continue;
                }
                _ => continue,
            };
            let gone = gone.unwrap_or_else(|| panic!("{body:?} of somebody unknown"));
            let member = matches!(body, Body::GroupMemberRemoved(_));
            if member && gone.0 == gone.1 {
                assert!(self.taken.contains_key(&gone), "{position} {body:?}: the group is there");
                continue;
            }
            let times = self.recorded.entry(gone.clone()).or_default();
            *times += 1;
            let taken = self.taken.get(&gone).copied().unwrap_or_default();
            assert!(*times <= taken, "{position} {gone:?} ended {times} times, and was taken {taken} times");
        }
        if let Some(server) = self.mirror.product() {
            let others: Vec<String> = holders(server).difference(&self.bound).cloned().collect();
            assert!(others.is_empty(), "{others:?} have what was given by hand to {:?}", self.bound);
        }
    }

    /// The subjects that stand by the log.
    pub fn standing(&self) -> BTreeSet<String> {
        let mut stands = BTreeMap::new();
        for (_, body) in self.mirror.said(Position(0)).iter().filter(|(_, body)| body.emitter().is_for_connectors()) {
            stands.insert(body.subject(), !body.is_removal());
        }
        stands.into_iter().filter(|(_, stands)| *stands).map(|(subject, _)| subject).collect()
    }

    /// What came after the first read: the guard holds nothing of what came a moment ago.
    pub fn newcomers(&self) -> BTreeSet<String> {
        let (mut stands, mut new, mut first_read) = (BTreeSet::new(), BTreeSet::new(), true);
        for (_, body) in self.mirror.said(Position(0)) {
            if matches!(body, Body::SnapshotApplied(_)) {
                first_read = false;
            } else if body.emitter().is_for_connectors() && body.is_removal() {
                stands.remove(&body.subject());
            } else if body.emitter().is_for_connectors() && stands.insert(body.subject()) && !first_read {
                new.insert(body.subject());
            }
        }
        new
    }

    /// The mirrored memberships and entries, by tag.
    fn mirrored(&self) -> (BTreeSet<Membership>, BTreeSet<Tag>) {
        let (mut members, mut entries) = (BTreeSet::new(), BTreeSet::new());
        for subject in self.standing() {
            let parts: Vec<&str> = subject.split('/').collect();
            let tag = |id: &str| self.tags.get(id).cloned();
            match parts.as_slice() {
                ["member", group, _, member] => members.extend(tag(group).zip(tag(member))),
                [_, id] => entries.extend(tag(id)),
                other => panic!("{other:?}"),
            }
        }
        (members, entries)
    }

    /// Everything is well again, read and confirmed: now the mirror is the directory.
    pub fn settle(&mut self) {
        self.note("settle");
        self.wire.pass();
        self.wire.cut();
        let answered = self.ask();
        if !self.mirror.read() {
            wait_for("the mirror", || {
                let (members, entries) = self.mirrored();
                let there = members == answered.memberships && entries == answered.read;
                if !there {
                    let _ = self.mirror.read();
                }
                there.then_some(())
            });
        }
        self.check();
        let (members, entries) = self.mirrored();
        let (mut missing, mut more) = (answered.memberships.clone(), members);
        more.retain(|membership| !missing.remove(membership));
        assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, too many {more:?}");
        assert_eq!(entries, answered.read);
        // From here on what ends must be taken away anew.
        self.taken.clear();
        self.recorded.clear();
        self.check_people(&answered);
    }

    /// Everybody is found by their own id, called as the directory says or told not to be, and signs in as nobody else.
    fn check_people(&mut self, answered: &Answered) {
        let Some(server) = self.mirror.product() else { return };
        let called = wait_for("the names", || {
            let users = server.pages("/api/v1/users?source=corp-ldap&limit=500");
            let called: BTreeMap<String, String> =
                users.iter().map(|user| (id_of(user, "id"), text(user, "name"))).collect();
            let told = server.pages("/api/v1/problems?kind=user_name&limit=500");
            let could_pass = told.iter().any(|row| self.could_pass(row, answered));
            let told: BTreeSet<String> = told.iter().map(|row| id_of(row, "subject")).collect();
            let otherwise = answered.people.iter().filter(|(id, (uid, _))| called.get(*id) != Some(uid));
            let otherwise: BTreeSet<String> = otherwise.map(|(id, _)| id.clone()).collect();
            (told == otherwise && !could_pass).then_some(called)
        });
        let names: BTreeSet<&String> = called.values().collect();
        assert_eq!(names.len(), called.len(), "two are called alike: {called:?}");
        for _ in 0..SIGN_INS.min(answered.people.len()) {
            let (id, (_, tag)) = answered.people.iter().nth(self.random.below(answered.people.len())).unwrap();
            let name = &called[id];
            let user = server.get(&format!("/api/v1/users/{name}")).expect(200).json();
            assert_eq!(id_of(&user, "id"), *id, "{user}");
            // Everybody's password is their tag.
            let token = server.token(name, tag, &format!("&scope=repository:{PROJECT}/x:push")).expect(200).json();
            let claims = claims(token["token"].as_str().unwrap());
            assert_eq!(
                (claims["sub"].as_str(), claims["access"] != json!([])),
                (Some(&**name), self.bound.contains(id))
            );
        }
    }

    /// Whether nothing keeps a name from whoever is told not to have it: who has or had it is there, is to be called
    /// otherwise, and has nothing by it.
    fn could_pass(&self, told: &Value, answered: &Answered) -> bool {
        let (uid, _) = &answered.people[&id_of(told, "subject")];
        let why = text(told, "why");
        let (_, holder) = why.rsplit_once('/').unwrap_or_else(|| panic!("{told}"));
        answered.people.get(holder).is_some_and(|(own, _)| own != uid && !self.bound.contains(holder))
    }

    /// A role is given by hand to somebody who is known, by id.
    pub fn give_by_hand(&mut self) {
        let Some(server) = self.mirror.product() else { return };
        let users = server.pages("/api/v1/users?source=corp-ldap&limit=500");
        let known: Vec<String> = users.iter().map(|user| id_of(user, "id")).collect();
        if known.is_empty() {
            return;
        }
        let id = known[self.random.below(known.len())].clone();
        let binding =
            json!({"principal": {"user": format!("corp-ldap/{id}")}, "role": ROLE, "scope": {"project": PROJECT}});
        if self.bound.insert(id.clone()) {
            server.post("/api/v1/bindings", &binding).expect(200);
        }
        let step = format!("{id} has a role by hand");
        self.note(&step);
    }
}

/// Where roles are given by hand.
pub fn prepare(server: &Server) {
    server.post("/api/v1/projects", &json!({"name": PROJECT})).expect(201);
}

/// Who has the role, by id.
fn holders(server: &Server) -> BTreeSet<String> {
    let answer = server.get(&format!("/api/v1/projects/{PROJECT}/members?limit=500")).expect(200).json();
    let held = answer["items"].as_array().unwrap().iter().filter(|row| row["role"] == ROLE);
    held.map(|row| id_of(row, "user_id")).collect()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}")).to_owned()
}

/// An entry's id in what the product calls it: `corp-ldap/ID`, `person/ID`.
fn id_of(value: &Value, key: &str) -> String {
    let text = text(value, key);
    text.split_once('/').unwrap_or_else(|| panic!("{key} of {value}")).1.to_owned()
}
