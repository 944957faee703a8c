//! Mappings that come with Rollcall: files that say what a well-known system's notifications mean, as a configuration would.

use rollcall_events::Order;
use serde::Deserialize;

use super::RuleText;

/// Each by its name, as text.
pub const SHIPPED: [(&str, &str); 3] = [
    ("flexnet", include_str!("../shipped/flexnet.toml")),
    ("keygen", include_str!("../shipped/keygen.toml")),
    ("stripe", include_str!("../shipped/stripe.toml")),
];

/// What such a file says: the keys of a source that is mapped.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShippedMapping {
    /// What the source's facts are ordered by.
    pub order: Option<Order>,
    /// The zone in which its days begin and end.
    pub time_zone: Option<String>,
    /// Expressions that are true of every body.
    pub require: Vec<String>,
    /// Where in a body texts are that hold JSON themselves.
    pub json_texts: Vec<String>,
    /// The sender's id of a notification.
    pub id: Option<String>,
    /// The instant that orders facts.
    pub time: Option<String>,
    /// The number that orders facts.
    pub sequence: Option<String>,
    /// The rules.
    pub map: Vec<RuleText>,
}

impl ShippedMapping {
    /// The one of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (_, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
        // Each is read by a test.
        toml::from_str(text).ok()
    }
}
