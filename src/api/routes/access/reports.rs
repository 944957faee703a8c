//! `/api/v1/reports`: who could do something in a project at a moment, for people who have to show it to others; and what
//! was different at two moments. Each answer names its position, its instant and the chain's hash there.

use std::collections::BTreeSet;

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::stream;
use rollcall_access::{
    AccessChange, Basis, Difference, PastQuestion, PermittedRow, Reason, Roster, RosterAt, ScopeName, WhoMay, had_tie,
    who_may,
};
use rollcall_eventlog::Moment;
use rollcall_events::Position;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    caller::forbidden,
    http::csv,
    http::guard::{Locked, Reads},
    http::problem::{Answer, Kind, ProblemShape},
    http::query::{Fresh, Given},
    http::reply::RestsOn,
    past::{self, AsOf, Past},
    reasons::{CauseShape, ReasonShape},
    routes::access::explain,
    routes::access::users,
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(who_could)).routes(routes!(diff))
}

/// Who could do what.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WhoQuery {
    /// The project, by a name of now or then.
    project: String,
    /// `pull` (the default), `push`, `delete`, or an action or operation of the access profile.
    #[serde(default)]
    action: Option<String>,
    /// As Rollcall knew it then: a position, an instant or a day (its end, UTC). Now when absent.
    #[serde(default)]
    as_of: Option<String>,
    /// `json` or `csv`; else `Accept` decides.
    #[serde(default)]
    format: Option<Format>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Csv,
}

/// A place in the log.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct MomentShown {
    /// The last position that counts.
    #[schema(value_type = u64)]
    position: Position,
    /// The instant at which windows are judged.
    at: DateTime<Utc>,
    /// The chain's hash at that position, hexadecimal: of exactly what was recorded up to there.
    hash: String,
}

impl MomentShown {
    fn of(moment: Moment, at: DateTime<Utc>) -> Self {
        Self { position: moment.position, at, hash: moment.hash.to_string() }
    }
}

/// Who could do something in a project.
#[derive(Serialize, ToSchema)]
struct WhoCould {
    /// The project's name then.
    project: String,
    /// The project's id, which stays the same.
    project_id: String,
    /// What could be done.
    action: String,
    /// `recorded`: what Rollcall would have answered then.
    basis: &'static str,
    /// When.
    as_of: MomentShown,
    /// Whether everybody could, with or without a role: `anyone`, `authenticated` (whoever signed in), or `null`.
    open_to: Option<&'static str>,
    /// Who could by a role, one row per role.
    rows: Vec<WhoRow>,
}

/// Somebody who could, by one role.
#[derive(Serialize, ToSchema)]
struct WhoRow {
    /// The user's name then.
    user: String,
    /// The user's id.
    user_id: String,
    /// The role.
    role: String,
    /// When the last reason was to end by itself.
    until: Option<DateTime<Utc>>,
    /// Every reason for the role, with its events.
    #[schema(value_type = Vec<ReasonShape>)]
    reasons: Vec<Reason>,
}

impl WhoRow {
    fn of(row: PermittedRow) -> Self {
        Self { user: row.name, user_id: row.user, role: row.role, until: row.until, reasons: row.reasons }
    }
}

/// The media types that a caller takes.
struct Accepts(bool);

impl<S: Send + Sync> FromRequestParts<S> for Accepts {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let wants = |headers: &HeaderMap| {
            let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/csv"))
        };
        Ok(Self(wants(&parts.headers)))
    }
}

/// Who could do something in a project at a moment, with every reason and its events.
///
/// As CSV every row names the position, the instant and the chain's hash there, which `rollcall verify` proves.
#[utoipa::path(
    get, path = "/api/v1/reports/who", tag = "reports", operation_id = "report_who", params(WhoQuery, Fresh),
    responses(
        (status = 200, content((WhoCould = "application/json"), (String = "text/csv"))),
        (status = "default", body = ProblemShape, content_type = "application/problem+json")
    )
)]
async fn who_could(reads: Reads<Given<WhoQuery>>, Accepts(csv): Accepts) -> Answer<Response> {
    let Given(query) = &reads.query;
    let project_now = readable(&reads, &query.project)?;
    let action = query.action.as_deref().unwrap_or("pull");
    let report = match past::as_of("as_of", query.as_of.as_deref())? {
        Some(as_of) => {
            let past = reads.past(as_of, Basis::Recorded, PastQuestion::Members(&query.project)).await?;
            let project = past.project(&query.project, project_now.as_deref())?;
            report(&past.roster, past.moment, past.at, project, action)?
        }
        None => {
            let (moment, at) = reads.now_moment().await?;
            // The roster may be further by now: what is told is of the moment that is named.
            let as_of = AsOf::at(moment.position);
            let past = reads.past(as_of, Basis::Recorded, PastQuestion::Members(&query.project)).await?;
            let project = past.project(&query.project, project_now.as_deref())?;
            report(&past.roster, moment, at, project, action)?
        }
    };
    let csv = match query.format {
        Some(format) => format == Format::Csv,
        None => csv,
    };
    let position = report.as_of.position;
    if csv {
        Ok(reads.stamped_at(as_csv(report), position))
    } else {
        reads.answer(report.as_of.position, RestsOn::MoreThanTheLog, &report)
    }
}

