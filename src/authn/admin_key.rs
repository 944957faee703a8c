//! The operator's key, known by its hash alone. What it may do is not said here.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use rollcall_events::Digest;

/// The SHA-256 of the admin key. The key itself is not kept.
#[derive(Clone, Copy)]
pub struct AdminKey(Digest);

impl AdminKey {
    /// Of the key's text.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Digest::of(key.as_bytes()))
    }

    /// Whether both are of the same key.
    pub(crate) fn is(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0.0, &other.0.0).is_ok()
    }

    /// Whether this is the key, in a time that tells nothing about it.
    pub(crate) fn matches(&self, presented: &str) -> bool {
        let Self(presented) = Self::of(presented);
        verify_slices_are_equal(&self.0.0, &presented.0).is_ok()
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(***)")
    }
}
