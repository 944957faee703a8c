//! Why: the reasons of a yes, the near misses of a no with the event that ended each, and what would make it a yes.

use chrono::{DateTime, Utc};
use rollcall_events::Position;
use serde::Serialize;

use crate::{
    decide::{Principal, decide},
    place::{Place, ProjectIx, Rights},
    profile::ActionSet,
    reasons::{Obstacle, Reason, Standing, Way},
    roster::Roster,
};

/// An answer with its grounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Yes or no.
    pub allowed: bool,
    /// The position as of which it is answered.
    pub position: Position,
    /// The instant for which it is answered.
    pub at: DateTime<Utc>,
    /// When the yes ends by itself.
    pub until: Option<DateTime<Utc>>,
    /// What was asked for, in actions of the profile.
    pub needs: Vec<String>,
    /// The roles that would do, by themselves.
    pub roles: Vec<String>,
    /// Every live reason for a role here, those that do not suffice included.
    pub reasons: Vec<Reason>,
    /// Ways to a sufficient role that do not stand, the nearest first.
    pub near_misses: Vec<NearMiss>,
    /// Each line alone would make it a yes.
    pub would_allow: Vec<String>,
}

/// A way to a role that does not stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NearMiss {
    /// The role, the rule and the facts of it, as if it stood.
    #[serde(flatten)]
    pub reason: Reason,
    /// Everything that stands in the way.
    pub obstacles: Vec<Obstacle>,
}

/// How many near misses are told.
const MOST_NEAR_MISSES: usize = 10;

/// Decides and says why. For a caller who did not sign in, or of whom nothing is known, there are no near misses.
#[must_use]
pub fn explain(
    roster: &Roster,
    principal: Principal,
    actions: ActionSet,
    place: impl Into<Place>,
    now: DateTime<Utc>,
) -> Explanation {
    let place = place.into();
    let verdict = decide(roster, principal, actions, place, now);
    let until = match verdict {
        crate::Verdict::Allowed { until } => until,
        crate::Verdict::Denied => None,
    };
    let profile = roster.profile();
    let ways = roster.ways(principal, place, now);
    let level = roster.resource(Rights::Access, place, principal).map_or(0, |resource| resource.level);
    let suffices = |way: &Way| profile.gives(way.held).meets(actions);
    let mut missed: Vec<&Way> = ways.iter().filter(|way| !way.stands() && suffices(way)).collect();
    // Few obstacles first; then those that were otherwise once; then the newest.
    missed.sort_by_key(|way| {
        let never = way.obstacles.iter().filter(|o| o.standing == Standing::Never).count();
        let newest = way.obstacles.iter().filter_map(|o| o.cause.as_ref()).map(|cause| cause.position).max();
        (way.obstacles.len(), never, std::cmp::Reverse(newest), way.name.clone())
    });
    let near_misses: Vec<NearMiss> = missed
        .iter()
        .take(MOST_NEAR_MISSES)
        .map(|way| NearMiss { reason: roster.reason(way), obstacles: way.obstacles.clone() })
        .collect();
    let mut would_allow: Vec<String> = Vec::new();
    if !verdict.is_allowed() {
        let held =
            ways.iter().filter(|way| way.stands()).fold(ActionSet::EMPTY, |set, way| set.with(profile.gives(way.held)));
        for way in &missed {
            if profile.gives(way.held).with(held).holds(actions) {
                let remedies: Vec<&str> = way.obstacles.iter().map(|o| o.remedy.as_str()).collect();
                let line = format!("{}, for {}", remedies.join(", and "), way.text);
                if !would_allow.contains(&line) && would_allow.len() < MOST_NEAR_MISSES {
                    would_allow.push(line);
                }
            }
        }
    }
    let mut reasons: Vec<Reason> = ways.iter().filter(|way| way.stands()).map(|way| roster.reason(way)).collect();
    reasons.sort_by(|a, b| (&a.role, a.rule, &a.name).cmp(&(&b.role, b.rule, &b.name)));
    reasons.dedup();
    Explanation {
        allowed: verdict.is_allowed(),
        position: roster.position(),
        at: now,
        until,
        needs: profile.names(actions).into_iter().map(str::to_owned).collect(),
        roles: profile
            .roles()
            .filter(|role| profile.grantable(*role, level) && profile.role_actions(*role).holds(actions))
            .map(|role| profile.role_name(role).to_owned())
            .collect(),
        reasons,
        near_misses,
        would_allow,
    }
}

/// Whether the caller has, or had, or will have by the passing of time, a role on the project. Only then may a refusal
/// say anything about it (DESIGN 9; access-models decision 15).
#[must_use]
pub fn had_tie(roster: &Roster, caller: impl Into<Principal>, project: ProjectIx, now: DateTime<Utc>) -> bool {
    roster
        .ways(caller.into(), project.into(), now)
        .iter()
        .any(|way| way.obstacles.iter().all(|o| o.standing != Standing::Never))
}

impl Roster {
    /// Everything that a caller may do on a scope now, in actions of the profile.
    #[must_use]
    pub fn actions_of(&self, principal: Principal, place: impl Into<Place>, now: DateTime<Utc>) -> ActionSet {
        let place = place.into();
        let (Some(caller), true) = (self.admitted(principal), self.open(place)) else { return ActionSet::EMPTY };
        let Some(resource) = self.resource(Rights::Access, place, principal) else { return ActionSet::EMPTY };
        let now = now.timestamp_micros();
        let held: Vec<_> = self.live_roles(Rights::Access, principal, place, now).map(|live| live.held).collect();
        self.profile.allowed(caller, held.iter().copied(), &resource, self.switches())
    }
}
