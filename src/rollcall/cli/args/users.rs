//! The commands for users and the people that they are. Parses; does nothing.

use clap::{Args, Subcommand, ValueEnum};

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
    /// Make two people one user, or all that a rule takes for one; shows what it would change first
    ///
    /// The user has the id of the person who was there first, and all that either had.
    Link(LinkArgs),
    /// Part two people that were linked; shows what it would change first
    Unlink(UnlinkArgs),
    /// List the links: which people are one user
    Links,
    /// Give a user another name, whatever its source asks for
    ///
    /// Whoever had it is called otherwise. Refused while whoever has it may sign in, and while whoever has or had it still has a
    /// secret or a role given by name. The user's own personal project is found by the new name and the old one.
    Rename {
        /// Its name or id
        user: String,
        /// The new name
        name: String,
        /// Take over what was pushed to the personal project of whoever has or had the name
        #[arg(long)]
        with_personal_project: bool,
    },
    /// Free a name that is kept for whoever had it: who asks for it first has it then
    Free {
        /// The name
        name: String,
        /// Leave what was pushed to the personal project of this name to whoever has the name next
        #[arg(long)]
        with_personal_project: bool,
    },
}

/// Whom to link.
#[derive(Debug, Clone, Args)]
pub struct LinkArgs {
    /// SOURCE/PERSON, or a user's name
    #[arg(required_unless_present = "rule", requires = "other", conflicts_with_all = ["rule", "source", "with", "except"])]
    pub one: Option<String>,
    /// SOURCE/PERSON, or a user's name
    pub other: Option<String>,
    /// All that this rule takes for one
    #[arg(long, value_enum, requires = "source")]
    pub rule: Option<LinkRule>,
    /// The source that the rule is about
    #[arg(long, requires = "rule")]
    pub source: Option<String>,
    /// The other source, of same_id; of made_again the one that took the source's place
    #[arg(long, requires = "rule")]
    pub with: Option<String>,
    /// SOURCE/PERSON or a user's name, whom the rule is not to link, now or later; can be given more than once
    #[arg(long, requires = "rule", value_name = "PERSON")]
    pub except: Vec<String>,
    /// Of made_again: also who was there while whoever was removed was there too, as where a directory was moved
    #[arg(long, requires = "rule")]
    pub overlapping: bool,
    /// The plan that was shown, lnk_..; asked for on a terminal
    #[arg(long, value_name = "PLAN")]
    pub confirm: Option<String>,
}

/// By what people are taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum LinkRule {
    /// Who was removed at the source, and who came since and asks for the same user name; what was given to the one by
    /// hand goes to the other
    MadeAgain,
    /// Who has one immutable id in two sources: one directory that both read
    SameId,
    /// Whom the source says to be somebody of another source; confirmed once, it goes on by itself
    Stated,
}

impl LinkRule {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MadeAgain => "made_again",
            Self::SameId => "same_id",
            Self::Stated => "stated",
        }
    }
}

/// Whom to part.
#[derive(Debug, Clone, Args)]
pub struct UnlinkArgs {
    /// SOURCE/PERSON, or the person's name
    pub one: String,
    /// SOURCE/PERSON, or the person's name
    pub other: String,
    /// With whom stays what was given since they were linked; else roles stay where they are and secrets end
    #[arg(long, value_name = "PERSON")]
    pub given_since: Option<String>,
    /// The plan that was shown, lnk_..; asked for on a terminal
    #[arg(long, value_name = "PLAN")]
    pub confirm: Option<String>,
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
