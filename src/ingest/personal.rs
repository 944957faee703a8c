//! Personal data of people: kept beside the log, where it can be erased, and never in it.

use chrono::{DateTime, Utc};
use rollcall_events::{Id, size};

/// Personal data of a person: kept beside the log, never in it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PersonalData {
    /// The e-mail address.
    pub email: Option<String>,
    /// The display name.
    pub name: Option<String>,
}

impl PersonalData {
    /// What of it is no longer than may be kept. Of an address a part would be another's; a name is for people to read.
    #[must_use]
    pub(crate) fn fitting(self) -> Self {
        Self {
            email: self.email.filter(|email| email.chars().count() <= size::EMAIL),
            name: self.name.map(|name| size::clipped(name, size::DISPLAY_NAME)),
        }
    }
}

/// Not for printing.
impl std::fmt::Debug for PersonalData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names(***)")
    }
}

/// E-mail and display name of a person. Lives beside the log, where it can be erased.
#[derive(Clone, PartialEq, Eq)]
pub struct Personal {
    /// The person, in the source of the delivery.
    pub person: Id,
    /// The e-mail address.
    pub email: Option<String>,
    /// The display name.
    pub name: Option<String>,
    /// Sorts as the source orders its events, so that a late delivery does not bring an old address back.
    pub order_key: String,
}

/// Not for printing.
impl std::fmt::Debug for Personal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Personal({}, ***)", self.person)
    }
}

/// A time as a key that sorts like it.
pub(crate) fn micros(time: DateTime<Utc>) -> String {
    format!("{:020}", time.timestamp_micros().max(0))
}
