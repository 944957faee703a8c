//! What is kept of a secret to tell it from others: its hash.

use std::fmt;

use aws_lc_rs::digest;

/// What two sources must not have in common: under one secret each could speak for the other. Not the secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretMark(pub(crate) [u8; 32]);

impl SecretMark {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut mark = [0; 32];
        mark.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(mark)
    }
}

impl fmt::Debug for SecretMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
