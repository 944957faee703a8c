//! `/api/v1/services`: principals that are no people, and the secrets with which they sign in.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_app::{
    CommandOutcome, Created, List, Page,
    access::{
        secrets::{MadeShown, NewSecret, SecretIssued, SecretRevoked, SecretShown},
        services::{self, NewService, ServiceShown},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::JsonBody,
    extractors::{ApiState, ConditionalWrite, EndSecret, Read, Write},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, NoFilter, Paged, PagingParams},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, remove))
        .routes(routes!(list_secrets, issue_secret))
        .routes(routes!(revoke_secret))
        .routes(routes!(made))
}

/// Services by id; whoever may not list them sees only the own row.
#[utoipa::path(
    get, path = "/api/v1/services", tag = "services", operation_id = "services", params(PagingParams, FreshnessParams),
    responses((status = 200, body = Page<ServiceShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<NoFilter>>) -> Result<Response> {
    read.respond_page(services::list(&read.reads, read.query.page()?).await?)
}

/// One service.
#[utoipa::path(
    get, path = "/api/v1/services/{id}", tag = "services", operation_id = "service",
    params(("id" = String, Path, description = "The service's id"), FreshnessParams),
    responses((status = 200, body = ServiceShown), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn show(read: Read, Path(id): Path<String>) -> Result<Response> {
    read.respond(&services::show(&read.reads, &id)?)
}

/// Makes a service. It may do nothing until a binding says so. What a former one of this id signed in with stays ended.
#[utoipa::path(
    post, path = "/api/v1/services", tag = "services", operation_id = "service_make", request_body = NewService,
    responses((status = 201, body = Created), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn create(Write(commands): Write, JsonBody(new): JsonBody<NewService>) -> Result<Response> {
    response::created(&services::create(commands, new).await?)
}

/// Removes a service and ends everything that it signs in with, everywhere.
#[utoipa::path(
    delete, path = "/api/v1/services/{id}", tag = "services", operation_id = "service_remove",
    params(("id" = String, Path, description = "The service's id")),
    responses((status = 200, body = CommandOutcome), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn remove(write: ConditionalWrite, Path(id): Path<String>) -> Result<Response> {
    response::outcome(StatusCode::OK, &services::remove(write.commands, &id, write.only_if).await?)
}

/// The secrets of a service that are in force; never their text.
#[utoipa::path(
    get, path = "/api/v1/services/{id}/secrets", tag = "services", operation_id = "service_secrets",
    params(("id" = String, Path, description = "The service's id"), FreshnessParams),
    responses((status = 200, body = List<SecretShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list_secrets(read: Read, Path(id): Path<String>) -> Result<Response> {
    read.respond(&services::list_secrets(&read.reads, &id)?)
}

/// Makes a secret for a service and shows it, this once. It never outlives the secret that the caller signs in with.
#[utoipa::path(
    post, path = "/api/v1/services/{id}/secrets", tag = "services", operation_id = "service_secret_issue",
    params(("id" = String, Path, description = "The service's id")), request_body = NewSecret,
    responses((status = 201, body = SecretIssued), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn issue_secret(
    Write(commands): Write,
    Path(id): Path<String>,
    JsonBody(new): JsonBody<NewSecret>,
) -> Result<Response> {
    let issued = services::issue_secret(commands, &id, new).await?;
    response::json(StatusCode::CREATED, Some(issued.position), &issued)
}

/// Ends a secret of a service, everywhere. What it made stays, or ends with it.
#[utoipa::path(
    delete, path = "/api/v1/services/{id}/secrets/{secret}", tag = "services", operation_id = "service_secret_revoke",
    params(("id" = String, Path, description = "The service's id"), ("secret" = String, Path, description = "The secret's id"),
        ("made" = Option<String>, Query, description = "`keep`, the default, or `end`: what becomes of what it made")),
    responses((status = 200, body = SecretRevoked), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn revoke_secret(end: EndSecret, Path((id, secret)): Path<(String, String)>) -> Result<Response> {
    let revoked = services::revoke_secret(end.commands, &id, &secret, end.what_it_made).await?;
    response::json(StatusCode::OK, Some(revoked.outcome.position), &revoked)
}

/// What a secret made, and what that made in turn, as far as it is there still: what `made=end` ends with it.
#[utoipa::path(
    get, path = "/api/v1/services/{id}/secrets/{secret}/made", tag = "services", operation_id = "service_secret_made",
    params(("id" = String, Path, description = "The service's id"), ("secret" = String, Path, description = "The secret's id"), FreshnessParams),
    responses((status = 200, body = List<MadeShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn made(read: Read, Path((id, secret)): Path<(String, String)>) -> Result<Response> {
    read.respond(&services::made(&read.reads, &id, &secret)?)
}
