//! Reports: who could do something in a project at a moment, for people who have to show it to others; and what was
//! different at two moments. Each answer names its position, its instant and the chain's hash there.

use std::{borrow::Cow, collections::BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_access::{
    AccessChange, Basis, Between, Difference, PastQuestion, PermittedRow, ProjectIx, Reason, Roster, RosterAt,
    ScopeName, WhoMay, had_own_tie, who_may,
};
use rollcall_eventlog::Moment;
use rollcall_events::Position;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, Reads,
    access::explain::required_actions,
    caller::forbidden,
    concurrency::run_blocking,
    error::{ErrorKind, Result},
    find,
    openapi_schemas::{AccessChangeShape, ReasonShape},
    past::{AsOf, PastRoster, parse_moment},
};

/// The action of the API's profile that reports demand.
const ACTION: &str = "report.read";

/// A place in the log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MomentShown {
    /// The last position that counts.
    #[schema(value_type = u64)]
    pub position: Position,
    /// The instant at which windows are judged.
    pub at: DateTime<Utc>,
    /// The chain's hash at that position, hexadecimal: of exactly what was recorded up to there.
    pub hash: String,
}

impl MomentShown {
    fn of(moment: Moment, at: DateTime<Utc>) -> Self {
        Self { position: moment.position, at, hash: moment.hash.to_string() }
    }
}

/// Who could do something in a project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WhoCould {
    /// The project's name then.
    pub project: String,
    /// The project's id, which stays the same.
    pub project_id: String,
    /// What could be done.
    pub action: String,
    /// `recorded`: what Rollcall would have answered then.
    #[schema(value_type = String)]
    pub basis: Cow<'static, str>,
    /// When.
    pub as_of: MomentShown,
    /// Whether everybody could, with or without a role: `anyone`, `authenticated` (whoever signed in), or `null`.
    #[schema(value_type = Option<String>)]
    pub open_to: Option<Cow<'static, str>>,
    /// Who could by a role, one row per role.
    pub rows: Vec<WhoRow>,
}

/// Somebody who could, by one role.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WhoRow {
    /// The user's name then.
    pub user: String,
    /// The user's id.
    pub user_id: String,
    /// The role.
    pub role: String,
    /// When the last reason was to end by itself.
    pub until: Option<DateTime<Utc>>,
    /// Every reason for the role, with its events.
    #[schema(value_type = Vec<ReasonShape>)]
    pub reasons: Vec<Reason>,
}

impl WhoRow {
    fn of(row: PermittedRow) -> Self {
        Self { user: row.name, user_id: row.user, role: row.role, until: row.until, reasons: row.reasons }
    }
}

/// Who could do something in a project at a moment, with every reason and its events. `action`: `pull` when absent.
///
/// # Errors
/// The caller may not read reports of the project, or there is no such moment, action or project of then.
pub async fn who_could(
    reads: &Reads,
    project: &str,
    action: Option<&str>,
    as_of: Option<&str>,
) -> Result<Answer<WhoCould>> {
    let project_now = readable(reads, project)?;
    let action = action.unwrap_or("pull");
    let report = match parse_moment("as_of", as_of)? {
        Some(as_of) => {
            let past = reads.past_roster(as_of, Basis::Recorded, PastQuestion::Members(project)).await?;
            let project = past.project(project, project_now.as_deref())?;
            report(&past.roster, past.moment, past.at, project, action)?
        }
        None => {
            let (moment, at) = reads.current_moment().await?;
            // The roster may be further by now: what is told is of the moment that is named.
            let as_of = AsOf::at(moment.position);
            let past = reads.past_roster(as_of, Basis::Recorded, PastQuestion::Members(project)).await?;
            let project = past.project(project, project_now.as_deref())?;
            report(&past.roster, moment, at, project, action)?
        }
    };
    Ok(Answer::of_more(report.as_of.position, report))
}

/// Whether the caller may read reports of a project; its id as of now.
fn readable(reads: &Reads, project: &str) -> Result<Option<String>> {
    let roster = reads.live().read();
    let view = reads.view(&roster);
    if !view.may_everywhere(ACTION) {
        let found = view.project(project)?;
        if !view.may(ACTION, found) {
            return Err(forbidden(ACTION));
        }
    }
    Ok(find::project_id(&roster, project))
}

fn report(roster: &Roster, moment: Moment, at: DateTime<Utc>, project: ProjectIx, action: &str) -> Result<WhoCould> {
    let WhoMay { open_to, rows } = who_may(roster, project, required_actions(roster, action)?, at);
    let view = roster.project(project);
    Ok(WhoCould {
        project: view.name.to_owned(),
        project_id: view.id,
        action: action.to_owned(),
        basis: "recorded".into(),
        as_of: MomentShown::of(moment, at),
        open_to: open_to.map(Into::into),
        rows: rows.into_iter().map(WhoRow::of).collect(),
    })
}

