//! `/api/v1/projects`: the namespaces that packages own and that people make, and who is in them now, with every reason.

use std::collections::BTreeMap;

use axum::{extract::Path, http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use rollcall_access::{Basis, PastQuestion, Place, ProjectIx, ProjectView, Reason, Roster, members};
use rollcall_events::{Body, Id, LOCAL, Position, SchemaError, body};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    caller::{Asker, forbidden},
    http::guard::{Changes, Commands, Locked, Reads},
    http::input::{self, Input},
    http::problem::{Answer, Kind, Problem, ProblemShape},
    http::query::{Fresh, Nothing, Paged, Paging},
    http::reply::{self, Judged, Page, RestsOn, smallest},
    past::{self, PastQuery},
    reasons::ReasonShape,
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list, make)).routes(routes!(show, change, delete)).routes(routes!(list_members))
}

/// A project: the namespace of a package's images.
#[derive(Serialize, ToSchema)]
struct Project {
    /// `source/package`, `local/id` or `personal/user`: it stays when the name changes.
    id: String,
    /// The first path segment of its image names.
    name: String,
    /// Earlier names, which still find it; none for callers who only see that it is there.
    aliases: Vec<String>,
    /// The source that owns it; nobody else changes it.
    source: String,
    /// The package that it is of; `null` for a project that a person made.
    package: Option<String>,
    /// What the access profile calls its kind: `standard`, `global`, `personal`, or its own word.
    kind: String,
    /// Who may pull without a role.
    visibility: Visibility,
    /// The folder that it is in, for callers who see that.
    folder: Option<String>,
    /// The user who made it, for callers who are told who is in it.
    creator: Option<String>,
    /// Whether nobody is left in a role of which somebody should stay; `null` for callers who are not told who is in it.
    ownerless: Option<bool>,
    /// The package is removed or delivers no containers, or the project was deleted.
    archived: bool,
    /// Packages, `source/package`, that would have this name and wait for another: for callers who list all projects.
    claimed_by: Vec<String>,
    /// The event since which it exists.
    #[schema(value_type = u64)]
    since: Position,
    /// The newest event about it.
    #[schema(value_type = u64)]
    position: Position,
}

/// Who may pull without a role.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Visibility {
    /// Nobody.
    Private,
    /// Everybody who is signed in.
    Protected,
    /// Everybody.
    Public,
}

impl From<body::Visibility> for Visibility {
    fn from(visibility: body::Visibility) -> Self {
        match visibility {
            body::Visibility::Private => Self::Private,
            body::Visibility::Protected => Self::Protected,
            body::Visibility::Public => Self::Public,
        }
    }
}

impl From<Visibility> for body::Visibility {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Private => Self::Private,
            Visibility::Protected => Self::Protected,
            Visibility::Public => Self::Public,
        }
    }
}

/// Packages that wait for the name of a project, by that project.
type Claims = BTreeMap<ProjectIx, Vec<String>>;

/// Those that a caller is told of: who lists all projects.
fn claims(roster: &Roster, asker: &Asker<'_>) -> Claims {
    if asker.everywhere("project.list") { roster.claims() } else { Claims::new() }
}

