//! The stores in memory. Nothing survives them; what is kept and forgotten is as in the real ones.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use rollcall_events::{Id, LogId, SourceName};

use crate::{
    baseline::{BaselineEntries, BaselineEntry},
    connector::{PersonalData, StateEntry, StateUpdate},
    personal::Personal,
    reading::{
        plan::{Plan, PlanClosure, PlanId, PlanReason, PlanRow, PlanState},
        status::SourceStatus,
        stores::{BaselineState, BaselineStore, SavedCursor, SourceRecords, StoreError, Visitor},
    },
};

/// The stores in memory. Cheap to clone; clones are the same stores.
#[derive(Clone, Default)]
pub struct MemorySourceStore(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    log: Option<LogId>,
    baselines: HashMap<SourceName, (BaselineState, BaselineEntries)>,
    plans: BTreeMap<PlanId, (Plan, Vec<PlanRow>)>,
    statuses: HashMap<SourceName, SourceStatus>,
    cursors: HashMap<SourceName, (SavedCursor, BTreeMap<String, Vec<u8>>)>,
    names: HashMap<SourceName, BTreeMap<Id, PersonalData>>,
    refuses: bool,
}

impl MemorySourceStore {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.lock();
        if state.refuses { Err(StoreError("the store is shut".to_owned())) } else { Ok(state) }
    }

    /// Refuses everything from now on, or nothing.
    pub fn refuse(&self, refuses: bool) {
        self.lock().refuses = refuses;
    }

    /// Loses everything.
    pub fn lose(&self) {
        *self.lock() = State::default();
    }

    /// The rows of a plan.
    #[must_use]
    pub fn rows(&self, id: &PlanId) -> Vec<PlanRow> {
        self.lock().plans.get(id).map(|(_, rows)| rows.clone()).unwrap_or_default()
    }
}

#[async_trait]
impl BaselineStore for MemorySourceStore {
    async fn baseline_state(&self, log: LogId, source: &SourceName) -> Result<BaselineState, StoreError> {
        let mut state = self.open()?;
        if state.log.replace(log) != Some(log) {
            state.baselines.clear();
        }
        Ok(state.baselines.get(source).map(|(baseline, _)| baseline.clone()).unwrap_or_default())
    }

    async fn fold(
        &self,
        _: LogId,
        source: &SourceName,
        entries: &BaselineEntries,
        baseline: &BaselineState,
    ) -> Result<(), StoreError> {
        let mut state = self.open()?;
        let (at, stored) = state.baselines.entry(source.clone()).or_default();
        *at = baseline.clone();
        stored.extend(entries.clone());
        Ok(())
    }

    async fn for_each_entry(&self, source: &SourceName, visit: Visitor<'_, BaselineEntry>) -> Result<(), StoreError> {
        let state = self.open()?;
        if let Some((_, entries)) = state.baselines.get(source) {
            entries.iter().for_each(|(subject, entry)| visit(subject, *entry));
        }
        Ok(())
    }

    async fn entries(
        &self,
        source: &SourceName,
        subjects: &[String],
        prefixes: &[String],
    ) -> Result<BaselineEntries, StoreError> {
        let mut found = BaselineEntries::new();
        self.for_each_entry(source, &mut |subject, entry| {
            if subjects.iter().any(|one| one == subject) || prefixes.iter().any(|prefix| subject.starts_with(prefix)) {
                found.insert(subject.into(), entry);
            }
        })
        .await?;
        Ok(found)
    }
}

#[async_trait]
impl SourceRecords for MemorySourceStore {
    async fn save_plan(&self, plan: &Plan, rows: &[PlanRow]) -> Result<(), StoreError> {
        let mut state = self.open()?;
        for (other, _) in state.plans.values_mut() {
            if other.source == plan.source && other.state == PlanState::Open && supersedes(plan, other) {
                other.state = PlanState::Superseded;
                other.closed = Some(PlanClosure { at: plan.made_at, by: None });
            }
        }
        state.plans.insert(plan.id.clone(), (plan.clone(), rows.to_vec()));
        Ok(())
    }

