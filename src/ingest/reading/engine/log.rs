//! The engine and the log: keeps the baseline up to date with what the log has of the source, and appends. Knows no
//! connector, and not what the facts mean.

use std::sync::{Arc, PoisonError};

use futures_util::StreamExt as _;
use rollcall_eventlog::{AppendError, Filter, Outcome};
use rollcall_events::{Body, Emitter, NewEvent, Position, Recorded};

use super::{APPEND_RETRY_DELAY, Engine, MAX_APPEND_ATTEMPTS, PAGE, RunError};
use crate::{
    baseline::{
        BaselineEntries, BaselineEntry, RecordedFact, RecordedFacts,
        index::{BaselineIndex, SharedIndex},
    },
    reading::{stores::BaselineState, telemetry},
};

impl Engine {
    /// Folds what the log has of this source into the baseline, up to the head. Only while `writing` is held. An engine
    /// that is no longer the one stops here; what it has under way is refused by every fold of the log.
    pub(super) async fn catch_up(&self) -> Result<BaselineState, RunError> {
        let mut baseline = self.deps.store.baseline_state(self.deps.append.log_id(), &self.source).await?;
        self.catch_up_from(&mut baseline, &mut |_| ()).await?;
        Ok(baseline)
    }

    /// The same from where that is, and shows each record.
    pub(super) async fn catch_up_from(
        &self,
        baseline: &mut BaselineState,
        show: &mut (dyn FnMut(&Recorded) + Send),
    ) -> Result<(), RunError> {
        let filter = self.source_filter();
        loop {
            let (records, ended) = self.deps.tail.page(baseline.position, PAGE, &filter).await?;
            if ended <= baseline.position {
                break;
            }
            let mut entries = BaselineEntries::new();
            for record in &records {
                fold(&mut entries, baseline, record.position, &record.event);
                show(record);
            }
            let from = std::mem::replace(&mut baseline.position, ended);
            self.advance(&entries, from, baseline).await?;
        }
        match self.lease.get() {
            Some(own) if own.epoch < baseline.epoch => {
                let (own, newest) = (own.epoch.0, baseline.epoch.0);
                Err(RunError::Storage(format!(
                    "another runner of epoch {newest} reads the source; this one is of {own}"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Brings the stored baseline from a position to where `baseline` is, and the index with it.
    pub(super) async fn advance(
        &self,
        entries: &BaselineEntries,
        from: Position,
        baseline: &BaselineState,
    ) -> Result<(), RunError> {
        self.deps.store.fold(self.deps.append.log_id(), &self.source, entries, baseline).await?;
        let mut slot = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = slot.as_ref().is_some_and(|index| index.lock().position() == from);
        match &*slot {
            Some(index) if follows => index.lock().fold(entries, baseline.position),
            // Not what the store holds: it is loaded again when somebody needs it.
            _ => *slot = None,
        }
        Ok(())
    }

    /// The baseline in memory, up to where the stored one is. Only while `writing` is held.
    pub(super) async fn index(&self, baseline: &BaselineState) -> Result<SharedIndex, RunError> {
        if let Some(index) = self.open_index().filter(|index| index.lock().position() == baseline.position) {
            return Ok(index);
        }
        let mut index = BaselineIndex::at(baseline.position);
        self.deps.store.for_each_entry(&self.source, &mut |subject, entry| index.insert(subject, entry)).await?;
        let index = SharedIndex::new(index);
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(index.clone());
        Ok(index)
    }

    pub(super) fn open_index(&self) -> Option<SharedIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The facts at these places of the log, by subject.
    pub(super) async fn facts_at(&self, positions: &[Position]) -> Result<RecordedFacts, RunError> {
        let mut facts = RecordedFacts::with_capacity(positions.len());
        let mut pages = self.deps.tail.records(positions.to_vec());
        while let Some(some) = pages.next().await.transpose()? {
            facts.extend(some.iter().filter_map(fact));
        }
        Ok(facts)
    }

    /// What the source said last of these subjects.
    pub(super) async fn last_facts(&self, subjects: &[String]) -> Result<RecordedFacts, RunError> {
        let entries = self.deps.store.entries(&self.source, subjects, &[]).await?;
        self.facts_at(&entries.values().map(|entry| entry.position).collect::<Vec<_>>()).await
    }

    /// What the log has of this source.
    pub(super) fn source_filter(&self) -> Filter {
        Filter { source: Some(self.source.to_string()), ..Filter::default() }
    }

    /// Appends, in parts that the log takes at once.
    pub(super) async fn append(&self, events: Vec<NewEvent>) -> Result<Option<Position>, RunError> {
        let mut newest = None;
        for batch in events.chunks(PAGE) {
            newest = newest.max(self.append_batch(batch).await?.into_iter().max());
        }
        Ok(newest)
    }

    /// Appends one part; a log with too much to write is asked again. Gives where each event stands.
    pub(super) async fn append_batch(&self, batch: &[NewEvent]) -> Result<Vec<Position>, RunError> {
        let mut tries = 0;
        let outcomes = loop {
            match self.deps.append.append(batch.to_vec()).await {
                Err(AppendError::Overloaded { .. }) if tries < MAX_APPEND_ATTEMPTS => {
                    tries += 1;
                    tokio::time::sleep(APPEND_RETRY_DELAY).await;
                }
                other => break other?,
            }
        };
        telemetry::facts_appended(&self.source, batch, &outcomes);
        let positions = outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Recorded(at) | Outcome::Duplicate(at) | Outcome::Conflict(at) => at,
        });
        Ok(positions.collect())
    }

    /// Appends the events of a run and folds them while the next are written, without reading them again. Gives the
    /// newest place, and of which subjects somebody else said something in between.
    pub(super) async fn append_and_fold(
        &self,
        mut baseline: BaselineState,
        mut events: impl Iterator<Item = NewEvent>,
        run: &str,
    ) -> Result<(Option<Position>, Vec<Arc<str>>), RunError> {
        let (mut newest, mut others) = (None, Vec::new());
        let mut written: Option<(BaselineEntries, Position, BaselineState)> = None;
        loop {
            let batch: Vec<NewEvent> = events.by_ref().take(PAGE).collect();
            let keep = async {
                match written.take() {
                    Some((entries, from, baseline)) => self.advance(&entries, from, &baseline).await,
                    None => Ok(()),
                }
            };
            if batch.is_empty() {
                keep.await?;
                return Ok((newest, others));
            }
            let (positions, kept) = tokio::join!(self.append_batch(&batch), keep);
            let positions = positions?;
            kept?;
            newest = newest.max(positions.iter().copied().max());
            let from = baseline.position;
            if positions.iter().map(|at| at.0).eq((from.0 + 1..).take(batch.len())) {
                let mut entries = BaselineEntries::new();
                positions.iter().zip(&batch).for_each(|(at, event)| fold(&mut entries, &mut baseline, *at, event));
                baseline.position = positions.last().copied().unwrap_or(from);
                written = Some((entries, from, baseline.clone()));
                continue;
            }
            // Somebody else wrote in between, or not all of it is new.
            let mut other = |record: &Recorded| {
                if record.event.correlation.as_deref() != Some(run) {
                    others.push(Arc::clone(&record.event.subject));
                }
            };
            self.catch_up_from(&mut baseline, &mut other).await?;
        }
    }
}

/// A record as a fact of the source, by its subject.
pub(super) fn fact(record: &Recorded) -> Option<(String, RecordedFact)> {
    let event = &record.event;
    let kind = Body::known_type(&event.kind).filter(|kind| is_fact(kind))?;
    Some((event.subject.to_string(), RecordedFact { position: record.position, kind, data: (*event.data).into() }))
}

fn is_fact(kind: &str) -> bool {
    Body::emitter_of(kind).is_some_and(Emitter::is_for_connectors)
}

/// Takes one event of the source in. What the roster refuses as stale was never said here either.
fn fold(entries: &mut BaselineEntries, baseline: &mut BaselineState, at: Position, event: &NewEvent) {
    if baseline.epoch.admit(event).is_err() {
        return;
    }
    match Body::emitter_of(&event.kind) {
        Some(emitter) if emitter.is_for_connectors() => {
            entries.insert((*event.subject).into(), BaselineEntry::of(at, &event.subject, &event.kind, &event.data));
        }
        Some(Emitter::Ingest) => match Body::recorded(&event.kind, &event.data) {
            Ok(Body::SnapshotStarted(run)) => baseline.open = Some(run.run.to_string()),
            Ok(Body::SnapshotSealed(_) | Body::SnapshotAborted(_)) => baseline.open = None,
            Ok(Body::SnapshotApplied(run)) => baseline.scope = run.scope,
            _ => {}
        },
        _ => {}
    }
}
