//! A full read while it runs, and when it is complete. Each fact is compared with the baseline as it is added, so that an
//! unchanged source costs no memory. Only a builder whose every section was read to its end becomes a snapshot, and only a
//! snapshot knows what is gone.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use rollcall_events::{Body, Digest, Position, body::group_member_subject_prefix};
use tokio::sync::OwnedMutexGuard;

use super::{Fact, FactSelector, Failure, PersonalData};
use crate::baseline::{
    Fingerprint, RecordedFact, digest,
    index::{BaselineIndex, Comparison, SharedIndex},
};

/// The run that a snapshot belongs to. While it exists no other run of the source begins.
#[derive(Debug)]
pub(crate) struct RunContext {
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
    pub full_read_reason: Option<super::FullReadReason>,
}

/// A section of the source that is being read: a base, a list of pages, an organisation. Close it when its last answer was
/// good.
#[derive(Debug)]
#[must_use = "a section that is not closed keeps the snapshot from being sealed"]
pub struct Section(u64);

/// A full read while it runs.
#[derive(Debug)]
pub struct SnapshotBuilder {
    now: DateTime<Utc>,
    /// What the source said last, and what this read says of it.
    index: SharedIndex,
    /// How many subjects were stated.
    stated: u64,
    /// Over all that was stated.
    digest: Digest,
    open: BTreeMap<u64, String>,
    sections: u64,
    /// A defect of the connector; the read can no longer be sealed.
    defect: Option<String>,
    /// Subjects that were stated twice and differently.
    contradicted: HashSet<String>,
    /// The run that it belongs to.
    pub(crate) run_context: Option<RunContext>,
    found: Found,
}

/// What a read has found so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What is not as it was said last, or may only be written otherwise, by subject.
    pub changes: HashMap<String, Body>,
    /// Personal data by person.
    pub personal: Vec<(rollcall_events::Id, PersonalData)>,
    /// Of what nothing is taken away, and why.
    pub excluded: BTreeMap<FactSelector, String>,
    /// Members that were proven absent.
    pub absent: Vec<String>,
    /// Members that exist and are not the source's to state.
    pub outside: Vec<String>,
    /// How many facts were stated, per noun.
    pub counts: BTreeMap<String, u64>,
}

impl SnapshotBuilder {
    /// A builder that compares with an empty baseline: everything is new. For tests of connectors.
    #[must_use]
    pub fn detached(now: DateTime<Utc>) -> Self {
        Self::against(SharedIndex::new(BaselineIndex::at(Position(0))), now)
    }

    /// A builder that compares with what the source said last.
    pub(crate) fn against(index: SharedIndex, now: DateTime<Utc>) -> Self {
        index.lock().begin();
        Self {
            now,
            index,
            stated: 0,
            digest: Digest([0; 32]),
            open: BTreeMap::new(),
            sections: 0,
            defect: None,
            contradicted: HashSet::new(),
            run_context: None,
            found: Found::default(),
        }
    }

    /// When the read began.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Whether this very fact is what the source said last of its subject.
    #[must_use]
    pub fn said(&self, body: &Body) -> bool {
        let (subject, data) = (body.subject(), body.data());
        let entry = self.index.lock().entry(&subject);
        entry.is_some_and(|entry| entry.present && entry.fingerprint == Fingerprint::of(&subject, body.kind(), &data))
    }

    /// Opens a section. `name` is shown if it is never closed.
    pub fn open_section(&mut self, name: impl Into<String>) -> Section {
        self.sections += 1;
        self.open.insert(self.sections, name.into());
        Section(self.sections)
    }

    /// Closes a section: every page arrived and the last result code was good.
    #[expect(clippy::needless_pass_by_value, reason = "a section is closed once")]
    pub fn close_section(&mut self, section: Section) {
        self.open.remove(&section.0);
    }

