//! `/api/v1/problems`: what was said and is not in effect.

use axum::response::Response;
use rollcall_app::{
    Page,
    operations::problems::{self, ProblemShown, ProblemsQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    extractors::{ApiState, Read},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, Paged, PagingParams},
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Everything that was said and is not in effect, by kind, each with its reason and what to do. Empty is good news.
#[utoipa::path(
    get, path = "/api/v1/problems", tag = "problems", operation_id = "problems", params(ProblemsQuery, PagingParams, FreshnessParams),
    responses((status = 200, body = Page<ProblemShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<ProblemsQuery>>) -> Result<Response> {
    read.respond_page(problems::list(&read.reads, &read.query.filter, &read.query.page()?).await?)
}
