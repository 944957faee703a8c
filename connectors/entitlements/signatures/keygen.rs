//! Keygen's signature: an HTTP signature over the request's target, host, date and the digest of its body. Target and host
//! are those of the URL that the sender was told, whatever a proxy made of them on the way.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest,
    signature::{
        ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
        RsaParameters, RsaPssSaltLength, UnparsedPublicKey,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::DateTime;
use rollcall_ingest::connector::{Headers, Notification, Occasion, Rejection, SecretUse};

use super::{Scheme, header, is_fresh, signed_then};
use crate::{SecretMark, rotation::Rotation};

pub(super) const SIGNATURE: &str = "keygen-signature";
const DATE: [&str; 2] = ["keygen-date", "date"];
const DIGEST: [&str; 2] = ["keygen-digest", "digest"];
/// What is signed, and in this order. Whatever leaves one of them out covers too little.
const COVERED: &str = "(request-target) host date digest";

/// The sender salts with as many bytes as fit.
static RSA_PSS: RsaParameters = RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);

/// The public keys of an account, and the URL that it posts to.
pub struct KeygenKeys {
    keys: Rotation<Key>,
    /// Path and query of the URL.
    target: String,
    /// The host of the URL, without a port.
    host: String,
}

struct Key {
    kind: KeyKind,
    /// 32 bytes of ed25519, a `SubjectPublicKeyInfo` of the others.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy)]
enum KeyKind {
    Ed25519,
    Rsa,
    P256,
}

/// Why a file of public keys is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeygenKeyError {
    /// Nothing in it.
    #[error(
        "there is no public key: copy the account's Ed25519 key, 64 hexadecimal digits, or its RSA or ECDSA key as PEM"
    )]
    Missing,
    /// What is no key.
    #[error(
        "line {line} is not a public key: 64 hexadecimal digits (Ed25519), or `-----BEGIN PUBLIC KEY-----` and what follows of an RSA key of 2048 bits or more or a P-256 key"
    )]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
}

impl KeygenKeys {
    /// Reads the public keys of an account, the current one first, for what it posts to this host and target.
    ///
    /// # Errors
    /// When there is none, or something is not one.
    pub fn parse(text: &str, host: &str, target: &str) -> Result<Self, KeygenKeyError> {
        let (mut keys, mut pem) = (Vec::new(), None);
        // What is posted to another URL is signed otherwise, so two sources may have one account's key.
        let marked = |(key, bytes): (KeyKind, Vec<u8>)| {
            let mark = SecretMark::of(&[&bytes, host.as_bytes(), b"\n", target.as_bytes()].concat());
            (Key { kind: key, bytes }, mark)
        };
        for (line, text) in super::lines(text) {
            let malformed = KeygenKeyError::Malformed { line };
            match (&mut pem, text) {
                (None, "-----BEGIN PUBLIC KEY-----") => pem = Some((line, String::new())),
                (None, _) => keys.push(marked(written(text).ok_or(malformed)?)),
                (Some((begins, base64)), "-----END PUBLIC KEY-----") => {
                    let der = BASE64_STANDARD.decode(&*base64).ok();
                    let malformed = KeygenKeyError::Malformed { line: *begins };
                    keys.push(marked(der.and_then(public_key).ok_or(malformed)?));
                    pem = None;
                }
                (Some((_, base64)), _) => base64.push_str(text),
            }
        }
        match pem {
            Some((line, _)) => Err(KeygenKeyError::Malformed { line }),
            None if keys.is_empty() => Err(KeygenKeyError::Missing),
            None => Ok(Self { keys: Rotation::of(keys), target: target.to_owned(), host: host.to_owned() }),
        }
    }
}

/// A key on one line: Ed25519 in hexadecimal digits, also in base64 as the API shows it.
fn written(line: &str) -> Option<(KeyKind, Vec<u8>)> {
    let decoded = || String::from_utf8(BASE64_STANDARD.decode(line).ok()?).ok();
    let hex = if line.len() == 64 { line.to_owned() } else { decoded()? };
    let digits = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let bytes: Vec<u8> = if digits { (0..64).step_by(2).map(byte).collect::<Option<_>>()? } else { return None };
    ParsedPublicKey::new(&ED25519, &bytes).ok()?;
    Some((KeyKind::Ed25519, bytes))
}

/// A `SubjectPublicKeyInfo`.
fn public_key(der: Vec<u8>) -> Option<(KeyKind, Vec<u8>)> {
    let kind = if ParsedPublicKey::new(&ED25519, &der).is_ok() {
        KeyKind::Ed25519
    } else if ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &der).is_ok() {
        KeyKind::P256
    } else if ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der).is_ok() {
        KeyKind::Rsa
    } else {
        return None;
    };
    Some((kind, der))
}

