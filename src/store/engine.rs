//! Which engine keeps the SQL side.

use std::path::PathBuf;

/// Which engine keeps the SQL side, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineConfig {
    /// SQLite files in a data directory, written by one process.
    Embedded {
        /// The data directory.
        dir: PathBuf,
    },
}
