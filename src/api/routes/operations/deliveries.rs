//! `/api/v1/deliveries`: every inbound call as it was kept, and the way to go over it again.

use axum::{extract::Path, http::StatusCode, response::Response};
use rollcall_app::{
    Page,
    operations::deliveries::{
        self, DeliveriesQuery, DeliveryInFull, DeliveryShown, DismissDelivery, HookAnswer, ReplayAll, ReplayedAll,
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    body::{EmptyBody, JsonBody},
    extractors::{ApiState, Read, Write},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, Paged, PagingParams},
    response,
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(replay))
        .routes(routes!(replay_all))
        .routes(routes!(dismiss))
}

/// Deliveries, newest first; rejected ones too.
///
/// What became of a delivery is noted behind its answer; who asks right after it is made to wait for the note.
#[utoipa::path(
    get, path = "/api/v1/deliveries", tag = "deliveries", operation_id = "deliveries", params(DeliveriesQuery, PagingParams, FreshnessParams),
    responses((status = 200, body = Page<DeliveryShown>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<DeliveriesQuery>>) -> Result<Response> {
    read.respond_page(deliveries::list(&read.reads, &read.query.filter, &read.query.page()?).await?)
}

/// One delivery: headers, body, and each part with its outcome and effect.
#[utoipa::path(
    get, path = "/api/v1/deliveries/{id}", tag = "deliveries", operation_id = "delivery",
    params(("id" = String, Path, description = "The delivery's id"), FreshnessParams),
    responses((status = 200, body = DeliveryInFull), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn show(read: Read, Path(id): Path<String>) -> Result<Response> {
    read.respond(&deliveries::show(&read.reads, &id).await?)
}

/// Goes over a kept delivery again: signature (not its age), mapping, log. Events that the log has are duplicates.
#[utoipa::path(
    post, path = "/api/v1/deliveries/{id}/replay", tag = "deliveries", operation_id = "delivery_replay",
    params(("id" = String, Path, description = "The delivery's id")),
    responses((status = 200, body = HookAnswer), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn replay(
    Write(commands): Write,
    Path(id): Path<String>,
    JsonBody(EmptyBody {}): JsonBody<EmptyBody>,
) -> Result<Response> {
    let answer = deliveries::replay(commands, &id).await?;
    response::json(StatusCode::OK, answer.position(), &answer)
}

/// Goes over every delivery again that has a part in quarantine with a problem, after its cause was mended.
#[utoipa::path(
    post, path = "/api/v1/deliveries/replay", tag = "deliveries", operation_id = "deliveries_replay", request_body = ReplayAll,
    responses((status = 200, body = ReplayedAll), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn replay_all(Write(commands): Write, JsonBody(which): JsonBody<ReplayAll>) -> Result<Response> {
    response::json(StatusCode::OK, None, &deliveries::replay_all(commands, which).await?)
}

/// Notes that nothing more is to be done about what was not recorded of a delivery: it is no problem any more.
///
/// Who did it, when and why is kept with the delivery. A replay takes the note away.
#[utoipa::path(
    post, path = "/api/v1/deliveries/{id}/dismiss", tag = "deliveries", operation_id = "delivery_dismiss", request_body = DismissDelivery,
    params(("id" = String, Path, description = "The delivery's id")),
    responses((status = 200, body = DeliveryInFull), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn dismiss(
    Write(commands): Write,
    Path(id): Path<String>,
    JsonBody(how): JsonBody<DismissDelivery>,
) -> Result<Response> {
    let dismissed = deliveries::dismiss(commands, &id, how).await?;
    response::json(StatusCode::OK, None, &dismissed.value)
}
