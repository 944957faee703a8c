#![doc = include_str!("README.md")]

pub mod access;
mod answer;
mod app;
mod authors;
mod binding_id;
mod caller;
mod command_budget;
mod commands;
mod control;
mod error;
mod find;
mod input;
mod lists;
mod openapi_schemas;
pub mod operations;
mod past;
mod permissions;
mod prefix;
mod question;
mod random;
mod reads;
mod share;
mod telemetry;
mod turn;
pub mod words;

use words::filters;

pub use answer::{Answer, CacheBasis, CommandOutcome, Created, List};
pub use app::{App, AppParts};
pub use authors::{CausedBy, CausedByKind, EventCause};
pub use caller::{Caller, SignedIn};
pub use commands::{Commands, Given, OneRequest, Origin, Precondition};
pub use control::{
    Checked, Control, ControlError, Decisions, Projection, ProjectionState, ReloadOutcome, Reloaded, ReloadedItem,
    RenewalStep, SigningAuthority, SigningKey, Verified,
};
pub use error::{Error, ErrorKind, Result};
pub use lists::page::{Page, PageRequest};
pub use past::{PastQuery, parse_log_id};
pub use permissions::{Admission, At, Permission};
pub use question::Scope;
pub use random::random;
pub use reads::Reads;
pub use turn::Awaited;
