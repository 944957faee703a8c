//! Plans: what a source that Rollcall reads says otherwise than before, row for row, before it is recorded.
//! Reads no source itself: a runner does, and this shows what it kept.

use std::{borrow::Cow, collections::BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_access::{Effort, MembershipChange, NamedScope, UserChange, dry_run};
use rollcall_events::{Body, Position, SourceName};
use rollcall_ingest::{
    ApplyOutcome, ChangeCounts, Plan, PlanId, PlanReason, PlanRow as IngestRow, PlanState, RunOutcome, RunnerError,
};
use rollcall_store::ops::{Ops, OpsError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, Commands, Page, PageRequest, Reads,
    error::{Error, ErrorKind, Result},
    filters,
    operations::addresses,
    prefix,
};

/// The most memberships of one answer.
const MAX_MEMBERSHIPS: usize = 10_000;
/// The most addresses that several people have, of which one plan is held against.
const MAX_ADDRESSES: u32 = 10_000;

/// Which plans.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlansQuery {
    /// Only of this source.
    #[param(value_type = Option<String>)]
    pub source: Option<SourceName>,
}

/// What a source says otherwise than before, and what becomes of that.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PlanShown {
    /// `pln_..`.
    pub id: String,
    /// Whose facts.
    pub source: String,
    /// When the source was read.
    pub made_at: DateTime<Utc>,
    /// The log's position that it was held against.
    #[schema(value_type = u64)]
    pub position: Position,
    /// `asked`, `first_run`, `scope`, `links`, `guard` or `empty`.
    #[schema(value_type = String)]
    pub why: Cow<'static, str>,
    /// The same for people, with numbers and names.
    pub reason: String,
    /// `open`, `applied`, `discarded` or `superseded`.
    #[schema(value_type = String)]
    pub state: Cow<'static, str>,
    /// Who confirmed or discarded it: `user:source/id`, `service:id` or `admin key`. `null` where nobody did.
    pub closed_by: Option<String>,
    /// When it ceased to be open.
    pub closed_at: Option<DateTime<Utc>>,
    /// How many facts of the source stood.
    pub facts: u64,
    /// How many rows add.
    pub additions: u64,
    /// How many rows change.
    pub changes: u64,
    /// How many rows remove or suspend: the number to confirm.
    pub removals: u64,
}

impl From<Plan> for PlanShown {
    fn from(plan: Plan) -> Self {
        Self {
            id: plan.id.to_string(),
            source: plan.source.to_string(),
            made_at: plan.made_at,
            position: plan.position,
            why: plan.why.as_str().into(),
            reason: plan.reason,
            state: plan.state.as_str().into(),
            closed_at: plan.closed.as_ref().map(|closed| closed.at),
            closed_by: plan.closed.and_then(|closed| closed.by).map(|by| by.as_str().to_owned()),
            facts: plan.facts,
            additions: plan.additions,
            changes: plan.changes,
            removals: plan.removals,
        }
    }
}

/// What a held plan keeps waiting, in words, and how somebody lets it take effect.
pub(crate) fn what_waits(plan: &Plan) -> String {
    let count = |n: u64, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let Plan { additions, changes, removals, .. } = plan;
    match plan.why {
        PlanReason::FirstRun if *removals == 0 => format!("first read: {} wait", count(*additions, "addition")),
        PlanReason::FirstRun => format!("first read: {} wait", count(*removals, "removal")),
        PlanReason::Scope => format!(
            "all its news: {}, {}, {}",
            count(*additions, "addition"),
            count(*changes, "change"),
            count(*removals, "removal")
        ),
        PlanReason::Links => {
            format!("whom it says to be one: {}, {}", count(*changes, "change"), count(*removals, "removal"))
        }
        PlanReason::Guard | PlanReason::Empty | PlanReason::Asked => count(*removals, "removal"),
    }
}

/// The command that applies a plan.
pub(crate) fn apply_command(plan: &Plan) -> String {
    match plan.removals {
        0 => format!("rollcall apply {}", plan.id),
        removals => format!("rollcall apply {} --confirm-removals {removals}", plan.id),
    }
}

