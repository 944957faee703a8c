//! The events of the log as they stand, each with its effect.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use rollcall_access::{Effect, Roster};
use rollcall_eventlog::Filter;
use rollcall_events::{Position, Recorded};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, CausedBy, Page, PageRequest, Reads,
    error::{Error, ErrorKind, Result},
    filters, prefix,
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
    /// Who caused it: the caller of a command, the source, a rule, or the configuration.
    pub caused_by: CausedBy,
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
    fn of(roster: &Roster, record: Recorded, effect: Option<Effect>) -> Self {
        let caused_by = CausedBy::of(roster, &record);
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
            caused_by,
            effect: effect.as_ref().map(|effect| effect.as_str().into()),
            reason: effect.as_ref().and_then(Effect::reason).map(str::to_owned),
            data: RawValue::from_string(event.data.to_string()).ok(),
        }
    }
}

/// Events in the order of the log. A page may be short or empty and still have a next one.
///
/// # Errors
/// The query names a source or a type that there is not, the caller asks for much at once, or the log cannot be read.
pub async fn list(reads: &Reads, query: &EventsQuery, page: &PageRequest<u64>) -> Result<Answer<Page<Event>>> {
    let EventsQuery { source, kind, subject, correlation, after } = query;
    filters::known_source(reads, source.as_deref())?;
    filters::correlation(correlation.as_deref())?;
    let filter = Filter {
        source: source.clone(),
        kind: kind.as_deref().map(filters::event_type).transpose()?,
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

/// One event, by its position, by its sender's id or the beginning of it, or by `source/id`.
///
/// # Errors
/// There is none, the text could mean several, or the log cannot be read.
pub async fn show(reads: &Reads, text: &str) -> Result<Answer<Event>> {
    let head = reads.tail().head().borrow().position;
    let unknown = || {
        ErrorKind::UnknownEvent.because(format!(
            "No event has this position or id; positions go from 1 to {head}, an id is its sender's, whole or at least {} characters of it.",
            prefix::LEAST
        ))
    };
    let applied = reads.applied();
    let wanted = match text.parse::<u64>() {
        Ok(position) if (1..=head.0).contains(&position) => Position(position),
        _ => position_of(reads, text, unknown).await?,
    };
    let record = reads.tail().record(wanted).await?;
    let event = with_effects(reads, vec![record]).await?.into_iter().next().ok_or_else(unknown)?;
    Ok(Answer::of_more(applied, event))
}

/// The position of the event with an id, among those of every source.
async fn position_of(reads: &Reads, text: &str, unknown: impl FnOnce() -> Error) -> Result<Position> {
    let sources: Vec<String> = reads.live().read().sources().map(str::to_owned).collect();
    let (only, id) = match text.split_once('/') {
        Some((source, id)) if sources.iter().any(|known| known == source) => (Some(source), id),
        _ => (None, text),
    };
    let mut found = Vec::new();
    for source in sources.iter().filter(|known| only.is_none_or(|only| only == *known)) {
        let positions = reads.tail().by_id(source, id, prefix::TOLD).await?;
        for position in positions {
            let record = reads.tail().record(position).await?;
            let own = record.event.key.id.to_string();
            // Less of an id says too little.
            if own == id || id.len() >= prefix::LEAST {
                found.push((own, (source, record.position)));
            }
        }
    }
    let named = found.iter().filter(|(own, _)| own == id).count();
    let told = found.into_iter().map(|(own, (source, position))| {
        // Senders do not know each other's ids.
        let shown = if named > 1 && own == id { format!("{source}/{own} (event {position})") } else { own };
        (shown, position)
    });
    prefix::the_one(id, told, unknown)
}

async fn with_effects(reads: &Reads, records: Vec<Recorded>) -> Result<Vec<Event>> {
    let positions: Vec<Position> = records.iter().map(|r| r.position).collect();
    let effects = reads.control().effects(&positions).await?;
    let roster = reads.live().read();
    Ok(records.into_iter().zip(effects).map(|(record, effect)| Event::of(&roster, record, effect)).collect())
}
