#![doc = include_str!("README.md")]

mod cloudevents;
mod content;
#[cfg(test)]
mod flow_tests;
#[cfg(test)]
mod format_tests;
mod secrets;
mod signature;

use rollcall_ingest::connector::{Headers, Hook, MappedEvent, MappingError, Rejection, TimestampCheck};

pub use secrets::{SecretError, Secrets};

/// The canonical form: CloudEvents 1.0 under Standard Webhooks signatures (`format = "cloudevents"`).
#[derive(Debug)]
pub struct CloudEvents {
    secrets: Secrets,
}

impl CloudEvents {
    /// A hook that takes what is signed with one of these secrets.
    #[must_use]
    pub fn new(secrets: Secrets) -> Self {
        Self { secrets }
    }
}

impl Hook for CloudEvents {
    fn keeps(&self, header: &str) -> bool {
        // The signature is kept too: a replay checks it again, and it is worth nothing after five minutes.
        const KEPT: [&str; 6] =
            ["content-type", "traceparent", "user-agent", signature::ID, signature::TIMESTAMP, signature::SIGNATURE];
        KEPT.contains(&header) || header.starts_with("ce-")
    }

    fn verify(&self, headers: &Headers, body: &[u8], age: TimestampCheck) -> Result<(), Rejection> {
        signature::verify(&self.secrets, headers, body, age)
    }

    fn map(&self, headers: &Headers, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>> {
        content::map(headers, body)
    }
}
