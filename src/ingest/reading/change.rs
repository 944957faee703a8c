//! What would be recorded so that the log says what the source says: one change per subject, in the order in which they
//! are appended, each as an event and as a sentence. Pure.

use std::collections::BTreeMap;

use rollcall_events::{
    Body, Digest, Epoch, NewEvent, Position, SourceName,
    body::{EntitlementState, Member, Person, SourcePerson},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::string_enum::string_enum;

string_enum! {
    /// What a change does to its subject.
    ChangeKind {
        /// It is new, or back.
        Add = "add",
        /// It is otherwise than it was, and gives no less.
        Change = "change",
        /// It is gone, or gives less: a suspended person counts as removed, and so does whoever is said to be somebody no
        /// more.
        Remove = "remove",
    }
}

/// One subject that the source states otherwise than it did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub subject: String,
    /// What the source says now.
    pub body: Body,
    /// Where it said something of the subject last; 0 for never.
    pub previous: Position,
    /// What stood until now.
    pub was: Option<Body>,
}

impl Change {
    pub fn verb(&self) -> ChangeKind {
        match &self.was {
            _ if self.body.is_removal() => ChangeKind::Remove,
            None => ChangeKind::Add,
            Some(was) if is_effective(was) && !is_effective(&self.body) => ChangeKind::Remove,
            Some(_) if self.loses_links() => ChangeKind::Remove,
            Some(_) => ChangeKind::Change,
        }
    }

    /// Whether its person is no longer said to be somebody of another source.
    pub fn loses_links(&self) -> bool {
        let was = self.was.as_ref().map(links_of).unwrap_or_default();
        was.iter().any(|one| !links_of(&self.body).contains(one))
    }

    /// The change in two: what it is without what links say otherwise than before, and that.
    pub fn without_links(self) -> (Option<Self>, Option<Self>) {
        let Body::PersonUpserted(person) = &self.body else { return (Some(self), None) };
        let said = self.was.as_ref().map(links_of).unwrap_or_default();
        if person.same_as == said {
            return (Some(self), None);
        }
        let before = Body::PersonUpserted(Person { same_as: said.to_vec(), ..person.clone() });
        let differs = self.was.as_ref() != Some(&before);
        let kept = differs.then(|| Self { body: before.clone(), ..self.clone() });
        (kept, Some(Self { was: Some(before), ..self }))
    }

    /// As an event of a run. The same difference found again has the same id; going back to an old state has a new one.
    pub fn event(&self, source: &SourceName, run: &str) -> NewEvent {
        let epoch = Epoch::of_run(run).unwrap_or_default();
        let id = fact_id(source, &self.subject, epoch, self.previous, &self.body.data());
        NewEvent { correlation: Some(run.into()), ..NewEvent::of(source.clone(), id.to_string(), &self.body) }
    }

    /// The subjects whose names [`Self::text`] tells.
    pub fn names(&self) -> Vec<String> {
        let (Body::GroupMemberAdded(member) | Body::GroupMemberRemoved(member)) = &self.body else { return Vec::new() };
        let mut subjects = vec![format!("group/{}", member.group)];
        match &member.member {
            Member::Person(id) => subjects.push(format!("person/{id}")),
            Member::Group(id) => subjects.push(format!("group/{id}")),
            Member::Service(_) => {}
        }
        subjects
    }

    /// What it means, for people. `known` finds what stands of a subject, for its name.
    pub fn text(&self, known: &dyn Fn(&str) -> Option<Body>) -> String {
        let name = |subject: String, id: &str| known(&subject).and_then(|body| label(&body)).unwrap_or(id.to_owned());
        match (&self.body, self.verb()) {
            (Body::GroupMemberAdded(member) | Body::GroupMemberRemoved(member), verb) => {
                let who = match &member.member {
                    Member::Person(id) => name(format!("person/{id}"), id.as_str()),
                    Member::Service(id) => format!("the service {id}"),
                    Member::Group(id) => format!("the group {}", name(format!("group/{id}"), id.as_str())),
                };
                let group = name(format!("group/{}", member.group), member.group.as_str());
                format!("{who} {} the group {group}", if verb == ChangeKind::Remove { "leaves" } else { "enters" })
            }
            (body, verb) => {
                let was = self.was.as_ref();
                let noun = self.subject.split('/').next().unwrap_or_default().replace('_', " ");
                let id = self.subject.split_once('/').map_or("", |(_, id)| id);
                let name = was.and_then(label).or_else(|| label(body)).unwrap_or(id.to_owned());
                match verb {
                    ChangeKind::Add => format!("the {noun} {name} appears"),
                    ChangeKind::Remove if body.is_removal() => format!("the {noun} {name} is gone"),
                    ChangeKind::Change | ChangeKind::Remove => {
                        format!("the {noun} {name} {}", was.map_or(String::new(), |was| differences(was, body)))
                    }
                }
            }
        }
    }
}