/// Whether nothing at all that the source says counts until the plan is applied.
pub(crate) fn stops_all_news(plan: &Plan) -> bool {
    plan.why == PlanReason::Scope || (plan.why == PlanReason::FirstRun && plan.removals == 0)
}

/// Since when a source waits for that reason: when the first plan was made of those that followed on each other.
pub(crate) async fn waits_since(ops: &dyn Ops, plan: &Plan) -> Result<DateTime<Utc>> {
    let plans = ops.plans(Some(&plan.source), None, 100).await.map_err(unreadable)?;
    let asked = |before: &&Plan| before.why != PlanReason::Asked;
    let same =
        |before: &&Plan| before.why == plan.why && matches!(before.state, PlanState::Open | PlanState::Superseded);
    Ok(plans.iter().filter(asked).take_while(same).map(|plan| plan.made_at).last().unwrap_or(plan.made_at))
}

/// One event that applying a plan would append.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PlanRow {
    /// Its number in the plan, from 0.
    pub row: u64,
    /// `add`, `change` or `remove`.
    #[schema(value_type = String)]
    pub verb: Cow<'static, str>,
    /// What it means, with names: `ada leaves the group Platform`.
    pub text: String,
    /// The event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The subject.
    pub subject: String,
    /// The data.
    #[schema(value_type = Object)]
    pub data: Option<Box<RawValue>>,
    /// The data of what stood until now; `null` where nothing did.
    #[schema(value_type = Option<Object>)]
    pub was: Option<Box<RawValue>>,
}

impl From<(u64, IngestRow)> for PlanRow {
    fn from((row, shown): (u64, IngestRow)) -> Self {
        let raw = |text: String| RawValue::from_string(text).ok();
        Self {
            row,
            verb: shown.verb.as_str().into(),
            text: shown.text,
            kind: shown.kind,
            subject: shown.subject,
            data: raw(shown.data),
            was: shown.was.and_then(raw),
        }
    }
}

/// How many removals somebody looked at and means.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The plan's `removals`.
    pub confirm_removals: u64,
}

/// What applying a plan recorded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PlanApplied {
    /// The plan.
    pub id: String,
    /// Facts that are new.
    pub additions: u64,
    /// Facts that changed.
    pub changes: u64,
    /// Facts that ended.
    pub removals: u64,
    /// The log's position that holds all of it.
    #[schema(value_type = u64)]
    pub position: Position,
}

/// A role in a project that somebody would have, or have no more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct PlannedMembership {
    /// The user's name.
    pub user: String,
    /// The project's name.
    pub project: String,
    /// The role.
    pub role: String,
    /// Whether it appears; else it disappears.
    pub appears: bool,
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

/// What would become of the user that a person is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedUser {
    /// Whose, `source/id`.
    pub person: String,
    /// `name_taken`: a new one is called otherwise than its source asks; `address_shared`: its e-mail address is another
    /// user's too, and signs in neither; `renamed`, `parted`, `linked`, `shut_out`, `signs_in`.
    #[schema(value_type = String)]
    pub effect: Cow<'static, str>,
    /// The same for people.
    pub text: String,
}

/// Roles that would appear and disappear, and what would become of users: at most ten thousand of each, and how many there
/// are.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PlannedMemberships {
    /// How many roles.
    pub total: usize,
    /// The first of them.
    pub items: Vec<PlannedMembership>,
    /// How many users.
    #[serde(default)]
    pub users_total: usize,
    /// The first of them.
    #[serde(default)]
    pub users: Vec<PlannedUser>,
}

/// Plans, newest first.
///
/// # Errors
/// The query names a source that there is not, or they cannot be read now.
pub async fn list(reads: &Reads, query: &PlansQuery, page: &PageRequest<PlanId>) -> Result<Answer<Page<PlanShown>>> {
    filters::known_source(reads, query.source.as_ref().map(SourceName::as_str))?;
    let position = reads.applied();
    let plans = reads.ops().plans(query.source.as_ref(), page.after.as_ref(), page.rows()).await;
    let plans = plans.map_err(unreadable)?.into_iter().map(PlanShown::from).collect();
    Ok(Answer::of_more(position, page.page(plans, |plan: &PlanShown| plan.id.clone())))
}