impl Key {
    /// Whether it signed these bytes by this algorithm, one of its own kind.
    fn signed(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let key = &self.bytes;
        match (self.kind, algorithm) {
            (KeyKind::Ed25519, "ed25519") => UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok(),
            (KeyKind::P256, "ecdsa-p256") => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature).is_ok()
            }
            (KeyKind::Rsa, "rsa-pss-sha256") => {
                UnparsedPublicKey::new(&RSA_PSS, key).verify(message, signature).is_ok()
            }
            (KeyKind::Rsa, "rsa-sha256") => {
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

impl Scheme for KeygenKeys {
    fn keeps(&self, header: &str) -> bool {
        header == SIGNATURE || DATE.contains(&header) || DIGEST.contains(&header)
    }

    fn verify(&self, headers: &Headers, body: &[u8], occasion: Occasion<'_>) -> Result<(), Rejection> {
        let stated = header(headers, SIGNATURE, MISSING, MALFORMED)?;
        let parameters = parameters(stated).ok_or(MALFORMED)?;
        let parameter = |name| parameters.get(name).copied().ok_or(MALFORMED);
        if parameter("headers")? != COVERED {
            return Err(MALFORMED);
        }
        let (algorithm, signature) = (parameter("algorithm")?, parameter("signature")?);
        let signature = BASE64_STANDARD.decode(signature).map_err(|_| MALFORMED)?;
        let date = repeated(headers, DATE, DATE_MISSING, DATE_MALFORMED)?;
        let signed_at = DateTime::parse_from_rfc2822(date).map_err(|_| DATE_MALFORMED)?;
        if !is_fresh(signed_at.timestamp(), occasion) {
            return Err(DATE_STALE);
        }
        let digest = repeated(headers, DIGEST, DIGEST_MISMATCH, DIGEST_MISMATCH)?;
        let right = format!("sha-256={}", BASE64_STANDARD.encode(digest::digest(&digest::SHA256, body)));
        verify_slices_are_equal(digest.as_bytes(), right.as_bytes()).map_err(|_| DIGEST_MISMATCH)?;
        let Self { target, host, .. } = self;
        let message = format!("(request-target): post {target}\nhost: {host}\ndate: {date}\ndigest: {digest}");
        let fits = self.keys.fits(occasion, |key, _| key.signed(algorithm, message.as_bytes(), &signature));
        if fits { Ok(()) } else { Err(MISMATCH) }
    }

    fn notification(&self, headers: &Headers, body: &[u8]) -> Option<Notification> {
        let date = repeated(headers, DATE, DATE_MISSING, DATE_MALFORMED).ok()?;
        Some(signed_then(DateTime::parse_from_rfc2822(date).ok()?.to_utc(), body))
    }

    fn marks(&self) -> Vec<SecretMark> {
        self.keys.marks()
    }

    fn uses(&self) -> Vec<SecretUse> {
        self.keys.uses()
    }

    fn recall(&self, uses: &[SecretUse]) {
        self.keys.recall(uses);
    }
}

/// What the sender repeats under a name of its own, in case a proxy writes the usual header anew.
fn repeated<'a>(
    headers: &'a Headers,
    [own, usual]: [&str; 2],
    missing: Rejection,
    bad: Rejection,
) -> Result<&'a str, Rejection> {
    match headers.one(own).map_err(|_| bad)? {
        Some(value) => Ok(value),
        None => header(headers, usual, missing, bad),
    }
}

/// `name="value", name="value"`, each name once.
fn parameters(text: &str) -> Option<BTreeMap<&str, &str>> {
    let (mut all, mut rest) = (BTreeMap::new(), text.trim());
    while !rest.is_empty() {
        let (name, behind) = rest.split_once("=\"")?;
        let (value, behind) = behind.split_once('"')?;
        if all.insert(name, value).is_some() {
            return None;
        }
        let behind = behind.trim_start();
        rest = if behind.is_empty() { behind } else { behind.strip_prefix(',')?.trim_start() };
    }
    Some(all)
}

impl fmt::Debug for KeygenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeygenKeys({}{})", self.host, self.target)
    }
}

const MISSING: Rejection = Rejection { reason: "signature-missing", hint: "send the header `Keygen-Signature`" };
const MALFORMED: Rejection = Rejection {
    reason: "signature-malformed",
    hint: "send one `Keygen-Signature` with `algorithm`, `signature` and `headers=\"(request-target) host date digest\"`",
};
const DATE_MISSING: Rejection =
    Rejection { reason: "timestamp-missing", hint: "send the header `Date`, which is signed" };
const DATE_MALFORMED: Rejection =
    Rejection { reason: "timestamp-malformed", hint: "send one `Date`, as in `Thu, 01 Jan 2026 00:00:00 GMT`" };
const DATE_STALE: Rejection = Rejection {
    reason: "timestamp-stale",
    hint: "the signed `Date` is more than 300 s away from the time here: check the clock, and sign anew when sending again",
};
const DIGEST_MISMATCH: Rejection = Rejection {
    reason: "digest-mismatch",
    hint: "`Digest` is not `sha-256=` and the base64 of the body's SHA-256: the body comes as it was sent",
};
const MISMATCH: Rejection = Rejection {
    reason: "signature-mismatch",
    hint: "the signature fits none of the account's keys: `hook_url` is the endpoint's URL to the letter, and the key's algorithm is the endpoint's",
};
