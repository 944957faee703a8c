//! The envelope of an event and its hash: CloudEvents attributes plus what the log adds.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use crate::{Body, Digest, LogId, Position, SourceName};

/// The idempotency key, for ever: the source and the sender's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey {
    /// The configured name of the source.
    pub source: SourceName,
    /// The id that the sender gave, or that ingest derived.
    pub id: Arc<str>,
}

/// An event that is to be recorded. `kind`, `subject`, `time`, `sequence` and `data` are what a returning key is
/// compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Source and id.
    pub key: EventKey,
    /// The CloudEvents `type`, e.g. `rollcall.person.upserted.v1`.
    pub kind: Arc<str>,
    /// The thing, or the relation between two things, that the event is about.
    pub subject: Arc<str>,
    /// The sender's clock.
    pub time: Option<DateTime<Utc>>,
    /// The sender's version of the subject.
    pub sequence: Option<u64>,
    /// The sender's own CloudEvents `source`, kept but never trusted.
    pub origin: Option<Arc<str>>,
    /// What this event came with: a delivery, a run, a request.
    pub correlation: Option<Arc<str>>,
    /// W3C trace context of the request that brought it.
    pub traceparent: Option<Arc<str>>,
    /// JSON text: stored, hashed and replayed as it is.
    pub data: Arc<str>,
}

impl NewEvent {
    /// What a body says, under an id, and nothing beside it.
    #[must_use]
    pub fn of(source: SourceName, id: impl Into<Arc<str>>, body: &Body) -> Self {
        Self {
            key: EventKey { source, id: id.into() },
            kind: body.kind().into(),
            subject: body.subject().into(),
            time: None,
            sequence: None,
            origin: None,
            correlation: None,
            traceparent: None,
            data: body.data().into(),
        }
    }

    /// Whether from this event on time is counted by the machine's clock again, even if that goes back.
    #[must_use]
    pub fn mends_clock(&self) -> bool {
        self.key.source.is_local() && &*self.kind == "rollcall.log.clock.mended.v1"
    }

    /// What two events that share a key are compared by. What brought them (origin, correlation, trace) may differ.
    #[must_use]
    pub fn content(&self) -> Digest {
        let mut hash = Sha256::new();
        let (time, sequence) =
            (self.time.map(|t| t.timestamp_micros().to_be_bytes()), self.sequence.map(u64::to_be_bytes));
        let fields = [
            Some(self.kind.as_bytes()),
            Some(self.subject.as_bytes()),
            time.as_ref().map(|t| &t[..]),
            sequence.as_ref().map(|s| &s[..]),
            Some(self.data.as_bytes()),
        ];
        fields.into_iter().for_each(|field| add(&mut hash, field));
        Digest(hash.finalize().into())
    }

    /// How many bytes it is made of: what it costs to hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let optional = [&self.origin, &self.correlation, &self.traceparent];
        self.key.source.as_str().len()
            + self.key.id.len()
            + self.kind.len()
            + self.subject.len()
            + optional.into_iter().flatten().map(|text| text.len()).sum::<usize>()
            + self.data.len()
    }
}

/// A field with its length, so that no byte can move from one to the next; an absent one differs from an empty one.
fn add(hash: &mut Sha256, field: Option<&[u8]>) {
    match field {
        Some(bytes) => {
            hash.update((bytes.len() as u64 + 1).to_be_bytes());
            hash.update(bytes);
        }
        None => hash.update(0_u64.to_be_bytes()),
    }
}

/// An event with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Where it stands.
    pub position: Position,
    /// When the log took it; never decreases but at an event that mends the clock.
    pub recorded_at: DateTime<Utc>,
    /// What was recorded.
    pub event: NewEvent,
}

/// `hash_0`: what the first record is chained to.
#[must_use]
pub fn chain_start(log: LogId) -> Digest {
    Digest::of(&log.0)
}

/// `hash_n = sha256(hash_{n-1} || canonical record n)`.
///
/// Every attribute that is stored is in the hash, each with its length, so that no byte can move from one to the next
/// and none can be changed unseen; an absent attribute differs from an empty one.
#[must_use]
pub fn chain_step(previous: Digest, record: &Recorded) -> Digest {
    let Recorded { position, recorded_at, event } = record;
    let mut hash = Sha256::new();
    hash.update(previous.0);
    hash.update(position.0.to_be_bytes());
    hash.update(recorded_at.timestamp_micros().to_be_bytes());
    let mut field = |bytes| add(&mut hash, bytes);
    let time = event.time.map(|t| t.timestamp_micros().to_be_bytes());
    let sequence = event.sequence.map(u64::to_be_bytes);
    field(Some(event.key.source.as_str().as_bytes()));
    field(Some(event.key.id.as_bytes()));
    field(Some(event.kind.as_bytes()));
    field(Some(event.subject.as_bytes()));
    field(time.as_ref().map(|t| &t[..]));
    field(sequence.as_ref().map(|s| &s[..]));
    field(event.origin.as_deref().map(str::as_bytes));
    field(event.correlation.as_deref().map(str::as_bytes));
    field(event.traceparent.as_deref().map(str::as_bytes));
    field(Some(event.data.as_bytes()));
    Digest(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Recorded {
        Recorded {
            position: Position(1),
            recorded_at: DateTime::from_timestamp(1_767_225_600, 0).unwrap(),
            event: NewEvent {
                key: EventKey { source: "flexnet".parse().unwrap(), id: "e1".into() },
                kind: "rollcall.product.upserted.v1".into(),
                subject: "product/DB".into(),
                time: None,
                sequence: Some(7),
                origin: None,
                correlation: None,
                traceparent: None,
                data: r#"{"product":"DB"}"#.into(),
            },
        }
    }

    #[test]
    fn every_attribute_is_in_the_hash() {
        let start = chain_start(LogId([1; 8]));
        let base = chain_step(start, &record());
        let changes: [fn(&mut Recorded); 12] = [
            |r| r.position = Position(2),
            |r| r.recorded_at += chrono::Duration::microseconds(1),
            |r| r.event.key.source = "flexnet2".parse().unwrap(),
            |r| r.event.key.id = "e2".into(),
            |r| r.event.kind = "rollcall.product.removed.v1".into(),
            |r| r.event.subject = "product/DC".into(),
            |r| r.event.time = Some(r.recorded_at),
            |r| r.event.sequence = None,
            |r| r.event.origin = Some("".into()),
            |r| r.event.correlation = Some("".into()),
            |r| r.event.traceparent = Some("".into()),
            |r| r.event.data = "{}".into(),
        ];
        let mut seen = vec![base];
        for change in changes {
            let mut other = record();
            change(&mut other);
            let hash = chain_step(start, &other);
            assert!(!seen.contains(&hash), "{other:?}");
            seen.push(hash);
        }
        assert_ne!(base, chain_step(chain_start(LogId([2; 8])), &record()));
    }

    #[test]
    fn bytes_cannot_move_between_attributes() {
        let (mut a, mut b) = (record(), record());
        (a.event.key.id, a.event.kind) = ("ab".into(), "c".into());
        (b.event.key.id, b.event.kind) = ("a".into(), "bc".into());
        let start = chain_start(LogId([0; 8]));
        assert_ne!(chain_step(start, &a), chain_step(start, &b));
    }
}