/// One plan; what it would append stands in its rows.
///
/// # Errors
/// There is none of this id, or it cannot be read now.
pub async fn show(reads: &Reads, id: &str) -> Result<Answer<PlanShown>> {
    let id = find_id(reads.ops(), id).await?;
    let position = reads.applied();
    Ok(Answer::of_more(position, find(reads, &id).await?.into()))
}

/// What applying a plan would append, row for row, in that order.
///
/// # Errors
/// As [`show`].
pub async fn rows(reads: &Reads, id: &str, page: &PageRequest<u64>) -> Result<Answer<Page<PlanRow>>> {
    let id = find_id(reads.ops(), id).await?;
    let position = reads.applied();
    find(reads, &id).await?;
    let rows = reads.ops().plan_rows(&id, page.after, page.rows()).await.map_err(unreadable)?;
    let rows = rows.into_iter().map(PlanRow::from).collect();
    Ok(Answer::of_more(position, page.page(rows, |row: &PlanRow| row.row.to_string())))
}

/// Who would get or lose which role in which project if a plan were applied now, by user and project.
///
/// # Errors
/// As [`show`].
pub async fn memberships(reads: &Reads, id: &str) -> Result<Answer<PlannedMemberships>> {
    let id = find_id(reads.ops(), id).await?;
    let source = find(reads, &id).await?.source;
    let turn = reads.copy_turn().await?;
    let rows = reads.ops().plan_rows(&id, None, u32::MAX).await.map_err(unreadable)?;
    let facts: Vec<Body> = rows.iter().filter_map(|(_, row)| Body::parse(&row.kind, &row.data).ok()).collect();
    let coming = facts.iter().filter_map(|fact| match fact {
        Body::PersonUpserted(person) if person.active => Some(format!("{source}/{}", person.person)),
        _ => None,
    });
    let coming: BTreeSet<String> = coming.collect();
    let now = reads.now();
    let tried = turn.run_on_view(reads.live(), move |before, awaited| {
        let go_on = || awaited.is_awaited();
        let changes = dry_run(before, &source, &facts, now, &Effort::of(u64::MAX, &go_on))?;
        Ok((before.position(), changes))
    });
    let (position, tried) = tried.await?;
    let mut items: Vec<PlannedMembership> = tried.memberships.into_iter().filter_map(PlannedMembership::of).collect();
    items.sort();
    let total = items.len();
    items.truncate(MAX_MEMBERSHIPS);
    let effect = |change: &UserChange| change.what.as_str().into();
    let changed = tried.users.into_iter();
    let mut users: Vec<PlannedUser> = changed
        .map(|change| PlannedUser { effect: effect(&change), text: change.to_string(), person: change.person })
        .collect();
    users.extend(shared_addresses(reads, coming).await?);
    let users_total = users.len();
    users.truncate(MAX_MEMBERSHIPS);
    Ok(Answer::of_more(position, PlannedMemberships { total, items, users_total, users }))
}

/// Of those who are there then, whoever has an e-mail address that another user has.
async fn shared_addresses(reads: &Reads, coming: BTreeSet<String>) -> Result<Vec<PlannedUser>> {
    if coming.is_empty() {
        return Ok(Vec::new());
    }
    let rows = addresses::rows(reads.ops(), "", MAX_ADDRESSES).await?;
    let roster = reads.live().read();
    let shared = rows.iter().filter_map(|rows| {
        let sharing = addresses::sharing(&roster, &reads.app().authenticator, rows, &coming);
        let person = sharing.keys().find(|key| coming.contains(*key))?.clone();
        let text = format!("{} have one e-mail address: it signs none of them in", addresses::who(&sharing));
        Some(PlannedUser { person, effect: "address_shared".into(), text })
    });
    Ok(shared.collect())
}

