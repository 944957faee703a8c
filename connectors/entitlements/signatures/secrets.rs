//! What a source signs with under Standard Webhooks: the current secret and those before it. Never printed, compared in
//! constant time.

use std::fmt;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    hmac,
    signature::{ED25519, UnparsedPublicKey},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use rollcall_ingest::connector::Occasion;

use super::lines;
use crate::{SecretMark, rotation::Rotation};

/// The signing secrets of one source, current first: shared ones (`whsec_`), or the public half of its own (`whpk_`).
pub struct Secrets {
    keys: Rotation<Key>,
    /// Of each as it is written: a source that sends it as a token would tell it to whoever looks on.
    written: Vec<SecretMark>,
}

pub(super) enum Key {
    Shared(Box<hmac::Key>),
    Public([u8; 32]),
}

/// Why a secret file is refused. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing in it.
    #[error("there is no secret: write `whsec_` and the base64 of 24 to 64 random bytes")]
    Missing,
    /// A line that is not a secret.
    #[error(
        "line {line} is not a secret: `whsec_` and the base64 of 24 to 64 random bytes, or `whpk_` and the base64 of an ed25519 public key; one a line, the current one first"
    )]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
}

/// What is signed.
pub(super) struct Signed<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub body: &'a [u8],
}

impl Signed<'_> {
    fn pieces(&self) -> [&[u8]; 5] {
        [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", self.body]
    }

    fn tag(&self, key: &hmac::Key) -> hmac::Tag {
        let mut context = hmac::Context::with_key(key);
        self.pieces().iter().for_each(|piece| context.update(piece));
        context.sign()
    }
}

/// A signature that a delivery has.
pub(super) enum Offered {
    Hmac(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Secrets {
    /// Reads secrets, one a line, the current one first. Blank lines and lines that begin with `#` do not count.
    ///
    /// # Errors
    /// When there is none, or a line is not one.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let keys = lines(text).map(|(line, text)| key(text).ok_or(SecretError::Malformed { line }));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        let written = lines(text).map(|(_, line)| SecretMark::of(line.as_bytes())).collect();
        if keys.is_empty() { Err(SecretError::Missing) } else { Ok(Self { keys: Rotation::of(keys), written }) }
    }

    /// The value of `webhook-signature` for a body, under the current secret. What a sender does; of a public key there is none.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let timestamp = timestamp.to_string();
        match self.keys.current() {
            Some(Key::Shared(key)) => {
                let tag = Signed { id, timestamp: &timestamp, body }.tag(key);
                format!("v1,{}", BASE64_STANDARD.encode(tag))
            }
            Some(Key::Public(_)) | None => String::new(),
        }
    }

    /// The secrets as such.
    pub(super) fn rotation(&self) -> &Rotation<Key> {
        &self.keys
    }

    /// What no other source may have: neither as a key nor as a text.
    pub(crate) fn marks(&self) -> Vec<SecretMark> {
        self.keys.marks().into_iter().chain(self.written.iter().copied()).collect()
    }

    /// Whether one of the signatures is right under one of the secrets. How long it takes tells neither which shared one
    /// nor how much of it.
    pub(super) fn fit(&self, signed: &Signed<'_>, offered: &[Offered], occasion: Occasion<'_>) -> bool {
        let message = || signed.pieces().concat();
        self.keys.fits(occasion, |key, _| match key {
            Key::Shared(key) => {
                let right = signed.tag(key);
                offered.iter().fold(false, |fits, offered| match offered {
                    Offered::Hmac(tag) => fits | verify_slices_are_equal(tag, right.as_ref()).is_ok(),
                    Offered::Ed25519(_) => fits,
                })
            }
            Key::Public(key) => offered.iter().any(|offered| match offered {
                Offered::Ed25519(one) => UnparsedPublicKey::new(&ED25519, key).verify(&message(), one).is_ok(),
                Offered::Hmac(_) => false,
            }),
        })
    }
}

fn key(line: &str) -> Option<(Key, SecretMark)> {
    if let Some(public) = line.strip_prefix("whpk_") {
        let bytes: [u8; 32] = BASE64_STANDARD.decode(public).ok()?.try_into().ok()?;
        return Some((Key::Public(bytes), SecretMark::of(&bytes)));
    }
    let bytes = BASE64_STANDARD.decode(line.strip_prefix("whsec_")?).ok()?;
    let fits = (24..=BLOCK).contains(&bytes.len());
    fits.then(|| (Key::Shared(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes))), mark(bytes)))
}

/// HMAC fills a key up with zeros to this length, so that keys which differ by zeros at their end are one key.
const BLOCK: usize = 64;

fn mark(mut bytes: Vec<u8>) -> SecretMark {
    bytes.resize(BLOCK, 0);
    SecretMark::of(&bytes)
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
