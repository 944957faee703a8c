//! Personal data: e-mail and display name, kept here and nowhere else, and how they are erased. No SQL.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::{Id, SourceName};
use serde::Serialize;

use super::OpsError;

/// The personal data of one person.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PersonalRow {
    /// The source that knows the person.
    pub source: String,
    /// The source's id of the person.
    pub person: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The display name.
    pub name: Option<String>,
}

/// Not for printing.
impl std::fmt::Debug for PersonalRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PersonalRow({}/{}, ***)", self.source, self.person)
    }
}

/// The personal data of people.
#[async_trait]
pub trait PersonRecords: Send + Sync + 'static {
    /// What is known of these persons, those of whom nothing is known left out.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn personal_data(&self, persons: &[(SourceName, Id)]) -> Result<Vec<PersonalRow>, OpsError>;

    /// The people who have one e-mail address with others, those of one address together: of so many addresses at most, those
    /// whose first person, `source/person`, comes after one.
    ///
    /// # Errors
    /// As [`OpsError`].
    async fn shared_addresses(&self, after: &str, limit: u32) -> Result<Vec<Vec<PersonalRow>>, OpsError>;

    /// Erases the personal data of a person, and with it the bytes of every kept delivery of the source that is about
    /// the person or holds the id or the e-mail. Those can no longer be replayed. Returns how many they were.
    /// What the source sends later is kept again.
    ///
    /// # Errors
    /// As [`OpsError`]; erase again, it is safe.
    async fn erase(&self, source: &SourceName, person: &Id, now: DateTime<Utc>) -> Result<u64, OpsError>;
}