/// Whether the caller may read reports of a project; its id as of now.
fn readable<Q>(reads: &Reads<Q>, project: &str) -> Answer<Option<String>> {
    const ACTION: &str = "report.read";
    let roster = reads.live().read();
    let asker = reads.ask(&roster);
    if !asker.everywhere(ACTION) {
        let found = asker.project(project)?;
        if !asker.may(ACTION, found) {
            return Err(forbidden(ACTION));
        }
    }
    Ok(past::project_id(&roster, project))
}

fn report(
    roster: &Roster,
    moment: Moment,
    at: DateTime<Utc>,
    project: rollcall_access::ProjectIx,
    action: &str,
) -> Answer<WhoCould> {
    let WhoMay { open_to, rows } = who_may(roster, project, explain::actions(roster, action)?, at);
    let view = roster.project(project);
    Ok(WhoCould {
        project: view.name.to_owned(),
        project_id: view.id,
        action: action.to_owned(),
        basis: "recorded",
        as_of: MomentShown::of(moment, at),
        open_to,
        rows: rows.into_iter().map(WhoRow::of).collect(),
    })
}

const COLUMNS: [&str; 15] = [
    "user",
    "user_id",
    "role",
    "rule",
    "reason",
    "source",
    "event",
    "events",
    "until",
    "project",
    "action",
    "basis",
    "position",
    "at",
    "chain_head",
];

