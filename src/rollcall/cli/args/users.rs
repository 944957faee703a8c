//! The commands for users and the people that they are. Parses; does nothing.

use clap::Subcommand;

/// `users`.
#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// List users by name
    List {
        /// Only with this name; may end in `*`
        #[arg(long)]
        name: Option<String>,
        /// Only with a person of this source
        #[arg(long)]
        source: Option<String>,
        /// Only with a person in this account
        #[arg(long)]
        account: Option<String>,
        /// Only those who are shut out
        #[arg(long)]
        shut_out: bool,
    },
    /// Show one: the people it is, and its roles
    Show {
        /// Its name or id
        user: String,
    },
}

/// `people`.
#[derive(Debug, Subcommand)]
pub enum PeopleCommand {
    /// List people by source and id
    List {
        /// Only of this source
        #[arg(long)]
        source: Option<String>,
        /// Only in this account
        #[arg(long)]
        account: Option<String>,
        /// Only of this user, by name or id
        #[arg(long)]
        user: Option<String>,
    },
    /// Show one, with mail address and name while they are kept
    Show {
        /// SOURCE/PERSON, as the source calls the person
        person: String,
    },
}
