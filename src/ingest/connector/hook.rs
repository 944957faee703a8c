//! A source that calls us: which bytes are its own, and the events in them. Both are pure. What an event may say is checked
//! by `delivery/validate.rs`, the same for every format.

use chrono::{DateTime, Utc};

use crate::connector::{Headers, Problem};

/// A source that posts, configured: its format and its secrets.
pub trait Hook: Send + Sync + 'static {
    /// Whether a header (lower case) is kept with the delivery. Name what `verify` and `map` read and nothing that is a
    /// credential by itself.
    fn keeps(&self, header: &str) -> bool;

    /// Whether the raw bytes are the source's own.
    ///
    /// # Errors
    /// A reason word and what to do, for the 401.
    fn verify(&self, headers: &Headers, body: &[u8], age: TimestampCheck) -> Result<(), Rejection>;

    /// Takes authentic bytes apart, each part by itself: one that cannot be read does not touch its neighbours.
    fn map(&self, headers: &Headers, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>>;
}

/// Whether the signed time is compared with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampCheck {
    /// The delivery arrives now, at this instant.
    Against(DateTime<Utc>),
    /// A stored delivery is replayed: it was fresh when it arrived.
    Skip,
}

/// Why bytes are not the source's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{hint}")]
pub struct Rejection {
    /// A word such as `signature-mismatch`; one of a bounded set.
    pub reason: &'static str,
    /// What the sender can do.
    pub hint: &'static str,
}

/// One event of a source, mapped and not yet validated. All ids are the source's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappedEvent {
    /// The sender's id of the event.
    pub id: String,
    /// The event type, e.g. `rollcall.person.upserted.v1`.
    pub kind: String,
    /// The subject, where the format states it.
    pub subject: Option<String>,
    /// The source's clock.
    pub time: Option<DateTime<Utc>>,
    /// The source's version of the subject.
    pub sequence: Option<u64>,
    /// The sender's own CloudEvents `source`.
    pub origin: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// JSON text, still with `personal` in it.
    pub data: String,
}

/// A part that could not be read, with what could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingError {
    /// The event's id, if it was found.
    pub id: Option<String>,
    /// The event's type, if it was found.
    pub kind: Option<String>,
    /// Why it could not be read.
    pub problem: Problem,
}

impl From<Problem> for MappingError {
    fn from(problem: Problem) -> Self {
        Self { id: None, kind: None, problem }
    }
}
