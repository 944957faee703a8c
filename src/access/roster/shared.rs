//! One roster that is looked into by many and folded into by one. Looking something up takes it for a moment; whoever goes
//! through much of it takes a view, which holds nobody up. Knows no row.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    panic::Location,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::{persistent::work, roster::Roster};

/// One roster that is looked into by many and folded into by one. A look is for a few rows, never across a wait.
pub struct SharedRoster {
    roster: RwLock<Roster>,
    /// The view of now, until something is folded. Whoever folds waits here for whoever takes a view: a lock lets nobody in
    /// while somebody waits to write, and those who look something up do not come by. Taken before the roster.
    view: Mutex<Option<Arc<Roster>>>,
    meter: Option<Arc<dyn HoldMeter>>,
    /// The most rows of one look, by where it was taken; only where assertions are on.
    looks: Mutex<BTreeMap<String, u64>>,
}

/// What the roster is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Something is looked up.
    Look,
    /// A view is taken.
    View,
    /// Events are folded.
    Fold,
}

/// Measures for how long the roster is held. Nothing here knows the time.
pub trait HoldMeter: Send + Sync + 'static {
    /// Begins: what [`Self::end`] is given.
    fn begin(&self) -> u64;
    /// Ends what began then.
    fn end(&self, hold: Hold, begun: u64);
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

/// A look into the roster, which whoever folds waits for.
pub struct Look<'a> {
    roster: RwLockReadGuard<'a, Roster>,
    _held: Held<'a>,
}

/// A fold under way.
pub struct Fold<'a> {
    roster: RwLockWriteGuard<'a, Roster>,
    _held: Held<'a>,
    _views: MutexGuard<'a, Option<Arc<Roster>>>,
}

/// For how long, and for how much work.
struct Held<'a> {
    shared: &'a SharedRoster,
    hold: Hold,
    begun: u64,
    rows: u64,
    by: &'static Location<'static>,
}

impl std::fmt::Debug for SharedRoster {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SharedRoster").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SharedRoster {
    /// Shares a roster.
    #[must_use]
    pub fn new(roster: Roster) -> Self {
        Self { roster: RwLock::new(roster), view: Mutex::default(), meter: None, looks: Mutex::default() }
    }

    /// Has it measured for how long it is held.
    #[must_use]
    pub fn measured_by(self, meter: Arc<dyn HoldMeter>) -> Self {
        Self { meter: Some(meter), ..self }
    }

    /// To look something up: a few rows, whatever there is in the roster.
    #[track_caller]
    pub fn read(&self) -> Look<'_> {
        // A panic while folding leaves an event half applied; the projector that panicked is gone and the process is
        // not ready. What readers see until then is the state at the last whole event plus part of one.
        let _held = self.held(Hold::Look);
        let roster = self.roster.read().unwrap_or_else(PoisonError::into_inner);
        Look { roster, _held }
    }

    /// All of it as it is now, to go through as much as one likes: it shares what it holds with the roster and stays as it is
    /// while others fold. Never taken by somebody who looks into it.
    #[track_caller]
    pub fn view(&self) -> Arc<Roster> {
        let mut kept = lock(&self.view);
        let make = || {
            let _held = self.held(Hold::View);
            let roster = self.roster.read().unwrap_or_else(PoisonError::into_inner);
            Arc::new(Roster { orders: roster.orders.of_view(), ..Roster::clone(&roster) })
        };
        Arc::clone(kept.get_or_insert_with(make))
    }

    /// To fold into it.
    #[track_caller]
    pub fn write(&self) -> Fold<'_> {
        let mut views = lock(&self.view);
        // What nobody else has is let go of before anything is changed, so that nothing is copied for it.
        *views = None;
        let roster = self.roster.write().unwrap_or_else(PoisonError::into_inner);
        Fold { roster, _held: self.held(Hold::Fold), _views: views }
    }

    /// Puts another roster in its place (a rebuilt one) and hands the old one back.
    #[track_caller]
    pub fn replace(&self, roster: Roster) -> Roster {
        std::mem::replace(&mut self.write(), roster)
    }

    /// The most rows that were looked at in one look since this was asked last, by where it was taken; nothing where assertions
    /// are off.
    #[must_use]
    pub fn take_rows_looked_at(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut lock(&self.looks))
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    #[track_caller]
    fn held(&self, hold: Hold) -> Held<'_> {
        if cfg!(debug_assertions) {
            // Whoever looks twice at once waits for whoever waits to fold, who waits for the first look: for ever.
            let twice = HELD_HERE.with_borrow_mut(|held| {
                let twice = held.contains(&self.address());
                held.push(self.address());
                twice
            });
            assert!(!twice, "the roster is taken by somebody who holds it");
        }
        let begun = self.meter.as_ref().map_or(0, |meter| meter.begin());
        Held { shared: self, hold, begun, rows: work::so_far(), by: Location::caller() }
    }
}

std::thread_local! {
    /// The rosters that this thread holds; only where assertions are on.
    static HELD_HERE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            HELD_HERE.with_borrow_mut(|held| {
                if let Some(at) = held.iter().rposition(|one| *one == self.shared.address()) {
                    held.remove(at);
                }
            });
        }
        if let Some(meter) = &self.shared.meter {
            meter.end(self.hold, self.begun);
        }
        if cfg!(debug_assertions) && self.hold == Hold::Look {
            let rows = work::so_far().saturating_sub(self.rows);
            let mut looks = lock(&self.shared.looks);
            let most = looks.entry(format!("{}:{}", self.by.file(), self.by.line())).or_default();
            *most = rows.max(*most);
        }
    }
}

impl Deref for Look<'_> {
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
    use rollcall_events::{LogId, Position};

    use super::*;

    #[test]
    fn a_view_stays_as_it_is_while_others_fold_and_is_the_same_until_they_do() {
        let live = SharedRoster::new(Roster::new(LogId([1; 8])));
        let (first, same) = (live.view(), live.view());
        assert!(Arc::ptr_eq(&first, &same));
        live.write().advance_to(Position(7));
        assert_eq!(
            (first.position(), live.view().position(), live.read().position()),
            (Position(0), Position(7), Position(7))
        );
        let kept = Arc::downgrade(&live.view());
        live.write().advance_to(Position(8));
        assert!(kept.upgrade().is_none(), "what nobody has any more is let go of");
        live.replace(Roster::new(LogId([1; 8])));
        assert_eq!(live.view().position(), Position(0));
    }

    #[test]
    #[should_panic(expected = "taken by somebody who holds it")]
    fn nobody_looks_twice_at_once() {
        let live = SharedRoster::new(Roster::new(LogId([1; 8])));
        let _first = live.read();
        drop(live.read());
    }

    #[test]
    fn whoever_has_a_view_keeps_nobody_from_folding_or_looking() {
        let live = SharedRoster::new(Roster::new(LogId([1; 8])));
        let view = live.view();
        assert!(live.roster.try_write().is_ok() && live.view.try_lock().is_ok());
        drop(view);
    }
}
