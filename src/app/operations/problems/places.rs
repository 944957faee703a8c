//! Where problems are found: in the roster, in what was lost to newer news, in deliveries, at the sources.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::StreamExt as _;
use rollcall_access::{Cause, Flaw, RosterProblem, SettingDifference, SourceSaidView, configuration_differences};
use rollcall_eventlog::WriteAhead;
use rollcall_events::{LOCAL, NewEvent, Order, Position, Recorded, SourceName, time::for_people};
use rollcall_ingest::{DeliveryId, PlanReason, SourceState, SourceStatus};
use rollcall_store::{
    ops::{OpenDelivery, OpenOutcome, OpsError},
    read::SupersededRow,
};

use serde_json::Value;

use super::{Part, ProblemKind, ProblemShown};
use crate::{
    App,
    error::{Error, ErrorKind, Result},
    operations::plans::{apply_command, stops_all_news, waits_since, what_waits},
    turn::run_blocking,
};

/// How many rows of the roster, or of lost events, are looked at in one go.
const ROWS: u32 = 10_000;

fn unreadable(error: &OpsError) -> Error {
    Error::unavailable("The problems cannot be read", error)
}

/// A number as a key that sorts as it.
fn key(number: u64) -> String {
    format!("{number:016x}")
}

fn number(key: &str) -> Result<u64> {
    u64::from_str_radix(key, 16)
        .map_err(|_| ErrorKind::InvalidQuery.because("This is no place in the list of problems."))
}

/// What the roster itself knows, a slice of its rows.
pub(super) async fn in_roster(
    app: &App,
    kind: ProblemKind,
    what: RosterProblem,
    after: Option<&str>,
    limit: usize,
) -> Result<Part> {
    let mut from = match after {
        Some(after) => number(after)?.saturating_add(1),
        None => 0,
    };
    let live = Arc::clone(&app.live);
    run_blocking(move |awaited| {
        let (roster, mut part) = (live.view(), Part::default());
        loop {
            awaited.check()?;
            let walked = roster.problems(what, from, ROWS);
            part.found.extend(walked.found.into_iter().map(|(at, flaw)| (key(at), of_flaw(kind, flaw))));
            match walked.next {
                Some(next) if part.found.len() < limit => from = next,
                next => {
                    part.next = next.and_then(|next| next.checked_sub(1)).map(key);
                    return Ok(part);
                }
            }
        }
    })
    .await
}

fn of_flaw(kind: ProblemKind, flaw: Flaw) -> ProblemShown {
    let Flaw { said_by: Cause { position, source, subject }, said, why, remedy } = flaw;
    ProblemShown { id: String::new(), kind, since: None, position: Some(position), source, subject, said, why, remedy }
}

/// News that lost to newer ones, where nothing was heard of the subject since.
pub(super) async fn superseded(app: &App, after: Option<&str>) -> Result<Part> {
    let from = Position(after.map(number).transpose()?.unwrap_or_default());
    let (rows, next) = app.control.superseded(from, ROWS).await?;
    let mut positions: Vec<Position> = rows.iter().flat_map(|row| [Some(row.position), row.by]).flatten().collect();
    positions.sort_unstable();
    positions.dedup();
    let mut records = BTreeMap::new();
    let mut pages = app.tail.records(positions);
    while let Some(page) = pages.next().await.transpose()? {
        // What it said in full is not told, and can be large.
        let told = page.into_iter().map(|record| {
            let event = NewEvent { data: "".into(), ..record.event };
            (record.position, Recorded { event, ..record })
        });
        records.extend(told);
    }
    let order = |source: &str| {
        let roster = app.live.read();
        source.parse::<SourceName>().map_or(Order::Observed, |source| roster.order(&source))
    };
    let found = rows.into_iter().map(|row| {
        let lost = records.get(&row.position);
        let by = row.by.and_then(|by| records.get(&by));
        (key(row.position.0), lost_news(&row, order(&row.source), lost, by))
    });
    Ok(Part { found: found.collect(), next: next.map(|next| key(next.0)) })
}

