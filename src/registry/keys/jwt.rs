//! The token itself: its claims, how it is signed, and our own verifier.
//! Knows keys as material only; which key signs when is the business of `keys`.
//!
//! Signed here and not by a JWT library: jsonwebtoken 11.1 parses and checks the private key anew for every token, which
//! costs more than the signature itself. A test has that library read our tokens by the published key set alone.

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_SHA256, UnparsedPublicKey,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How tokens are signed. Never EdDSA: an Ed25519 certificate in a registry's bundle makes distribution 2.8.2 panic.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256, the default: 18 times as fast as RSA.
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    /// RSA with 2048 bits, for registries that know nothing newer.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// Its name in a token's header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a token says (clients.md 6.2). The shape is the registry's: `aud` is one string and every time an integer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// For which registry service.
    pub aud: String,
    /// The user's name; empty for nobody in particular.
    pub sub: String,
    /// Until when (exclusive) it is good, in Unix seconds.
    pub exp: i64,
    /// From when, in Unix seconds.
    pub nbf: i64,
    /// When it was made, in Unix seconds.
    pub iat: i64,
    /// The id of the decision that it carries, so that a registry's log leads to it.
    pub jti: String,
    /// What it grants.
    pub access: Vec<Access>,
}

/// One granted resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Always `repository`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The repository's name.
    pub name: String,
    /// What may be done with it.
    pub actions: Vec<String>,
}

/// Why a token could not be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The registry would refuse it at once: the certificate of the signing key must outlive the token.
    #[error("the signing key's certificate ends before the token would; keys have to be rotated")]
    CertificateEnds,
    /// The key or the cipher failed.
    #[error("the token could not be signed")]
    Cipher,
}

enum Private {
    Ecdsa(Box<EcdsaKeyPair>),
    Rsa(Box<rsa::KeyPair>),
}

/// A private key with everything that is the same in each of its tokens.
pub(crate) struct Signer {
    key: Private,
    random: SystemRandom,
    /// The encoded header and its dot.
    header: String,
    ends: DateTime<Utc>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("ends", &self.ends).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer from PKCS#8, its key id and its certificate (DER, valid until `ends`).
    pub(crate) fn new(
        algorithm: Algorithm,
        pkcs8: &[u8],
        kid: &str,
        certificate: &str,
        ends: DateTime<Utc>,
    ) -> Result<Self, SignError> {
        let key = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
                .map(|key| Private::Ecdsa(Box::new(key))),
            Algorithm::Rs256 => rsa::KeyPair::from_pkcs8(pkcs8).map(|key| Private::Rsa(Box::new(key))),
        }
        .map_err(|_| SignError::Cipher)?;
        let header = serde_json::json!({"typ": "JWT", "alg": algorithm.name(), "kid": kid, "x5c": [certificate]});
        let header = URL_SAFE_NO_PAD.encode(header.to_string()) + ".";
        Ok(Self { key, random: SystemRandom::new(), header, ends })
    }

    /// Signs claims, given as any value that serialises like [`Claims`].
    pub(crate) fn sign(&self, exp: i64, claims: &impl Serialize) -> Result<String, SignError> {
        if exp >= self.ends.timestamp() {
            return Err(SignError::CertificateEnds);
        }
        let claims = serde_json::to_vec(claims).map_err(|_| SignError::Cipher)?;
        let mut token = String::with_capacity(self.header.len() + claims.len() * 4 / 3 + 360);
        token.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
        match &self.key {
            Private::Ecdsa(key) => {
                let signature = key.sign(&self.random, token.as_bytes()).map_err(|_| SignError::Cipher)?;
                token.push('.');
                URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
            }
            Private::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &self.random, token.as_bytes(), &mut signature)
                    .map_err(|_| SignError::Cipher)?;
                token.push('.');
                URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
            }
        }
        Ok(token)
    }
}

