//! `/api/v1/users`: who can log in, what they may do and why, and the end of everything they sign in with.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_app::{
    CommandOutcome, List, Page, PastQuery,
    access::users::{self, Access, User, UsersQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::{EmptyBody, JsonBody},
    extractors::{ApiState, Read, Write},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, Paged, PagingParams, Query},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(access))
        .routes(routes!(reset_credentials))
}

/// Users by name; whoever may not list them sees only the own row.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", operation_id = "users", params(UsersQuery, PagingParams, FreshnessParams),
    responses((status = 200, body = Page<User>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<UsersQuery>>) -> Result<Response> {
    read.respond_page(users::list(&read.reads, read.query.filter.clone(), read.query.page()?).await?)
}

/// One user, by name or by id.
#[utoipa::path(
    get, path = "/api/v1/users/{name}", tag = "users", operation_id = "user",
    params(("name" = String, Path, description = "The user's name or id"), FreshnessParams),
    responses((status = 200, body = User), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn show(read: Read, Path(name): Path<String>) -> Result<Response> {
    read.respond(&users::show(&read.reads, &name)?)
}

/// What a user may do now, or might do then, project by project, with every reason.
#[utoipa::path(
    get, path = "/api/v1/users/{name}/access", tag = "users", operation_id = "user_access",
    params(("name" = String, Path, description = "The user's name or id"), PastQuery, FreshnessParams),
    responses((status = 200, body = List<Access>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn access(read: Read<Query<PastQuery>>, Path(name): Path<String>) -> Result<Response> {
    let Query(past) = &read.query;
    read.respond(&users::access(&read.reads, &name, past.as_of.as_deref()).await?)
}

/// Ends every secret, invitation, refresh token and cached password of a user, everywhere.
#[utoipa::path(
    post, path = "/api/v1/users/{name}/credentials-reset", tag = "users", operation_id = "credentials_reset",
    params(("name" = String, Path, description = "The user's name or id")),
    responses((status = 200, body = CommandOutcome), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn reset_credentials(
    Write(commands): Write,
    Path(name): Path<String>,
    JsonBody(EmptyBody {}): JsonBody<EmptyBody>,
) -> Result<Response> {
    response::outcome(StatusCode::OK, &users::reset_credentials(commands, &name).await?)
}
