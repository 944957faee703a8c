//! `POST /hooks/{source}`: one webhook delivery in, what became of each event out (DESIGN 10).
//! Cuts the body and reads the answer; signature, keeping and appending are ingest's.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{ConnectInfo, Path, RawQuery},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use rollcall_access::Effect;
use rollcall_events::Position;
use rollcall_ingest::{AnsweredEvent, InboundCall, ReceiveError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Control,
    http::guard::{Receives, applied},
    http::input::read_body,
    http::problem::{Answer, Kind, Problem},
    http::query::{Pairs, Wait},
    http::reply,
};

/// How long a delivery's body may take to arrive, from the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of a delivery.
#[derive(Serialize, ToSchema)]
pub(crate) struct HookAnswer {
    /// The id under which the delivery is kept.
    delivery: String,
    /// The events that the log has now.
    events: Vec<HookEvent>,
    /// How many parts were not understood; why is shown at `/api/v1/deliveries/{delivery}`.
    quarantined: usize,
}

/// One event of a delivery.
#[derive(Serialize, ToSchema)]
pub(crate) struct HookEvent {
    /// The sender's id.
    id: String,
    /// `recorded`, `duplicate` (same id, same bytes) or `conflict` (same id, other bytes: nothing was recorded).
    outcome: &'static str,
    /// Where the log has it.
    #[schema(value_type = u64)]
    position: Position,
    /// With `wait`, once it is applied: `applied`, `superseded`, `no_change`, `refused`, `parked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<&'static str>,
    /// Why it was refused or parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Takes one delivery of a source.
///
/// The body is signed as the source's format says; the canonical form takes CloudEvents 1.0 under the Standard Webhooks
/// headers. 202 means that everything in it is durable. Sending the same again is always safe.
#[utoipa::path(
    post, path = "/hooks/{source}", tag = "hooks", operation_id = "receive",
    params(
        ("source" = String, Path, description = "The configured name of the source"),
        ("wait" = Option<String>, Query, description = "Answer with the effects too, once applied; at most this long, e.g. `2s`")
    ),
    request_body(content_type = "application/cloudevents+json", description = "What the source's format sends, at most its `max_body` bytes"),
    responses(
        (status = 202, description = "Durable", body = HookAnswer),
        (status = "4XX", description = "Not taken", body = crate::http::problem::ProblemShape, content_type = "application/problem+json"),
        (status = "5XX", description = "Send it again", body = crate::http::problem::ProblemShape, content_type = "application/problem+json"),
    ),
    security(("signature" = []))
)]
pub(crate) async fn receive(
    hooks: Receives,
    Path(source): Path<String>,
    RawQuery(query): RawQuery,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let limit = hooks.receiver().max_body(&source).ok_or_else(no_such_source)?;
    let wait = wait_asked(query.as_deref())?;
    let body = read_body(&headers, body, limit, PATIENCE).await?;
    let client = peer.map(|Extension(ConnectInfo(address))| address.ip());
    let answer = hooks.receiver().receive(&source, InboundCall { headers, body, client }).await.map_err(refusal)?;
    let body = self::answer(hooks.control(), &answer, wait).await;
    reply::done(StatusCode::ACCEPTED, answer.position(), &body)
}

/// What became of a delivery, with the effects if they are there within `wait`.
pub(crate) async fn answer(
    control: &dyn Control,
    answer: &rollcall_ingest::DeliveryAnswer,
    wait: Option<Duration>,
) -> HookAnswer {
    let mut events: Vec<HookEvent> = answer.events.iter().map(HookEvent::of).collect();
    if let (Some(wait), Some(position)) = (wait, answer.position())
        && applied(control, position, wait).await
    {
        fill_in(control, &mut events).await;
    }
    HookAnswer { delivery: answer.delivery.as_str().to_owned(), events, quarantined: answer.quarantined }
}

impl HookEvent {
    fn of(event: &AnsweredEvent) -> Self {
        let AnsweredEvent { id, outcome, position } = event;
        Self { id: id.to_string(), outcome, position: *position, effect: None, reason: None }
    }
}

/// Adds the effects; where they cannot be read the plain answer stands, the delivery is durable either way.
async fn fill_in(control: &dyn Control, events: &mut [HookEvent]) {
    let known: Vec<Position> = events.iter().map(|event| event.position).collect();
    let Ok(effects) = control.effects(&known).await else { return };
    for (event, effect) in events.iter_mut().zip(effects) {
        // What stands at a conflict's position is another event; this one had no effect.
        if event.outcome != "conflict" {
            event.effect = effect.as_ref().map(Effect::word);
            event.reason = effect.as_ref().and_then(Effect::reason).map(str::to_owned);
        }
    }
}

fn wait_asked(query: Option<&str>) -> Answer<Option<Duration>> {
    let mut pairs = Pairs::parse(query)?;
    let wait = pairs.take::<Wait>("wait", Wait::FORM)?;
    pairs.none_left("`wait`")?;
    Ok(wait.map(|Wait(wait)| wait))
}

fn no_such_source() -> Problem {
    Kind::UnknownSource
        .because("No source of this name has a hook. The name in the path is the one in the configuration.")
}

/// What a sender is told when nothing was acknowledged.
pub(crate) fn refusal(error: ReceiveError) -> Problem {
    let text = error.to_string();
    match error {
        ReceiveError::UnknownSource => no_such_source(),
        ReceiveError::Unauthorised { rejection, .. } => {
            Kind::BadSignature.because(format!("{rejection} ({}). Nothing was read.", rejection.reason))
        }
        ReceiveError::Busy { .. } => {
            Kind::Overloaded.because(format!("{text}. Send it again in a moment.")).retry_after(1)
        }
        ReceiveError::Overloaded => {
            Kind::Unavailable.because(format!("{text}. Send it again in a moment.")).retry_after(1)
        }
        ReceiveError::Unavailable(_) => Problem::unavailable("Nothing was recorded", &error).retry_after(5),
    }
}
