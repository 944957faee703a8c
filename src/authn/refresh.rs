//! Refresh tokens: stateless, reusable, and good only while the roster says so.
//! Keeps no list; what ends a token is an event (DESIGN 9), looked up at each use by the authenticator.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// Every refresh token starts so, which lets a leaked one be recognised.
pub(crate) const REFRESH_PREFIX: &str = "rcr_";
/// No genuine token comes near this.
const MAX_BYTES: usize = 4096;
/// Keeps these signatures apart from any other use of the key.
const PURPOSE: &[u8] = b"rollcall refresh token v1\0";

/// What a refresh token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefreshClaims {
    /// The id of the user or service.
    pub(crate) user: String,
    /// The id of the registry secret that it was given for; it ends with that secret.
    pub(crate) secret: String,
    /// The service that it is good for.
    pub(crate) service: String,
    /// When it was given, Unix seconds.
    pub(crate) issued: i64,
    /// Its credential epoch of then; a later one ends it.
    pub(crate) epoch: u64,
}

/// The key that refresh tokens are signed with, shared by every replica.
#[derive(Clone)]
pub struct RefreshKey(hmac::Key);

impl fmt::Debug for RefreshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshKey(***)")
    }
}

impl RefreshKey {
    /// Of the key's bytes.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    pub(crate) fn sign(&self, claims: &RefreshClaims) -> String {
        let mut bytes = serde_json::to_vec(claims).unwrap_or_default();
        let tag = self.tag(&bytes);
        bytes.extend_from_slice(tag.as_ref());
        format!("{REFRESH_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What a token says, if this key signed it. The comparison takes the same time for every wrong signature.
    pub(crate) fn verify(&self, token: &str) -> Option<RefreshClaims> {
        let text = token.strip_prefix(REFRESH_PREFIX).filter(|text| text.len() <= MAX_BYTES)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (claims, tag) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(self.tag(claims).as_ref(), tag).ok()?;
        serde_json::from_slice(claims).ok()
    }

    fn tag(&self, claims: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(PURPOSE);
        context.update(claims);
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_key_signed_is_read_and_every_flipped_bit_is_seen() {
        let claims = RefreshClaims {
            user: "flexnet/u-ada".into(),
            secret: "sec_1".into(),
            service: "rollcall".into(),
            issued: 1_767_225_600,
            epoch: 0,
        };
        let key = RefreshKey::new(&[7; 32]);
        let token = key.sign(&claims);
        assert_eq!(key.verify(&token), Some(claims));
        assert_eq!(RefreshKey::new(&[8; 32]).verify(&token), None);
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(REFRESH_PREFIX).unwrap()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.verify(&format!("{REFRESH_PREFIX}{}", URL_SAFE_NO_PAD.encode(flipped))), None, "bit {bit}");
        }
        for junk in ["", "rcr_", "rcr_AAAA", "rcr_!", "rcs_abc", token.trim_start_matches("rcr_")] {
            assert_eq!(key.verify(junk), None, "{junk}");
        }
    }
}
