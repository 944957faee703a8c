//! `POST /api/v1/preview`: what would change, before anything is changed.

use axum::response::Response;
use rollcall_app::access::preview::{self, PreviewChanges, Previewed};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::LargeJsonBody,
    extractors::{ApiState, Read},
    problem::{ProblemDocument, Result},
    query::FreshnessParams,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(try_changes))
}

/// Says what changes would do: which memberships and which actions appear and disappear. Changes nothing; what the same
/// changes do afterwards is what was told, unless something else comes between.
#[utoipa::path(
    post, path = "/api/v1/preview", tag = "preview", operation_id = "preview", params(FreshnessParams), request_body = PreviewChanges,
    responses((status = 200, body = Previewed), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn try_changes(read: Read, LargeJsonBody(changes): LargeJsonBody<PreviewChanges>) -> Result<Response> {
    read.respond(&preview::try_changes(&read.reads, changes).await?)
}
