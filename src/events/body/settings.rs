//! The settings that change an answer. They are an event (`settings.set`) like every other fact, so that
//! the fold and the decision read the log and nothing else.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Author;
use crate::{SourceName, size};

/// The whole effective document of `settings.set`. Appended at a start where it differs from what the log says and changes
/// nobody's access, else when somebody applies it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The role of producer people (rule 2). The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = size::WORD))]
    pub producer_role: Option<String>,
    /// The role of entitled customers (rule 3). The profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = size::WORD))]
    pub consumer_role: Option<String>,
    /// Whether an entitlement reaches the sub-accounts of its account too.
    #[serde(default)]
    pub customer_sub_accounts: bool,
    /// Whether people whose only reasons are entitlements may list others.
    #[serde(default)]
    pub customers_see_each_other: bool,
    /// Whether direct bindings on managed projects are allowed.
    #[serde(default)]
    pub bindings_on_managed: bool,
    /// Names of projects that people may not take, `*` for any characters: they are kept for packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = size::LIST), inner(length(max = size::WORD)))]
    pub reserved_names: Vec<String>,
    /// The profile's switches (push policy and the like) by name.
    #[serde(default)]
    #[schemars(extend(
        "maxProperties" = 256,
        "propertyNames" = {"type": "string", "maxLength": 256},
        "additionalProperties" = {"type": "string", "maxLength": 256}
    ))]
    pub switches: BTreeMap<String, String>,
    /// Every source that was ever configured.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 10_000, "propertyNames" = {"type": "string", "maxLength": 63}))]
    pub sources: BTreeMap<SourceName, SourceSettings>,
    /// Who applied them; absent where a start recorded what changed nobody's access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
}

/// What the fold must know of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// How two events of one subject are ordered.
    pub order: Order,
    /// Whether an inactive person of this source shuts the whole user out.
    #[serde(default)]
    pub authoritative: bool,
}

/// How a source orders the events of one subject. Never mixed within a source (DESIGN 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// By the CloudEvents attribute `sequence`.
    Version,
    /// By the CloudEvents attribute `time`, the source's clock.
    Time,
    /// By the log position: each event is the result of a read.
    Observed,
}

impl Order {
    /// The word for it, here and in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Time => "time",
            Self::Observed => "observed",
        }
    }
}
