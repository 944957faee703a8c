#![doc = include_str!("README.md")]

mod brake;
mod consequences;
mod delivery;
mod difference;
mod engine;
mod headers;
mod hook;
mod inbox;
mod judge;
mod ledger;
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
mod standing;
mod stores;
mod telemetry;
#[cfg(test)]
mod tests;

pub use brake::{Braked, Weight, brake};
pub use consequences::{Consequences, Proposed};
pub use delivery::{Delivery, DeliveryId, Part, PartState, Verdict};
pub use difference::Verb;
pub use engine::{Concluded, Numbers, Options, Random, RunError, Works};
pub use headers::{Headers, Repeated};
pub use hook::{Age, Hook, Rejection, Said, Unread};
pub use inbox::{Durability, Inbox, InboxError, Kept, Settled};
pub use judge::{Fact, Personal, judge};
pub use plan::{Closed, Plan, PlanId, PlanState, Row, Why};
pub use problem::{Problem, ProblemType};
pub use receive::{Answer, Answered, Call, ReceiveError, Receiver, Route};
pub use replay::{ReplayError, Replayed};
pub use runner::{Applied, OrderError, Runners, Running};
pub use schedule::{Cron, InvalidCron};
pub use standing::{Absent, Excluded, Standing, State, Whole};
pub use stores::{Facts, Fingerprint, Followed, Mark, Marks, Mirror, Reached, Records, Shelf, Show, StoreError};
