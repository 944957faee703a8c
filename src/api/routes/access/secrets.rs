//! Registry secrets of users, and the invitations that fetch one.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_app::{
    List, Page,
    access::secret_list::{self, SecretListed, SecretsQuery},
    access::secrets::{
        self, InvitationIssued, MadeShown, NewSecret, Redemption, RegistryShown, SecretIssued, SecretRevoked,
        SecretShown,
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::{EmptyBody, JsonBody},
    extractors::{ApiState, EndSecret, Read, RedeemInvitation, Write},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, Paged, PagingParams},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_all))
        .routes(routes!(list, issue))
        .routes(routes!(revoke))
        .routes(routes!(made))
        .routes(routes!(invite))
        .routes(routes!(redeem))
        .routes(routes!(registry))
}

/// Every secret and open invitation in force that the caller sees, in the order in which they were made: of everybody for who
/// may list them, else the own ones. Never their text.
#[utoipa::path(
    get, path = "/api/v1/secrets", tag = "users", operation_id = "secrets_all", params(SecretsQuery, PagingParams, FreshnessParams),
    responses((status = 200, body = Page<SecretListed>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list_all(read: Read<Paged<SecretsQuery>>) -> Result<Response> {
    read.respond_page(secret_list::list(&read.reads, read.query.filter.clone(), read.query.page()?).await?)
}

/// The secrets and open invitations of a user that are in force; never their text.
#[utoipa::path(
    get, path = "/api/v1/users/{name}/secrets", tag = "users", operation_id = "secrets",
    params(("name" = String, Path, description = "The user's name or id"), FreshnessParams),
    responses((status = 200, body = List<SecretShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read, Path(name): Path<String>) -> Result<Response> {
    read.respond(&secrets::list(&read.reads, &name)?)
}

/// The registry that secrets are good for, as its clients name it: `docker login` wants it.
#[utoipa::path(
    get, path = "/api/v1/registry", tag = "users", operation_id = "registry", params(FreshnessParams),
    responses((status = 200, body = RegistryShown), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn registry(read: Read) -> Result<Response> {
    read.respond(&secrets::registry(&read.reads))
}

/// Makes a registry secret for a user and shows it, this once. It never outlives the secret that the caller signs in with.
#[utoipa::path(
    post, path = "/api/v1/users/{name}/secrets", tag = "users", operation_id = "secret_issue",
    params(("name" = String, Path, description = "The user's name or id")), request_body = NewSecret,
    responses((status = 201, body = SecretIssued), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn issue(
    Write(commands): Write,
    Path(name): Path<String>,
    JsonBody(new): JsonBody<NewSecret>,
) -> Result<Response> {
    let issued = secrets::issue(commands, &name, new).await?;
    response::json(StatusCode::CREATED, Some(issued.position), &issued)
}

/// Ends a secret or an open invitation; it signs nobody in from that position on. What it made stays, or ends with it.
#[utoipa::path(
    delete, path = "/api/v1/users/{name}/secrets/{id}", tag = "users", operation_id = "secret_revoke",
    params(("name" = String, Path, description = "The user's name or id"), ("id" = String, Path, description = "The secret's id"),
        ("made" = Option<String>, Query, description = "`keep`, the default, or `end`: what becomes of what it made")),
    responses((status = 200, body = SecretRevoked), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn revoke(end: EndSecret, Path((name, id)): Path<(String, String)>) -> Result<Response> {
    let revoked = secrets::revoke(end.commands, &name, &id, end.what_it_made).await?;
    response::json(StatusCode::OK, Some(revoked.outcome.position), &revoked)
}

/// What a secret made, and what that made in turn, as far as it is there still: what `made=end` ends with it.
#[utoipa::path(
    get, path = "/api/v1/users/{name}/secrets/{id}/made", tag = "users", operation_id = "secret_made",
    params(("name" = String, Path, description = "The user's name or id"), ("id" = String, Path, description = "The secret's id"), FreshnessParams),
    responses((status = 200, body = List<MadeShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn made(read: Read, Path((name, id)): Path<(String, String)>) -> Result<Response> {
    read.respond(&secrets::made(&read.reads, &name, &id)?)
}

/// Makes a single-use code with which the user fetches one secret within 24 hours. Neither outlives the secret that the
/// caller signs in with.
#[utoipa::path(
    post, path = "/api/v1/users/{name}/invitations", tag = "users", operation_id = "invite",
    params(("name" = String, Path, description = "The user's name or id")),
    responses((status = 201, body = InvitationIssued), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn invite(
    Write(commands): Write,
    Path(name): Path<String>,
    JsonBody(EmptyBody {}): JsonBody<EmptyBody>,
) -> Result<Response> {
    let issued = secrets::invite(commands, &name).await?;
    response::json(StatusCode::CREATED, Some(issued.position), &issued)
}

/// Redeems an invitation: makes one secret and shows it, this once. The code is the credential.
#[utoipa::path(
    post, path = "/api/v1/invitations/{code}", tag = "users", operation_id = "redeem", security(()),
    params(("code" = String, Path, description = "The invitation's code")), request_body = Redemption,
    responses((status = 201, body = SecretIssued), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn redeem(
    redeem: RedeemInvitation,
    Path(code): Path<String>,
    JsonBody(redemption): JsonBody<Redemption>,
) -> Result<Response> {
    let issued = secrets::redeem(&redeem.app, &code, redemption, &redeem.origin).await?;
    response::json(StatusCode::CREATED, Some(issued.position), &issued)
}
