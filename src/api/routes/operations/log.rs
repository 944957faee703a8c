//! `/api/v1/log`: the signed head, the key to check it with, and a check of the whole chain.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use rollcall_app::{
    Verified,
    operations::log::{self, SignedHead},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::{EmptyBody, JsonBody},
    extractors::{ApiState, Read, Write},
    problem::{ProblemDocument, Result},
    query::FreshnessParams,
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(head)).routes(routes!(key)).routes(routes!(verify))
}

/// The head of the log, signed.
///
/// Keep it elsewhere; `rollcall verify --against` proves later that nothing before it was changed.
#[utoipa::path(
    get, path = "/api/v1/log/head", tag = "log", operation_id = "log_head", params(FreshnessParams),
    responses((status = 200, body = SignedHead), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn head(read: Read) -> Result<Response> {
    read.respond(&log::head(&read.reads).await?)
}

/// The public key of the log's signatures, PEM.
#[utoipa::path(
    get, path = "/api/v1/log/key", tag = "log", operation_id = "log_key", params(FreshnessParams),
    responses((status = 200, body = String, content_type = "application/x-pem-file"), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn key(read: Read) -> Result<Response> {
    let answer = log::public_key(&read.reads);
    let pem = ([(header::CONTENT_TYPE, "application/x-pem-file")], answer.value).into_response();
    Ok(read.respond_with(answer.position, pem))
}

/// Reads the whole log and checks its chain.
#[utoipa::path(
    post, path = "/api/v1/log/verify", tag = "log", operation_id = "log_verify",
    responses((status = 200, body = Verified), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn verify(Write(commands): Write, JsonBody(EmptyBody {}): JsonBody<EmptyBody>) -> Result<Response> {
    let verified = log::verify(commands).await?;
    response::json(StatusCode::OK, Some(verified.position), &verified)
}
