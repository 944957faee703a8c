//! Roles given by hand. Asks the roster first, so that the caller is told which part is wrong; the judgement that counts is
//! the fold's.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use rollcall_access::{self as access, BindingView, GroupIx, Place, RefusalKind, Roster};
use rollcall_events::{
    Body, Position, SchemaError,
    body::{self, Binding, BindingRef, EventData as _},
    time::{self, for_people},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Answer, CommandOutcome, Commands, Page, PageRequest, Precondition, Reads, binding_id,
    caller::{CallerView, Giver, forbidden},
    commands,
    error::{Error, ErrorKind, Result},
    find,
    words::nearest::did_you_mean,
};

/// A role given by hand.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BindingShown {
    /// Its id, to remove it by.
    pub id: String,
    /// The same for people: as good as `id` wherever an id is asked for, and at least six digits of it will do.
    pub short: String,
    /// The user's name; `null` where it is no user's.
    pub user: Option<String>,
    /// The user's id; `null` where it is no user's.
    pub user_id: Option<String>,
    /// The service's id, of a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The group's id, `source/group`, of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    /// The role.
    pub role: String,
    /// The project; `null` for what is above projects.
    pub project: Option<String>,
    /// The folder, where it is on one; neither this nor a project: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// From when; `null` from the beginning.
    pub starts: Option<DateTime<Utc>>,
    /// Until when (exclusive); `null` without end.
    pub ends: Option<DateTime<Utc>>,
    /// The event that set it.
    #[schema(value_type = u64)]
    pub position: Position,
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
            id: binding_id::of_subject(view.subject),
            short: binding_id::short_of_subject(view.subject),
            user: user.map(|user| roster.user_name(user).to_owned()),
            user_id: user.map(|user| roster.user_id(user)),
            service,
            group_name: group.as_deref().and_then(|id| find::group_name(roster, id)),
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
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BindingsQuery {
    /// Only of this user, by name or id.
    pub user: Option<String>,
    /// Only of this service.
    pub service: Option<String>,
    /// Only of this group: `source/group`, or its name, DN or path.
    pub group: Option<String>,
    /// Only on this project, by name.
    pub project: Option<String>,
    /// Only on this folder.
    pub folder: Option<String>,
    /// Only on scopes of this kind.
    pub scope: Option<ScopeKind>,
}

/// The kinds of scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScopeKind {
    /// Everywhere.
    Root,
    /// A folder and what is in it.
    Folder,
    /// One project.
    Project,
}

impl BindingsQuery {
    /// Refuses what is not there: whoever lists all bindings would take an empty list for an answer.
    fn refuse_unknown(&self, roster: &Roster, view: &CallerView<'_>) -> Result<()> {
        let there = |asked: &Option<String>, find: &dyn Fn(&str) -> bool, error: fn() -> Error| match asked {
            Some(name) if !find(name) => Err(error()),
            _ => Ok(()),
        };
        there(&self.user, &|name| find::user(roster, name).is_ok(), find::no_such_user)?;
        there(&self.service, &|id| find::service(roster, id).is_ok(), find::no_such_service)?;
        match &self.group {
            Some(word) if view.may_everywhere("group.list") => drop(find::group(roster, word, |_| true)?),
            Some(word) if roster.groups_called(word).is_empty() => return Err(find::no_such_group()),
            _ => {}
        }
        there(&self.project, &|name| find::project(roster, name).is_ok(), find::no_such_project)?;
        there(&self.folder, &|id| roster.folder_by_id(id).is_some(), find::no_such_folder)
    }

    /// Those that could be meant, where the query says of whom or of what place they are.
    fn narrow<'r>(&self, roster: &'r Roster, groups: Option<&[GroupIx]>) -> Option<Vec<BindingView<'r>>> {
        let on = |place: Option<Place>| place.into_iter().flat_map(|place| roster.bindings_on(place)).collect();
        let of = |who: Option<access::Principal>| who.into_iter().flat_map(|who| roster.bindings_of(who)).collect();
        if let Some(project) = &self.project {
            return Some(on(find::project(roster, project).ok().map(Place::Project)));
        }
        if let Some(folder) = &self.folder {
            return Some(on(roster.folder_by_id(folder).map(Place::Folder)));
        }
        if let Some(user) = &self.user {
            return Some(of(find::user(roster, user).ok().map(access::Principal::User)));
        }
        if let Some(service) = &self.service {
            return Some(of(find::service(roster, service).ok().map(access::Principal::Service)));
        }
        groups.map(|groups| groups.iter().flat_map(|group| roster.bindings_of_group(*group)).collect())
    }

    /// `groups`: those that the query's word means.
    fn matches(&self, roster: &Roster, view: &BindingView<'_>, groups: Option<&[GroupIx]>) -> bool {
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
            && groups.is_none_or(|asked| {
                group.and_then(|id| roster.group_by_id(id)).is_some_and(|group| asked.contains(&group))
            })
            && is(&self.folder, folder.map(|folder| roster.folder(folder).id))
            && self
                .project
                .as_deref()
                .is_none_or(|name| project.is_some() && find::project(roster, name).ok() == project)
            && self.user.as_deref().is_none_or(|name| match view.holder {
                Some(access::Principal::User(user)) => find::user(roster, name).ok() == Some(user),
                _ => false,
            })
    }
}

