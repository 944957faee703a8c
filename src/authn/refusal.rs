//! Sign-ins that were refused, told to whoever keeps them for the operator: whose name, from where, why. Never a password,
//! a secret, or a name that nobody has: people type passwords where names belong.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

/// Why nobody was signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalCause {
    /// A directory said no.
    WrongPassword,
    /// A secret, a key or a refresh token that is none, or none any more.
    WrongSecret,
    /// Too many wrong ones came before, and nothing was checked.
    Waiting,
    /// No directory could say.
    NoDirectory,
    /// The password is right, and the user is shut out.
    ShutOut,
    /// What was sent cannot be credentials.
    Malformed,
}

impl RefusalCause {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::WrongPassword, Self::WrongSecret, Self::Waiting, Self::NoDirectory, Self::ShutOut, Self::Malformed];

    /// The word for it in records and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong_password",
            Self::WrongSecret => "wrong_secret",
            Self::Waiting => "waiting",
            Self::NoDirectory => "no_directory",
            Self::ShutOut => "shut_out",
            Self::Malformed => "malformed",
        }
    }
}

/// One sign-in that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedSignIn {
    /// When.
    pub at: DateTime<Utc>,
    /// The id and name of the user or service whose name it was; nothing for a name that nobody has, and for none.
    pub principal: Option<(String, String)>,
    /// From where.
    pub client: IpAddr,
    /// Why.
    pub cause: RefusalCause,
}

/// Takes refused sign-ins off the request's path.
pub trait RefusalSink: Send + Sync + 'static {
    /// Takes one. Must not block and must not fail.
    fn offer(&self, refused: RefusedSignIn);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRefusals;

impl RefusalSink for NoRefusals {
    fn offer(&self, _: RefusedSignIn) {}
}
