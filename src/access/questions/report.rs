//! Reports: who may do something in a project, and by which reasons; what is different at two instants, and what did
//! it. Works on any roster, of now or of the past; knows no position but those in reasons.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    decide::decide,
    profile::{ActionSet, PseudoPrincipal},
    reasons::{Cause, Reason, Rule},
    roster::{
        Roster,
        handles::{Principal, ProfileKind, ProjectIx},
    },
};

/// Who may do something in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WhoMay {
    /// Whether everybody may, with or without a role: `anyone`, or `authenticated` for whoever signed in.
    pub open_to: Option<&'static str>,
    /// Those who may and have a role that lets them, by name and role.
    pub rows: Vec<PermittedRow>,
}

/// Somebody who may, by one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PermittedRow {
    /// The user's id; of a service `service:` and its id.
    pub user: String,
    /// The user's name; of a service `service:` and its id.
    pub name: String,
    /// The role.
    pub role: String,
    /// When the last reason ends by itself.
    pub until: Option<DateTime<Utc>>,
    /// Every reason for the role, by name.
    pub reasons: Vec<Reason>,
}

/// Everybody who holds every one of `actions` in the project at `now`, with the roles that give some of them.
#[must_use]
pub fn who_may(roster: &Roster, project: ProjectIx, actions: ActionSet, now: DateTime<Utc>) -> WhoMay {
    let open = |principal| decide(roster, principal, actions, project, now).is_allowed();
    let open_to = if open(Principal::Anyone) {
        Some("anyone")
    } else {
        roster.open_to_authenticated(project, actions).then_some("authenticated")
    };
    let mut rows = Vec::new();
    for who in roster.candidates(project).into_iter().filter(|who| open(*who)) {
        let (user, name) = roster.caller_names(who);
        let mut roles: BTreeMap<String, Vec<Reason>> = BTreeMap::new();
        let paths = roster.role_paths(who, project.into(), now);
        for path in paths.iter().filter(|path| path.stands() && roster.profile().gives(path.held).intersects(actions)) {
            let reason = roster.reason(path);
            roles.entry(reason.role.clone()).or_default().push(reason);
        }
        for (role, mut reasons) in roles {
            reasons.sort_by(|a, b| (&a.rule, &a.name).cmp(&(&b.rule, &b.name)));
            reasons.dedup_by(|a, b| (&a.rule, &a.name) == (&b.rule, &b.name));
            let open = reasons.iter().any(|reason| reason.until.is_none());
            let until = reasons.iter().filter_map(|reason| reason.until).max().filter(|_| !open);
            rows.push(PermittedRow { user: user.clone(), name: name.clone(), role, until, reasons });
        }
    }
    rows.sort_by(|a, b| (&a.name, &a.user, &a.role).cmp(&(&b.name, &b.user, &b.role)));
    WhoMay { open_to, rows }
}

impl Roster {
    /// Whether whoever signed in may, without any role.
    fn open_to_authenticated(&self, project: ProjectIx, actions: ActionSet) -> bool {
        let place = project.into();
        self.is_open(place)
            && self.resource(ProfileKind::Access, place, Principal::Anyone).is_some_and(|resource| {
                let held = std::iter::empty();
                self.profile.allowed(PseudoPrincipal::Authenticated, held, &resource, self.switches()).contains(actions)
            })
    }
}

/// Something about access that is there at one of two moments and not at the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccessChange {
    /// The project's name.
    pub project: String,
    /// The user's name; of a service `service:` and its id; `anyone` for somebody who did not sign in.
    pub name: String,
    /// The id, as the name.
    pub user: String,
    /// The role, or the action.
    pub what: String,
    /// Whether it appeared; else it disappeared.
    pub appeared: bool,
    /// The events that did it, as far as events did.
    pub because: Vec<Cause>,
    /// The instants at which time did it.
    pub times: Vec<DateTime<Utc>>,
}

/// What is different at two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Roles.
    pub memberships: Vec<AccessChange>,
    /// What can be done, ceilings and visibility counted.
    pub actions: Vec<AccessChange>,
}

/// A roster at a moment.
#[derive(Debug, Clone, Copy)]
pub struct RosterAt<'a> {
    /// It.
    pub roster: &'a Roster,
    /// The instant for which windows are looked at.
    pub at: DateTime<Utc>,
}

