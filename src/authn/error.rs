//! Why nobody is signed in, told apart by what a caller has to do.

use chrono::TimeDelta;

/// Why nobody is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// They are nobody's. Which part is wrong is not said.
    #[error("the credentials are wrong")]
    WrongCredentials,
    /// The directory says that the password is right and has to be changed before it is good for anything.
    #[error("the password is right and has to be changed first")]
    PasswordOver,
    /// After too many wrong guesses nothing is checked for this long.
    #[error("too many wrong credentials; wait {0}")]
    Throttled(TimeDelta),
    /// The directory could not be asked, and no answer is remembered.
    #[error("the directory that checks passwords cannot be reached")]
    DirectoryUnavailable,
}

/// The system gave no randomness to make a key of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct NoRandomness;
