//! Reports: who may do something in a project, and by which reasons; what is different at two instants, and what did it.
//! Works on any roster, of now or of the past; knows no position but those in reasons.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    Principal,
    place::{ProjectIx, Rights},
    profile::{ActionSet, Pseudo},
    reasons::Reason,
    roster::Roster,
};

/// Who may do something in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Who {
    /// Whether everybody may, with or without a role: `anyone`, or `authenticated` for whoever signed in.
    pub open_to: Option<&'static str>,
    /// Those who may and have a role that lets them, by name and role.
    pub rows: Vec<MayRow>,
}

/// Somebody who may, by one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MayRow {
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
pub fn who(roster: &Roster, project: ProjectIx, actions: ActionSet, now: DateTime<Utc>) -> Who {
    let open = |principal| crate::decide(roster, principal, actions, project, now).is_allowed();
    let open_to = if open(Principal::Anyone) {
        Some("anyone")
    } else {
        roster.open_to_authenticated(project, actions).then_some("authenticated")
    };
    let mut rows = Vec::new();
    for who in roster.candidates(project).into_iter().filter(|who| open(*who)) {
        let (user, name) = roster.caller_names(who);
        let mut roles: BTreeMap<String, Vec<Reason>> = BTreeMap::new();
        let ways = roster.ways(who, project.into(), now);
        for way in ways.iter().filter(|way| way.stands() && roster.profile().gives(way.held).meets(actions)) {
            let reason = roster.reason(way);
            roles.entry(reason.role.clone()).or_default().push(reason);
        }
        for (role, mut reasons) in roles {
            reasons.sort_by(|a, b| (a.rule, &a.name).cmp(&(b.rule, &b.name)));
            reasons.dedup_by(|a, b| (a.rule, &a.name) == (b.rule, &b.name));
            let open = reasons.iter().any(|reason| reason.until.is_none());
            let until = reasons.iter().filter_map(|reason| reason.until).max().filter(|_| !open);
            rows.push(MayRow { user: user.clone(), name: name.clone(), role, until, reasons });
        }
    }
    rows.sort_by(|a, b| (&a.name, &a.user, &a.role).cmp(&(&b.name, &b.user, &b.role)));
    Who { open_to, rows }
}

impl Roster {
    /// Whether whoever signed in may, without any role.
    fn open_to_authenticated(&self, project: ProjectIx, actions: ActionSet) -> bool {
        let place = project.into();
        self.open(place)
            && self.resource(Rights::Access, place, Principal::Anyone).is_some_and(|resource| {
                let held = std::iter::empty();
                self.profile.allowed(Pseudo::Authenticated, held, &resource, self.switches()).holds(actions)
            })
    }
}
