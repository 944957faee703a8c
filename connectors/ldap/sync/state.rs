//! What a follower must know besides its cursor to go on: the directory as it was heard, in which parts each entry is, which
//! groups are doubtful; and how that is written down. Asks nobody; holds no display names and no addresses.

use std::collections::HashSet;

use rollcall_events::{Body, Id, body::SourcePerson};
use rollcall_ingest::connector::{Cursor, ResumePoint, StateUpdate, UnreadMembers};

use crate::{
    config::Part,
    schema::model::{Group, Listed, Person},
    sync::index::DirectoryIndex,
    wire::ber::{BOOLEAN, INTEGER, Malformed, OCTETS, Reader, SEQUENCE, Writer, boolean},
};

/// How entries are written down. What another version wrote is not read.
const VERSION: i64 = 2;
/// The key of the entry about doubtful groups, and what the others begin with.
const DOUBTFUL: &str = "doubtful";
const ENTRY: &str = "entry/";

const PERSON: u8 = 0xa1;
const GROUP: u8 = 0xa2;
const NAME: u8 = 0x80;
const SID: u8 = 0x81;
const MEMBER_DN: u8 = 0x82;
const MEMBER_UID: u8 = 0x83;
const GARBAGE: u8 = 0x84;

/// A follower's sync state.
#[derive(Debug, Default)]
pub struct SyncState {
    pub index: DirectoryIndex,
    /// By part: who is there.
    parts: Vec<HashSet<Id>>,
    /// Groups that list a name which means somebody else now, or of which something was recorded that is not here; they are
    /// read again.
    pub doubtful: HashSet<Id>,
    /// Who was said last to be listed and not read; None: by a predecessor, whose lists have somebody who may be, and we do not
    /// know what. What a full read finds is not ours to take back: one that sees less than we know says more.
    pub unread_told: Option<UnreadMembers>,
    /// As it was kept last; None: nothing was.
    kept: Option<HashSet<Id>>,
}

impl SyncState {
    /// An entry is in a part.
    pub fn add(&mut self, part: Part, id: Id) {
        if self.parts.len() <= part {
            self.parts.resize_with(part + 1, HashSet::new);
        }
        self.index.changed.insert(id.clone());
        if let Some(ids) = self.parts.get_mut(part) {
            ids.insert(id);
        }
    }

    /// An entry is no longer in a part.
    pub fn remove(&mut self, part: Part, id: &Id) {
        self.index.changed.insert(id.clone());
        if let Some(ids) = self.parts.get_mut(part) {
            ids.remove(id);
        }
    }

    /// Whether an entry is in any part.
    pub fn contains(&self, id: &Id) -> bool {
        self.parts.iter().any(|ids| ids.contains(id))
    }

    /// What is to be kept.
    pub fn update(&self) -> StateUpdate {
        let entries = self.index.changed.iter().map(|id| (format!("{ENTRY}{id}"), self.entry(id)));
        let doubtful =
            (self.kept.as_ref() != Some(&self.doubtful)).then(|| (DOUBTFUL.to_owned(), self.doubtful_entry()));
        let changed = entries.chain(doubtful);
        match &self.kept {
            None => StateUpdate::Replace(changed.filter_map(|(key, entry)| Some((key, entry?))).collect()),
            Some(_) => StateUpdate::Merge(changed.collect()),
        }
    }

    /// It was kept.
    pub fn mark_saved(&mut self) {
        self.index.changed.clear();
        self.kept = Some(self.doubtful.clone());
    }

    fn doubtful_entry(&self) -> Option<Vec<u8>> {
        let mut entry = Writer::default();
        entry.integer(INTEGER, VERSION);
        self.doubtful.iter().for_each(|id| _ = entry.octets(OCTETS, id.as_str().as_bytes()));
        (!self.doubtful.is_empty()).then_some(entry.bytes)
    }

    /// What is kept of an id; None where nothing is known of it.
    fn entry(&self, id: &Id) -> Option<Vec<u8>> {
        let (person, group) = (self.index.person(id), self.index.group_as_read(id));
        if person.is_none() && group.is_none() && !self.contains(id) {
            return None;
        }
        let mut entry = Writer::default();
        entry.integer(INTEGER, VERSION).nested(SEQUENCE, |w| {
            let parts = self.parts.iter().enumerate().filter(|(_, ids)| ids.contains(id));
            parts.for_each(|(part, _)| _ = w.integer(INTEGER, i64::try_from(part).unwrap_or(i64::MAX)));
        });
        person.iter().for_each(|person| _ = entry.nested(PERSON, |w| write_person(person, w)));
        group.iter().for_each(|group| _ = entry.nested(GROUP, |w| write_group(group, w)));
        Some(entry.bytes)
    }

