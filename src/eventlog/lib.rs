#![doc = include_str!("README.md")]

mod append;
mod engine;
mod engines;
mod head;
mod log;
mod plausible;
mod sequence;
mod stream;
mod tail;
mod verify;

#[cfg(test)]
mod suite;

pub use append::{Append, AppendError, Outcome};
pub use engine::{Health, OpenError};
pub use head::{Head, HeadError, SignedHead};
pub use log::{EngineConfig, Log};
pub use plausible::ClockAhead;
pub use rollcall_sqlite::{Held, WriteAhead};
pub use tail::{ClockMend, Filter, Moment, PAGE_BYTES, Tail, TailError, When};
pub use verify::{VerifyError, VerifyOptions, VerifyProgress, VerifyReport};
