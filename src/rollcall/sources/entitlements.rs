//! Entitlement systems that post signed notifications: the keys of such a source, made into its hook.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rollcall_entitlements::{CloudEvents, Secrets};
use rollcall_events::Order;
use rollcall_ingest::connector::Hook;
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::{
    sources::{BuildContext, KeyError, Notifications, Place, Source, SourceConfig},
    values::ByteSize,
};

/// A licensing system that posts signed notifications to `/hooks/NAME`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Entitlements {
    /// How it writes its notifications.
    format: Format,
    /// What says which of two facts about one subject is newer: `version` (its own number), `time` (its clock) or
    /// `observed` (the order of arrival). Fixed with the first fact.
    order: Order,
    /// A file with the secret that signs its notifications, `whsec_` and base64, previous ones on the lines after it.
    /// Relative to the configuration file. In the environment also as a value: `ROLLCALL__SOURCE__NAME__SECRET`.
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

impl Default for Entitlements {
    fn default() -> Self {
        Self {
            format: Format::Cloudevents,
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
        limit.and_then(Result::err).map(|what| KeyError::of("max_body", what)).into_iter().collect()
    }

    fn build(&self, context: &BuildContext<'_>) -> Result<Source, Vec<KeyError>> {
        let secrets = match context.secret {
            None => Err(KeyError { at: Place::Source, text: no_secret(context.name.as_str()) }),
            Some(secret) => Secrets::parse(secret.expose_secret())
                .map_err(|error| KeyError { at: Place::Secret, text: error.to_string() }),
        };
        let secrets = secrets.map_err(|error| vec![error])?;
        let hook: Arc<dyn Hook> = match self.format {
            Format::Cloudevents => Arc::new(CloudEvents::new(secrets)),
        };
        Ok(Source { hook: Some(Notifications { hook, max_body: self.max_body }), ..Source::default() })
    }
}

/// What to do about a secret that is missing, with a shell line that makes one.
fn no_secret(name: &str) -> String {
    format!(
        "the source has no secret. Make one with `(umask 077; echo whsec_$(head -c 32 /dev/urandom | base64) > {name}.secret)` and write `secret_file = \"{name}.secret\"`"
    )
}
