//! What can be wrong with keys, by the file that an operator would look at.

use std::{io, path::PathBuf};

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file could not be read or written.
    #[error("the key file {path} cannot be read or written", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner can read a private key.
    #[error("the key file {path} can be read by others (mode {mode:o}); make it 0600", path = path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file is not what was written there.
    #[error("the key file {path} is damaged: {reason}", path = path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There are none where there were some: registries trust an authority that is gone.
    #[error(
        "the keys in {path} are gone, and registries trust the tokens that were signed with them: put them back from a backup, \
         or begin with new ones, whose bundle every registry then needs (`rollcall keys begin-anew`)",
        path = path.display()
    )]
    Gone {
        /// Where they were.
        path: PathBuf,
    },
    /// There are keys where new ones were to be begun.
    #[error("there are keys in {path}; `rollcall keys renew-authority` makes the next authority", path = path.display())]
    There {
        /// Where they are.
        path: PathBuf,
    },
    /// A key or certificate could not be made.
    #[error("a key or certificate could not be made: {0}")]
    Make(String),
}