/// A public key that tokens are checked with. It has one algorithm, whatever a token's header says.
#[derive(Debug, Clone)]
pub(crate) struct Verifier {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    /// The uncompressed point of P-256, or PKCS#1 for RSA.
    pub(crate) public: Vec<u8>,
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is no token, or a claim is absent or of another type than it must be.
    #[error("this is not a token of this kind")]
    Malformed,
    /// No key has its key id, or the key's algorithm is another.
    #[error("no key of this server signed it")]
    UnknownKey,
    /// It was changed, or somebody else signed it.
    #[error("the signature is wrong")]
    Signature,
    /// It is another issuer's or for another service.
    #[error("it is for another service")]
    Audience,
    /// It is not yet or no longer good.
    #[error("it is not good at this time")]
    Time,
}

/// Only these two members of a header count: `jwk`, `jku`, `x5u` and `x5c` are never looked at (security.md 3, row 5).
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

/// Checks a token of ours, without any leeway.
pub(crate) fn verify(
    keys: &[Verifier],
    token: &str,
    issuer: &str,
    audience: &str,
    now: DateTime<Utc>,
) -> Result<Claims, VerifyError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(VerifyError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(VerifyError::Malformed)?;
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| VerifyError::Malformed);
    let header: Header = serde_json::from_slice(&bytes(header)?).map_err(|_| VerifyError::Malformed)?;
    let key = keys.iter().find(|key| key.kid == header.kid).ok_or(VerifyError::UnknownKey)?;
    if header.alg != key.algorithm.name() {
        return Err(VerifyError::UnknownKey);
    }
    let signature = bytes(signature)?;
    let checked = match key.algorithm {
        Algorithm::Es256 => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.public).verify(signed.as_bytes(), &signature)
        }
        Algorithm::Rs256 => {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key.public).verify(signed.as_bytes(), &signature)
        }
    };
    checked.map_err(|_| VerifyError::Signature)?;
    let claims: Claims = serde_json::from_slice(&bytes(claims)?).map_err(|_| VerifyError::Malformed)?;
    if claims.iss != issuer || claims.aud != audience {
        return Err(VerifyError::Audience);
    }
    let now = now.timestamp();
    if now < claims.nbf || now >= claims.exp { Err(VerifyError::Time) } else { Ok(claims) }
}

/// The key id that distribution's libtrust knows a key by: the first 30 bytes of the SHA-256 over the DER
/// SubjectPublicKeyInfo, in base32, in twelve groups of four (clients.md 6.1).
pub(crate) fn libtrust_kid(spki: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, spki);
    let mut kid = String::with_capacity(59);
    for (group, five) in digest.as_ref().chunks_exact(5).take(6).enumerate() {
        let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for at in 0..8_u32 {
            if at % 4 == 0 && (group, at) != (0, 0) {
                kid.push(':');
            }
            let index = usize::try_from(bits >> (35 - 5 * at) & 31).unwrap_or_default();
            kid.extend(ALPHABET.get(index).map(|b| char::from(*b)));
        }
    }
    kid
}

/// A public key as a member of a JWK set.
pub(crate) fn jwk(key: &Verifier, certificate: &str) -> Option<serde_json::Value> {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut jwk = match key.algorithm {
        Algorithm::Es256 => {
            let (_, point) = key.public.split_first()?;
            let (x, y) = point.split_at_checked(32)?;
            serde_json::json!({"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)})
        }
        Algorithm::Rs256 => {
            let public = rsa::PublicKey::from_der(&key.public).ok()?;
            let (n, e) = (public.modulus(), public.exponent());
            serde_json::json!({
                "kty": "RSA",
                "n": text(n.big_endian_without_leading_zero()),
                "e": text(e.big_endian_without_leading_zero()),
            })
        }
    };
    let common = serde_json::json!({"use": "sig", "alg": key.algorithm, "kid": key.kid, "x5c": [certificate]});
    jwk.as_object_mut()?.extend(common.as_object()?.clone());
    Some(jwk)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn the_key_id_is_libtrusts() {
        let spki = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==";
        assert_eq!(
            libtrust_kid(&STANDARD.decode(spki).unwrap()),
            "LTJF:F6YM:5CJS:INX2:7DGN:CBAJ:QG4J:5ZFN:NOP6:TYVC:W7TR:VLFS"
        );
    }
}
