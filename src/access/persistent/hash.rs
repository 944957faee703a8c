//! Rows by hash, in parts: linear hashing, so that it grows a part at a time and never as a whole.

use std::{
    borrow::Borrow,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::persistent::{PAGE_BYTES, work};

/// A hash table whose clone shares its parts. Who uses it knows the hash of a row.
#[derive(Debug, Clone)]
pub(crate) struct Buckets<T> {
    parts: Vec<Arc<HashTable<T>>>,
    len: usize,
}

impl<T> Default for Buckets<T> {
    fn default() -> Self {
        Self { parts: Vec::new(), len: 0 }
    }
}

/// Which of so many parts a hash belongs to. A part's own table looks at the lowest and the highest bits; these are others.
fn part_of(hash: u64, parts: usize) -> usize {
    let (bits, all) = ((hash >> 20) as usize, parts.next_power_of_two());
    let part = bits & (all - 1);
    if part < parts { part } else { bits & (all / 2 - 1) }
}

impl<T> Buckets<T> {
    /// How many rows a part has in the middle; between two splits one has up to twice as many. Seven eighths of a power of two,
    /// as a table is full then.
    const ROWS: usize = {
        let rows = PAGE_BYTES / if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        (if rows < 16 { 16 } else { 1 << rows.ilog2() }) / 8 * 7
    };

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl FnMut(&T) -> bool) -> Option<&T> {
        work::count(1);
        if self.parts.is_empty() {
            return None;
        }
        self.parts.get(part_of(hash, self.parts.len()))?.find(hash, is)
    }

    /// An empty one with parts for so many rows.
    pub(crate) fn with_room(rows: usize) -> Self {
        Self { parts: (0..rows.div_ceil(Self::ROWS)).map(|_| Arc::default()).collect(), len: 0 }
    }
}

impl<T: Clone> Buckets<T> {
    /// To change a row. Where its part is shared it is copied first.
    pub(crate) fn find_mut(&mut self, hash: u64, mut is: impl FnMut(&T) -> bool) -> Option<&mut T> {
        work::count(1);
        let parts = self.parts.len().max(1);
        let part = self.parts.get_mut(part_of(hash, parts))?;
        if Arc::strong_count(part) > 1 && part.find(hash, &mut is).is_none() {
            return None;
        }
        Arc::make_mut(part).find_mut(hash, is)
    }

    /// Adds a row that is not in it. `hash_of`: the hash of any row.
    pub(crate) fn insert_unique(&mut self, hash: u64, row: T, hash_of: impl Fn(&T) -> u64) -> Option<&mut T> {
        work::count(1);
        if self.len >= self.parts.len() * Self::ROWS {
            self.split(&hash_of);
        }
        self.len += 1;
        let parts = self.parts.len();
        let part = Arc::make_mut(self.parts.get_mut(part_of(hash, parts))?);
        Some(part.insert_unique(hash, row, hash_of).into_mut())
    }

    pub(crate) fn remove(&mut self, hash: u64, mut is: impl FnMut(&T) -> bool) -> Option<T> {
        self.find(hash, &mut is)?;
        let parts = self.parts.len();
        let part = Arc::make_mut(self.parts.get_mut(part_of(hash, parts))?);
        let row = part.find_entry(hash, is).ok()?.remove().0;
        self.len -= 1;
        Some(row)
    }

    /// Adds a part, and moves there what belongs there: all of it is in one part.
    fn split(&mut self, hash_of: impl Fn(&T) -> u64) {
        let new = self.parts.len();
        self.parts.push(Arc::default());
        if new == 0 {
            return;
        }
        let old = new & ((1 << new.ilog2()) - 1);
        let Some(part) = self.parts.get_mut(old).map(std::mem::take) else { return };
        let rows: Vec<T> = match Arc::try_unwrap(part) {
            Ok(own) => own.into_iter().collect(),
            Err(shared) => shared.iter().cloned().collect(),
        };
        let moves = |row: &T| part_of(hash_of(row), new + 1) == new;
        let moved = rows.iter().filter(|row| moves(row)).count();
        // No more room than they need: the next ones are as likely in any other part.
        let mut tables = [HashTable::with_capacity(rows.len() - moved), HashTable::with_capacity(moved)];
        let [stay, go] = &mut tables;
        for row in rows {
            let hash = hash_of(&row);
            (if moves(&row) { &mut *go } else { &mut *stay }).insert_unique(hash, row, &hash_of);
        }
        let places = [old, new].into_iter().zip(tables);
        places.for_each(|(at, table)| {
            if let Some(place) = self.parts.get_mut(at) {
                *place = Arc::new(table);
            }
        });
    }
}

/// A hash map whose clone shares its parts.
#[derive(Debug, Clone)]
pub(crate) struct HashMap<K, V> {
    rows: Buckets<(K, V)>,
    hasher: DefaultHashBuilder,
}

impl<K, V> Default for HashMap<K, V> {
    fn default() -> Self {
        Self { rows: Buckets::default(), hasher: DefaultHashBuilder::default() }
    }
}

impl<K: Hash + Eq, V> HashMap<K, V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 0
    }

    #[inline]
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        if self.is_empty() {
            return None;
        }
        self.rows.find(self.hasher.hash_one(key), |(one, _)| one.borrow() == key).map(|(_, value)| value)
    }

    pub(crate) fn contains_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }
}

impl<K: Hash + Eq + Clone, V: Clone> HashMap<K, V> {
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.rows.find_mut(self.hasher.hash_one(key), |(one, _)| one == key).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(known) = self.get_mut(&key) {
            return Some(std::mem::replace(known, value));
        }
        let Self { rows, hasher } = self;
        rows.insert_unique(hasher.hash_one(&key), (key, value), |(key, _)| hasher.hash_one(key));
        None
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.rows.remove(self.hasher.hash_one(key), |(one, _)| one == key).map(|(_, value)| value)
    }

    /// Changes the value of a key, made where it is new.
    pub(crate) fn update<R>(&mut self, key: K, change: impl FnOnce(&mut V) -> R) -> R
    where
        V: Default,
    {
        if let Some(value) = self.get_mut(&key) {
            return change(value);
        }
        let mut value = V::default();
        let changed = change(&mut value);
        self.insert(key, value);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: u32 = 20_000;

    #[test]
    fn what_was_put_in_is_found_while_it_grows_and_a_clone_stays_as_it_was() {
        let mut map: HashMap<u32, u32> = HashMap::default();
        for key in 0..ROWS {
            assert!(map.get(&key).is_none() && map.insert(key, key).is_none());
        }
        let before = map.clone();
        let shared = |map: &HashMap<u32, u32>| {
            let pairs = before.rows.parts.iter().zip(&map.rows.parts);
            pairs.filter(|(one, other)| Arc::ptr_eq(one, other)).count()
        };
        assert_eq!(map.insert(7, 8), Some(7));
        assert_eq!(shared(&map), map.rows.parts.len() - 1);
        assert!(map.remove(&9).is_some() && map.remove(&9).is_none());
        map.update(ROWS, |value| *value += 1);
        assert_eq!([7, 9, ROWS].map(|key| map.get(&key).copied()), [Some(8), None, Some(1)]);
        assert!((0..ROWS).all(|key| before.get(&key) == Some(&key)));
        assert_eq!((before.rows.len(), map.rows.len()), (ROWS as usize, ROWS as usize));
        let largest = map.rows.parts.iter().map(|part| part.len()).max().unwrap();
        assert!(largest < 3 * Buckets::<(u32, u32)>::ROWS, "a part of {largest}");
    }
}
