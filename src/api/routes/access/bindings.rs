//! `/api/v1/bindings`: roles given by hand. Asks the roster first, so that the caller is told which of its parts is
//! wrong; the judgement that counts is the fold's.

use std::collections::BTreeMap;

use axum::{extract::Path, http::StatusCode, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use rollcall_access::{self as access, BindingView, GroupIx, Place, RefusalKind, Roster};
use rollcall_events::{
    Body, Id, Position, SchemaError,
    body::{self, Author, Binding, BindingRef},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    caller::{self, Asker, forbidden},
    command,
    http::guard::{Changes, Locked, Reads},
    http::input::Input,
    http::problem::{Answer, Kind, Problem, ProblemShape},
    http::query::{Fresh, Paged, Paging},
    http::reply::{self, Judged, Page, RestsOn, smallest},
    routes::access::projects,
    routes::access::users,
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list, set)).routes(routes!(show, remove))
}

/// A role given by hand.
#[derive(Serialize, ToSchema)]
struct BindingShown {
    /// Its id, to remove it by.
    id: String,
    /// The user's name; `null` where it is no user's.
    user: Option<String>,
    /// The user's id; `null` where it is no user's.
    user_id: Option<String>,
    /// The service's id, of a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// The group's id, `source/group`, of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// The role.
    role: String,
    /// The project; `null` for what is above projects.
    project: Option<String>,
    /// The folder, where it is on one; neither this nor a project: everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
    /// From when; `null` from the beginning.
    starts: Option<DateTime<Utc>>,
    /// Until when (exclusive); `null` without end.
    ends: Option<DateTime<Utc>>,
    /// The event that set it.
    #[schema(value_type = u64)]
    position: Position,
}

impl BindingShown {
    fn of(roster: &Roster, view: &BindingView<'_>) -> Self {
        let user = match view.holder {
            Some(access::Principal::User(user)) => Some(user),
            _ => None,
        };
        let (project, folder) = match view.place {
            Place::Root => (None, None),
            Place::Project(project) => (Some(roster.project_name(project).to_owned()), None),
            Place::Folder(folder) => (None, Some(roster.folder(folder).id.to_owned())),
        };
        let (service, group) = match &view.principal {
            body::Principal::User(_) => (None, None),
            body::Principal::Service(id) => (Some(id.to_string()), None),
            body::Principal::Group(id) => (None, Some(id.to_string())),
        };
        Self {
            id: id_of(view.subject),
            user: user.map(|user| roster.user_name(user).to_owned()),
            user_id: user.map(|user| roster.user_id(user)),
            service,
            group,
            role: view.role.to_owned(),
            project,
            folder,
            starts: view.starts,
            ends: view.ends,
            position: view.position,
        }
    }
}

/// Which bindings.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct BindingsQuery {
    /// Only of this user, by name or id.
    user: Option<String>,
    /// Only of this service.
    service: Option<String>,
    /// Only of this group, `source/group`.
    group: Option<String>,
    /// Only on this project, by name.
    project: Option<String>,
    /// Only on this folder.
    folder: Option<String>,
    /// Only on scopes of this kind.
    scope: Option<ScopeKind>,
}

/// The kinds of scope.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ScopeKind {
    /// Everywhere.
    Root,
    /// A folder and what is in it.
    Folder,
    /// One project.
    Project,
}

impl BindingsQuery {
    /// Refuses what is not there: whoever lists all bindings would take an empty list for an answer.
    fn known(&self, roster: &Roster) -> Answer<()> {
        let there = |asked: &Option<String>, find: &dyn Fn(&str) -> bool, problem: fn() -> Problem| match asked {
            Some(name) if !find(name) => Err(problem()),
            _ => Ok(()),
        };
        there(&self.user, &|name| users::find(roster, name).is_ok(), users::no_such_user)?;
        there(&self.service, &|id| roster.service_by_id(id).is_some(), caller::no_such_service)?;
        there(&self.group, &|id| roster.group_by_id(id).is_some(), caller::no_such_group)?;
        there(&self.project, &|name| roster.project_by_name(name).is_some(), projects::no_such_project)?;
        there(&self.folder, &|id| roster.folder_by_id(id).is_some(), caller::no_such_folder)
    }

