//! The words in which people ask: what lists are narrowed to, names that were nearly right, and what somebody pasted.

pub(crate) mod filters;
pub mod nearest;
pub mod pasted;
