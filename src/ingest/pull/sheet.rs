//! What a full read writes its facts on. Each is held at once against what the source said last, so that an unchanged
//! source costs no memory; only a sheet whose every part was read to its end can be sealed, and only a sealed one tells
//! what is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use rollcall_events::{Body, Digest, Position, Sayer, body::members_of};
use tokio::sync::OwnedMutexGuard;

use super::{Failure, Names, Stated, Which};

/// What a source said last of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Where it stands in the log.
    pub position: Position,
    /// The event type.
    pub kind: &'static str,
    /// The data, as it stands in the log.
    pub data: Box<str>,
}

impl Known {
    /// The fact. None for data that is not of its type, which cannot stand in the log.
    #[must_use]
    pub fn body(&self) -> Option<Body> {
        Body::parse(self.kind, &self.data).ok()
    }

    /// Whether the subject stands: it was not taken back.
    #[must_use]
    pub fn stands(&self) -> bool {
        Body::sayer_of(self.kind).is_some_and(Sayer::is_for_sources) && !is_end(self.kind)
    }

    /// Whether a fact says what was said last.
    #[must_use]
    pub fn says(&self, body: &Body, data: &str) -> bool {
        // Data that a webhook brought may be written otherwise and say the same.
        self.kind == body.kind() && (*self.data == *data || self.body().as_ref() == Some(body))
    }
}

/// By the type alone: parsing a hundred thousand facts to learn that would cost as much as the rest of a run.
fn is_end(kind: &str) -> bool {
    let word = kind.trim_end_matches(".v1").rsplit('.').next().unwrap_or_default();
    matches!(word, "removed" | "revoked" | "unmapped" | "unassigned")
}

/// The run that a sheet belongs to. While it is there no other run of the source begins.
#[derive(Debug)]
pub(crate) struct Bracket {
    /// The run's id.
    pub run: String,
    /// Whether it stands in the log; a run that is only planned does not.
    pub recorded: bool,
    /// What was recorded after this is newer than the read.
    pub since: Position,
    /// Lets the next run begin when it is dropped.
    pub turn: OwnedMutexGuard<()>,
    /// What a follower was told to wait with before this began.
    pub withheld: u64,
    /// Why a follower reads everything.
    pub anew: Option<super::Anew>,
}

/// A part of the source that is being read: a base, a page list, an organisation. Close it when its last answer was good.
#[derive(Debug)]
#[must_use = "a part that is not closed keeps the sheet from being sealed"]
pub struct Part(u64);

/// A full read while it runs.
#[derive(Debug)]
pub struct Sheet {
    now: DateTime<Utc>,
    known: HashMap<Box<str>, Known>,
    /// What was stated, with the digest of each.
    seen: HashMap<Box<str>, Digest>,
    open: BTreeMap<u64, String>,
    parts: u64,
    /// A defect of the connector; the sheet can no longer be sealed.
    defect: Option<String>,
    /// The run that it belongs to.
    pub(crate) bracket: Option<Bracket>,
    found: Found,
}

/// What a read has found so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What is not as it was said last, by subject.
    pub changes: BTreeMap<String, Stated>,
    /// Personal data by person.
    pub personal: Vec<(rollcall_events::Id, Names)>,
    /// What was only said to be as it was.
    pub unchanged: BTreeSet<Which>,
    /// Of what nothing is taken away, and why.
    pub excluded: BTreeMap<Which, String>,
    /// Members that were proven absent.
    pub absent: Vec<String>,
    /// How many facts were stated, per noun.
    pub counts: BTreeMap<String, u64>,
}

impl Sheet {
    /// A sheet that is held against nothing: everything on it is new. For tests of connectors.
    #[must_use]
    pub fn blank(now: DateTime<Utc>) -> Self {
        Self::against(HashMap::new(), now)
    }

    /// A sheet that is held against what the source said last.
    pub(crate) fn against(known: HashMap<Box<str>, Known>, now: DateTime<Utc>) -> Self {
        let seen = HashMap::with_capacity(known.len());
        let (open, found) = (BTreeMap::new(), Found::default());
        Self { now, known, seen, open, parts: 0, defect: None, bracket: None, found }
    }

    /// When the read began.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Opens a part. `name` is shown where it is never closed.
    pub fn open(&mut self, name: impl Into<String>) -> Part {
        self.parts += 1;
        self.open.insert(self.parts, name.into());
        Part(self.parts)
    }

    /// Closes a part: every page arrived and the last result code was good.
    #[expect(clippy::needless_pass_by_value, reason = "a part is closed once")]
    pub fn close(&mut self, part: Part) {
        self.open.remove(&part.0);
    }