    fn fits(&self, roster: &Roster, view: &BindingView<'_>) -> bool {
        let is =
            |asked: &Option<String>, found: Option<&str>| asked.as_deref().is_none_or(|asked| Some(asked) == found);
        let (service, group) = match &view.principal {
            body::Principal::User(_) => (None, None),
            body::Principal::Service(id) => (Some(id.as_str()), None),
            body::Principal::Group(id) => (None, Some(id.as_str())),
        };
        let (kind, project, folder) = match view.place {
            Place::Root => (ScopeKind::Root, None, None),
            Place::Folder(folder) => (ScopeKind::Folder, None, Some(folder)),
            Place::Project(project) => (ScopeKind::Project, Some(project), None),
        };
        self.scope.is_none_or(|asked| asked == kind)
            && is(&self.service, service)
            && is(&self.group, group)
            && is(&self.folder, folder.map(|folder| roster.folder(folder).id))
            && self.project.as_deref().is_none_or(|name| project.is_some() && roster.project_by_name(name) == project)
            && self.user.as_deref().is_none_or(|name| match view.holder {
                Some(access::Principal::User(user)) => users::find(roster, name).ok() == Some(user),
                _ => false,
            })
    }
}

/// Roles given by hand and not taken away, by id; those whose window is over too. The own ones, and those on scopes where
/// the caller may list them. Who lists all of them is told where a filter names what is not there.
#[utoipa::path(
    get, path = "/api/v1/bindings", tag = "bindings", operation_id = "bindings", params(BindingsQuery, Paging, Fresh),
    responses((status = 200, body = Page<BindingShown>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<BindingsQuery>>) -> Answer<Response> {
    let (position, rows) = {
        let roster = reads.live().read();
        let asker = reads.ask(&roster);
        if asker.everywhere("binding.list") {
            reads.query.filter.known(&roster)?;
        }
        let fits = |view: &BindingView<'_>| reads.query.filter.fits(&roster, view) && sees(&asker, view);
        let all: BTreeMap<String, BindingView<'_>> =
            roster.bindings().filter(fits).map(|view| (id_of(view.subject), view)).collect();
        let page = smallest(all.keys().map(|id| (id.as_str(), ())), reads.query.after.as_deref(), reads.query.limit);
        let rows =
            page.iter().filter_map(|(id, ())| all.get(*id)).map(|view| BindingShown::of(&roster, view)).collect();
        (roster.position(), rows)
    };
    reads.page(position, RestsOn::MoreThanTheLog, rows, |row: &BindingShown| row.id.clone())
}

/// One role given by hand.
#[utoipa::path(
    get, path = "/api/v1/bindings/{id}", tag = "bindings", operation_id = "binding",
    params(("id" = String, Path, description = "The binding's id"), Fresh),
    responses((status = 200, body = BindingShown), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn show(reads: Reads, Path(id): Path<String>) -> Answer<Response> {
    let (position, changed, shown) = {
        let roster = reads.live().read();
        let view = find(&roster, &id).ok_or_else(no_such_binding)?;
        (roster.position(), view.position, BindingShown::of(&roster, &view))
    };
    reads.answer(position, RestsOn::ItsEvent(changed), &shown)
}

/// Whether the caller is told of a binding: it is the caller's, or on a scope where the caller may list them.
fn sees(asker: &Asker<'_>, view: &BindingView<'_>) -> bool {
    holds(asker, view) || asker.may("binding.list", view.place)
}

fn holds(asker: &Asker<'_>, view: &BindingView<'_>) -> bool {
    view.holder.is_some_and(|holder| asker.is(holder))
}

fn find<'a>(roster: &'a Roster, id: &str) -> Option<BindingView<'a>> {
    let binding = read_id(id)?;
    let subject = Body::BindingRemoved(binding.clone()).subject();
    let place = match &binding.scope {
        body::Scope::Root => Place::Root,
        body::Scope::Folder(id) => Place::Folder(roster.folder_by_id(id.as_str())?),
        body::Scope::Project(id) => Place::Project(roster.project_by_id(id.as_str())?),
    };
    roster.bindings_on(place).find(|view| view.subject == subject)
}

/// Whether the caller may do an action with the binding of this id. Whoever holds it sees it and may leave.
pub(crate) fn demand(roster: &Roster, asker: &Asker<'_>, id: &str, action: &str) -> Answer<()> {
    let view = find(roster, id).filter(|view| sees(asker, view) || asker.may(action, view.place));
    let view = view.ok_or_else(no_such_binding)?;
    if action == "binding.list" || holds(asker, &view) || asker.may(action, view.place) {
        Ok(())
    } else {
        Err(forbidden(action))
    }
}

pub(crate) fn no_such_binding() -> Problem {
    Kind::UnknownBinding
        .because("No binding that you can see has this id. /api/v1/bindings lists those that you can see.")
}

