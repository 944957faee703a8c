//! `/api/v1/refused-sign-ins`: whose name was tried in vain, from where and why.

use axum::response::Response;
use rollcall_app::{
    List,
    access::sign_ins::{self, RefusedSignIns, RefusedSignInsQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    extractors::{ApiState, Read},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, Query},
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Sign-ins that were refused, counted by hour, newest first; of others only for who may list decisions.
#[utoipa::path(
    get, path = "/api/v1/refused-sign-ins", tag = "decisions", operation_id = "refused_sign_ins", params(RefusedSignInsQuery, FreshnessParams),
    responses((status = 200, body = List<RefusedSignIns>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Query<RefusedSignInsQuery>>) -> Result<Response> {
    read.respond(&sign_ins::list(&read.reads, &read.query.0).await?)
}
