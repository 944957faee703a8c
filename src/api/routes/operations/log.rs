//! `/api/v1/log`: the signed head, the key to check it with, and a check of the whole chain.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use rollcall_eventlog::TailError;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    control::Verified,
    http::guard::{Commands, Locked, Reads},
    http::input::{Empty, Input},
    http::problem::{Answer, Kind, Problem, ProblemShape},
    http::query::Fresh,
    http::reply::{self, RestsOn},
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(head)).routes(routes!(key)).routes(routes!(verify))
}

/// The head of the log under its signature.
#[derive(Serialize, ToSchema)]
struct SignedHead {
    /// The log's id, hexadecimal.
    log: String,
    /// The newest durable position.
    position: u64,
    /// The chain's hash there, hexadecimal.
    hash: String,
    /// When it was signed.
    signed_at: chrono::DateTime<chrono::Utc>,
    /// ES256 over `log.position.hash.signed_at`, base64.
    signature: String,
}

/// The head of the log, signed.
///
/// Keep it elsewhere; `rollcall verify --against` proves later that nothing before it was changed.
#[utoipa::path(
    get, path = "/api/v1/log/head", tag = "log", operation_id = "log_head", params(Fresh),
    responses((status = 200, body = SignedHead), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn head(reads: Reads) -> Answer<Response> {
    let rollcall_eventlog::SignedHead { log, position, hash, signed_at, signature } =
        reads.tail().signed_head().await.map_err(log_problem)?;
    let body = SignedHead { log, position: position.0, hash, signed_at, signature };
    reads.answer(position, RestsOn::MoreThanTheLog, &body)
}

/// The public key of the log's signatures, PEM.
#[utoipa::path(
    get, path = "/api/v1/log/key", tag = "log", operation_id = "log_key", params(Fresh),
    responses((status = 200, body = String, content_type = "application/x-pem-file"), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn key(reads: Reads) -> Answer<Response> {
    let pem = ([(header::CONTENT_TYPE, "application/x-pem-file")], reads.tail().public_key_pem()).into_response();
    Ok(reads.stamped(pem))
}

/// Reads the whole log and checks its chain.
#[utoipa::path(
    post, path = "/api/v1/log/verify", tag = "log", operation_id = "log_verify",
    responses((status = 200, body = Verified), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn verify(orders: Commands, Input(Empty {}): Input<Empty>) -> Answer<Response> {
    let verified = orders.control().verify().await?;
    reply::done(StatusCode::OK, Some(verified.position), &verified)
}

/// What a caller is told when the log cannot be read.
pub(crate) fn log_problem(error: TailError) -> Problem {
    match error {
        TailError::Damaged { position, .. } => Kind::Damaged
            .because(format!(
                "{error}. Nothing from there on is used. Stop the server, run `rollcall verify`, restore a backup."
            ))
            .at(position),
        TailError::Unavailable(_) => Problem::unavailable("The log cannot be read", &error),
    }
}
