//! Pages of what is too much for one answer. Asks nobody.

use std::ops::Bound;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{error::Result, turn::Awaited};

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

    /// A page of the rows that come next; nothing stands for one that was looked at and is not to be shown.
    pub(crate) fn gather<T>(
        &self,
        awaited: &Awaited,
        rows: impl Iterator<Item = Option<T>>,
        key: impl Fn(&T) -> String,
    ) -> Result<Page<T>> {
        let mut found = Vec::new();
        for row in awaited.while_awaited(rows) {
            found.extend(row?);
            if found.len() > self.limit {
                break;
            }
        }
        Ok(self.page(found, key))
    }

    /// A page of the rows that come next, of few, in whatever order they are.
    pub(crate) fn sorted_page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> String) -> Page<T>
    where
        K: AsRef<str>,
    {
        let after = self.after.as_ref().map(AsRef::as_ref);
        rows.retain(|row| after.is_none_or(|after| key(row).as_str() > after));
        rows.sort_by_cached_key(&key);
        rows.truncate(self.limit + 1);
        self.page(rows, key)
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

    /// Whether a row with this key comes on this page or a later one.
    pub(crate) fn is_after(&self, key: &str) -> bool {
        self.after().is_none_or(|after| key > after)
    }

    /// From where on rows are looked for.
    pub(crate) fn from(&self) -> Bound<&str> {
        self.after().map_or(Bound::Unbounded, Bound::Excluded)
    }

    /// The same of what is known by a source and an id.
    pub(crate) fn start_pair(&self) -> Bound<(&str, &str)> {
        let pair = self.after().and_then(|after| after.split_once('/'));
        pair.map_or(Bound::Unbounded, Bound::Excluded)
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
