//! Puts what waits to be appended in order: drops duplicates and conflicts, gives what is new its position and time and
//! chains the hashes. Pure: touches no storage and no clock.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rollcall_events::{Digest, EventKey, NewEvent, Position, Recorded, chain_step};

use crate::{Head, Outcome};

/// What a group of batches becomes.
pub(crate) struct Sequenced {
    /// One list per batch, one outcome per event.
    pub outcomes: Vec<Vec<Outcome>>,
    /// What is new, in log order.
    pub new: Vec<Recorded>,
    /// The chain's hash after each of `new`.
    pub hashes: Vec<Digest>,
    /// The head once `new` is durable.
    pub head: Head,
    /// The newest `recorded_at`.
    pub last_time: DateTime<Utc>,
}

/// What stands under a key already: enough to tell whether the same returns, whatever its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// Where it stands.
    pub position: Position,
    /// What it says.
    pub content: Digest,
}

impl Known {
    pub(crate) fn of(record: &Recorded) -> Self {
        Self { position: record.position, content: record.event.content() }
    }
}

/// The log keeps microseconds; a finer time is cut before anything is compared, hashed or stored.
pub(crate) fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

/// `find` gives what already stands under a key.
/// `now` may lie before `last_time` (a clock that was set back): what is recorded never does, but from an event on that
/// mends the clock.
pub(crate) fn sequence(
    batches: Vec<Vec<NewEvent>>,
    find: impl Fn(&EventKey) -> Option<Known>,
    head: Head,
    last_time: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Sequenced {
    let now = to_micros(now);
    let mut recorded_at = now.max(last_time);
    let count = batches.iter().map(Vec::len).sum();
    let mut sequenced = Sequenced {
        outcomes: Vec::with_capacity(batches.len()),
        new: Vec::with_capacity(count),
        hashes: Vec::with_capacity(count),
        head,
        last_time,
    };
    // Keys that are new in this very group, and where in `new` they stand.
    let mut fresh: HashMap<EventKey, usize> = HashMap::with_capacity(count);
    for batch in batches {
        let mut outcomes = Vec::with_capacity(batch.len());
        for mut event in batch {
            event.time = event.time.map(to_micros);
            let fresh_one = || fresh.get(&event.key).and_then(|at| sequenced.new.get(*at)).map(Known::of);
            if let Some(Known { position, content }) = find(&event.key).or_else(fresh_one) {
                let same = content == event.content();
                outcomes.push(if same { Outcome::Duplicate(position) } else { Outcome::Conflict(position) });
                continue;
            }
            if event.mends_clock() {
                recorded_at = now;
            }
            let position = Position(sequenced.head.position.0 + 1);
            fresh.insert(event.key.clone(), sequenced.new.len());
            let record = Recorded { position, recorded_at, event };
            let hash = chain_step(sequenced.head.hash, &record);
            sequenced.head = Head { position, hash };
            sequenced.last_time = recorded_at;
            sequenced.new.push(record);
            sequenced.hashes.push(hash);
            outcomes.push(Outcome::Recorded(position));
        }
        sequenced.outcomes.push(outcomes);
    }
    sequenced
}
