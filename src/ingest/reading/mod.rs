//! Sources that are read: when, what a read comes to, what is recorded of it and what waits for a person.
//! Knows no kind of source and no SQL.

pub(crate) mod change;
pub(crate) mod consequences;
pub(crate) mod engine;
pub mod guard;
pub(crate) mod plan;
pub(crate) mod removal_window;
pub(crate) mod run;
pub(crate) mod runner;
pub(crate) mod schedule;
pub(crate) mod status;
pub(crate) mod stores;
mod supervised;
mod telemetry;

pub use change::ChangeKind;
pub use consequences::{Consequences, Inquiry, ProposedFacts, Trial};
pub use plan::{Plan, PlanClosure, PlanId, PlanReason, PlanRow, PlanState};
pub use run::{ChangeCounts, EngineDeps, Random, ReadOptions, RunError, RunOutcome};
pub use runner::{ApplyOutcome, RunnerError, RunnerTasks, Runners};
pub use schedule::{Cron, InvalidCron};
pub use status::{AbsentMembers, ExcludedFacts, LastFullRead, SourceState, SourceStatus};
pub use stores::{BaselineState, BaselineStore, SavedCursor, SourceRecords, SourceStore, StoreError, Visitor};
