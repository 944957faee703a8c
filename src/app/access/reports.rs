//! Reports: who could do something in a project at a moment, for people who have to show it to others; and what was
//! different at two moments. Each answer names its position, its instant and the chain's hash there.

use std::{borrow::Cow, collections::BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_access::{
    AccessChange, Basis, Between, Difference, Effort, PermittedRow, ProjectIx, Reason, Roster, RosterAt, WhoMay,
    had_own_tie, who_may,
};
use rollcall_eventlog::Moment;
use rollcall_events::{Position, Recorded};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, EventCause, Reads,
    access::explain::required_actions,
    caller::forbidden,
    error::{ErrorKind, Result},
    find,
    openapi_schemas::{AccessChangeShape, ReasonShape},
    past::{About, AboutScope, AsOf, PastRoster, parse_moment},
    turn::Turn,
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
    /// Where the clock was mended, where that had said something later: `at` is the latest that it can have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub clock_mended: Option<Position>,
}

impl MomentShown {
    fn of(moment: Moment, at: DateTime<Utc>) -> Self {
        Self { position: moment.position, at, hash: moment.hash.to_string(), clock_mended: moment.mended }
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
    /// Who caused each event that is named above.
    #[serde(default)]
    pub causes: Vec<EventCause>,
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
    let as_of = parse_moment("as_of", as_of, reads.now())?;
    let turn = reads.past_turn().await?;
    let about = About::Members(project.to_owned());
    let past = match as_of {
        Some(as_of) => reads.past_roster(&turn, as_of, Basis::Recorded, &about).await?,
        None => past_of_now(reads, &turn, &about).await?,
    };
    let (project, action) = (project.to_owned(), action.unwrap_or("pull").to_owned());
    let report = turn.run(move |awaited| {
        let go_on = || awaited.is_awaited();
        let project = past.project(&project, project_now.as_deref())?;
        report(&past, project, &action, &Effort::of(u64::MAX, &go_on))
    });
    let mut report = report.await?;
    let facts = report.rows.iter().flat_map(|row| &row.reasons).flat_map(|reason| &reason.facts);
    report.causes = reads.causes(facts.map(|fact| fact.position).collect()).await?;
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

/// As of now. The roster may be further by then: what is told is of the moment that is named.
async fn past_of_now(reads: &Reads, turn: &Turn, about: &About) -> Result<PastRoster> {
    let (moment, at) = reads.current_moment().await?;
    let past = reads.past_roster(turn, AsOf::at(moment.position), Basis::Recorded, about).await?;
    Ok(PastRoster { at, ..past })
}

fn report(past: &PastRoster, project: ProjectIx, action: &str, effort: &Effort<'_>) -> Result<WhoCould> {
    let PastRoster { roster, moment, at } = past;
    let WhoMay { open_to, rows } = who_may(roster, project, required_actions(roster, action)?, *at, effort)?;
    let view = roster.project(project);
    Ok(WhoCould {
        project: view.name.to_owned(),
        project_id: view.id,
        action: action.to_owned(),
        basis: "recorded".into(),
        as_of: MomentShown::of(*moment, *at),
        open_to: open_to.map(Into::into),
        rows: rows.into_iter().map(WhoRow::of).collect(),
        causes: Vec::new(),
    })
}

/// Which two moments, and of what.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// The earlier moment: a position, an instant, a day (its end, UTC; `yesterday`), or how long ago (`2h`).
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
    /// Who caused each event that is named above.
    #[serde(default)]
    pub causes: Vec<EventCause>,
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
        (Some(project), None) => About::Members(project.clone()),
        (Some(project), Some(user)) => {
            About::Access { user: Some(user.clone()), scope: AboutScope::Project(project.clone()) }
        }
        (None, Some(user)) => About::User(user.clone()),
    };
    let project_now = match &query.project {
        Some(project) => readable(reads, project)?,
        None => None,
    };
    let (everywhere, user_now) = {
        let roster = reads.live().view();
        let everywhere = reads.view(&roster).may_everywhere(ACTION);
        if query.project.is_none() && !everywhere {
            return Err(forbidden(ACTION));
        }
        if let (Some(user), Some(project), false) = (&query.user, &query.project, everywhere) {
            may_ask_about(&roster, user, project, reads.now())?;
        }
        (everywhere, query.user.as_deref().and_then(|user| find::user_id(&roster, user)))
    };
    let from = parse_moment("from", Some(&query.from), reads.now())?;
    let to = parse_moment("to", query.to.as_deref(), reads.now())?;
    let Some(from) = from else { return Err(ErrorKind::InvalidQuery.because("State `from`.")) };
    let turn = reads.past_turn().await?;
    let (before, after, events) = reads.past_span(&turn, from, to, &about).await?;
    let compared = Compared { before, after, events, user_now, project_now, everywhere, query: query.clone() };
    let mut differences = turn.run(move |_| compared.difference()).await?;
    let changes = differences.memberships.iter().chain(&differences.actions);
    let named = changes.flat_map(|change| &change.because).map(|cause| cause.position);
    differences.causes = reads.causes(named.collect()).await?;
    Ok(Answer::of_more(differences.to.position, differences))
}

