#![doc = include_str!("README.md")]

mod baseline;
pub mod connector;
mod delivery;
mod personal;
mod reading;
mod string_enum;
#[cfg(test)]
mod suite;
pub mod testkit;

pub use baseline::{BaselineEntries, BaselineEntry, Fingerprint, RecordedFact, RecordedFacts};
pub use delivery::{
    AnsweredEvent, Delivery, DeliveryAnswer, DeliveryId, Durability, HookRoute, InboundCall, Inbox, InboxError,
    IsRetired, Part, PartForm, PartOutcomes, PartState, Quarantine, ReceiveError, Receiver, ReplayError, Replayed,
    SaidAgain, SameDelivery, SameNotification, Sent, StoredDelivery, ValidEvent, Verdict, validate,
};
pub use personal::Personal;
pub use reading::{
    AbsentMembers, ApplyOutcome, BaselineState, BaselineStore, ChangeCounts, ChangeKind, Consequences, Cron,
    EngineDeps, ExcludedFacts, Inquiry, InvalidCron, LastFullRead, Plan, PlanClosure, PlanId, PlanReason, PlanRow,
    PlanState, ProposedFacts, Random, ReadOptions, RunError, RunOutcome, RunnerError, RunnerTasks, Runners,
    SavedCursor, SourceRecords, SourceState, SourceStatus, SourceStore, StoreError, Trial, Visitor, guard,
};
