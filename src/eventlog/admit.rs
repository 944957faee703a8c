//! Judges what waits to be appended against what is there: one outcome per event, and the records and hashes of what is
//! new. Pure: touches no storage and no clock.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rollcall_events::{Digest, EventKey, NewEvent, Position, Recorded, chain_step};

use crate::{Head, Outcome};

/// What a group of batches becomes.
pub(crate) struct Admitted {
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

/// The log keeps microseconds; a finer time is cut before anything is compared, hashed or stored.
pub(crate) fn micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

/// `known` finds the record that already stands under a key.
/// `now` may lie before `last_time` (a clock that was set back): what is recorded never does.
pub(crate) fn admit<'k>(
    batches: Vec<Vec<NewEvent>>,
    known: impl Fn(&EventKey) -> Option<&'k Recorded>,
    head: Head,
    last_time: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Admitted {
    let recorded_at = micros(now).max(last_time);
    let count = batches.iter().map(Vec::len).sum();
    let mut admitted = Admitted {
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
            event.time = event.time.map(micros);
            let standing = known(&event.key).or_else(|| fresh.get(&event.key).and_then(|at| admitted.new.get(*at)));
            if let Some(there) = standing {
                outcomes.push(if event.says_the_same(&there.event) {
                    Outcome::Duplicate(there.position)
                } else {
                    Outcome::Conflict(there.position)
                });
                continue;
            }
            let position = Position(admitted.head.position.0 + 1);
            fresh.insert(event.key.clone(), admitted.new.len());
            let record = Recorded { position, recorded_at, event };
            let hash = chain_step(admitted.head.hash, &record);
            admitted.head = Head { position, hash };
            admitted.last_time = recorded_at;
            admitted.new.push(record);
            admitted.hashes.push(hash);
            outcomes.push(Outcome::Recorded(position));
        }
        admitted.outcomes.push(outcomes);
    }
    admitted
}
