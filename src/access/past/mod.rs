//! Questions about the past: which events they depend on, and the roster that these alone give.

mod reach;
pub(crate) mod slice;
mod subjects;
