//! What a caller presents: the admin key, a secret, or a name and its password in a directory. Reads them; whose they are
//! is asked by `guard`. What checks passwords is the binary's to bring: the same stands behind the token endpoint.

use std::net::IpAddr;

use async_trait::async_trait;
use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use rollcall_events::body::Principal;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::http::problem::{Kind, Problem};

/// What becomes of a name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// They are this user's.
    Known(Principal),
    /// They are nobody's.
    Wrong,
    /// Whoever was wrong too often waits so long before anything is checked.
    Wait(TimeDelta),
    /// The directory could not be asked, and nothing is remembered.
    Unavailable,
}

/// Signs in with a password that a directory checks. Bounds its own time and work, and counts who is wrong.
#[async_trait]
pub trait Passwords: Send + Sync + 'static {
    /// Whose name and password these are. Blank ones and registry secrets are nobody's and are sent to no directory.
    async fn sign_in(&self, name: &str, password: &SecretString, from: IpAddr) -> SignIn;
}

/// Where no directory checks passwords.
pub struct NoPasswords;

#[async_trait]
impl Passwords for NoPasswords {
    async fn sign_in(&self, _: &str, _: &SecretString, _: IpAddr) -> SignIn {
        SignIn::Wrong
    }
}

/// The SHA-256 of the admin key. The key itself is not kept.
#[derive(Clone, Copy)]
pub struct AdminKey([u8; 32]);

impl AdminKey {
    /// Of the key's text.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Whether this is the key, in a time that tells nothing of it.
    pub(crate) fn opens(&self, key: &str) -> bool {
        let Self(presented) = Self::of(key);
        bool::from(self.0.ct_eq(&presented))
    }
}

impl std::fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminKey(***)")
    }
}

/// What a request presents.
pub(crate) enum Presented<'a> {
    Bearer(&'a str),
    Basic(String, SecretString),
}

impl<'a> Presented<'a> {
    /// The only one. Nothing for none, for several, and for one that cannot be read.
    pub fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(only), None) = (given.next(), given.next()) else { return None };
        let (scheme, text) = only.to_str().ok()?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer(text));
        }
        let pair = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(text).ok())??;
        let pair = String::from_utf8(pair).ok()?;
        let (name, password) = pair.split_once(':')?;
        Some(Self::Basic(name.to_owned(), password.into()))
    }
}

pub(crate) fn unauthenticated() -> Problem {
    Kind::Unauthenticated.because(
        "Send a secret, or the admin key, as `Authorization: Bearer ..`, or a name and its secret, or its password in the directory, as Basic. The admin key is in the file `admin.key` of the data directory.",
    )
}
