#![doc = include_str!("README.md")]

mod http;
mod router;
mod routes;
mod telemetry;

#[cfg(test)]
mod suite;

use axum::Router;

pub use crate::http::{
    answer_key::AnswerKey,
    extractors::{Api, admit},
    problem::{FieldError, Kind, Problem, ProblemDocument},
};

/// The routes of `/hooks` and `/api/v1`.
///
/// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, so that deliveries are kept with their caller.
pub fn router(api: Api) -> Router {
    router::assemble(crate::http::extractors::ApiState::new(api))
}

/// The OpenAPI 3.1 document, as it is served and checked in.
#[must_use]
pub fn openapi_json() -> String {
    router::document()
}
