//! The stores in memory. Nothing survives them; what is kept and forgotten is as in the real ones.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use rollcall_events::{Id, LogId, SourceName};

use crate::{
    Personal,
    plan::{Closed, Plan, PlanId, PlanState, Row, Why},
    pull::{Names, Note, Notes},
    standing::Standing,
    stores::{Followed, Mark, Marks, Mirror, Reached, Records, Show, StoreError},
};

/// The stores in memory. Cheap to clone; clones are the same stores.
#[derive(Clone, Default)]
pub struct MemoryShelf(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    log: Option<LogId>,
    mirrors: HashMap<SourceName, (Reached, Marks)>,
    plans: BTreeMap<PlanId, (Plan, Vec<Row>)>,
    standings: HashMap<SourceName, Standing>,
    followed: HashMap<SourceName, (Followed, BTreeMap<String, Vec<u8>>)>,
    names: HashMap<SourceName, BTreeMap<Id, Names>>,
    refuses: bool,
}

impl MemoryShelf {
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
    pub fn rows(&self, id: &PlanId) -> Vec<Row> {
        self.lock().plans.get(id).map(|(_, rows)| rows.clone()).unwrap_or_default()
    }
}

#[async_trait]
impl Mirror for MemoryShelf {
    async fn reached(&self, log: LogId, source: &SourceName) -> Result<Reached, StoreError> {
        let mut state = self.open()?;
        if state.log.replace(log) != Some(log) {
            state.mirrors.clear();
        }
        Ok(state.mirrors.get(source).map(|(reached, _)| reached.clone()).unwrap_or_default())
    }

    async fn fold(&self, _: LogId, source: &SourceName, marks: &Marks, reached: &Reached) -> Result<(), StoreError> {
        let mut state = self.open()?;
        let (at, mirror) = state.mirrors.entry(source.clone()).or_default();
        *at = reached.clone();
        mirror.extend(marks.clone());
        Ok(())
    }

    async fn each(&self, source: &SourceName, show: Show<'_, Mark>) -> Result<(), StoreError> {
        let state = self.open()?;
        if let Some((_, marks)) = state.mirrors.get(source) {
            marks.iter().for_each(|(subject, mark)| show(subject, *mark));
        }
        Ok(())
    }

    async fn some(&self, source: &SourceName, subjects: &[String], prefixes: &[String]) -> Result<Marks, StoreError> {
        let mut found = Marks::new();
        self.each(source, &mut |subject, mark| {
            if subjects.iter().any(|one| one == subject) || prefixes.iter().any(|prefix| subject.starts_with(prefix)) {
                found.insert(subject.into(), mark);
            }
        })
        .await?;
        Ok(found)
    }
}

#[async_trait]
impl Records for MemoryShelf {
    async fn keep_plan(&self, plan: &Plan, rows: &[Row]) -> Result<(), StoreError> {
        let mut state = self.open()?;
        for (other, _) in state.plans.values_mut() {
            if other.source == plan.source && other.state == PlanState::Open && supersedes(plan, other) {
                other.state = PlanState::Superseded;
                other.closed = Some(Closed { at: plan.made_at, by: None });
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
        let waits = |plan: &&Plan| plan.source == *source && plan.state == PlanState::Open && plan.why != Why::Asked;
        Ok(state.plans.values().map(|(plan, _)| plan).rfind(waits).cloned())
    }

    async fn close_plan(&self, id: &PlanId, state: PlanState, closed: &Closed) -> Result<(), StoreError> {
        if let Some((plan, _)) = self.open()?.plans.get_mut(id).filter(|(plan, _)| plan.state == PlanState::Open) {
            (plan.state, plan.closed) = (state, Some(closed.clone()));
        }
        Ok(())
    }

    async fn standing(&self, source: &SourceName) -> Result<Option<Standing>, StoreError> {
        Ok(self.open()?.standings.get(source).cloned())
    }

    async fn note(&self, standing: &Standing) -> Result<(), StoreError> {
        self.open()?.standings.insert(standing.source.clone(), standing.clone());
        Ok(())
    }

    async fn followed(&self, source: &SourceName) -> Result<Option<Followed>, StoreError> {
        Ok(self.open()?.followed.get(source).map(|(followed, _)| followed.clone()))
    }

    async fn notes(&self, source: &SourceName) -> Result<Vec<Note>, StoreError> {
        let notes = self.open()?.followed.get(source).map(|(_, notes)| notes.clone());
        Ok(notes.unwrap_or_default().into_iter().collect())
    }

    async fn keep_followed(&self, source: &SourceName, followed: &Followed, notes: Notes) -> Result<(), StoreError> {
        let mut state = self.open()?;
        let (_, mut kept) = state.followed.remove(source).unwrap_or_else(|| (followed.clone(), BTreeMap::new()));
        match notes {
            Notes::All(notes) => kept = notes.into_iter().collect(),
            Notes::Changed(notes) => {
                for (key, value) in notes {
                    match value {
                        Some(value) => drop(kept.insert(key, value)),
                        None => drop(kept.remove(&key)),
                    }
                }
            }
        }
        state.followed.insert(source.clone(), (followed.clone(), kept));
        Ok(())
    }

    async fn forget_followed(&self, source: &SourceName) -> Result<(), StoreError> {
        self.open()?.followed.remove(source);
        Ok(())
    }

    async fn each_name(&self, source: &SourceName, show: Show<'_, Names>) -> Result<(), StoreError> {
        let state = self.open()?;
        if let Some(names) = state.names.get(source) {
            names.iter().for_each(|(person, names)| show(person.as_str(), names.clone()));
        }
        Ok(())
    }

    async fn names(&self, source: &SourceName, persons: &[Id]) -> Result<BTreeMap<Id, Names>, StoreError> {
        let mut names = self.open()?.names.get(source).cloned().unwrap_or_default();
        names.retain(|person, _| persons.contains(person));
        Ok(names)
    }

    async fn keep_names(&self, source: &SourceName, personal: Vec<Personal>) -> Result<(), StoreError> {
        let mut state = self.open()?;
        let names = state.names.entry(source.clone()).or_default();
        names.extend(personal.into_iter().map(|p| (p.person, Names { email: p.email, name: p.name })));
        Ok(())
    }
}

/// A plan that waits takes the place of any other; one that was asked for only that of another such.
fn supersedes(plan: &Plan, other: &Plan) -> bool {
    plan.why != Why::Asked || other.why == Why::Asked
}
