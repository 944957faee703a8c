//! The baseline of one source in memory, without the subjects' texts: what a read is compared with as it comes. It also
//! knows what a read did not mention.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hashbrown::HashTable;
use rollcall_events::Position;

use super::{BaselineEntries, BaselineEntry, Fingerprint};

/// Names a subject without its text. Two hashes whose keys nobody outside knows: that two subjects share both does not
/// happen.
type Key = [u64; 2];

#[derive(Debug)]
struct Slot {
    key: Key,
    entry: BaselineEntry,
    /// The last read that stated it; 0 for none.
    seen_in: u32,
}

/// The baseline of one source. One read at a time is compared with it.
#[derive(Debug)]
pub(crate) struct BaselineIndex {
    hashers: [RandomState; 2],
    slots: HashTable<Slot>,
    fact_count: u64,
    position: Position,
    /// The number of the read that is being compared.
    read_number: u32,
    /// What this read stated, where something newer was recorded since.
    overtaken: HashMap<Key, Fingerprint>,
}

/// A stated fact beside the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// The same.
    Unchanged,
    /// Something else, or the subject was not there.
    Changed,
    /// This read has stated the subject before.
    Repeated {
        /// And stated the same.
        same: bool,
    },
}

impl BaselineIndex {
    /// An empty index at a position of the log.
    pub fn at(position: Position) -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            slots: HashTable::new(),
            fact_count: 0,
            position,
            read_number: 0,
            overtaken: HashMap::new(),
        }
    }

    /// The log is folded in up to here.
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many facts are present.
    pub fn fact_count(&self) -> u64 {
        self.fact_count
    }

    /// Takes one subject in.
    pub fn insert(&mut self, subject: &str, entry: BaselineEntry) {
        let key = self.key(subject);
        self.fact_count += u64::from(entry.present);
        match self.slots.find_mut(key[0], |slot| slot.key == key) {
            Some(slot) => {
                self.fact_count -= u64::from(slot.entry.present);
                if self.read_number != 0
                    && slot.seen_in == self.read_number
                    && slot.entry.fingerprint != entry.fingerprint
                {
                    self.overtaken.entry(key).or_insert(slot.entry.fingerprint);
                }
                slot.entry = entry;
            }
            None => _ = self.slots.insert_unique(key[0], Slot { key, entry, seen_in: 0 }, |slot| slot.key[0]),
        }
    }

    /// Takes in what the log has up to `to`.
    pub fn fold(&mut self, entries: &BaselineEntries, to: Position) {
        entries.iter().for_each(|(subject, entry)| self.insert(subject, *entry));
        self.position = to;
    }

    /// Begins a read.
    pub fn begin(&mut self) {
        self.overtaken.clear();
        self.read_number = self.read_number.wrapping_add(1).max(1);
    }

    /// Notes that the read states a subject, and compares it.
    pub fn compare(&mut self, subject: &str, fingerprint: Fingerprint) -> Comparison {
        let key = self.key(subject);
        let Some(slot) = self.slots.find_mut(key[0], |slot| slot.key == key) else { return Comparison::Changed };
        if slot.seen_in == self.read_number {
            let said = self.overtaken.get(&key).unwrap_or(&slot.entry.fingerprint);
            return Comparison::Repeated { same: *said == fingerprint };
        }
        slot.seen_in = self.read_number;
        if slot.entry.present && slot.entry.fingerprint == fingerprint {
            Comparison::Unchanged
        } else {
            Comparison::Changed
        }
    }

    /// Counts a subject as stated by this read, whatever it is.
    pub fn mark_seen(&mut self, subject: &str) {
        let (key, read) = (self.key(subject), self.read_number);
        if let Some(slot) = self.slots.find_mut(key[0], |slot| slot.key == key) {
            slot.seen_in = read;
        }
    }

    /// What this read stated of a subject, where that was the same as the baseline.
    pub fn stated_by_read(&self, subject: &str) -> Option<Fingerprint> {
        let key = self.key(subject);
        let slot = self.find(&key).filter(|slot| slot.seen_in == self.read_number)?;
        Some(self.overtaken.get(&key).copied().unwrap_or(slot.entry.fingerprint))
    }

    /// The baseline of a subject.
    pub fn entry(&self, subject: &str) -> Option<BaselineEntry> {
        self.find(&self.key(subject)).map(|slot| slot.entry)
    }

    /// The positions of all present facts that this read did not state.
    pub fn unseen(&self) -> Vec<Position> {
        let unseen = self.slots.iter().filter(|slot| slot.entry.present && slot.seen_in != self.read_number);
        unseen.map(|slot| slot.entry.position).collect()
    }

    fn find(&self, key: &Key) -> Option<&Slot> {
        self.slots.find(key[0], |slot| slot.key == *key)
    }

    fn key(&self, subject: &str) -> Key {
        let [one, two] = &self.hashers;
        [one.hash_one(subject), two.hash_one(subject)]
    }
}

/// An index that an engine and a snapshot builder share, each locking it for moments.
#[derive(Debug, Clone)]
pub(crate) struct SharedIndex(Arc<Mutex<BaselineIndex>>);

impl SharedIndex {
    pub fn new(index: BaselineIndex) -> Self {
        Self(Arc::new(Mutex::new(index)))
    }

    pub fn lock(&self) -> MutexGuard<'_, BaselineIndex> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is this one and no other.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(position: u64, text: &str) -> BaselineEntry {
        BaselineEntry {
            position: Position(position),
            present: text != "-",
            fingerprint: Fingerprint::of("s", "k", text),
        }
    }

    #[test]
    fn a_read_is_held_against_what_was_said_last() {
        let mut index = BaselineIndex::at(Position(9));
        index.insert("a", entry(1, "1"));
        index.insert("b", entry(2, "1"));
        index.insert("c", entry(3, "-"));
        index.insert("d", entry(4, "1"));
        index.begin();
        let print = |text| Fingerprint::of("s", "k", text);
        assert_eq!(index.compare("a", print("1")), Comparison::Unchanged);
        assert_eq!(index.compare("a", print("1")), Comparison::Repeated { same: true });
        assert_eq!(index.compare("b", print("2")), Comparison::Changed);
        assert_eq!(index.compare("c", print("-")), Comparison::Changed, "it was taken back");
        assert_eq!(index.compare("e", print("1")), Comparison::Changed);
        assert_eq!((index.fact_count(), index.unseen()), (3, vec![Position(4)]));
        index.begin();
        assert_eq!(index.unseen().len(), 3, "another read has said nothing yet");
    }

    #[test]
    fn what_a_read_said_is_remembered_when_something_newer_comes() {
        let mut index = BaselineIndex::at(Position(1));
        index.insert("a", entry(1, "1"));
        index.begin();
        index.compare("a", entry(1, "1").fingerprint);
        index.insert("a", entry(5, "2"));
        assert_eq!(index.stated_by_read("a"), Some(entry(1, "1").fingerprint));
        assert_eq!(index.entry("a").map(|entry| entry.position), Some(Position(5)));
        index.insert("a", entry(6, "-"));
        assert_eq!((index.fact_count(), index.stated_by_read("a")), (0, Some(entry(1, "1").fingerprint)));
        assert_eq!(index.stated_by_read("b"), None);
    }
}
