//! The way of a delivery: from the bytes that came in to the answer that goes out, and over it again.
//! Knows no format and no SQL.

pub(crate) mod inbox;
pub(crate) mod model;
mod quarantine;
pub(crate) mod receive;
pub(crate) mod replay;
mod said;
mod telemetry;
pub(crate) mod validate;

pub use inbox::{
    Durability, Inbox, InboxError, PartForm, PartOutcomes, SaidAgain, SameDelivery, SameNotification, StoredDelivery,
};
pub use model::{Delivery, DeliveryId, Part, PartState, Replayed, Sent, Verdict};
pub use quarantine::Quarantine;
pub use receive::{AnsweredEvent, DeliveryAnswer, HookRoute, InboundCall, IsRetired, ReceiveError, Receiver};
pub use replay::ReplayError;
pub use validate::{ValidEvent, validate};
