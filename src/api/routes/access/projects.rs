//! `/api/v1/projects`: the namespaces that packages own and that people make, and who is in them.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_app::{
    CommandOutcome, Page, PastQuery,
    access::projects::{self, Member, NewProject, Project, ProjectChange, ProjectMade},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::JsonBody,
    extractors::{ApiState, ConditionalWrite, Read, Write},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, NoFilter, Paged, PagingParams},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, delete))
        .routes(routes!(list_members))
}

/// Projects that the caller sees, by name.
#[utoipa::path(
    get, path = "/api/v1/projects", tag = "projects", operation_id = "projects", params(PagingParams, FreshnessParams),
    responses((status = 200, body = Page<Project>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<NoFilter>>) -> Result<Response> {
    read.respond_page(projects::list(&read.reads, read.query.page()?).await?)
}

/// One project, by its name or an earlier one.
#[utoipa::path(
    get, path = "/api/v1/projects/{name}", tag = "projects", operation_id = "project",
    params(("name" = String, Path, description = "The project's name"), FreshnessParams),
    responses((status = 200, body = Project), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn show(read: Read, Path(name): Path<String>) -> Result<Response> {
    read.respond(&projects::show(&read.reads, &name).await?)
}

/// Makes a project. A user who makes one is its creator, with the role that the access profile gives to creators.
///
/// A name belongs to its first project for ever. A deleted project is made again, empty, by an administrator or who could
/// delete it.
#[utoipa::path(
    post, path = "/api/v1/projects", tag = "projects", operation_id = "project_make", request_body = NewProject,
    responses((status = 201, body = ProjectMade), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn create(Write(commands): Write, JsonBody(new): JsonBody<NewProject>) -> Result<Response> {
    let made = projects::create(commands, new).await?;
    response::json(StatusCode::CREATED, Some(made.position), &made)
}

/// Renames a project, shows it to more or fewer, or moves it to another folder.
#[utoipa::path(
    patch, path = "/api/v1/projects/{name}", tag = "projects", operation_id = "project_change",
    params(("name" = String, Path, description = "The project's name")), request_body = ProjectChange,
    responses((status = 200, body = CommandOutcome), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn change(
    write: ConditionalWrite,
    Path(name): Path<String>,
    JsonBody(change): JsonBody<ProjectChange>,
) -> Result<Response> {
    response::outcome(StatusCode::OK, &projects::change(write.commands, &name, change, write.only_if).await?)
}

/// Deletes a project: nothing can be done in it any more. Its name stays its own.
#[utoipa::path(
    delete, path = "/api/v1/projects/{name}", tag = "projects", operation_id = "project_delete",
    params(("name" = String, Path, description = "The project's name")),
    responses((status = 200, body = CommandOutcome), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn delete(write: ConditionalWrite, Path(name): Path<String>) -> Result<Response> {
    response::outcome(StatusCode::OK, &projects::delete(write.commands, &name, write.only_if).await?)
}

/// Who is in a project now or was in it then, with every reason, by user name and role. Whoever may not list members sees only the own rows.
#[utoipa::path(
    get, path = "/api/v1/projects/{name}/members", tag = "projects", operation_id = "members",
    params(("name" = String, Path, description = "The project's name"), PastQuery, PagingParams, FreshnessParams),
    responses((status = 200, body = Page<Member>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list_members(read: Read<Paged<PastQuery>>, Path(name): Path<String>) -> Result<Response> {
    let as_of = read.query.filter.as_of.as_deref();
    read.respond_page(projects::members_of(&read.reads, &name, as_of, &read.query.page()?).await?)
}
