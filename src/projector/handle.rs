//! What others ask of the projector: how far it is, what an event did, whether it may be believed; and to check or
//! rebuild. Cheap to clone; folds nothing itself.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rollcall_access::{Effect, SharedRoster, Subject};
use rollcall_events::Position;
use rollcall_store::read::{Read, ReadError, SupersededRow};
use tokio::sync::watch;

use crate::{
    Compared, Progress, RebuildError, State, Status, rebuild,
    shared::{Shared, lock},
};

/// A handle on the projector. Works before and after [`crate::Projector::run`] too.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// The roster that answers access questions.
    #[must_use]
    pub fn live(&self) -> Arc<SharedRoster> {
        Arc::clone(&self.shared.live)
    }

    /// The SQL side.
    #[must_use]
    pub fn read(&self) -> Arc<dyn Read> {
        Arc::clone(&self.shared.read)
    }

    /// How far the roster is: whoever sees position P here sees P's effect in the roster.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Position> {
        self.shared.applied.subscribe()
    }

    /// How far the SQL side is.
    #[must_use]
    pub fn written(&self) -> watch::Receiver<Position> {
        self.shared.written.subscribe()
    }

    /// What the fold does. The process is ready while this is [`State::Following`] and [`Handle::age`] is small.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// How far a check, a rebuild or a catching up is; `None` while there is none.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.shared.progress.subscribe()
    }

    /// How long ago the roster was last known to hold everything that was durable: the staleness of every answer.
    #[must_use]
    pub fn age(&self, now: DateTime<Utc>) -> Duration {
        self.shared.age(now)
    }

    /// Waits until the roster has `position`. Whether it has, after at most `timeout`.
    pub async fn wait_for(&self, position: Position, timeout: Duration) -> bool {
        wait_for(self.applied(), position, timeout).await
    }

    /// Waits until the SQL side has `position`. Whether it has, after at most `timeout`.
    pub async fn wait_for_read(&self, position: Position, timeout: Duration) -> bool {
        wait_for(self.written(), position, timeout).await
    }

    /// What the events at these positions did, in their order; `None` where it is not known yet, or nothing stands.
    ///
    /// # Errors
    /// Those not among the newest are in the SQL side, which may not answer.
    pub async fn effects(&self, positions: &[Position]) -> Result<Vec<Option<Effect>>, ReadError> {
        let recent: Vec<_> = positions.iter().map(|position| self.shared.recent_effect(*position)).collect();
        let asked: Vec<Position> = positions
            .iter()
            .zip(&recent)
            .filter(|(_, recent)| recent.is_err())
            .map(|(position, _)| *position)
            .collect();
        let mut older = if asked.is_empty() { Vec::new() } else { self.shared.read.effects(&asked).await? }.into_iter();
        Ok(recent.into_iter().map(|recent| recent.unwrap_or_else(|()| older.next().flatten())).collect())
    }

    /// The positions, up to one, of the events about these subjects that applied, or with `ineffective` also of those that were
    /// judged and changed nothing. `None` where the SQL side is not there within `wait`.
    ///
    /// # Errors
    /// The SQL side may not answer.
    pub async fn events_of(
        &self,
        subjects: &BTreeSet<Subject>,
        to: Position,
        ineffective: bool,
        wait: Duration,
    ) -> Result<Option<Vec<Position>>, ReadError> {
        if !self.wait_for_read(to, wait).await {
            return Ok(None);
        }
        self.shared.read.events_of(subjects, to, ineffective).await.map(Some)
    }

    /// Events that lost to newer ones, where nothing was judged of their subjects since: of at most `rows` that lost after
    /// a position. And the position of the last that was looked at, where there are more.
    ///
    /// # Errors
    /// The SQL side may not answer.
    pub async fn superseded(
        &self,
        after: Position,
        rows: u32,
    ) -> Result<(Vec<SupersededRow>, Option<Position>), ReadError> {
        self.shared.read.superseded(after, rows).await
    }

    /// What the event at `position` did; `None` where it is not known yet.
    ///
    /// # Errors
    /// As [`Handle::effects`].
    pub async fn effect(&self, position: Position) -> Result<Option<Effect>, ReadError> {
        Ok(self.effects(&[position]).await?.pop().flatten())
    }

    /// Where everything stands.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> Status {
        let shared = &self.shared;
        Status {
            state: shared.state.borrow().clone(),
            head: shared.tail.head().borrow().position,
            roster: *shared.applied.borrow(),
            read: *shared.written.borrow(),
            older_fold: shared.older_fold(),
            read_follows: shared.attached.load(Ordering::Relaxed),
            age: shared.age(now),
            rebuild: *shared.progress.borrow(),
            rebuilt: *lock(&shared.rebuilt),
        }
    }

    /// How many subjects are parked. Apart from the status, which waits for nobody who reads the roster.
    #[must_use]
    pub fn parked(&self) -> usize {
        self.shared.live.read().counts().parked
    }

    /// Folds the whole log beside the live roster and compares the two, and the SQL view, at one position and instant.
    /// Changes nothing.
    ///
    /// # Errors
    /// As [`RebuildError`]; `Busy` while another runs.
    pub async fn check(&self) -> Result<Compared, RebuildError> {
        rebuild::check(&self.shared).await
    }

    /// Folds the whole log into a second roster and read side beside the live ones, compares, and swaps. The log is the
    /// truth: the new ones are taken also where they differ, and that is said aloud.
    ///
    /// # Errors
    /// As [`RebuildError`]; nothing was swapped.
    pub async fn rebuild(&self) -> Result<Compared, RebuildError> {
        let shared = Arc::clone(&self.shared);
        // Whoever asked may be gone before it is done, and half a swap is none.
        let rebuilt = tokio::spawn(async move { rebuild::rebuild(&shared).await });
        rebuilt.await.unwrap_or(Err(RebuildError::Stopping))
    }
}

async fn wait_for(mut at: watch::Receiver<Position>, position: Position, timeout: Duration) -> bool {
    matches!(tokio::time::timeout(timeout, at.wait_for(|at| *at >= position)).await, Ok(Ok(_)))
}
