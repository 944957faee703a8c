//! Projects: the namespaces that packages own and that people make, and who is in them now or was then, with every reason.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use rollcall_access::{
    self as access, Basis, Effort, MembersPage, Place, Principal, ProjectIx, ProjectView, Reason, Roster, next_members,
};
use rollcall_events::{Body, Id, LOCAL, Position, SchemaError, body};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Answer, CommandOutcome, Commands, Page, PageRequest, Precondition, Reads,
    caller::{CallerView, forbidden},
    error::{Error, ErrorKind, Result},
    find,
    input::{self, null_or_value},
    lists::kept::{ListOf, MembersList},
    openapi_schemas::ReasonShape,
    past::{About, AboutScope, parse_moment},
    turn::Awaited,
};

/// How many folders a refusal names.
const MAX_NAMED_FOLDERS: usize = 20;

/// A project: the namespace of a package's images.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// `source/package`, `local/id` or `personal/user`: it stays when the name changes.
    pub id: String,
    /// The first path segment of its image names.
    pub name: String,
    /// Earlier names, which still find it; none for callers who only see that it is there.
    pub aliases: Vec<String>,
    /// The source that owns it; nobody else changes it.
    pub source: String,
    /// The package that it is of; `null` for a project that a person made.
    pub package: Option<String>,
    /// What the access profile calls its kind: `standard`, `global`, `personal`, or its own word.
    pub kind: String,
    /// Who may pull without a role.
    pub visibility: Visibility,
    /// The folder that it is in, for callers who see that.
    pub folder: Option<String>,
    /// The user who made it, for callers who are told who is in it.
    pub creator: Option<String>,
    /// Whether nobody is left in a role of which somebody should stay; `null` for callers who are not told who is in it.
    pub ownerless: Option<bool>,
    /// The package is removed or delivers no containers, or the project was deleted.
    pub archived: bool,
    /// Packages, `source/package`, that would have this name and wait for another: for callers who list all projects.
    pub claimed_by: Vec<String>,
    /// The event since which it exists.
    #[schema(value_type = u64)]
    pub since: Position,
    /// The newest event about it.
    #[schema(value_type = u64)]
    pub position: Position,
}

/// Who may pull without a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
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
fn claims(roster: &Roster, caller: &CallerView<'_>) -> Claims {
    if caller.may_everywhere("project.list") { roster.claims() } else { Claims::new() }
}

impl Project {
    /// What this caller is told of a project that it sees.
    fn of(roster: &Roster, caller: &CallerView<'_>, project: ProjectIx, claims: &Claims, now: DateTime<Utc>) -> Self {
        let view = roster.project(project);
        let people = caller.sees_members(project);
        let creator = view.creator.as_deref().filter(|_| people).and_then(|id| roster.user_by_id(id));
        let names = caller.may("project.list", project) || caller.may("project.update", project);
        let folder = view.folder.filter(|folder| caller.sees_folder(*folder));
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
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The user's name.
    pub user: String,
    /// The user's id.
    pub user_id: String,
    /// The role.
    pub role: String,
    /// Every reason for it; it ends with the last.
    #[schema(value_type = Vec<ReasonShape>)]
    pub reasons: Vec<Reason>,
}

/// Projects that the caller sees, by name.
///
/// # Errors
/// The caller asks for much at once.
pub async fn list(reads: &Reads, page: PageRequest) -> Result<Answer<Page<Project>>> {
    let now = reads.now();
    let list = reads.list(move |roster, view, awaited| {
        let claims = claims(roster, view);
        let projects = roster.projects_by_name(page.from());
        let row = |project| view.sees(project).then(|| Project::of(roster, view, project, &claims, now));
        page.gather(awaited, projects.map(row), |project| project.name.clone())
    });
    let (position, page) = list.await?;
    Ok(Answer::of_more(position, page))
}

/// One project, by its name or an earlier one.
///
/// # Errors
/// There is no such project.
pub async fn show(reads: &Reads, name: &str) -> Result<Answer<Project>> {
    let (name, now) = (name.to_owned(), reads.now());
    let shown = reads.list(move |roster, view, _| {
        // All that is parked is gone through.
        Ok(Project::of(roster, view, find::project(roster, &name)?, &claims(roster, view), now))
    });
    let (position, project) = shown.await?;
    Ok(Answer::of_event(position, project.position, project))
}

/// A project that a person makes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// The first path segment of its image names.
    pub name: String,
    /// `standard` (also when absent), or `global` where the access profile has one; the profile's own words for them are
    /// taken too.
    #[serde(default)]
    pub kind: Option<String>,
    /// Who may pull without a role; what the access profile says of the kind when absent.
    #[serde(default)]
    pub visibility: Option<Visibility>,
    /// The folder that it is in; none when absent.
    #[serde(default)]
    pub folder: Option<String>,
}