/// A role for somebody, somewhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBinding {
    /// Who.
    pub principal: Principal,
    /// Which role: of the access profile, or of the API's own as `api:auditor`.
    pub role: String,
    /// Where.
    pub scope: Scope,
    /// From when; at once when absent.
    #[serde(default)]
    pub starts: Option<DateTime<Utc>>,
    /// Until when (exclusive); without end when absent.
    #[serde(default)]
    pub ends: Option<DateTime<Utc>>,
}

/// Who a binding is about: `{"user": "ada"}`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Principal {
    /// A user, by name or id.
    User(String),
    /// A service, by id.
    Service(String),
    /// A group, `source/group`: everybody in it, to any depth.
    Group(String),
}

/// Where a role holds: `"root"`, `{"folder": "emea"}` or `{"project": "acme"}`.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Everywhere.
    Root,
    /// A folder and everything in it, by id.
    Folder(String),
    /// One project, by name.
    Project(String),
}

impl Scope {
    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Folder(_) => "folder",
            Self::Project(_) => "project",
        }
    }

    /// In words: root, folder `emea`, project `acme`.
    pub fn text(&self) -> String {
        match self {
            Self::Root => "root".to_owned(),
            Self::Folder(id) => format!("folder `{id}`"),
            Self::Project(name) => format!("project `{name}`"),
        }
    }
}

/// A binding that was set.
#[derive(Serialize, ToSchema)]
struct BindingSet {
    /// Its id, to remove it by.
    id: String,
    /// Where the command stands.
    #[schema(value_type = u64)]
    position: Position,
    /// `applied` or `no_change`.
    effect: &'static str,
}

