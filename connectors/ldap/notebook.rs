//! What a follower must know besides its cursor to go on: the world as it was heard, in which parts each entry is, which
//! groups are doubtful. Asks nobody and tells nobody.

use std::collections::HashSet;

use rollcall_events::Id;

use crate::{changes::Part, world::World};

/// A follower's notebook.
#[derive(Debug, Default)]
pub struct Notebook {
    pub world: World,
    /// By part: who is there.
    parts: Vec<HashSet<Id>>,
    /// Groups that list a name which means somebody else now; they are read again.
    pub doubtful: HashSet<Id>,
}

impl Notebook {
    /// An entry is in a part.
    pub fn came(&mut self, part: Part, id: Id) {
        if self.parts.len() <= part {
            self.parts.resize_with(part + 1, HashSet::new);
        }
        if let Some(ids) = self.parts.get_mut(part) {
            ids.insert(id);
        }
    }

    /// An entry is no longer in a part.
    pub fn left(&mut self, part: Part, id: &Id) {
        if let Some(ids) = self.parts.get_mut(part) {
            ids.remove(id);
        }
    }

    /// Whether an entry is in any part.
    pub fn is_somewhere(&self, id: &Id) -> bool {
        self.parts.iter().any(|ids| ids.contains(id))
    }
}