    /// States a fact. One subject stated twice and differently is a contradiction: it is left as it is, and shown.
    pub fn state(&mut self, fact: impl Into<Stated>) {
        let Stated { body, personal } = fact.into();
        let (subject, data) = (body.subject(), body.data());
        if !body.sayer().is_for_sources() || body.ends() {
            let kind = body.kind();
            self.defect.get_or_insert(format!("a full read stated {subject} as {kind}, which no full read can say"));
            return;
        }
        let digest = Digest::of(format!("{subject}\n{}\n{data}", body.kind()).as_bytes());
        if let Some(before) = self.seen.insert(subject.as_str().into(), digest) {
            if before != digest {
                self.found.changes.remove(&subject);
                let reason = "it was stated twice in one read, and differently".to_owned();
                self.found.excluded.insert(Which::Subject(subject), reason);
            }
            return;
        }
        let noun = subject.split('/').next().unwrap_or_default();
        match self.found.counts.get_mut(noun) {
            Some(count) => *count += 1,
            None => drop(self.found.counts.insert(noun.to_owned(), 1)),
        }
        if let (Some(personal), Body::PersonUpserted(person)) = (&personal, &body) {
            self.found.personal.push((person.person.clone(), personal.clone()));
        }
        if !self.known.get(subject.as_str()).is_some_and(|known| known.says(&body, &data)) {
            self.found.changes.insert(subject, Stated { body, personal });
        }
    }

    /// Says that something is as it was when the source was last asked, where the source tells only that.
    pub fn unchanged(&mut self, which: Which) {
        self.found.unchanged.insert(which);
    }

    /// Leaves something out of the comparison, because it could not be resolved: nothing of it is taken away. What is
    /// stated of it nevertheless counts. `reason` is shown.
    pub fn exclude(&mut self, which: Which, reason: impl Into<String>) {
        self.found.excluded.insert(which, reason.into());
    }

    /// Notes a member that was proven absent, by the name under which the source lists it. It is shown and counted.
    pub fn absent(&mut self, who: impl Into<String>) {
        self.found.absent.push(who.into());
    }

    /// Seals the sheet: everything was read, every result code was good, every member was resolved, proven absent or
    /// excluded.
    ///
    /// # Errors
    /// [`Failure::Partial`] where a part was opened and never closed, or no part was ever opened.
    pub fn seal(self) -> Result<Sealed, Failure> {
        if let Some(defect) = self.defect {
            return Err(Failure::Partial(format!("a defect of the connector: {defect}")));
        }
        if let Some(name) = self.open.values().next() {
            return Err(Failure::Partial(format!("{name} was not read to its end")));
        }
        if self.parts == 0 {
            return Err(Failure::Partial("nothing was read".to_owned()));
        }
        let mut sum = [0_u8; 32];
        for digest in self.seen.values() {
            for (byte, other) in sum.iter_mut().zip(digest.0) {
                *byte ^= other;
            }
        }
        let Self { known, seen, bracket, found, .. } = self;
        Ok(Sealed { known, seen, digest: Digest(sum), bracket, found })
    }
}

/// A read that was complete. Only [`Sheet::seal`] makes one.
#[derive(Debug)]
pub struct Sealed {
    known: HashMap<Box<str>, Known>,
    seen: HashMap<Box<str>, Digest>,
    digest: Digest,
    pub(crate) bracket: Option<Bracket>,
    pub(crate) found: Found,
}

impl Sealed {
    /// What was stated and is not as the source said it last; everything, on a blank sheet. By subject.
    pub fn changes(&self) -> impl Iterator<Item = (&str, &Stated)> {
        self.found.changes.iter().map(|(subject, stated)| (subject.as_str(), stated))
    }

    /// What the source said last and says no more, with what it was. Nothing on a blank sheet. What was left out, and
    /// what was said to be as it was, is not gone.
    pub fn gone(&self) -> impl Iterator<Item = (&str, &Known, Body)> {
        let spared: BTreeSet<&Which> = self.found.unchanged.iter().chain(self.found.excluded.keys()).collect();
        let unsaid = self.known.iter().filter(|(subject, known)| known.stands() && !self.seen.contains_key(*subject));
        unsaid.filter_map(move |(subject, known)| {
            let body = known.body()?;
            let group = match &body {
                Body::GroupMemberAdded(member) => spared.contains(&Which::MembersOf(member.group.clone())),
                _ => false,
            };
            let spared = group || spared.contains(&Which::Subject(subject.to_string()));
            (!spared).then_some((&**subject, known, body))
        })
    }

    /// What the source said last, before this read.
    pub(crate) fn known(&self, subject: &str) -> Option<&Known> {
        self.known.get(subject)
    }

    /// Everything that it said last.
    pub(crate) fn all_known(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.known.iter().map(|(subject, known)| (&**subject, known))
    }

    /// What the read says of a subject: outer None where it says nothing, inner None where the subject is not there.
    pub(crate) fn view(&self, subject: &str) -> Option<Option<Body>> {
        if let Some(stated) = self.found.changes.get(subject) {
            return Some(Some(stated.body.clone()));
        }
        if self.seen.contains_key(subject) {
            return self.known.get(subject).map(Known::body);
        }
        let silent = |which: &Which| match which {
            Which::Subject(one) => one == subject,
            Which::MembersOf(group) => subject.starts_with(&members_of(group)),
        };
        let mut spared = self.found.unchanged.iter().chain(self.found.excluded.keys());
        if spared.any(silent) { None } else { Some(None) }
    }

    /// How much the source stated or said to be as it was.
    pub(crate) fn stated(&self) -> u64 {
        (self.seen.len() + self.found.unchanged.len()) as u64
    }