    /// Adds a fact. A subject stated twice and differently is a contradiction: it is left as it is, and shown.
    pub fn add(&mut self, fact: impl Into<Fact>) {
        let Fact { body, personal } = fact.into();
        let (subject, data) = (body.subject(), body.data());
        if !body.emitter().is_for_connectors() || body.is_removal() {
            let kind = body.kind();
            self.defect.get_or_insert(format!("a full read stated {subject} as {kind}, which no full read can say"));
            return;
        }
        if let Err(error) = body.check_size() {
            self.found.excluded.insert(FactSelector::Subject(subject), format!("what it says is too large: {error}"));
            return;
        }
        let digest = digest(&subject, body.kind(), &data);
        let comparison = match self.found.changes.get(&subject) {
            Some(stated) => Comparison::Repeated { same: *stated == body },
            None if self.contradicted.contains(&subject) => Comparison::Repeated { same: false },
            None => self.index.lock().compare(&subject, digest.into()),
        };
        match comparison {
            Comparison::Repeated { same: true } => return,
            Comparison::Repeated { same: false } => {
                self.found.changes.remove(&subject);
                self.contradicted.insert(subject.clone());
                let reason = "it was stated twice in one read, and differently".to_owned();
                self.found.excluded.insert(FactSelector::Subject(subject), reason);
                return;
            }
            Comparison::Unchanged | Comparison::Changed => {}
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
        if comparison == Comparison::Changed {
            self.found.changes.insert(subject, body);
        }
    }

    /// Leaves something out of the comparison, because it could not be resolved: nothing of it is taken away. What is
    /// stated of it nevertheless counts. `reason` is shown.
    pub fn exclude(&mut self, selector: FactSelector, reason: impl Into<String>) {
        self.found.excluded.insert(selector, reason.into());
    }

    /// Notes a member that was proven absent, by the name under which the source lists it. It is shown and counted.
    pub fn add_absent(&mut self, who: impl Into<String>) {
        self.found.absent.push(who.into());
    }

    /// Notes a member that exists and is not read, by the name under which the source lists it. It is shown.
    pub fn add_outside(&mut self, who: impl Into<String>) {
        self.found.outside.push(who.into());
    }

    /// Completes the read: everything was read, every result code was good, every member was resolved, proven absent or
    /// excluded.
    ///
    /// # Errors
    /// [`Failure::Partial`] where a section was opened and never closed, or none was ever opened.
    pub fn seal(self) -> Result<Snapshot, Failure> {
        if let Some(defect) = self.defect {
            return Err(Failure::Partial(format!("a defect of the connector: {defect}")));
        }
        if let Some(name) = self.open.values().next() {
            return Err(Failure::Partial(format!("{name} was not read to its end")));
        }
        if self.sections == 0 {
            return Err(Failure::Partial("nothing was read".to_owned()));
        }
        let Self { index, stated, digest, run_context, found, .. } = self;
        Ok(Snapshot { index, stated, digest, run_context, found })
    }
}

/// A read that was complete. Only [`SnapshotBuilder::seal`] makes one.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) index: SharedIndex,
    stated: u64,
    digest: Digest,
    pub(crate) run_context: Option<RunContext>,
    pub(crate) found: Found,
}

impl Snapshot {
    /// What was stated and is not as the source said it last; everything, from a detached builder. By subject.
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
    pub fn personal(&self) -> &[(rollcall_events::Id, PersonalData)] {
        &self.found.personal
    }

    /// Whether the read says otherwise of a subject than what was recorded of it while it ran.
    pub(crate) fn contradicts(&self, subject: &str, newer: &RecordedFact) -> bool {
        if let Some(stated) = self.found.changes.get(subject) {
            return !newer.is_present() || newer.body().as_ref() != Some(stated);
        }
        if let Some(said) = self.index.lock().stated_by_read(subject) {
            return newer.baseline_entry(subject).fingerprint != said;
        }
        let silent = |selector: &FactSelector| match selector {
            FactSelector::Subject(one) => one == subject,
            FactSelector::MembersOf(group) => subject.starts_with(&group_member_subject_prefix(group)),
        };
        newer.is_present() && !self.protected().any(silent)
    }

    /// What the read says nothing of and takes nothing from: what was left out.
    pub(crate) fn protected(&self) -> impl Iterator<Item = &FactSelector> {
        self.found.excluded.keys()
    }

    /// How much the source stated.
    pub(crate) fn stated_count(&self) -> u64 {
        self.stated
    }

