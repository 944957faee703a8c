//! Who may do something in a project, and by which reasons. Works on any roster, of now or of the past.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    decide::decide,
    effort::{Effort, GivenUp},
    profile::{ActionSet, PseudoPrincipal, RoleIx},
    reasons::{Reason, RolePath},
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
///
/// # Errors
/// It was given up half way.
pub fn who_may(
    roster: &Roster,
    project: ProjectIx,
    actions: ActionSet,
    now: DateTime<Utc>,
    effort: &Effort<'_>,
) -> Result<WhoMay, GivenUp> {
    let open = |principal| decide(roster, principal, actions, project, now).is_allowed();
    let open_to = if open(Principal::Anyone) {
        Some("anyone")
    } else {
        roster.open_to_authenticated(project, actions).then_some("authenticated")
    };
    let mut rows = Vec::new();
    for who in roster.candidates(project) {
        effort.step()?;
        if !open(who) {
            continue;
        }
        let (user, name) = roster.caller_names(who);
        let mut roles: BTreeMap<String, Vec<Reason>> = BTreeMap::new();
        let exempt = roster.exempting_roles(who, project, actions);
        let tells = |path: &&RolePath| {
            path.held
                .is_some_and(|held| roster.profile().gives(held).intersects(actions) || exempt.contains(&held.role))
        };
        let paths = roster.role_paths(who, project.into(), now);
        for path in paths.iter().filter(|path| path.stands()).filter(tells) {
            let reason = roster.reason(path);
            roles.entry(reason.role.clone()).or_default().push(reason);
        }
        // What nobody has without being this very caller: the project is its own, or its role lifts a ceiling.
        if open_to.is_none() {
            let held: BTreeSet<_> = paths.iter().filter(|path| path.stands()).filter_map(|path| path.held).collect();
            let given = held.iter().fold(ActionSet::EMPTY, |set, held| set.union(roster.profile().gives(*held)));
            for path in roster.baseline_paths(who, project.into(), actions.difference(given), now) {
                if path.obstacles.is_empty() {
                    roles.entry(path.reason.role.clone()).or_default().push(path.reason);
                }
            }
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
    Ok(WhoMay { open_to, rows })
}

impl Roster {
    /// The roles that lift, from their holders, a ceiling over one of these actions.
    pub(crate) fn exempting_roles(&self, who: Principal, project: ProjectIx, actions: ActionSet) -> BTreeSet<RoleIx> {
        let Some(resource) = self.resource(ProfileKind::Access, project.into(), who) else { return BTreeSet::new() };
        let acting = self.profile.ceilings_on(&resource, self.switches());
        acting
            .filter(|ceiling| ceiling.mask.intersects(actions))
            .flat_map(|ceiling| ceiling.exempt_roles.clone())
            .collect()
    }

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
