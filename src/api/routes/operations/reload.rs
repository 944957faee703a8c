//! `/api/v1/reload`: secrets and certificates read anew.

use axum::{http::StatusCode, response::Response};
use rollcall_app::{Reloaded, operations::reload};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::{EmptyBody, JsonBody},
    extractors::{ApiState, Write},
    problem::{ProblemDocument, Result},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read_anew))
}

/// Reads secrets and certificates anew. Each by itself: where one cannot be used the one before stays, and is named.
#[utoipa::path(
    post, path = "/api/v1/reload", tag = "keys", operation_id = "reload",
    responses((status = 200, body = Reloaded), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn read_anew(Write(commands): Write, JsonBody(EmptyBody {}): JsonBody<EmptyBody>) -> Result<Response> {
    response::json(StatusCode::OK, None, &reload::reload(commands).await?)
}