impl Difference {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memberships.is_empty() && self.actions.is_empty()
    }

    /// Adds what is different on one project, by its id, for one caller, or for everybody. A project that is not there
    /// gives nobody anything.
    pub fn add(&mut self, before: RosterAt<'_>, after: RosterAt<'_>, project: &str, caller: Option<&str>) {
        let on = |side: RosterAt<'_>| {
            side.roster.project_by_id(project).or_else(|| find_personal_project(side.roster, project))
        };
        let places = (on(before), on(after));
        let ids: BTreeSet<String> = match caller {
            Some(caller) => [caller.to_owned()].into(),
            None => {
                let ids = |side: RosterAt<'_>, place: Option<ProjectIx>| -> Vec<String> {
                    let all = place.map(|project| side.roster.candidates(project)).unwrap_or_default();
                    all.into_iter().map(|who| side.roster.caller_names(who).0).collect()
                };
                let known = ids(before, places.0).into_iter().chain(ids(after, places.1));
                known.chain([String::new()]).collect()
            }
        };
        for id in ids {
            self.add_caller(before, after, places, &id);
        }
        self.memberships.sort();
        self.actions.sort();
    }

    fn add_caller(
        &mut self,
        before: RosterAt<'_>,
        after: RosterAt<'_>,
        places: (Option<ProjectIx>, Option<ProjectIx>),
        id: &str,
    ) {
        let who =
            |side: RosterAt<'_>| if id.is_empty() { Some(Principal::Anyone) } else { side.roster.caller_by_id(id) };
        let (old, new) = (HeldAt::of(before, who(before), places.0), HeldAt::of(after, who(after), places.1));
        let named = if who(after).is_some() { after } else { before };
        let names = who(named).map(|who| named.roster.caller_names(who)).unwrap_or_default();
        let name = if id.is_empty() { "anyone".to_owned() } else { names.1 };
        let user = if id.is_empty() { name.clone() } else { id.to_owned() };
        let (side, place) = if places.1.is_some() { (after, places.1) } else { (before, places.0) };
        let project = place.map(|project| side.roster.project_name(project).to_owned()).unwrap_or_default();
        let change =
            |what: &str, appeared, (because, times): (BTreeSet<Cause>, BTreeSet<DateTime<Utc>>)| AccessChange {
                project: project.clone(),
                name: name.clone(),
                user: user.clone(),
                what: what.to_owned(),
                appeared,
                because: because.into_iter().collect(),
                times: times.into_iter().collect(),
            };
        let mut all = (BTreeSet::new(), BTreeSet::new());
        for role in old.roles.keys().chain(new.roles.keys()).collect::<BTreeSet<_>>() {
            let appeared = match (old.roles.get(role), new.roles.get(role)) {
                (None, Some(_)) => true,
                (Some(_), None) => false,
                _ => continue,
            };
            // What stands in the old path at the new moment is what took it away; and the other way round.
            let (gone, had, there) =
                if appeared { (before, who(before), places.0) } else { (after, who(after), places.1) };
            let names = if appeared { new.roles.get(role) } else { old.roles.get(role) };
            let mut why = obstacles(gone, had, there, names.into_iter().flatten());
            if appeared {
                why.0.clear();
                why.0.extend(names.into_iter().flatten().flat_map(|reason| reason.facts.clone()));
            }
            why.0
                .retain(|cause| cause.position > before.roster.position() && cause.position <= after.roster.position());
            why.1.retain(|at| *at > before.at && *at <= after.at);
            all.0.extend(why.0.iter().cloned());
            all.1.extend(why.1.iter().copied());
            self.memberships.push(change(role, appeared, why));
        }
        for action in old.actions.symmetric_difference(&new.actions) {
            self.actions.push(change(action, new.actions.contains(action), all.clone()));
        }
    }
}

/// What somebody has on a project.
#[derive(Default)]
struct HeldAt {
    roles: BTreeMap<String, Vec<Reason>>,
    actions: BTreeSet<String>,
}

impl HeldAt {
    fn of(side: RosterAt<'_>, who: Option<Principal>, project: Option<ProjectIx>) -> Self {
        let (Some(who), Some(project)) = (who, project) else { return Self::default() };
        let mut held = Self::default();
        for reason in side.roster.reasons(who, project.into(), side.at) {
            held.roles.entry(reason.role.clone()).or_default().push(reason);
        }
        let actions = side.roster.actions_of(who, project, side.at);
        held.actions = side.roster.profile().names(actions).into_iter().map(str::to_owned).collect();
        held
    }
}

/// What stands, at a moment, in the paths of these reasons.
fn obstacles<'a>(
    side: RosterAt<'_>,
    who: Option<Principal>,
    project: Option<ProjectIx>,
    reasons: impl Iterator<Item = &'a Reason>,
) -> (BTreeSet<Cause>, BTreeSet<DateTime<Utc>>) {
    let mut found = (BTreeSet::new(), BTreeSet::new());
    let (Some(who), Some(project)) = (who, project) else { return found };
    let wanted: BTreeSet<(Rule, &str)> = reasons.map(|reason| (reason.rule, reason.name.as_str())).collect();
    for path in side.roster.role_paths(who, project.into(), side.at) {
        if wanted.contains(&(path.rule, path.name.as_str())) {
            for obstacle in path.obstacles {
                found.0.extend(obstacle.cause.filter(|_| obstacle.at.is_none()));
                found.1.extend(obstacle.at);
            }
        }
    }
    found
}

/// A personal project by the id that its view gives it.
fn find_personal_project(roster: &Roster, id: &str) -> Option<ProjectIx> {
    let user = roster.user_by_id(id.strip_prefix("personal/")?)?;
    roster.project_by_name(roster.user_name(user)).filter(|found| *found == ProjectIx::Personal(user))
}