/// The kind of project that is meant by a word of Rollcall or of the access profile.
fn parse_kind(roster: &Roster, word: Option<&str>) -> Result<body::ProjectKind> {
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
    Err(ErrorKind::InvalidBody.because(text).with_field(SchemaError::at("/kind", expected)))
}

/// The caller may not make a project here, but perhaps in a folder that it sees.
fn creation_denied(roster: &Roster, view: &CallerView<'_>, place: Place) -> Error {
    let open = roster.folders().filter(|folder| view.may("project.create", *folder));
    let mut open: Vec<&str> = open.map(|folder| roster.folder(folder).id).collect();
    open.sort_unstable();
    let more = if open.len() > MAX_NAMED_FOLDERS { ", .." } else { "" };
    open.truncate(MAX_NAMED_FOLDERS);
    if place != Place::Root || open.is_empty() {
        return forbidden("project.create");
    }
    ErrorKind::Forbidden.because(format!(
        "You may not make one at the root; name a `folder`: {}{more}. Nothing was recorded.",
        open.join(", ")
    ))
}

/// A project that was made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProjectMade {
    /// Its id, `local/..`.
    pub id: String,
    /// Where the command stands.
    #[schema(value_type = u64)]
    pub position: Position,
    /// `applied` or `no_change`.
    #[schema(value_type = String)]
    pub effect: Cow<'static, str>,
}

/// Makes a project. A user who makes one is its creator, with the role that the access profile gives to creators.
///
/// A name belongs to its first project for ever. A deleted project is made again, empty, by an administrator or who could
/// delete it.
///
/// # Errors
/// A part of it is not there or not allowed, or the command was refused.
pub async fn create(commands: Commands, new: NewProject) -> Result<ProjectMade> {
    let NewProject { name, kind, visibility, folder } = new;
    let body = {
        let roster = commands.live().read();
        let view = commands.view(&roster);
        let place = folder.as_deref().map_or(Ok(Place::Root), |id| view.folder(id).map(Place::Folder))?;
        // Before anything is said about the name: who may not make one here learns of none.
        if !view.may("project.create", place) {
            return Err(creation_denied(&roster, &view, place));
        }
        let kind = parse_kind(&roster, kind.as_deref())?;
        let usual = roster.profile().kind(kind).map_or(body::Visibility::Private, |kind| kind.default);
        body::Project {
            project: input::id("/name", &name)?,
            name,
            kind,
            visibility: visibility.map_or(usual, Into::into),
            folder: folder.map(|id| input::id("/folder", &id)).transpose()?,
            creator: commands
                .author()
                .principal()
                .and_then(|principal| match principal {
                    body::Principal::User(id) => roster.user_by_id(id.as_str()),
                    body::Principal::Service(_) | body::Principal::Group(_) => None,
                })
                .map(|user| find::parse_roster_id(roster.gifted_person(user)))
                .transpose()?,
            author: Some(commands.author()),
            made_with: commands.made_with(),
        }
    };
    let id = format!("{LOCAL}/{}", body.project);
    let CommandOutcome { position, effect } = commands.append(&Body::ProjectCreated(body)).await?;
    Ok(ProjectMade { id, position, effect })
}

