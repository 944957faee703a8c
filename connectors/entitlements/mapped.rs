//! A source that speaks a JSON of its own: what its mapping makes of it.

use rollcall_ingest::connector::{
    Headers, Hook, MappedEvent, MappingError, Notification, Occasion, Rejection, SecretUse,
};

use crate::{Authentication, Mapping};

/// Any JSON, mapped by rules (`kind = "mapped"`). Nothing of a delivery but its body decides anything.
#[derive(Debug)]
pub struct Mapped {
    authentication: Authentication,
    mapping: Mapping,
}

impl Mapped {
    /// A hook that takes what comes from whoever shows this, and maps it so.
    #[must_use]
    pub fn new(authentication: Authentication, mapping: Mapping) -> Self {
        Self { authentication, mapping }
    }
}

impl Hook for Mapped {
    fn keeps(&self, header: &str) -> bool {
        ["content-type", "traceparent", "user-agent"].contains(&header) || self.authentication.keeps(header)
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

    fn is_slow(&self) -> bool {
        true
    }

    fn map(&self, headers: &Headers, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>> {
        let mut events = self.mapping.map(body);
        // Covered by nothing, so it decides nothing: it is neither compared nor read again.
        let trace = headers.one("traceparent").ok().flatten();
        for event in events.iter_mut().flatten() {
            event.traceparent = trace.map(str::to_owned);
        }
        events
    }
}
