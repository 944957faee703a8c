//! What a source said last, in as few bytes as it takes to see whether it says something else now: of each subject a
//! fingerprint and its place in the log. Folded with the mirror; what a fact said in full is read from the log.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hashbrown::HashTable;
use rollcall_events::Position;

use crate::stores::{Fingerprint, Mark, Marks};

/// Names a subject without its text. Two hashes whose keys nobody outside knows: that two subjects share both does not
/// happen.
type Key = [u64; 2];

#[derive(Debug)]
struct Entry {
    key: Key,
    mark: Mark,
    /// The read that said it last; 0 for none.
    said_by: u32,
}

/// What one source said last. One read at a time is held against it.
#[derive(Debug)]
pub(crate) struct Ledger {
    hashers: [RandomState; 2],
    entries: HashTable<Entry>,
    standing: u64,
    position: Position,
    /// The number of the read that is held against it.
    read: u32,
    /// What this read said, where something newer was recorded since.
    overtaken: HashMap<Key, Fingerprint>,
}

/// What a read says of a subject, beside what was said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// The same.
    Same,
    /// Something else, or the subject was not there.
    New,
    /// This read has said it before.
    Again {
        /// And said the same.
        same: bool,
    },
}

impl Ledger {
    /// One that holds nothing, at a place in the log.
    pub fn at(position: Position) -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            entries: HashTable::new(),
            standing: 0,
            position,
            read: 0,
            overtaken: HashMap::new(),
        }
    }

    /// Up to where the log is in it.
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many facts stand.
    pub fn standing(&self) -> u64 {
        self.standing
    }

    /// Takes one subject in.
    pub fn put(&mut self, subject: &str, mark: Mark) {
        let key = self.key(subject);
        self.standing += u64::from(mark.stands);
        match self.entries.find_mut(key[0], |entry| entry.key == key) {
            Some(entry) => {
                self.standing -= u64::from(entry.mark.stands);
                if self.read != 0 && entry.said_by == self.read && entry.mark.fingerprint != mark.fingerprint {
                    self.overtaken.entry(key).or_insert(entry.mark.fingerprint);
                }
                entry.mark = mark;
            }
            None => _ = self.entries.insert_unique(key[0], Entry { key, mark, said_by: 0 }, |entry| entry.key[0]),
        }
    }

    /// Takes in what the log has up to `to`.
    pub fn fold(&mut self, marks: &Marks, to: Position) {
        marks.iter().for_each(|(subject, mark)| self.put(subject, *mark));
        self.position = to;
    }

    /// Begins a read. Nothing was said by it yet.
    pub fn begin(&mut self) {
        self.overtaken.clear();
        self.read = self.read.wrapping_add(1).max(1);
    }

    /// The read says this of a subject.
    pub fn say(&mut self, subject: &str, fingerprint: Fingerprint) -> Word {
        let key = self.key(subject);
        let Some(entry) = self.entries.find_mut(key[0], |entry| entry.key == key) else { return Word::New };
        if entry.said_by == self.read {
            let said = self.overtaken.get(&key).unwrap_or(&entry.mark.fingerprint);
            return Word::Again { same: *said == fingerprint };
        }
        entry.said_by = self.read;
        if entry.mark.stands && entry.mark.fingerprint == fingerprint { Word::Same } else { Word::New }
    }

    /// Counts a subject as said by this read, whatever it is.
    pub fn spare(&mut self, subject: &str) {
        let (key, read) = (self.key(subject), self.read);
        if let Some(entry) = self.entries.find_mut(key[0], |entry| entry.key == key) {
            entry.said_by = read;
        }
    }

    /// What this read said of a subject of which it only said what was said last.
    pub fn said(&self, subject: &str) -> Option<Fingerprint> {
        let key = self.key(subject);
        let entry = self.find(&key).filter(|entry| entry.said_by == self.read)?;
        Some(self.overtaken.get(&key).copied().unwrap_or(entry.mark.fingerprint))
    }

    /// What was said last of a subject.
    pub fn mark(&self, subject: &str) -> Option<Mark> {
        self.find(&self.key(subject)).map(|entry| entry.mark)
    }

    /// Where everything stands that this read did not say.
    pub fn unsaid(&self) -> Vec<Position> {
        let unsaid = self.entries.iter().filter(|entry| entry.mark.stands && entry.said_by != self.read);
        unsaid.map(|entry| entry.mark.position).collect()
    }

    fn find(&self, key: &Key) -> Option<&Entry> {
        self.entries.find(key[0], |entry| entry.key == *key)
    }

    fn key(&self, subject: &str) -> Key {
        let [one, two] = &self.hashers;
        [one.hash_one(subject), two.hash_one(subject)]
    }
}

/// A ledger that an engine and a sheet hold at once, each for moments.
#[derive(Debug, Clone)]
pub(crate) struct Book(Arc<Mutex<Ledger>>);

impl Book {
    pub fn new(ledger: Ledger) -> Self {
        Self(Arc::new(Mutex::new(ledger)))
    }

    pub fn open(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is this one and no other.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(position: u64, text: &str) -> Mark {
        Mark { position: Position(position), stands: text != "-", fingerprint: Fingerprint::of("s", "k", text) }
    }

    #[test]
    fn a_read_is_held_against_what_was_said_last() {
        let mut ledger = Ledger::at(Position(9));
        ledger.put("a", mark(1, "1"));
        ledger.put("b", mark(2, "1"));
        ledger.put("c", mark(3, "-"));
        ledger.put("d", mark(4, "1"));
        ledger.begin();
        let print = |text| Fingerprint::of("s", "k", text);
        assert_eq!(ledger.say("a", print("1")), Word::Same);
        assert_eq!(ledger.say("a", print("1")), Word::Again { same: true });
        assert_eq!(ledger.say("b", print("2")), Word::New);
        assert_eq!(ledger.say("c", print("-")), Word::New, "it was taken back");
        assert_eq!(ledger.say("e", print("1")), Word::New);
        assert_eq!((ledger.standing(), ledger.unsaid()), (3, vec![Position(4)]));
        ledger.begin();
        assert_eq!(ledger.unsaid().len(), 3, "another read has said nothing yet");
    }

    #[test]
    fn what_a_read_said_is_remembered_when_something_newer_comes() {
        let mut ledger = Ledger::at(Position(1));
        ledger.put("a", mark(1, "1"));
        ledger.begin();
        ledger.say("a", mark(1, "1").fingerprint);
        ledger.put("a", mark(5, "2"));
        assert_eq!(ledger.said("a"), Some(mark(1, "1").fingerprint));
        assert_eq!(ledger.mark("a").map(|mark| mark.position), Some(Position(5)));
        ledger.put("a", mark(6, "-"));
        assert_eq!((ledger.standing(), ledger.said("a")), (0, Some(mark(1, "1").fingerprint)));
        assert_eq!(ledger.said("b"), None);
    }
}
