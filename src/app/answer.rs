//! What questions and commands come to, and pages of what is too much for one answer. Asks nobody.

use std::{borrow::Cow, collections::BTreeSet};

use rollcall_access::Effect;
use rollcall_events::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an answer depends on, beside the question: whoever caches it has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheBasis {
    /// On the log up to a position, and on nothing else.
    Log,
    /// The newest event about one thing, and what hangs on it: a command can be given on condition that it still is the
    /// newest.
    Event(Position),
    /// Also on the time or on records kept beside the log: the same position may have another answer.
    Volatile,
}

/// An answer, and how much of the log it holds.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// The last position that counts in it.
    pub position: Position,
    /// What it depends on.
    pub cache_basis: CacheBasis,
    /// What was asked for.
    pub value: T,
}

impl<T> Answer<T> {
    /// That rests on the log up to a position and on nothing else.
    pub(crate) fn of_log(position: Position, value: T) -> Self {
        Self { position, cache_basis: CacheBasis::Log, value }
    }

    /// That is about one thing, whose newest event is at `changed`.
    pub(crate) fn of_event(position: Position, changed: Position, value: T) -> Self {
        Self { position, cache_basis: CacheBasis::Event(changed), value }
    }

    /// That also rests on the time or on what is kept beside the log.
    pub(crate) fn of_more(position: Position, value: T) -> Self {
        Self { position, cache_basis: CacheBasis::Volatile, value }
    }
}

/// Which page of a list.
#[derive(Debug, Clone)]
pub struct PageRequest<K = String> {
    /// The key of the last row of the page before.
    pub after: Option<K>,
    /// How many rows at most.
    pub limit: usize,
}

impl<K> PageRequest<K> {
    /// How many rows to look for: one more than the limit tells whether there is a next page.
    pub(crate) fn rows(&self) -> u32 {
        u32::try_from(self.limit + 1).unwrap_or(u32::MAX)
    }

    /// A page of rows, of which there may be one more than the limit; `key` is what the next page begins after.
    pub(crate) fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = rows.last().filter(|_| more).map(key);
        Page { items: rows, next }
    }
}

impl PageRequest {
    /// The last row's key of the page before.
    pub(crate) fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }
}

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the next page; `null` on the last. The `Link` header says the same.
    pub next: Option<String>,
}

/// A list that is short enough to be whole.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// The rows.
    pub items: Vec<T>,
}

/// A command that stands in the log and was not refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandOutcome {
    /// Where it stands.
    #[schema(value_type = u64)]
    pub position: Position,
    /// `applied` or `no_change`.
    #[schema(value_type = String)]
    pub effect: Cow<'static, str>,
}

impl CommandOutcome {
    pub(crate) fn of(position: Position, effect: &Effect) -> Self {
        Self { position, effect: effect.as_str().into() }
    }
}

/// Something that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Created {
    /// Its id, as paths and bodies name it.
    pub id: String,
    /// Where it stands.
    #[schema(value_type = u64)]
    pub position: Position,
    /// `applied` or `no_change`.
    #[schema(value_type = String)]
    pub effect: Cow<'static, str>,
}

impl Created {
    pub(crate) fn of(id: String, outcome: CommandOutcome) -> Self {
        let CommandOutcome { position, effect } = outcome;
        Self { id, position, effect }
    }
}

/// Of many keys those that come next after one, however they are offered.
pub(crate) struct NextKeys<K> {
    after: Option<K>,
    limit: usize,
    /// One more than the limit tells whether there is a next page.
    found: BTreeSet<K>,
}

impl<K: Ord> NextKeys<K> {
    pub fn new(after: Option<K>, limit: usize) -> Self {
        Self { after, limit, found: BTreeSet::new() }
    }

    pub fn offer(&mut self, key: K) {
        if self.after.as_ref().is_some_and(|after| key <= *after) {
            return;
        }
        let is_full = self.found.len() > self.limit;
        if is_full && self.found.last().is_some_and(|last| key >= *last) {
            return;
        }
        self.found.insert(key);
        if self.found.len() > self.limit + 1 {
            self.found.pop_last();
        }
    }

    /// The keys of the page, and whether there is a next one.
    pub fn page(self) -> (Vec<K>, bool) {
        let mut keys: Vec<K> = self.found.into_iter().collect();
        let more = keys.len() > self.limit;
        keys.truncate(self.limit);
        (keys, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_page_come_next_in_whatever_order_they_are_offered() {
        let offered = [7, 3, 9, 1, 5, 3, 8, 2];
        for (after, limit, page) in [
            (None, 3, (vec![1, 2, 3], true)),
            (Some(3), 2, (vec![5, 7], true)),
            (Some(3), 4, (vec![5, 7, 8, 9], false)),
            (Some(9), 4, (Vec::new(), false)),
        ] {
            for order in [offered.to_vec(), offered.iter().rev().copied().collect()] {
                let mut keys = NextKeys::new(after, limit);
                order.into_iter().for_each(|key| keys.offer(key));
                assert_eq!(keys.page(), page, "after {after:?}, {limit} of them");
            }
        }
    }
}
