//! Interned names: every id that a source says becomes a small number once. Names are never forgotten, as a tombstone
//! needs its subject for ever; so growing texts hold them all.

use std::{hash::BuildHasher, sync::Arc};

use hashbrown::DefaultHashBuilder;
use serde::{Deserialize, Serialize};

use crate::persistent::{Buckets, Pages};

/// How many names stand in one text.
const PAGE: u32 = 512;

/// Names in name spaces (one per source), each with an index that counts from 0.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub(crate) struct Names {
    texts: Texts,
    spaces: Pages<u16>,
    table: Buckets<u32>,
    hasher: DefaultHashBuilder,
}

/// The names themselves, one behind the other.
#[derive(Debug, Clone, Default)]
struct Texts {
    /// Each of [`PAGE`] names.
    full: Vec<Arc<str>>,
    last: String,
    /// Where each name ends in its text.
    ends: Pages<u32>,
}

/// As a snapshot has them: all in one text.
#[derive(Serialize, Deserialize)]
struct Written {
    text: String,
    ends: Vec<u32>,
    spaces: Pages<u16>,
}

impl From<Names> for Written {
    fn from(names: Names) -> Self {
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(names.spaces.len()));
        for ix in 0..names.len() {
            text.push_str(names.text(ix));
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        Self { text, ends, spaces: names.spaces }
    }
}

impl TryFrom<Written> for Names {
    type Error = &'static str;

    fn try_from(Written { text, ends, spaces }: Written) -> Result<Self, Self::Error> {
        let (mut texts, mut at) = (Texts::default(), 0);
        for end in &ends {
            let end = *end as usize;
            texts.push(text.get(at..end).ok_or("names do not end where they are said to")?);
            at = end;
        }
        if at != text.len() || ends.len() != spaces.len() {
            return Err("names, their ends and their spaces do not fit each other");
        }
        Ok(Self { texts, spaces, ..Self::default() })
    }
}

impl Texts {
    #[inline]
    fn get(&self, ix: u32) -> &str {
        let text = self.full.get((ix / PAGE) as usize).map_or(&*self.last, |text| text);
        let end = self.ends.get(ix as usize).copied().unwrap_or_default() as usize;
        let start = if ix.is_multiple_of(PAGE) {
            0
        } else {
            self.ends.get(ix as usize - 1).copied().unwrap_or_default() as usize
        };
        text.get(start..end).unwrap_or_default()
    }

    fn push(&mut self, name: &str) {
        self.last.push_str(name);
        // A text beyond 4 GiB of names does not fit a machine that could hold the facts about them.
        self.ends.push(u32::try_from(self.last.len()).unwrap_or(u32::MAX));
        if self.ends.len().is_multiple_of(PAGE as usize) {
            self.full.push(std::mem::take(&mut self.last).into());
        }
    }
}

impl Names {
    #[inline]
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
        self.texts.push(name);
        self.spaces.push(space);
        self.index(ix);
        (ix, true)
    }

    fn index(&mut self, ix: u32) {
        let Self { texts, spaces, table, hasher } = self;
        let hash = |ix: &u32| hasher.hash_one((space_of(spaces, *ix), texts.get(*ix)));
        table.insert_unique(hash(&ix), ix, hash);
    }

    /// Makes the look-up table after reading a snapshot.
    pub(crate) fn reindex(&mut self) {
        self.table = Buckets::with_room(self.spaces.len());
        (0..self.len()).for_each(|ix| self.index(ix));
    }

    #[inline]
    pub(crate) fn text(&self, ix: u32) -> &str {
        self.texts.get(ix)
    }

    #[inline]
    pub(crate) fn space(&self, ix: u32) -> u16 {
        space_of(&self.spaces, ix)
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.spaces.len()).unwrap_or(u32::MAX)
    }
}

fn space_of(spaces: &Pages<u16>, ix: u32) -> u16 {
    spaces.get(ix as usize).copied().unwrap_or(u16::MAX)
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
    }

    #[test]
    fn every_name_of_many_texts_is_found_and_read_back_from_a_snapshot() {
        let all: Vec<String> = (0..3 * PAGE + 5).map(|n| "ä".repeat(n as usize % 4) + &n.to_string()).collect();
        let mut names = Names::default();
        for (ix, name) in (0..).zip(&all) {
            assert_eq!(names.intern(0, name), (ix, true));
        }
        let mut read: Names = postcard::from_bytes(&postcard::to_stdvec(&names).unwrap()).unwrap();
        read.reindex();
        for (ix, name) in (0..).zip(&all) {
            assert_eq!((read.text(ix), read.get(0, name), names.get(0, name)), (name.as_str(), Some(ix), Some(ix)));
        }
        let written = |text: &str, ends: &[u32]| Written {
            text: text.to_owned(),
            ends: ends.to_vec(),
            spaces: ends.iter().map(|_| 0).collect(),
        };
        assert!(Names::try_from(written("ab", &[1, 2])).is_ok());
        for damaged in [written("ab", &[1]), written("ab", &[2, 1]), written("ab", &[1, 3]), written("ä", &[1, 2])] {
            assert!(Names::try_from(damaged).is_err());
        }
    }
}
