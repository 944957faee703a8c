//! Rows in the order of their keys, in parts.

use std::{
    borrow::Borrow,
    marker::PhantomData,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};

use crate::persistent::{rows_of, work};

/// A sorted map whose clone shares its parts.
#[derive(Debug, Clone)]
pub(crate) struct SortedMap<K, V> {
    /// None is empty.
    parts: Vec<Arc<Vec<(K, V)>>>,
    len: usize,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self { parts: Vec::new(), len: 0 }
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// A part of so many is split.
    const ROWS: usize = rows_of(size_of::<(K, V)>());

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part where a key is or belongs, and where in it.
    fn search<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        work::count(1);
        let begins = |part: &Arc<Vec<(K, V)>>| part.first().is_some_and(|(first, _)| first.borrow() <= key);
        let part = self.parts.partition_point(begins).saturating_sub(1);
        let rows = self.parts.get(part).map_or(&[][..], |part| part);
        (part, rows.binary_search_by(|(one, _)| one.borrow().cmp(key)))
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (part, at) = self.search(key);
        self.parts.get(part)?.get(at.ok()?).map(|(_, value)| value)
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        self.parts.iter().flat_map(|part| part.iter()).inspect(|_| work::count(1)).map(|(key, value)| (key, value))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// Those of a range of keys.
    pub(crate) fn range(&self, keys: impl RangeBounds<K> + Clone) -> impl Iterator<Item = (&K, &V)> + Clone {
        let (part, skip) = match keys.start_bound() {
            Bound::Unbounded => (0, 0),
            Bound::Included(from) => {
                let (part, at) = self.search(from);
                (part, at.unwrap_or_else(|at| at))
            }
            Bound::Excluded(from) => {
                let (part, at) = self.search(from);
                (part, at.map_or_else(|at| at, |at| at + 1))
            }
        };
        let parts = self.parts.get(part..).unwrap_or_default();
        let rows = parts.iter().flat_map(|part| part.iter()).skip(skip).inspect(|_| work::count(1));
        let within = move |key: &K| match keys.end_bound() {
            Bound::Unbounded => true,
            Bound::Included(to) => key <= to,
            Bound::Excluded(to) => key < to,
        };
        rows.map(|(key, value)| (key, value)).take_while(move |(key, _)| within(key))
    }
}

impl<K: Ord + Clone, V: Clone> SortedMap<K, V> {
    /// To change a value. Where its part is shared it is copied first.
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (part, at) = self.search(key);
        let at = at.ok()?;
        Arc::make_mut(self.parts.get_mut(part)?).get_mut(at).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (at, found) = self.search(&key);
        if self.parts.is_empty() {
            self.parts.push(Arc::default());
        }
        let part = Arc::make_mut(self.parts.get_mut(at)?);
        match found {
            Ok(row) => return part.get_mut(row).map(|(_, known)| std::mem::replace(known, value)),
            Err(row) => part.insert(row, (key, value)),
        }
        self.len += 1;
        if part.len() >= Self::ROWS {
            // What comes in order is put at the end, and leaves full parts behind.
            let last = at + 1 == self.parts.len() && found == Err(Self::ROWS - 1);
            let part = Arc::make_mut(self.parts.get_mut(at)?);
            let rest = part.split_off(if last { Self::ROWS - 1 } else { Self::ROWS / 2 });
            part.shrink_to_fit();
            self.parts.insert(at + 1, Arc::new(rest));
        }
        None
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, found) = self.search(key);
        let row = found.ok()?;
        let part = Arc::make_mut(self.parts.get_mut(at)?);
        let (_, value) = part.remove(row);
        self.len -= 1;
        if part.is_empty() {
            self.parts.remove(at);
        }
        Some(value)
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

impl<K: Ord + Serialize, V: Serialize> Serialize for SortedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_map(Some(self.len))?;
        self.iter().try_for_each(|(key, value)| rows.serialize_entry(key, value))?;
        rows.end()
    }
}

impl<'de, K: Ord + Clone + Deserialize<'de>, V: Clone + Deserialize<'de>> Deserialize<'de> for SortedMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Ord + Clone + Deserialize<'de>, V: Clone + Deserialize<'de>> Visitor<'de> for Rows<K, V> {
            type Value = SortedMap<K, V>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("rows by key")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
                let mut map = SortedMap::default();
                while let Some((key, value)) = rows.next_entry()? {
                    map.insert(key, value);
                }
                Ok(map)
            }
        }
        deserializer.deserialize_map(Rows(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const ROWS: u32 = 20_000;

    /// Every number below [`ROWS`] once, in no order.
    fn mixed() -> impl Iterator<Item = u32> {
        (0..ROWS).map(|n| n * 7_919 % ROWS)
    }

    #[test]
    fn it_is_sorted_however_it_was_filled_and_a_clone_stays_as_it_was() {
        for keys in [mixed().collect::<Vec<_>>(), (0..ROWS).collect()] {
            let mut map: SortedMap<u32, u32> = SortedMap::default();
            keys.iter().for_each(|key| assert_eq!(map.insert(*key, *key), None));
            let before = map.clone();
            assert_eq!((map.insert(3, 4), map.remove(&5), map.remove(&5)), (Some(3), Some(5), None));
            map.update(ROWS + 1, |value| *value += 1);
            let shared = before.parts.iter().zip(&map.parts).filter(|(one, other)| Arc::ptr_eq(one, other)).count();
            assert!(shared >= map.parts.len() - 2, "{shared} of {}", map.parts.len());
            assert!(before.iter().map(|(key, value)| (*key, *value)).eq((0..ROWS).map(|n| (n, n))));
            assert_eq!((before.len(), map.len()), (ROWS as usize, ROWS as usize));
            assert_eq!([3, 5, ROWS + 1].map(|key| map.get(&key).copied()), [Some(4), None, Some(1)]);
            for (from, to) in [(0, 0), (4, 6), (ROWS - 2, ROWS + 9), (100, 2_000), (9, 8)] {
                let expected = map.keys().copied().filter(|key| (from..=to).contains(key));
                assert!(map.range(from..=to).map(|(key, _)| *key).eq(expected), "{from} to {to}");
            }
            for key in 0..=ROWS + 1 {
                map.remove(&key);
            }
            assert!(map.is_empty() && map.parts.is_empty());
        }
    }

    #[test]
    fn it_is_written_as_any_sorted_map() {
        let map: BTreeMap<u32, u8> = mixed().map(|key| (key, 1)).collect();
        let bytes = postcard::to_stdvec(&map).unwrap();
        let read: SortedMap<u32, u8> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(postcard::to_stdvec(&read).unwrap(), bytes);
        assert!(read.iter().eq(map.iter()));
    }
}
