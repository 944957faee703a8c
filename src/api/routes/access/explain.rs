//! `POST /api/v1/explain`: may this user do this here, and why, or why not and what would change it.

use axum::response::Response;
use rollcall_app::access::explain::{self, AccessQuestion, Explained};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::JsonBody,
    extractors::{ApiState, Read},
    problem::{ProblemDocument, Result},
    query::FreshnessParams,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(ask))
}

/// Answers an access question with its grounds. Changes nothing. Everybody may ask about the own user.
#[utoipa::path(
    post, path = "/api/v1/explain", tag = "explain", operation_id = "explain", params(FreshnessParams), request_body = AccessQuestion,
    responses((status = 200, body = Explained), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn ask(read: Read, JsonBody(question): JsonBody<AccessQuestion>) -> Result<Response> {
    read.respond(&explain::answer(&read.reads, question).await?)
}
