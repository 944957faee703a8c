//! `/api/v1/events`: the log as it stands, each event with its effect.

use axum::{extract::Path, response::Response};
use rollcall_app::{
    Page,
    operations::events::{self, Event, EventsQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    extractors::{ApiState, Read},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, Paged, PagingParams},
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// Events in the order of the log. A page may be short or empty and still have a next one.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", operation_id = "events", params(EventsQuery, PagingParams, FreshnessParams),
    responses((status = 200, body = Page<Event>), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn list(read: Read<Paged<EventsQuery>>) -> Result<Response> {
    read.respond_page(events::list(&read.reads, &read.query.filter, &read.query.page()?).await?)
}

/// One event, by its position, or by its sender's id, whole or the beginning of it, also as `source/id`.
#[utoipa::path(
    get, path = "/api/v1/events/{position}", tag = "events", operation_id = "event",
    params(("position" = String, Path, description = "Its place in the log, or its id"), FreshnessParams),
    responses((status = 200, body = Event), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn show(read: Read, Path(position): Path<String>) -> Result<Response> {
    read.respond(&events::show(&read.reads, &position).await?)
}
