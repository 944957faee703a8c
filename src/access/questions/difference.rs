//! What is different at two moments, and what did it: the event at whose position an answer changed, or the instant.
//! Found by asking again in between, so that whatever changes an answer is named, of whatever kind it is.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_events::Recorded;
use serde::{Deserialize, Serialize};

use crate::{
    reasons::Cause,
    roster::{
        Roster,
        handles::{Principal, ProjectIx},
    },
};

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
    /// The event that did it, where an event did.
    pub because: Vec<Cause>,
    /// The instant at which time did it, where time did.
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

/// Two moments, and every event between them that the question depends on, in the order of the log.
#[derive(Debug, Clone, Copy)]
pub struct Between<'a> {
    /// The earlier moment.
    pub before: RosterAt<'a>,
    /// The later one.
    pub after: RosterAt<'a>,
    /// What makes the later roster of the earlier one.
    pub events: &'a [Recorded],
}

impl Difference {
    /// What is different on these projects, by their ids, for one caller, or for everybody. A project that is not there
    /// gives nobody anything.
    #[must_use]
    pub fn of(between: &Between<'_>, projects: &BTreeSet<String>, caller: Option<&str>) -> Self {
        let pairs: Vec<Pair> = projects.iter().flat_map(|project| between.pairs(project, caller)).collect();
        let mut found = Self::default();
        let mut search = Search { between, found: &mut found };
        let lo = Point { roster: between.before.roster.clone(), ix: 0 };
        search.narrow(lo, between.events.len() + 1, pairs);
        found.memberships.sort();
        found.actions.sort();
        found
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memberships.is_empty() && self.actions.is_empty()
    }
}

/// A role or an action.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Role(String),
    Action(String),
}

/// A caller on a project, by their ids, and what is different for the two. No caller: somebody who did not sign in.
struct Pair {
    project: String,
    caller: Option<String>,
    /// What it has at the later moment, or has not.
    changes: Vec<(What, bool)>,
}

impl Pair {
    fn held(&self, side: RosterAt<'_>) -> BTreeSet<What> {
        let place = project_by_id(side.roster, &self.project);
        let who = self.principal(side.roster);
        let (Some(place), Some(who)) = (place, who) else { return BTreeSet::new() };
        let reasons = side.roster.reasons(who, place.into(), side.at).into_iter();
        let actions = side.roster.actions_of(who, place, side.at);
        let actions = side.roster.profile().names(actions).into_iter();
        reasons.map(|reason| What::Role(reason.role)).chain(actions.map(|name| What::Action(name.to_owned()))).collect()
    }

    fn principal(&self, roster: &Roster) -> Option<Principal> {
        match &self.caller {
            None => Some(Principal::Anyone),
            Some(id) => roster.caller_by_id(id),
        }
    }
}

impl Between<'_> {
    fn pairs(&self, project: &str, caller: Option<&str>) -> Vec<Pair> {
        let ids: BTreeSet<Option<String>> = match caller {
            Some(caller) => [Some(caller.to_owned())].into(),
            None => {
                let known = [self.before, self.after].into_iter().flat_map(|side| {
                    let place = project_by_id(side.roster, project);
                    let all = place.map(|project| side.roster.candidates(project)).unwrap_or_default();
                    all.into_iter().map(|who| Some(side.roster.caller_names(who).0)).collect::<Vec<_>>()
                });
                known.chain([None]).collect()
            }
        };
        let mut found = Vec::new();
        for caller in ids {
            let mut pair = Pair { project: project.to_owned(), caller, changes: Vec::new() };
            let (old, new) = (pair.held(self.before), pair.held(self.after));
            pair.changes = old.symmetric_difference(&new).map(|what| (what.clone(), new.contains(what))).collect();
            if !pair.changes.is_empty() {
                found.push(pair);
            }
        }
        found
    }

    /// The instant of a point: of the first the earlier moment, of the last the later one, of others their event's.
    fn instant(&self, ix: usize) -> DateTime<Utc> {
        let recorded = ix.checked_sub(1).and_then(|ix| self.events.get(ix)).map(|event| event.recorded_at);
        let open = if ix == 0 { self.before.at } else { self.after.at };
        recorded.map_or(open, |at| at.clamp(self.before.at, self.after.at))
    }
}

/// A place between the two moments: so many events are in.
struct Point {
    roster: Roster,
    ix: usize,
}

/// The search for what made the changes: between two neighbouring points there is one event, and the time up to it.
struct Search<'a, 'b> {
    between: &'a Between<'a>,
    found: &'b mut Difference,
}

