//! What if: commands tried on a copy of the roster, and what they would change, membership for membership and action for
//! action. The copy is folded by the very function that folds the log, so what is shown is what would be.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Position, SourceName,
    body::{self, Group, GroupRef, Member, Scope, Service, ServiceRef},
};
use serde::Serialize;

use crate::{
    Effect, Principal,
    facts::Holder,
    place::{FolderIx, Place, ProfileKind, ProjectIx},
    profile::{ActionSet, Pseudo},
    roster::Roster,
};

/// What a series of commands would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The position of the roster that they were tried on.
    pub position: Position,
    /// What each command would do by itself, in their order.
    pub effects: Vec<Effect>,
    /// Roles that appear and disappear, by scope, user and role.
    pub memberships: Vec<MembershipChange>,
    /// Actions that appear and disappear, ceilings and visibility counted, by scope and user.
    pub actions: Vec<ActionChange>,
}

/// A scope by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NamedScope {
    /// Above everything.
    Root,
    /// A folder, by id.
    Folder(String),
    /// A project, by name.
    Project(String),
}

/// A role that somebody would have, or have no more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MembershipChange {
    /// Where.
    pub scope: NamedScope,
    /// Whose: a user's name, or `service:` and an id.
    pub name: String,
    /// The id.
    pub user: String,
    /// Which role.
    pub role: String,
    /// Whether it appears; else it disappears.
    pub appears: bool,
}

/// What somebody could do, or no more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ActionChange {
    /// Where.
    pub scope: NamedScope,
    /// Whose: a user's name, `service:` and an id, `anyone`, or `authenticated` for every signed-in caller.
    pub name: String,
    /// Actions of the access profile that appear.
    pub appear: Vec<String>,
    /// Actions of the access profile that disappear.
    pub disappear: Vec<String>,
}

/// Whom changes may concern, by place.
type Touched = BTreeMap<Place, BTreeSet<Principal>>;

/// Tries commands on a copy of the roster, all judged at `now`. Changes nothing. Costs a copy of the roster, and for
/// settings and profiles a look at every membership.
#[must_use]
pub fn preview(roster: &Roster, commands: &[Body], now: DateTime<Utc>) -> Preview {
    let mut after = roster.clone();
    let mut touched = Touched::new();
    let mut effects = Vec::with_capacity(commands.len());
    for command in commands {
        after.touch(command, &mut touched);
        effects.push(after.pretend(&SourceName::local(), command, now));
        // Once more: what is touched may only be found now.
        after.touch(command, &mut touched);
    }
    let (mut memberships, mut actions) = (Vec::new(), Vec::new());
    for (place, callers) in &touched {
        let scope = after.named_scope(*place);
        actions.extend(crowd(roster, &after, *place, &scope));
        for caller in callers {
            let (had, has) = (roster.roles_at(*caller, *place, now), after.roles_at(*caller, *place, now));
            if had.is_empty() && has.is_empty() {
                continue;
            }
            let (user, name) = after.caller_names(*caller);
            let mut row = |role: &String, appears| {
                let (scope, name, user) = (scope.clone(), name.clone(), user.clone());
                memberships.push(MembershipChange { scope, name, user, role: role.clone(), appears });
            };
            had.difference(&has).for_each(|role| row(role, false));
            has.difference(&had).for_each(|role| row(role, true));
            let (could, can) = (roster.actions_at(*caller, *place, now), after.actions_at(*caller, *place, now));
            actions.extend(change(scope.clone(), name, &could, &can));
        }
    }
    memberships.sort();
    actions.sort();
    Preview { position: roster.position(), effects, memberships, actions }
}

/// What everybody can do without any role.
fn crowd(before: &Roster, after: &Roster, place: Place, scope: &NamedScope) -> impl Iterator<Item = ActionChange> {
    let base = move |roster: &Roster, caller| names(roster, roster.baseline_at(caller, place));
    [("anyone", Pseudo::Anyone), ("authenticated", Pseudo::Authenticated)].into_iter().filter_map(
        move |(name, caller)| change(scope.clone(), name.to_owned(), &base(before, caller), &base(after, caller)),
    )
}

