#![doc = include_str!("README.md")]

mod checkpointer;
mod durable;
mod locks;
mod write_ahead;

#[cfg(test)]
mod tests;

pub use checkpointer::{Checkpointer, Limits, Turn};
pub use locks::{ProcessLock, locks_on};
pub use write_ahead::{Held, WriteAhead, readers};
