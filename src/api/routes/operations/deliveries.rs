//! `/api/v1/deliveries`: every inbound call as it was kept, what became of each part, and the way to go over it again.

use std::time::Duration;

use axum::{extract::Path, http::StatusCode, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rollcall_access::Effect;
use rollcall_events::{Position, SourceName};
use rollcall_ingest::{DeliveryId, ReplayError, Verdict, connector::ProblemType};
use rollcall_store::ops::{DeliveryDetail, DeliveryFilter, DeliverySummary, PartRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::guard::{Commands, Locked, Reads},
    http::input::{Empty, Input},
    http::problem::{Answer, Kind, Problem, ProblemShape},
    http::query::{Fresh, Paged, Paging},
    http::reply::{self, Page, RestsOn},
    routes::operations::hooks::{self, HookAnswer},
};

/// How long a replay waits for the effects, which are milliseconds behind when all is well.
const EFFECTS_WITHIN: Duration = Duration::from_secs(2);

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(replay)).routes(routes!(replay_all))
}

/// Which deliveries.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DeliveriesQuery {
    /// Only this source's.
    #[param(value_type = Option<String>)]
    source: Option<SourceName>,
    /// Only those of this verdict: `recorded`, `duplicate`, `conflict`, `quarantined`, `rejected`, `unrecorded`,
    /// `pending`; or `failed` for those that somebody should look at.
    verdict: Option<String>,
}

/// A delivery in a list.
#[derive(Serialize, ToSchema)]
struct DeliveryShown {
    /// Its id, also the `correlationid` of the events that it brought.
    id: String,
    /// Whose hook was called.
    source: String,
    /// When it arrived.
    received_at: DateTime<Utc>,
    /// Who called.
    client: Option<String>,
    /// How long the body was.
    bytes: u64,
    /// The worst that became of any of its parts: `rejected`, `pending`, `unrecorded`, `quarantined`, `conflict`,
    /// `recorded` or `duplicate`.
    verdict: &'static str,
    /// Why it was rejected, e.g. `signature-mismatch`.
    reason: Option<String>,
    /// When its bytes were erased.
    erased_at: Option<DateTime<Utc>>,
    /// How many parts it has.
    events: u64,
    /// How many of them are in quarantine.
    quarantined: u64,
    /// A problem type of one of them.
    problem: Option<String>,
}

/// A delivery with everything that is kept of it.
#[derive(Serialize, ToSchema)]
struct DeliveryInFull {
    /// As in the list.
    #[serde(flatten)]
    delivery: DeliveryShown,
    /// Name and value of the headers that its source's format needs.
    headers: Vec<(String, String)>,
    /// The body; `null` once erased. May hold personal data.
    body: Option<BodyShown>,
    /// Its parts, in order.
    parts: Vec<PartShown>,
    /// When it was gone over again.
    replays: Vec<ReplayShown>,
}

/// Bytes as text where they are text.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum BodyShown {
    /// The bytes as UTF-8.
    Text(String),
    /// The bytes in base64, where they are not UTF-8.
    Base64(String),
}

/// One part of a delivery and what became of it.
#[derive(Serialize, ToSchema)]
struct PartShown {
    /// The sender's id, if it was found.
    id: Option<String>,
    /// The event type, if it was found.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The subject.
    subject: Option<String>,
    /// `recorded`, `duplicate`, `conflict`, `quarantined`, `pending` or `unrecorded`.
    outcome: String,
    /// Where the log has it.
    #[schema(value_type = Option<u64>)]
    position: Option<Position>,
    /// What the event there did: `applied`, `superseded`, `no_change`, `refused` or `parked`. `null` for a part that is
    /// not in the log (a conflict is not) or not folded yet.
    effect: Option<&'static str>,
    /// Why it was refused or parked.
    reason: Option<String>,
    /// Why it is in quarantine.
    problem: Option<PartProblem>,
}

