//! What a connector is. A connector knows one kind of source and turns it into facts, and nothing else: it has no log, no
//! store, no clock, and sees no role. For each configured source it offers what that source can do:
//!
//! - [`Hook`]: the source calls us. It tells which bytes are the source's own and maps them to events.
//! - [`Pull`]: we ask the source. It is read as a whole, looked up singly, and followed where it says what changes.
//!
//! Both are object-safe; the binary plugs them in, beside whatever else a kind offers there (a password check, an inspection).
//! `testkit/mod.rs` has the shortest connector that pulls.

mod change_sink;
mod fact;
mod failure;
mod headers;
mod hook;
mod problem;
mod pull;
mod snapshot;

pub(crate) use change_sink::SinkBackend;
pub use change_sink::{
    ChangeSink, Cursor, ResumePoint, SaveOutcome, SinkError, SourceChange, StateEntry, StateUpdate, UnreadMembers,
};
pub use fact::{Fact, FactSelector};
pub use failure::{Failure, FullReadReason};
pub use headers::{Headers, RepeatedHeader};
pub use hook::{
    ClientCertificate, Found, Hook, MappedEvent, MappingError, Notification, Occasion, Rejection, SecretUse, Sender,
    SenderId,
};
pub(crate) use problem::clipped;
pub use problem::{Problem, ProblemType};
pub use pull::{LookupAnswer, Pull, Scope};
pub(crate) use snapshot::RunContext;
pub use snapshot::{Section, Snapshot, SnapshotBuilder};

pub use crate::personal::PersonalData;