impl Search<'_, '_> {
    /// Halves until two points are neighbours. At `lo` every change is still to come, at `hi` it is there.
    fn narrow(&mut self, lo: Point, hi: usize, pairs: Vec<Pair>) {
        if pairs.is_empty() {
            return;
        }
        if hi - lo.ix <= 1 {
            return self.name(&lo, hi, &pairs);
        }
        let ix = lo.ix + (hi - lo.ix) / 2;
        let mut middle = Point { roster: lo.roster.clone(), ix };
        for event in self.between.events.get(lo.ix..ix).unwrap_or_default() {
            drop(middle.roster.apply(event));
        }
        let side = RosterAt { roster: &middle.roster, at: self.between.instant(ix) };
        let (sooner, later) = split(pairs, side);
        self.narrow(lo, ix, sooner);
        self.narrow(middle, hi, later);
    }

    /// Names the event after a point, or the instant on the way to it.
    fn name(&mut self, lo: &Point, hi: usize, pairs: &[Pair]) {
        let (from, to) = (self.between.instant(lo.ix), self.between.instant(hi));
        let event = self.between.events.get(lo.ix);
        let by_event = event.map(|event| Cause {
            position: event.position,
            source: event.event.key.source.to_string(),
            subject: event.event.subject.to_string(),
        });
        for pair in pairs {
            let at = RosterAt { roster: &lo.roster, at: to };
            let passed = pair.held(at);
            for (what, there) in &pair.changes {
                let by_time = event.is_none() || passed.contains(what) == *there;
                let times = if by_time { vec![pair.turn(&lo.roster, from, to, what, *there)] } else { Vec::new() };
                let because = by_event.iter().filter(|_| !by_time).cloned().collect();
                let change = self.between.change(pair, what, *there, because, times);
                match what {
                    What::Role(_) => self.found.memberships.push(change),
                    What::Action(_) => self.found.actions.push(change),
                }
            }
        }
    }
}

/// Those changes that are there at a point, and those that are not.
fn split(pairs: Vec<Pair>, side: RosterAt<'_>) -> (Vec<Pair>, Vec<Pair>) {
    let (mut there, mut not_yet) = (Vec::new(), Vec::new());
    for pair in pairs {
        let held = pair.held(side);
        let (sooner, later): (Vec<_>, Vec<_>) =
            pair.changes.iter().cloned().partition(|(what, there)| held.contains(what) == *there);
        for (changes, into) in [(sooner, &mut there), (later, &mut not_yet)] {
            if !changes.is_empty() {
                into.push(Pair { project: pair.project.clone(), caller: pair.caller.clone(), changes });
            }
        }
    }
    (there, not_yet)
}

impl Pair {
    /// The first instant after `from` and up to `to` at which a change is there, on a roster that stays as it is.
    fn turn(&self, roster: &Roster, from: DateTime<Utc>, to: DateTime<Utc>, what: &What, there: bool) -> DateTime<Utc> {
        let mut instants = BTreeSet::from([to]);
        if let (Some(place), Some(who)) = (project_by_id(roster, &self.project), self.principal(roster)) {
            for path in roster.role_paths(who, place.into(), from) {
                instants.extend(roster.reason(&path).until);
                instants.extend(path.obstacles.iter().filter_map(|obstacle| obstacle.at));
            }
        }
        let turned = |at: &&DateTime<Utc>| {
            from < **at && **at <= to && self.held(RosterAt { roster, at: **at }).contains(what) == there
        };
        instants.iter().find(turned).copied().unwrap_or(to)
    }
}

impl Between<'_> {
    fn change(
        &self,
        pair: &Pair,
        what: &What,
        appeared: bool,
        because: Vec<Cause>,
        times: Vec<DateTime<Utc>>,
    ) -> AccessChange {
        let (before, after) = (self.before.roster, self.after.roster);
        let side = if project_by_id(after, &pair.project).is_some() { after } else { before };
        let project = project_by_id(side, &pair.project).map(|project| side.project_name(project).to_owned());
        let side = if pair.principal(after).is_some() { after } else { before };
        let names = pair.principal(side).map(|who| side.caller_names(who).1);
        let (name, user) = match &pair.caller {
            None => ("anyone".to_owned(), "anyone".to_owned()),
            Some(id) => (names.unwrap_or_default(), id.clone()),
        };
        let (What::Role(what) | What::Action(what)) = what.clone();
        AccessChange { project: project.unwrap_or_default(), name, user, what, appeared, because, times }
    }
}

/// A project by its id; a personal one by the id that its view gives it.
fn project_by_id(roster: &Roster, id: &str) -> Option<ProjectIx> {
    roster.project_by_id(id).or_else(|| {
        let user = roster.user_by_id(id.strip_prefix("personal/")?)?;
        roster.project_by_name(roster.user_name(user)).filter(|found| *found == ProjectIx::Personal(user))
    })
}
