//! What a directory has to do for people to sign in with their password in it. The binary implements it.

use async_trait::async_trait;
use rollcall_events::{Id, SourceName};
use secrecy::SecretString;

/// Whose account a directory is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account<'a> {
    /// Of the person with this id, which is the directory's own.
    Person(&'a Id),
    /// Of whom people call so: by the user name, by another value of it, by whatever else the directory lets people type.
    Named(&'a str),
}

/// What a directory finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountFound {
    /// One account.
    One(FoundAccount),
    /// None.
    Nobody,
    /// Several, so that the name is nobody's.
    Several(Vec<Id>),
    /// The directory could not be asked.
    Unavailable,
}

/// An account that a directory has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundAccount {
    /// The person's id, which is the directory's own.
    pub person: Id,
    /// Where the directory has it. A word for it alone.
    pub entry: String,
}

/// What a directory says of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordAnswer {
    /// It is this account's, and the account may be used.
    Good,
    /// It signs nobody in, and why.
    Refused(PasswordRefusal),
    /// The directory could not be asked.
    Unavailable,
}

/// Why a directory lets nobody in, the more telling last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PasswordRefusal {
    /// The password is wrong, or the directory says no more.
    Wrong,
    /// The account is locked, after too many wrong passwords mostly.
    Locked,
    /// The account may not be used at this hour or from here.
    NotNow,
    /// The account is disabled.
    Disabled,
    /// The account is over.
    AccountExpired,
    /// The password is right, and too old.
    PasswordExpired,
    /// The password is right, and somebody else set it: it has to be changed first.
    MustChange,
}

impl PasswordRefusal {
    /// Whether the password was right, which only whoever knows it is told.
    pub(crate) fn is_right_but_over(self) -> bool {
        matches!(self, Self::PasswordExpired | Self::MustChange)
    }
}

/// One directory that checks passwords.
#[async_trait]
pub trait PasswordCheck: Send + Sync + 'static {
    /// The source whose people the directory knows.
    fn source(&self) -> &SourceName;

    /// Whether a name like this is in this directory or nowhere, as the operator says of its domain.
    fn owns(&self, name: &str) -> bool;

    /// Whether people may type their e-mail address in place of their name.
    fn takes_addresses(&self) -> bool;

    /// Looks for an account. It takes as long for nobody as for somebody.
    async fn find(&self, account: Account<'_>) -> AccountFound;

    /// Whether it is this entry's password, as [`PasswordCheck::find`] gave it. Nobody's is checked all the same, so that
    /// it takes as long, and never right. The password is never empty, blank or a credential that we made.
    async fn check(&self, entry: Option<&str>, password: &SecretString) -> PasswordAnswer;
}
