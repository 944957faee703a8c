//! Sources: what is configured, and what the log knows of it.

use std::{borrow::Cow, collections::BTreeMap};

use chrono::{DateTime, Utc};
use rollcall_access::{ParkedView, SourceSaidView};
use rollcall_events::{LOCAL, Position};
use rollcall_ingest::connector::SecretUse;
use rollcall_store::ops::OpsError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Answer, List, Reads,
    error::{Error, Result},
    operations::plans::{stops_all_news, waits_since, what_waits},
};

/// How many parked subjects of a source are told.
const MAX_PARKED_SHOWN: usize = 20;

/// A configured upstream.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// Its name, for ever.
    pub name: String,
    /// How two events of one subject are ordered: `version`, `time` or `observed`.
    #[schema(value_type = String)]
    pub order: Cow<'static, str>,
    /// Whether an inactive person of it shuts the whole user out.
    pub authoritative: bool,
    /// Where it posts; `null` for a source that has no hook now.
    pub hook: Option<String>,
    /// The largest body that it may post, in bytes.
    pub max_body: Option<usize>,
    /// The secrets under which it may sign, the current one first.
    #[serde(default)]
    pub secrets: Vec<SourceSecret>,
    /// Since when the use of secrets is known: since this server runs.
    #[serde(default)]
    pub secrets_since: Option<DateTime<Utc>>,
    /// Whether it ever recorded an event.
    pub seen: bool,
    /// Its subjects whose newest event cannot be judged: they keep their last state until a later one can.
    pub parked: Sample,
    /// Since when its facts do not count, and who said so; `null` while they do.
    #[serde(default)]
    pub suspended: Option<SourceSaid>,
    /// Since when it is retired, for ever, and who said so; `null` while it is not.
    #[serde(default)]
    pub retired: Option<SourceSaid>,
    /// How it is; `null` for a source that only posts.
    pub reading: Option<Reading>,
}

/// A secret of a source, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceSecret {
    /// Tells it from others: part of a hash under the secret itself.
    pub fingerprint: String,
    /// When a notification was last good under it; `null` for not since `secrets_since`.
    pub last_used: Option<DateTime<Utc>>,
}

/// Who said something of a source as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceSaid {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Who said so: `user:source/id`, `service:id` or `admin key`.
    pub by: Option<String>,
    /// The event that says so.
    #[schema(value_type = u64)]
    pub position: Position,
}

impl From<SourceSaidView<'_>> for SourceSaid {
    fn from(SourceSaidView { author, position, at, .. }: SourceSaidView<'_>) -> Self {
        Self { since: at, by: author.map(str::to_owned), position }
    }
}

/// How a source is that Rollcall reads.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Reading {
    /// `healthy`, `held`, `empty`, `unreachable`, `unauthorised` or `blind`; `null` before its first read.
    #[schema(value_type = Option<String>)]
    pub state: Option<Cow<'static, str>>,
    /// The same for people.
    pub reason: Option<String>,
    /// When it was asked last, with whatever outcome.
    pub checked_at: Option<DateTime<Utc>>,
    /// When it was last read whole, or heard while followed.
    pub sealed_at: Option<DateTime<Utc>>,
    /// The log's position up to which what it said is recorded.
    #[schema(value_type = u64)]
    pub applied: Position,
    /// How many of its facts stand.
    pub facts: u64,
    /// Attempts that failed since the last good one.
    pub failures: u32,
    /// What waits for a person.
    pub held: Option<HeldPlan>,
    /// Members that it lists and that are not there: how many, and the first of them.
    pub absent: Sample,
    /// Members that it lists, that exist and are not read: how many, and the first of them.
    pub outside: Sample,
    /// What could not be resolved and is left as it is: how much, and the first of it with the reason.
    pub excluded: Sample,
    /// When everything was read last because following could not go on from where it was, and why; `null` for a source
    /// that is not followed.
    pub whole: Option<FullRead>,
}

/// Following began with a read of everything.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FullRead {
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub why: String,
}

/// A plan that waits for a person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HeldPlan {
    /// Its id, for `/api/v1/plans/{id}`.
    pub plan: String,
    /// How many removals are held.
    pub removals: u64,
    /// What waits, for people: `first read: 93 additions wait`.
    #[serde(default)]
    pub said: String,
    /// Since when, where nothing that the source says counts until somebody applies it.
    #[serde(default)]
    pub no_news_since: Option<DateTime<Utc>>,
    /// Why.
    pub reason: String,
}

