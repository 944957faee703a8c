//! The authority that certifies signing keys, whose certificate every registry holds, and its renewal without a gap: the next
//! one stands in the bundle long before it certifies anything, so that registries have it by then. Never reads the clock.

use std::{fs, io, path::Path};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    certificates::{KeyOptions, make_key, new_authority, pem},
    error::KeyError,
    files::{AUTHORITY, Authority, decode_base64, read_json, write_json},
};

/// The authority that certifies after this one.
const NEXT: &str = "authority-next.json";
/// The authority that certified before this one, while a token of it may live. Without its private key.
const FORMER: &str = "authority-former.json";

/// What an authority is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorityRole {
    /// Signing keys are certified by it.
    Certifies,
    /// It will certify; registries are to have it by then.
    Next,
    /// It certified before.
    Former,
}

/// An authority as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityInfo {
    /// Its name in certificates.
    pub name: String,
    /// What it is for.
    pub role: AuthorityRole,
    /// When it ends; of a former one, when it leaves the bundle.
    pub ends: DateTime<Utc>,
    /// When the one after it takes over by itself at the latest; of the next one, when it does.
    pub replaced: DateTime<Utc>,
}

/// Every authority of a directory, the one that certifies first.
fn stored(dir: &Path) -> Result<Vec<(AuthorityRole, Authority)>, KeyError> {
    let mut all = vec![(AuthorityRole::Certifies, read_json(&dir.join(AUTHORITY))?)];
    for (role, name) in [(AuthorityRole::Next, NEXT), (AuthorityRole::Former, FORMER)] {
        if dir.join(name).exists() {
            all.push((role, read_json(&dir.join(name))?));
        }
    }
    Ok(all)
}

/// What is published of the authorities: their certificates as PEM, and who they are.
pub(super) fn published(dir: &Path, options: &KeyOptions) -> Result<(String, Vec<AuthorityInfo>), KeyError> {
    let all = stored(dir)?;
    let first_ends = all.first().map(|(_, authority)| authority.ends).unwrap_or_default();
    let (mut bundle, mut infos) = (String::new(), Vec::new());
    for (role, authority) in all {
        let one = pem(&decode_base64(&dir.join(AUTHORITY), &authority.certificate)?);
        // A promotion that a crash cut in two leaves one certificate in two files.
        if !bundle.contains(&one) {
            bundle.push_str(&one);
            let replaced = first_ends - options.authority_takeover;
            infos.push(AuthorityInfo { name: authority.name, role, ends: authority.ends, replaced });
        }
    }
    Ok((bundle, infos))
}

/// Makes the next authority where there is none.
pub(super) fn make_next(dir: &Path, options: &KeyOptions, now: DateTime<Utc>) -> Result<(), KeyError> {
    if dir.join(NEXT).exists() { Ok(()) } else { write_next(dir, options, now) }
}

fn write_next(dir: &Path, options: &KeyOptions, now: DateTime<Utc>) -> Result<(), KeyError> {
    write_json(&dir.join(NEXT), &new_authority(options, now)?)
}

/// The next authority certifies from now on, a new signing key first. The former one stays in the bundle while a token of it may live.
pub(super) fn promote_next(dir: &Path, options: &KeyOptions, now: DateTime<Utc>) -> Result<(), KeyError> {
    let (path, next) = (dir.join(AUTHORITY), dir.join(NEXT));
    if !next.exists() {
        let what = "there is no next authority yet: make it first, and give every registry the bundle with both";
        return Err(KeyError::Make(what.to_owned()));
    }
    let current: Authority = read_json(&path)?;
    // First of all a signing key of the next one: wherever a crash cuts this in two, what signs stands in the bundle.
    make_key(dir, &read_json(&next)?, options, now)?;
    let ends = (now + options.retire_after).min(current.ends);
    write_json(&dir.join(FORMER), &Authority { ends, private: String::new(), ..current })?;
    let renamed = fs::rename(&next, &path).and_then(|()| fs::File::open(dir)?.sync_all());
    renamed.map_err(|source| KeyError::File { path, source })
}

/// What became of the authorities in the course of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upkeep {
    /// Nothing.
    Nothing,
    /// The bundle is another one.
    Bundle,
    /// Another one certifies, and a key of it signs.
    Certifies,
}

/// Makes the next authority in time, lets it take over in time, and forgets the former one.
pub(super) fn maintain(dir: &Path, options: &KeyOptions, now: DateTime<Utc>) -> Result<Upkeep, KeyError> {
    let mut upkeep = Upkeep::Nothing;
    let all = stored(dir)?;
    if all.iter().any(|(role, authority)| *role == AuthorityRole::Former && authority.ends <= now) {
        let path = dir.join(FORMER);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(KeyError::File { path, source }),
            _ => upkeep = Upkeep::Bundle,
        }
    }
    let ends = all.first().map(|(_, authority)| authority.ends).unwrap_or_default();
    let next = all.iter().find(|(role, _)| *role == AuthorityRole::Next).map(|(_, authority)| authority.ends);
    if next.is_some() && ends - now <= options.authority_takeover {
        promote_next(dir, options, now)?;
        return Ok(Upkeep::Certifies);
    }
    // One that was made by hand long ago would soon need one after it, which no registry could have by then.
    let takeover = ends - options.authority_takeover;
    let lasts = next.is_some_and(|next| next - takeover > options.authority_overlap);
    if !lasts && ends - now <= options.authority_overlap {
        write_next(dir, options, now)?;
        return Ok(Upkeep::Bundle);
    }
    Ok(upkeep)
}
