//! `/api/v1/people`: persons as their sources know them, their personal data and its erasure.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_app::{
    Page,
    access::people::{self, Erased, PeopleQuery, PersonShown},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    extractors::{ApiState, Read, Write},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, Paged, PagingParams},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(erase))
}

/// People by source and id.
#[utoipa::path(
    get, path = "/api/v1/people", tag = "people", operation_id = "people", params(PeopleQuery, PagingParams, FreshnessParams),
    responses((status = 200, body = Page<PersonShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<PeopleQuery>>) -> Result<Response> {
    read.respond_page(people::list(&read.reads, read.query.filter.clone(), read.query.page()?).await?)
}

/// One person, with e-mail and display name while they are kept.
#[utoipa::path(
    get, path = "/api/v1/people/{source}/{id}", tag = "people", operation_id = "person",
    params(("source" = String, Path, description = "The source"), ("id" = String, Path, description = "The source's id"), FreshnessParams),
    responses((status = 200, body = PersonShown), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn show(read: Read, Path((source, id)): Path<(String, String)>) -> Result<Response> {
    read.respond(&people::show(&read.reads, &source, &id).await?)
}

/// Erases e-mail and display name of a person, and the bytes of every kept delivery that holds them. Safe to repeat.
#[utoipa::path(
    delete, path = "/api/v1/people/{source}/{id}/personal", tag = "people", operation_id = "person_erase",
    params(("source" = String, Path, description = "The source"), ("id" = String, Path, description = "The source's id")),
    responses((status = 200, body = Erased), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn erase(Write(commands): Write, Path((source, id)): Path<(String, String)>) -> Result<Response> {
    response::json(StatusCode::OK, None, &people::erase(commands, &source, &id).await?)
}
