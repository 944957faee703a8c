//! Finding things by what people call them, and what is said where there is none. What a caller does not see and what is
//! not there get the same answer; whether the caller sees a thing is asked by `caller`.

use rollcall_access::{BindingView, FolderIx, GroupIx, Place, Principal, ProjectIx, Roster, ServiceIx, UserIx};
use rollcall_events::{
    Body, Id, body,
    names::{CallerReference, ProjectReference},
};

use crate::{
    binding_id,
    error::{Error, ErrorKind, Result},
    prefix,
};

/// A project by name or by id, as the form says; earlier names count.
pub(crate) fn project(roster: &Roster, text: &str) -> Result<ProjectIx> {
    roster.project_by_reference(ProjectReference::of(text)).ok_or_else(no_such_project)
}

/// A user by name or by id, as the form says.
pub(crate) fn user(roster: &Roster, text: &str) -> Result<UserIx> {
    roster.user_by_reference(CallerReference::of(text)).ok_or_else(no_such_user)
}

/// A folder by id.
pub(crate) fn folder(roster: &Roster, id: &str) -> Result<FolderIx> {
    roster.folder_by_id(id).ok_or_else(no_such_folder)
}

/// A service by id.
pub(crate) fn service(roster: &Roster, id: &str) -> Result<ServiceIx> {
    roster.service_by_id(id).ok_or_else(no_such_service)
}

/// A group by id, `source/group`, or by what people call it: its name, its DN, a path down to it, with or without its source
/// before it. `known`: whether the caller may be told of one.
pub(crate) fn group(roster: &Roster, word: &str, known: impl Fn(GroupIx) -> bool) -> Result<GroupIx> {
    let called = roster.groups_called(word).into_iter().filter(|group| known(*group));
    let named = called.map(|group| (group_text(roster, group), group));
    // An id means one group; whatever else means several is refused with them.
    prefix::the_one("", named, no_such_group).map_err(|error| match error.kind {
        ErrorKind::Ambiguous => {
            let all = roster.groups_called(word).into_iter().filter(|group| known(*group));
            let all: Vec<String> = all.map(|group| group_text(roster, group)).collect();
            prefix::ambiguous(word, all.iter().map(String::as_str))
        }
        _ => error,
    })
}

/// What people call a group of an id.
pub(crate) fn group_name(roster: &Roster, id: &str) -> Option<String> {
    roster.group(roster.group_by_id(id)?).name.map(str::to_owned)
}

/// A group by its id with its name, and its DN where that says more: what people tell several apart by.
fn group_text(roster: &Roster, group: GroupIx) -> String {
    let view = roster.group(group);
    let names: Vec<String> =
        [view.name, view.external_id].into_iter().flatten().map(|name| name.escape_debug().to_string()).collect();
    if names.is_empty() { view.id } else { format!("{} ({})", view.id, names.join(", ")) }
}

/// A user by name or id, or a service as `service:id`.
pub(crate) fn principal(roster: &Roster, text: &str) -> Result<Principal> {
    roster.caller_by_reference(CallerReference::of(text)).ok_or_else(no_such_user)
}

/// The bindings that are meant by an id: that of a whole one, those whose short id begins so.
pub(crate) fn bindings<'a>(roster: &'a Roster, id: &str) -> Vec<BindingView<'a>> {
    match (binding(roster, id), binding_id::digits(id)) {
        (Some(binding), _) => vec![binding],
        (None, Some(digits)) => roster.bindings_by_digest(&digits).collect(),
        (None, None) => Vec::new(),
    }
}

/// The binding of a whole id.
pub(crate) fn binding<'a>(roster: &'a Roster, id: &str) -> Option<BindingView<'a>> {
    let binding = binding_id::parse(id)?;
    let subject = Body::BindingRemoved(binding.clone()).subject();
    let place = match &binding.scope {
        body::Scope::Root => Place::Root,
        body::Scope::Folder(id) => Place::Folder(roster.folder_by_id(id.as_str())?),
        body::Scope::Project(id) => Place::Project(roster.project_by_id(id.as_str())?),
    };
    roster.bindings_on(place).find(|view| view.subject == subject)
}

/// What a user is called by its id.
pub(crate) fn user_id(roster: &Roster, name: &str) -> Option<String> {
    user(roster, name).ok().map(|user| roster.caller_names(Principal::User(user)).0)
}

/// What a project is called by its id.
pub(crate) fn project_id(roster: &Roster, name: &str) -> Option<String> {
    project(roster, name).ok().map(|project| roster.project(project).id)
}

/// An id that the roster holds, as events name it.
pub(crate) fn parse_roster_id(text: String) -> Result<Id> {
    text.parse().map_err(|_| ErrorKind::Internal.because("The roster holds an id that is none. Report this."))
}

/// What else is said where there is nothing of an id that we make: that one of its letters only looks like one.
pub(crate) fn only_looks_like(id: &str) -> String {
    id.chars().find(|c| !c.is_ascii()).map_or_else(String::new, |c| {
        format!(
            " An id has only letters of ASCII and digits, and this one has `{}`, U+{:04X}: copy it anew.",
            c.escape_debug(),
            u32::from(c)
        )
    })
}

pub(crate) fn no_such_project() -> Error {
    ErrorKind::UnknownProject.because(
        "No project that you can see has or had this name. `rollcall projects list` shows those that you can see.",
    )
}

pub(crate) fn no_such_user() -> Error {
    ErrorKind::UnknownUser.because(
        "No user that you can see has this name or id now. `rollcall users list` shows those that you can see.",
    )
}

pub(crate) fn no_such_folder() -> Error {
    ErrorKind::UnknownFolder
        .because("No folder that you can see has this id. `rollcall folders list` shows those that you can see.")
}

pub(crate) fn no_such_service() -> Error {
    ErrorKind::UnknownService
        .because("No service that you can see has this id. `rollcall services list` shows those that you can see.")
}

pub(crate) fn no_such_group() -> Error {
    ErrorKind::UnknownGroup
        .because(
        "No group that you can see has this id (`source/group`), name, DN or path. `rollcall groups list` shows those that you can see.",
    )
}

pub(crate) fn no_such_binding() -> Error {
    ErrorKind::UnknownBinding
        .because("No binding that you can see has this id. `rollcall bindings list` shows those that you can see.")
}