/// What of a project is to change; what is absent stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectChange {
    /// Another name; the present one stays reserved and finds it.
    #[serde(default)]
    pub name: Option<String>,
    /// Who may pull without a role.
    #[serde(default)]
    pub visibility: Option<Visibility>,
    /// The folder that it moves to; `null` for none.
    #[serde(default, deserialize_with = "null_or_value", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub folder: Option<Option<String>>,
}

/// Renames a project, shows it to more or fewer, or moves it to another folder.
///
/// # Errors
/// There is no such project, nothing is to change, a part of it is not there, or the command was refused.
pub async fn change(
    commands: Commands,
    name: &str,
    change: ProjectChange,
    only_if: Precondition,
) -> Result<CommandOutcome> {
    let commands = commands.with_precondition(only_if).await;
    if change.name.is_none() && change.visibility.is_none() && change.folder.is_none() {
        return Err(
            ErrorKind::InvalidBody.because("There is nothing to change: name `name`, `visibility` or `folder`.")
        );
    }
    let body = {
        let roster = commands.live().read();
        let found = find::project(&roster, name)?;
        let project = roster.project(found);
        commands.check(Some(project.changed))?;
        let id = own_id(&project)?;
        if let Some(Some(id)) = &change.folder {
            commands.view(&roster).folder(id)?;
        }
        let stays = || project.folder.map(|folder| roster.folder(folder).id.to_owned());
        let folder = change.folder.unwrap_or_else(stays);
        let (kind, _) = roster.kind_and_visibility(found);
        body::Project {
            project: id,
            name: change.name.unwrap_or_else(|| project.name.to_owned()),
            kind,
            visibility: change.visibility.map_or(project.visibility, Into::into),
            folder: folder.map(|id| input::id("/folder", &id)).transpose()?,
            creator: project.creator.and_then(|id| id.parse().ok()),
            author: Some(commands.author()),
            made_with: commands.made_with(),
        }
    };
    commands.append(&Body::ProjectUpdated(body)).await
}

/// Deletes a project: nothing can be done in it any more. Its name stays its own.
///
/// # Errors
/// There is no such project, or the command was refused.
pub async fn delete(commands: Commands, name: &str, only_if: Precondition) -> Result<CommandOutcome> {
    let commands = commands.with_precondition(only_if).await;
    let id = {
        let roster = commands.live().read();
        let project = roster.project(find::project(&roster, name)?);
        commands.check(Some(project.changed))?;
        own_id(&project)?
    };
    let body = body::ProjectRef { project: id, author: Some(commands.author()), made_with: commands.made_with() };
    commands.append(&Body::ProjectDeleted(body)).await
}

/// The id of a project that people made, as its commands name it.
fn own_id(view: &ProjectView<'_>) -> Result<Id> {
    let own = view.id.strip_prefix(LOCAL).and_then(|id| id.strip_prefix('/')).and_then(|id| id.parse().ok());
    own.ok_or_else(|| match view.package {
        Some(package) => ErrorKind::ManagedProject
            .because(format!(
                "Project {} follows from package {package} of source {} and is changed there. Nothing was recorded.",
                view.name, view.source
            ))
            .of_source(view.source),
        None => ErrorKind::Refused
            .because("A personal project comes and goes with its user and is like the access profile says."),
    })
}

