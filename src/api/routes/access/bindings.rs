//! `/api/v1/bindings`: roles given by hand, one by one and as one document.

use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use rollcall_app::{
    CommandOutcome, Page,
    access::{
        bindings::{self, BindingSet, BindingShown, BindingsQuery, NewBinding},
        bindings_document::{self, BindingsApplied, BindingsDocument, BindingsPlan},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::{JsonBody, LargeJsonBody},
    extractors::{ApiState, ConditionalWrite, PlannedWrite, Read},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, Paged, PagingParams},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list, set))
        .routes(routes!(show, remove))
        .routes(routes!(plan))
        .routes(routes!(apply))
}

/// Roles given by hand and not taken away, by who has them; those whose window is over too. The own ones, and those on scopes where
/// the caller may list them. Who lists all of them is told where a filter names what is not there.
#[utoipa::path(
    get, path = "/api/v1/bindings", tag = "bindings", operation_id = "bindings", params(BindingsQuery, PagingParams, FreshnessParams),
    responses((status = 200, body = Page<BindingShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<BindingsQuery>>) -> Result<Response> {
    read.respond_page(bindings::list(&read.reads, read.query.filter.clone(), read.query.page()?).await?)
}

/// One role given by hand.
#[utoipa::path(
    get, path = "/api/v1/bindings/{id}", tag = "bindings", operation_id = "binding",
    params(("id" = String, Path, description = "The binding's id"), FreshnessParams),
    responses((status = 200, body = BindingShown), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn show(read: Read, Path(id): Path<String>) -> Result<Response> {
    read.respond(&bindings::show(&read.reads, &id)?)
}

/// Gives a user, a service or a group a role on a project, a folder or everywhere.
///
/// A project of a package is managed by its source: 409 names it, unless the operator allows bindings on such projects.
#[utoipa::path(
    post, path = "/api/v1/bindings", tag = "bindings", operation_id = "binding_set", request_body = NewBinding,
    responses((status = 200, body = BindingSet), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn set(write: ConditionalWrite, JsonBody(new): JsonBody<NewBinding>) -> Result<Response> {
    let set = bindings::set(write.commands, new, write.only_if).await?;
    response::json(StatusCode::OK, Some(set.position), &set)
}

/// Takes a role that was given by hand away again. Whoever holds it may always leave.
#[utoipa::path(
    delete, path = "/api/v1/bindings/{id}", tag = "bindings", operation_id = "binding_remove",
    params(("id" = String, Path, description = "The binding's id")),
    responses((status = 200, body = CommandOutcome), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn remove(write: ConditionalWrite, Path(id): Path<String>) -> Result<Response> {
    response::outcome(StatusCode::OK, &bindings::remove(write.commands, &id, write.only_if).await?)
}

/// Says what of a document of bindings is not so yet, and what making it so would change. Changes nothing.
#[utoipa::path(
    post, path = "/api/v1/bindings/plan", tag = "bindings", operation_id = "bindings_plan", params(FreshnessParams), request_body = BindingsDocument,
    responses((status = 200, body = BindingsPlan), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn plan(read: Read, LargeJsonBody(document): LargeJsonBody<BindingsDocument>) -> Result<Response> {
    let answer = bindings_document::plan(&read.reads, document).await?;
    let mut response = read.respond(&answer)?;
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", answer.value.plan)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Makes a document of bindings so. With `If-Match`, the `ETag` of a plan, only if that is exactly what would be done.
/// Where any row would be refused nothing is recorded.
#[utoipa::path(
    post, path = "/api/v1/bindings/apply", tag = "bindings", operation_id = "bindings_apply", request_body = BindingsDocument,
    responses((status = 200, body = BindingsApplied), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn apply(write: PlannedWrite, LargeJsonBody(document): LargeJsonBody<BindingsDocument>) -> Result<Response> {
    let applied = bindings_document::apply(write.commands, document, write.plan.as_deref()).await?;
    response::json(StatusCode::OK, applied.positions.last().copied(), &applied)
}
