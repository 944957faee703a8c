//! What if: commands tried on a copy of the roster, and what they would change, membership for membership and action
//! for action. The copy is folded by the very function that folds the log, so what is shown is what would be.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_events::{Body, Position, SourceName};
use serde::{Deserialize, Serialize};

use crate::{
    effort::{Effort, GivenUp},
    fold::change::Effect,
    profile::{ActionSet, PseudoPrincipal},
    roster::{
        Roster,
        handles::{Place, Principal, ProfileKind},
    },
    what_if::affected::Affected,
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// Tries commands on a copy of the roster, all as of `now`. Changes nothing. Costs a copy of the roster, and for
/// settings and profiles a look at every membership.
///
/// # Errors
/// It was given up half way.
pub fn preview(
    roster: &Roster,
    commands: &[Body],
    now: DateTime<Utc>,
    effort: &Effort<'_>,
) -> Result<Preview, GivenUp> {
    let mut after = roster.clone();
    let mut affected = Affected::default();
    let mut effects = Vec::with_capacity(commands.len());
    for command in commands {
        effort.step()?;
        affected.add_command(&after, command);
        effects.push(after.fold_unrecorded(&SourceName::local(), command, now));
        // Once more: whom it concerns may only be found now.
        affected.add_command(&after, command);
    }
    let (mut memberships, mut actions) = (Vec::new(), Vec::new());
    for (place, callers) in affected.scopes() {
        let scope = after.named_scope(place);
        actions.extend(baseline_changes(roster, &after, place, &scope));
        for caller in callers {
            effort.step()?;
            let (had, has) = (roster.roles_at(*caller, place, now), after.roles_at(*caller, place, now));
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
            let (could, can) = (roster.actions_at(*caller, place, now), after.actions_at(*caller, place, now));
            actions.extend(action_change(scope.clone(), name, &could, &can));
        }
    }
    memberships.sort();
    actions.sort();
    Ok(Preview { position: roster.position(), effects, memberships, actions })
}

/// What everybody can do without any role.
fn baseline_changes(
    before: &Roster,
    after: &Roster,
    place: Place,
    scope: &NamedScope,
) -> impl Iterator<Item = ActionChange> {
    let base = move |roster: &Roster, caller| action_names(roster, roster.baseline_at(caller, place));
    [("anyone", PseudoPrincipal::Anyone), ("authenticated", PseudoPrincipal::Authenticated)].into_iter().filter_map(
        move |(name, caller)| {
            action_change(scope.clone(), name.to_owned(), &base(before, caller), &base(after, caller))
        },
    )
}

fn action_names(roster: &Roster, set: ActionSet) -> BTreeSet<String> {
    roster.profile().names(set).into_iter().map(str::to_owned).collect()
}

fn action_change(
    scope: NamedScope,
    name: String,
    could: &BTreeSet<String>,
    can: &BTreeSet<String>,
) -> Option<ActionChange> {
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

    pub(crate) fn baseline_at(&self, caller: PseudoPrincipal, place: Place) -> ActionSet {
        if !self.is_open(place) {
            return ActionSet::EMPTY;
        }
        let Some(resource) = self.resource(ProfileKind::Access, place, Principal::Anyone) else {
            return ActionSet::EMPTY;
        };
        self.profile.allowed(caller, std::iter::empty(), &resource, self.switches())
    }

    fn actions_at(&self, caller: Principal, place: Place, now: DateTime<Utc>) -> BTreeSet<String> {
        if self.is_there(caller) { action_names(self, self.actions_of(caller, place, now)) } else { BTreeSet::new() }
    }

    /// The roles that a caller holds on a scope now.
    pub(crate) fn roles_at(&self, caller: Principal, place: Place, now: DateTime<Utc>) -> BTreeSet<String> {
        if !self.is_open(place) || self.admitted(caller, now.timestamp_micros()).is_none() || !self.is_there(caller) {
            return BTreeSet::new();
        }
        self.live_roles(ProfileKind::Access, caller, place, now.timestamp_micros())
            .map(|live| self.profile.role_name(live.held.role).to_owned())
            .collect()
    }
}

#[cfg(test)]
#[path = "preview_tests.rs"]
mod tests;