/// How much there is of something, and the first of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Sample {
    /// How much.
    pub count: u64,
    /// The first of it.
    pub first: Vec<String>,
}

/// How the sources that are read are. A source that was never asked has a reading without a state.
async fn load_readings(reads: &Reads) -> Result<BTreeMap<String, Reading>> {
    let unreadable = |error: OpsError| Error::unavailable("How the sources are cannot be read", &error);
    let mut readings = BTreeMap::new();
    for status in reads.ops().source_statuses().await.map_err(unreadable)? {
        let held = reads.ops().held_plan(&status.source).await;
        let held = held.map_err(|error| Error::unavailable("How the sources are cannot be read", &error))?;
        let held = match held {
            None => None,
            Some(plan) => Some(HeldPlan {
                no_news_since: match stops_all_news(&plan) {
                    true => Some(waits_since(reads.ops(), &plan).await?),
                    false => None,
                },
                plan: plan.id.to_string(),
                removals: plan.removals,
                said: what_waits(&plan),
                reason: plan.reason,
            }),
        };
        let excluded = status.excluded.first.into_iter().map(|(which, why)| format!("{which}: {why}"));
        let reading = Reading {
            state: Some(status.state.as_str().into()),
            reason: status.reason,
            checked_at: Some(status.checked_at),
            sealed_at: status.sealed_at,
            applied: status.applied,
            facts: status.facts,
            failures: status.failures,
            held,
            absent: Sample { count: status.absent.count, first: status.absent.first },
            outside: Sample { count: status.outside.count, first: status.outside.first },
            excluded: Sample { count: status.excluded.count, first: excluded.collect() },
            whole: status.whole.map(|whole| FullRead { at: whole.at, why: whole.why }),
        };
        readings.insert(status.source.to_string(), reading);
    }
    Ok(readings)
}

impl Reading {
    fn unread() -> Self {
        let none = || Sample { count: 0, first: Vec::new() };
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
            outside: none(),
            excluded: none(),
            whole: None,
        }
    }
}

/// Every source that was ever configured.
///
/// # Errors
/// How they are cannot be read now.
pub async fn list(reads: &Reads) -> Result<Answer<List<Source>>> {
    let (mut readings, asked) = (load_readings(reads).await?, reads.clone());
    let list = reads.list(move |roster, _, _| {
        let reads = asked;
        let known = roster.settings().sources.iter().filter(|(name, _)| name.as_str() != LOCAL);
        let items = known.map(|(name, said)| {
            let max_body = reads.receiver().max_body(name.as_str());
            let secrets = reads.receiver().secrets(name.as_str()).into_iter();
            let shown = |SecretUse { fingerprint, last_used }| SourceSecret { fingerprint, last_used };
            let secrets: Vec<SourceSecret> = secrets.map(shown).collect();
            Source {
                name: name.to_string(),
                order: said.order.as_str().into(),
                authoritative: said.authoritative,
                hook: max_body.map(|_| format!("/hooks/{name}")),
                max_body,
                secrets_since: (!secrets.is_empty()).then(|| reads.receiver().since()),
                secrets,
                suspended: roster
                    .suspension(name.as_str())
                    .filter(|said| said.suspended)
                    .map(|said| SourceSaid::from(said.by)),
                retired: roster.retirement(name.as_str()).map(SourceSaid::from),
                seen: roster.sources().any(|seen| seen == name.as_str()),
                reading: match readings.remove(name.as_str()) {
                    None if reads.runners().reads(name.as_str()) => Some(Reading::unread()),
                    known => known.filter(|_| reads.runners().reads(name.as_str())),
                },
                parked: {
                    let all = roster.parked_of(name.as_str());
                    let told = all.clone().take(MAX_PARKED_SHOWN);
                    let text = |p: ParkedView<'_>| format!("{} (event {}): {}", p.subject, p.position, p.reason);
                    Sample { count: all.count() as u64, first: told.map(text).collect() }
                },
            }
        });
        Ok(items.collect())
    });
    let (position, items) = list.await?;
    Ok(Answer::of_more(position, List { items }))
}