/// What a fact says otherwise than before, member by member.
fn differences(was: &Body, now: &Body) -> String {
    let mut all = Vec::new();
    match (is_effective(was), is_effective(now)) {
        (true, false) => all.push("is no longer active".to_owned()),
        (false, true) => all.push("is active again".to_owned()),
        _ => {}
    }
    let (old, new) = (label(was), label(now));
    if let Some(new) = new.filter(|new| old.as_ref() != Some(new)) {
        all.push(format!("is now {new}"));
    }
    for (word, from, to) in [("said to be", now, was), ("no longer said to be", was, now)] {
        let only = links_of(from).iter().filter(|one| !links_of(to).contains(one));
        all.extend(only.map(|one| format!("is {word} {} of {}", one.person, one.source)));
    }
    // Told above.
    let told = ["active", "state", "container_delivery", "username", "name", "same_as"];
    let members =
        |body: &Body| serde_json::from_str::<serde_json::Map<String, Value>>(&body.data()).unwrap_or_default();
    let (old, new) = (members(was), members(now));
    let nothing = Value::Null;
    for member in old.keys().chain(new.keys().filter(|member| !old.contains_key(*member))) {
        let [before, after] = [&old, &new].map(|of| of.get(member).unwrap_or(&nothing));
        if before != after && !told.contains(&member.as_str()) {
            all.push(format!("has {member} {after}, not {before}"));
        }
    }
    if all.is_empty() { "changes".to_owned() } else { all.join(" and ") }
}

