#![doc = include_str!("README.md")]

mod handle;
mod history;
mod hold_meter;
mod options;
mod projector;
mod read_writer;
mod rebuild;
mod replay;
mod shared;
mod snapshot;
mod status;

#[cfg(test)]
mod suite;

pub use handle::Handle;
pub use options::Options;
pub use projector::{Projector, StartError};
pub use replay::RebuildError;
pub use status::{Compared, ComparedSql, Progress, State, Status, Task};