    /// A digest over what was stated: the same for the same facts, in whatever order they came.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What was left out, and why.
    pub fn excluded(&self) -> impl Iterator<Item = (&Which, &str)> {
        self.found.excluded.iter().map(|(which, reason)| (which, reason.as_str()))
    }

    /// What was said to be as it was.
    pub fn unchanged(&self) -> impl Iterator<Item = &Which> {
        self.found.unchanged.iter()
    }

    /// Members that were proven absent.
    #[must_use]
    pub fn absent(&self) -> &[String] {
        &self.found.absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{group, member, person};

    fn said(body: &Body) -> (Box<str>, Known) {
        let known = Known { position: Position(1), kind: body.kind(), data: body.data().into() };
        (body.subject().into(), known)
    }

    fn sheet(known: &[Body]) -> Sheet {
        Sheet::against(known.iter().map(said).collect(), DateTime::UNIX_EPOCH)
    }

    fn gone(sealed: &Sealed) -> Vec<&str> {
        let mut gone: Vec<_> = sealed.gone().map(|(subject, ..)| subject).collect();
        gone.sort_unstable();
        gone
    }

    fn partial(sheet: Sheet) -> String {
        match sheet.seal() {
            Err(Failure::Partial(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_differs_from_what_was_said_last_is_a_change() {
        let known = [person("ada", true), person("bob", true), person("eve", true).and_then(|b| b.ending())];
        let mut sheet = sheet(&known.map(Option::unwrap));
        let part = sheet.open("all");
        for body in [person("ada", true), person("bob", false), person("eve", true), person("kim", true)] {
            sheet.state(body.unwrap());
        }
        sheet.close(part);
        let sealed = sheet.seal().unwrap();
        let changed: Vec<_> = sealed.changes().map(|(subject, _)| subject).collect();
        assert_eq!(changed, ["person/bob", "person/eve", "person/kim"]);
        assert_eq!(gone(&sealed), Vec::<&str>::new(), "who was gone already does not go again");
    }

    #[test]
    fn the_same_data_written_otherwise_is_no_change() {
        let mut known: HashMap<_, _> = [said(&person("ada", true).unwrap())].into();
        known.get_mut("person/ada").unwrap().data =
            r#"{"active": true, "person":"ada","account":null, "username":"ada"}"#.into();
        let mut sheet = Sheet::against(known, DateTime::UNIX_EPOCH);
        let part = sheet.open("all");
        sheet.state(person("ada", true).unwrap());
        sheet.close(part);
        assert_eq!(sheet.seal().unwrap().changes().count(), 0);
    }

    #[test]
    fn a_sheet_with_an_open_part_a_defect_or_no_part_at_all_cannot_be_sealed() {
        let mut open = sheet(&[]);
        let _base = open.open("ou=people");
        assert!(partial(open).contains("ou=people was not read to its end"));
        assert_eq!(partial(sheet(&[])), "nothing was read");
        let mut wrong = sheet(&[]);
        let part = wrong.open("all");
        wrong.state(person("ada", true).unwrap().ending().unwrap());
        wrong.close(part);
        assert!(partial(wrong).contains("person/ada"));
    }

    #[test]
    fn what_is_excluded_or_unchanged_is_not_gone_and_the_rest_is() {
        let facts =
            [group("a"), group("b"), member("a", "ada"), member("b", "ada"), person("ada", true), person("x", true)];
        let mut sheet = sheet(&facts.map(Option::unwrap));
        let part = sheet.open("all");
        sheet.state(person("ada", true).unwrap());
        sheet.unchanged(Which::Subject("group/a".into()));
        sheet.exclude(Which::MembersOf("a".parse().unwrap()), "cn=x did not answer");
        sheet.close(part);
        assert_eq!(gone(&sheet.seal().unwrap()), ["group/b", "member/b/person/ada", "person/x"]);
    }

    #[test]
    fn one_subject_stated_twice_and_differently_is_left_as_it_is() {
        let mut sheet = sheet(&[person("ada", true).unwrap()]);
        let part = sheet.open("all");
        for active in [false, true, false] {
            sheet.state(person("ada", active).unwrap());
        }
        sheet.close(part);
        let sealed = sheet.seal().unwrap();
        assert_eq!((sealed.changes().count(), gone(&sealed).len()), (0, 0));
        assert!(
            sealed
                .excluded()
                .any(|(which, why)| *which == Which::Subject("person/ada".into()) && why.contains("twice"))
        );
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order() {
        let digest = |bodies: [Option<Body>; 2]| {
            let mut sheet = sheet(&[]);
            let part = sheet.open("all");
            bodies.into_iter().for_each(|body| sheet.state(body.unwrap()));
            sheet.close(part);
            sheet.seal().unwrap().digest()
        };
        let (ada, bob) = (person("ada", true), person("bob", true));
        assert_eq!(digest([ada.clone(), bob.clone()]), digest([bob, ada.clone()]));
        assert_ne!(digest([ada.clone(), person("bob", false)]), digest([ada, person("bob", true)]));
    }
}
