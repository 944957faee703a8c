//! The events of the log as they stand, each with its effect.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use rollcall_access::Effect;
use rollcall_eventlog::Filter;
use rollcall_events::{Position, Recorded};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, Page, PageRequest, Reads,
    error::{ErrorKind, Result},
};

/// Which events. `type` and `subject` may end in `*`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Only this source's.
    pub source: Option<String>,
    /// Only this type, e.g. `rollcall.entitlement.*`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Only this subject, e.g. `entitlement/ENT-7` or `entitlement/*`.
    pub subject: Option<String>,
    /// Only what came with this delivery or run.
    pub correlation: Option<String>,
    /// Only what stands after this position.
    pub after: Option<u64>,
}

/// An event as it is recorded, in the words of CloudEvents, and what it did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place in the log.
    #[schema(value_type = u64)]
    pub position: Position,
    /// When the log took it.
    pub recorded_at: DateTime<Utc>,
    /// The sender's id.
    pub id: String,
    /// The configured name of the source; `local` for commands.
    pub source: String,
    /// The event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// The sender's clock.
    pub time: Option<DateTime<Utc>>,
    /// The sender's version of the subject.
    pub sequence: Option<u64>,
    /// The sender's own CloudEvents `source`; never trusted.
    pub origin: Option<String>,
    /// The delivery or run that it came with.
    pub correlationid: Option<String>,
    /// W3C trace context of the request that brought it.
    pub traceparent: Option<String>,
    /// `applied`, `superseded`, `no_change`, `refused` or `parked`; `null` while it is not folded yet.
    #[schema(value_type = Option<String>)]
    pub effect: Option<Cow<'static, str>>,
    /// Why it was refused or parked.
    pub reason: Option<String>,
    /// The data, byte for byte.
    #[schema(value_type = Object)]
    pub data: Option<Box<RawValue>>,
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
            effect: effect.as_ref().map(|effect| effect.as_str().into()),
            reason: effect.as_ref().and_then(Effect::reason).map(str::to_owned),
            data: RawValue::from_string(event.data.to_string()).ok(),
        }
    }
}

/// Events in the order of the log. A page may be short or empty and still have a next one.
///
/// # Errors
/// The caller asks for much at once, or the log cannot be read.
pub async fn list(reads: &Reads, query: &EventsQuery, page: &PageRequest<u64>) -> Result<Answer<Page<Event>>> {
    let EventsQuery { source, kind, subject, correlation, after } = query;
    let filter = Filter {
        source: source.clone(),
        kind: kind.clone(),
        subject: subject.clone(),
        correlation: correlation.clone(),
    };
    let _turn = reads.list_turn().await?;
    let start = Position(page.after.or(*after).unwrap_or_default());
    let applied = reads.applied();
    let head = reads.tail().head().borrow().position;
    let (records, seen) = reads.tail().page(start, page.limit, &filter).await?;
    let next = (seen < head).then(|| seen.to_string());
    let items = with_effects(reads, records).await?;
    Ok(Answer::of_more(applied, Page { items, next }))
}

/// One event.
///
/// # Errors
/// Nothing stands there, or the log cannot be read.
pub async fn show(reads: &Reads, position: &str) -> Result<Answer<Event>> {
    let unknown = || {
        let head = reads.tail().head().borrow().position;
        ErrorKind::UnknownEvent.because(format!("Nothing stands at this position; positions go from 1 to {head}."))
    };
    let wanted = position.parse::<u64>().ok().filter(|p| *p > 0).ok_or_else(unknown)?;
    let applied = reads.applied();
    let (records, _) = reads.tail().page(Position(wanted - 1), 1, &Filter::default()).await?;
    let records = records.into_iter().filter(|r| r.position == Position(wanted)).collect();
    let event = with_effects(reads, records).await?.into_iter().next().ok_or_else(unknown)?;
    Ok(Answer::of_more(applied, event))
}

async fn with_effects(reads: &Reads, records: Vec<Recorded>) -> Result<Vec<Event>> {
    let positions: Vec<Position> = records.iter().map(|r| r.position).collect();
    let effects = reads.control().effects(&positions).await?;
    Ok(records.into_iter().zip(effects).map(|(record, effect)| Event::of(record, effect)).collect())
}
