//! Making keys: the local authority, and signing keys with a short-lived certificate of it. Never reads the clock.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData as _,
};

use super::{
    error::KeyError,
    files::{AUTHORITY, Authority, KeyInfo, StoredKey, decode_base64, next_file, write_json},
    jwt::{self, Algorithm},
};

/// A registry whose clock is behind must not find a certificate from the future.
const BACKDATED: TimeDelta = TimeDelta::hours(1);

/// How keys are made.
#[derive(Debug, Clone)]
pub struct KeyOptions {
    /// What new signing keys sign with. A change is a rotation.
    pub algorithm: Algorithm,
    /// How long a signing key's certificate is good; a new key takes over when a third is left.
    pub certificate_life: TimeDelta,
    /// How long the authority is good, whose certificate the registry holds.
    pub authority_life: TimeDelta,
    /// How long before its end the next authority stands in the bundle.
    pub authority_overlap: TimeDelta,
    /// How long before its end the next authority certifies in its place.
    pub authority_takeover: TimeDelta,
    /// For how long after its last token a key is still published: the longest token and the registry's leeway.
    pub retire_after: TimeDelta,
}

impl Default for KeyOptions {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            certificate_life: TimeDelta::days(30),
            authority_life: TimeDelta::days(3650),
            authority_overlap: TimeDelta::days(365),
            authority_takeover: TimeDelta::days(90),
            retire_after: TimeDelta::seconds(300 + 60),
        }
    }
}

pub(super) fn new_authority(options: &KeyOptions, now: DateTime<Utc>) -> Result<Authority, KeyError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(make_error)?;
    // Two installations may meet in one bundle, so the name is not the same everywhere.
    let suffix = random::<4>()?.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let name = format!("Rollcall token authority {suffix}");
    let ends = (now + options.authority_life).trunc_subsecs(0);
    let mut params = named(&name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    valid(&mut params, now - BACKDATED, ends);
    let certificate = params.self_signed(&key).map_err(make_error)?;
    Ok(Authority {
        name,
        ends,
        certificate: STANDARD.encode(certificate.der()),
        private: STANDARD.encode(key.serialized_der()),
    })
}

pub(super) fn make_key(
    dir: &Path,
    authority: &Authority,
    options: &KeyOptions,
    now: DateTime<Utc>,
) -> Result<(), KeyError> {
    let path = dir.join(AUTHORITY);
    let private = decode_base64(&path, &authority.private)?;
    let damaged = |error: rcgen::Error| KeyError::Damaged { path: path.clone(), reason: error.to_string() };
    let issuer_key =
        KeyPair::from_pkcs8_der_and_sign_algo(&private.into(), &PKCS_ECDSA_P256_SHA256).map_err(damaged)?;
    // Only the issuer's name and key get into a leaf, so its certificate need not be read back.
    let issuer = Issuer::new(named(&authority.name), issuer_key);
    let key = match options.algorithm {
        Algorithm::Es256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        Algorithm::Rs256 => KeyPair::generate_for(&PKCS_RSA_SHA256),
    }
    .map_err(make_error)?;
    let kid = jwt::libtrust_kid(&key.subject_public_key_info());
    let ends = (now + options.certificate_life).min(authority.ends).trunc_subsecs(0);
    let mut params = named("Rollcall token signing key");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    valid(&mut params, now - BACKDATED, ends);
    let certificate = params.signed_by(&key, &issuer).map_err(make_error)?;
    let stored = StoredKey {
        public: STANDARD.encode(key.public_key_raw()),
        certificate: STANDARD.encode(certificate.der()),
        private: Some(STANDARD.encode(key.serialized_der())),
        info: KeyInfo {
            algorithm: options.algorithm,
            created: now,
            certificate_ends: ends,
            published_until: None,
            kid,
        },
    };
    write_json(&next_file(dir)?, &stored)
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn valid(params: &mut CertificateParams, from: DateTime<Utc>, until: DateTime<Utc>) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |at: DateTime<Utc>| Duration::from_secs(u64::try_from(at.timestamp()).unwrap_or_default());
    params.not_before = epoch + since(from);
    params.not_after = epoch + since(until);
}

fn make_error(error: rcgen::Error) -> KeyError {
    KeyError::Make(error.to_string())
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Make("no randomness".to_owned()))?;
    Ok(bytes)
}

pub(super) fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|b| char::from(*b)));
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}
