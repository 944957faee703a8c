//! What facts mean beyond their source, asked of whoever knows the roster. Ingest knows no project and no role; it only
//! names the question.

use std::collections::BTreeSet;

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

/// A copy of what is known, into which facts are recorded to see what they come to. One serves many questions: what was
/// recorded is taken back by recording what stood before it.
pub trait Trial: Send {
    /// Goes on as if this had been recorded.
    fn record(&mut self, facts: &[Body]);
    /// Forgets what was recorded.
    fn begin_anew(&mut self);
    /// The projects, by name, that have as many members as was asked for, as is known, and none now.
    fn emptied(&self) -> BTreeSet<String>;
    /// Whether none of these projects has a member now.
    fn are_empty(&self, projects: &BTreeSet<String>) -> bool;
}

/// What is asked of a trial; gives subjects.
pub type Inquiry = Box<dyn FnOnce(&mut dyn Trial) -> BTreeSet<String> + Send>;

/// Who knows what facts come to.
#[async_trait]
pub trait Consequences: Send + Sync + 'static {
    /// The projects, by name, that have `min_members` members or more now and would have none once this was recorded. Asked only
    /// where something would be taken away. Bounds its own time: where it cannot tell, it names none.
    async fn emptied(&self, proposed: ProposedFacts, min_members: u64) -> Vec<String>;

    /// Asks several things about facts of a source, held against this position, of one trial. Gives what the inquiry gives;
    /// nothing where it cannot tell.
    async fn inquire(&self, source: SourceName, seen: Position, min_members: u64, inquiry: Inquiry)
    -> BTreeSet<String>;

    /// Whether a source is retired, for ever: it is not read any more.
    fn is_retired(&self, source: &SourceName) -> bool;
}
