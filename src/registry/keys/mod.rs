//! The signing keys on disk and how they change: a local authority, one short-lived certificate per signing key, and
//! the key of the refresh tokens. Never reads the clock, and never hands out a private key.

mod authority;
#[cfg(test)]
mod authority_tests;
mod certificates;
mod error;
mod files;
pub(crate) mod jwt;
#[cfg(test)]
mod rotation_tests;

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use rollcall_authn::RefreshKey;
use serde::Serialize;

use self::{
    authority::Upkeep,
    certificates::{make_key, new_authority, random},
    files::{
        AUTHORITY, Authority, REFRESH, StoredKey, decode_base64, read_json, read_private, stored_keys, write_json,
        write_private,
    },
    jwt::{Claims, SignError, Signer, Verifier, VerifyError},
};
pub use self::{
    authority::{AuthorityInfo, AuthorityRole},
    certificates::KeyOptions,
    error::KeyError,
    files::KeyInfo,
};

/// The keys of one moment: tokens are signed and checked without a lock held.
#[derive(Debug)]
pub struct KeySet {
    signer: Signer,
    verifiers: Vec<Verifier>,
    jwks: Arc<str>,
    list: Vec<KeyInfo>,
    bundle: Arc<str>,
    authorities: Vec<AuthorityInfo>,
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

/// Whether there are no keys of which anybody could know.
fn has_none(dir: &Path) -> Result<bool, KeyError> {
    Ok(!dir.join(AUTHORITY).exists() && (!dir.exists() || stored_keys(dir)?.is_empty()))
}

/// The keys in their directory. Rotation swaps the whole set; what is being signed goes on with the old one.
#[derive(Debug)]
pub struct Keys {
    dir: PathBuf,
    options: KeyOptions,
    refresh_key: RefreshKey,
    set: RwLock<Arc<KeySet>>,
    /// One rotation at a time.
    rotating: Mutex<()>,
}

impl Keys {
    /// As [`Self::open`], of an installation that signed tokens before: what is gone is not made anew in silence.
    ///
    /// # Errors
    /// As [`Self::open`], and where there are no keys.
    pub fn open_again(dir: &Path, options: KeyOptions, now: DateTime<Utc>) -> Result<Self, KeyError> {
        if has_none(dir)? {
            return Err(KeyError::Gone { path: dir.to_owned() });
        }
        Self::open(dir, options, now)
    }

    /// Makes new keys where they are gone: said by somebody who gives every registry the new bundle.
    ///
    /// # Errors
    /// As [`Self::open`], and where there are keys.
    pub fn begin_anew(dir: &Path, options: KeyOptions, now: DateTime<Utc>) -> Result<Self, KeyError> {
        if !has_none(dir)? {
            return Err(KeyError::There { path: dir.to_owned() });
        }
        Self::open(dir, options, now)
    }

    /// Opens the keys in `dir`, and makes whatever is not there yet.
    ///
    /// # Errors
    /// When a file is unreadable, damaged or open to others, or a key cannot be made.
    pub fn open(dir: &Path, options: KeyOptions, now: DateTime<Utc>) -> Result<Self, KeyError> {
        let at = |source| KeyError::File { path: dir.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at)?;
        // Whoever has the bundle of these keys finds them after a power cut only if the directory's own name was synced.
        dir.parent().map_or(Ok(()), |above| fs::File::open(above)?.sync_all()).map_err(at)?;
        let refresh_file = dir.join(REFRESH);
        if !refresh_file.exists() {
            if dir.join(AUTHORITY).exists() {
                tracing::warn!(path = %refresh_file.display(), "the key of refresh tokens is gone: everybody signs in again");
            }
            write_private(&refresh_file, STANDARD.encode(random::<32>()?).as_bytes())?;
        }
        let refresh_key = RefreshKey::new(&decode_base64(&refresh_file, read_private(&refresh_file)?.trim())?);
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
        if stored_keys(dir)?.iter().all(|(_, key)| key.private.is_none()) {
            make_key(dir, &authority, &options, now)?;
        }
        let keys = Self {
            dir: dir.to_owned(),
            refresh_key,
            set: RwLock::new(Arc::new(load(dir, &options, now)?)),
            rotating: Mutex::new(()),
            options,
        };
        keys.maintain(now)?;
        Ok(keys)
    }

    /// The keys in use.
    #[must_use]
    pub fn current(&self) -> Arc<KeySet> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a registry's `rootcertbundle` wants: the certificates of the authorities as PEM. It stays the same in
    /// rotations of signing keys, and has the next authority long before that certifies anything.
    #[must_use]
    pub fn bundle(&self) -> String {
        self.current().bundle.to_string()
    }

