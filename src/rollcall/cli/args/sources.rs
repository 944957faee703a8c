//! The commands about one source as a whole. Parses; does nothing.

use std::path::PathBuf;

use clap::Subcommand;

/// `sources`, one of them.
#[derive(Debug, Subcommand)]
pub enum SourcesCommand {
    /// Show the status of one source; a directory is asked from here, with this configuration
    Show {
        /// The source.
        name: String,
    },
    /// Suspend a source: its facts are kept and go on being updated, and nobody has anything through them
    ///
    /// Shows whom that takes what, and asks. Without a terminal it is done at once where it takes nothing from many;
    /// else the plan has to be named.
    Suspend {
        /// The source.
        name: String,
        /// The plan that was looked at, src_...
        #[arg(long, value_name = "PLAN")]
        confirm: Option<String>,
    },
    /// Resume a source that was suspended: its facts count again, as they are by now
    ///
    /// Shows whom that gives what, and asks. Without a terminal it is done at once where it takes nothing from many.
    Resume {
        /// The source.
        name: String,
        /// The plan that was looked at, src_...
        #[arg(long, value_name = "PLAN")]
        confirm: Option<String>,
    },
    /// Retire a source, for ever: all its facts end, and nothing that it says later counts
    ///
    /// Shows whom that takes and gives what, and asks for the source's name. This cannot be undone: a source that takes its
    /// place has another name.
    Retire {
        /// The source.
        name: String,
        /// The source's name once more, instead of typing it at the terminal
        #[arg(long, value_name = "NAME")]
        for_ever: Option<String>,
        /// The plan that was looked at, src_...
        #[arg(long, value_name = "PLAN")]
        confirm: Option<String>,
    },
}

/// `map`.
#[derive(Debug, Subcommand)]
pub enum MapCommand {
    /// Show what a source would make of a notification: its facts, and what would be quarantined and why
    ///
    /// Asks no server, records nothing and reads no secret; of the configuration only this source has to be right. Exits with 1
    /// where something would be quarantined.
    Test {
        /// The source.
        #[arg(long, value_name = "NAME")]
        source: String,
        /// Files, each with the body of a notification
        #[arg(long = "sample", value_name = "FILE", required = true, num_args = 1..)]
        samples: Vec<PathBuf>,
    },
    /// Print a mapping that comes with Rollcall, as it would stand in the configuration
    Show {
        /// `flexnet`, `keygen` or `stripe`
        name: String,
    },
}
