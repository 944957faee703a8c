//! The signing keys on disk and how they change: a local authority, one short-lived certificate per signing key, and
//! the key of the refresh tokens. Never reads the clock, and never hands out a private key.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData as _,
};
use rollcall_authn::RefreshKey;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::jwt::{self, Algorithm, Claims, SignError, Signer, Verifier, VerifyError};

/// A registry whose clock is behind must not find a certificate from the future.
const BACKDATED: TimeDelta = TimeDelta::hours(1);
const AUTHORITY: &str = "authority.json";
const REFRESH: &str = "refresh.key";

/// How keys are made.
#[derive(Debug, Clone)]
pub struct KeyOptions {
    /// What new signing keys sign with. A change is a rotation.
    pub algorithm: Algorithm,
    /// How long a signing key's certificate is good; a new key takes over when a third is left.
    pub certificate_life: TimeDelta,
    /// How long the authority is good, whose certificate the registry holds.
    pub authority_life: TimeDelta,
    /// For how long after its last token a key is still published: the longest token and the registry's leeway.
    pub retire_after: TimeDelta,
}

impl Default for KeyOptions {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            certificate_life: TimeDelta::days(30),
            authority_life: TimeDelta::days(3650),
            retire_after: TimeDelta::seconds(300 + 60),
        }
    }
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file could not be read or written.
    #[error("the key file {path} cannot be read or written", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner can read a private key.
    #[error("the key file {path} can be read by others (mode {mode:o}); make it 0600", path = path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file is not what was written there.
    #[error("the key file {path} is damaged: {reason}", path = path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A key or certificate could not be made.
    #[error("a key or certificate could not be made: {0}")]
    Make(String),
}

/// A signing key as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyInfo {
    /// Its id in tokens and in the JWK set.
    pub kid: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When its certificate ends.
    pub certificate_ends: DateTime<Utc>,
    /// Until when it is published, of a key that signs no more; absent for the one that signs.
    pub published_until: Option<DateTime<Utc>>,
}

/// The authority's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Authority {
    name: String,
    ends: DateTime<Utc>,
    /// DER, base64.
    certificate: String,
    /// PKCS#8, base64.
    private: String,
}

/// A signing key's file. The private half is erased when the key retires.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    info: KeyInfo,
    /// What tokens are checked with, base64.
    public: String,
    /// DER, base64.
    certificate: String,
    /// PKCS#8, base64.
    private: Option<String>,
}

/// The keys of one moment: tokens are signed and checked without a lock held.
#[derive(Debug)]
pub struct KeySet {
    signer: Signer,
    verifiers: Vec<Verifier>,
    jwks: Arc<str>,
    list: Vec<KeyInfo>,
}

impl KeySet {
    /// The JWK set, as JSON text.
    #[must_use]
    pub fn jwks(&self) -> Arc<str> {
        self.jwks.clone()
    }

    /// Every published key, the signing one first.
    #[must_use]
    pub fn list(&self) -> &[KeyInfo] {
        &self.list
    }

    /// Signs claims that end at `exp` (Unix seconds).
    pub(crate) fn sign(&self, exp: i64, claims: &impl Serialize) -> Result<String, SignError> {
        self.signer.sign(exp, claims)
    }

    /// Checks a token that this server issued, without leeway. The key and its algorithm come from the key id alone.
    ///
    /// # Errors
    /// Says which check failed.
    pub fn verify(&self, token: &str, issuer: &str, audience: &str, now: DateTime<Utc>) -> Result<Claims, VerifyError> {
        jwt::verify(&self.verifiers, token, issuer, audience, now)
    }
}

/// The keys in their directory. Rotation swaps the whole set; what is being signed goes on with the old one.
#[derive(Debug)]
pub struct Keys {
    dir: PathBuf,
    options: KeyOptions,
    bundle: String,
    refresh_key: RefreshKey,
    set: RwLock<Arc<KeySet>>,
    /// One rotation at a time.
    changing: Mutex<()>,
}

