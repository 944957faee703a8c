//! `/api/v1/events`: the log as it stands, each event with its effect.

use axum::{extract::Path, response::Response};
use chrono::{DateTime, Utc};
use rollcall_access::Effect;
use rollcall_eventlog::Filter;
use rollcall_events::{Position, Recorded};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::guard::{Locked, Reads},
    http::problem::{Answer, Kind, ProblemShape},
    http::query::{Fresh, Paged, Paging},
    http::reply::{Page, RestsOn},
    routes::operations::log::log_problem,
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// Which events. `type` and `subject` may end in `*`.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Only this source's.
    source: Option<String>,
    /// Only this type, e.g. `rollcall.entitlement.*`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Only this subject, e.g. `entitlement/ENT-7` or `entitlement/*`.
    subject: Option<String>,
    /// Only what came with this delivery or run.
    correlation: Option<String>,
    /// Only what stands after this position.
    after: Option<u64>,
}

/// An event as it is recorded, in the words of CloudEvents, and what it did.
#[derive(Serialize, ToSchema)]
pub(crate) struct Event {
    /// Its place in the log.
    #[schema(value_type = u64)]
    position: Position,
    /// When the log took it.
    recorded_at: DateTime<Utc>,
    /// The sender's id.
    id: String,
    /// The configured name of the source; `local` for commands.
    source: String,
    /// The event type.
    #[serde(rename = "type")]
    kind: String,
    /// What it is about.
    subject: String,
    /// The sender's clock.
    time: Option<DateTime<Utc>>,
    /// The sender's version of the subject.
    sequence: Option<u64>,
    /// The sender's own CloudEvents `source`; never trusted.
    origin: Option<String>,
    /// The delivery or run that it came with.
    correlationid: Option<String>,
    /// W3C trace context of the request that brought it.
    traceparent: Option<String>,
    /// `applied`, `superseded`, `no_change`, `refused` or `parked`; `null` while it is not folded yet.
    effect: Option<&'static str>,
    /// Why it was refused or parked.
    reason: Option<String>,
    /// The data, byte for byte.
    #[schema(value_type = Object)]
    data: Option<Box<RawValue>>,
}

impl Event {
    fn of(record: Recorded, effect: Option<Effect>) -> Self {
        let Recorded { position, recorded_at, event } = record;
        Self {
            position,
            recorded_at,
            id: event.key.id.to_string(),
            source: event.key.source.to_string(),
            kind: event.kind.to_string(),
            subject: event.subject.to_string(),
            time: event.time,
            sequence: event.sequence,
            origin: event.origin.map(|o| o.to_string()),
            correlationid: event.correlation.map(|c| c.to_string()),
            traceparent: event.traceparent.map(|t| t.to_string()),
            effect: effect.as_ref().map(Effect::word),
            reason: effect.as_ref().and_then(Effect::reason).map(str::to_owned),
            data: RawValue::from_string(event.data.to_string()).ok(),
        }
    }
}

/// Events in the order of the log. A page may be short or empty and still have a next one.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", operation_id = "events", params(EventsQuery, Paging, Fresh),
    responses((status = 200, body = Page<Event>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<EventsQuery>>) -> Answer<Response> {
    let EventsQuery { source, kind, subject, correlation, after } = &reads.query.filter;
    let filter = Filter {
        source: source.clone(),
        kind: kind.clone(),
        subject: subject.clone(),
        correlation: correlation.clone(),
    };
    let start = Position(reads.query.after()?.or(*after).unwrap_or_default());
    let applied = reads.applied();
    let head = reads.tail().head().borrow().position;
    let (records, seen) = reads.tail().page(start, reads.query.limit, &filter).await.map_err(log_problem)?;
    let next = (seen < head).then(|| reads.query.cursor(&seen.to_string()));
    let items = with_effects(&reads, records).await?;
    reads.page_to(applied, RestsOn::MoreThanTheLog, items, next)
}

/// One event.
#[utoipa::path(
    get, path = "/api/v1/events/{position}", tag = "events", operation_id = "event",
    params(("position" = u64, Path, description = "Its place in the log"), Fresh),
    responses((status = 200, body = Event), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path(position): Path<String>) -> Answer<Response> {
    let unknown = || {
        let head = reads.tail().head().borrow().position;
        Kind::UnknownEvent.because(format!("Nothing stands at this position; positions go from 1 to {head}."))
    };
    let wanted = position.parse::<u64>().ok().filter(|p| *p > 0).ok_or_else(unknown)?;
    let applied = reads.applied();
    let (records, _) = reads.tail().page(Position(wanted - 1), 1, &Filter::default()).await.map_err(log_problem)?;
    let records = records.into_iter().filter(|r| r.position == Position(wanted)).collect();
    let event = with_effects(&reads, records).await?.into_iter().next().ok_or_else(unknown)?;
    reads.answer(applied, RestsOn::MoreThanTheLog, &event)
}

async fn with_effects<Q>(reads: &Reads<Q>, records: Vec<Recorded>) -> Answer<Vec<Event>> {
    let positions: Vec<Position> = records.iter().map(|r| r.position).collect();
    let effects = reads.control().effects(&positions).await?;
    Ok(records.into_iter().zip(effects).map(|(record, effect)| Event::of(record, effect)).collect())
}
