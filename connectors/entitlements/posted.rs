//! A source that posts, configured: who may have sent the bytes, and in which form they say what.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use rollcall_ingest::connector::{
    Found, Headers, Hook, MappedEvent, MappingError, Notification, Occasion, Rejection, SecretUse,
};

use crate::{Authentication, Mapping, authentication::HeadersCovered, content};

/// In which form a source says what it says.
pub enum Format {
    /// The canonical one: CloudEvents 1.0 in our own words.
    CloudEvents,
    /// A JSON of its own, mapped by rules. Nothing of a delivery but its body decides anything.
    Mapped(Mapping),
}

impl Format {
    /// What a body comes to, each part by itself, where no header of the call is believed.
    #[must_use]
    pub fn map(&self, headers: &Headers, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>> {
        self.map_covered(headers, body, None)
    }

    fn map_covered(
        &self,
        headers: &Headers,
        body: &[u8],
        covered: Option<HeadersCovered>,
    ) -> Vec<Result<MappedEvent, MappingError>> {
        let mut events = match self {
            Self::CloudEvents => content::map(headers, body, covered),
            Self::Mapped(mapping) => mapping.map(body),
        };
        // Covered by nothing, so it decides nothing: it is neither compared nor read again.
        let trace = headers.one("traceparent").ok().flatten();
        for event in events.iter_mut().flatten() {
            event.traceparent = event.traceparent.take().or_else(|| trace.map(str::to_owned));
        }
        events
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CloudEvents => f.write_str("CloudEvents"),
            Self::Mapped(mapping) => mapping.fmt(f),
        }
    }
}

/// The hook of a source that posts.
#[derive(Debug)]
pub struct Posted {
    authentication: Authentication,
    format: Format,
    /// The networks that it posts from; anywhere where there is none.
    addresses: Vec<IpNet>,
    /// Who may ask whether it may post here.
    origins: Vec<String>,
}

impl Posted {
    /// A hook that takes what comes from whoever shows this, in this form.
    #[must_use]
    pub fn new(authentication: Authentication, format: Format) -> Self {
        Self { authentication, format, addresses: Vec::new(), origins: Vec::new() }
    }

    /// It posts from these networks only.
    #[must_use]
    pub fn only_from(self, addresses: Vec<IpNet>) -> Self {
        Self { addresses, ..self }
    }

    /// Senders of these names are told that they may post (CloudEvents, HTTP webhooks).
    #[must_use]
    pub fn allowing(self, origins: Vec<String>) -> Self {
        Self { origins, ..self }
    }

    fn check_address(&self, occasion: Occasion<'_>) -> Result<(), Rejection> {
        match occasion {
            _ if self.addresses.is_empty() => Ok(()),
            Occasion::Arrival { sender, .. } => {
                let client = sender.client.map(|address: IpAddr| address.to_canonical());
                let known = client.is_some_and(|client| self.addresses.iter().any(|net| net.contains(&client)));
                if known { Ok(()) } else { Err(ADDRESS_UNKNOWN) }
            }
            Occasion::Replay(Found::Authentic) => Ok(()),
            Occasion::Replay(Found::Rejected) => Err(ADDRESS_NOT_KEPT),
        }
    }
}

impl Hook for Posted {
    fn keeps(&self, header: &str) -> bool {
        // The signature is kept too: a replay checks it again, and it is worth nothing after five minutes.
        const KEPT: [&str; 3] = ["content-type", "traceparent", "user-agent"];
        let canonical = matches!(self.format, Format::CloudEvents);
        KEPT.contains(&header) || (canonical && header.starts_with("ce-")) || self.authentication.keeps(header)
    }

    fn verify(&self, headers: &Headers, body: &[u8], occasion: Occasion<'_>) -> Result<(), Rejection> {
        self.check_address(occasion)?;
        self.authentication.verify(headers, body, occasion)
    }

    fn notification(&self, headers: &Headers, body: &[u8]) -> Option<Notification> {
        self.authentication.notification(headers, body)
    }

    fn is_signed(&self, headers: &Headers, body: &[u8]) -> bool {
        self.authentication.verify(headers, body, Occasion::Replay(Found::Rejected)).is_ok()
    }

    fn secrets(&self) -> Vec<SecretUse> {
        self.authentication.uses()
    }

    fn recall(&self, uses: &[SecretUse]) {
        self.authentication.recall(uses);
    }

    fn is_slow(&self) -> bool {
        matches!(self.format, Format::Mapped(_))
    }

    fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|known| known.eq_ignore_ascii_case(origin))
    }

    fn map(&self, headers: &Headers, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>> {
        self.format.map_covered(headers, body, self.authentication.covers_headers(headers))
    }
}

const ADDRESS_UNKNOWN: Rejection = Rejection {
    reason: "address-unknown",
    hint: "the source posts from none of its `addresses`; behind a proxy the server must know it (`server.trusted_proxies`)",
};
const ADDRESS_NOT_KEPT: Rejection = Rejection {
    reason: "not-kept",
    hint: "it was rejected when it arrived, and the source is known by its address then: have it sent again",
};