impl Keys {
    /// Opens the keys in `dir`, and makes whatever is not there yet.
    ///
    /// # Errors
    /// When a file is unreadable, damaged or open to others, or a key cannot be made.
    pub fn open(dir: &Path, options: KeyOptions, now: DateTime<Utc>) -> Result<Self, KeyError> {
        let at = |source| KeyError::File { path: dir.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at)?;
        let refresh_file = dir.join(REFRESH);
        if !refresh_file.exists() {
            write_private(&refresh_file, STANDARD.encode(random::<32>()?).as_bytes())?;
        }
        let refresh_key = RefreshKey::new(&unbase64(&refresh_file, read_private(&refresh_file)?.trim())?);
        let authority_file = dir.join(AUTHORITY);
        if !authority_file.exists() {
            // A new authority beside old keys would sign tokens that no holder of its bundle accepts.
            if !stored_keys(dir)?.is_empty() {
                let reason = "it is gone, and the keys that it certified are not: put it back, or delete signing-*.json \
                              to begin with a new one, whose bundle every registry then needs";
                return Err(KeyError::Damaged { path: authority_file, reason: reason.to_owned() });
            }
            write_json(&authority_file, &new_authority(&options, now)?)?;
        }
        let authority: Authority = read_json(&authority_file)?;
        let certificate = unbase64(&authority_file, &authority.certificate)?;
        if stored_keys(dir)?.iter().all(|(_, key)| key.private.is_none()) {
            make_key(dir, &authority, &options, now)?;
        }
        let keys = Self {
            dir: dir.to_owned(),
            bundle: pem(&certificate),
            refresh_key,
            set: RwLock::new(Arc::new(load(dir, &options, now)?)),
            changing: Mutex::new(()),
            options,
        };
        keys.tend(now)?;
        Ok(keys)
    }

    /// The keys in use.
    #[must_use]
    pub fn current(&self) -> Arc<KeySet> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a registry's `rootcertbundle` wants: the authority's certificate as PEM. It stays the same in rotations.
    #[must_use]
    pub fn bundle(&self) -> &str {
        &self.bundle
    }

    /// The bundle of the keys in `dir`, read without touching anything there: a server may be using them.
    ///
    /// # Errors
    /// When the authority's file is unreadable, damaged or open to others.
    pub fn bundle_in(dir: &Path) -> Result<String, KeyError> {
        let path = dir.join(AUTHORITY);
        let authority: Authority = read_json(&path)?;
        Ok(pem(&unbase64(&path, &authority.certificate)?))
    }

    /// The key of the refresh tokens.
    #[must_use]
    pub fn refresh_key(&self) -> RefreshKey {
        self.refresh_key.clone()
    }

    /// Makes a new signing key, publishes it, signs with it from now on, and keeps the old one published until its last
    /// token has ended. The JWK set is served with `no-cache`, so that nobody meets a token whose key they cannot see.
    ///
    /// # Errors
    /// When a file cannot be written or a key cannot be made; the old key goes on signing.
    pub fn rotate(&self, now: DateTime<Utc>) -> Result<KeyInfo, KeyError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let authority: Authority = read_json(&self.dir.join(AUTHORITY))?;
        make_key(&self.dir, &authority, &self.options, now)?;
        self.reload(now)
    }

    /// To be called now and then: replaces a signing key whose certificate nears its end, or whose algorithm is no longer
    /// the configured one, and forgets retired keys. Returns the new key if there is one.
    ///
    /// # Errors
    /// As [`Keys::rotate`].
    pub fn tend(&self, now: DateTime<Utc>) -> Result<Option<KeyInfo>, KeyError> {
        let set = self.current();
        let due = set.list.first().is_none_or(|signing| {
            signing.certificate_ends - now < self.options.certificate_life / 3
                || signing.algorithm != self.options.algorithm
        });
        if due {
            return self.rotate(now).map(Some);
        }
        if set.list.iter().any(|key| key.published_until.is_some_and(|until| until <= now)) {
            let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            self.reload(now)?;
        }
        Ok(None)
    }

    fn reload(&self, now: DateTime<Utc>) -> Result<KeyInfo, KeyError> {
        let set = load(&self.dir, &self.options, now)?;
        let signing = set.list.first().cloned();
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        signing.ok_or_else(|| KeyError::Make("no signing key".to_owned()))
    }
}

/// Reads every key; the newest with a private half signs, an older one retires, a retired one whose time is over goes.
fn load(dir: &Path, options: &KeyOptions, now: DateTime<Utc>) -> Result<KeySet, KeyError> {
    let mut newest: Option<(PathBuf, Stored)> = None;
    let mut retired = Vec::new();
    for (path, key) in stored_keys(dir)? {
        if key.info.published_until.is_some() {
            retired.push((path, key));
        } else if let Some((old_path, mut old)) = newest.replace((path, key)) {
            // It may sign until the moment of the swap, which is now at the latest.
            old.info.published_until = Some(now + options.retire_after);
            old.private = None;
            write_json(&old_path, &old)?;
            retired.push((old_path, old));
        }
    }
    retired.retain(|(path, key)| {
        let over = key.info.published_until.is_some_and(|until| until <= now);
        !(over && fs::remove_file(path).is_ok())
    });
    let (path, signing) = newest.ok_or_else(|| KeyError::Make("no signing key".to_owned()))?;
    let private = unbase64(&path, signing.private.as_deref().unwrap_or_default())?;
    let info = &signing.info;
    let signer = Signer::new(info.algorithm, &private, &info.kid, &signing.certificate, info.certificate_ends)
        .map_err(|error| KeyError::Damaged { path: path.clone(), reason: error.to_string() })?;
    let (mut verifiers, mut list, mut jwks) = (Vec::new(), Vec::new(), Vec::new());
    for (path, key) in std::iter::once((path, signing)).chain(retired.into_iter().rev()) {
        let public = unbase64(&path, &key.public)?;
        let verifier = Verifier { kid: key.info.kid.clone(), algorithm: key.info.algorithm, public };
        let damaged = || KeyError::Damaged { path, reason: "the public key is not one".to_owned() };
        jwks.push(jwt::jwk(&verifier, &key.certificate).ok_or_else(damaged)?);
        verifiers.push(verifier);
        list.push(key.info);
    }
    let jwks = serde_json::json!({ "keys": jwks }).to_string().into();
    Ok(KeySet { signer, verifiers, jwks, list })
}