    /// The authorities of the bundle, the one that certifies first.
    #[must_use]
    pub fn authorities(&self) -> Vec<AuthorityInfo> {
        self.current().authorities.clone()
    }

    /// Makes the authority that will certify after this one, and puts it into the bundle. Where there is one already it
    /// stays.
    ///
    /// # Errors
    /// When a file cannot be written or a key cannot be made.
    pub fn make_next_authority(&self, now: DateTime<Utc>) -> Result<(), KeyError> {
        let _one = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        authority::make_next(&self.dir, &self.options, now)?;
        self.load_set(now).map(drop)
    }

    /// The next authority certifies from now on: a new signing key is made with it. A registry that does not have the
    /// bundle with both refuses every token from then on.
    ///
    /// # Errors
    /// There is no next authority, a file cannot be written or a key cannot be made.
    pub fn use_next_authority(&self, now: DateTime<Utc>) -> Result<(), KeyError> {
        let _one = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        authority::promote_next(&self.dir, &self.options, now)?;
        self.load_set(now).map(drop)
    }

    /// The bundle of the keys in `dir`, read without touching anything there: a server may be using them.
    ///
    /// # Errors
    /// When the authority's file is unreadable, damaged or open to others.
    pub fn bundle_in(dir: &Path) -> Result<String, KeyError> {
        Ok(authority::published(dir, &KeyOptions::default())?.0)
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
        let _one = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        let authority: Authority = read_json(&self.dir.join(AUTHORITY))?;
        make_key(&self.dir, &authority, &self.options, now)?;
        self.load_set(now)
    }

    /// To be called now and then: replaces a signing key whose certificate nears its end, or whose algorithm is no longer
    /// the configured one, and forgets retired keys. Returns the new key if there is one.
    ///
    /// # Errors
    /// As [`Keys::rotate`].
    pub fn maintain(&self, now: DateTime<Utc>) -> Result<Option<KeyInfo>, KeyError> {
        {
            let _one = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
            match authority::maintain(&self.dir, &self.options, now)? {
                Upkeep::Nothing => {}
                Upkeep::Bundle => drop(self.load_set(now)?),
                Upkeep::Certifies => return self.load_set(now).map(Some),
            }
        }
        let set = self.current();
        let due = set.list.first().is_none_or(|signing| {
            signing.certificate_ends - now < self.options.certificate_life / 3
                || signing.algorithm != self.options.algorithm
        });
        if due {
            return self.rotate(now).map(Some);
        }
        if set.list.iter().any(|key| key.published_until.is_some_and(|until| until <= now)) {
            let _one = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
            self.load_set(now)?;
        }
        Ok(None)
    }

    /// Reads the keys of the directory anew, where somebody else changed them. Where they cannot be used, those before stay.
    ///
    /// # Errors
    /// When a file is unreadable, damaged or open to others.
    pub fn reload(&self, now: DateTime<Utc>) -> Result<KeyInfo, KeyError> {
        let _one = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        self.load_set(now)
    }

    fn load_set(&self, now: DateTime<Utc>) -> Result<KeyInfo, KeyError> {
        let set = load(&self.dir, &self.options, now)?;
        let signing = set.list.first().cloned();
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        signing.ok_or_else(|| KeyError::Make("no signing key".to_owned()))
    }
}

/// Reads every key; the newest with a private half signs, an older one retires, a retired one whose time is over goes.
fn load(dir: &Path, options: &KeyOptions, now: DateTime<Utc>) -> Result<KeySet, KeyError> {
    let mut newest: Option<(PathBuf, StoredKey)> = None;
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
    let private = decode_base64(&path, signing.private.as_deref().unwrap_or_default())?;
    let info = &signing.info;
    let signer = Signer::new(info.algorithm, &private, &info.kid, &signing.certificate, info.certificate_ends)
        .map_err(|error| KeyError::Damaged { path: path.clone(), reason: error.to_string() })?;
    let (mut verifiers, mut list, mut jwks) = (Vec::new(), Vec::new(), Vec::new());
    for (path, key) in std::iter::once((path, signing)).chain(retired.into_iter().rev()) {
        let public = decode_base64(&path, &key.public)?;
        let verifier = Verifier { kid: key.info.kid.clone(), algorithm: key.info.algorithm, public };
        let damaged = || KeyError::Damaged { path, reason: "the public key is not one".to_owned() };
        jwks.push(jwt::jwk(&verifier, &key.certificate).ok_or_else(damaged)?);
        verifiers.push(verifier);
        list.push(key.info);
    }
    let jwks = serde_json::json!({ "keys": jwks }).to_string().into();
    let (bundle, authorities) = authority::published(dir, options)?;
    Ok(KeySet { signer, verifiers, jwks, list, bundle: bundle.into(), authorities })
}
