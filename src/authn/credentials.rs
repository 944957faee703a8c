//! What a request presents to sign in: nothing, a name with a secret or password, a bearer secret, or a refresh token.
//! Parsing only, and strict: garbage is wrong, never nobody (clients.md C25).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use secrecy::SecretString;

/// Longer passwords and names are wrong without being looked at.
const MAX_BYTES: usize = 1024;

/// The credentials of one request.
#[derive(Debug)]
pub enum Credentials {
    /// None.
    Anonymous,
    /// A name and a registry secret or a password. Neither is ever empty, blank or has a NUL in it.
    Password {
        /// As it was typed.
        name: String,
        /// As it was typed.
        password: SecretString,
    },
    /// A secret or the admin key, without a name.
    Bearer(SecretString),
    /// A refresh token.
    Refresh(SecretString),
}

/// What was presented cannot be credentials. The answer is the same as for wrong ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these are no credentials")]
pub struct MalformedCredentials;

impl Credentials {
    /// The `Authorization` of a request: Basic, Bearer or none.
    ///
    /// # Errors
    /// For any other scheme, for more than one, and for what cannot be read.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, MalformedCredentials> {
        let mut all = headers.get_all(header::AUTHORIZATION).iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(Self::Anonymous),
            (Some(one), None) => Self::parse(one.as_bytes()).ok_or(MalformedCredentials),
            (Some(_), Some(_)) => Err(MalformedCredentials),
        }
    }

    /// A name and a secret or password, as a form has them.
    ///
    /// # Errors
    /// An empty, blank or NUL-bearing password ends here: a directory would take it for an anonymous bind and say yes
    /// (docker_auth PR #155, CVE-2017-14623).
    pub fn password(name: String, password: String) -> Result<Self, MalformedCredentials> {
        let unusable = |text: &str| text.trim().is_empty() || text.contains('\0') || text.len() > MAX_BYTES;
        if unusable(&name) || unusable(&password) {
            return Err(MalformedCredentials);
        }
        Ok(Self::Password { name, password: password.into() })
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let space = value.iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = value.split_at_checked(space)?;
        if scheme.eq_ignore_ascii_case(b"basic") {
            Self::parse_basic(rest)
        } else if scheme.eq_ignore_ascii_case(b"bearer") {
            Some(Self::Bearer(std::str::from_utf8(rest).ok()?.strip_prefix(' ')?.into()))
        } else {
            None
        }
    }

    /// UTF-8 in base64, the name up to the first colon (clients.md C20).
    fn parse_basic(encoded: &[u8]) -> Option<Self> {
        let text = String::from_utf8(STANDARD.decode(encoded.trim_ascii()).ok()?).ok()?;
        let (name, password) = text.split_once(':')?;
        Self::password(name.to_owned(), password.to_owned()).ok()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn header(value: &str) -> Result<Credentials, MalformedCredentials> {
        let mut headers = HeaderMap::new();
        headers.append(header::AUTHORIZATION, value.parse().unwrap());
        Credentials::from_headers(&headers)
    }

    fn basic_of(text: &str) -> Result<Credentials, MalformedCredentials> {
        header(&format!("Basic {}", STANDARD.encode(text)))
    }

    #[test]
    fn c20_odd_passwords_come_through() {
        for password in ["p@ss:w/ord é", "a b", ":", "::"] {
            let Ok(Credentials::Password { name, password: read }) = basic_of(&format!("ada:{password}")) else {
                panic!("{password}")
            };
            assert_eq!((name.as_str(), read.expose_secret()), ("ada", password));
        }
    }

    #[test]
    fn c25_garbage_is_a_wrong_credential_and_never_nobody() {
        for value in ["Bearer", "Basic", "Basic ", "Basic !!!", "Negotiate x", "", "basic", "bearerx y"] {
            assert_eq!(header(value).unwrap_err(), MalformedCredentials, "{value}");
        }
        assert_eq!(basic_of("no colon").unwrap_err(), MalformedCredentials);
        assert!(header(&format!("Basic {}", STANDARD.encode(b"ada:\xff"))).is_err());
        let mut twice = HeaderMap::new();
        twice.append(header::AUTHORIZATION, "Basic YTpi".parse().unwrap());
        twice.append(header::AUTHORIZATION, "Basic YTpi".parse().unwrap());
        assert_eq!(Credentials::from_headers(&twice).unwrap_err(), MalformedCredentials);
        assert!(matches!(Credentials::from_headers(&HeaderMap::new()), Ok(Credentials::Anonymous)));
    }

    #[test]
    fn a01_a02_an_empty_password_is_wrong_before_anybody_is_asked() {
        for password in ["", " ", "\t", "\0", "a\0b", &"x".repeat(MAX_BYTES + 1)] {
            assert_eq!(basic_of(&format!("ada:{password}")).unwrap_err(), MalformedCredentials, "{password:?}");
        }
        assert!(basic_of(":secret").is_err());
    }

    #[test]
    fn a_bearer_is_taken_as_it_is() {
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let Ok(Credentials::Bearer(secret)) = header(&format!("{scheme} rcs_x")) else { panic!("{scheme}") };
            assert_eq!(secret.expose_secret(), "rcs_x");
        }
    }

    #[test]
    fn what_is_presented_is_never_printed() {
        for credentials in [basic_of("ada:canary"), header("Bearer canary")] {
            assert!(credentials.is_ok() && !format!("{credentials:?}").contains("canary"));
        }
    }
}
