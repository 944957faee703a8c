//! A source that calls us: which bytes are its own, and the events in them. Both are pure. What an event may say is checked
//! by `delivery/validate.rs`, the same for every format.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::connector::{Headers, Problem};

/// A source that posts, configured: its format, and how whoever posts shows to be it.
pub trait Hook: Send + Sync + 'static {
    /// Whether a header (lower case) is kept with the delivery. Name what `verify` and `map` read and nothing that is a
    /// credential by itself.
    fn keeps(&self, header: &str) -> bool;

    /// Whether the delivery is the source's own.
    ///
    /// # Errors
    /// A reason word and what to do, for the 401.
    fn verify(&self, headers: &Headers, body: &[u8], occasion: Occasion<'_>) -> Result<(), Rejection>;

    /// The secrets that it takes, the current one first, and when each was last used. None where it has no secrets.
    fn secrets(&self) -> Vec<SecretUse> {
        Vec::new()
    }

    /// Takes over when secrets that it has too were last used, from the hook in whose place it comes.
    fn recall(&self, uses: &[SecretUse]) {
        let _ = uses;
    }

    /// Whether mapping may take long whatever the length of a body: then it is done off the threads that answer.
    fn is_slow(&self) -> bool {
        false
    }

    /// The notification that a delivery is, where its signature tells it from any other.
    fn notification(&self, headers: &Headers, body: &[u8]) -> Option<Notification> {
        let _ = (headers, body);
        None
    }

    /// Whether its sender signed what was refused, whenever that was and whatever else is asked for of what arrives.
    fn is_signed(&self, headers: &Headers, body: &[u8]) -> bool;

    /// Whether a sender of this name that asks may post here (CloudEvents, HTTP webhooks, section 3).
    fn allows(&self, origin: &str) -> bool {
        let _ = origin;
        false
    }

    /// Takes an authentic delivery apart, each part by itself: one that cannot be read does not touch its neighbours.
    /// What decides anything is read only from what `verify` covered.
    fn map(&self, headers: &Headers, body: &[u8]) -> Vec<Result<MappedEvent, MappingError>>;
}

/// What a sender calls a notification, under its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its id: the same however often it is sent.
    pub id: String,
    /// When it was signed.
    pub signed_at: DateTime<Utc>,
}

/// A secret of a rotation, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretUse {
    /// Tells it from others: a hash under the secret itself, of which nothing can be found out.
    pub fingerprint: String,
    /// When a delivery was last good under it.
    pub last_used: Option<DateTime<Utc>>,
}

/// When a delivery is looked at.
#[derive(Clone, Copy)]
pub enum Occasion<'a> {
    /// It arrives.
    Arrival {
        /// Now.
        now: DateTime<Utc>,
        /// What it shows of its sender.
        sender: Sender<'a>,
    },
    /// It was stored and is replayed: it was fresh when it arrived, and what it showed of its sender is gone.
    Replay(Found),
}

/// What an arriving call shows of its sender and is never kept with the delivery.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// Every header of the call.
    pub headers: &'a http::HeaderMap,
    /// Where it comes from.
    pub client: Option<IpAddr>,
    /// The certificate that the client showed on its connection.
    pub certificate: Option<&'a dyn ClientCertificate>,
}

/// What was found when a stored delivery arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It was the source's own.
    Authentic,
    /// It was not.
    Rejected,
}

/// A certificate that a client showed when it connected. It proved then that it has the key; whether anybody vouches for
/// it is asked here.
pub trait ClientCertificate: Send + Sync {
    /// The names in it, if an authority that the server trusts signed it and it is in force.
    fn names(&self, now: DateTime<Utc>) -> Option<Vec<String>>;
}

/// Why a delivery is not the source's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{hint}")]
pub struct Rejection {
    /// A word such as `signature-mismatch`; one of a bounded set.
    pub reason: &'static str,
    /// What the sender can do.
    pub hint: &'static str,
}

/// What a sender gives to tell what comes again by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SenderId {
    /// Nothing: an event is known by what it says.
    #[default]
    None,
    /// An id of the event.
    OfEvent(String),
    /// An id of the notification, in which there may be several events: each is known by it, its type and its subject.
    OfNotification(String),
}

impl SenderId {
    /// The id as the sender writes it.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::OfEvent(id) | Self::OfNotification(id) => Some(id),
        }
    }
}

/// One event of a source, mapped and not yet validated. All ids are the source's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MappedEvent {
    /// The sender's id.
    pub id: SenderId,
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
    /// The minor version of its type that the sender states to speak, 0 where it states none: what is unknown in a later one
    /// than ours is passed over, in any other it is a mistake.
    pub minor: u32,
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
