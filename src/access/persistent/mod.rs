//! Collections whose clone shares what they hold: pages behind counters, copied when one side changes them. A clone costs a
//! counter a page, not a copy of the rows, and goes on as it is while the other side changes. Knows no row.

mod hash;
mod map;
mod pages;
pub(crate) mod work;

pub(crate) use hash::{Buckets, HashMap};
pub(crate) use map::SortedMap;
pub(crate) use pages::Pages;

/// How much of it is copied when something in a shared page changes: little, as somebody may wait for it, and so much that a
/// clone counts few pages.
const PAGE_BYTES: usize = 8 << 10;

/// How many rows of a size are in a page: a power of two, so that finding one is a shift and a mask.
const fn rows_of(size: usize) -> usize {
    let rows = match PAGE_BYTES.checked_div(size) {
        Some(rows) => rows,
        None => PAGE_BYTES,
    };
    if rows < 2 { 2 } else { 1 << rows.ilog2() }
}
