//! What a directory has to do for people to sign in with their password in it. The binary implements it.

use async_trait::async_trait;
use rollcall_events::{Id, SourceName};
use secrecy::SecretString;

/// Whose password a directory is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account<'a> {
    /// The person with this id, which is the directory's own.
    Person(&'a Id),
    /// Nobody whom this directory is known to have, under the name that was typed: to be looked for all the same, with a
    /// password that is random, so that it takes as long as a known name. Never right.
    Unknown(&'a str),
}

/// What a directory says of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordAnswer {
    /// It is this account's.
    Good,
    /// It is not.
    Bad,
    /// The directory could not be asked.
    Unavailable,
}

/// One directory that checks passwords.
#[async_trait]
pub trait PasswordCheck: Send + Sync + 'static {
    /// The source whose people the directory knows.
    fn source(&self) -> &SourceName;

    /// Whether it is this account's password. It is never empty, blank or a credential that we made.
    async fn check(&self, account: Account<'_>, password: &SecretString) -> PasswordAnswer;
}
