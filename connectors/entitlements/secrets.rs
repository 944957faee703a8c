//! The secrets that a source signs with: the current one and those before it. Never printed, compared in constant time.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use rollcall_ingest::connector::Occasion;

use crate::{SecretMark, rotation::Rotation};

/// The signing secrets of one source, current first.
pub struct Secrets {
    keys: Rotation<hmac::Key>,
    /// Of each as it is written: a source that sends it as a token would tell it to whoever looks on.
    written: Vec<SecretMark>,
}

/// Why a secret file is refused. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing in it.
    #[error("there is no secret: write `whsec_` and the base64 of 24 to 64 random bytes")]
    Missing,
    /// A line that is not a secret.
    #[error(
        "line {line} is not a secret: `whsec_` and the base64 of 24 to 64 random bytes, one secret a line, the current one first"
    )]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
}

impl Secrets {
    /// Reads secrets, one a line, the current one first. Blank lines and lines that begin with `#` do not count.
    ///
    /// # Errors
    /// When there is none, or a line is not one.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        // A byte order mark is what an editor wrote, not a part of the secret.
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let lines = text.lines().map(str::trim).enumerate();
        let lines: Vec<_> = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect();
        let keys = lines.iter().map(|(at, line)| key(line).ok_or(SecretError::Malformed { line: at + 1 }));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        let written = lines.iter().map(|(_, line)| SecretMark::of(line.as_bytes())).collect();
        if keys.is_empty() { Err(SecretError::Missing) } else { Ok(Self { keys: Rotation::of(keys), written }) }
    }

    /// The value of `webhook-signature` for a body, under the current secret. What a sender does.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let timestamp = timestamp.to_string();
        let tag = self.keys.current().map(|key| tag(key, id, &timestamp, body));
        tag.map(|tag| format!("v1,{}", BASE64_STANDARD.encode(tag))).unwrap_or_default()
    }

    /// The secrets as such.
    pub(crate) fn rotation(&self) -> &Rotation<hmac::Key> {
        &self.keys
    }

    /// What no other source may have: neither as a key nor as a text.
    pub(crate) fn marks(&self) -> Vec<SecretMark> {
        self.keys.marks().into_iter().chain(self.written.iter().copied()).collect()
    }

    /// Whether one of the offered tags is right under one of the secrets. How long it takes tells neither which one
    /// nor how much of it.
    pub(crate) fn fits(
        &self,
        id: &str,
        timestamp: &str,
        body: &[u8],
        offered: &[Vec<u8>],
        occasion: Occasion<'_>,
    ) -> bool {
        self.keys.fits(occasion, |key, _| {
            let right = tag(key, id, timestamp, body);
            offered.iter().fold(false, |fits, tag| {
                let same = aws_lc_rs::constant_time::verify_slices_are_equal(tag, right.as_ref()).is_ok();
                fits | same
            })
        })
    }
}

fn key(line: &str) -> Option<(hmac::Key, SecretMark)> {
    let bytes = BASE64_STANDARD.decode(line.strip_prefix("whsec_")?).ok()?;
    (24..=BLOCK).contains(&bytes.len()).then(|| (hmac::Key::new(hmac::HMAC_SHA256, &bytes), mark(bytes)))
}

/// HMAC fills a key up with zeros to this length, so that keys which differ by zeros at their end are one key.
const BLOCK: usize = 64;

fn mark(mut bytes: Vec<u8>) -> SecretMark {
    bytes.resize(BLOCK, 0);
    SecretMark::of(&bytes)
}

fn tag(key: &hmac::Key, id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for piece in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(piece);
    }
    context.sign()
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
