//! `/api/v1/links`, `/api/v1/usernames`: which persons are one user, and what users are called.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_app::{
    CommandOutcome, Page,
    access::identity::{self, LinkPlanShown, LinkRequest, LinkShown, LinksApplied, NewUserName},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::JsonBody,
    extractors::{ApiState, FreeName, Read, Write},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, NoFilter, Paged, PagingParams},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list, apply))
        .routes(routes!(plan))
        .routes(routes!(rename))
        .routes(routes!(free))
}

/// The links that stand: persons of sources that are one user.
#[utoipa::path(
    get, path = "/api/v1/links", tag = "users", operation_id = "links", params(PagingParams, FreshnessParams),
    responses((status = 200, body = Page<LinkShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<NoFilter>>) -> Result<Response> {
    read.respond_page(identity::list(&read.reads, read.query.page()?).await?)
}

/// What linking or parting persons would do, of two or of all that a rule takes for one. Records nothing.
#[utoipa::path(
    post, path = "/api/v1/links/plan", tag = "users", operation_id = "links_plan", request_body = LinkRequest,
    responses((status = 200, body = LinkPlanShown), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn plan(read: Read, JsonBody(request): JsonBody<LinkRequest>) -> Result<Response> {
    read.respond(&identity::plan(&read.reads, request).await?)
}

/// Links or parts persons as a plan says that was looked at: exactly that, or nothing.
#[utoipa::path(
    post, path = "/api/v1/links", tag = "users", operation_id = "links_apply", request_body = LinkRequest,
    responses((status = 200, body = LinksApplied), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn apply(Write(commands): Write, JsonBody(request): JsonBody<LinkRequest>) -> Result<Response> {
    let applied = identity::apply(commands, request).await?;
    response::json(StatusCode::OK, Some(applied.position), &applied)
}

/// Gives a user another name, whatever its sources ask for; whoever had it is called otherwise. Refused while whoever has
/// it may sign in, while whoever has or had it still has a secret or a role given by name, and where the access profile gives
/// everybody a project of the own name and `with_personal_project` does not say that it passes too.
#[utoipa::path(
    put, path = "/api/v1/users/{name}/username", tag = "users", operation_id = "user_rename", request_body = NewUserName,
    params(("name" = String, Path, description = "The user's name or id")),
    responses((status = 200, body = CommandOutcome), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn rename(
    Write(commands): Write,
    Path(name): Path<String>,
    JsonBody(new): JsonBody<NewUserName>,
) -> Result<Response> {
    response::outcome(StatusCode::OK, &identity::rename(commands, &name, &new).await?)
}

/// Frees a name that is kept for whoever had it: who asks for it first has it then.
#[utoipa::path(
    delete, path = "/api/v1/usernames/{username}", tag = "users", operation_id = "username_free",
    params(("username" = String, Path, description = "The name"),
        ("with_personal_project" = Option<bool>, Query, description = "Leave the personal project of this name to whoever has the name next")),
    responses((status = 200, body = CommandOutcome), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn free(free: FreeName, Path(username): Path<String>) -> Result<Response> {
    response::outcome(StatusCode::OK, &identity::free(free.commands, &username, free.with_personal_project).await?)
}