/// Reads a source and keeps a plan of what recording its answer would append. Appends nothing.
///
/// The read takes as long as it takes; when the request runs out of time, the plan is found in the list.
///
/// # Errors
/// The source is not read, or did not give a whole answer.
pub async fn create(commands: Commands, source: &str) -> Result<PlanShown> {
    let source: SourceName = source.parse().map_err(|_| refusal(RunnerError::UnknownSource))?;
    Ok(commands.runners().plan(&source).await.map_err(refusal)?.into())
}

/// Reads the source again and records what it says, if the removals are those of the plan and as many as confirmed.
///
/// Where they are not, nothing is recorded and there is a new plan. A request that runs out of time does not stop it.
///
/// # Errors
/// The plan is not there or not open, the removals differ, or the source did not give a whole answer.
pub async fn apply(commands: Commands, id: &str, confirmation: Confirmation) -> Result<PlanApplied> {
    let id = find_id(commands.ops(), id).await?;
    let outcome = commands.runners().apply(&id, confirmation.confirm_removals, commands.author()).await;
    match outcome.map_err(refusal)? {
        ApplyOutcome::Done(RunOutcome::UpToDate {
            recorded: ChangeCounts { additions, changes, removals },
            position,
        }) => Ok(PlanApplied { id: id.to_string(), additions, changes, removals, position }),
        ApplyOutcome::Differs(plan) => Err(ErrorKind::PlanDiffers.because(format!(
            "The source says something else by now, so nothing was recorded. Look at {}: it removes {}.",
            plan.id, plan.removals
        ))),
        ApplyOutcome::Done(_) => {
            Err(ErrorKind::Internal.because("The plan was neither applied nor refused. Report this."))
        }
    }
}

/// Puts a plan aside. What it would have removed stands; the next read of the source finds it again.
///
/// # Errors
/// The plan is not there or not open.
pub async fn discard(commands: Commands, id: &str) -> Result<PlanShown> {
    let id = find_id(commands.ops(), id).await?;
    Ok(commands.runners().discard(&id, commands.author()).await.map_err(refusal)?.into())
}

/// The plan that is meant by an id or its beginning.
async fn find_id(ops: &dyn Ops, text: &str) -> Result<PlanId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let begins = prefix::of_kind("pln", text).ok_or_else(no_such_plan)?;
    let last = format!("{begins:f<36}").parse().map_err(|_| no_such_plan())?;
    let plans = ops.plans(None, Some(&last), prefix::TOLD).await.map_err(unreadable)?;
    let found = plans.into_iter().map(|plan| (plan.id.to_string(), plan.id)).filter(|(id, _)| id.starts_with(&begins));
    prefix::the_one(&begins, found, no_such_plan)
}

async fn find(reads: &Reads, id: &PlanId) -> Result<Plan> {
    let plan = reads.ops().plan(id).await;
    plan.map_err(|error| Error::unavailable("The plan cannot be read", &error))?.ok_or_else(no_such_plan)
}

fn no_such_plan() -> Error {
    ErrorKind::UnknownPlan.because("No such plan is kept. `rollcall plans` shows them; old ones are deleted in time.")
}

fn unreadable(error: OpsError) -> Error {
    Error::unavailable("Plans cannot be read", &error)
}

fn refusal(error: RunnerError) -> Error {
    let text = error.to_string();
    match error {
        RunnerError::UnknownSource => ErrorKind::UnknownSource
            .because("No source of this name is read by Rollcall. `rollcall sources` shows them."),
        RunnerError::UnknownPlan => no_such_plan(),
        RunnerError::NotOpen(_) => ErrorKind::PlanClosed
            .because(format!("{text}, so nothing was done. `rollcall plan SOURCE` makes a new one.")),
        RunnerError::WrongNumber { removals, .. } => ErrorKind::PlanDiffers.because(format!(
            "{text}. Nothing was recorded. Look at its rows, and confirm {removals} removals if you mean them."
        )),
        RunnerError::Retired(_) => ErrorKind::SourceRetired.because(format!("{text}. Nothing was read.")),
        RunnerError::Source(_) => {
            ErrorKind::SourceFailed.because(format!("{text}. Nothing was recorded and nobody removed."))
        }
        RunnerError::Unavailable(_) => Error::unavailable("It was not done", &error).retry_after(5),
    }
}
