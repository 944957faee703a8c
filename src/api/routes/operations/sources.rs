//! `/api/v1/sources`: what is configured, and what the log knows of it.

use std::collections::BTreeMap;

use axum::response::Response;
use chrono::{DateTime, Utc};
use rollcall_access::ParkedView;
use rollcall_events::{LOCAL, Order, Position};
use rollcall_store::ops::OpsError;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::guard::{Locked, Reads},
    http::problem::{Answer, Problem, ProblemShape},
    http::query::Fresh,
    http::reply::{List, RestsOn},
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
    /// Its subjects whose newest event cannot be judged: they keep their last state until a later one can.
    parked: Shown,
    /// How it is; `null` for a source that only posts.
    reading: Option<Reading>,
}

/// How a source is that Rollcall reads.
#[derive(Serialize, ToSchema)]
struct Reading {
    /// `healthy`, `held`, `empty`, `unreachable`, `unauthorised` or `blind`; `null` before its first read.
    state: Option<&'static str>,
    /// The same for people.
    reason: Option<String>,
    /// When it was asked last, with whatever outcome.
    checked_at: Option<DateTime<Utc>>,
    /// When it was last read whole, or heard while followed.
    sealed_at: Option<DateTime<Utc>>,
    /// The log's position up to which what it said is recorded.
    #[schema(value_type = u64)]
    applied: Position,
    /// How many of its facts stand.
    facts: u64,
    /// Attempts that failed since the last good one.
    failures: u32,
    /// What waits for a person.
    held: Option<Held>,
    /// Members that it lists and that are not there: how many, and the first of them.
    absent: Shown,
    /// What could not be resolved and is left as it is: how much, and the first of it with the reason.
    excluded: Shown,
    /// When everything was read last because following could not go on from where it was, and why; `null` for a source
    /// that is not followed.
    whole: Option<Whole>,
}

/// Following began with a read of everything.
#[derive(Serialize, ToSchema)]
struct Whole {
    /// When.
    at: DateTime<Utc>,
    /// Why.
    why: String,
}

/// A plan that waits for a person.
#[derive(Serialize, ToSchema)]
struct Held {
    /// Its id, for `/api/v1/plans/{id}`.
    plan: String,
    /// How many removals are held.
    removals: u64,
    /// Why.
    reason: String,
}

/// How many parked subjects of a source are told.
const MOST_PARKED: usize = 20;

/// How much there is of something, and the first of it.
#[derive(Serialize, ToSchema)]
struct Shown {
    /// How much.
    count: u64,
    /// The first of it.
    first: Vec<String>,
}

/// How the sources that are read are. A source that was never asked has a reading without a state.
async fn readings(reads: &Reads) -> Answer<BTreeMap<String, Reading>> {
    let unreadable = |error: OpsError| Problem::unavailable("How the sources are cannot be read", &error);
    let mut readings = BTreeMap::new();
    for status in reads.ops().source_statuses().await.map_err(unreadable)? {
        let held = reads.ops().held_plan(&status.source).await;
        let held = held.map_err(|error| Problem::unavailable("How the sources are cannot be read", &error))?;
        let excluded = status.excluded.first.into_iter().map(|(which, why)| format!("{which}: {why}"));
        let reading = Reading {
            state: Some(status.state.as_str()),
            reason: status.reason,
            checked_at: Some(status.checked_at),
            sealed_at: status.sealed_at,
            applied: status.applied,
            facts: status.facts,
            failures: status.failures,
            held: held.map(|plan| Held { plan: plan.id.to_string(), removals: plan.removals, reason: plan.reason }),
            absent: Shown { count: status.absent.count, first: status.absent.first },
            excluded: Shown { count: status.excluded.count, first: excluded.collect() },
            whole: status.whole.map(|whole| Whole { at: whole.at, why: whole.why }),
        };
        readings.insert(status.source.to_string(), reading);
    }
    Ok(readings)
}

impl Reading {
    fn not_yet() -> Self {
        let none = || Shown { count: 0, first: Vec::new() };
        Self {
            state: None,
            reason: None,
            checked_at: None,
            sealed_at: None,
            applied: Position(0),
            facts: 0,
            failures: 0,
            held: None,
            absent: none(),
            excluded: none(),
            whole: None,
        }
    }
}

/// Every source that was ever configured.
#[utoipa::path(
    get, path = "/api/v1/sources", tag = "sources", operation_id = "sources", params(Fresh),
    responses((status = 200, body = List<Source>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads) -> Answer<Response> {
    let mut readings = readings(&reads).await?;
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
                reading: match readings.remove(name.as_str()) {
                    None if reads.runners().reads(name.as_str()) => Some(Reading::not_yet()),
                    known => known.filter(|_| reads.runners().reads(name.as_str())),
                },
                parked: {
                    let all = roster.parked().filter(|parked| parked.source == name.as_str());
                    let told = all.clone().take(MOST_PARKED);
                    let text = |p: ParkedView<'_>| format!("{} (event {}): {}", p.subject, p.position, p.reason);
                    Shown { count: all.count() as u64, first: told.map(text).collect() }
                },
            }
        });
        (roster.position(), items.collect())
    };
    reads.answer(position, RestsOn::MoreThanTheLog, &List { items })
}
