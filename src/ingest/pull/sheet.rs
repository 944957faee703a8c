//! What a full read writes its facts on. Each is held at once against what the source said last, so that an unchanged
//! source costs no memory; only a sheet whose every part was read to its end can be sealed, and only a sealed one tells
//! what is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use rollcall_events::{Body, Digest, Position, body::members_of};
use tokio::sync::OwnedMutexGuard;

use super::{Failure, Names, Stated, Which};
use crate::{
    ledger::{Book, Ledger, Word},
    stores::{Mark, digest, stands},
};

/// What a source said last of a subject, as it stands in the log.
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

    /// What is kept of it outside the log.
    #[must_use]
    pub fn mark(&self, subject: &str) -> Mark {
        Mark::of(self.position, subject, self.kind, &self.data)
    }

    /// Whether the subject stands: it was not taken back.
    #[must_use]
    pub fn stands(&self) -> bool {
        stands(self.kind)
    }

    /// Whether a fact says what was said last.
    #[must_use]
    pub fn says(&self, body: &Body, data: &str) -> bool {
        // Data that a webhook brought may be written otherwise and say the same.
        self.kind == body.kind() && (*self.data == *data || self.body().as_ref() == Some(body))
    }
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
    /// What the source said last, and what this read says of it.
    book: Book,
    /// How many subjects were stated.
    stated: u64,
    /// Over all that was stated.
    digest: Digest,
    open: BTreeMap<u64, String>,
    parts: u64,
    /// A defect of the connector; the sheet can no longer be sealed.
    defect: Option<String>,
    /// Subjects that were stated twice and differently.
    contradicted: HashSet<String>,
    /// The run that it belongs to.
    pub(crate) bracket: Option<Bracket>,
    found: Found,
}

/// What a read has found so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What is not as it was said last, or may only be written otherwise, by subject.
    pub changes: HashMap<String, Body>,
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
        Self::against(Book::new(Ledger::at(Position(0))), now)
    }

    /// A sheet that is held against what the source said last.
    pub(crate) fn against(book: Book, now: DateTime<Utc>) -> Self {
        book.open().begin();
        Self {
            now,
            book,
            stated: 0,
            digest: Digest([0; 32]),
            open: BTreeMap::new(),
            parts: 0,
            defect: None,
            contradicted: HashSet::new(),
            bracket: None,
            found: Found::default(),
        }
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
        let digest = digest(&subject, body.kind(), &data);
        let word = match self.found.changes.get(&subject) {
            Some(stated) => Word::Again { same: *stated == body },
            None if self.contradicted.contains(&subject) => Word::Again { same: false },
            None => self.book.open().say(&subject, digest.into()),
        };
        match word {
            Word::Again { same: true } => return,
            Word::Again { same: false } => {
                self.found.changes.remove(&subject);
                self.contradicted.insert(subject.clone());
                let reason = "it was stated twice in one read, and differently".to_owned();
                self.found.excluded.insert(Which::Subject(subject), reason);
                return;
            }
            Word::Same | Word::New => {}
        }
        self.stated += 1;
        self.digest.0.iter_mut().zip(digest.0).for_each(|(sum, byte)| *sum ^= byte);
        let noun = subject.split('/').next().unwrap_or_default();
        match self.found.counts.get_mut(noun) {
            Some(count) => *count += 1,
            None => drop(self.found.counts.insert(noun.to_owned(), 1)),
        }
        if let (Some(personal), Body::PersonUpserted(person)) = (personal, &body) {
            self.found.personal.push((person.person.clone(), personal));
        }
        if word == Word::New {
            self.found.changes.insert(subject, body);
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
        let Self { book, stated, digest, bracket, found, .. } = self;
        Ok(Sealed { book, stated, digest, bracket, found })
    }
}

/// A read that was complete. Only [`Sheet::seal`] makes one.
#[derive(Debug)]
pub struct Sealed {
    pub(crate) book: Book,
    stated: u64,
    digest: Digest,
    pub(crate) bracket: Option<Bracket>,
    pub(crate) found: Found,
}

impl Sealed {
    /// What was stated and is not as the source said it last; everything, on a blank sheet. By subject.
    pub fn changes(&self) -> impl Iterator<Item = (&str, &Body)> {
        let by_subject: BTreeMap<_, _> = self.found.changes.iter().collect();
        by_subject.into_iter().map(|(subject, body)| (subject.as_str(), body))
    }

    /// What was stated of one subject, where it is not as the source said it last.
    #[must_use]
    pub fn change(&self, subject: &str) -> Option<&Body> {
        self.found.changes.get(subject)
    }

    /// The personal data that came with people.
    #[must_use]
    pub fn personal(&self) -> &[(rollcall_events::Id, Names)] {
        &self.found.personal
    }

    /// Whether the read says otherwise of a subject than what was recorded of it while it ran.
    pub(crate) fn denies(&self, subject: &str, newer: &Known) -> bool {
        if let Some(stated) = self.found.changes.get(subject) {
            return !newer.stands() || newer.body().as_ref() != Some(stated);
        }
        if let Some(said) = self.book.open().said(subject) {
            return newer.mark(subject).fingerprint != said;
        }
        let silent = |which: &Which| match which {
            Which::Subject(one) => one == subject,
            Which::MembersOf(group) => subject.starts_with(&members_of(group)),
        };
        newer.stands() && !self.spared().any(silent)
    }

    /// What the read says nothing of and takes nothing from: what was left out, and what was said to be as it was.
    pub(crate) fn spared(&self) -> impl Iterator<Item = &Which> {
        self.found.unchanged.iter().chain(self.found.excluded.keys())
    }

    /// How much the source stated or said to be as it was.
    pub(crate) fn stated(&self) -> u64 {
        self.stated + self.found.unchanged.len() as u64
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
    use crate::memory::person;

    /// A sheet held against these facts, which stand at 1, 2, ...
    fn sheet(known: &[Body]) -> Sheet {
        let mut ledger = Ledger::at(Position(99));
        for (body, position) in known.iter().zip(1..) {
            let subject = body.subject();
            ledger.put(&subject, Mark::of(Position(position), &subject, body.kind(), &body.data()));
        }
        Sheet::against(Book::new(ledger), DateTime::UNIX_EPOCH)
    }

    /// Where what was not stated stands.
    fn unsaid(sealed: &Sealed) -> Vec<u64> {
        let mut unsaid: Vec<_> = sealed.book.open().unsaid().into_iter().map(|position| position.0).collect();
        unsaid.sort_unstable();
        unsaid
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
        assert_eq!(unsaid(&sealed), [0; 0], "who was gone already does not go again");
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
    fn one_subject_stated_twice_and_differently_is_left_as_it_is() {
        let mut sheet = sheet(&[person("ada", true).unwrap()]);
        let part = sheet.open("all");
        for active in [false, true, false] {
            sheet.state(person("ada", active).unwrap());
        }
        sheet.close(part);
        let sealed = sheet.seal().unwrap();
        assert_eq!((sealed.changes().count(), unsaid(&sealed).len()), (0, 0));
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
