//! The records that only this installation has: deliveries and quarantine, personal data, decisions, plans, idempotency
//! answers. What is kept and asked, as rows and one trait per concern; how, is an engine's. Judges nothing, and if it is
//! lost, no membership is.

mod answers;
mod decisions;
mod deliveries;
mod error;
mod open;
mod people;
mod refused;
mod retention;
mod sources;
mod sqlite;
mod store;

pub(crate) use answers::ANSWERS_KEPT;
pub use answers::{AnswerRecords, Claim, StoredAnswer};
pub use decisions::{DecisionCount, DecisionFilter, DecisionKind, DecisionOutcome, DecisionRecords, DecisionRow};
pub use deliveries::{
    DeliveryDetail, DeliveryFilter, DeliveryRecords, DeliverySummary, Dismissal, OpenDelivery, OpenOutcome,
    PartProblem, PartRow, ReplayRow,
};
pub use error::{OpenError, OpsError};
pub use open::{backup, open};
pub use people::{PersonRecords, PersonalRow};
pub use refused::{LetGo, RefusedSignInRow, RefusedSignIns};
pub use retention::Retention;
pub use sources::SourceQueries;
pub use store::Ops;
