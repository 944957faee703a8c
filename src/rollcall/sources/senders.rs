//! How whoever posts shows to be the source: the keys of that, which every kind that posts has.

use std::path::{Path, PathBuf};

use rollcall_entitlements::{Authentication, Secrets, Tokens};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::{
    sources::{BuildContext, Certificates, KeyError, Place},
    values::{ByteSize, StringList},
};

/// Who posts, how much, and how that is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Sender {
    /// How whoever posts shows to be the source: `signature` signs each body (Standard Webhooks), `bearer` sends a token,
    /// `basic` a user and a password, `certificate` shows a client certificate. `none` believes whoever reaches the hook.
    authentication: AuthenticationKind,
    /// The names, DNS or URI, of which the client certificate must have one. Only with `authentication = "certificate"`.
    client_names: StringList,
    /// A file with the secret that signs its notifications, `whsec_` and base64, with its bearer token, or with
    /// `user:password`; previous ones on the lines after it. Relative to the configuration file. In the environment also as
    /// a value: `ROLLCALL__SOURCE__NAME__SECRET`.
    secret_file: Option<PathBuf>,
    /// The largest notification. When absent, `server.max_body`.
    pub max_body: Option<ByteSize>,
}

/// How whoever posts shows to be the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AuthenticationKind {
    /// By a signature of each body.
    Signature,
    /// By a token in `Authorization`.
    Bearer,
    /// By a user and a password in `Authorization`.
    Basic,
    /// By a client certificate.
    Certificate,
    /// Not at all.
    None,
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            authentication: AuthenticationKind::Signature,
            client_names: StringList::default(),
            secret_file: None,
            max_body: None,
        }
    }
}

impl Sender {
    pub fn secret_file(&self) -> Option<&Path> {
        self.secret_file.as_deref()
    }

    /// Every key that is wrong by itself.
    pub fn check(&self) -> Vec<KeyError> {
        let limit = self.max_body.map(ByteSize::as_body_limit);
        let mut wrong: Vec<_> =
            limit.and_then(Result::err).map(|what| KeyError::of("max_body", what)).into_iter().collect();
        let by_certificate = self.authentication == AuthenticationKind::Certificate;
        let names = &self.client_names.0;
        if by_certificate && names.is_empty() {
            let what = "name what the client certificate is made out to, as in [\"licensing.example.com\"]";
            wrong.push(KeyError::of("client_names", what));
        } else if !by_certificate && !names.is_empty() {
            wrong.push(KeyError::of("client_names", "is only for `authentication = \"certificate\"`"));
        }
        if let Some(bad) =
            names.iter().find(|name| name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b'*'))
        {
            let what = format!(
                "`{}` is no whole name: write each DNS name or URI as the certificate has it",
                bad.escape_debug()
            );
            wrong.push(KeyError::of("client_names", what));
        }
        wrong
    }

    /// Whether TLS must ask for a certificate.
    pub fn certificates(&self) -> Certificates {
        match self.authentication {
            AuthenticationKind::Certificate => Certificates::Demanded,
            AuthenticationKind::Signature
            | AuthenticationKind::Bearer
            | AuthenticationKind::Basic
            | AuthenticationKind::None => Certificates::Ignored,
        }
    }

    /// How its sender is known.
    ///
    /// # Errors
    /// Its secret is missing, or is none.
    pub fn authentication(&self, context: &BuildContext<'_>) -> Result<Authentication, KeyError> {
        let secret = context.secret.map(ExposeSecret::expose_secret);
        let missing = |text| Err(KeyError { at: Place::Source, text });
        let wrong = |text| KeyError { at: Place::Secret, text };
        let name = context.name.as_str();
        match (self.authentication, secret) {
            (AuthenticationKind::Signature, Some(text)) => {
                let secrets = Secrets::parse(text).map_err(|error| wrong(error.to_string()))?;
                Ok(Authentication::Signature(secrets))
            }
            (AuthenticationKind::Bearer, Some(text)) => {
                let tokens = Tokens::parse(text).map_err(|error| wrong(error.to_string()))?;
                Ok(Authentication::Bearer(tokens))
            }
            (AuthenticationKind::Basic, Some(text)) => {
                let credentials = Tokens::parse_credentials(text).map_err(|error| wrong(error.to_string()))?;
                Ok(Authentication::Basic(credentials))
            }
            (AuthenticationKind::Certificate, None) => Ok(Authentication::Certificate(self.client_names.0.clone())),
            (AuthenticationKind::None, None) => Ok(Authentication::None),
            (AuthenticationKind::Certificate, Some(_)) => {
                Err(wrong("a source that shows a certificate has no secret; take it away".to_owned()))
            }
            (AuthenticationKind::None, Some(_)) => {
                let what = "with `authentication = \"none\"` nothing is asked for, this secret neither: say how it is used, or take it away";
                Err(wrong(what.to_owned()))
            }
            (AuthenticationKind::Signature, None) => missing(no_secret(name, "whsec_")),
            (AuthenticationKind::Bearer, None) => missing(no_secret(name, "")),
            (AuthenticationKind::Basic, None) => missing(no_secret(name, &format!("{name}:"))),
        }
    }
}

/// What to do about a secret that is missing, with a shell line that makes one.
fn no_secret(name: &str, prefix: &str) -> String {
    format!(
        "the source has no secret. Make one with `(umask 077; echo {prefix}$(head -c 32 /dev/urandom | base64) > {name}.secret)` and write `secret_file = \"{name}.secret\"`"
    )
}
