//! `/api/v1/sources`: what is configured, and what the log knows of it.

use axum::response::Response;
use rollcall_app::{
    List,
    operations::sources::{self, Source},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    extractors::{ApiState, Read},
    problem::{ProblemDocument, Result},
    query::FreshnessParams,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Every source that was ever configured.
#[utoipa::path(
    get, path = "/api/v1/sources", tag = "sources", operation_id = "sources", params(FreshnessParams),
    responses((status = 200, body = List<Source>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read) -> Result<Response> {
    read.respond(&sources::list(&read.reads).await?)
}
