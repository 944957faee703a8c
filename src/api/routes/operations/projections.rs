//! `/api/v1/projections`: where the derived state stands, held against the log, made anew beside the live one.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_app::{Checked, List, Projection, operations::projections};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::{EmptyBody, JsonBody},
    extractors::{ApiState, Read, Write},
    problem::{ProblemDocument, Result},
    query::FreshnessParams,
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(check)).routes(routes!(rebuild))
}

/// Where each projection stands.
#[utoipa::path(
    get, path = "/api/v1/projections", tag = "projections", operation_id = "projections", params(FreshnessParams),
    responses((status = 200, body = List<Projection>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read) -> Result<Response> {
    read.respond(&projections::list(&read.reads).await?)
}

/// Folds the log anew beside the live projection and compares; changes nothing.
#[utoipa::path(
    post, path = "/api/v1/projections/{name}/check", tag = "projections", operation_id = "projection_check",
    params(("name" = String, Path, description = "`roster` or `read`")),
    responses((status = 200, body = Checked), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn check(
    Write(commands): Write,
    Path(name): Path<String>,
    JsonBody(EmptyBody {}): JsonBody<EmptyBody>,
) -> Result<Response> {
    let checked = projections::check(commands, &name).await?;
    response::json(StatusCode::OK, Some(checked.position), &checked)
}

/// Folds the log anew beside the live projection, compares, and swaps.
#[utoipa::path(
    post, path = "/api/v1/projections/{name}/rebuild", tag = "projections", operation_id = "projection_rebuild",
    params(("name" = String, Path, description = "`roster` or `read`")),
    responses((status = 200, body = Checked), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn rebuild(
    Write(commands): Write,
    Path(name): Path<String>,
    JsonBody(EmptyBody {}): JsonBody<EmptyBody>,
) -> Result<Response> {
    let rebuilt = projections::rebuild(commands, &name).await?;
    response::json(StatusCode::OK, Some(rebuilt.position), &rebuilt)
}