    /// As it was when it was kept, and the method's cursor. `method`: whose cursor it must be.
    pub fn restore(kept: ResumePoint, method: &str) -> Result<(Self, Vec<u8>), Malformed> {
        let cursor = read_cursor(&kept.cursor, method)?;
        let mut state = Self::default();
        for (key, entry) in &kept.entries {
            let mut entry = Reader::new(entry);
            if entry.integer(INTEGER, "an entry without a version")? != VERSION {
                return Err(Malformed("an entry of another version"));
            }
            match key.strip_prefix(ENTRY) {
                Some(id) => state.read_entry(id.parse().map_err(|_| Malformed("an entry without an id"))?, entry)?,
                None => {
                    while let Some((_, id)) = entry.any()? {
                        state
                            .doubtful
                            .insert(text(id)?.parse().map_err(|_| Malformed("a doubtful group without an id"))?);
                    }
                }
            }
        }
        state.mark_saved();
        state.unread_told = (!state.index.lists_unknown()).then(UnreadMembers::default);
        // Told and not kept, or found by a full read: the state does not know what these groups were said to be.
        state.doubtful.extend(kept.later.into_iter().filter_map(|body| match body {
            Body::GroupMemberAdded(fact) | Body::GroupMemberRemoved(fact) => Some(fact.group),
            _ => None,
        }));
        Ok((state, cursor))
    }

    fn read_entry(&mut self, id: Id, mut entry: Reader<'_>) -> Result<(), Malformed> {
        let mut parts = Reader::new(entry.expect(SEQUENCE, "an entry without parts")?);
        while let Some((_, part)) = parts.any()? {
            let part = usize::try_from(crate::wire::ber::integer(part)?).ok().filter(|part| *part < 10_000);
            self.add(part.ok_or(Malformed("an invalid part"))?, id.clone());
        }
        match entry.any()? {
            None => {}
            Some((PERSON, content)) => self.index.put_person(read_person(id, Reader::new(content))?),
            Some((GROUP, content)) => self.index.put_group(read_group(id, Reader::new(content))?),
            Some(_) => return Err(Malformed("an entry for neither a person nor a group")),
        }
        Ok(())
    }
}

/// A method's cursor as it is kept.
pub fn write_cursor(method: &str, cursor: &[u8]) -> Cursor {
    let mut kept = Writer::default();
    kept.integer(INTEGER, VERSION).octets(OCTETS, method.as_bytes()).octets(OCTETS, cursor);
    Cursor(kept.bytes)
}

fn read_cursor(Cursor(kept): &Cursor, method: &str) -> Result<Vec<u8>, Malformed> {
    let mut kept = Reader::new(kept);
    if kept.integer(INTEGER, "a cursor without a version")? != VERSION {
        return Err(Malformed("a cursor of another version"));
    }
    if kept.text(OCTETS, "a cursor without its method")? != method {
        return Err(Malformed("it was followed by another method"));
    }
    Ok(kept.expect(OCTETS, "a cursor without a value")?.to_vec())
}

fn write_person(person: &Person, w: &mut Writer) {
    w.octets(OCTETS, person.dn.to_string().as_bytes()).boolean(BOOLEAN, person.active);
    person.username.iter().for_each(|name| _ = w.octets(NAME, name.as_bytes()));
    person.primary.iter().for_each(|sid| _ = w.octets(SID, sid));
    w.nested(SEQUENCE, |w| person.uids.iter().for_each(|uid| _ = w.octets(OCTETS, uid.as_bytes())));
    w.nested(SEQUENCE, |w| {
        person.member_of.iter().for_each(|group| _ = w.octets(OCTETS, group.to_string().as_bytes()));
    });
    w.nested(SEQUENCE, |w| {
        for SourcePerson { source, person } in &person.same_as {
            w.octets(OCTETS, format!("{source}/{person}").as_bytes());
        }
    });
}

fn read_person(id: Id, mut entry: Reader<'_>) -> Result<Person, Malformed> {
    Ok(Person {
        id,
        dn: name(entry.expect(OCTETS, "a person without a name")?)?,
        active: boolean(entry.expect(BOOLEAN, "a person neither active nor not")?)?,
        username: entry.optional(NAME)?.map(text).transpose()?.map(str::to_owned),
        names: None,
        primary: entry.optional(SID)?.map(<[u8]>::to_vec),
        uids: list(entry.expect(SEQUENCE, "a person without user names")?, |_, uid| Ok(text(uid)?.to_owned()))?,
        member_of: list(entry.expect(SEQUENCE, "a person without groups")?, |_, group| name(group))?,
        same_as: list(entry.expect(SEQUENCE, "a person without others that it is")?, |_, other| source_person(other))?,
    })
}

