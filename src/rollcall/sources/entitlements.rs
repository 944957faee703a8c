//! Entitlement systems that post notifications: the keys of such a source, made into its hook.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rollcall_entitlements::{Authentication, CloudEvents, Secrets, Tokens};
use rollcall_events::Order;
use rollcall_ingest::connector::Hook;
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::{
    sources::{BuildContext, Certificates, KeyError, Notifications, Place, Source, SourceConfig},
    values::{ByteSize, StringList},
};

/// A licensing system that posts notifications to `/hooks/NAME`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Entitlements {
    /// How it writes its notifications.
    format: Format,
    /// How whoever posts shows to be the source: `signature` signs each body, `bearer` sends a token, `certificate` shows a
    /// client certificate.
    authentication: AuthenticationKind,
    /// The names, DNS or URI, of which the client certificate must have one. Only with `authentication = "certificate"`.
    client_names: StringList,
    /// What says which of two facts about one subject is newer: `version` (its own number), `time` (its clock) or
    /// `observed` (the order of arrival). Fixed with the first fact.
    order: Order,
    /// A file with the secret that signs its notifications, `whsec_` and base64, or with its bearer token; previous ones on
    /// the lines after it. Relative to the configuration file. In the environment also as a value: `ROLLCALL__SOURCE__NAME__SECRET`.
    secret_file: Option<PathBuf>,
    /// The largest notification. When absent, `server.max_body`.
    max_body: Option<ByteSize>,
    /// Whether a person whom it calls inactive is shut out altogether, not only of what this source gives.
    authoritative: bool,
}

/// How a source writes its notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Format {
    /// CloudEvents 1.0 in Rollcall's own vocabulary.
    Cloudevents,
}

/// How whoever posts shows to be the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AuthenticationKind {
    /// By a signature of each body.
    Signature,
    /// By a token in `Authorization`.
    Bearer,
    /// By a client certificate.
    Certificate,
}

impl Default for Entitlements {
    fn default() -> Self {
        Self {
            format: Format::Cloudevents,
            authentication: AuthenticationKind::Signature,
            client_names: StringList::default(),
            order: Order::Version,
            secret_file: None,
            max_body: None,
            authoritative: false,
        }
    }
}

impl SourceConfig for Entitlements {
    fn order(&self) -> Order {
        self.order
    }

    fn authoritative(&self) -> bool {
        self.authoritative
    }

    fn states_entitlements(&self) -> bool {
        true
    }

    fn secret_file(&self) -> Option<&Path> {
        self.secret_file.as_deref()
    }

    fn check(&self) -> Vec<KeyError> {
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

    fn build(&self, context: &BuildContext<'_>) -> Result<Source, Vec<KeyError>> {
        let authentication = self.authentication(context).map_err(|error| vec![error])?;
        let marks = authentication.marks();
        let certificates = match self.authentication {
            AuthenticationKind::Certificate => Certificates::Demanded,
            AuthenticationKind::Signature | AuthenticationKind::Bearer => Certificates::Ignored,
        };
        let hook: Arc<dyn Hook> = match self.format {
            Format::Cloudevents => Arc::new(CloudEvents::new(authentication)),
        };
        let notifications = Notifications { hook, marks, certificates, max_body: self.max_body };
        Ok(Source { hook: Some(notifications), ..Source::default() })
    }
}

impl Entitlements {
    fn authentication(&self, context: &BuildContext<'_>) -> Result<Authentication, KeyError> {
        let secret = context.secret.map(ExposeSecret::expose_secret);
        let missing = |text| KeyError { at: Place::Source, text };
        let wrong = |text| KeyError { at: Place::Secret, text };
        match (self.authentication, secret) {
            (AuthenticationKind::Signature, Some(text)) => {
                let secrets = Secrets::parse(text).map_err(|error| wrong(error.to_string()))?;
                Ok(Authentication::Signature(secrets))
            }
            (AuthenticationKind::Bearer, Some(text)) => {
                let tokens = Tokens::parse(text).map_err(|error| wrong(error.to_string()))?;
                Ok(Authentication::Bearer(tokens))
            }
            (AuthenticationKind::Certificate, None) => Ok(Authentication::Certificate(self.client_names.0.clone())),
            (AuthenticationKind::Certificate, Some(_)) => {
                Err(wrong("a source that shows a certificate has no secret; take it away".to_owned()))
            }
            (AuthenticationKind::Signature, None) => Err(missing(no_secret(context.name.as_str(), "whsec_"))),
            (AuthenticationKind::Bearer, None) => Err(missing(no_secret(context.name.as_str(), ""))),
        }
    }
}

/// What to do about a secret that is missing, with a shell line that makes one.
fn no_secret(name: &str, prefix: &str) -> String {
    format!(
        "the source has no secret. Make one with `(umask 077; echo {prefix}$(head -c 32 /dev/urandom | base64) > {name}.secret)` and write `secret_file = \"{name}.secret\"`"
    )
}
