//! What facts mean beyond their source, asked of whoever knows the roster. Ingest knows no project and no role; it only
//! names the question.

use async_trait::async_trait;
use rollcall_events::{Body, Position, SourceName};

/// Facts of a source that are not recorded yet.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposedFacts {
    /// Whose facts.
    pub source: SourceName,
    /// The log's position that they were held against.
    pub seen: Position,
    /// What would be recorded, in that order.
    pub facts: Vec<Body>,
}

/// Who knows what facts come to.
#[async_trait]
pub trait Consequences: Send + Sync + 'static {
    /// The projects, by name, that have `min_members` members or more now and would have none once this was recorded. Asked only
    /// where something would be taken away. Bounds its own time: where it cannot tell, it names none.
    async fn emptied(&self, proposed: ProposedFacts, min_members: u64) -> Vec<String>;

    /// Whether a source is retired, for ever: it is not read any more.
    fn is_retired(&self, source: &SourceName) -> bool;
}
