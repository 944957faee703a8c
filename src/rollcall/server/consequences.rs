//! What a read of a source would come to, asked of the roster. Works on a copy, so that folding and deciding go on.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rollcall_access::{could_empty_project, emptied_projects};
use rollcall_events::{Clock, SourceName};
use rollcall_ingest::{Consequences, ProposedFacts};
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

#[async_trait]
impl Consequences for RosterConsequences {
    async fn emptied(&self, proposed: ProposedFacts, crowd: u64) -> Vec<String> {
        let ProposedFacts { source, seen, facts } = proposed;
        let crowd = usize::try_from(crowd).unwrap_or(usize::MAX);
        if !could_empty_project(&facts, crowd) {
            return Vec::new();
        }
        // A roster that stands still is said elsewhere; what it has is still worth asking.
        self.handle.wait_for(seen, ROSTER_TIMEOUT).await;
        let (before, now) = (self.handle.live().read_long().clone(), self.clock.now());
        let tried = tokio::task::spawn_blocking(move || emptied_projects(&before, &source, &facts, crowd, now)).await;
        tried.unwrap_or_else(|error| {
            tracing::error!(%error, "what a read would come to could not be tried");
            Vec::new()
        })
    }

    fn is_retired(&self, source: &SourceName) -> bool {
        self.handle.live().read().retirement(source.as_str()).is_some()
    }
}