/// Why a part is in quarantine.
#[derive(Serialize, ToSchema)]
struct PartProblem {
    /// The problem's type, e.g. `unknown-type`.
    #[serde(rename = "type")]
    kind: String,
    /// JSON pointer into the event.
    pointer: String,
    /// What was found and what to do.
    detail: String,
}

/// One replay of a delivery.
#[derive(Serialize, ToSchema)]
struct ReplayShown {
    /// When.
    at: DateTime<Utc>,
    /// The verdict until then.
    was: String,
}

/// Which deliveries to go over again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplayAll {
    /// Those with a part in quarantine with this problem type, e.g. `unknown-type`.
    problem: String,
    /// Only this source's.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    source: Option<SourceName>,
}

/// What became of many replayed deliveries.
#[derive(Serialize, ToSchema)]
struct ReplayedAll {
    /// How many deliveries were gone over.
    deliveries: usize,
    /// How many events are new in the log.
    recorded: usize,
    /// How many parts are in quarantine still.
    quarantined: usize,
    /// Deliveries that could not be gone over, and why.
    failed: Vec<ReplayFailed>,
}

/// A delivery that could not be gone over.
#[derive(Serialize, ToSchema)]
struct ReplayFailed {
    /// Which.
    delivery: String,
    /// Why.
    why: String,
}

impl From<DeliverySummary> for DeliveryShown {
    fn from(row: DeliverySummary) -> Self {
        Self {
            id: row.id.to_string(),
            source: row.source.to_string(),
            received_at: row.received_at,
            client: row.client.map(|client| client.to_string()),
            bytes: row.bytes,
            verdict: row.verdict.as_str(),
            reason: row.reason,
            erased_at: row.erased_at,
            events: row.events,
            quarantined: row.quarantined,
            problem: row.problem,
        }
    }
}

impl PartShown {
    fn of(part: PartRow, effect: Option<Effect>) -> Self {
        let PartRow { id, kind, subject, outcome, position, problem } = part;
        // What stands at a conflict's position is another event: this part had no effect.
        let effect = effect.filter(|_| outcome != "conflict");
        Self {
            id,
            kind,
            subject,
            outcome,
            position,
            effect: effect.as_ref().map(Effect::word),
            reason: effect.as_ref().and_then(Effect::reason).map(str::to_owned),
            problem: problem.map(|p| PartProblem { kind: p.kind, pointer: p.pointer, detail: p.detail }),
        }
    }
}

