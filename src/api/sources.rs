//! `/api/v1/sources`: what is configured, and what the log knows of it.

use axum::response::Response;
use rollcall_events::{LOCAL, Order};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    guard::{Locked, Reads},
    problem::{Answer, ProblemShape},
    query::Fresh,
    reply::{List, RestsOn},
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A configured upstream.
#[derive(Serialize, ToSchema)]
struct Source {
    /// Its name, for ever.
    name: String,
    /// How two events of one subject are ordered: `version`, `time` or `observed`.
    order: &'static str,
    /// Whether an inactive person of it shuts the whole user out.
    authoritative: bool,
    /// Where it posts; `null` for a source that has no hook now.
    hook: Option<String>,
    /// The largest body that it may post, in bytes.
    max_body: Option<usize>,
    /// Whether it ever recorded an event.
    seen: bool,
    /// How many of its subjects are parked.
    parked: usize,
}

/// Every source that was ever configured.
#[utoipa::path(
    get, path = "/api/v1/sources", tag = "sources", operation_id = "sources", params(Fresh),
    responses((status = 200, body = List<Source>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads) -> Answer<Response> {
    let (position, items) = {
        let roster = reads.live().read();
        let known = roster.settings().sources.iter().filter(|(name, _)| name.as_str() != LOCAL);
        let items = known.map(|(name, said)| {
            let max_body = reads.receiver().max_body(name.as_str());
            Source {
                name: name.to_string(),
                order: match said.order {
                    Order::Version => "version",
                    Order::Time => "time",
                    Order::Observed => "observed",
                },
                authoritative: said.authoritative,
                hook: max_body.map(|_| format!("/hooks/{name}")),
                max_body,
                seen: roster.sources().any(|seen| seen == name.as_str()),
                parked: roster.parked().filter(|parked| parked.source == name.as_str()).count(),
            }
        });
        (roster.position(), items.collect())
    };
    reads.answer(position, RestsOn::MoreThanTheLog, &List { items })
}