fn lost_news(row: &SupersededRow, order: Order, lost: Option<&Recorded>, by: Option<&Recorded>) -> ProblemShown {
    let SupersededRow { position, source, subject, .. } = row;
    let what = lost.map_or("an event", |lost| &*lost.event.kind);
    let sequence = |record: &Recorded| record.event.sequence.map_or("none".to_owned(), |sequence| sequence.to_string());
    let time = |record: &Recorded| record.event.time.map_or("none".to_owned(), |time| time.to_rfc3339());
    let late = "nothing, where it came late";
    let (why, remedy) = match (lost, by, order) {
        (Some(lost), Some(by), Order::Time) if by.event.time.is_some_and(|time| time > lost.recorded_at) => (
            format!(
                "event {} says time {}, which was in the future when this came; all that source {source} says of it with an earlier time is superseded",
                by.position,
                time(by)
            ),
            format!(
                "set the clock of source {source} right, and have it say {subject} once more with a time after that one"
            ),
        ),
        (Some(lost), Some(by), Order::Time) => (
            format!("event {} says time {}, this one {}: that one is newer", by.position, time(by), time(lost)),
            format!("{late}; else have source {source} say {subject} again with a later time"),
        ),
        (Some(lost), Some(by), _) => (
            format!(
                "event {} has sequence {}, this one {}: that one is newer, or gives less where they are the same",
                by.position,
                sequence(by),
                sequence(lost)
            ),
            format!("{late}; else have source {source} say {subject} again with a higher sequence"),
        ),
        _ => (
            format!("source {source} is retired: nothing that it says takes effect"),
            "let the sender stop, or give the source another name".to_owned(),
        ),
    };
    ProblemShown {
        id: String::new(),
        kind: ProblemKind::Superseded,
        since: None,
        position: Some(*position),
        source: source.clone(),
        subject: subject.clone(),
        said: format!("{what} about {subject}"),
        why,
        remedy,
    }
}

/// Sources of which nothing more is taken that cannot be read.
pub(super) async fn full_quarantines(app: &App, after: Option<&str>) -> Result<Part> {
    let full = app.receiver.full_quarantines().await;
    let full = full.map_err(|error| Error::unavailable("The problems cannot be read", &error))?;
    let found = full.into_iter().filter(|(source, ..)| after.is_none_or(|after| source.as_str() > after));
    let found = found.map(|(source, kept, max)| {
        let problem = ProblemShown {
            id: String::new(),
            kind: ProblemKind::QuarantineFull,
            since: None,
            position: None,
            source: source.to_string(),
            subject: format!("source/{source}"),
            said: "deliveries in which something cannot be read; they are answered 507 and nothing of them is recorded".to_owned(),
            why: format!(
                "{} deliveries, {} bytes, are in quarantine; {} deliveries and {} bytes may be",
                kept.deliveries, kept.bytes, max.deliveries, max.bytes
            ),
            remedy: format!(
                "have source {source} send what can be read; `rollcall deliveries list --failed` shows what is there, and what \
                 is mended here is replayed, what never will be is dismissed: `rollcall deliveries replay`, `rollcall deliveries dismiss`"
            ),
        };
        (source.to_string(), problem)
    });
    Ok(Part { found: found.collect(), next: None })
}