impl Project {
    /// What this caller is told of a project that it sees.
    fn of(roster: &Roster, asker: &Asker<'_>, project: ProjectIx, claims: &Claims, now: DateTime<Utc>) -> Self {
        let view = roster.project(project);
        let people = asker.sees_members(project);
        let creator = view.creator.as_deref().filter(|_| people).and_then(|id| roster.user_by_id(id));
        let names = asker.may("project.list", project) || asker.may("project.update", project);
        let folder = view.folder.filter(|folder| asker.sees_folder(*folder));
        Self {
            kind: view.kind.to_owned(),
            visibility: view.visibility.into(),
            folder: folder.map(|folder| roster.folder(folder).id.to_owned()),
            creator: creator.map(|user| roster.user_name(user).to_owned()),
            ownerless: people.then(|| roster.is_ownerless(project.into(), now)),
            position: view.changed,
            name: view.name.to_owned(),
            aliases: view.aliases.into_iter().filter(|_| names).map(str::to_owned).collect(),
            source: view.source.to_owned(),
            package: view.package.map(str::to_owned),
            archived: view.archived,
            claimed_by: claims.get(&project).cloned().unwrap_or_default(),
            since: view.since,
            id: view.id,
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
    let now = reads.now();
    let (position, rows) = {
        let roster = reads.live().read();
        let asker = reads.ask(&roster);
        let names = roster
            .projects()
            .filter(|project| asker.sees(*project))
            .map(|project| (roster.project_name(project), project));
        let page = smallest(names, reads.query.after.as_deref(), reads.query.limit);
        let claims = claims(&roster, &asker);
        let rows = page.into_iter().map(|(_, project)| Project::of(&roster, &asker, project, &claims, now)).collect();
        (roster.position(), rows)
    };
    reads.page(position, RestsOn::MoreThanTheLog, rows, |project: &Project| project.name.clone())
}

/// One project, by its name or an earlier one.
#[utoipa::path(
    get, path = "/api/v1/projects/{name}", tag = "projects", operation_id = "project",
    params(("name" = String, Path, description = "The project's name"), Fresh),
    responses((status = 200, body = Project), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path(name): Path<String>) -> Answer<Response> {
    let now = reads.now();
    let (position, project) = {
        let roster = reads.live().read();
        let asker = reads.ask(&roster);
        let project = find(&roster, &name)?;
        (roster.position(), Project::of(&roster, &asker, project, &claims(&roster, &asker), now))
    };
    reads.answer(position, RestsOn::ItsEvent(project.position), &project)
}

/// A project that a person makes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProject {
    /// The first path segment of its image names.
    name: String,
    /// `standard` (also when absent), or `global` where the access profile has one; the profile's own words for them are
    /// taken too.
    #[serde(default)]
    kind: Option<String>,
    /// Who may pull without a role; what the access profile says of the kind when absent.
    #[serde(default)]
    visibility: Option<Visibility>,
    /// The folder that it is in; none when absent.
    #[serde(default)]
    folder: Option<String>,
}

/// The kind of project that is meant by a word of Rollcall or of the access profile.
fn kind_of(roster: &Roster, word: Option<&str>) -> Answer<body::ProjectKind> {
    use body::ProjectKind::{Global, Standard};
    let profile = roster.profile();
    let Some(word) = word else { return Ok(Standard) };
    let is = |kind, usual: &str| word.eq_ignore_ascii_case(usual) || word.eq_ignore_ascii_case(profile.kind_name(kind));
    let has_global = profile.kind(Global).is_some();
    if is(Standard, "standard") {
        return Ok(Standard);
    }
    if is(Global, "global") && has_global {
        return Ok(Global);
    }
    let expected = match (profile.kind_name(Standard), profile.kind_name(Global)) {
        (standard, global) if has_global => format!("one of {standard}, {global}"),
        (standard, _) => standard.to_owned(),
    };
    let what =
        if is(Global, "global") { "global project".to_owned() } else { format!("kind `{}`", word.escape_debug()) };
    let text = format!("Profile {} has no {what}; `kind` is {expected}. Nothing was recorded.", profile.name());
    Err(Kind::InvalidBody.because(text).with_error(SchemaError::at("/kind", expected)))
}

/// The caller may not make a project here, but perhaps in a folder that it sees.
fn elsewhere(roster: &Roster, asker: &Asker<'_>, place: Place) -> Problem {
    let open = roster.folders().filter(|folder| asker.may("project.create", *folder));
    let mut open: Vec<&str> = open.map(|folder| roster.folder(folder).id).collect();
    open.sort_unstable();
    let more = if open.len() > MOST_NAMED { ", .." } else { "" };
    open.truncate(MOST_NAMED);
    if place != Place::Root || open.is_empty() {
        return forbidden("project.create");
    }
    Kind::Forbidden.because(format!(
        "You may not make one at the root; name a `folder`: {}{more}. Nothing was recorded.",
        open.join(", ")
    ))
}

/// How many folders a refusal names.
const MOST_NAMED: usize = 20;

/// A project that was made.
#[derive(Serialize, ToSchema)]
struct ProjectMade {
    /// Its id, `local/..`.
    id: String,
    /// Where the command stands.
    #[schema(value_type = u64)]
    position: Position,
    /// `applied` or `no_change`.
    effect: &'static str,
}

/// Makes a project. A user who makes one is its creator, with the role that the access profile gives to creators.
///
/// A name belongs to its first project for ever. A deleted project is made again, empty, by an administrator or who could
/// delete it.
#[utoipa::path(
    post, path = "/api/v1/projects", tag = "projects", operation_id = "project_make", request_body = NewProject,
    responses((status = 201, body = ProjectMade), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn make(orders: Commands, Input(new): Input<NewProject>) -> Answer<Response> {
    let NewProject { name, kind, visibility, folder } = new;
    let body = {
        let roster = orders.live().read();
        let asker = orders.ask(&roster);
        let place = folder.as_deref().map_or(Ok(Place::Root), |id| asker.folder(id).map(Place::Folder))?;
        // Before anything is said about the name: who may not make one here learns of none.
        if !asker.may("project.create", place) {
            return Err(elsewhere(&roster, &asker, place));
        }
        let kind = kind_of(&roster, kind.as_deref())?;
        let usual = roster.profile().kind(kind).map_or(body::Visibility::Private, |kind| kind.default);
        body::Project {
            project: input::id("/name", &name)?,
            name,
            kind,
            visibility: visibility.map_or(usual, Into::into),
            folder: folder.map(|id| input::id("/folder", &id)).transpose()?,
            creator: orders.author().principal().and_then(|principal| match principal {
                body::Principal::User(id) => Some(id),
                body::Principal::Service(_) | body::Principal::Group(_) => None,
            }),
            author: Some(orders.author()),
        }
    };
    let id = format!("{LOCAL}/{}", body.project);
    let done = orders.say(&Body::ProjectCreated(body)).await?;
    let made = ProjectMade { id, position: done.position, effect: done.effect.word() };
    reply::done(StatusCode::CREATED, Some(done.position), &made)
}

/// What of a project is to change; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProjectChange {
    /// Another name; the present one stays reserved and finds it.
    #[serde(default)]
    name: Option<String>,
    /// Who may pull without a role.
    #[serde(default)]
    visibility: Option<Visibility>,
    /// The folder that it moves to; `null` for none.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    folder: Option<Option<String>>,
}

/// Tells `null` from absent.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Renames a project, shows it to more or fewer, or moves it to another folder.
#[utoipa::path(
    patch, path = "/api/v1/projects/{name}", tag = "projects", operation_id = "project_change",
    params(("name" = String, Path, description = "The project's name")), request_body = ProjectChange,
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn change(orders: Changes, Path(name): Path<String>, Input(change): Input<ProjectChange>) -> Answer<Response> {
    let orders = orders.begin().await;
    if change.name.is_none() && change.visibility.is_none() && change.folder.is_none() {
        return Err(Kind::InvalidBody.because("There is nothing to change: name `name`, `visibility` or `folder`."));
    }
    let body = {
        let roster = orders.live().read();
        let view = roster.project(find(&roster, &name)?);
        orders.expected(Some(view.changed))?;
        let project = kept_here(&view)?;
        if let Some(Some(id)) = &change.folder {
            orders.ask(&roster).folder(id)?;
        }
        let stays = || view.folder.map(|folder| roster.folder(folder).id.to_owned());
        let folder = change.folder.unwrap_or_else(stays);
        let (kind, _) = roster.kind_and_visibility(find(&roster, &name)?);
        body::Project {
            project,
            name: change.name.unwrap_or_else(|| view.name.to_owned()),
            kind,
            visibility: change.visibility.map_or(view.visibility, Into::into),
            folder: folder.map(|id| input::id("/folder", &id)).transpose()?,
            creator: view.creator.and_then(|id| id.parse().ok()),
            author: Some(orders.author()),
        }
    };
    reply::judged(StatusCode::OK, &orders.say(&Body::ProjectUpdated(body)).await?)
}

/// Deletes a project: nothing can be done in it any more. Its name stays its own.
#[utoipa::path(
    delete, path = "/api/v1/projects/{name}", tag = "projects", operation_id = "project_delete",
    params(("name" = String, Path, description = "The project's name")),
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn delete(orders: Changes, Path(name): Path<String>) -> Answer<Response> {
    let orders = orders.begin().await;
    let project = {
        let roster = orders.live().read();
        let view = roster.project(find(&roster, &name)?);
        orders.expected(Some(view.changed))?;
        kept_here(&view)?
    };
    let body = body::ProjectRef { project, author: Some(orders.author()) };
    reply::judged(StatusCode::OK, &orders.say(&Body::ProjectDeleted(body)).await?)
}

/// The id of a project that people made, as its commands name it.
fn kept_here(view: &ProjectView<'_>) -> Answer<Id> {
    let own = view.id.strip_prefix(LOCAL).and_then(|id| id.strip_prefix('/')).and_then(|id| id.parse().ok());
    own.ok_or_else(|| match view.package {
        Some(package) => Kind::ManagedProject
            .because(format!(
                "Project {} follows from package {package} of source {} and is changed there. Nothing was recorded.",
                view.name, view.source
            ))
            .of_source(view.source),
        None => Kind::Refused
            .because("A personal project comes and goes with its user and is like the access profile says."),
    })
}

/// Who is in a project now or was in it then, with every reason, by user name and role. Whoever may not list members sees only the own rows.
#[utoipa::path(
    get, path = "/api/v1/projects/{name}/members", tag = "projects", operation_id = "members",
    params(("name" = String, Path, description = "The project's name"), PastQuery, Paging, Fresh),
    responses((status = 200, body = Page<Member>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list_members(reads: Reads<Paged<PastQuery>>, Path(name): Path<String>) -> Answer<Response> {
    let as_of = past::as_of("as_of", reads.query.filter.as_of.as_deref())?;
    let past = match as_of {
        Some(as_of) => Some(reads.past(as_of, Basis::Recorded, PastQuestion::Members(&name)).await?),
        None => None,
    };
    let key = |member: &Member| format!("{}\n{}", member.user, member.role);
    let (position, rows) = {
        let roster = reads.live().read();
        let project = find(&roster, &name)?;
        let asker = reads.ask(&roster);
        let others = asker.sees_members(project);
        let own =
            |member: &rollcall_access::Member| roster.caller_by_id(&member.user).is_some_and(|member| asker.is(member));
        let (position, all) = match &past {
            None => (roster.position(), members(&roster, project, reads.now())),
            Some(past) => {
                let then = past.project(&name, Some(&roster.project(project).id))?;
                (past.moment.position, members(&past.roster, then, past.at))
            }
        };
        let all = all.into_iter().filter(|member| others || own(member)).map(|member| Member {
            user: member.name,
            user_id: member.user,
            role: member.role,
            reasons: member.reasons,
        });
        let after = reads.query.after.as_deref();
        let rest = all.filter(|member| after.is_none_or(|after| key(member).as_str() > after));
        (position, rest.take(reads.query.limit + 1).collect())
    };
    reads.page(position, RestsOn::MoreThanTheLog, rows, key)
}