/// Which two moments, and of what.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// The earlier moment: a position, an instant or a day (its end, UTC).
    pub from: String,
    /// The later one. Now when absent.
    #[serde(default)]
    pub to: Option<String>,
    /// Of everybody in this project.
    #[serde(default)]
    pub project: Option<String>,
    /// Of this user, or `service:id`, everywhere; with `project`, there alone.
    #[serde(default)]
    pub user: Option<String>,
}

/// What is different at two moments.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Differences {
    /// The earlier one.
    pub from: MomentShown,
    /// The later one.
    pub to: MomentShown,
    /// Whether nothing is different.
    pub same: bool,
    /// Roles that appeared and disappeared.
    #[schema(value_type = Vec<AccessChangeShape>)]
    pub memberships: Vec<AccessChange>,
    /// Actions that appeared and disappeared, ceilings and visibility counted.
    #[schema(value_type = Vec<AccessChangeShape>)]
    pub actions: Vec<AccessChange>,
}

/// What of a project's members, or of a user's access, is different at two moments, and which events did it.
///
/// # Errors
/// The caller may not read such reports, or there is no such moment, project or user of then.
pub async fn diff(reads: &Reads, query: &DiffQuery) -> Result<Answer<Differences>> {
    let about = match (&query.project, &query.user) {
        (None, None) => {
            return Err(
                ErrorKind::InvalidQuery.because("Name a `project`, a `user`, or both: a difference is of something.")
            );
        }
        (Some(project), None) => PastQuestion::Members(project),
        (Some(project), Some(user)) => PastQuestion::Access { user: Some(user), scope: ScopeName::Project(project) },
        (None, Some(user)) => PastQuestion::User(user),
    };
    let project_now = match &query.project {
        Some(project) => readable(reads, project)?,
        None => None,
    };
    let (everywhere, user_now) = {
        let roster = reads.live().read();
        let everywhere = reads.view(&roster).may_everywhere(ACTION);
        if query.project.is_none() && !everywhere {
            return Err(forbidden(ACTION));
        }
        (everywhere, query.user.as_deref().and_then(|user| find::user_id(&roster, user)))
    };
    let from = parse_moment("from", Some(&query.from))?;
    let to = parse_moment("to", query.to.as_deref())?;
    let Some(from) = from else { return Err(ErrorKind::InvalidQuery.because("State `from`.")) };
    let (before, after, events) = reads.past_span(from, to, about).await?;
    let caller = match &query.user {
        Some(user) => {
            let caller = |past: &PastRoster| past.principal(user, user_now.as_deref());
            let find = |past: &PastRoster| caller(past).map(|who| past.roster.caller_names(who).0);
            let found = find(&after).or_else(|_| find(&before));
            // Who has nothing to do with the project is not the business of those who run it: to them somebody without a
            // tie and nobody at all are the same, as in an explanation.
            let project = query.project.as_deref().unwrap_or_default();
            let tied = |past: &PastRoster| {
                let project = past.project(project, project_now.as_deref()).ok();
                let who = caller(past).ok();
                who.zip(project).is_some_and(|(who, project)| had_own_tie(&past.roster, who, project, past.at))
            };
            if !everywhere && !tied(&after) && !tied(&before) {
                return Err(find::no_such_user());
            }
            Some(found?)
        }
        None => None,
    };
    let projects: BTreeSet<String> = match &query.project {
        Some(project) => {
            let find =
                |past: &PastRoster| past.project(project, project_now.as_deref()).map(|ix| past.roster.project(ix).id);
            [find(&after).or_else(|_| find(&before))?].into()
        }
        None => [&before, &after]
            .into_iter()
            .flat_map(|past| past.roster.projects().map(|project| past.roster.project(project).id).collect::<Vec<_>>())
            .collect(),
    };
    let (from, to) = (MomentShown::of(before.moment, before.at), MomentShown::of(after.moment, after.at));
    let difference = run_blocking(move || {
        let before = RosterAt { roster: &before.roster, at: before.at };
        let after = RosterAt { roster: &after.roster, at: after.at };
        Difference::of(&Between { before, after, events: &events }, &projects, caller.as_deref())
    })
    .await?;
    let differences = Differences {
        from,
        to,
        same: difference.is_empty(),
        memberships: difference.memberships,
        actions: difference.actions,
    };
    Ok(Answer::of_more(differences.to.position, differences))
}