/// One row per reason. What everybody could do is a row too, and so is that nobody could.
fn as_csv(report: WhoCould) -> Response {
    let WhoCould { project, action, basis, as_of, open_to, rows, .. } = report;
    let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let (position, at) = (as_of.position.to_string(), instant(as_of.at));
    let tail = move |cells: [&str; 9]| {
        let rest = [project.as_str(), &action, basis, &position, &at, &as_of.hash];
        csv::line(&[&cells[..], &rest[..]].concat())
    };
    let everybody = match open_to {
        Some("anyone") => "(anyone)",
        Some(_) => "(whoever signs in)",
        None if rows.is_empty() => "(nobody)",
        None => "",
    };
    let mut first = csv::line(&COLUMNS);
    if !everybody.is_empty() {
        let reason = if open_to.is_some() { "the project's visibility" } else { "" };
        first.push_str(&tail([everybody, "", "", "", reason, "", "", "", ""]));
    }
    let lines = rows.into_iter().map(move |row| {
        let mut text = String::new();
        for reason in &row.reasons {
            let (source, event) =
                reason.facts.first().map(|f| (f.source.clone(), f.position.to_string())).unwrap_or_default();
            let events: BTreeSet<Position> = reason.facts.iter().map(|fact| fact.position).collect();
            let events: Vec<String> = events.iter().map(Position::to_string).collect();
            let until = reason.until.map(instant).unwrap_or_default();
            text.push_str(&tail([
                &row.user,
                &row.user_id,
                &row.role,
                reason.rule,
                &reason.text,
                &source,
                &event,
                &events.join(" "),
                &until,
            ]));
        }
        text
    });
    let lines = std::iter::once(first).chain(lines).map(Ok::<_, std::convert::Infallible>);
    let name = "attachment; filename=\"who.csv\"";
    let headers =
        [(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"), (header::CONTENT_DISPOSITION, name)];
    (headers, Body::from_stream(stream::iter(lines))).into_response()
}

/// Which two moments, and of what.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DiffQuery {
    /// The earlier moment: a position, an instant or a day (its end, UTC).
    from: String,
    /// The later one. Now when absent.
    #[serde(default)]
    to: Option<String>,
    /// Of everybody in this project.
    #[serde(default)]
    project: Option<String>,
    /// Of this user, or `service:id`, everywhere; with `project`, there alone.
    #[serde(default)]
    user: Option<String>,
}

/// What is different at two moments.
#[derive(Serialize, ToSchema)]
struct Differences {
    /// The earlier one.
    from: MomentShown,
    /// The later one.
    to: MomentShown,
    /// Whether nothing is different.
    same: bool,
    /// Roles that appeared and disappeared.
    #[schema(value_type = Vec<AccessChangeShape>)]
    memberships: Vec<AccessChange>,
    /// Actions that appeared and disappeared, ceilings and visibility counted.
    #[schema(value_type = Vec<AccessChangeShape>)]
    actions: Vec<AccessChange>,
}

/// Something about access that is there at one of two moments and not at the other.
#[derive(ToSchema)]
#[schema(as = AccessChange)]
#[expect(dead_code, reason = "the shape of rollcall_access::AccessChange")]
struct AccessChangeShape {
    /// The project's name.
    project: String,
    /// The user's name; `anyone` for somebody who did not sign in.
    name: String,
    /// The user's id.
    user: String,
    /// The role, or the action.
    what: String,
    /// Whether it appeared; else it disappeared.
    appeared: bool,
    /// The events that did it, as far as events did.
    because: Vec<CauseShape>,
    /// The instants at which time did it.
    times: Vec<DateTime<Utc>>,
}

/// What of a project's members, or of a user's access, is different at two moments, and which events did it.
#[utoipa::path(
    get, path = "/api/v1/reports/diff", tag = "reports", operation_id = "report_diff", params(DiffQuery, Fresh),
    responses((status = 200, body = Differences), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn diff(reads: Reads<Given<DiffQuery>>) -> Answer<Response> {
    let Given(query) = &reads.query;
    let about = match (&query.project, &query.user) {
        (None, None) => {
            return Err(
                Kind::InvalidQuery.because("Name a `project`, a `user`, or both: a difference is of something.")
            );
        }
        (Some(project), None) => PastQuestion::Members(project),
        (Some(project), Some(user)) => PastQuestion::Access { user: Some(user), scope: ScopeName::Project(project) },
        (None, Some(user)) => PastQuestion::User(user),
    };
    let project_now = match &query.project {
        Some(project) => readable(&reads, project)?,
        None => None,
    };
    let (everywhere, user_now) = {
        let roster = reads.live().read();
        let everywhere = reads.ask(&roster).everywhere("report.read");
        if query.project.is_none() && !everywhere {
            return Err(forbidden("report.read"));
        }
        (everywhere, query.user.as_deref().and_then(|user| past::user_id(&roster, user)))
    };
    let from = past::as_of("from", Some(&query.from))?;
    let to = past::as_of("to", query.to.as_deref())?;
    let Some(from) = from else { return Err(Kind::InvalidQuery.because("State `from`.")) };
    let before = reads.past(from, Basis::Recorded, about).await?;
    let after = match to {
        Some(to) => reads.past(to, Basis::Recorded, about).await?,
        None => {
            let (moment, at) = reads.now_moment().await?;
            Past { at, ..reads.past(AsOf::at(moment.position), Basis::Recorded, about).await? }
        }
    };
    if before.moment.position > after.moment.position || before.at > after.at {
        return Err(Kind::InvalidQuery.because("`from` is later than `to`; exchange them."));
    }
    let sides = (RosterAt { roster: &before.roster, at: before.at }, RosterAt { roster: &after.roster, at: after.at });
    let caller = match &query.user {
        Some(user) => {
            let caller = |past: &Past| past.caller(user, user_now.as_deref());
            let find = |past: &Past| caller(past).map(|who| past.roster.caller_names(who).0);
            let found = find(&after).or_else(|_| find(&before));
            // Who has nothing to do with the project is not the business of those who run it: to them somebody without a
            // tie and nobody at all are the same, as in an explanation.
            let project = query.project.as_deref().unwrap_or_default();
            let tied = |past: &Past| {
                let project = past.project(project, project_now.as_deref()).ok();
                let who = caller(past).ok();
                who.zip(project).is_some_and(|(who, project)| had_tie(&past.roster, who, project, past.at))
            };
            if !everywhere && !tied(&after) && !tied(&before) {
                return Err(users::no_such_user());
            }
            Some(found?)
        }
        None => None,
    };
    let mut difference = Difference::default();
    let projects: BTreeSet<String> = match &query.project {
        Some(project) => {
            let find = |past: &Past| past.project(project, project_now.as_deref()).map(|ix| past.roster.project(ix).id);
            [find(&after).or_else(|_| find(&before))?].into()
        }
        None => [&before, &after]
            .into_iter()
            .flat_map(|past| past.roster.projects().map(|project| past.roster.project(project).id).collect::<Vec<_>>())
            .collect(),
    };
    for project in &projects {
        difference.add(sides.0, sides.1, project, caller.as_deref());
    }
    let body = Differences {
        from: MomentShown::of(before.moment, before.at),
        to: MomentShown::of(after.moment, after.at),
        same: difference.is_empty(),
        memberships: difference.memberships,
        actions: difference.actions,
    };
    reads.answer(body.to.position, RestsOn::MoreThanTheLog, &body)
}
