//! The key of stored answers: what names a row and seals it. Derives nothing from a credential.

use aws_lc_rs::hmac;
use rollcall_events::Digest;

/// What the rows of stored answers are named and sealed with.
#[derive(Clone)]
pub struct AnswerKey(hmac::Key);

impl AnswerKey {
    /// Of its bytes.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    pub(super) fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        Digest(digest)
    }
}

impl std::fmt::Debug for AnswerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerKey(***)")
    }
}