fn names(roster: &Roster, set: ActionSet) -> BTreeSet<String> {
    roster.profile().names(set).into_iter().map(str::to_owned).collect()
}

fn change(scope: NamedScope, name: String, could: &BTreeSet<String>, can: &BTreeSet<String>) -> Option<ActionChange> {
    let appear: Vec<String> = can.difference(could).cloned().collect();
    let disappear: Vec<String> = could.difference(can).cloned().collect();
    (!appear.is_empty() || !disappear.is_empty()).then_some(ActionChange { scope, name, appear, disappear })
}

impl Roster {
    /// A scope by its name.
    #[must_use]
    pub fn named_scope(&self, place: Place) -> NamedScope {
        match place {
            Place::Root => NamedScope::Root,
            Place::Folder(folder) => NamedScope::Folder(self.folder(folder).id.to_owned()),
            Place::Project(project) => NamedScope::Project(self.project_name(project).to_owned()),
        }
    }

    fn baseline_at(&self, caller: Pseudo, place: Place) -> ActionSet {
        if !self.open(place) {
            return ActionSet::EMPTY;
        }
        let Some(resource) = self.resource(ProfileKind::Access, place, Principal::Anyone) else {
            return ActionSet::EMPTY;
        };
        self.profile.allowed(caller, std::iter::empty(), &resource, self.switches())
    }

    pub(crate) fn is_there(&self, caller: Principal) -> bool {
        !matches!(caller, Principal::User(user) if !self.is_user(user))
    }

    fn actions_at(&self, caller: Principal, place: Place, now: DateTime<Utc>) -> BTreeSet<String> {
        if self.is_there(caller) { names(self, self.actions_of(caller, place, now)) } else { BTreeSet::new() }
    }

    /// The roles that a caller holds on a scope now.
    fn roles_at(&self, caller: Principal, place: Place, now: DateTime<Utc>) -> BTreeSet<String> {
        if !self.open(place) || self.admitted(caller).is_none() || !self.is_there(caller) {
            return BTreeSet::new();
        }
        self.live_roles(ProfileKind::Access, caller, place, now.timestamp_micros())
            .map(|live| self.profile.role_name(live.held.role).to_owned())
            .collect()
    }

    /// Whom a command may concern and where: a superset, asked before and after it.
    fn touch(&self, command: &Body, touched: &mut Touched) {
        match command {
            Body::BindingSet(data) => self.touch_holder(&data.principal, Some(&data.scope), touched),
            Body::BindingRemoved(data) => self.touch_holder(&data.principal, Some(&data.scope), touched),
            // What was removed comes back with the roles that it had.
            Body::GroupUpserted(Group { group, .. }) | Body::GroupRemoved(GroupRef { group, .. }) => {
                self.touch_group(&format!("{}/{group}", rollcall_events::LOCAL), touched);
            }
            Body::GroupMemberAdded(data) | Body::GroupMemberRemoved(data) => {
                let local = match &data.member {
                    Member::Person(id) => body::Principal::User(id.clone()),
                    Member::Service(id) => body::Principal::Service(id.clone()),
                    Member::Group(id) => body::Principal::Group(id.clone()),
                };
                self.touch_holder(&local, None, touched);
            }
            Body::ServiceCreated(Service { service, .. }) | Body::ServiceRemoved(ServiceRef { service, .. }) => {
                self.touch_holder(&body::Principal::Service(service.clone()), None, touched);
            }
            Body::ProjectCreated(data) | Body::ProjectUpdated(data) => {
                self.touch_project(data.project.as_str(), touched)
            }
            Body::ProjectDeleted(data) => self.touch_project(data.project.as_str(), touched),
            Body::FolderUpserted(data) => self.touch_folder(data.folder.as_str(), touched),
            Body::FolderRemoved(data) => self.touch_folder(data.folder.as_str(), touched),
            Body::SettingsSet(_)
            | Body::ProfileSet(_)
            | Body::SourceRetired(_)
            | Body::IdentityLinked(_)
            | Body::IdentityUnlinked(_) => self.touch_everything(touched),
            // The rest signs somebody in, or is a source's: neither is a command that changes what anybody may do.
            _ => {}
        }
    }

