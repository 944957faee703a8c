//! The tokens that a source sends: the current one and those before it. Never printed, compared in constant time.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use rollcall_ingest::connector::Occasion;

use crate::{SecretMark, rotation::Rotation};

/// The bearer tokens of one source, current first, as their hashes.
pub struct Tokens(Rotation<()>);

/// Why a file of tokens or credentials is refused. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing in it.
    #[error("there is no token: write one of 32 to 512 characters of A-Z, a-z, 0-9 and -._~+/=")]
    Missing,
    /// A line that is not a token.
    #[error(
        "line {line} is not a token: 32 to 512 characters of A-Z, a-z, 0-9 and -._~+/=, one token a line, the current one first"
    )]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
    /// Nothing in a file of credentials.
    #[error("there is no user: write `user:password`, the password of 16 characters or more")]
    MissingCredentials,
    /// A line that is no user with a password.
    #[error(
        "line {line} is not `user:password`, the password of 16 characters or more; one a line, the current one first"
    )]
    MalformedCredentials {
        /// Counted from 1.
        line: usize,
    },
}

impl Tokens {
    /// Reads tokens, one a line, the current one first. Blank lines and lines that begin with `#` do not count.
    ///
    /// # Errors
    /// When there is none, or a line is not one.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        Self::parse_lines(text, is_token, |line| TokenError::Malformed { line }, TokenError::Missing)
    }

    /// Reads users with their passwords, `user:password`, one a line, as [`Self::parse`] reads tokens.
    ///
    /// # Errors
    /// When there is none, or a line is not one.
    pub fn parse_credentials(text: &str) -> Result<Self, TokenError> {
        let malformed = |line| TokenError::MalformedCredentials { line };
        Self::parse_lines(text, is_credentials, malformed, TokenError::MissingCredentials)
    }

    fn parse_lines(
        text: &str,
        fits: impl Fn(&str) -> bool,
        malformed: impl Fn(usize) -> TokenError,
        missing: TokenError,
    ) -> Result<Self, TokenError> {
        // A byte order mark is what an editor wrote, not a part of the token.
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mark = |line: &str| fits(line).then(|| ((), SecretMark::of(line.as_bytes())));
        let marks: Result<Vec<_>, _> = lines.map(|(at, line)| mark(line).ok_or_else(|| malformed(at + 1))).collect();
        let marks = marks?;
        if marks.is_empty() { Err(missing) } else { Ok(Self(Rotation::of(marks))) }
    }

    /// Whether it is one of them. How long it takes tells neither which one nor how much of it.
    pub(crate) fn fits(&self, offered: &[u8], occasion: Occasion<'_>) -> bool {
        let SecretMark(offered) = SecretMark::of(offered);
        self.0.fits(occasion, |(), SecretMark(mark)| verify_slices_are_equal(&offered, mark).is_ok())
    }

    /// The tokens as such.
    pub(crate) fn rotation(&self) -> &Rotation<()> {
        &self.0
    }
}

fn is_token(line: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    (32..=512).contains(&line.len()) && line.bytes().all(allowed)
}

/// RFC 7617: no colon in the user, no control characters.
fn is_credentials(line: &str) -> bool {
    line.split_once(':').is_some_and(|(user, password)| {
        let long_enough = !user.is_empty() && password.chars().count() >= 16 && line.len() <= 512;
        long_enough && !line.chars().any(char::is_control)
    })
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