/// Who has nothing to do with the project is not the business of those who run it: to them somebody without a tie, of
/// now or former, and nobody at all are the same, as in an explanation.
fn may_ask_about(roster: &Roster, user: &str, project: &str, now: DateTime<Utc>) -> Result<()> {
    let tied = find::principal(roster, user)
        .ok()
        .zip(find::project(roster, project).ok())
        .is_some_and(|(who, project)| had_own_tie(roster, who, project, now));
    if tied { Ok(()) } else { Err(find::no_such_user()) }
}

/// Two moments, and what is asked of them.
struct Compared {
    before: PastRoster,
    after: PastRoster,
    events: Vec<Recorded>,
    user_now: Option<String>,
    project_now: Option<String>,
    everywhere: bool,
    query: DiffQuery,
}

impl Compared {
    fn difference(&self) -> Result<Differences> {
        let Self { before, after, events, user_now, project_now, everywhere, query } = self;
        let caller = match &query.user {
            Some(user) => {
                let caller = |past: &PastRoster| past.principal(user, user_now.as_deref());
                let find = |past: &PastRoster| caller(past).map(|who| past.roster.caller_names(who).0);
                let found = find(after).or_else(|_| find(before));
                let project = query.project.as_deref().unwrap_or_default();
                let tied = |past: &PastRoster| {
                    let project = past.project(project, project_now.as_deref()).ok();
                    let who = caller(past).ok();
                    who.zip(project).is_some_and(|(who, project)| had_own_tie(&past.roster, who, project, past.at))
                };
                if !everywhere && !tied(after) && !tied(before) {
                    return Err(find::no_such_user());
                }
                Some(found?)
            }
            None => None,
        };
        let projects: BTreeSet<String> = match &query.project {
            Some(project) => {
                let find = |past: &PastRoster| {
                    past.project(project, project_now.as_deref()).map(|ix| past.roster.project(ix).id)
                };
                [find(after).or_else(|_| find(before))?].into()
            }
            None => [before, after]
                .into_iter()
                .flat_map(|past| {
                    past.roster.projects().map(|project| past.roster.project(project).id).collect::<Vec<_>>()
                })
                .collect(),
        };
        let sides =
            (RosterAt { roster: &before.roster, at: before.at }, RosterAt { roster: &after.roster, at: after.at });
        let between = Between { before: sides.0, after: sides.1, events };
        let difference = Difference::of(&between, &projects, caller.as_deref());
        Ok(Differences {
            from: MomentShown::of(before.moment, before.at),
            to: MomentShown::of(after.moment, after.at),
            same: difference.is_empty(),
            memberships: difference.memberships,
            actions: difference.actions,
            causes: Vec::new(),
        })
    }
}
