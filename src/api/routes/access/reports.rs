//! `/api/v1/reports`: who could do something in a project at a moment, for people who have to show it to others; and what
//! was different at two moments. As JSON and, of the first, as CSV.

use std::collections::{BTreeSet, HashMap};

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::stream;
use rollcall_app::{
    EventCause,
    access::reports::{self, DiffQuery, Differences, WhoCould},
};
use rollcall_events::Position;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    csv,
    extractors::{ApiState, Read},
    problem::{ProblemDocument, Result},
    query::{FreshnessParams, Query},
};

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
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

/// Whether the caller takes CSV.
struct AcceptsCsv(bool);

impl<S: Send + Sync> FromRequestParts<S> for AcceptsCsv {
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
    get, path = "/api/v1/reports/who", tag = "reports", operation_id = "report_who", params(WhoQuery, FreshnessParams),
    responses(
        (status = 200, content((WhoCould = "application/json"), (String = "text/csv"))),
        (status = "default", body = ProblemDocument, content_type = "application/problem+json")
    )
)]
async fn who_could(read: Read<Query<WhoQuery>>, AcceptsCsv(csv): AcceptsCsv) -> Result<Response> {
    let Query(WhoQuery { project, action, as_of, format }) = &read.query;
    let answer = reports::who_could(&read.reads, project, action.as_deref(), as_of.as_deref()).await?;
    if format.map_or(csv, |format| format == Format::Csv) {
        Ok(read.respond_with(answer.position, as_csv(answer.value)))
    } else {
        read.respond(&answer)
    }
}

const COLUMNS: [&str; 16] = [
    "user",
    "user_id",
    "role",
    "rule",
    "reason",
    "source",
    "event",
    "events",
    "by",
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
    let WhoCould { project, action, basis, as_of, open_to, rows, causes, .. } = report;
    let causes: HashMap<Position, String> =
        causes.into_iter().map(|EventCause { position, caused_by }| (position, caused_by.text())).collect();
    let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let (position, at) = (as_of.position.to_string(), instant(as_of.at));
    let tail = move |cells: [&str; 10]| {
        let rest = [project.as_str(), &action, &basis, &position, &at, &as_of.hash];
        csv::line(&[&cells[..], &rest[..]].concat())
    };
    let everybody = match open_to.as_deref() {
        Some("anyone") => "(anyone)",
        Some(_) => "(whoever signs in)",
        None if rows.is_empty() => "(nobody)",
        None => "",
    };
    let mut first = csv::line(&COLUMNS);
    if !everybody.is_empty() {
        let reason = if open_to.is_some() { "the project's visibility" } else { "" };
        first.push_str(&tail([everybody, "", "", "", reason, "", "", "", "", ""]));
    }
    let lines = rows.into_iter().map(move |row| {
        let mut text = String::new();
        for reason in &row.reasons {
            let (source, event) =
                reason.facts.first().map(|f| (f.source.clone(), f.position.to_string())).unwrap_or_default();
            let events: BTreeSet<Position> = reason.facts.iter().map(|fact| fact.position).collect();
            let events: Vec<String> = events.iter().map(Position::to_string).collect();
            let by = reason.facts.first().and_then(|fact| causes.get(&fact.position)).map_or("", String::as_str);
            let until = reason.until.map(instant).unwrap_or_default();
            text.push_str(&tail([
                &row.user,
                &row.user_id,
                &row.role,
                reason.rule.as_str(),
                &reason.text,
                &source,
                &event,
                &events.join(" "),
                by,
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

/// What of a project's members, or of a user's access, is different at two moments, and which events did it.
#[utoipa::path(
    get, path = "/api/v1/reports/diff", tag = "reports", operation_id = "report_diff", params(DiffQuery, FreshnessParams),
    responses((status = 200, body = Differences), (status = "default", body = ProblemDocument, content_type = "application/problem+json"))
)]
async fn diff(read: Read<Query<DiffQuery>>) -> Result<Response> {
    let Query(query) = &read.query;
    read.respond(&reports::diff(&read.reads, query).await?)
}