    fn touch_all(&self, place: Place, touched: &mut Touched) {
        let here: BTreeSet<Principal> = match place {
            Place::Project(project) => self.candidates(project),
            Place::Root | Place::Folder(_) => self.holders_over(place),
        };
        touched.entry(place).or_default().extend(here);
    }

    fn touch_project(&self, id: &str, touched: &mut Touched) {
        if let Some(project) = self.project_by_id(&format!("{}/{id}", rollcall_events::LOCAL)) {
            self.touch_all(Place::Project(project), touched);
        }
    }

    fn touch_folder(&self, id: &str, touched: &mut Touched) {
        if let Some(folder) = self.folder_by_id(id) {
            for place in self.places_below(Place::Folder(folder)) {
                self.touch_all(place, touched);
            }
        }
    }

    fn touch_everything(&self, touched: &mut Touched) {
        for place in self.places_below(Place::Root) {
            self.touch_all(place, touched);
        }
    }

    fn touch_group(&self, id: &str, touched: &mut Touched) {
        if let Ok(id) = id.parse() {
            self.touch_holder(&body::Principal::Group(id), None, touched);
        }
    }

    /// Everybody whom a binding of this principal reaches; on one scope and below it, or wherever it has any.
    fn touch_holder(&self, word: &body::Principal, scope: Option<&Scope>, touched: &mut Touched) {
        let holder = match word {
            body::Principal::User(id) => self.person_of(id.as_str()).map(Holder::Person),
            body::Principal::Service(id) => self.service_by_id(id.as_str()).map(|ix| Holder::Service(ix.0)),
            body::Principal::Group(id) => self.group_row_of(id.as_str()).map(Holder::Group),
        };
        let Some(holder) = holder else { return };
        let callers: Vec<Principal> = match holder {
            Holder::Group(group) => self.inside(group, |_| false),
            Holder::Person(_) | Holder::Service(_) => self.find_principal(word).into_iter().collect(),
        };
        let mut places = BTreeSet::new();
        match scope.map(|scope| self.place_of(scope)) {
            Some(Ok(place)) => places.extend(self.places_below(place)),
            Some(Err(_)) => {}
            None => {
                for caller in &callers {
                    self.each_holder(*caller, |holder| {
                        for ix in self.index.holder_bindings.get(&holder).into_iter().flatten() {
                            if let Some(row) = self.facts.bindings.get(*ix).and_then(Option::as_ref) {
                                places.insert(self.place_on(row.on));
                            }
                        }
                    });
                }
                let given = std::mem::take(&mut places);
                given.into_iter().for_each(|place| places.extend(self.places_below(place)));
            }
        }
        for place in places {
            touched.entry(place).or_default().extend(callers.iter().copied());
        }
    }

    /// The personal projects that there are.
    fn personal_projects(&self) -> impl Iterator<Item = ProjectIx> {
        let any = self.profile.document().rules.personal_project.is_some();
        let users = self.users().filter(move |_| any).map(ProjectIx::Personal);
        users.filter(|project| !self.archived(*project))
    }

    /// A place and every scope below it.
    fn places_below(&self, place: Place) -> Vec<Place> {
        match place {
            Place::Project(_) => vec![place],
            Place::Root => std::iter::once(Place::Root)
                .chain(self.folders().map(Place::Folder))
                .chain(self.projects().map(Place::Project))
                .chain(self.personal_projects().map(Place::Project))
                .collect(),
            Place::Folder(folder) => {
                let (mut found, mut queue) = (Vec::new(), vec![folder]);
                while let Some(next) = queue.pop() {
                    found.push(Place::Folder(next));
                    let inner = self.index.folder_children.get(&next.0).into_iter().flatten();
                    queue.extend(inner.copied().map(FolderIx).filter(|inner| {
                        self.folder_row(*inner).is_some_and(|row| row.register.stands() && row.parent == next.0)
                    }));
                }
                found.extend(self.projects_in(folder).map(Place::Project));
                found
            }
        }
    }
}

#[cfg(test)]
#[path = "preview_tests.rs"]
mod tests;
