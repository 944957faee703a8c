//! `/api/v1/decisions`: what was refused or reduced, found by its id.

use axum::{extract::Path, response::Response};
use rollcall_app::{
    Page,
    access::decisions::{self, Decision, DecisionInFull, DecisionsQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    extractors::{ApiState, Read},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, Paged, PagingParams},
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// Decisions that were not granted in full, newest first.
#[utoipa::path(
    get, path = "/api/v1/decisions", tag = "decisions", operation_id = "decisions", params(DecisionsQuery, PagingParams, FreshnessParams),
    responses((status = 200, body = Page<Decision>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<DecisionsQuery>>) -> Result<Response> {
    read.respond_page(decisions::list(&read.reads, &read.query.filter, &read.query.page()?).await?)
}

/// One decision, with what the answer would be now and why.
#[utoipa::path(
    get, path = "/api/v1/decisions/{id}", tag = "decisions", operation_id = "decision",
    params(("id" = String, Path, description = "The decision's id"), FreshnessParams),
    responses((status = 200, body = DecisionInFull), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn show(read: Read, Path(id): Path<String>) -> Result<Response> {
    read.respond(&decisions::show(&read.reads, &id).await?)
}
