//! What the read side can refuse, whichever engine keeps it.

use std::path::PathBuf;

use rollcall_events::Position;

/// Why the read side does not do what it was asked. Nothing of a refused batch is kept.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Somebody else has moved the checkpoint: this projector must stop.
    #[error("the read side stands at {found}, not at {expected}: another projector writes it")]
    Fenced {
        /// Where this projector left it.
        expected: Position,
        /// Where it is.
        found: Position,
    },
    /// Another process has it open, so that it cannot be replaced. Close it and try again.
    #[error("{0} is open in another process and cannot be replaced")]
    InUse(PathBuf),
    /// It cannot be read or written. Try again later, or delete it: it is made anew.
    #[error("the read side cannot be used")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The directory cannot be read or written.
    #[error("{path}: {source}")]
    Directory {
        /// The path that was touched.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
