//! How whoever posts shows to be the source: the keys of that, which every kind that posts has.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ipnet::IpNet;
use reqwest::Url;
use rollcall_entitlements::{Authentication, Format, KeygenKeys, Posted, Secrets, StripeSecrets, Tokens};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::{
    sources::{BuildContext, Certificates, KeyError, Notifications, Place, networks},
    values::{ByteSize, StringList},
};

/// Who posts, how much, and how that is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Sender {
    /// How whoever posts shows to be the source: `signature` signs each body (Standard Webhooks), `bearer` sends a token,
    /// `basic` a user and a password, `certificate` shows a client certificate. `stripe` and `keygen` sign each body as these
    /// do. `none` believes whoever reaches the hook.
    /// When absent, `signature`.
    authentication: Option<AuthenticationKind>,
    /// The names, DNS or URI, of which the client certificate must have one. Only with `authentication = "certificate"`.
    client_names: StringList,
    /// A file with the secret that signs its notifications, `whsec_` and base64 (of a key pair the public half, `whpk_`), with
    /// its bearer token, with `user:password`, or with the public key of a Keygen account; previous ones on the lines after
    /// it. Relative to the configuration file. In the environment also as a value: `ROLLCALL__SOURCE__NAME__SECRET`.
    secret_file: Option<PathBuf>,
    /// The URL that it posts to, to the letter, where its signature covers that. Only with `authentication = "keygen"`.
    hook_url: Option<String>,
    /// The addresses and networks that it posts from. When absent, anywhere. They come on top of `authentication`.
    addresses: StringList,
    /// Senders that are told that they may post when they ask (CloudEvents, HTTP webhooks), by the names that they state, as
    /// in `eventgrid.example.com`. It lets nobody in.
    webhook_origins: StringList,
    /// The largest notification. When absent, `server.max_body`.
    max_body: Option<ByteSize>,
}

/// How whoever posts shows to be the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AuthenticationKind {
    /// By a signature of each body.
    Signature,
    /// By a signature of each body, as Stripe signs.
    Stripe,
    /// By a signature of each body, as Keygen signs.
    Keygen,
    /// By a token in `Authorization`.
    Bearer,
    /// By a user and a password in `Authorization`.
    Basic,
    /// By a client certificate.
    Certificate,
    /// Not at all.
    None,
}

impl Sender {
    pub fn secret_file(&self) -> Option<&Path> {
        self.secret_file.as_deref()
    }

    /// Whether anything says that it posts.
    pub fn is_stated(&self, context: &BuildContext<'_>) -> bool {
        self.authentication.is_some() || context.secret.is_some()
    }

    fn kind(&self) -> AuthenticationKind {
        self.authentication.unwrap_or(AuthenticationKind::Signature)
    }

    /// Every key that is wrong by itself.
    pub fn check(&self) -> Vec<KeyError> {
        let limit = self.max_body.map(ByteSize::as_body_limit);
        let mut wrong: Vec<_> =
            limit.and_then(Result::err).map(|what| KeyError::of("max_body", what)).into_iter().collect();
        let by_certificate = self.kind() == AuthenticationKind::Certificate;
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
        wrong.extend(self.networks().err());
        match (&self.hook_url, self.kind() == AuthenticationKind::Keygen) {
            (Some(_), false) => {
                wrong.push(KeyError::of(
                    "hook_url",
                    "is only for `authentication = \"keygen\"`, whose signature covers it",
                ));
            }
            (_, true) => wrong.extend(self.host_and_target().err()),
            (None, false) => {}
        }
        let odd = |name: &&String| name.is_empty() || name.len() > 253 || !name.bytes().all(|b| b.is_ascii_graphic());
        if let Some(bad) = self.webhook_origins.0.iter().find(odd) {
            let what = format!("`{}` is no name as a sender states it", bad.escape_debug());
            wrong.push(KeyError::of("webhook_origins", what));
        }
        wrong
    }

    /// The networks that it posts from.
    fn networks(&self) -> Result<Vec<IpNet>, KeyError> {
        networks("addresses", &self.addresses)
    }

    /// The host, without a port, and the path with the query of the URL that it posts to.
    fn host_and_target(&self) -> Result<(String, String), KeyError> {
        let wrong = |what: &str| KeyError::of("hook_url", what);
        let text = self.hook_url.as_deref().ok_or_else(|| {
            wrong("say which URL the endpoint has, as in \"https://rollcall.example.com/hooks/keygen\": the signature covers it")
        })?;
        let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        let url = url.ok_or_else(|| wrong("a whole URL, as in \"https://rollcall.example.com/hooks/keygen\""))?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok((url.host_str().unwrap_or_default().to_owned(), format!("{}{query}", url.path())))
    }

    /// The hook of what it posts in this form.
    ///
    /// # Errors
    /// Its secret is missing, or is none.
    pub fn notifications(&self, context: &BuildContext<'_>, format: Format) -> Result<Notifications, Vec<KeyError>> {
        let authentication = self.authentication(context).map_err(|error| vec![error])?;
        let marks = authentication.marks();
        // What is wrong with them is told by the check.
        let addresses = self.networks().map_err(|_| Vec::new())?;
        let hook = Posted::new(authentication, format).only_from(addresses).allowing(self.webhook_origins.0.clone());
        let (certificates, max_body) = (self.certificates(), self.max_body);
        Ok(Notifications { hook: Arc::new(hook), marks, certificates, max_body })
    }

    /// Whether TLS must ask for a certificate.
    fn certificates(&self) -> Certificates {
        match self.kind() {
            AuthenticationKind::Certificate => Certificates::Demanded,
            AuthenticationKind::Signature
            | AuthenticationKind::Stripe
            | AuthenticationKind::Keygen
            | AuthenticationKind::Bearer
            | AuthenticationKind::Basic
            | AuthenticationKind::None => Certificates::Ignored,
        }
    }

    /// How its sender is known.
    ///
    /// # Errors
    /// Its secret is missing, or is none.
    fn authentication(&self, context: &BuildContext<'_>) -> Result<Authentication, KeyError> {
        let secret = context.secret.map(ExposeSecret::expose_secret);
        let missing = |text| Err(KeyError { at: Place::Source, text });
        let wrong = |text| KeyError { at: Place::Secret, text };
        let name = context.name.as_str();
        match (self.kind(), secret) {
            (AuthenticationKind::Signature, Some(text)) => {
                let secrets = Secrets::parse(text).map_err(|error| wrong(error.to_string()))?;
                Ok(Authentication::Signature(secrets))
            }
            (AuthenticationKind::Stripe, Some(text)) => {
                let secrets = StripeSecrets::parse(text).map_err(|error| wrong(error.to_string()))?;
                Ok(Authentication::Stripe(secrets))
            }
            (AuthenticationKind::Keygen, Some(text)) => {
                // What is wrong with the URL is told by the check.
                let (host, target) = self.host_and_target().unwrap_or_default();
                let keys = KeygenKeys::parse(text, &host, &target).map_err(|error| wrong(error.to_string()))?;
                Ok(Authentication::Keygen(keys))
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
            (AuthenticationKind::Stripe, None) => missing(format!(
                "the source has no secret. Copy the signing secret from the endpoint's page into the file {name}.secret (mode 600) and write `secret_file = \"{name}.secret\"`"
            )),
            (AuthenticationKind::Keygen, None) => missing(format!(
                "the source has no key. Copy the account's public key into the file {name}.key and write `secret_file = \"{name}.key\"`"
            )),
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
