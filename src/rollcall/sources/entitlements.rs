//! Entitlement systems that post notifications in the canonical form: the keys of such a source, made into its hook.

use std::path::Path;

use rollcall_entitlements::Format as PostedFormat;
use rollcall_events::Order;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sources::{BuildContext, KeyError, Source, SourceConfig, senders::Sender};

/// A licensing system that posts notifications to `/hooks/NAME`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Entitlements {
    /// How it writes its notifications.
    format: Format,
    /// Who posts.
    #[serde(flatten)]
    sender: Sender,
    /// What says which of two facts about one subject is newer: `version` (its own number), `time` (its clock) or
    /// `observed` (the order of arrival). Fixed with the first fact.
    order: Order,
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
        Self { format: Format::Cloudevents, sender: Sender::default(), order: Order::Version, authoritative: false }
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
        self.sender.secret_file()
    }

    fn check(&self) -> Vec<KeyError> {
        self.sender.check()
    }

    fn format(&self) -> Option<Result<PostedFormat, Vec<KeyError>>> {
        let Format::Cloudevents = self.format;
        Some(Ok(PostedFormat::CloudEvents))
    }

    fn build(&self, context: &BuildContext<'_>) -> Result<Source, Vec<KeyError>> {
        let Format::Cloudevents = self.format;
        let notifications = self.sender.notifications(context, PostedFormat::CloudEvents)?;
        Ok(Source { hook: Some(notifications), ..Source::default() })
    }
}
