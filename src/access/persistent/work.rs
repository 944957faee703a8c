//! How many rows a thread looked at. Counted where assertions are on, which is in tests; nowhere else does it cost anything.

#[cfg(debug_assertions)]
mod counted {
    use std::cell::Cell;

    thread_local! {
        static LOOKED_AT: Cell<u64> = const { Cell::new(0) };
    }

    pub(crate) fn count(rows: u64) {
        LOOKED_AT.with(|all| all.set(all.get().wrapping_add(rows)));
    }

    pub(crate) fn so_far() -> u64 {
        LOOKED_AT.with(Cell::get)
    }
}

#[cfg(not(debug_assertions))]
mod counted {
    #[inline(always)]
    pub(crate) fn count(_: u64) {}

    #[inline(always)]
    pub(crate) fn so_far() -> u64 {
        0
    }
}

pub(crate) use counted::{count, so_far};
