//! The head of the log: how far it is durable, and that under a signature.
//! Keeps no file; the engines do.

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use rollcall_events::{Digest, LogId, Position};
use serde::{Deserialize, Serialize};

/// The newest durable record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its position; 0 for an empty log.
    pub position: Position,
    /// The chain's hash there.
    pub hash: Digest,
}

impl Head {
    /// The head of an empty log.
    #[must_use]
    pub fn empty(log: LogId) -> Self {
        Self { position: Position(0), hash: rollcall_events::chain_start(log) }
    }
}

/// A head that can be kept elsewhere and held against the log later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// The log's id, hexadecimal.
    pub log: String,
    /// The position.
    pub position: Position,
    /// The chain's hash there, hexadecimal.
    pub hash: String,
    /// When it was signed.
    pub signed_at: DateTime<Utc>,
    /// ES256 (`r || s`) over `log.position.hash.signed_at`, base64.
    pub signature: String,
}

impl SignedHead {
    /// The head that it states.
    ///
    /// # Errors
    /// When `hash` is not a SHA-256 in hexadecimal.
    pub fn head(&self) -> Result<Head, HeadError> {
        let hash = parse_digest(&self.hash).ok_or(HeadError::Malformed)?;
        Ok(Head { position: self.position, hash })
    }

    /// Whether `public_key_pem` signed exactly this.
    ///
    /// # Errors
    /// Anything but a good signature.
    pub fn check(&self, public_key_pem: &str) -> Result<Head, HeadError> {
        let key = from_pem(public_key_pem, "PUBLIC KEY").ok_or(HeadError::Key)?;
        let signature = STANDARD.decode(&self.signature).map_err(|_| HeadError::Malformed)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
            .verify(self.signed_text().as_bytes(), &signature)
            .map_err(|_| HeadError::Signature)?;
        self.head()
    }

    fn signed_text(&self) -> String {
        let at = self.signed_at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        format!("{}.{}.{}.{at}", self.log, self.position, self.hash)
    }
}

/// Why a signed head proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not a head at all.
    #[error("this is not a signed head")]
    Malformed,
    /// Not a key of ours.
    #[error("this is not an ES256 public key in PEM")]
    Key,
    /// The signature is not by this key over this head.
    #[error("the head's signature does not fit the log's key")]
    Signature,
}

/// The log's own ES256 key.
pub(crate) struct SigningKey(EcdsaKeyPair);

impl SigningKey {
    /// A new key and its PKCS 8 form, PEM.
    pub(crate) fn generate() -> Option<(Self, String)> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).ok()?;
        let pem = to_pem(document.as_ref(), "PRIVATE KEY");
        Some((Self::parse(&pem)?, pem))
    }

    /// The key that [`generate`](Self::generate) wrote.
    pub(crate) fn parse(pem: &str) -> Option<Self> {
        let document = from_pem(pem, "PRIVATE KEY")?;
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document).ok().map(Self)
    }

    /// The public half, PEM.
    pub(crate) fn public_key_pem(&self) -> String {
        self.0.public_key().as_der().map_or_else(|_| String::new(), |der| to_pem(der.as_ref(), "PUBLIC KEY"))
    }

    /// The head under our signature.
    pub(crate) fn sign(&self, log: LogId, head: Head, now: DateTime<Utc>) -> Option<SignedHead> {
        let mut signed = SignedHead {
            log: log.to_string(),
            position: head.position,
            hash: head.hash.to_string(),
            signed_at: now,
            signature: String::new(),
        };
        let signature = self.0.sign(&SystemRandom::new(), signed.signed_text().as_bytes()).ok()?;
        signed.signature = STANDARD.encode(signature.as_ref());
        Some(signed)
    }
}

/// A SHA-256 from its hexadecimal form, lower case as we write it: a changed letter case is a change.
pub(crate) fn parse_digest(hex: &str) -> Option<Digest> {
    let nibble = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[a, b]| Some(nibble(*a)? << 4 | nibble(*b)?)).collect();
    if rest.is_empty() { bytes?.try_into().ok().map(Digest) } else { None }
}

fn to_pem(der: &[u8], label: &str) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at_checked(64).unwrap_or((rest, ""));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem + &format!("-----END {label}-----\n")
}

fn from_pem(pem: &str, label: &str) -> Option<Vec<u8>> {
    let body = pem.split_once(&format!("-----BEGIN {label}-----"))?.1;
    let body = body.split_once(&format!("-----END {label}-----"))?.0;
    STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_head_is_good_under_its_key_and_no_change_of_it_is() {
        let (key, pem) = SigningKey::generate().unwrap();
        let now = DateTime::from_timestamp(1_767_225_600, 123_000).unwrap();
        let head = Head { position: Position(7), hash: Digest::of(b"x") };
        let signed = key.sign(LogId([1; 8]), head, now).unwrap();
        let public = SigningKey::parse(&pem).unwrap().public_key_pem();
        // Through JSON, as it is kept and handed out.
        let kept: SignedHead = serde_json::from_str(&serde_json::to_string(&signed).unwrap()).unwrap();
        assert_eq!(kept.check(&public), Ok(head));

        let changes: [fn(&mut SignedHead); 4] = [
            |h| h.position = Position(8),
            |h| h.hash = Digest::of(b"y").to_string(),
            |h| h.log = LogId([2; 8]).to_string(),
            |h| h.signed_at += chrono::Duration::microseconds(1),
        ];
        for change in changes {
            let mut other = signed.clone();
            change(&mut other);
            assert_eq!(other.check(&public), Err(HeadError::Signature), "{other:?}");
        }
        let stranger = SigningKey::generate().unwrap().0.public_key_pem();
        assert_eq!(signed.check(&stranger), Err(HeadError::Signature));
        assert_eq!(signed.check("no key"), Err(HeadError::Key));
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let hash = Digest::of(b"x");
        assert_eq!(parse_digest(&hash.to_string()), Some(hash));
        for bad in ["", "0", "zz", &hash.to_string().to_uppercase(), &format!("{hash}00")] {
            assert_eq!(parse_digest(bad), None, "{bad}");
        }
    }
}
