#![doc = include_str!("README.md")]

mod delivery;
mod headers;
mod hook;
mod inbox;
mod judge;
pub mod memory;
mod problem;
pub mod pull;
mod receive;
mod replay;
mod telemetry;
#[cfg(test)]
mod tests;

pub use delivery::{Delivery, DeliveryId, Part, PartState, Verdict};
pub use headers::{Headers, Repeated};
pub use hook::{Age, Hook, Rejection, Said, Unread};
pub use inbox::{Durability, Inbox, InboxError, Kept, Settled};
pub use judge::{Fact, Personal, judge};
pub use problem::{Problem, ProblemType};
pub use receive::{Answer, Answered, Call, ReceiveError, Receiver, Route};
pub use replay::{ReplayError, Replayed};
