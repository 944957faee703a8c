//! `/api/v1/configuration`: what of the configuration is not in effect, whom it would change, and applying it.

use axum::{http::StatusCode, response::Response};
use rollcall_app::{
    List, Page,
    operations::configuration::{
        self, AccessRowShown, ConfigurationApplied, ConfigurationConfirmation, ConfigurationPlanShown, SettingShown,
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::JsonBody,
    extractors::{ApiState, Read, Write},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, NoFilter, Paged, PagingParams},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(differences)).routes(routes!(plan)).routes(routes!(rows)).routes(routes!(apply))
}

/// What the log has otherwise than the configuration that the server was started with, setting by setting. The log's
/// counts; what would have changed nobody's access was recorded at the start.
#[utoipa::path(
    get, path = "/api/v1/configuration", tag = "configuration", operation_id = "configuration", params(FreshnessParams),
    responses((status = 200, body = List<SettingShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn differences(read: Read) -> Result<Response> {
    read.respond(&configuration::differences(&read.reads))
}

/// What applying the configuration would change: setting by setting, and how many people.
#[utoipa::path(
    get, path = "/api/v1/configuration/plan", tag = "configuration", operation_id = "configuration_plan", params(FreshnessParams),
    responses((status = 200, body = ConfigurationPlanShown), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn plan(read: Read) -> Result<Response> {
    read.respond(&configuration::plan(&read.reads).await?)
}

/// Whom applying the configuration would change, by scope and name.
#[utoipa::path(
    get, path = "/api/v1/configuration/plan/rows", tag = "configuration", operation_id = "configuration_plan_rows",
    params(PagingParams, FreshnessParams),
    responses((status = 200, body = Page<AccessRowShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn rows(read: Read<Paged<NoFilter>>) -> Result<Response> {
    read.respond_page(configuration::rows(&read.reads, &read.query.page()?).await?)
}

/// Makes the configuration so, if it would change exactly what the plan of that name shows. Else nothing is recorded.
#[utoipa::path(
    post, path = "/api/v1/configuration/apply", tag = "configuration", operation_id = "configuration_apply",
    request_body = ConfigurationConfirmation,
    responses((status = 200, body = ConfigurationApplied), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn apply(
    Write(commands): Write,
    JsonBody(confirmation): JsonBody<ConfigurationConfirmation>,
) -> Result<Response> {
    let applied = configuration::apply(commands, confirmation).await?;
    response::json(StatusCode::OK, Some(applied.position), &applied)
}