/// Roles given by hand and not taken away, by who has them; those whose window is over too. The own ones, and those on scopes where
/// the caller may list them. Who lists all of them is told where the query names what is not there.
///
/// # Errors
/// The query names what is not there.
pub async fn list(reads: &Reads, query: BindingsQuery, page: PageRequest) -> Result<Answer<Page<BindingShown>>> {
    let list = reads.list(move |roster, view, awaited| {
        if view.may_everywhere("binding.list") {
            query.refuse_unknown(roster, view)?;
        }
        let groups = query.group.as_deref().map(|word| roster.groups_called(word));
        let row = |binding: BindingView<'_>| {
            let shown = query.matches(roster, &binding, groups.as_deref()) && view.sees_binding(&binding);
            shown.then(|| (binding.subject.to_owned(), BindingShown::of(roster, &binding)))
        };
        let key = |(subject, _): &(String, BindingShown)| subject.clone();
        let page = match query.narrow(roster, groups.as_deref()) {
            Some(few) => page.sorted_page(few.into_iter().filter_map(row).collect(), key),
            None => page.gather(awaited, roster.bindings_by_subject(page.from()).map(row), key)?,
        };
        let items = page.items.into_iter().map(|(_, binding)| binding).collect();
        Ok(Page { items, next: page.next })
    });
    let (position, page) = list.await?;
    Ok(Answer::of_more(position, page))
}

/// One role given by hand.
///
/// # Errors
/// There is none of this id.
pub fn show(reads: &Reads, id: &str) -> Result<Answer<BindingShown>> {
    let roster = reads.live().read();
    let view = reads.view(&roster);
    let binding = view.binding_for(id, "binding.list")?;
    Ok(Answer::of_event(roster.position(), binding.position, BindingShown::of(&roster, &binding)))
}

/// A role for somebody, somewhere.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBinding {
    /// Who.
    pub principal: Principal,
    /// Which role: of the access profile, or of the API's own as `api:auditor`.
    pub role: String,
    /// Where.
    pub scope: Scope,
    /// From when; at once when absent.
    #[serde(default, deserialize_with = "time::nullable")]
    pub starts: Option<DateTime<Utc>>,
    /// Until when (exclusive); without end when absent.
    #[serde(default, deserialize_with = "time::nullable")]
    pub ends: Option<DateTime<Utc>>,
}

/// Who a binding is about: `{"user": "ada"}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Principal {
    /// A user, by name or id.
    User(String),
    /// A service, by id.
    Service(String),
    /// A group: everybody in it, to any depth. `source/group`, or its name, DN or path, with or without the source before it.
    Group(String),
}

/// Where a role holds: `"root"`, `{"folder": "emea"}` or `{"project": "acme"}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everywhere.
    Root,
    /// A folder and everything in it, by id.
    Folder(String),
    /// One project, by name.
    Project(String),
}

impl Scope {
    /// The word for its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Folder(_) => "folder",
            Self::Project(_) => "project",
        }
    }

    /// In words: root, folder `emea`, project `acme`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Root => "root".to_owned(),
            Self::Folder(id) => format!("folder `{id}`"),
            Self::Project(name) => format!("project `{name}`"),
        }
    }
}

/// A binding that was set.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BindingSet {
    /// Its id, to read and remove it by. Where the profile raised the role, that of the role that was given.
    pub id: String,
    /// The group's id, of a group, however it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    /// Until when (exclusive) it stands by itself. What a caller gives whose secret ends, ends with that at the latest.
    #[serde(default)]
    pub ends: Option<DateTime<Utc>>,
    /// Where the command stands.
    #[schema(value_type = u64)]
    pub position: Position,
    /// `applied` or `no_change`.
    #[schema(value_type = String)]
    pub effect: Cow<'static, str>,
}

