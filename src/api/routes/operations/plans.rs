//! `/api/v1/plans`: what a source that Rollcall reads says otherwise than before, row for row, before it is recorded.
//! Reads no source itself: a runner does, and this shows what it kept.

use axum::{extract::Path, http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use rollcall_access::{MembershipChange, NamedScope, dry_run};
use rollcall_events::{Body, Position, SourceName};
use rollcall_ingest::{ApplyOutcome, ChangeCounts, Plan, PlanId, PlanRow as IngestRow, RunOutcome, RunnerError};
use rollcall_store::ops::OpsError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::guard::{Commands, Locked, Reads},
    http::input::{Empty, Input},
    http::problem::{Answer, Kind, Problem, ProblemShape},
    http::query::{Fresh, Nothing, Paged, Paging},
    http::reply::{self, Page, RestsOn},
};

/// The most memberships of one answer.
const MOST_MEMBERSHIPS: usize = 10_000;

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(rows))
        .routes(routes!(memberships))
        .routes(routes!(make))
        .routes(routes!(apply))
        .routes(routes!(discard))
}

/// Which plans.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PlansQuery {
    /// Only of this source.
    #[param(value_type = Option<String>)]
    source: Option<SourceName>,
}

/// What a source says otherwise than before, and what becomes of that.
#[derive(Serialize, ToSchema)]
struct PlanShown {
    /// `pln_..`.
    id: String,
    /// Whose facts.
    source: String,
    /// When the source was read.
    made_at: DateTime<Utc>,
    /// The log's position that it was held against.
    #[schema(value_type = u64)]
    position: Position,
    /// `asked`, `first_run`, `scope`, `guard` or `empty`.
    why: &'static str,
    /// The same for people, with numbers and names.
    reason: String,
    /// `open`, `applied`, `discarded` or `superseded`.
    state: &'static str,
    /// Who confirmed or discarded it: `user:source/id`, `service:id` or `admin key`. `null` where nobody did.
    closed_by: Option<String>,
    /// When it ceased to be open.
    closed_at: Option<DateTime<Utc>>,
    /// How many facts of the source stood.
    facts: u64,
    /// How many rows add.
    additions: u64,
    /// How many rows change.
    changes: u64,
    /// How many rows remove or suspend: the number to confirm.
    removals: u64,
}

impl From<Plan> for PlanShown {
    fn from(plan: Plan) -> Self {
        Self {
            id: plan.id.to_string(),
            source: plan.source.to_string(),
            made_at: plan.made_at,
            position: plan.position,
            why: plan.why.as_str(),
            reason: plan.reason,
            state: plan.state.as_str(),
            closed_at: plan.closed.as_ref().map(|closed| closed.at),
            closed_by: plan.closed.and_then(|closed| closed.by).map(|by| by.as_str().to_owned()),
            facts: plan.facts,
            additions: plan.additions,
            changes: plan.changes,
            removals: plan.removals,
        }
    }
}

/// One event that applying a plan would append.
#[derive(Serialize, ToSchema)]
struct PlanRow {
    /// Its number in the plan, from 0.
    row: u64,
    /// `add`, `change` or `remove`.
    verb: &'static str,
    /// What it means, with names: `ada leaves the group Platform`.
    text: String,
    /// The event type.
    #[serde(rename = "type")]
    kind: String,
    /// The subject.
    subject: String,
    /// The data.
    #[schema(value_type = Object)]
    data: Option<Box<RawValue>>,
    /// The data of what stood until now; `null` where nothing did.
    #[schema(value_type = Option<Object>)]
    was: Option<Box<RawValue>>,
}

impl From<(u64, IngestRow)> for PlanRow {
    fn from((row, shown): (u64, IngestRow)) -> Self {
        let raw = |text: String| RawValue::from_string(text).ok();
        Self {
            row,
            verb: shown.verb.as_str(),
            text: shown.text,
            kind: shown.kind,
            subject: shown.subject,
            data: raw(shown.data),
            was: shown.was.and_then(raw),
        }
    }
}

/// How many removals somebody looked at and means.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    /// The plan's `removals`.
    confirm_removals: u64,
}

/// What applying a plan recorded.
#[derive(Serialize, ToSchema)]
struct PlanApplied {
    /// The plan.
    id: String,
    /// Facts that are new.
    additions: u64,
    /// Facts that changed.
    changes: u64,
    /// Facts that ended.
    removals: u64,
    /// The log's position that holds all of it.
    #[schema(value_type = u64)]
    position: Position,
}