/// Deliveries, newest first; rejected ones too.
///
/// What became of a delivery is noted behind its answer; who asks right after it is made to wait for the note.
#[utoipa::path(
    get, path = "/api/v1/deliveries", tag = "deliveries", operation_id = "deliveries", params(DeliveriesQuery, Paging, Fresh),
    responses((status = 200, body = Page<DeliveryShown>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<DeliveriesQuery>>) -> Answer<Response> {
    let DeliveriesQuery { source, verdict } = &reads.query.filter;
    let verdicts = match verdict.as_deref() {
        None => Vec::new(),
        Some("failed") => DeliveryFilter::FAILED.to_vec(),
        Some(word) => {
            vec![word.parse::<Verdict>().map_err(|e| Kind::InvalidQuery.because(format!("{e}, or failed.")))?]
        }
    };
    let filter = DeliveryFilter { source: source.clone(), verdicts };
    let (before, position) = (reads.query.after::<DeliveryId>()?, reads.applied());
    reads.ops().caught_up().await.map_err(unreadable)?;
    let rows = reads.ops().deliveries(&filter, before.as_ref(), reads.query.rows()).await.map_err(unreadable)?;
    let rows = rows.into_iter().map(DeliveryShown::from).collect();
    reads.page(position, RestsOn::MoreThanTheLog, rows, |row: &DeliveryShown| row.id.clone())
}

/// One delivery: headers, body, and each part with its outcome and effect.
#[utoipa::path(
    get, path = "/api/v1/deliveries/{id}", tag = "deliveries", operation_id = "delivery",
    params(("id" = String, Path, description = "The delivery's id"), Fresh),
    responses((status = 200, body = DeliveryInFull), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path(id): Path<String>) -> Answer<Response> {
    let id: DeliveryId = id.parse().map_err(|_| no_such_delivery())?;
    let position = reads.applied();
    reads.ops().caught_up().await.map_err(unreadable)?;
    let found = reads.ops().delivery(&id).await.map_err(unreadable)?.ok_or_else(no_such_delivery)?;
    let DeliveryDetail { summary, headers, body, parts, replays } = found;
    let known: Vec<Position> = parts.iter().filter_map(|part| part.position).collect();
    let mut effects = reads.control().effects(&known).await?.into_iter();
    let parts = parts.into_iter().map(|part| {
        let effect = part.position.and_then(|_| effects.next().flatten());
        PartShown::of(part, effect)
    });
    let body = DeliveryInFull {
        delivery: summary.into(),
        headers: headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: body.map(|bytes: Bytes| match String::from_utf8(bytes.to_vec()) {
            Ok(text) => BodyShown::Text(text),
            Err(bytes) => BodyShown::Base64(STANDARD.encode(bytes.as_bytes())),
        }),
        parts: parts.collect(),
        replays: replays.into_iter().map(|replay| ReplayShown { at: replay.at, was: replay.was }).collect(),
    };
    reads.answer(position, RestsOn::MoreThanTheLog, &body)
}

/// Goes over a kept delivery again: signature (not its age), mapping, log. Events that the log has are duplicates.
#[utoipa::path(
    post, path = "/api/v1/deliveries/{id}/replay", tag = "deliveries", operation_id = "delivery_replay",
    params(("id" = String, Path, description = "The delivery's id")),
    responses((status = 200, body = HookAnswer), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn replay(orders: Commands, Path(id): Path<String>, Input(Empty {}): Input<Empty>) -> Answer<Response> {
    let id: DeliveryId = id.parse().map_err(|_| no_such_delivery())?;
    let answer = orders.receiver().replay(&id).await.map_err(not_replayed)?;
    let body = hooks::answer(orders.control(), &answer, Some(EFFECTS_WITHIN)).await;
    reply::done(StatusCode::OK, answer.position(), &body)
}

/// Goes over every delivery again that has a part in quarantine with a problem, after its cause was mended.
#[utoipa::path(
    post, path = "/api/v1/deliveries/replay", tag = "deliveries", operation_id = "deliveries_replay", request_body = ReplayAll,
    responses((status = 200, body = ReplayedAll), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn replay_all(orders: Commands, Input(which): Input<ReplayAll>) -> Answer<Response> {
    let ReplayAll { problem, source } = which;
    let problem: ProblemType = problem.parse().map_err(|expected: String| {
        Kind::InvalidBody
            .because("No such problem type.")
            .with_error(rollcall_events::SchemaError::at("/problem", expected))
    })?;
    let all = orders.receiver().replay_all(source.as_ref(), problem).await.map_err(not_replayed)?;
    let failed = all.failed.into_iter().map(|(id, why)| ReplayFailed { delivery: id.to_string(), why }).collect();
    let (deliveries, recorded, quarantined) = (all.deliveries, all.recorded, all.quarantined);
    reply::done(StatusCode::OK, None, &ReplayedAll { deliveries, recorded, quarantined, failed })
}

fn no_such_delivery() -> Problem {
    Kind::UnknownDelivery
        .because("No such delivery is kept. /api/v1/deliveries lists them; old ones are deleted in time.")
}

fn unreadable(error: rollcall_store::ops::OpsError) -> Problem {
    Problem::unavailable("Deliveries cannot be read", &error)
}

fn not_replayed(error: ReplayError) -> Problem {
    let text = error.to_string();
    match error {
        ReplayError::Unknown => no_such_delivery(),
        ReplayError::UnknownSource(_) | ReplayError::Gone | ReplayError::Unauthorised(_) => {
            Kind::Refused.because(format!("{text}. Nothing was changed."))
        }
        ReplayError::Receive(error) => hooks::refusal(error),
    }
}
