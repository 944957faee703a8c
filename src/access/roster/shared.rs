//! One roster that is read by many and folded into by one. Looking something up never waits for somebody who looks for long:
//! whoever folds waits for those first, and only then keeps others out. Knows no row.

use std::{
    ops::{Deref, DerefMut},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::roster::Roster;

/// One roster that is read by many and folded into by one. A guard is held for a look-up, never across a wait.
#[derive(Debug)]
pub struct SharedRoster {
    roster: RwLock<Roster>,
    /// Read by those who look for long, for as long as they do. A lock lets nobody in while somebody waits to write; so whoever
    /// folds waits for them here, where those who look something up do not come by. Taken before the roster.
    long: RwLock<()>,
}

/// Why nothing is decided by a roster now: nobody knows whether it is what the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// It was last confirmed to hold all of the log so long ago.
    #[error("the access data were last confirmed up to date {} s ago", .0.as_secs())]
    Old(Duration),
    /// The clock is so far behind the newest time that was seen: windows would be judged for a time that is over.
    #[error("the clock is {} s behind the newest time that was seen", .0.as_secs())]
    Clock(Duration),
    /// The clock is so far ahead of what it can say: windows would be judged for a time that is to come.
    #[error("the clock is {} s ahead of what it can say", .0.as_secs())]
    ClockAhead(Duration),
}

/// Whether what is decided by the roster can be relied on. Every decision asks it, of whatever interface (DESIGN 9).
pub trait Freshness: Send + Sync + 'static {
    /// Why nothing is to be decided now.
    ///
    /// # Errors
    /// The roster is too old, or the clock cannot be trusted.
    fn may_decide(&self, now: DateTime<Utc>) -> Result<(), Stale>;
}

/// A look that may take longer than a look-up: through a table, of the whole.
pub struct LongRead<'a> {
    roster: RwLockReadGuard<'a, Roster>,
    _long: RwLockReadGuard<'a, ()>,
}

/// A fold under way.
pub struct Fold<'a> {
    roster: RwLockWriteGuard<'a, Roster>,
    _long: RwLockWriteGuard<'a, ()>,
}

impl SharedRoster {
    /// Shares a roster.
    #[must_use]
    pub fn new(roster: Roster) -> Self {
        Self { roster: RwLock::new(roster), long: RwLock::default() }
    }

    /// To look something up.
    pub fn read(&self) -> RwLockReadGuard<'_, Roster> {
        // A panic while folding leaves an event half applied; the projector that panicked is gone and the process is
        // not ready. What readers see until then is the state at the last whole event plus part of one.
        self.roster.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// To go through much of it. Folding waits for it, looking something up does not.
    pub fn read_long(&self) -> LongRead<'_> {
        let long = self.long.read().unwrap_or_else(PoisonError::into_inner);
        LongRead { roster: self.read(), _long: long }
    }

    /// To fold into it.
    pub fn write(&self) -> Fold<'_> {
        let long = self.long.write().unwrap_or_else(PoisonError::into_inner);
        Fold { roster: self.roster.write().unwrap_or_else(PoisonError::into_inner), _long: long }
    }

    /// Puts another roster in its place (a rebuilt one) and hands the old one back.
    pub fn replace(&self, roster: Roster) -> Roster {
        std::mem::replace(&mut self.write(), roster)
    }
}

impl Deref for LongRead<'_> {
    type Target = Roster;
    fn deref(&self) -> &Roster {
        &self.roster
    }
}

impl Deref for Fold<'_> {
    type Target = Roster;
    fn deref(&self) -> &Roster {
        &self.roster
    }
}

impl DerefMut for Fold<'_> {
    fn deref_mut(&mut self) -> &mut Roster {
        &mut self.roster
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use rollcall_events::{LogId, Position};

    use super::*;

    #[test]
    fn while_whoever_folds_waits_for_a_long_look_others_look_things_up() {
        let live = Arc::new(SharedRoster::new(Roster::new(LogId([1; 8]))));
        let long = live.read_long();
        let fold = Arc::clone(&live);
        let folds = thread::spawn(move || fold.write().advance_to(Position(7)));
        while live.long.try_read().is_ok() {
            assert!(!folds.is_finished(), "it was folded under somebody's look");
            thread::yield_now();
        }
        let look = live.roster.try_read().map(|roster| roster.position());
        assert_eq!(look.ok(), Some(Position(0)), "a look-up waits behind whoever folds");
        drop(long);
        folds.join().unwrap();
        assert_eq!((live.read().position(), live.read_long().position()), (Position(7), Position(7)));
    }
}
