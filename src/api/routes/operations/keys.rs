//! `/api/v1/keys`: the keys that sign registry tokens.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use rollcall_app::{
    List, SigningAuthority, SigningKey,
    operations::keys::{self, Renewal},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::{EmptyBody, JsonBody},
    extractors::{ApiState, Read, Write},
    problem::{ProblemDocument, Result},
    query::FreshnessParams,
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(bundle))
        .routes(routes!(rotate))
        .routes(routes!(authorities, renew))
}

/// The keys that sign registry tokens, the current one first.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "keys", operation_id = "keys", params(FreshnessParams),
    responses((status = 200, body = List<SigningKey>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read) -> Result<Response> {
    read.respond(&keys::list(&read.reads).await?)
}

/// The certificates for a registry's `rootcertbundle`, PEM.
#[utoipa::path(
    get, path = "/api/v1/keys/bundle", tag = "keys", operation_id = "key_bundle", params(FreshnessParams),
    responses((status = 200, body = String, content_type = "application/x-pem-file"), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn bundle(read: Read) -> Result<Response> {
    let answer = keys::bundle(&read.reads).await?;
    let pem = ([(header::CONTENT_TYPE, "application/x-pem-file")], answer.value).into_response();
    Ok(read.respond_with(answer.position, pem))
}

/// Makes a new key and signs with it from now on. Registries that have the bundle need no restart.
#[utoipa::path(
    post, path = "/api/v1/keys/rotate", tag = "keys", operation_id = "key_rotate",
    responses((status = 201, body = SigningKey), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn rotate(Write(commands): Write, JsonBody(EmptyBody {}): JsonBody<EmptyBody>) -> Result<Response> {
    response::json(StatusCode::CREATED, None, &keys::rotate(commands).await?)
}

/// The authorities whose certificates are in the bundle, the one that certifies first.
#[utoipa::path(
    get, path = "/api/v1/keys/authorities", tag = "keys", operation_id = "key_authorities", params(FreshnessParams),
    responses((status = 200, body = List<SigningAuthority>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn authorities(read: Read) -> Result<Response> {
    read.respond(&keys::authorities(&read.reads).await?)
}

/// A step of the renewal of the authority: `make` the next one, give every registry the bundle with both, `use` it. A
/// registry without that bundle refuses every token from then on.
#[utoipa::path(
    post, path = "/api/v1/keys/authorities", tag = "keys", operation_id = "key_authority_renew", request_body = Renewal,
    responses((status = 200, body = List<SigningAuthority>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn renew(Write(commands): Write, JsonBody(renewal): JsonBody<Renewal>) -> Result<Response> {
    response::json(StatusCode::OK, None, &keys::renew(commands, renewal).await?)
}