/// Deliveries of which something is not recorded and open still, the newest first.
pub(super) async fn in_deliveries(
    app: &App,
    kind: ProblemKind,
    outcome: OpenOutcome,
    source: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> Result<Part> {
    let before: Option<DeliveryId> = after.and_then(|after| after.parse().ok());
    let source = match source.map(str::parse::<SourceName>) {
        Some(Err(_)) => return Ok(Part::default()),
        Some(Ok(source)) => Some(source),
        None => None,
    };
    let limit = u32::try_from(limit.min(1_000)).unwrap_or(1_000);
    app.ops.caught_up().await.map_err(|error| unreadable(&error))?;
    let found = app.ops.open_deliveries(outcome, source.as_ref(), before.as_ref(), limit).await;
    let found = found.map_err(|error| unreadable(&error))?;
    let next = found.last().filter(|_| found.len() >= limit as usize).map(|last| last.id.to_string());
    let roster = app.live.read();
    let retired = |source: &SourceName| roster.retirement(source.as_str()).is_some();
    let found = found.into_iter().map(|delivery| {
        let OpenDelivery { id, source, received_at, events, open, problem } = delivery;
        let show = format!("`rollcall deliveries show {id}` says which");
        let replay = format!("`rollcall deliveries replay {id}`");
        let dismiss = format!("`rollcall deliveries dismiss {id}` where nothing is to be done");
        let (why, remedy) = match outcome {
            OpenOutcome::Conflict => (
                "ids of it were used before, with another content; the first stands".to_owned(),
                format!("have the sender send what is meant under ids that are new; {show}; then, or where the first is right, {dismiss}"),
            ),
            OpenOutcome::Unrecorded => (
                "the log could not take it".to_owned(),
                format!("{replay} when the log is well, or wait until the sender sends it again; {dismiss}"),
            ),
            OpenOutcome::Quarantined => (
                problem.map_or("it does not fit".to_owned(), |problem| format!("first: {problem}")),
                format!("{show}, and what is wrong; have the sender send them as they should be under the same ids, or where it is mended here, {replay}; {dismiss}"),
            ),
        };
        let remedy = if retired(&source) {
            format!("source {source} is retired: it is neither replayed nor sent again. {show}; what of it is still meant, have another source say; {dismiss}")
        } else {
            remedy
        };
        let problem = ProblemShown {
            id: String::new(),
            kind,
            since: Some(received_at),
            position: None,
            source: source.to_string(),
            subject: id.to_string(),
            said: format!("{open} of {events} events in this delivery"),
            why,
            remedy,
        };
        (id.to_string(), problem)
    });
    Ok(Part { found: found.collect(), next })
}

async fn statuses(app: &App) -> Result<Vec<SourceStatus>> {
    // What is no longer read has no state of now.
    let all = app.ops.source_statuses().await.map_err(|error| unreadable(&error))?;
    Ok(all.into_iter().filter(|status| app.runners.reads(status.source.as_str())).collect())
}

/// What waits for a person: removals; or, as another kind, what else a source says.
pub(super) async fn held(app: &App, kind: ProblemKind, after: Option<&str>) -> Result<Part> {
    let mut part = Part::default();
    for SourceStatus { source, .. } in statuses(app).await? {
        if after.is_some_and(|after| source.as_str() <= after) {
            continue;
        }
        let held = app.ops.held_plan(&source).await;
        let held = held.map_err(|error| Error::unavailable("The problems cannot be read", &error))?;
        let Some(plan) = held else { continue };
        let of_kind = match stops_all_news(&plan) || plan.why == PlanReason::Links {
            true => ProblemKind::WaitingNews,
            false => ProblemKind::HeldRemovals,
        };
        if of_kind != kind {
            continue;
        }
        let since = waits_since(&*app.ops, &plan).await?;
        let (why, lets) = match stops_all_news(&plan) {
            true => (
                format!(
                    "since {}, news of this source does not count: {}",
                    since.format("%Y-%m-%d %H:%M"),
                    plan.reason
                ),
                "lets it count",
            ),
            false => (plan.reason.clone(), "lets it take effect"),
        };
        let problem = ProblemShown {
            id: String::new(),
            kind,
            since: Some(since),
            position: None,
            source: source.to_string(),
            subject: plan.id.to_string(),
            said: what_waits(&plan),
            why,
            remedy: format!("read `rollcall plan {source}`, which shows each; then `{}` {lets}", apply_command(&plan)),
        };
        part.found.push((source.to_string(), problem));
    }
    Ok(part)
}

/// What is said of one source beside its name: subject, what was said, why, what to do.
pub(super) type OfSource = (String, String, String, String);

/// What the last read of each source left.
pub(super) async fn of_sources(
    app: &App,
    kind: ProblemKind,
    after: Option<&str>,
    look: impl Fn(&SourceStatus) -> Vec<OfSource>,
) -> Result<Part> {
    let mut part = Part::default();
    for status in statuses(app).await? {
        for (n, (subject, said, why, remedy)) in look(&status).into_iter().enumerate() {
            // `!` sorts before whatever a source's name can hold.
            let key = format!("{}!{n:04}", status.source);
            if after.is_some_and(|after| key.as_str() <= after) {
                continue;
            }
            let (since, source) = (status.sealed_at.or(Some(status.checked_at)), status.source.to_string());
            let problem =
                ProblemShown { id: String::new(), kind, since, position: None, source, subject, said, why, remedy };
            part.found.push((key, problem));
        }
    }
    Ok(part)
}

/// A source of which nothing can be concluded.
pub(super) fn unread(status: &SourceStatus) -> Vec<OfSource> {
    let what = match status.state {
        SourceState::Healthy | SourceState::Held | SourceState::Retired => return Vec::new(),
        SourceState::Empty => "it answers with nothing, though it said something before; nothing is taken away",
        SourceState::Unreachable => "it does not answer; what it said last stands",
        SourceState::Unauthorised => "it does not let Rollcall in; what it said last stands",
        SourceState::Blind => "it does not let Rollcall see everything; what it said last stands",
    };
    let why = match &status.reason {
        Some(reason) => format!("{what}: {reason}"),
        None => what.to_owned(),
    };
    let name = status.source.to_string();
    vec![(
        name.clone(),
        "what it says now".to_owned(),
        why,
        format!("`rollcall sources show {name}` looks at it from here"),
    )]
}

/// The first of many, and a last line of how many more there are.
fn first(count: u64, first: Vec<OfSource>, more: &str) -> Vec<OfSource> {
    let left = count.saturating_sub(first.len() as u64);
    let rest = (left > 0).then(|| {
        let (said, why) = (format!("{left} more"), format!("they are {more} too"));
        ("and more".to_owned(), said, why, "mend the first; the next read shows others".to_owned())
    });
    first.into_iter().chain(rest).collect()
}

/// Members who exist and are not read.
pub(super) fn outside(status: &SourceStatus) -> Vec<OfSource> {
    let rows = status.outside.first.iter().map(|who| {
        let why =
            "that entry exists, and is in none of the bases, or is of a kind that the filters do not take".to_owned();
        let remedy = "read the base that it is in, change the filter, or take it out of the group".to_owned();
        (who.clone(), "it is a member of the group".to_owned(), why, remedy)
    });
    first(status.outside.count, rows.collect(), "outside")
}

/// Members who are not there.
pub(super) fn absent(status: &SourceStatus) -> Vec<OfSource> {
    let rows = status.absent.first.iter().map(|who| {
        let (why, remedy) = ("no such entry exists", "take it out of the group, or make the entry");
        (who.clone(), "it is a member of the group".to_owned(), why.to_owned(), remedy.to_owned())
    });
    first(status.absent.count, rows.collect(), "not there")
}

/// What could not be resolved.
pub(super) fn unresolved(status: &SourceStatus) -> Vec<OfSource> {
    let rows = status.excluded.first.iter().map(|(which, why)| {
        let remedy = "mend it at the source; until then what was said last of it stands".to_owned();
        (which.clone(), "something of it was read".to_owned(), why.clone(), remedy)
    });
    first(status.excluded.count, rows.collect(), "not resolved")
}

/// Sources with facts in the log that nothing listens to or reads.
pub(super) fn not_configured(app: &App, after: Option<&str>) -> Result<Part> {
    let roster = app.live.read();
    let configured = |name: &str| app.receiver.max_body(name).is_some() || app.runners.reads(name);
    let mut names: Vec<&str> = roster.fact_sources().filter(|name| !configured(name)).collect();
    names.retain(|name| after.is_none_or(|after| *name > after));
    names.sort_unstable();
    let found = names.into_iter().map(|name| {
        let problem = ProblemShown {
            id: String::new(),
            kind: ProblemKind::SourceNotConfigured,
            since: None,
            position: None,
            source: name.to_owned(),
            subject: format!("source/{name}"),
            said: "its facts are in the log and count".to_owned(),
            why: "the configuration names no such source: nothing new is heard of it".to_owned(),
            remedy: format!(
                "add [source.{name}] to the configuration, or end its facts with `rollcall sources retire {name}`"
            ),
        };
        (name.to_owned(), problem)
    });
    Ok(Part { found: found.collect(), next: None })
}

/// Sources of which somebody said something that holds still; `told` is what of that: what stands, why, what to do.
fn said_of_sources<'a>(
    kind: ProblemKind,
    all: impl Iterator<Item = SourceSaidView<'a>>,
    after: Option<&str>,
    told: impl Fn(&str, &str) -> (&'static str, String, String),
) -> Part {
    let mut all: Vec<_> = all.filter(|said| after.is_none_or(|after| said.source > after)).collect();
    all.sort_unstable_by_key(|said| said.source);
    let found = all.into_iter().map(|SourceSaidView { source, at, position, author, .. }| {
        let (said, why, remedy) = told(source, author.unwrap_or("the operator"));
        let problem = ProblemShown {
            id: String::new(),
            kind,
            since: Some(at),
            position: Some(position),
            source: source.to_owned(),
            subject: format!("source/{source}"),
            said: said.to_owned(),
            why,
            remedy,
        };
        (source.to_owned(), problem)
    });
    Part { found: found.collect(), next: None }
}

/// Sources whose facts do not count.
pub(super) fn suspended(app: &App, after: Option<&str>) -> Part {
    let roster = app.live.read();
    said_of_sources(
        ProblemKind::SourceSuspended,
        roster.suspended_sources().map(|said| said.by),
        after,
        |name, author| {
            (
                "its facts are kept and go on being updated",
                format!("{author} suspended it: nobody has anything through them"),
                format!("`rollcall sources resume {name}` shows whom that gives what, and does it"),
            )
        },
    )
}

/// Sources that are retired and configured still.
pub(super) fn retired(app: &App, after: Option<&str>) -> Part {
    let roster = app.live.read();
    let configured = |name: &str| app.receiver.max_body(name).is_some() || app.runners.reads(name);
    let retired = roster.retired_sources().filter(|said| configured(said.source));
    said_of_sources(ProblemKind::SourceRetired, retired, after, |name, author| {
        (
            "the configuration names it",
            format!("{author} retired it, for ever: it is not read, and what it posts is refused"),
            format!(
                "take [source.{name}] out of the configuration, and leave `links` of other sources that name it: whom they made \
                 one user stays so; a source that takes its place has another name"
            ),
        )
    })
}

/// Settings that are configured and not in effect.
pub(super) fn waiting_settings(app: &App, after: Option<&str>) -> Part {
    let waiting = configuration_differences(&app.live.read(), &app.configuration);
    let waiting = waiting.into_iter().filter(|waiting| after.is_none_or(|after| waiting.setting.as_str() > after));
    let found = waiting.map(|SettingDifference { setting, in_force, configured }| {
        let said = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
        let problem = ProblemShown {
            id: String::new(),
            kind: ProblemKind::Configuration,
            since: None,
            position: None,
            source: LOCAL.to_owned(),
            subject: setting.clone(),
            said: format!("{} is configured", said(&configured)),
            why: format!("{} is in effect, and the other would change somebody's access", said(&in_force)),
            remedy: "look at it with `rollcall config plan`, then apply it or take it back".to_owned(),
        };
        (setting, problem)
    });
    Part { found: found.collect(), next: None }
}

/// Readers of a database that stay.
pub(super) fn held_databases(app: &App, after: Option<&str>) -> Part {
    let all = app.control.write_ahead().into_iter().filter(|one| after.is_none_or(|after| one.database > after));
    let found = all.filter_map(|WriteAhead { database, bytes, held }| {
        let (who, since) = (held.as_ref()?.readers(), app.now() - held?.lasting);
        let problem = ProblemShown {
            id: String::new(),
            kind: ProblemKind::DatabaseHeld,
            since: Some(since),
            position: None,
            source: LOCAL.to_owned(),
            subject: database.to_owned(),
            said: format!("what is written is written ahead, and moved into {database}"),
            why: format!(
                "{who} has read {database} without a break since {}: {} MB are written ahead, and more with every write",
                for_people(since),
                bytes / 1_000_000
            ),
            remedy: "end that reader, and the space is given back by itself; all goes on meanwhile, as long as the disk has \
                     room. `rollcall backup` and `rollcall verify` read the log page by page and keep nothing of it from \
                     being moved"
                .to_owned(),
        };
        Some((database.to_owned(), problem))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Part { found, next: None }
}

/// Says of each when its event was recorded.
pub(super) async fn date(app: &App, rows: &mut [ProblemShown]) -> Result<()> {
    let mut positions: Vec<Position> =
        rows.iter().filter(|row| row.since.is_none()).filter_map(|row| row.position).collect();
    positions.sort_unstable();
    positions.dedup();
    if positions.is_empty() {
        return Ok(());
    }
    let mut recorded = BTreeMap::new();
    let mut pages = app.tail.records(positions);
    while let Some(page) = pages.next().await.transpose()? {
        recorded.extend(page.iter().map(|record| (record.position, record.recorded_at)));
    }
    for row in rows.iter_mut().filter(|row| row.since.is_none()) {
        row.since = row.position.and_then(|position| recorded.get(&position).copied());
    }
    Ok(())
}
