//! `/api/v1/keys`: the keys that sign registry tokens. Their private halves never come near this crate.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    control::SigningKey,
    http::guard::{Commands, Locked, Reads},
    http::input::{Empty, Input},
    http::problem::{Answer, ProblemShape},
    http::query::Fresh,
    http::reply::{self, List, RestsOn},
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(bundle)).routes(routes!(rotate))
}

/// The keys that sign registry tokens, the current one first.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "keys", operation_id = "keys", params(Fresh),
    responses((status = 200, body = List<SigningKey>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads) -> Answer<Response> {
    let position = reads.applied();
    let items = reads.control().keys().await?;
    reads.answer(position, RestsOn::MoreThanTheLog, &List { items })
}

/// The certificates for a registry's `rootcertbundle`, PEM.
#[utoipa::path(
    get, path = "/api/v1/keys/bundle", tag = "keys", operation_id = "key_bundle", params(Fresh),
    responses((status = 200, body = String, content_type = "application/x-pem-file"), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn bundle(reads: Reads) -> Answer<Response> {
    let pem = reads.control().key_bundle().await?;
    Ok(reads.stamped(([(header::CONTENT_TYPE, "application/x-pem-file")], pem).into_response()))
}

/// Makes a new key and signs with it from now on. Registries that have the bundle need no restart.
#[utoipa::path(
    post, path = "/api/v1/keys/rotate", tag = "keys", operation_id = "key_rotate",
    responses((status = 201, body = SigningKey), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn rotate(orders: Commands, Input(Empty {}): Input<Empty>) -> Answer<Response> {
    let key = orders.control().rotate_keys().await?;
    reply::done(StatusCode::CREATED, None, &key)
}
