//! `/api/v1/folders`: the scopes above projects, kept by people.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_app::{
    CommandOutcome, Page,
    access::folders::{self, FolderShown, NewFolder},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::JsonBody,
    extractors::{ApiState, ConditionalWrite, Read},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, NoFilter, Paged, PagingParams},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, set, remove))
}

/// Folders that the caller sees, by id.
#[utoipa::path(
    get, path = "/api/v1/folders", tag = "folders", operation_id = "folders", params(PagingParams, FreshnessParams),
    responses((status = 200, body = Page<FolderShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<NoFilter>>) -> Result<Response> {
    read.respond_page(folders::list(&read.reads, read.query.page()?).await?)
}

/// One folder.
#[utoipa::path(
    get, path = "/api/v1/folders/{id}", tag = "folders", operation_id = "folder",
    params(("id" = String, Path, description = "The folder's id"), FreshnessParams),
    responses((status = 200, body = FolderShown), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn show(read: Read, Path(id): Path<String>) -> Result<Response> {
    read.respond(&folders::show(&read.reads, &id)?)
}

/// Makes a folder, or states it anew: another parent, another label.
#[utoipa::path(
    put, path = "/api/v1/folders/{id}", tag = "folders", operation_id = "folder_set",
    params(("id" = String, Path, description = "The folder's id")), request_body = NewFolder,
    responses(
        (status = 200, body = CommandOutcome), (status = 201, body = CommandOutcome),
        (status = "default", body = ProblemDocument, content_type = "application/problem+json")
    )
)]
async fn set(write: ConditionalWrite, Path(id): Path<String>, JsonBody(new): JsonBody<NewFolder>) -> Result<Response> {
    let set = folders::set(write.commands, &id, new, write.only_if).await?;
    response::outcome(if set.created { StatusCode::CREATED } else { StatusCode::OK }, &set.outcome)
}

/// Removes a folder that has nothing in it.
#[utoipa::path(
    delete, path = "/api/v1/folders/{id}", tag = "folders", operation_id = "folder_remove",
    params(("id" = String, Path, description = "The folder's id")),
    responses((status = 200, body = CommandOutcome), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn remove(write: ConditionalWrite, Path(id): Path<String>) -> Result<Response> {
    response::outcome(StatusCode::OK, &folders::remove(write.commands, &id, write.only_if).await?)
}