/// Gives a user, a service or a group a role on a project, a folder or everywhere.
///
/// # Errors
/// A part of it is not there or not allowed, or it was refused.
pub async fn set(commands: Commands, new: NewBinding, only_if: Precondition) -> Result<BindingSet> {
    let commands = commands.with_precondition(only_if).await;
    let (body, id, ends, group) = {
        let roster = commands.live().read();
        let view = commands.view(&roster);
        let binding = resolve(&roster, &view, new, commands.giver(), commands.now())?;
        let ends = binding.ends;
        let group = named_group(&roster, &binding.principal);
        let body = Body::BindingSet(binding);
        let id = binding_id::of_subject(&body.subject());
        commands.check(find::binding(&roster, &id).map(|binding| binding.position))?;
        (body, id, ends, group)
    };
    let outcome = commands.append(&body).await?;
    let id = given_id(&commands.live().read(), &body).unwrap_or(id);
    Ok(BindingSet::of(id, group, ends, outcome))
}

impl BindingSet {
    fn of(
        id: String,
        group: Option<(String, Option<String>)>,
        ends: Option<DateTime<Utc>>,
        did: CommandOutcome,
    ) -> Self {
        let CommandOutcome { position, effect } = did;
        let (group, group_name) = group.map_or((None, None), |(id, name)| (Some(id), name));
        Self { id, group, group_name, ends, position, effect }
    }

    /// Of a binding that was recorded before.
    pub(crate) fn recorded(roster: &Roster, binding: &Binding, outcome: CommandOutcome) -> Self {
        let body = Body::BindingSet(binding.clone());
        let id = given_id(roster, &body).unwrap_or_else(|| binding_id::of_subject(&body.subject()));
        Self::of(id, named_group(roster, &binding.principal), binding.ends, outcome)
    }
}

/// The id and the name of a group that is given a role.
fn named_group(roster: &Roster, principal: &body::Principal) -> Option<(String, Option<String>)> {
    match principal {
        body::Principal::Group(id) => Some((id.to_string(), find::group_name(roster, id.as_str()))),
        body::Principal::User(_) | body::Principal::Service(_) => None,
    }
}

/// The id under which a role that was given stands: that of the least role of an administrator, where the profile
/// raised it.
fn given_id(roster: &Roster, body: &Body) -> Option<String> {
    let Body::BindingSet(given) = body else { return None };
    let least = roster.profile().document().rules.admin_at_least.iter();
    let raised = least.map(|least| Body::BindingSet(Binding { role: least.clone(), ..given.clone() }).subject());
    let ids = std::iter::once(body.subject()).chain(raised).map(|subject| binding_id::of_subject(&subject));
    ids.into_iter().find(|id| find::binding(roster, id).is_some())
}

/// Takes a role that was given by hand away again. Whoever holds it may always leave.
///
/// # Errors
/// There is none of this id, or the command was refused.
pub async fn remove(commands: Commands, id: &str, only_if: Precondition) -> Result<CommandOutcome> {
    let commands = commands.with_precondition(only_if).await;
    let binding = {
        let roster = commands.live().read();
        let view = commands.view(&roster);
        let binding = view.binding_for(id, "binding.remove")?;
        commands.check(Some(binding.position))?;
        binding_id::parse_subject(binding.subject).ok_or_else(find::no_such_binding)?
    };
    let binding = BindingRef { author: commands.author(), made_with: commands.made_with(), ..binding };
    commands.append(&Body::BindingRemoved(binding)).await
}

