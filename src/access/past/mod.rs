//! Questions about the past: which events they depend on, and the roster that these alone give.

pub(crate) mod slice;
mod subjects;
