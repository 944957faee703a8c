//! What the next page of a list of members goes on with: the roster that the page before was read from, and who could be in
//! it, in the order of the list. Kept for a minute. Of now it is good until something is folded; of the past it stays so.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rollcall_access::{Effort, GivenUp, Principal, ProjectIx, Roster, candidates_by_name};
use rollcall_events::Position;
use tokio::time::Instant;

/// For how long one is kept.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// How many are kept: as many as may be read at a time.
const MOST: usize = 4;

/// Of what a list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListOf {
    /// The project's id.
    pub project: String,
    /// Up to where the log counts.
    pub position: Position,
    /// Whether it is of the past: of the events that this one question depends on.
    pub past: bool,
}

/// A list that is read page by page.
pub(crate) struct MembersList {
    /// What it is read from.
    pub roster: Arc<Roster>,
    /// The project in it.
    pub project: ProjectIx,
    /// Who could be in it, by name.
    pub candidates: Vec<Principal>,
}

impl MembersList {
    /// Finds who could be in it.
    pub fn of(roster: Arc<Roster>, project: ProjectIx, effort: &Effort<'_>) -> Result<Self, GivenUp> {
        let candidates = candidates_by_name(&roster, project, effort)?;
        Ok(Self { roster, project, candidates })
    }
}

/// The lists that were read last.
#[derive(Default)]
pub(crate) struct KeptLists(Mutex<Vec<(ListOf, Arc<MembersList>, Instant)>>);

impl KeptLists {
    fn kept(&self) -> MutexGuard<'_, Vec<(ListOf, Arc<MembersList>, Instant)>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        kept.retain(|(.., until)| now < *until);
        kept
    }

    /// The list, where it is kept.
    pub fn get(&self, of: &ListOf) -> Option<Arc<MembersList>> {
        self.kept().iter().find(|(known, ..)| known == of).map(|(_, list, _)| Arc::clone(list))
    }

    /// Keeps a list, and of one project no other of the kind.
    pub fn keep(self: &Arc<Self>, of: ListOf, list: MembersList) -> Arc<MembersList> {
        let list = Arc::new(list);
        let mut kept = self.kept();
        kept.retain(|(known, ..)| (known.past, &known.project) != (of.past, &of.project));
        kept.push((of, Arc::clone(&list), Instant::now() + KEPT_FOR));
        let surplus = kept.len().saturating_sub(MOST);
        kept.drain(..surplus);
        drop(kept);
        // Somebody lets go of the last one too.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let all = Arc::downgrade(self);
            runtime.spawn(async move {
                tokio::time::sleep(KEPT_FOR).await;
                if let Some(all) = all.upgrade() {
                    drop(all.kept());
                }
            });
        }
        list
    }
}
