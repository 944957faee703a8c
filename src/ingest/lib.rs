#![doc = include_str!("README.md")]

mod baseline_index;
mod consequences;
mod delivery;
mod difference;
mod engine;
mod guard;
mod headers;
mod hook;
mod inbox;
pub mod memory;
mod plan;
mod problem;
pub mod pull;
mod receive;
mod replay;
mod runner;
#[cfg(test)]
mod runner_tests;
mod schedule;
mod status;
mod stores;
mod telemetry;
#[cfg(test)]
mod tests;
mod validate;

pub use consequences::{Consequences, ProposedFacts};
pub use delivery::{Delivery, DeliveryId, Part, PartState, Verdict};
pub use difference::ChangeKind;
pub use engine::{ChangeCounts, EngineDeps, Random, ReadOptions, RunError, RunOutcome};
pub use headers::{Headers, RepeatedHeader};
pub use hook::{Hook, MappedEvent, MappingError, Rejection, TimestampCheck};
pub use inbox::{Durability, Inbox, InboxError, PartOutcomes, StoredDelivery};
pub use plan::{Plan, PlanClosure, PlanId, PlanReason, PlanRow, PlanState};
pub use problem::{Problem, ProblemType};
pub use receive::{AnsweredEvent, DeliveryAnswer, HookRoute, InboundCall, ReceiveError, Receiver};
pub use replay::{ReplayError, Replayed};
pub use runner::{ApplyOutcome, RunnerError, RunnerTasks, Runners};
pub use schedule::{Cron, InvalidCron};
pub use status::{AbsentMembers, ExcludedFacts, LastFullRead, SourceState, SourceStatus};
pub use stores::{
    BaselineEntries, BaselineEntry, BaselineState, BaselineStore, Fingerprint, RecordedFacts, SavedCursor,
    SourceRecords, SourceStore, StoreError, Visitor,
};
pub use validate::{Personal, ValidEvent, validate};