/// The signing key files, oldest first: they are numbered, because a clock can stand still or go back.
fn stored_keys(dir: &Path) -> Result<Vec<(PathBuf, Stored)>, KeyError> {
    let at = |source| KeyError::File { path: dir.to_owned(), source };
    let mut keys: Vec<(PathBuf, Stored)> = Vec::new();
    for entry in fs::read_dir(dir).map_err(at)? {
        let path = entry.map_err(at)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("signing-") && name.ends_with(".json") {
            let key = read_json(&path)?;
            keys.push((path, key));
        }
    }
    keys.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(keys)
}

fn new_authority(options: &KeyOptions, now: DateTime<Utc>) -> Result<Authority, KeyError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(make)?;
    // Two installations may meet in one bundle, so the name is not the same everywhere.
    let suffix = random::<4>()?.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let name = format!("Rollcall token authority {suffix}");
    let ends = (now + options.authority_life).trunc_subsecs(0);
    let mut params = named(&name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    valid(&mut params, now - BACKDATED, ends);
    let certificate = params.self_signed(&key).map_err(make)?;
    Ok(Authority {
        name,
        ends,
        certificate: STANDARD.encode(certificate.der()),
        private: STANDARD.encode(key.serialized_der()),
    })
}

fn make_key(dir: &Path, authority: &Authority, options: &KeyOptions, now: DateTime<Utc>) -> Result<(), KeyError> {
    let path = dir.join(AUTHORITY);
    let private = unbase64(&path, &authority.private)?;
    let damaged = |error: rcgen::Error| KeyError::Damaged { path: path.clone(), reason: error.to_string() };
    let issuer_key =
        KeyPair::from_pkcs8_der_and_sign_algo(&private.into(), &PKCS_ECDSA_P256_SHA256).map_err(damaged)?;
    // Only the issuer's name and key get into a leaf, so its certificate need not be read back.
    let issuer = Issuer::new(named(&authority.name), issuer_key);
    let key = match options.algorithm {
        Algorithm::Es256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        Algorithm::Rs256 => KeyPair::generate_for(&PKCS_RSA_SHA256),
    }
    .map_err(make)?;
    let kid = jwt::libtrust_kid(&key.subject_public_key_info());
    let ends = (now + options.certificate_life).min(authority.ends).trunc_subsecs(0);
    let mut params = named("Rollcall token signing key");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    valid(&mut params, now - BACKDATED, ends);
    let certificate = params.signed_by(&key, &issuer).map_err(make)?;
    let stored = Stored {
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
    let newest = stored_keys(dir)?.pop().and_then(|(path, _)| number(&path)).unwrap_or_default();
    write_json(&dir.join(format!("signing-{:08}.json", newest + 1)), &stored)
}

fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.strip_prefix("signing-")?.parse().ok()
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

fn make(error: rcgen::Error) -> KeyError {
    KeyError::Make(error.to_string())
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Make("no randomness".to_owned()))?;
    Ok(bytes)
}

fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|b| char::from(*b)));
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

fn unbase64(path: &Path, text: &str) -> Result<Vec<u8>, KeyError> {
    let damaged = |error: base64::DecodeError| KeyError::Damaged { path: path.to_owned(), reason: error.to_string() };
    STANDARD.decode(text).map_err(damaged)
}

fn read_private(path: &Path) -> Result<String, KeyError> {
    let at = |source| KeyError::File { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(at)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    fs::read_to_string(path).map_err(at)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, KeyError> {
    let damaged = |error: serde_json::Error| KeyError::Damaged { path: path.to_owned(), reason: error.to_string() };
    serde_json::from_str(&read_private(path)?).map_err(damaged)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), KeyError> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| KeyError::Make(error.to_string()))?;
    write_private(path, &text)
}

/// Whole or not at all, and never readable by others, not even for a moment.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let write = || {
        let new = path.with_extension("new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
    };
    write().map_err(|source| KeyError::File { path: path.to_owned(), source })
}
