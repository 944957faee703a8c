//! `/api/v1/projects`: the namespaces that packages own, and who is in them now, with every reason.

use axum::{extract::Path, response::Response};
use rollcall_access::{ProjectIx, Reason, Roster, members};
use rollcall_events::Position;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    guard::{Locked, Reads},
    problem::{Answer, Kind, Problem, ProblemShape},
    query::{Fresh, Nothing, Paged, Paging},
    reasons::ReasonShape,
    reply::{Page, RestsOn, smallest},
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(list_members))
}

/// A project: the namespace of a package's images.
#[derive(Serialize, ToSchema)]
struct Project {
    /// The first path segment of its image names.
    name: String,
    /// Earlier names, which still find it.
    aliases: Vec<String>,
    /// The source that owns it; nobody else changes it.
    source: String,
    /// The package that it is of; `null` for a project that a person made.
    package: Option<String>,
    /// The package is removed or delivers no containers.
    archived: bool,
    /// The event since which it exists.
    #[schema(value_type = u64)]
    since: Position,
}

impl Project {
    fn of(roster: &Roster, project: ProjectIx) -> Self {
        let view = roster.project(project);
        Self {
            name: view.name.to_owned(),
            aliases: view.aliases.into_iter().map(str::to_owned).collect(),
            source: view.source.to_owned(),
            package: view.package.map(str::to_owned),
            archived: view.archived,
            since: view.since,
        }
    }
}

/// A user's role in a project now.
#[derive(Serialize, ToSchema)]
struct Member {
    /// The user's name.
    user: String,
    /// The user's id.
    user_id: String,
    /// The role.
    role: String,
    /// Every reason for it; it ends with the last.
    #[schema(value_type = Vec<ReasonShape>)]
    reasons: Vec<Reason>,
}

/// Finds a project by its name; earlier names count.
pub(crate) fn find(roster: &Roster, name: &str) -> Answer<ProjectIx> {
    roster.project_by_name(name).ok_or_else(no_such_project)
}

pub(crate) fn no_such_project() -> Problem {
    Kind::UnknownProject
        .because("No project that you can see has or had this name. /api/v1/projects lists those that you can see.")
}

/// Projects that the caller sees, by name.
#[utoipa::path(
    get, path = "/api/v1/projects", tag = "projects", operation_id = "projects", params(Paging, Fresh),
    responses((status = 200, body = Page<Project>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<Nothing>>) -> Answer<Response> {
    let (position, rows) = {
        let roster = reads.live().read();
        let asker = reads.ask(&roster);
        let names = roster
            .projects()
            .filter(|project| asker.sees(*project))
            .map(|project| (roster.project_name(project), project));
        let page = smallest(names, reads.query.after.as_deref(), reads.query.limit);
        (roster.position(), page.into_iter().map(|(_, project)| Project::of(&roster, project)).collect())
    };
    reads.page(position, RestsOn::LogAlone, rows, |project: &Project| project.name.clone())
}

/// One project, by its name or an earlier one.
#[utoipa::path(
    get, path = "/api/v1/projects/{name}", tag = "projects", operation_id = "project",
    params(("name" = String, Path, description = "The project's name"), Fresh),
    responses((status = 200, body = Project), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path(name): Path<String>) -> Answer<Response> {
    let (position, project) = {
        let roster = reads.live().read();
        (roster.position(), Project::of(&roster, find(&roster, &name)?))
    };
    reads.answer(position, RestsOn::LogAlone, &project)
}

/// Who is in a project now, with every reason, by user name and role. Whoever may not list members sees only the own rows.
#[utoipa::path(
    get, path = "/api/v1/projects/{name}/members", tag = "projects", operation_id = "members",
    params(("name" = String, Path, description = "The project's name"), Paging, Fresh),
    responses((status = 200, body = Page<Member>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list_members(reads: Reads<Paged<Nothing>>, Path(name): Path<String>) -> Answer<Response> {
    let now = reads.now();
    let key = |member: &Member| format!("{}\n{}", member.user, member.role);
    let (position, rows) = {
        let roster = reads.live().read();
        let project = find(&roster, &name)?;
        let asker = reads.ask(&roster);
        let others = asker.sees_members(project);
        let own =
            |member: &rollcall_access::Member| roster.caller_by_id(&member.user).is_some_and(|member| asker.is(member));
        let all = members(&roster, project, now).into_iter().filter(|member| others || own(member)).map(|member| {
            Member { user: member.name, user_id: member.user, role: member.role, reasons: member.reasons }
        });
        let after = reads.query.after.as_deref();
        let rest = all.filter(|member| after.is_none_or(|after| key(member).as_str() > after));
        (roster.position(), rest.take(reads.query.limit + 1).collect())
    };
    reads.page(position, RestsOn::MoreThanTheLog, rows, key)
}
