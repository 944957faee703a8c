//! Keys on disk: what stands in each file, read and written whole and for the owner only. Makes no key.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{error::KeyError, jwt::Algorithm};

/// The authority's file.
pub(super) const AUTHORITY: &str = "authority.json";
/// The file of the key of the refresh tokens.
pub(super) const REFRESH: &str = "refresh.key";

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
pub(super) struct Authority {
    pub(super) name: String,
    pub(super) ends: DateTime<Utc>,
    /// DER, base64.
    pub(super) certificate: String,
    /// PKCS#8, base64.
    pub(super) private: String,
}

/// A signing key's file. The private half is erased when the key retires.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredKey {
    pub(super) info: KeyInfo,
    /// What tokens are checked with, base64.
    pub(super) public: String,
    /// DER, base64.
    pub(super) certificate: String,
    /// PKCS#8, base64.
    pub(super) private: Option<String>,
}

/// The signing key files, oldest first: they are numbered, because a clock can stand still or go back.
pub(super) fn stored_keys(dir: &Path) -> Result<Vec<(PathBuf, StoredKey)>, KeyError> {
    let at = |source| KeyError::File { path: dir.to_owned(), source };
    let mut keys: Vec<(PathBuf, StoredKey)> = Vec::new();
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

/// The file of a signing key that follows all others.
pub(super) fn next_file(dir: &Path) -> Result<PathBuf, KeyError> {
    let newest = stored_keys(dir)?.pop().and_then(|(path, _)| number(&path)).unwrap_or_default();
    Ok(dir.join(format!("signing-{:08}.json", newest + 1)))
}

fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.strip_prefix("signing-")?.parse().ok()
}

pub(super) fn decode_base64(path: &Path, text: &str) -> Result<Vec<u8>, KeyError> {
    let damaged = |error: base64::DecodeError| KeyError::Damaged { path: path.to_owned(), reason: error.to_string() };
    STANDARD.decode(text).map_err(damaged)
}

pub(super) fn read_private(path: &Path) -> Result<String, KeyError> {
    let at = |source| KeyError::File { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(at)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    fs::read_to_string(path).map_err(at)
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, KeyError> {
    let damaged = |error: serde_json::Error| KeyError::Damaged { path: path.to_owned(), reason: error.to_string() };
    serde_json::from_str(&read_private(path)?).map_err(damaged)
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), KeyError> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| KeyError::Make(error.to_string()))?;
    write_private(path, &text)
}

/// Whole or not at all, and never readable by others, not even for a moment.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
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