    async fn plan(&self, id: &PlanId) -> Result<Option<Plan>, StoreError> {
        Ok(self.open()?.plans.get(id).map(|(plan, _)| plan.clone()))
    }

    async fn held_plan(&self, source: &SourceName) -> Result<Option<Plan>, StoreError> {
        let state = self.open()?;
        let waits =
            |plan: &&Plan| plan.source == *source && plan.state == PlanState::Open && plan.why != PlanReason::Asked;
        Ok(state.plans.values().map(|(plan, _)| plan).rfind(waits).cloned())
    }

    async fn close_plan(&self, id: &PlanId, state: PlanState, closed: &PlanClosure) -> Result<(), StoreError> {
        if let Some((plan, _)) = self.open()?.plans.get_mut(id).filter(|(plan, _)| plan.state == PlanState::Open) {
            (plan.state, plan.closed) = (state, Some(closed.clone()));
        }
        Ok(())
    }

    async fn status(&self, source: &SourceName) -> Result<Option<SourceStatus>, StoreError> {
        Ok(self.open()?.statuses.get(source).cloned())
    }

    async fn save_status(&self, status: &SourceStatus) -> Result<(), StoreError> {
        self.open()?.statuses.insert(status.source.clone(), status.clone());
        Ok(())
    }

    async fn saved_cursor(&self, source: &SourceName) -> Result<Option<SavedCursor>, StoreError> {
        Ok(self.open()?.cursors.get(source).map(|(cursor, _)| cursor.clone()))
    }

    async fn sync_state(&self, source: &SourceName) -> Result<Vec<StateEntry>, StoreError> {
        let entries = self.open()?.cursors.get(source).map(|(_, entries)| entries.clone());
        Ok(entries.unwrap_or_default().into_iter().collect())
    }

    async fn save_sync_state(
        &self,
        source: &SourceName,
        cursor: &SavedCursor,
        update: StateUpdate,
    ) -> Result<(), StoreError> {
        let mut state = self.open()?;
        let (_, mut kept) = state.cursors.remove(source).unwrap_or_else(|| (cursor.clone(), BTreeMap::new()));
        match update {
            StateUpdate::Replace(entries) => kept = entries.into_iter().collect(),
            StateUpdate::Merge(entries) => {
                for (key, value) in entries {
                    match value {
                        Some(value) => drop(kept.insert(key, value)),
                        None => drop(kept.remove(&key)),
                    }
                }
            }
        }
        state.cursors.insert(source.clone(), (cursor.clone(), kept));
        Ok(())
    }

    async fn forget_sync_state(&self, source: &SourceName) -> Result<(), StoreError> {
        self.open()?.cursors.remove(source);
        Ok(())
    }

    async fn for_each_personal(&self, source: &SourceName, visit: Visitor<'_, PersonalData>) -> Result<(), StoreError> {
        let state = self.open()?;
        if let Some(names) = state.names.get(source) {
            names.iter().for_each(|(person, names)| visit(person.as_str(), names.clone()));
        }
        Ok(())
    }

    async fn personal(&self, source: &SourceName, persons: &[Id]) -> Result<BTreeMap<Id, PersonalData>, StoreError> {
        let mut names = self.open()?.names.get(source).cloned().unwrap_or_default();
        names.retain(|person, _| persons.contains(person));
        Ok(names)
    }

    async fn save_personal(&self, source: &SourceName, personal: Vec<Personal>) -> Result<(), StoreError> {
        let mut state = self.open()?;
        let names = state.names.entry(source.clone()).or_default();
        names.extend(personal.into_iter().map(|p| (p.person, PersonalData { email: p.email, name: p.name })));
        Ok(())
    }
}

/// A plan that waits takes the place of any other; one that was asked for only that of another such.
fn supersedes(plan: &Plan, other: &Plan) -> bool {
    plan.why != PlanReason::Asked || other.why == PlanReason::Asked
}
