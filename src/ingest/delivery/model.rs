//! One inbound call and its parts, as they are kept. A delivery outlives whatever became of it.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};
use rollcall_events::{InvalidName, Position, SourceName, prefixed_id};
use serde::Serialize;

use crate::connector::{Headers, Notification, Problem};

/// The id of a delivery, `dlv_` and a UUIDv7: sorts by arrival.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DeliveryId(Arc<str>);

impl DeliveryId {
    /// An id for a delivery that arrives now.
    #[must_use]
    pub fn new(now: DateTime<Utc>, random: [u8; 10]) -> Self {
        Self(prefixed_id("dlv", now, random).into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as shared text.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl FromStr for DeliveryId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match text.strip_prefix("dlv_") {
            Some(rest) if rest.len() == 32 && rest.bytes().all(hex) => Ok(Self(text.into())),
            _ => Err(InvalidName("a delivery's id is `dlv_` and 32 of 0-9 and a-f".into())),
        }
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One inbound call, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, also the correlation of every event that it brought.
    pub id: DeliveryId,
    /// Whose hook was called.
    pub source: SourceName,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// Who called.
    pub client: Option<IpAddr>,
    /// The headers that its hook keeps.
    pub headers: Headers,
    /// The raw bytes.
    pub body: Bytes,
    /// What its sender signed of the notification that it is.
    pub notification: Option<Notification>,
}

/// When a delivery was sent. Like is compared with like: the sender's clock may be another than ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Sorts by arrival.
    pub id: DeliveryId,
    /// By our clock.
    pub received_at: DateTime<Utc>,
    /// By the sender's clock.
    pub signed_at: Option<DateTime<Utc>>,
    /// Whether it was refused when it arrived: then it may have been on its way for long, or have been kept back by
    /// somebody.
    pub refused: bool,
}

impl Sent {
    pub(crate) fn of(delivery: &Delivery, refused: bool) -> Self {
        let signed_at = delivery.notification.as_ref().map(|of| of.signed_at);
        Self { id: delivery.id.clone(), received_at: delivery.received_at, signed_at, refused }
    }

    /// Of a delivery that is not kept any more: its id tells when it arrived.
    pub(crate) fn forgotten(id: DeliveryId) -> Self {
        Self { id, received_at: DateTime::UNIX_EPOCH, signed_at: None, refused: false }
    }

    /// Of what was taken when it came the order of arrival is the order. What was refused counts as of when it was signed;
    /// where it came later than that, before whatever else was signed in the same second.
    pub(crate) fn is_after(&self, other: &Self) -> bool {
        let late = |sent: &Self, said: DateTime<Utc>| sent.refused && sent.received_at.trunc_subsecs(0) > said;
        match (self.said_at(), other.said_at()) {
            (Some(mine), Some(theirs)) if self.refused || other.refused => {
                (mine, !late(self, mine), &self.id) > (theirs, !late(other, theirs), &other.id)
            }
            _ => self.counted() > other.counted(),
        }
    }

    /// By whichever clock is behind: nothing that was said later was recorded before.
    pub(crate) fn at(&self) -> DateTime<Utc> {
        self.said_at().filter(|_| self.refused).unwrap_or(self.received_at)
    }

    /// When it was signed; by a clock that is ahead of ours, when it arrived. In whole seconds, as senders sign: what arrived in
    /// the same second as something else was signed is not later.
    fn said_at(&self) -> Option<DateTime<Utc>> {
        self.signed_at.map(|signed| signed.min(self.received_at).trunc_subsecs(0))
    }

    /// Where it stands among those of which it is not known when they were signed.
    fn counted(&self) -> DeliveryId {
        match self.signed_at {
            Some(signed) if self.refused && signed < self.received_at => DeliveryId::new(signed, [0; 10]),
            _ => self.id.clone(),
        }
    }
}

/// Bodies hold personal data, so they are not for printing.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("source", &self.source)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// One event of a delivery and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The sender's id of the event, if it was found.
    pub id: Option<String>,
    /// The event type, if it was found.
    pub kind: Option<String>,
    /// The subject; absent for a part that was not understood.
    pub subject: Option<String>,
    /// What became of it.
    pub state: PartState,
}

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartState {
    /// On its way to the log. Only a crash leaves it so, and the next start goes on with it.
    Pending,
    /// New, at this position.
    Recorded(Position),
    /// The log had it, same bytes, at this position.
    Duplicate(Position),
    /// The log has other bytes under this id, at this position. Nothing was recorded.
    Conflict(Position),
    /// Not appended: it arrived before what the source said of its subject at this position.
    Superseded(Position),
    /// Not appended, because of this.
    Quarantined(Problem),
    /// The log took nothing; the sender was told to come again.
    Unrecorded,
}

impl PartState {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Recorded(_) => "recorded",
            Self::Duplicate(_) => "duplicate",
            Self::Conflict(_) => "conflict",
            Self::Superseded(_) => "superseded",
            Self::Quarantined(_) => "quarantined",
            Self::Unrecorded => "unrecorded",
        }
    }

    /// Where the log has the event, or what takes its place.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Recorded(at) | Self::Duplicate(at) | Self::Conflict(at) | Self::Superseded(at) => Some(*at),
            Self::Pending | Self::Quarantined(_) | Self::Unrecorded => None,
        }
    }
}

/// What became of a delivery, in one word: the worst that became of any of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Not authentic; nothing was read.
    Rejected,
    /// On its way to the log.
    Pending,
    /// The log took nothing; the sender was told to come again.
    Unrecorded,
    /// Some part is in quarantine.
    Quarantined,
    /// Some part reuses an id with other bytes.
    Conflict,
    /// Something new was recorded.
    Recorded,
    /// Nothing new: all of it was known, or older than what was said since.
    Duplicate,
    /// Nothing is said in it: it is empty, or the source's mapping knows it and says that it means nothing.
    Ignored,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: &'static [Self] = &[
        Self::Rejected,
        Self::Pending,
        Self::Unrecorded,
        Self::Quarantined,
        Self::Conflict,
        Self::Recorded,
        Self::Duplicate,
        Self::Ignored,
    ];

    /// The verdict over these parts.
    #[must_use]
    pub fn of<'a>(parts: impl Iterator<Item = &'a PartState> + Clone) -> Self {
        let any = |wanted: fn(&PartState) -> bool| parts.clone().any(wanted);
        if any(|state| matches!(state, PartState::Pending)) {
            Self::Pending
        } else if any(|state| matches!(state, PartState::Unrecorded)) {
            Self::Unrecorded
        } else if any(|state| matches!(state, PartState::Quarantined(_))) {
            Self::Quarantined
        } else if any(|state| matches!(state, PartState::Conflict(_))) {
            Self::Conflict
        } else if any(|state| matches!(state, PartState::Recorded(_))) {
            Self::Recorded
        } else if parts.clone().next().is_some() {
            Self::Duplicate
        } else {
            Self::Ignored
        }
    }

    /// The word for it; also the label of the metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Pending => "pending",
            Self::Unrecorded => "unrecorded",
            Self::Quarantined => "quarantined",
            Self::Conflict => "conflict",
            Self::Recorded => "recorded",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
        }
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|known| known.as_str()).collect();
            format!("`{}` is not a verdict; one of {}", text.escape_debug(), words.join(", "))
        })
    }
}

/// What became of many replayed deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// How many deliveries were gone over.
    pub deliveries: usize,
    /// How many events are new in the log.
    pub recorded: usize,
    /// How many parts are in quarantine still.
    pub quarantined: usize,
    /// Deliveries that could not be gone over, and why.
    pub failed: Vec<(DeliveryId, String)>,
}