/// What the caller asked for as the fold will judge it, or the part that stands against it.
pub(crate) fn resolve(
    roster: &Roster,
    view: &CallerView<'_>,
    new: NewBinding,
    giver: Giver,
    now: DateTime<Utc>,
) -> Result<Binding> {
    let NewBinding { principal, role, scope, starts, ends } = new;
    let Giver { author, made_with, end } = giver;
    let (place, scope) = match scope {
        Scope::Root => (Place::Root, body::Scope::Root),
        Scope::Folder(name) => {
            let folder = view.folder(&name)?;
            (Place::Folder(folder), body::Scope::Folder(find::parse_roster_id(roster.folder(folder).id.to_owned())?))
        }
        Scope::Project(name) => {
            let project = view.project(&name)?;
            (Place::Project(project), body::Scope::Project(find::parse_roster_id(roster.project(project).id)?))
        }
    };
    if !view.may("binding.set", place) {
        return Err(forbidden("binding.set"));
    }
    let Some(role) = roster.canonical_role(&role) else {
        let expected = format!("one of {}", roster.bindable_roles().join(", "));
        return Err(ErrorKind::UnknownRole
            .because(format!(
                "Profile {} has no role `{}`; take {expected}.{} Nothing was recorded.",
                roster.profile().name(),
                role.escape_debug(),
                did_you_mean(&role, roster.bindable_roles().iter().map(String::as_str)),
            ))
            .with_field(SchemaError::at("/role", expected)));
    };
    if let Place::Project(project) = place
        && !role.starts_with(access::API_ROLE_PREFIX)
        && !roster.settings().bindings_on_managed
    {
        let project = roster.project(project);
        if let Some(package) = project.package {
            return Err(ErrorKind::ManagedProject
                .because(format!(
                    "Who is in project {} follows from package {package} of source {} and is changed there. Nothing was recorded.",
                    project.name, project.source
                ))
                .of_source(project.source));
        }
    }
    if matches!((starts, ends), (Some(starts), Some(ends)) if ends < starts) {
        let error = SchemaError::at("/ends", "an instant not before `starts`");
        return Err(ErrorKind::InvalidBody.because("The window ends before it starts.").with_field(error));
    }
    // Asked for nobody first: where the role cannot be given, nothing is said of who there is.
    let nobody = body::Principal::User(find::parse_roster_id("-".to_owned())?);
    let empty = Binding {
        principal: nobody,
        role: role.clone(),
        scope: scope.clone(),
        author: author.clone(),
        starts,
        ends,
        made_with: None,
    };
    if let Err(refusal) = roster.check_command(&Body::BindingSet(empty), now)
        && matches!(refusal.kind, RefusalKind::Invalid | RefusalKind::NoRole | RefusalKind::Managed)
    {
        return Err(commands::refused(&refusal, view));
    }
    let principal = match principal {
        Principal::User(name) => {
            let user = find::user(roster, &name).ok().filter(|user| view.knows((*user).into(), place));
            let user = user.ok_or_else(find::no_such_user)?;
            body::Principal::User(find::parse_roster_id(roster.gifted_person(user))?)
        }
        Principal::Service(name) => {
            let service = find::service(roster, &name).ok().filter(|service| view.knows((*service).into(), place));
            let service = service.ok_or_else(find::no_such_service)?;
            body::Principal::Service(find::parse_roster_id(roster.service(service).id.to_owned())?)
        }
        Principal::Group(name) => {
            let known = |group: &GroupIx| {
                let word = roster.group(*group).id;
                let bound =
                    |view: BindingView<'_>| matches!(view.principal, body::Principal::Group(id) if id.as_str() == word);
                view.may_everywhere("group.list") || view.is_in(*group) || roster.bindings_on(place).any(bound)
            };
            let group = find::group(roster, &name, |group| known(&group))?;
            body::Principal::Group(find::parse_roster_id(roster.group(group).id)?)
        }
    };
    let mut binding = Binding { principal, role, scope, author, starts, ends, made_with };
    if let Some(end) = end {
        binding.ends = end_within(roster, &binding, end)?;
    }
    Ok(binding)
}

/// When a binding ends that is given with a secret that ends: with it at the latest. What stands longer is not cut short,
/// unless that is asked for.
fn end_within(roster: &Roster, binding: &Binding, end: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let latest = |ends: Option<DateTime<Utc>>| ends.unwrap_or(DateTime::<Utc>::MAX_UTC);
    let standing = roster.binding_of(&binding.subject()).filter(|one| one.starts <= binding.starts);
    let standing = standing.map(|one| one.ends).filter(|ends| latest(*ends) >= end);
    match (binding.ends, standing) {
        (Some(asked), Some(stands)) if asked <= latest(stands) => Ok(Some(asked)),
        (Some(asked), _) if asked <= end => Ok(Some(asked)),
        (None, Some(stands)) => Ok(stands),
        (None, None) => Ok(Some(end)),
        (Some(_), _) => {
            let end = for_people(end);
            let error = SchemaError::at("/ends", format!("an instant not after {end}, or nothing"));
            let text = format!("The secret that you sign in with ends at {end}, and what it gives ends no later.");
            Err(ErrorKind::InvalidBody.because(format!("{text} Nothing was recorded.")).with_field(error))
        }
    }
}
