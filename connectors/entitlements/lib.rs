#![doc = include_str!("README.md")]

mod authentication;
mod cloudevents;
mod content;
#[cfg(test)]
mod flow_tests;
#[cfg(test)]
mod format_tests;
mod mapped;
mod mapping;
mod marks;
mod rotation;
mod secrets;
mod signature;
mod tokens;

use rollcall_ingest::connector::{
    Headers, Hook, MappedEvent, MappingError, Notification, Occasion, Rejection, SecretUse,
};

pub use authentication::Authentication;
pub use mapped::Mapped;
pub use mapping::{Mapping, MappingMistake, MappingText, RuleText};
pub use marks::SecretMark;
pub use secrets::{SecretError, Secrets};
pub use tokens::{TokenError, Tokens};

/// The canonical form: CloudEvents 1.0 (`format = "cloudevents"`).
#[derive(Debug)]
pub struct CloudEvents {
    authentication: Authentication,
}

impl CloudEvents {
    /// A hook that takes what comes from whoever shows this.
    #[must_use]
    pub fn new(authentication: Authentication) -> Self {
        Self { authentication }
    }
}

impl Hook for CloudEvents {
    fn keeps(&self, header: &str) -> bool {
        // The signature is kept too: a replay checks it again, and it is worth nothing after five minutes.
        const KEPT: [&str; 3] = ["content-type", "traceparent", "user-agent"];
        KEPT.contains(&header) || header.starts_with("ce-") || self.authentication.keeps(header)
    }

    fn verify(&self, headers: &Headers, body: &[u8], occasion: Occasion<'_>) -> Result<(), Rejection> {
        self.authentication.verify(headers, body, occasion)
    }

    fn notification(&self, headers: &Headers) -> Option<Notification> {
        self.authentication.notification(headers)
    }

    fn secrets(&self) -> Vec<SecretUse> {
        self.authentication.uses()
    }

    fn recall(&self, uses: &[SecretUse]) {
        self.authentication.recall(uses);
    }

    fn map(&self, headers: &Headers, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>> {
        content::map(headers, body, self.authentication.covers_headers(headers))
    }
}
