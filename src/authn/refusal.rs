//! Sign-ins that were refused, told to whoever keeps them for the operator: whose name, from where, why. Never a password,
//! a secret, or a name that nobody has: people type passwords where names belong.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use rollcall_access::{SecretFlaw, ShutOut};

use crate::passwords::{Refused, check::PasswordRefusal};

/// Why nobody was signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalCause {
    /// A directory said no, and no more.
    WrongPassword,
    /// The account is locked in its directory.
    Locked,
    /// The password is right, and has to be changed first.
    MustChange,
    /// The password is right, and too old.
    PasswordExpired,
    /// The account is disabled, in its directory or as its source says.
    Disabled,
    /// The account is over in its directory.
    AccountExpired,
    /// The account may not be used at this hour or from here.
    NotNow,
    /// Neither a user nor a directory knows the name; or no directory has an entry of the user.
    NoSuchName,
    /// Several accounts have the name, so it is nobody's.
    AmbiguousName,
    /// It is another user's name than of the one whom the directory means by it.
    NameTaken,
    /// The user was called so, and is called otherwise now: it signs nobody in.
    FormerName,
    /// A secret, a key or a refresh token that is none, or not this user's.
    WrongSecret,
    /// A secret that was this user's: it expired, was revoked or reset, or whose it is was parted from the user.
    SecretEnded,
    /// Too many wrong ones came before, and nothing was checked.
    Waiting,
    /// No directory could say: it did not answer, or its source is suspended.
    NoDirectory,
    /// Nobody of the user is there: removed, or of a source whose facts do not count. A secret is right; a password was
    /// shown to nobody.
    ShutOut,
    /// What was sent cannot be credentials.
    Malformed,
}

impl RefusalCause {
    /// Every one.
    pub const ALL: [Self; 17] = [
        Self::WrongPassword,
        Self::Locked,
        Self::MustChange,
        Self::PasswordExpired,
        Self::Disabled,
        Self::AccountExpired,
        Self::NotNow,
        Self::NoSuchName,
        Self::AmbiguousName,
        Self::NameTaken,
        Self::FormerName,
        Self::WrongSecret,
        Self::SecretEnded,
        Self::Waiting,
        Self::NoDirectory,
        Self::ShutOut,
        Self::Malformed,
    ];

    /// The word for it in records and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong_password",
            Self::Locked => "locked",
            Self::MustChange => "must_change",
            Self::PasswordExpired => "password_expired",
            Self::Disabled => "disabled",
            Self::AccountExpired => "account_expired",
            Self::NotNow => "not_now",
            Self::NoSuchName => "no_such_name",
            Self::AmbiguousName => "ambiguous_name",
            Self::NameTaken => "name_taken",
            Self::FormerName => "former_name",
            Self::WrongSecret => "wrong_secret",
            Self::SecretEnded => "secret_ended",
            Self::Waiting => "waiting",
            Self::NoDirectory => "no_directory",
            Self::ShutOut => "shut_out",
            Self::Malformed => "malformed",
        }
    }
}

impl From<Refused> for RefusalCause {
    fn from(why: Refused) -> Self {
        match why {
            Refused::ByDirectory(why) => match why {
                PasswordRefusal::Wrong => Self::WrongPassword,
                PasswordRefusal::Locked => Self::Locked,
                PasswordRefusal::NotNow => Self::NotNow,
                PasswordRefusal::Disabled => Self::Disabled,
                PasswordRefusal::AccountExpired => Self::AccountExpired,
                PasswordRefusal::PasswordExpired => Self::PasswordExpired,
                PasswordRefusal::MustChange => Self::MustChange,
            },
            Refused::Waiting => Self::Waiting,
            Refused::NoSuchName => Self::NoSuchName,
            Refused::AmbiguousName => Self::AmbiguousName,
            Refused::NameTaken => Self::NameTaken,
            Refused::Inactive => Self::Disabled,
            Refused::Suspended => Self::NoDirectory,
            Refused::ShutOut(why) => why.into(),
        }
    }
}

impl From<ShutOut> for RefusalCause {
    fn from(why: ShutOut) -> Self {
        match why {
            ShutOut::Inactive => Self::Disabled,
            ShutOut::Gone => Self::ShutOut,
        }
    }
}

impl From<SecretFlaw> for RefusalCause {
    fn from(flaw: SecretFlaw) -> Self {
        match flaw {
            SecretFlaw::Over => Self::SecretEnded,
            SecretFlaw::ShutOut(why) => why.into(),
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
