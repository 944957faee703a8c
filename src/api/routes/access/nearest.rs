//! `/api/v1/nearest`: names that are nearly what somebody wrote.

use axum::response::Response;
use rollcall_app::words::nearest::{self, NearestNames, NearestQuery};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    extractors::{ApiState, Read},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, Query},
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The names nearest to what was written, of things that the caller may list, the nearest first, and who was called so. None,
/// where the caller may not list them.
#[utoipa::path(
    get, path = "/api/v1/nearest", tag = "users", operation_id = "nearest", params(NearestQuery, FreshnessParams),
    responses((status = 200, body = NearestNames), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Query<NearestQuery>>) -> Result<Response> {
    read.respond(&nearest::list(&read.reads, read.query.0.clone()).await?)
}
