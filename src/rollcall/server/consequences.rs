//! What a read of a source would come to, asked of the roster. Works on copies, so that folding and deciding go on: two for a
//! question or an inquiry, and one more where an inquiry begins anew, however much it asks.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use rollcall_access::{Roster, could_empty_project, emptied_projects};
use rollcall_events::{Body, Clock, Position, SourceName};
use rollcall_ingest::{Consequences, Inquiry, ProposedFacts, Trial};
use rollcall_projector::Handle;

/// How long the roster may take to reach what the source was held against.
const ROSTER_TIMEOUT: Duration = Duration::from_secs(5);

/// Tries what a source says on a copy of the roster.
pub struct RosterConsequences {
    /// Where the roster is.
    pub handle: Handle,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl RosterConsequences {
    /// Does this with a copy of the roster that holds at least what the source was held against.
    async fn try_on_copy<T: Default + Send + 'static>(
        &self,
        seen: Position,
        work: impl FnOnce(Roster) -> T + Send + 'static,
    ) -> T {
        // A roster that stands still is said elsewhere; what it has is still worth asking.
        self.handle.wait_for(seen, ROSTER_TIMEOUT).await;
        let handle = self.handle.clone();
        let tried = tokio::task::spawn_blocking(move || {
            let copy = Roster::clone(&handle.live().view());
            work(copy)
        });
        tried.await.unwrap_or_else(|error| {
            tracing::error!(%error, "what a read would come to could not be tried");
            T::default()
        })
    }
}

/// The roster's, for whoever asks.
struct RosterTrial(rollcall_access::Trial);

impl Trial for RosterTrial {
    fn record(&mut self, facts: &[Body]) {
        self.0.record(facts);
    }

    fn begin_anew(&mut self) {
        self.0.begin_anew();
    }

    fn emptied(&self) -> BTreeSet<String> {
        self.0.emptied()
    }

    fn are_empty(&self, projects: &BTreeSet<String>) -> bool {
        self.0.are_empty(projects)
    }
}

#[async_trait]
impl Consequences for RosterConsequences {
    async fn emptied(&self, proposed: ProposedFacts, crowd: u64) -> Vec<String> {
        let ProposedFacts { source, seen, facts } = proposed;
        let crowd = usize::try_from(crowd).unwrap_or(usize::MAX);
        if !could_empty_project(&facts, crowd) {
            return Vec::new();
        }
        let now = self.clock.now();
        self.try_on_copy(seen, move |before| emptied_projects(&before, &source, &facts, crowd, now)).await
    }

    async fn inquire(&self, source: SourceName, seen: Position, crowd: u64, inquiry: Inquiry) -> BTreeSet<String> {
        let (now, crowd) = (self.clock.now(), usize::try_from(crowd).unwrap_or(usize::MAX));
        self.try_on_copy(seen, move |before| {
            inquiry(&mut RosterTrial(rollcall_access::Trial::of(before, source, crowd, now)))
        })
        .await
    }

    fn is_retired(&self, source: &SourceName) -> bool {
        self.handle.live().read().retirement(source.as_str()).is_some()
    }
}
