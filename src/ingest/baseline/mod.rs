//! What each source said last, in as few bytes as it takes to see whether it says something else now: of each subject a
//! fingerprint and its place in the log. A fact is only read in full, from the log, where it differs or is gone.
//! Knows no connector and no store.

pub(crate) mod index;

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use rollcall_events::{Body, Digest, Emitter, Position};
use sha2::{Digest as _, Sha256};

/// The last fact of a subject, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFact {
    /// Its position.
    pub position: Position,
    /// The event type.
    pub kind: &'static str,
    /// The data, byte for byte.
    pub data: Box<str>,
}

impl RecordedFact {
    /// The fact, parsed. None for data that does not fit its type, which cannot be in the log.
    #[must_use]
    pub fn body(&self) -> Option<Body> {
        Body::recorded(self.kind, &self.data).ok()
    }

    /// Its entry in the baseline.
    #[must_use]
    pub fn baseline_entry(&self, subject: &str) -> BaselineEntry {
        BaselineEntry::of(self.position, subject, self.kind, &self.data)
    }

    /// Whether the subject is present: it was not taken back.
    #[must_use]
    pub fn is_present(&self) -> bool {
        is_present(self.kind)
    }

    /// Whether a fact says the same.
    #[must_use]
    pub fn matches(&self, body: &Body, data: &str) -> bool {
        // Data that a webhook brought may be written otherwise and say the same.
        self.kind == body.kind() && (*self.data == *data || self.body().as_ref() == Some(body))
    }
}

/// Facts of one source by subject.
pub type RecordedFacts = HashMap<String, RecordedFact>;

/// Tells one fact from another: the first half of SHA-256 over the subject, the type and the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// Of a fact.
    #[must_use]
    pub fn of(subject: &str, kind: &str, data: &str) -> Self {
        Self::from(digest(subject, kind, data))
    }
}

impl From<Digest> for Fingerprint {
    fn from(Digest(bytes): Digest) -> Self {
        let mut half = [0; 16];
        half.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Self(half)
    }
}

/// SHA-256 over a fact.
pub(crate) fn digest(subject: &str, kind: &str, data: &str) -> Digest {
    let mut hash = Sha256::new();
    for part in [subject, "\n", kind, "\n", data] {
        hash.update(part);
    }
    Digest(hash.finalize().into())
}

/// The last thing that a source said of a subject: which fact it was, and where the log has it in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaselineEntry {
    /// Its position in the log.
    pub position: Position,
    /// Whether the subject is present: it was not taken back.
    pub present: bool,
    /// Which fact it was.
    pub fingerprint: Fingerprint,
}

impl BaselineEntry {
    /// Of a fact in the log.
    #[must_use]
    pub fn of(position: Position, subject: &str, kind: &str, data: &str) -> Self {
        Self { position, present: is_present(kind), fingerprint: Fingerprint::of(subject, kind, data) }
    }
}

/// Whether a fact of this type says that its subject is present.
pub(crate) fn is_present(kind: &str) -> bool {
    Body::emitter_of(kind).is_some_and(Emitter::is_for_connectors) && !is_end(kind)
}

/// By the type alone: parsing a hundred thousand facts to learn that would cost as much as the rest of a run.
fn is_end(kind: &str) -> bool {
    let word = kind.trim_end_matches(".v1").rsplit('.').next().unwrap_or_default();
    matches!(word, "removed" | "revoked" | "unmapped" | "unassigned")
}

/// A baseline, or a part of one, by subject.
pub type BaselineEntries = BTreeMap<Box<str>, BaselineEntry>;

/// Those whose subject begins with `prefix`.
pub(crate) fn beginning_with<'a>(
    entries: &'a BaselineEntries,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a str, &'a BaselineEntry)> + Clone {
    let from = (Bound::Included(prefix), Bound::Unbounded);
    let behind = entries.range::<str, _>(from).map(|(subject, entry)| (&**subject, entry));
    behind.take_while(move |(subject, _)| subject.starts_with(prefix))
}