    /// A digest over what was stated: the same for the same facts, in whatever order they came.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What was left out, and why.
    pub fn excluded(&self) -> impl Iterator<Item = (&FactSelector, &str)> {
        self.found.excluded.iter().map(|(selector, reason)| (selector, reason.as_str()))
    }

    /// Members that exist and are not read.
    #[must_use]
    pub fn outside(&self) -> &[String] {
        &self.found.outside
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
    use crate::baseline::BaselineEntry;
    use crate::testkit::person;

    /// A builder over a baseline of these facts, at 1, 2, ...
    fn builder(known: &[Body]) -> SnapshotBuilder {
        let mut index = BaselineIndex::at(Position(99));
        for (body, position) in known.iter().zip(1..) {
            let subject = body.subject();
            index.insert(&subject, BaselineEntry::of(Position(position), &subject, body.kind(), &body.data()));
        }
        SnapshotBuilder::against(SharedIndex::new(index), DateTime::UNIX_EPOCH)
    }

    /// The positions of what was not stated.
    fn unseen(snapshot: &Snapshot) -> Vec<u64> {
        let mut unseen: Vec<_> = snapshot.index.lock().unseen().into_iter().map(|position| position.0).collect();
        unseen.sort_unstable();
        unseen
    }

    fn partial(builder: SnapshotBuilder) -> String {
        match builder.seal() {
            Err(Failure::Partial(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_differs_from_what_was_said_last_is_a_change() {
        let known = [person("ada", true), person("bob", true), person("eve", true).and_then(|b| b.removal())];
        let mut builder = builder(&known.map(Option::unwrap));
        let section = builder.open_section("all");
        for body in [person("ada", true), person("bob", false), person("eve", true), person("kim", true)] {
            builder.add(body.unwrap());
        }
        builder.close_section(section);
        let snapshot = builder.seal().unwrap();
        let changed: Vec<_> = snapshot.changes().map(|(subject, _)| subject).collect();
        assert_eq!(changed, ["person/bob", "person/eve", "person/kim"]);
        assert_eq!(unseen(&snapshot), [0; 0], "who was gone already does not go again");
    }

    #[test]
    fn what_was_said_last_is_known_to_the_letter_and_what_was_taken_back_is_not_said() {
        let gone = person("eve", true).and_then(|body| body.removal());
        let builder = builder(&[person("ada", true), gone].map(Option::unwrap));
        let said = |name, active| builder.said(&person(name, active).unwrap());
        assert!(said("ada", true));
        assert!(!said("ada", false) && !said("eve", true) && !said("kim", true));
    }

    #[test]
    fn a_read_with_an_open_section_a_defect_or_no_section_at_all_cannot_be_sealed() {
        let mut open = builder(&[]);
        let _base = open.open_section("ou=people");
        assert!(partial(open).contains("ou=people was not read to its end"));
        assert_eq!(partial(builder(&[])), "nothing was read");
        let mut wrong = builder(&[]);
        let section = wrong.open_section("all");
        wrong.add(person("ada", true).unwrap().removal().unwrap());
        wrong.close_section(section);
        assert!(partial(wrong).contains("person/ada"));
    }

    #[test]
    fn one_subject_stated_twice_and_differently_is_left_as_it_is() {
        let mut builder = builder(&[person("ada", true).unwrap()]);
        let section = builder.open_section("all");
        for active in [false, true, false] {
            builder.add(person("ada", active).unwrap());
        }
        builder.close_section(section);
        let snapshot = builder.seal().unwrap();
        assert_eq!((snapshot.changes().count(), unseen(&snapshot).len()), (0, 0));
        assert!(
            snapshot
                .excluded()
                .any(|(selector, why)| *selector == FactSelector::Subject("person/ada".into()) && why.contains("twice"))
        );
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order() {
        let digest = |bodies: [Option<Body>; 2]| {
            let mut builder = builder(&[]);
            let section = builder.open_section("all");
            bodies.into_iter().for_each(|body| builder.add(body.unwrap()));
            builder.close_section(section);
            builder.seal().unwrap().digest()
        };
        let (ada, bob) = (person("ada", true), person("bob", true));
        assert_eq!(digest([ada.clone(), bob.clone()]), digest([bob, ada.clone()]));
        assert_ne!(digest([ada.clone(), person("bob", false)]), digest([ada, person("bob", true)]));
    }
}
