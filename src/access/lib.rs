//! (being built)

mod change;

pub use change::{Change, Effect, Folded};