fn source_person(bytes: &[u8]) -> Result<SourcePerson, Malformed> {
    let parsed = text(bytes)?
        .split_once('/')
        .and_then(|(source, person)| Some(SourcePerson { source: source.parse().ok()?, person: person.parse().ok()? }));
    parsed.ok_or(Malformed("a person of another source that is none"))
}

fn write_group(group: &Group, w: &mut Writer) {
    w.octets(OCTETS, group.text.as_bytes());
    group.name.iter().for_each(|name| _ = w.octets(NAME, name.as_bytes()));
    group.sid.iter().for_each(|sid| _ = w.octets(SID, sid));
    w.nested(SEQUENCE, |w| {
        for member in &group.members {
            match member {
                Listed::Dn(dn) => w.octets(MEMBER_DN, dn.to_string().as_bytes()),
                Listed::Uid(uid) => w.octets(MEMBER_UID, uid.as_bytes()),
                Listed::Garbage(text) => w.octets(GARBAGE, text.as_bytes()),
            };
        }
    });
}

fn read_group(id: Id, mut entry: Reader<'_>) -> Result<Group, Malformed> {
    let dn = entry.expect(OCTETS, "a group without a name")?;
    Ok(Group {
        id,
        dn: name(dn)?,
        text: text(dn)?.to_owned(),
        name: entry.optional(NAME)?.map(text).transpose()?.map(str::to_owned),
        sid: entry.optional(SID)?.map(<[u8]>::to_vec),
        members: list(entry.expect(SEQUENCE, "a group without members")?, |tag, member| match tag {
            MEMBER_DN => Ok(Listed::Dn(name(member)?)),
            MEMBER_UID => Ok(Listed::Uid(text(member)?.to_owned())),
            GARBAGE => Ok(Listed::Garbage(text(member)?.to_owned())),
            _ => Err(Malformed("a member of no known kind")),
        })?,
    })
}

fn list<T>(content: &[u8], each: impl Fn(u8, &[u8]) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
    let (mut content, mut all) = (Reader::new(content), Vec::new());
    while let Some((tag, value)) = content.any()? {
        all.push(each(tag, value)?);
    }
    Ok(all)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("an entry that is not text"))
}

