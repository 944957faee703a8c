//! What a client presents: nothing, a name and a password, or a refresh token. Parsing only, and strict: a garbage
//! credential is a wrong one, never nobody (clients.md C25). Whose it is, the token endpoint asks the roster.

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use rollcall_access::{Roster, UserIx};
use secrecy::SecretString;

use crate::form::Form;

/// Every registry secret starts so. Such a password is never sent to a directory.
pub const SECRET_PREFIX: &str = "rcs_";
/// Longer passwords and names are wrong without being looked at.
const LONGEST: usize = 1024;

/// A login that is no registry secret, to be checked by a directory.
#[derive(Debug)]
pub struct Login<'a> {
    /// The name as it was typed.
    pub name: &'a str,
    /// The id of the user of that name; absent for an unknown one, which has to be answered as slowly as a known one.
    pub user: Option<&'a str>,
    /// Never empty, blank or with a NUL in it.
    pub password: &'a SecretString,
}

/// What a directory says of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordAnswer {
    /// It is this user's password.
    Good,
    /// It is not.
    Bad,
    /// The directory could not be asked, and nothing is cached: 503, not 401.
    Unavailable,
}

/// Checks passwords where a directory is configured.
#[async_trait]
pub trait PasswordCheck: Send + Sync + 'static {
    /// Whether it is this user's password. Bounds its own time and work.
    async fn check(&self, login: Login<'_>) -> PasswordAnswer;
}

/// A request's one credential.
#[derive(Debug)]
pub(crate) enum Presented {
    Nobody,
    Password { name: String, password: SecretString },
    Refresh(SecretString),
}

/// Why no credential could be taken from a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoCredential {
    /// What was presented cannot be a credential: 401.
    Garbage,
    /// The form is wrong: 400.
    Form(&'static str),
}

/// The credential of a `GET`: Basic or nothing.
pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Presented, NoCredential> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(Presented::Nobody),
        (Some(one), None) => basic(one.as_bytes()).ok_or(NoCredential::Garbage),
        (Some(_), Some(_)) => Err(NoCredential::Garbage),
    }
}

/// The credential of a `POST`: the form's, as OAuth2 has it.
pub(crate) fn from_form(headers: &HeaderMap, form: &mut Form<'_>) -> Result<Presented, NoCredential> {
    if headers.contains_key(header::AUTHORIZATION) {
        return Err(NoCredential::Form("a form carries its own credential; send no Authorization header with it"));
    }
    match form.grant_type.as_deref() {
        Some("password") => {
            let (Some(name), Some(password)) = (form.username.take(), form.password.take()) else {
                return Err(NoCredential::Form("grant_type=password needs username and password"));
            };
            login(name.into_owned(), password.into_owned()).ok_or(NoCredential::Garbage)
        }
        Some("refresh_token") => {
            let token = form.refresh_token.take();
            let token = token.ok_or(NoCredential::Form("grant_type=refresh_token needs refresh_token"))?;
            Ok(Presented::Refresh(token.into_owned().into()))
        }
        Some(_) => Err(NoCredential::Form("grant_type is one of password and refresh_token")),
        None => Err(NoCredential::Form("a POST needs grant_type, one of password and refresh_token")),
    }
}

/// `Basic` with UTF-8 in base64, the name up to the first colon (clients.md C20).
fn basic(value: &[u8]) -> Option<Presented> {
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim_ascii()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    login(name.to_owned(), password.to_owned())
}

fn login(name: String, password: String) -> Option<Presented> {
    is_password(&name, &password).then(|| Presented::Password { name, password: password.into() })
}

/// An empty, blank or NUL-bearing password ends here: a directory would take it for an anonymous bind and say yes
/// (docker_auth PR #155, CVE-2017-14623).
pub(crate) fn is_password(name: &str, password: &str) -> bool {
    let blank = |text: &str| text.trim().is_empty() || text.contains('\0') || text.len() > LONGEST;
    !blank(name) && !blank(password)
}

/// The user whom a good password in a directory signs in. A directory may still know the password of one who is shut out.
pub(crate) fn signs_in(roster: &Roster, name: &str) -> Option<UserIx> {
    roster.user_by_name(name).filter(|user| !roster.user(*user).shut_out)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn header(value: &str) -> Result<Presented, NoCredential> {
        let mut headers = HeaderMap::new();
        headers.append(header::AUTHORIZATION, value.parse().unwrap());
        from_headers(&headers)
    }

    fn basic_of(text: &str) -> Result<Presented, NoCredential> {
        header(&format!("Basic {}", STANDARD.encode(text)))
    }

    #[test]
    fn c20_odd_passwords_come_through() {
        for password in ["p@ss:w/ord é", "a b", ":", "::"] {
            let Ok(Presented::Password { name, password: read }) = basic_of(&format!("ada:{password}")) else {
                panic!("{password}")
            };
            assert_eq!((name.as_str(), read.expose_secret()), ("ada", password));
        }
    }

    #[test]
    fn c25_garbage_is_a_wrong_credential_and_never_nobody() {
        for value in ["Bearer nothing", "Basic", "Basic ", "Basic !!!", "Negotiate x", "", "basic"] {
            assert_eq!(header(value).unwrap_err(), NoCredential::Garbage, "{value}");
        }
        assert_eq!(basic_of("no colon").unwrap_err(), NoCredential::Garbage);
        assert!(header(&format!("Basic {}", STANDARD.encode(b"ada:\xff"))).is_err());
        let mut twice = HeaderMap::new();
        twice.append(header::AUTHORIZATION, "Basic YTpi".parse().unwrap());
        twice.append(header::AUTHORIZATION, "Basic YTpi".parse().unwrap());
        assert_eq!(from_headers(&twice).unwrap_err(), NoCredential::Garbage);
        assert!(matches!(from_headers(&HeaderMap::new()), Ok(Presented::Nobody)));
    }

    #[test]
    fn a01_a02_an_empty_password_is_wrong_before_anybody_is_asked() {
        for password in ["", " ", "\t", "\0", "a\0b", &"x".repeat(LONGEST + 1)] {
            assert_eq!(basic_of(&format!("ada:{password}")).unwrap_err(), NoCredential::Garbage, "{password:?}");
        }
        assert!(basic_of(":secret").is_err());
    }

    #[test]
    fn a_password_is_never_printed() {
        assert!(!format!("{:?}", basic_of("ada:canary")).contains("canary"));
    }
}
