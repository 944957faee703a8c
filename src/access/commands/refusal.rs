//! Why a command is refused: what the caller does about it, and in words.

/// Why a command is refused: what the caller does about it, and in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// What is to be done about it.
    pub kind: RefusalKind,
    /// In words.
    pub text: String,
}

/// The kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// It names something that is not there.
    Unknown,
    /// A source owns it: change it there.
    Managed,
    /// The profile has no such role.
    NoRole,
    /// The role is more than the giver has.
    Beyond,
    /// The author may not do this here.
    Forbidden,
    /// Somebody has to stay in that role.
    LastHolder,
    /// The name or id is in use.
    Taken,
    /// There are as many of them as there may be.
    TooMany,
    /// It does not fit the profile or what is there.
    Invalid,
}

impl RefusalKind {
    pub(crate) fn because(self, text: impl Into<String>) -> Refusal {
        Refusal { kind: self, text: text.into() }
    }
}

pub(super) fn missing(what: &str, id: &str) -> Refusal {
    RefusalKind::Unknown.because(format!("there is no {what} `{}`", id.escape_debug()))
}