/// A role in a project that somebody would have, or have no more.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
struct PlannedMembership {
    /// The user's name.
    user: String,
    /// The project's name.
    project: String,
    /// The role.
    role: String,
    /// Whether it appears; else it disappears.
    appears: bool,
}

impl PlannedMembership {
    fn of(change: MembershipChange) -> Option<Self> {
        let MembershipChange { scope, name: user, role, appears, .. } = change;
        match scope {
            NamedScope::Project(project) => Some(Self { user, project, role, appears }),
            NamedScope::Root | NamedScope::Folder(_) => None,
        }
    }
}

/// Roles that would appear and disappear: at most ten thousand, and how many there are.
#[derive(Serialize, ToSchema)]
struct PlannedMemberships {
    /// How many.
    total: usize,
    /// The first of them.
    items: Vec<PlannedMembership>,
}

/// Plans, newest first.
#[utoipa::path(
    get, path = "/api/v1/plans", tag = "plans", operation_id = "plans", params(PlansQuery, Paging, Fresh),
    responses((status = 200, body = Page<PlanShown>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<PlansQuery>>) -> Answer<Response> {
    let (before, position) = (reads.query.after::<PlanId>()?, reads.applied());
    let plans = reads.ops().plans(reads.query.filter.source.as_ref(), before.as_ref(), reads.query.rows()).await;
    let plans = plans.map_err(unreadable)?.into_iter().map(PlanShown::from).collect();
    reads.page(position, RestsOn::MoreThanTheLog, plans, |plan: &PlanShown| plan.id.clone())
}

/// One plan; what it would append stands in its rows.
#[utoipa::path(
    get, path = "/api/v1/plans/{id}", tag = "plans", operation_id = "plan",
    params(("id" = String, Path, description = "The plan's id"), Fresh),
    responses((status = 200, body = PlanShown), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path(id): Path<String>) -> Answer<Response> {
    let id: PlanId = id.parse().map_err(|_| no_such_plan())?;
    let position = reads.applied();
    let plan = reads.ops().plan(&id).await.map_err(|error| Problem::unavailable("The plan cannot be read", &error))?;
    reads.answer(position, RestsOn::MoreThanTheLog, &PlanShown::from(plan.ok_or_else(no_such_plan)?))
}

/// What applying a plan would append, row for row, in that order.
#[utoipa::path(
    get, path = "/api/v1/plans/{id}/rows", tag = "plans", operation_id = "plan_rows",
    params(("id" = String, Path, description = "The plan's id"), Paging, Fresh),
    responses((status = 200, body = Page<PlanRow>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn rows(reads: Reads<Paged<Nothing>>, Path(id): Path<String>) -> Answer<Response> {
    let id: PlanId = id.parse().map_err(|_| no_such_plan())?;
    let (after, position) = (reads.query.after::<u64>()?, reads.applied());
    let plan = reads.ops().plan(&id).await.map_err(|error| Problem::unavailable("The plan cannot be read", &error))?;
    plan.ok_or_else(no_such_plan)?;
    let rows = reads.ops().plan_rows(&id, after, reads.query.rows()).await.map_err(unreadable)?;
    let rows = rows.into_iter().map(PlanRow::from).collect();
    reads.page(position, RestsOn::MoreThanTheLog, rows, |row: &PlanRow| row.row.to_string())
}

/// Who would get or lose which role in which project if a plan were applied now, by user and project.
#[utoipa::path(
    get, path = "/api/v1/plans/{id}/memberships", tag = "plans", operation_id = "plan_memberships",
    params(("id" = String, Path, description = "The plan's id"), Fresh),
    responses((status = 200, body = PlannedMemberships), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn memberships(reads: Reads, Path(id): Path<String>) -> Answer<Response> {
    let id: PlanId = id.parse().map_err(|_| no_such_plan())?;
    let plan = reads.ops().plan(&id).await.map_err(|error| Problem::unavailable("The plan cannot be read", &error))?;
    let source = plan.ok_or_else(no_such_plan)?.source;
    let rows = reads.ops().plan_rows(&id, None, u32::MAX).await.map_err(unreadable)?;
    let facts: Vec<Body> = rows.iter().filter_map(|(_, row)| Body::parse(&row.kind, &row.data).ok()).collect();
    let now = reads.now();
    // Copied under the lock, tried beside it: whoever folds or decides does not wait.
    let before = reads.live().read().clone();
    let position = before.position();
    let tried = tokio::task::spawn_blocking(move || dry_run(&before, &source, &facts, now)).await;
    let tried = tried.map_err(|_| Kind::Internal.because("The plan could not be tried. Report this."))?;
    let mut items: Vec<PlannedMembership> = tried.into_iter().filter_map(PlannedMembership::of).collect();
    items.sort();
    let total = items.len();
    items.truncate(MOST_MEMBERSHIPS);
    reads.answer(position, RestsOn::MoreThanTheLog, &PlannedMemberships { total, items })
}

/// Reads a source and keeps a plan of what recording its answer would append. Appends nothing.
///
/// The read takes as long as it takes; when the request runs out of time, the plan is found in `/api/v1/plans`.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/plan", tag = "plans", operation_id = "source_plan",
    params(("name" = String, Path, description = "The source's name")),
    responses((status = 201, body = PlanShown), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn make(orders: Commands, Path(name): Path<String>, Input(Empty {}): Input<Empty>) -> Answer<Response> {
    let source: SourceName = name.parse().map_err(|_| refusal(RunnerError::UnknownSource))?;
    let plan = orders.runners().plan(&source).await.map_err(refusal)?;
    reply::done(StatusCode::CREATED, None, &PlanShown::from(plan))
}

/// Reads the source again and records what it says, if the removals are those of the plan and as many as confirmed.
///
/// Where they are not, nothing is recorded, the answer is 409, and the new plan is in `/api/v1/plans`. A request that
/// runs out of time does not stop it.
#[utoipa::path(
    post, path = "/api/v1/plans/{id}/apply", tag = "plans", operation_id = "plan_apply", request_body = Confirmation,
    params(("id" = String, Path, description = "The plan's id")),
    responses((status = 200, body = PlanApplied), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn apply(orders: Commands, Path(id): Path<String>, Input(confirmation): Input<Confirmation>) -> Answer<Response> {
    let id: PlanId = id.parse().map_err(|_| no_such_plan())?;
    match orders.runners().apply(&id, confirmation.confirm_removals, orders.author()).await.map_err(refusal)? {
        ApplyOutcome::Done(RunOutcome::UpToDate {
            recorded: ChangeCounts { additions, changes, removals },
            position,
        }) => {
            let applied = PlanApplied { id: id.to_string(), additions, changes, removals, position };
            reply::done(StatusCode::OK, Some(position), &applied)
        }
        ApplyOutcome::Differs(plan) => Err(Kind::PlanDiffers.because(format!(
            "The source says something else by now, so nothing was recorded. Look at {}: it removes {}.",
            plan.id, plan.removals
        ))),
        ApplyOutcome::Done(_) => Err(Kind::Internal.because("The plan was neither applied nor refused. Report this.")),
    }
}

/// Puts a plan aside. What it would have removed stands; the next read of the source finds it again.
#[utoipa::path(
    post, path = "/api/v1/plans/{id}/discard", tag = "plans", operation_id = "plan_discard",
    params(("id" = String, Path, description = "The plan's id")),
    responses((status = 200, body = PlanShown), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn discard(orders: Commands, Path(id): Path<String>, Input(Empty {}): Input<Empty>) -> Answer<Response> {
    let id: PlanId = id.parse().map_err(|_| no_such_plan())?;
    let plan = orders.runners().discard(&id, orders.author()).await.map_err(refusal)?;
    reply::done(StatusCode::OK, None, &PlanShown::from(plan))
}

fn no_such_plan() -> Problem {
    Kind::UnknownPlan.because("No such plan is kept. /api/v1/plans lists them; old ones are deleted in time.")
}

fn unreadable(error: OpsError) -> Problem {
    Problem::unavailable("Plans cannot be read", &error)
}

fn refusal(error: RunnerError) -> Problem {
    let text = error.to_string();
    match error {
        RunnerError::UnknownSource => {
            Kind::UnknownSource.because("No source of this name is read by Rollcall. /api/v1/sources lists them.")
        }
        RunnerError::UnknownPlan => no_such_plan(),
        RunnerError::NotOpen(_) => Kind::PlanClosed
            .because(format!("{text}, so nothing was done. POST /api/v1/sources/{{name}}/plan makes a new one.")),
        RunnerError::WrongNumber { removals, .. } => Kind::PlanDiffers.because(format!(
            "{text}. Nothing was recorded. Look at its rows, then send {{\"confirm_removals\":{removals}}} if you mean them."
        )),
        RunnerError::Source(_) => Kind::SourceFailed.because(format!("{text}. Nothing was recorded and nobody removed.")),
        RunnerError::Unavailable(_) => Problem::unavailable("It was not done", &error).retry_after(5),
    }
}
