//! `/api/v1/bindings`: roles given by hand. Asks the roster first, so that the caller is told which of its parts is
//! wrong; the judgement that counts is the fold's.

use std::collections::BTreeMap;

use axum::{extract::Path, http::StatusCode, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use rollcall_access::{self as access, BindingView, Place, Roster};
use rollcall_events::{
    Body, Id, Position, SchemaError,
    body::{self, Author, Binding, BindingRef},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    guard::{Commands, Locked, Reads},
    input::Input,
    problem::{Answer, Kind, ProblemShape},
    projects,
    query::{Fresh, Nothing, Paged, Paging},
    reply::{self, Judged, Page, RestsOn, smallest},
    users,
};

pub(crate) fn routes() -> OpenApiRouter<Locked> {
    OpenApiRouter::new().routes(routes!(list, set)).routes(routes!(remove))
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
    /// The container, where it is on one; neither this nor a project: everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
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
        let (project, container) = match view.place {
            Place::Root => (None, None),
            Place::Project(project) => (Some(roster.project_name(project).to_owned()), None),
            Place::Container(container) => (None, Some(roster.container(container).id.to_owned())),
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
            container,
            starts: view.starts,
            ends: view.ends,
            position: view.position,
        }
    }
}

/// Roles given by hand and not taken away, by id; those whose window is over too.
#[utoipa::path(
    get, path = "/api/v1/bindings", tag = "bindings", operation_id = "bindings", params(Paging, Fresh),
    responses((status = 200, body = Page<BindingShown>), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn list(reads: Reads<Paged<Nothing>>) -> Answer<Response> {
    let (position, rows) = {
        let roster = reads.live().read();
        let all: BTreeMap<String, BindingView<'_>> =
            roster.bindings().map(|view| (id_of(view.subject), view)).collect();
        let page = smallest(all.keys().map(|id| (id.as_str(), ())), reads.query.after.as_deref(), reads.query.limit);
        let rows =
            page.iter().filter_map(|(id, ())| all.get(*id)).map(|view| BindingShown::of(&roster, view)).collect();
        (roster.position(), rows)
    };
    reads.page(position, RestsOn::LogAlone, rows, |row: &BindingShown| row.id.clone())
}

/// A role for somebody, somewhere.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBinding {
    /// Who.
    principal: Principal,
    /// Which role of the access profile.
    role: String,
    /// Where.
    scope: Scope,
    /// From when; at once when absent.
    #[serde(default)]
    starts: Option<DateTime<Utc>>,
    /// Until when (exclusive); without end when absent.
    #[serde(default)]
    ends: Option<DateTime<Utc>>,
}

/// Who a binding is about: `{"user": "ada"}`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Principal {
    /// A user, by name or id.
    User(String),
}

/// Where a role holds: `"root"` or `{"project": "acme"}`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Scope {
    /// Everywhere.
    Root,
    /// One project, by name.
    Project(String),
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

/// Gives a user a role on a project or everywhere.
///
/// A project of a package is managed by its source: 409 names it, unless the operator allows bindings on such projects.
#[utoipa::path(
    post, path = "/api/v1/bindings", tag = "bindings", operation_id = "binding_set", request_body = NewBinding,
    responses((status = 200, body = BindingSet), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn set(orders: Commands, Input(new): Input<NewBinding>) -> Answer<Response> {
    let binding = judge(&orders.live().read(), new, orders.now())?;
    let body = Body::BindingSet(binding);
    let id = id_of(&body.subject());
    let done = orders.say(&body).await?;
    let answer = BindingSet { id, position: done.position, effect: done.effect.word() };
    reply::done(StatusCode::OK, Some(done.position), &answer)
}

/// Takes a role that was given by hand away again.
#[utoipa::path(
    delete, path = "/api/v1/bindings/{id}", tag = "bindings", operation_id = "binding_remove",
    params(("id" = String, Path, description = "The binding's id")),
    responses((status = 200, body = Judged), (status = "default", body = ProblemShape, content_type = "application/problem+json"))
)]
async fn remove(orders: Commands, Path(id): Path<String>) -> Answer<Response> {
    let binding = read_id(&id).ok_or_else(|| Kind::UnknownBinding.because("This is not the id of a binding."))?;
    reply::judged(StatusCode::OK, &orders.say(&Body::BindingRemoved(binding)).await?)
}

/// What the caller asked for as the fold will judge it, or the part that stands against it.
fn judge(roster: &Roster, new: NewBinding, now: DateTime<Utc>) -> Answer<Binding> {
    let NewBinding { principal: Principal::User(user), role, scope, starts, ends } = new;
    let profile = roster.profile();
    let Some(role) = profile.role(&role).map(|role| profile.role_name(role).to_owned()) else {
        let known: Vec<&str> = profile.roles().map(|role| profile.role_name(role)).collect();
        let expected = format!("one of {}", known.join(", "));
        return Err(Kind::UnknownRole
            .because(format!(
                "Profile {} has no role `{}`; take {expected}. Nothing was recorded.",
                profile.name(),
                role.escape_debug()
            ))
            .with_error(SchemaError::at("/role", expected)));
    };
    let scope = match scope {
        Scope::Root => body::Scope::Root,
        Scope::Project(name) => {
            let project = roster.project(projects::find(roster, &name)?);
            if let Some(package) = project.package.filter(|_| !roster.settings().bindings_on_managed) {
                return Err(Kind::ManagedProject
                    .because(format!(
                        "Who is in project {} follows from package {package} of source {} and is changed there. Nothing was recorded.",
                        project.name, project.source
                    ))
                    .of_source(project.source));
            }
            body::Scope::Project(id(project.id)?)
        }
    };
    let user = roster.user_id(users::find(roster, &user)?);
    let principal = body::Principal::User(id(user)?);
    let binding = Binding { principal, role, scope, author: Author::operator(), starts, ends };
    if matches!((starts, ends), (Some(starts), Some(ends)) if ends < starts) {
        let error = SchemaError::at("/ends", "an instant not before `starts`");
        return Err(Kind::InvalidBody.because("The window ends before it starts.").with_error(error));
    }
    match roster.may(&Body::BindingSet(binding.clone()), now) {
        Ok(()) => Ok(binding),
        Err(refusal) => Err(Kind::Refused.because(format!("{refusal}. Nothing was recorded."))),
    }
}

fn id(text: String) -> Answer<Id> {
    text.parse().map_err(|_| Kind::Internal.because("The roster holds an id that is none. Report this."))
}

/// A binding is known by its subject: who, which role, where.
fn id_of(subject: &str) -> String {
    format!("bnd_{}", URL_SAFE_NO_PAD.encode(subject))
}

fn read_id(id: &str) -> Option<BindingRef> {
    let bytes = URL_SAFE_NO_PAD.decode(id.strip_prefix("bnd_")?).ok()?;
    let subject = String::from_utf8(bytes).ok()?;
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
        Some(("container", id)) => body::Scope::Container(id.parse().ok()?),
        _ => return None,
    };
    let binding = BindingRef { principal, role, scope, author: Author::operator() };
    // Only what reads back as the very same subject is the id of a binding.
    (id_of(&Body::BindingRemoved(binding.clone()).subject()) == id).then_some(binding)
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