/// Who is in a project now or was in it then, with every reason, by user name and role. Whoever may not list members sees
/// only the own rows.
///
/// # Errors
/// There is or was no such project, or there is no such moment.
pub async fn members_of(
    reads: &Reads,
    name: &str,
    as_of: Option<&str>,
    page: &PageRequest,
) -> Result<Answer<Page<Member>>> {
    let as_of = parse_moment("as_of", as_of, reads.now())?;
    let (id, only) = {
        let roster = reads.live().read();
        let view = reads.view(&roster);
        if as_of.is_some() {
            view.may_ask_of_the_past()?;
        }
        let project = find::project(&roster, name)?;
        // What the caller may not see is not gone through either.
        let only = (!view.sees_members(project)).then(|| view.own_id());
        (roster.project(project).id, only)
    };
    let kept = Arc::clone(&reads.app().kept_lists);
    let (asked, now) = (page.clone(), reads.now());
    let (position, rows) = match as_of {
        None => {
            let rows = reads.list(move |roster, view, awaited| {
                let project = roster.project_by_id(&id).ok_or_else(find::no_such_project)?;
                let go_on = || awaited.is_awaited();
                let effort = Effort::of(u64::MAX, &go_on);
                let who = Viewer { only: only.as_deref(), itself: view.itself() };
                let Some(asked) = who.page(roster, &asked) else { return Ok(Vec::new()) };
                if only.is_some() {
                    return Ok(next_members(roster, project, now, asked, &[], &effort)?);
                }
                let of = ListOf { project: id, position: roster.position(), past: false };
                let list = match kept.get(&of) {
                    Some(list) => list,
                    None => kept.keep(of, MembersList::of(Arc::clone(roster), project, &effort)?),
                };
                Ok(next_members(&list.roster, list.project, now, asked, &list.candidates, &effort)?)
            });
            rows.await?
        }
        Some(as_of) => {
            let turn = reads.past_turn().await?;
            let (moment, at) = reads.moment(as_of).await?;
            let of = ListOf { project: id.clone(), position: moment.position, past: true };
            let rows = match kept.get(&of).filter(|_| only.is_none()) {
                Some(list) => turn.run(move |awaited| then(&list, None, at, &asked, awaited)).await?,
                None => {
                    let about = match &only {
                        None => About::Members(name.to_owned()),
                        Some(own) => {
                            About::Access { user: Some(own.clone()), scope: AboutScope::Project(name.to_owned()) }
                        }
                    };
                    let past = reads.past_roster(&turn, as_of, Basis::Recorded, &about).await?;
                    let name = name.to_owned();
                    let read = turn.run(move |awaited| {
                        let project = past.project(&name, Some(&id))?;
                        let go_on = || awaited.is_awaited();
                        let list = MembersList::of(Arc::new(past.roster), project, &Effort::of(u64::MAX, &go_on))?;
                        let list = if only.is_none() { kept.keep(of, list) } else { Arc::new(list) };
                        then(&list, only.as_deref(), at, &asked, awaited)
                    });
                    read.await?
                }
            };
            (moment.position, rows)
        }
    };
    let rows = rows.into_iter().map(Member::of).collect();
    Ok(Answer::of_more(position, page.page(rows, |member: &Member| format!("{}\n{}", member.user, member.role))))
}

/// A page of a list of the past.
fn then(
    list: &MembersList,
    only: Option<&str>,
    at: DateTime<Utc>,
    page: &PageRequest,
    awaited: &Awaited,
) -> Result<Vec<access::Member>> {
    let go_on = || awaited.is_awaited();
    let who = Viewer { only, itself: None };
    match who.page(&list.roster, page) {
        Some(asked) => {
            let effort = Effort::of(u64::MAX, &go_on);
            Ok(next_members(&list.roster, list.project, at, asked, &list.candidates, &effort)?)
        }
        None => Ok(Vec::new()),
    }
}

/// Whose rows are shown, and as what.
struct Viewer<'a> {
    /// The id of the one whose rows alone they are.
    only: Option<&'a str>,
    /// As whom the caller signed in now.
    itself: Option<Principal>,
}

impl Viewer<'_> {
    /// What to look for: the rows of a page and the one after it. Nothing where the own rows are all that is shown, and there
    /// is nobody whose they are.
    fn page<'a>(&self, roster: &Roster, page: &'a PageRequest) -> Option<MembersPage<'a>> {
        let only = match self.only {
            Some(id) => Some(roster.caller_by_id(id)?),
            None => None,
        };
        let after = page.after().and_then(|after| after.split_once('\n'));
        Some(MembersPage { only, viewer: self.itself, after, limit: page.limit + 1 })
    }
}

impl Member {
    fn of(member: access::Member) -> Self {
        Self { user: member.name, user_id: member.user, role: member.role, reasons: member.reasons }
    }
}
