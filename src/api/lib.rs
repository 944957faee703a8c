#![doc = include_str!("README.md")]

mod asked;
mod asker;
mod authzen;
mod bindings;
mod command;
mod conditions;
mod control;
mod credentials;
mod csv;
mod decisions;
mod deliveries;
mod events;
mod explain;
mod folders;
mod groups;
mod guard;
mod heavy;
mod hooks;
mod input;
mod keys;
mod log;
mod once;
mod openapi;
mod past;
mod people;
mod plans;
mod previews;
mod problem;
mod projections;
mod projects;
mod query;
mod reasons;
mod reply;
mod reports;
mod rights;
mod secrets;
mod services;
mod sources;
mod telemetry;
mod users;

#[cfg(test)]
mod suite;

use axum::Router;

pub use control::{Checked, Control, ControlError, Decisions, Projection, ProjectionState, SigningKey, Verified};
pub use credentials::{AdminKey, NoPasswords, Passwords, SignIn};
pub use guard::Api;
pub use problem::{Kind, Problem};

/// The routes of `/hooks` and `/api/v1`.
///
/// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, so that deliveries are kept with their caller.
pub fn router(api: Api) -> Router {
    openapi::assemble(guard::Locked::new(api))
}

/// The OpenAPI 3.1 document, as it is served and checked in.
#[must_use]
pub fn openapi_json() -> String {
    openapi::document()
}