fn name(bytes: &[u8]) -> Result<crate::wire::dn::Dn, Malformed> {
    text(bytes)?.parse().map_err(|_| Malformed("an entry with an invalid name"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rollcall_events::body::{GroupMember, Member};
    use rollcall_ingest::connector::{PersonalData, StateEntry};

    use super::*;

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    fn dn(text: &str) -> crate::wire::dn::Dn {
        text.parse().unwrap()
    }

    fn person(uid: &str) -> Person {
        Person {
            id: id(uid),
            dn: dn(&format!("UID={uid}+cn=a\\,b,ou=People,dc=x")),
            username: Some(uid.to_owned()),
            active: uid != "off",
            names: Some(PersonalData { email: Some("ada@ex.test".into()), name: Some("Ada Lovelace".into()) }),
            uids: vec![uid.to_owned(), "other".to_owned()],
            primary: (uid == "ada").then(|| vec![0, 255, 1]),
            member_of: vec![dn("cn=Named,dc=x")],
            same_as: vec![SourcePerson { source: "flexnet".parse().unwrap(), person: id("C/7") }],
        }
    }

    fn group(name: &str) -> Group {
        Group {
            id: id(name),
            dn: dn(&format!("cn={name},dc=x")),
            text: format!("CN={name},dc=x"),
            name: None,
            members: vec![Listed::Dn(dn("uid=é,dc=x")), Listed::Uid("kim".into()), Listed::Garbage("admins".into())],
            sid: Some(vec![7; 28]),
        }
    }

    fn filled() -> SyncState {
        let mut state = SyncState::default();
        for uid in ["ada", "off"] {
            state.index.put_person(person(uid));
        }
        state.index.put_group(group("ops"));
        // ada came by two bases, ops by one, somebody whom we leave out by one; off was only looked up.
        for (part, who) in [(0, "ada"), (2, "ada"), (1, "ops"), (1, "dynamic")] {
            state.add(part, id(who));
        }
        state.doubtful.insert(id("ops"));
        state
    }

    fn all(state: &SyncState) -> Vec<StateEntry> {
        match state.update() {
            StateUpdate::Replace(entries) => entries,
            StateUpdate::Merge(entries) => panic!("{entries:?}"),
        }
    }

    fn kept(entries: Vec<StateEntry>) -> ResumePoint {
        ResumePoint { cursor: write_cursor("a method", b"cookie"), entries, later: Vec::new() }
    }

    #[test]
    fn a_state_is_restored_as_it_was_but_for_names_and_addresses() {
        let state = filled();
        let entries = all(&state);
        let text = format!("{:?}", entries.iter().map(|(_, entry)| String::from_utf8_lossy(entry)).collect::<Vec<_>>());
        assert!(text.contains("CN=ops") && !text.contains("ada@ex.test") && !text.contains("Lovelace"), "{text}");
        let (again, cursor) = SyncState::restore(kept(entries), "a method").unwrap();
        assert_eq!(cursor, b"cookie");
        assert_eq!((&again.parts, &again.doubtful), (&state.parts, &state.doubtful));
        for uid in ["ada", "off"] {
            assert_eq!(again.index.person(&id(uid)), Some(&Person { names: None, ..person(uid) }));
        }
        assert_eq!(again.index.group_as_read(&id("ops")), Some(group("ops")));
        let members = |state: &SyncState| state.index.members(state.index.group(&id("ops")).unwrap());
        assert_eq!(members(&again), members(&state));
        assert_eq!(again.update(), StateUpdate::Merge(Vec::new()), "nothing is new");
    }

    #[test]
    fn only_what_changed_since_it_was_kept_is_kept_again() {
        let mut state = filled();
        let fresh = all(&state).len();
        assert_eq!(fresh, 5, "ada, off, ops, the one left out, the doubt");
        state.index.put_person(person("new"));
        assert_eq!(all(&state).len(), fresh + 1, "not kept: still everything");
        state.mark_saved();
        state.remove(0, &id("ada"));
        state.index.remove(&id("off"));
        state.remove(1, &id("dynamic"));
        state.doubtful.clear();
        let StateUpdate::Merge(mut changed) = state.update() else { panic!("everything") };
        changed.sort();
        let short: Vec<(&str, bool)> = changed.iter().map(|(key, entry)| (key.as_str(), entry.is_some())).collect();
        assert_eq!(short, [("doubtful", false), ("entry/ada", true), ("entry/dynamic", false), ("entry/off", false)]);
    }

    #[test]
    fn a_group_of_which_something_was_recorded_later_is_doubtful() {
        let fact = GroupMember { group: id("dev"), member: Member::Person(id("ada")), author: None, made_with: None };
        let later = vec![Body::GroupMemberRemoved(fact)];
        let (state, _) = SyncState::restore(ResumePoint { later, ..kept(Vec::new()) }, "a method").unwrap();
        assert_eq!(state.doubtful, HashSet::from([id("dev")]));
        let StateUpdate::Merge(changed) = state.update() else { panic!("everything") };
        assert_eq!(changed.len(), 1, "the doubt is kept");
    }

    #[test]
    fn what_is_of_another_method_or_version_or_cut_off_is_not_recalled() {
        assert_eq!(SyncState::restore(kept(Vec::new()), "another").unwrap_err().0, "it was followed by another method");
        let entries = all(&filled());
        for (at, (key, entry)) in entries.iter().enumerate() {
            for cut in 0..entry.len() {
                let mut entries = entries.clone();
                entries[at] = (key.clone(), entry[..cut].to_vec());
                // Cut down to its parts, an entry still says in which parts the id was, and no more.
                if let Ok((state, _)) = SyncState::restore(kept(entries), "a method") {
                    let id = id(key.strip_prefix(ENTRY).unwrap_or("none"));
                    assert!(state.index.person(&id).is_none() && state.index.group(&id).is_none(), "{key} {cut}");
                }
            }
            let mut entries = entries.clone();
            entries[at].1[2] = u8::try_from(VERSION + 1).unwrap();
            assert!(SyncState::restore(kept(entries), "a method").is_err(), "{key} of another version");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_recalled_or_refused(
            entry in proptest::collection::vec(any::<u8>(), 0..60),
            cursor in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let versioned = [&[2, 1, 1, 0x30, 0][..], &entry].concat();
            let entries = vec![("entry/a".to_owned(), versioned), ("doubtful".to_owned(), entry)];
            let _ = SyncState::restore(kept(entries), "a method");
            let _ = SyncState::restore(ResumePoint { cursor: Cursor(cursor), ..kept(Vec::new()) }, "a method");
        }
    }
}