/// Gives a user, a service or a group a role on a project, a folder or everywhere.
///
/// A project of a package is managed by its source: 409 names it, unless the operator allows bindings on such projects.
#[utoipa::path(
    post, path = "/api/v1/bindings", tag = "bindings", operation_id = "binding_set", request_body = NewBinding,
    responses((status = 200, body = BindingSet), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn set(orders: Changes, Input(new): Input<NewBinding>) -> Answer<Response> {
    let orders = orders.begin().await;
    let (body, id) = {
        let roster = orders.live().read();
        let body = Body::BindingSet(judge(&roster, &orders.ask(&roster), new, orders.author(), orders.now())?);
        let id = id_of(&body.subject());
        orders.expected(find(&roster, &id).map(|view| view.position))?;
        (body, id)
    };
    let done = orders.say(&body).await?;
    let answer = BindingSet { id, position: done.position, effect: done.effect.word() };
    reply::done(StatusCode::OK, Some(done.position), &answer)
}

/// Takes a role that was given by hand away again. Whoever holds it may always leave.
#[utoipa::path(
    delete, path = "/api/v1/bindings/{id}", tag = "bindings", operation_id = "binding_remove",
    params(("id" = String, Path, description = "The binding's id")),
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn remove(orders: Changes, Path(id): Path<String>) -> Answer<Response> {
    let orders = orders.begin().await;
    let binding = {
        let roster = orders.live().read();
        orders.expected(Some(find(&roster, &id).ok_or_else(no_such_binding)?.position))?;
        read_id(&id).ok_or_else(no_such_binding)?
    };
    let binding = BindingRef { author: orders.author(), ..binding };
    reply::judged(StatusCode::OK, &orders.say(&Body::BindingRemoved(binding)).await?)
}

/// What the caller asked for as the fold will judge it, or the part that stands against it.
pub(crate) fn judge(
    roster: &Roster,
    asker: &Asker<'_>,
    new: NewBinding,
    author: Author,
    now: DateTime<Utc>,
) -> Answer<Binding> {
    let NewBinding { principal, role, scope, starts, ends } = new;
    let (place, scope) = match scope {
        Scope::Root => (Place::Root, body::Scope::Root),
        Scope::Folder(name) => {
            let folder = asker.folder(&name)?;
            (Place::Folder(folder), body::Scope::Folder(id(roster.folder(folder).id.to_owned())?))
        }
        Scope::Project(name) => {
            let project = asker.project(&name)?;
            (Place::Project(project), body::Scope::Project(id(roster.project(project).id)?))
        }
    };
    if !asker.may("binding.set", place) {
        return Err(forbidden("binding.set"));
    }
    let Some(role) = roster.canonical_role(&role) else {
        let expected = format!("one of {}", roster.bindable_roles().join(", "));
        return Err(Kind::UnknownRole
            .because(format!(
                "Profile {} has no role `{}`; take {expected}. Nothing was recorded.",
                roster.profile().name(),
                role.escape_debug()
            ))
            .with_error(SchemaError::at("/role", expected)));
    };
    if let Place::Project(project) = place
        && !role.starts_with(access::API_ROLE_PREFIX)
        && !roster.settings().bindings_on_managed
    {
        let project = roster.project(project);
        if let Some(package) = project.package {
            return Err(Kind::ManagedProject
                .because(format!(
                    "Who is in project {} follows from package {package} of source {} and is changed there. Nothing was recorded.",
                    project.name, project.source
                ))
                .of_source(project.source));
        }
    }
    if matches!((starts, ends), (Some(starts), Some(ends)) if ends < starts) {
        let error = SchemaError::at("/ends", "an instant not before `starts`");
        return Err(Kind::InvalidBody.because("The window ends before it starts.").with_error(error));
    }
    // Asked for nobody first: where the role cannot be given, nothing is said of who there is.
    let nobody = body::Principal::User(id("-".to_owned())?);
    let empty =
        Binding { principal: nobody, role: role.clone(), scope: scope.clone(), author: author.clone(), starts, ends };
    if let Err(refusal) = roster.check_command(&Body::BindingSet(empty), now)
        && matches!(refusal.kind, RefusalKind::Invalid | RefusalKind::NoRole | RefusalKind::Managed)
    {
        return Err(command::refused(&refusal, asker));
    }
    let principal = match principal {
        Principal::User(name) => body::Principal::User(id(roster.user_id(users::find(roster, &name)?))?),
        Principal::Service(name) => {
            let service = roster.service_by_id(&name).ok_or_else(caller::no_such_service)?;
            body::Principal::Service(id(roster.service(service).id.to_owned())?)
        }
        Principal::Group(name) => {
            let known = |group: &GroupIx| {
                let word = roster.group(*group).id;
                let bound =
                    |view: BindingView<'_>| matches!(view.principal, body::Principal::Group(id) if id.as_str() == word);
                asker.everywhere("group.list") || asker.is_in(*group) || roster.bindings_on(place).any(bound)
            };
            let group = roster.group_by_id(&name).filter(known).ok_or_else(caller::no_such_group)?;
            body::Principal::Group(id(roster.group(group).id)?)
        }
    };
    Ok(Binding { principal, role, scope, author, starts, ends })
}

pub(crate) fn id(text: String) -> Answer<Id> {
    text.parse().map_err(|_| Kind::Internal.because("The roster holds an id that is none. Report this."))
}

/// A binding is known by its subject: who, which role, where.
fn id_of(subject: &str) -> String {
    format!("bnd_{}", URL_SAFE_NO_PAD.encode(subject))
}

pub(crate) fn read_id(id: &str) -> Option<BindingRef> {
    let bytes = URL_SAFE_NO_PAD.decode(id.strip_prefix("bnd_")?).ok()?;
    read_subject(&String::from_utf8(bytes).ok()?)
}

/// The binding of a subject.
pub(crate) fn read_subject(subject: &str) -> Option<BindingRef> {
    let mut parts = subject.strip_prefix("binding/")?.split('/').map(|p| p.replace("%2F", "/").replace("%25", "%"));
    let (principal, role, scope) = (parts.next()?, parts.next()?, parts.next()?);
    let (kind, who) = principal.split_once(':')?;
    let who = who.parse().ok()?;
    let principal = match kind {
        "user" => body::Principal::User(who),
        "service" => body::Principal::Service(who),
        "group" => body::Principal::Group(who),
        _ => return None,
    };
    let scope = match scope.split_once(':') {
        None if scope == "root" => body::Scope::Root,
        Some(("project", id)) => body::Scope::Project(id.parse().ok()?),
        Some(("folder", id)) => body::Scope::Folder(id.parse().ok()?),
        _ => return None,
    };
    let binding = BindingRef { principal, role, scope, author: Author::operator() };
    // Only what reads back as the very same subject is the id of a binding.
    (Body::BindingRemoved(binding.clone()).subject() == subject).then_some(binding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_found_by_its_id_and_by_nothing_else() {
        let binding = BindingRef {
            principal: body::Principal::User("flexnet/a%2Fb".parse().unwrap()),
            role: "Project/Admin%".to_owned(),
            scope: body::Scope::Project("flexnet/db".parse().unwrap()),
            author: Author::operator(),
        };
        let id = id_of(&Body::BindingRemoved(binding.clone()).subject());
        assert_eq!(read_id(&id), Some(binding));
        for bad in ["", "bnd_", "bnd_!", "bnd_YmluZGluZy9h", &id[1..]] {
            assert_eq!(read_id(bad), None, "{bad}");
        }
    }
}
