//! One subject's place in its source's order: which event is its state, and whether another one takes its place.
//! Knows keys and ties; knows nothing of what the event says.

use chrono::{DateTime, Utc};
use rollcall_events::{Order, Position, Recorded};
use serde::{Deserialize, Serialize};

/// How much an event gives; of two rivals with one order key the lesser wins (DESIGN 5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Rank {
    /// Removed, revoked, unmapped, unassigned.
    Removed,
    /// There, but inactive, in no granting state, or without container delivery.
    Lesser,
    /// There.
    Full,
    /// Nothing was ever said.
    #[default]
    Unstated,
}

/// The order key, the tie-breaker and the position of the event that is a subject's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Register {
    key: u64,
    /// First bytes of `sha256(data)`: of two rivals that give as much, the smaller wins.
    tie: u64,
    /// The position of the event that began this state.
    pub(crate) cause: Position,
    pub(crate) rank: Rank,
}

/// An event's claim on its subject.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) key: u64,
    pub(crate) tie: u64,
    pub(crate) position: Position,
}

/// How a claim fares against a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precedence {
    /// It is the state now.
    Wins,
    /// The state is this already; at most its order key moves.
    Same,
    /// Something newer is there.
    Superseded,
}

impl Register {
    /// Whether the subject was stated and not removed.
    pub(crate) fn stands(&self) -> bool {
        matches!(self.rank, Rank::Lesser | Rank::Full)
    }

    /// Whether anything was ever said.
    pub(crate) fn stated(&self) -> bool {
        self.rank != Rank::Unstated
    }

    pub(crate) fn compare(&self, claim: Claim, rank: Rank) -> Precedence {
        let same = (self.rank, self.tie) == (rank, claim.tie);
        match (self.stated(), claim.key.cmp(&self.key)) {
            (false, _) => Precedence::Wins,
            (true, std::cmp::Ordering::Less) => Precedence::Superseded,
            (true, _) if same => Precedence::Same,
            (true, std::cmp::Ordering::Greater) => Precedence::Wins,
            (true, std::cmp::Ordering::Equal) if (rank, claim.tie) < (self.rank, self.tie) => Precedence::Wins,
            (true, std::cmp::Ordering::Equal) => Precedence::Superseded,
        }
    }

    /// Compares and, where the claim wins, records it.
    pub(crate) fn update(&mut self, claim: Claim, rank: Rank) -> Precedence {
        let precedence = self.compare(claim, rank);
        match precedence {
            Precedence::Wins => *self = Self { key: claim.key, tie: claim.tie, cause: claim.position, rank },
            Precedence::Same => self.key = claim.key,
            Precedence::Superseded => {}
        }
        precedence
    }

    /// Ends the subject for ever: nothing later takes its place.
    pub(crate) fn retire(&mut self, at: Position) {
        *self = Self { key: u64::MAX, tie: 0, cause: at, rank: Rank::Removed };
    }
}

/// The key of a record under its source's order, or what it lacks.
pub(crate) fn order_key(order: Order, record: &Recorded) -> Result<u64, &'static str> {
    match order {
        Order::Observed => Ok(record.position.0),
        Order::Version => record.event.sequence.ok_or("its source orders by version, and it has no `sequence`"),
        Order::Time => record.event.time.map(micros).ok_or("its source orders by time, and it has no `time`"),
    }
}

/// Microseconds as an unsigned number that keeps the order.
fn micros(time: DateTime<Utc>) -> u64 {
    time.timestamp_micros().cast_unsigned() ^ (1 << 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(key: u64, tie: u64, position: u64) -> Claim {
        Claim { key, tie, position: Position(position) }
    }

    #[test]
    fn whatever_the_order_of_arrival_one_claim_wins() {
        let claims = [
            (claim(1, 5, 1), Rank::Full),
            (claim(2, 5, 2), Rank::Full),
            (claim(2, 4, 3), Rank::Full),
            (claim(2, 9, 4), Rank::Removed),
        ];
        for shift in 0..claims.len() {
            for flip in [false, true] {
                let mut order = claims;
                order.rotate_left(shift);
                if flip {
                    order.reverse();
                }
                let mut register = Register::default();
                for (claim, rank) in order {
                    register.update(claim, rank);
                }
                assert_eq!((register.key, register.tie, register.rank), (2, 9, Rank::Removed));
            }
        }
    }

    #[test]
    fn times_before_1970_keep_their_order() {
        let at = |s| micros(DateTime::from_timestamp(s, 0).unwrap());
        assert!(at(-5) < at(-4) && at(-4) < at(0) && at(0) < at(1));
    }
}
