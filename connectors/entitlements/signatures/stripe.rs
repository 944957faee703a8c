//! Stripe's signature: `Stripe-Signature: t=..,v1=..` over `t.body`, hexadecimal, under the endpoint's secret as it is
//! written. Several `v1` stand there while a secret is exchanged.

use std::fmt;

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use rollcall_ingest::connector::{Headers, Notification, Occasion, Rejection, SecretUse};

use super::{MAX_SIGNATURES, Scheme, header, instant, is_fresh, lines, seconds, signed_then};
use crate::{SecretMark, rotation::Rotation};

pub(super) const SIGNATURE: &str = "stripe-signature";

/// The signing secrets of an endpoint, current first.
pub struct StripeSecrets(Rotation<hmac::Key>);

/// Why a file of signing secrets is refused. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StripeSecretError {
    /// Nothing in it.
    #[error("there is no signing secret: copy it from the endpoint's page, `whsec_` and what follows")]
    Missing,
    /// A line that is none.
    #[error(
        "line {line} is not a signing secret: `whsec_` and 24 letters and digits or more, as the endpoint's page shows it; one a line, the current one first"
    )]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
}

impl StripeSecrets {
    /// Reads signing secrets, one a line, the current one first. Blank lines and lines that begin with `#` do not count.
    ///
    /// # Errors
    /// When there is none, or a line is not one.
    pub fn parse(text: &str) -> Result<Self, StripeSecretError> {
        let keys = lines(text).map(|(line, text)| {
            let fits = text.strip_prefix("whsec_").is_some_and(|rest| {
                (24..=512).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            });
            if fits { Ok(key(text)) } else { Err(StripeSecretError::Malformed { line }) }
        });
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(StripeSecretError::Missing) } else { Ok(Self(Rotation::of(keys))) }
    }

    /// Whatever is written, however short.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self(Rotation::of(vec![key(text)]))
    }
}

fn key(text: &str) -> (hmac::Key, SecretMark) {
    (hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()), SecretMark::of(text.as_bytes()))
}

impl Scheme for StripeSecrets {
    fn keeps(&self, header: &str) -> bool {
        header == SIGNATURE
    }

    fn verify(&self, headers: &Headers, body: &[u8], occasion: Occasion<'_>) -> Result<(), Rejection> {
        let stated = header(headers, SIGNATURE, MISSING, REPEATED)?;
        let (mut timestamp, mut offered) = (None, Vec::new());
        for (name, value) in stated.split(',').filter_map(|part| part.trim().split_once('=')) {
            match name {
                "t" if timestamp.is_some() => return Err(MALFORMED),
                "t" => timestamp = Some(value),
                "v1" if offered.len() < MAX_SIGNATURES => offered.extend(hex(value)),
                // Other versions are other schemes'.
                _ => {}
            }
        }
        let timestamp = timestamp.ok_or(MALFORMED)?;
        let signed_at = seconds(timestamp).filter(|_| !timestamp.is_empty()).ok_or(MALFORMED)?;
        if !is_fresh(signed_at, occasion) {
            return Err(STALE);
        }
        let Self(keys) = self;
        let fits = keys.fits(occasion, |key, _| {
            let mut context = hmac::Context::with_key(key);
            [timestamp.as_bytes(), b".", body].iter().for_each(|piece| context.update(piece));
            let right = context.sign();
            offered.iter().fold(false, |fits, tag| fits | verify_slices_are_equal(tag, right.as_ref()).is_ok())
        });
        if fits { Ok(()) } else { Err(MISMATCH) }
    }

    fn notification(&self, headers: &Headers, body: &[u8]) -> Option<Notification> {
        let stated = headers.one(SIGNATURE).ok().flatten()?;
        let mut parts = stated.split(',').filter_map(|part| part.trim().split_once('='));
        let (_, timestamp) = parts.find(|(name, _)| *name == "t")?;
        Some(signed_then(instant(seconds(timestamp)?)?, body))
    }

    fn marks(&self) -> Vec<SecretMark> {
        self.0.marks()
    }

    fn uses(&self) -> Vec<SecretUse> {
        self.0.uses()
    }

    fn recall(&self, uses: &[SecretUse]) {
        self.0.recall(uses);
    }
}

/// The bytes of a tag of HMAC-SHA256, two digits each.
fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !digits {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Debug for StripeSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

const MISSING: Rejection = Rejection {
    reason: "signature-missing",
    hint: "send the header `Stripe-Signature`: `t=` and the seconds since 1970, `,v1=` and the HMAC-SHA256 of `t.body`",
};
const REPEATED: Rejection = Rejection {
    reason: "signature-repeated",
    hint: "send `Stripe-Signature` once; several `v1` stand in it with a comma between them",
};
const MALFORMED: Rejection = Rejection {
    reason: "timestamp-malformed",
    hint: "`Stripe-Signature` has one `t=`, seconds since 1970-01-01T00:00:00Z, digits only",
};
const STALE: Rejection = Rejection {
    reason: "timestamp-stale",
    hint: "`t` in `Stripe-Signature` is more than 300 s away from the time here: check the clock, and sign anew when sending again",
};
const MISMATCH: Rejection = Rejection {
    reason: "signature-mismatch",
    hint: "no `v1` fits: `secret_file` has the signing secret of this very endpoint, and the body comes as it was sent",
};
