//! A second fold of the log, beside the live one: from the beginning or from a snapshot, until it stands where the live
//! roster does. Changes nothing live but the read side that it is told to bring up.

use std::sync::Arc;

use futures_util::StreamExt;
use rollcall_access::{Folded, Roster};
use rollcall_eventlog::TailError;
use rollcall_events::{Position, Recorded};
use rollcall_store::read::{Projection, ReadError, Rebuild};

use crate::{
    Progress, Task,
    options::{PAGE_RECORDS, READ_BATCH},
    shared::{Gate, Shared, is_known, unknown_type},
};

/// How near, in positions, a fold has to be before the live one is made to wait for it.
const GATE_DISTANCE: u64 = 100;

/// Why a check, a rebuild or a catching up did not happen. The live roster and the read side are as they were.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Another check or rebuild is under way. Wait for it.
    #[error("a check, a rebuild or a catching up is under way")]
    Busy,
    /// The process is stopping, or the fold has stopped.
    #[error("the projector has stopped or is stopping")]
    Stopping,
    /// The log holds what this version does not know.
    #[error("{0}")]
    Unknown(String),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] TailError),
    /// The read side cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Where what is folded is written to.
pub(crate) enum Target {
    Nowhere,
    InUse(Arc<dyn Projection>),
    Next(Box<dyn Rebuild>),
}

/// What was folded and is not written yet, and where it goes.
pub(crate) struct Sink<'a> {
    shared: &'a Shared,
    pub(crate) target: Target,
    written: Position,
    waiting: Vec<Folded>,
}

impl Sink<'_> {
    fn add(&mut self, folded: Folded) {
        if folded.position > self.written && !matches!(self.target, Target::Nowhere) {
            self.waiting.push(folded);
        }
    }

    /// Writes what waits.
    pub(crate) async fn flush(&mut self) -> Result<(), ReadError> {
        if let Some(Folded { position: to, .. }) = self.waiting.last() {
            let to = *to;
            match &self.target {
                Target::Nowhere => {}
                Target::Next(next) => next.apply(&self.waiting, self.written, to).await?,
                Target::InUse(read) => {
                    read.apply(&self.waiting, self.written, to).await?;
                    self.shared.written.send_replace(to);
                }
            }
            self.written = to;
            self.waiting.clear();
        }
        Ok(())
    }
}

/// A second fold of the log.
pub(crate) struct Replay<'a> {
    shared: &'a Shared,
    task: Task,
    pub(crate) roster: Roster,
    pub(crate) sink: Sink<'a>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(shared: &'a Shared, task: Task, roster: Roster, target: Target, written: Position) -> Self {
        Self { shared, task, roster, sink: Sink { shared, target, written, waiting: Vec::new() } }
    }

    /// Folds until it is near the live roster.
    pub(crate) async fn fold_until_near(&mut self) -> Result<(), RebuildError> {
        let shared = self.shared;
        let applied = shared.applied.subscribe();
        let mut pages = shared.tail.read(self.roster.position(), PAGE_RECORDS);
        while applied.borrow().0 > self.roster.position().0 + GATE_DISTANCE {
            let page = pages.next().await.ok_or(RebuildError::Stopping)??;
            self.fold(page.iter()).await?;
        }
        Ok(())
    }

    /// As `fold_until_near`, and makes the indexes of a second file as soon as nearly everything is in it.
    pub(crate) async fn fold_until_near_and_index(&mut self) -> Result<(), RebuildError> {
        self.fold_until_near().await?;
        self.sink.flush().await?;
        if let Target::Next(next) = &self.sink.target {
            next.index().await?;
            self.fold_until_near().await?;
        }
        Ok(())
    }

    /// Folds on up to a position that the log has.
    pub(crate) async fn fold_to(&mut self, to: Position) -> Result<(), RebuildError> {
        let mut pages = self.shared.tail.read(self.roster.position(), PAGE_RECORDS);
        while self.roster.position() < to {
            let page = pages.next().await.ok_or(RebuildError::Stopping)??;
            self.fold(page.iter().take_while(|record| record.position <= to)).await?;
        }
        Ok(())
    }

    /// Takes the gate and folds what is left: the live roster stands still at this one's position as long as the guard
    /// that is returned is held.
    pub(crate) async fn finish_under_gate(&mut self) -> Result<Gate<'a>, RebuildError> {
        let gate = Gate::take(self.shared, self.task).await;
        let to = *self.shared.applied.borrow();
        self.fold_to(to).await?;
        Ok(gate)
    }

    async fn fold(&mut self, page: impl Iterator<Item = &Recorded>) -> Result<(), RebuildError> {
        for record in page {
            if !is_known(record) {
                return Err(RebuildError::Unknown(unknown_type(record)));
            }
            self.sink.add(self.roster.apply(record));
        }
        if self.sink.waiting.len() >= READ_BATCH {
            self.sink.flush().await?;
        }
        if self.shared.has_stopped() {
            return Err(RebuildError::Stopping);
        }
        let head = self.shared.tail.head().borrow().position;
        let progress = Progress { task: self.task, position: self.roster.position(), head };
        self.shared.progress.send_replace(Some(progress));
        Ok(())
    }
}