/// The idempotency id of a fact that was found by comparing or by looking up (DESIGN 4). The epoch is in it, so that no
/// fact is taken for the same one of an older runner, which was refused because it came too late.
pub(crate) fn fact_id(source: &SourceName, subject: &str, epoch: Epoch, previous: Position, data: &str) -> Digest {
    let mut hash = Sha256::new();
    let (epoch, previous) = (epoch.0.to_be_bytes(), previous.0.to_be_bytes());
    for field in [source.as_str().as_bytes(), subject.as_bytes(), &epoch, &previous, data.as_bytes()] {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    Digest(hash.finalize().into())
}

/// Whether a fact that stands can give anybody anything: one that no longer does is a removal for the guard. Every type
/// is listed, so that a new one is decided here.
pub(crate) fn is_effective(body: &Body) -> bool {
    match body {
        Body::PersonUpserted(person) => person.active,
        Body::EntitlementUpserted(entitlement) => entitlement.state == EntitlementState::Active,
        Body::PackageUpserted(package) => package.container_delivery,
        Body::AccountUpserted(_)
        | Body::PermissionGranted(_)
        | Body::ProductUpserted(_)
        | Body::PackageProductMapped(_)
        | Body::LineUpserted(_)
        | Body::PersonAssigned(_)
        | Body::GroupUpserted(_)
        | Body::GroupMemberAdded(_) => true,
        Body::AccountRemoved(_)
        | Body::PersonRemoved(_)
        | Body::PermissionRevoked(_)
        | Body::ProductRemoved(_)
        | Body::PackageRemoved(_)
        | Body::PackageProductUnmapped(_)
        | Body::EntitlementRemoved(_)
        | Body::LineRemoved(_)
        | Body::PersonUnassigned(_)
        | Body::GroupRemoved(_)
        | Body::GroupMemberRemoved(_) => false,
        // No source states these.
        Body::SnapshotStarted(_)
        | Body::SnapshotSealed(_)
        | Body::SnapshotAborted(_)
        | Body::SnapshotHeld(_)
        | Body::SnapshotApplied(_)
        | Body::SnapshotDiscarded(_)
        | Body::SourceRetired(_)
        | Body::SourceSuspended(_)
        | Body::SourceResumed(_)
        | Body::IdentityLinked(_)
        | Body::UserNameGiven(_)
        | Body::UserNameFreed(_)
        | Body::IdentityUnlinked(_)
        | Body::FolderUpserted(_)
        | Body::FolderRemoved(_)
        | Body::ProjectCreated(_)
        | Body::ProjectUpdated(_)
        | Body::ProjectDeleted(_)
        | Body::BindingSet(_)
        | Body::BindingRemoved(_)
        | Body::ServiceCreated(_)
        | Body::ServiceRemoved(_)
        | Body::SecretInvited(_)
        | Body::SecretIssued(_)
        | Body::SecretRevoked(_)
        | Body::CredentialsReset(_)
        | Body::LogClockMended(_)
        | Body::LogReaderRaised(_)
        | Body::SettingsSet(_)
        | Body::ProfileSet(_) => true,
    }
}

/// Whom a person is said to be in other sources.
pub(crate) fn links_of(body: &Body) -> &[SourcePerson] {
    match body {
        Body::PersonUpserted(person) => &person.same_as,
        _ => &[],
    }
}

/// A fact without them.
pub(crate) fn without_links(body: &Body) -> Body {
    match body {
        Body::PersonUpserted(person) => Body::PersonUpserted(Person { same_as: Vec::new(), ..person.clone() }),
        other => other.clone(),
    }
}

/// How people know it.
fn label(body: &Body) -> Option<String> {
    match body {
        Body::PersonUpserted(person) => person.username.clone(),
        Body::GroupUpserted(group) => group.name.clone(),
        Body::AccountUpserted(account) => account.name.clone(),
        Body::ProductUpserted(product) => product.name.clone(),
        Body::PackageUpserted(package) => package.name.clone(),
        _ => None,
    }
}

/// Puts changes in the order in which they are appended: what is named before what names it, removals last and the
/// other way round.
pub(crate) fn in_order(mut changes: Vec<Change>) -> Vec<Change> {
    let rank = |body: &Body| Body::TYPES.iter().position(|kind| *kind == body.kind()).unwrap_or_default();
    changes.sort_unstable_by(|a, b| a.subject.cmp(&b.subject));
    changes.sort_by_cached_key(|change| {
        let (last, rank) = (change.verb() == ChangeKind::Remove, rank(&change.body));
        (last, if last { usize::MAX - rank } else { rank })
    });
    changes
}

/// A digest over what would be appended, whatever the order.
pub(crate) fn digest<'a>(changes: impl Iterator<Item = &'a Change>) -> Digest {
    let all: BTreeMap<&str, (&str, String)> =
        changes.map(|change| (change.subject.as_str(), (change.body.kind(), change.body.data()))).collect();
    let mut hash = Sha256::new();
    for (subject, (kind, data)) in all {
        for field in [subject, kind, &data] {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field);
        }
    }
    Digest(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{group, member, person, said_to_be};

    fn change(was: Option<Body>, now: Body) -> Change {
        Change { subject: now.subject(), body: now, previous: Position(3), was }
    }

    #[test]
    fn a_difference_reads_as_a_sentence() {
        let known = |subject: &str| match subject {
            "person/7" => Body::parse(
                "rollcall.person.upserted.v1",
                r#"{"person":"7","username":"ada","account":null,"active":true}"#,
            )
            .ok(),
            "group/ops" => group("ops"),
            _ => None,
        };
        let enters = member("ops", "7").unwrap();
        let leaves = enters.removal().unwrap();
        let unnamed = member("x", "8").unwrap();
        let (on, off) = (person("bob", true).unwrap(), person("bob", false).unwrap());
        let moved = r#"{"group":"ops","name":"the ops","external_id":"cn=ops"}"#;
        let moved = Body::parse("rollcall.group.upserted.v1", moved).unwrap();
        for (change, verb, text) in [
            (change(None, enters.clone()), ChangeKind::Add, "ada enters the group the ops"),
            (change(Some(enters), leaves), ChangeKind::Remove, "ada leaves the group the ops"),
            (change(None, unnamed), ChangeKind::Add, "8 enters the group x"),
            (change(None, on.clone()), ChangeKind::Add, "the person bob appears"),
            (change(Some(on.clone()), off.clone()), ChangeKind::Remove, "the person bob is no longer active"),
            (change(Some(off.clone()), on.clone()), ChangeKind::Change, "the person bob is active again"),
            (change(Some(on.clone()), on.removal().unwrap()), ChangeKind::Remove, "the person bob is gone"),
            (
                change(Some(said_to_be("bob", true, "7").unwrap()), said_to_be("bob", true, "8").unwrap()),
                ChangeKind::Remove,
                "the person bob is said to be 8 of flexnet and is no longer said to be 7 of flexnet",
            ),
            (
                change(Some(group("ops").unwrap()), moved),
                ChangeKind::Change,
                "the group the ops has external_id \"cn=ops\", not null",
            ),
        ] {
            assert_eq!((change.verb(), change.text(&known).as_str()), (verb, text));
        }
    }

    #[test]
    fn an_id_is_the_same_for_the_same_difference_and_new_for_going_back() {
        let source = "corp".parse().unwrap();
        let id = |run, previous, body: &Body| {
            let change =
                Change { subject: body.subject(), body: body.clone(), previous: Position(previous), was: None };
            change.event(&source, run).key.id
        };
        let ada = person("ada", true).unwrap();
        assert_eq!(id("run_1.1", 0, &ada), id("run_2.1", 0, &ada));
        assert_ne!(id("run_1.1", 0, &ada), id("run_1.1", 9, &ada));
        assert_ne!(id("run_1.1", 0, &ada), id("run_1.1", 0, &person("ada", false).unwrap()));
        assert_ne!(id("run_1.1", 0, &ada), id("run_1.2", 0, &ada), "that of an older runner may be without effect");
    }

    #[test]
    fn people_and_groups_come_before_memberships_and_go_after_them() {
        let bodies = [member("g", "p"), group("g"), person("p", true)].map(Option::unwrap);
        let adds = bodies.iter().map(|body| change(None, body.clone()));
        let ends = bodies.iter().map(|body| change(Some(body.clone()), body.removal().unwrap()));
        let kinds: Vec<_> =
            in_order(ends.chain(adds).collect()).into_iter().map(|change| change.body.kind().to_owned()).collect();
        let short: Vec<_> = kinds.iter().map(|k| k.trim_start_matches("rollcall.").trim_end_matches(".v1")).collect();
        assert_eq!(
            short,
            [
                "person.upserted",
                "group.upserted",
                "group.member.added",
                "group.member.removed",
                "group.removed",
                "person.removed"
            ]
        );
    }
}
