//! Interned names: every id that a source says becomes a small number once. Names are never forgotten, as a tombstone
//! needs its subject for ever; so one growing text holds them all.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::{Deserialize, Serialize};

/// Names in name spaces (one per source), each with an index that counts from 0.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Names {
    text: String,
    ends: Vec<u32>,
    spaces: Vec<u16>,
    #[serde(skip)]
    table: HashTable<u32>,
    #[serde(skip)]
    hasher: DefaultHashBuilder,
}

impl Names {
    pub(crate) fn get(&self, space: u16, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one((space, name));
        self.table.find(hash, |ix| self.is(*ix, space, name)).copied()
    }

    fn is(&self, ix: u32, space: u16, name: &str) -> bool {
        self.space(ix) == space && self.text(ix) == name
    }

    /// The name's index, and whether it is new.
    pub(crate) fn intern(&mut self, space: u16, name: &str) -> (u32, bool) {
        if let Some(ix) = self.get(space, name) {
            return (ix, false);
        }
        let ix = self.len();
        self.text.push_str(name);
        // A text beyond 4 GiB of names does not fit a machine that could hold the facts about them.
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        self.spaces.push(space);
        self.index(ix);
        (ix, true)
    }

    fn index(&mut self, ix: u32) {
        let Self { text, ends, spaces, table, hasher } = self;
        let hash = |ix: &u32| hasher.hash_one((space_of(spaces, *ix), text_of(text, ends, *ix)));
        table.insert_unique(hash(&ix), ix, hash);
    }

    /// Makes the look-up table after reading a snapshot.
    pub(crate) fn reindex(&mut self) {
        let Self { text, ends, spaces, table, hasher } = self;
        let hash = |ix: &u32| hasher.hash_one((space_of(spaces, *ix), text_of(text, ends, *ix)));
        table.clear();
        table.reserve(ends.len(), hash);
        for ix in 0..u32::try_from(ends.len()).unwrap_or(u32::MAX) {
            table.insert_unique(hash(&ix), ix, hash);
        }
    }

    /// Whether what a snapshot said can be used: the parts fit each other.
    pub(crate) fn is_sound(&self) -> bool {
        self.ends.len() == self.spaces.len()
            && self.ends.last().copied().unwrap_or_default() as usize == self.text.len()
            && self.ends.is_sorted()
            && self.ends.iter().all(|end| self.text.is_char_boundary(*end as usize))
    }

    pub(crate) fn text(&self, ix: u32) -> &str {
        text_of(&self.text, &self.ends, ix)
    }

    pub(crate) fn space(&self, ix: u32) -> u16 {
        space_of(&self.spaces, ix)
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }
}

fn space_of(spaces: &[u16], ix: u32) -> u16 {
    spaces.get(ix as usize).copied().unwrap_or(u16::MAX)
}

fn text_of<'a>(text: &'a str, ends: &[u32], ix: u32) -> &'a str {
    let end = ends.get(ix as usize).copied().unwrap_or_default() as usize;
    let start = (ix as usize).checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or_default() as usize;
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_two_spaces_are_two_names() {
        let mut names = Names::default();
        assert_eq!(names.intern(0, "a"), (0, true));
        assert_eq!(names.intern(1, "a"), (1, true));
        assert_eq!(names.intern(0, "a"), (0, false));
        assert_eq!((names.text(1), names.space(1), names.get(1, "b")), ("a", 1, None));
        names.reindex();
        assert_eq!(names.get(1, "a"), Some(1));
        assert!(names.is_sound());
    }
}
