//! `/api/v1/plans`: what a source that Rollcall reads says otherwise than before, before it is recorded.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_app::{
    Page,
    operations::plans::{self, Confirmation, PlanApplied, PlanRow, PlanShown, PlannedMemberships, PlansQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::{EmptyBody, JsonBody},
    extractors::{ApiState, Read, Write},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, NoFilter, Paged, PagingParams},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(rows))
        .routes(routes!(memberships))
        .routes(routes!(create))
        .routes(routes!(apply))
        .routes(routes!(discard))
}

/// Plans, newest first.
#[utoipa::path(
    get, path = "/api/v1/plans", tag = "plans", operation_id = "plans", params(PlansQuery, PagingParams, FreshnessParams),
    responses((status = 200, body = Page<PlanShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<PlansQuery>>) -> Result<Response> {
    read.respond_page(plans::list(&read.reads, &read.query.filter, &read.query.page()?).await?)
}

/// One plan; what it would append stands in its rows.
#[utoipa::path(
    get, path = "/api/v1/plans/{id}", tag = "plans", operation_id = "plan",
    params(("id" = String, Path, description = "The plan's id"), FreshnessParams),
    responses((status = 200, body = PlanShown), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn show(read: Read, Path(id): Path<String>) -> Result<Response> {
    read.respond(&plans::show(&read.reads, &id).await?)
}

/// What applying a plan would append, row for row, in that order.
#[utoipa::path(
    get, path = "/api/v1/plans/{id}/rows", tag = "plans", operation_id = "plan_rows",
    params(("id" = String, Path, description = "The plan's id"), PagingParams, FreshnessParams),
    responses((status = 200, body = Page<PlanRow>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn rows(read: Read<Paged<NoFilter>>, Path(id): Path<String>) -> Result<Response> {
    read.respond_page(plans::rows(&read.reads, &id, &read.query.page()?).await?)
}

/// Who would get or lose which role in which project if a plan were applied now, by user and project.
#[utoipa::path(
    get, path = "/api/v1/plans/{id}/memberships", tag = "plans", operation_id = "plan_memberships",
    params(("id" = String, Path, description = "The plan's id"), FreshnessParams),
    responses((status = 200, body = PlannedMemberships), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn memberships(read: Read, Path(id): Path<String>) -> Result<Response> {
    read.respond(&plans::memberships(&read.reads, &id).await?)
}

/// Reads a source and keeps a plan of what recording its answer would append. Appends nothing.
///
/// The read takes as long as it takes; when the request runs out of time, the plan is found in `/api/v1/plans`.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/plan", tag = "plans", operation_id = "source_plan",
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 201, body = PlanShown), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn create(
    Write(commands): Write,
    Path(source): Path<String>,
    JsonBody(EmptyBody {}): JsonBody<EmptyBody>,
) -> Result<Response> {
    response::json(StatusCode::CREATED, None, &plans::create(commands, &source).await?)
}

/// Reads the source again and records what it says, if the removals are those of the plan and as many as confirmed.
///
/// Where they are not, nothing is recorded, the answer is 409, and the new plan is in `/api/v1/plans`. A request that
/// runs out of time does not stop it.
#[utoipa::path(
    post, path = "/api/v1/plans/{id}/apply", tag = "plans", operation_id = "plan_apply", request_body = Confirmation,
    params(("id" = String, Path, description = "The plan's id")),
    responses((status = 200, body = PlanApplied), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn apply(
    Write(commands): Write,
    Path(id): Path<String>,
    JsonBody(confirmation): JsonBody<Confirmation>,
) -> Result<Response> {
    let applied = plans::apply(commands, &id, confirmation).await?;
    response::json(StatusCode::OK, Some(applied.position), &applied)
}

/// Puts a plan aside. What it would have removed stands; the next read of the source finds it again.
#[utoipa::path(
    post, path = "/api/v1/plans/{id}/discard", tag = "plans", operation_id = "plan_discard",
    params(("id" = String, Path, description = "The plan's id")),
    responses((status = 200, body = PlanShown), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn discard(
    Write(commands): Write,
    Path(id): Path<String>,
    JsonBody(EmptyBody {}): JsonBody<EmptyBody>,
) -> Result<Response> {
    response::json(StatusCode::OK, None, &plans::discard(commands, &id).await?)
}
