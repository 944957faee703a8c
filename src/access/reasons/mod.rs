//! Reasons: every way in which a user could have a role on a project, each with what stands in its way.
//! A way with nothing in its way is a reason for the membership; the others are near misses. One walk finds both, so
//! that what is explained is what is decided (`decide` takes a shorter way through the same facts; a property test
//! holds the two together).

mod climb;
mod customer;
mod producer;

use chrono::{DateTime, Utc};
use rollcall_events::Position;
use serde::Serialize;

use crate::{
    facts::{NONE, Package},
    profile::Held,
    register::Register,
    roster::{ProjectIx, Roster, UserIx, instant},
};

/// An event that a reason rests on, or that ended one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cause {
    /// The event's position in the log.
    pub position: Position,
    /// The source that said it.
    pub source: String,
    /// What it is about.
    pub subject: String,
}

/// A reason for a role: one way that stands, with every fact that it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `producer` (rule 2), `customer` (rule 3) or `binding` (rule 5).
    pub rule: &'static str,
    /// The role that it gives.
    pub role: String,
    /// What names it: the line, the producer account, the binding. The same in every replay.
    pub name: String,
    /// In words.
    pub text: String,
    /// The events that it rests on, the telling one first.
    pub facts: Vec<Cause>,
    /// When it ends by itself.
    pub until: Option<DateTime<Utc>>,
}

/// How an obstacle came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It was otherwise once.
    Ended,
    /// It will be otherwise.
    NotYet,
    /// It never was otherwise.
    Never,
}

/// What stands in the way of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// How it came about.
    pub standing: Standing,
    /// In words.
    pub text: String,
    /// What would take it away.
    pub remedy: String,
    /// The event that put it there; absent where nothing was ever said, or where time did it.
    pub cause: Option<Cause>,
    /// The instant at which time did it, or will undo it.
    pub at: Option<DateTime<Utc>>,
}

/// One way to a role.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) rule: &'static str,
    pub(crate) held: Held,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) facts: Vec<Cause>,
    pub(crate) until: i64,
    pub(crate) obstacles: Vec<Obstacle>,
}

impl Way {
    pub(crate) fn stands(&self) -> bool {
        self.obstacles.is_empty()
    }
}

/// How many ways an explanation looks at. A user with more is told about these; the decision looks at all.
const MOST_WAYS: usize = 1_000;

struct Walk<'a> {
    roster: &'a Roster,
    now: i64,
    package_ix: u32,
    package: &'a Package,
    /// What stands in the way of every way: the package itself.
    common: Vec<Obstacle>,
    ways: Vec<Way>,
}

impl Roster {
    /// Every way, standing or not, by which this user has, had or could have a role on this project.
    pub(crate) fn ways(&self, user: UserIx, project: ProjectIx, now: DateTime<Utc>) -> Vec<Way> {
        let Some(package_ix) = self.project_row(project).map(|row| row.package) else { return Vec::new() };
        let Some(package) = self.facts.packages.get(package_ix) else { return Vec::new() };
        let mut walk = Walk {
            roster: self,
            now: now.timestamp_micros(),
            package_ix,
            package,
            common: Vec::new(),
            ways: Vec::new(),
        };
        walk.common = walk.package_obstacles();
        for person in self.persons_of(user) {
            let own = walk.person_obstacles(user, *person);
            if let Some(role) = self.producer_role {
                walk.producer(*person, role, &own);
            }
            if let Some(role) = self.consumer_role {
                walk.customer(*person, role, &own);
            }
            walk.bindings(*person, project, &own);
        }
        walk.ways
    }

    pub(crate) fn cause(&self, space: u16, subject: String, register: &Register) -> Cause {
        Cause { position: register.cause, source: self.source_text(space).to_owned(), subject }
    }

    /// The reasons for which the user is a member now.
    pub(crate) fn reasons(&self, user: UserIx, project: ProjectIx, now: DateTime<Utc>) -> Vec<Reason> {
        let mut reasons: Vec<Reason> =
            self.ways(user, project, now).iter().filter(|way| way.stands()).map(|way| self.reason(way)).collect();
        reasons.sort_by(|a, b| (&a.role, a.rule, &a.name).cmp(&(&b.role, b.rule, &b.name)));
        reasons.dedup_by(|a, b| (&a.role, a.rule, &a.name) == (&b.role, b.rule, &b.name));
        reasons
    }

    pub(crate) fn reason(&self, way: &Way) -> Reason {
        Reason {
            rule: way.rule,
            role: self.profile.role_name(way.held.role).to_owned(),
            name: way.name.clone(),
            text: way.text.clone(),
            facts: way.facts.clone(),
            until: instant(way.until),
        }
    }
}

fn obstacle(standing: Standing, text: String, remedy: String, cause: Option<Cause>) -> Obstacle {
    Obstacle { standing, text, remedy, cause, at: None }
}

impl<'a> Walk<'a> {
    fn push(&mut self, way: Way) {
        if self.ways.len() < MOST_WAYS || way.stands() {
            self.ways.push(way);
        }
    }

    /// What is missing of a thing that has to be stated and not removed.
    fn gone(&self, what: &str, space: u16, subject: String, register: &Register) -> Option<Obstacle> {
        if register.stands() {
            None
        } else if register.stated() {
            let cause = self.roster.cause(space, subject, register);
            Some(obstacle(
                Standing::Ended,
                format!("{what} was removed"),
                format!("{what} is stated again"),
                Some(cause),
            ))
        } else {
            Some(obstacle(Standing::Never, format!("{what} was never stated"), format!("{what} is stated"), None))
        }
    }

    fn account(&self, ix: u32) -> (String, u16, Register) {
        let facts = &self.roster.facts;
        let register = facts.accounts.get(ix).map(|row| row.register).unwrap_or_default();
        (facts.accounts.id(ix).to_owned(), facts.accounts.names.space(ix), register)
    }

    fn account_cause(&self, ix: u32) -> Cause {
        let (id, space, register) = self.account(ix);
        self.roster.cause(space, format!("account/{id}"), &register)
    }

    fn account_gone(&self, ix: u32) -> Option<Obstacle> {
        let (id, space, register) = self.account(ix);
        self.gone(&format!("account {id}"), space, format!("account/{id}"), &register)
    }

    fn person_cause(&self, ix: u32) -> Cause {
        let facts = &self.roster.facts;
        let register = facts.persons.get(ix).map(|row| row.register).unwrap_or_default();
        self.roster.cause(facts.persons.names.space(ix), format!("person/{}", facts.persons.id(ix)), &register)
    }

    fn package_cause(&self) -> Cause {
        let names = &self.roster.facts.packages.names;
        let (space, id) = (names.space(self.package_ix), names.text(self.package_ix));
        self.roster.cause(space, format!("package/{id}"), &self.package.register)
    }

    fn package_obstacles(&self) -> Vec<Obstacle> {
        let id = self.roster.facts.packages.id(self.package_ix);
        let space = self.roster.facts.packages.names.space(self.package_ix);
        let what = format!("package {id}");
        if let Some(gone) = self.gone(&what, space, format!("package/{id}"), &self.package.register) {
            return vec![gone];
        }
        if !self.package.delivery {
            let text = format!("{what} delivers no containers any more");
            return vec![obstacle(
                Standing::Ended,
                text,
                format!("{what} delivers containers"),
                Some(self.package_cause()),
            )];
        }
        Vec::new()
    }

    /// What keeps this person from anything at all.
    fn person_obstacles(&self, user: UserIx, person: u32) -> Vec<Obstacle> {
        let roster = self.roster;
        let Some(row) = roster.facts.persons.get(person) else { return Vec::new() };
        let name = roster.user_name(user);
        let space = roster.facts.persons.names.space(person);
        let mut found = Vec::new();
        if !row.register.stands() {
            let source = roster.source_text(space);
            let text = format!("{name} was removed at source {source}");
            found.push(obstacle(
                Standing::Ended,
                text,
                format!("{source} knows {name} again"),
                Some(self.person_cause(person)),
            ));
        } else if !row.active {
            let source = roster.source_text(space);
            let text = format!("{name} is suspended at source {source}");
            found.push(obstacle(
                Standing::Ended,
                text,
                format!("{source} makes {name} active"),
                Some(self.person_cause(person)),
            ));
        }
        for other in roster.persons_of(user).iter().filter(|other| **other != person) {
            let other_space = roster.facts.persons.names.space(*other);
            let authoritative = roster.authoritative.get(usize::from(other_space)).copied().unwrap_or(false);
            let shuts = roster.facts.persons.get(*other).is_some_and(|row| row.register.stands() && !row.active);
            if authoritative && shuts {
                let source = roster.source_text(other_space);
                let text = format!("{name} is shut out: suspended at the authoritative source {source}");
                found.push(obstacle(
                    Standing::Ended,
                    text,
                    format!("{source} makes {name} active"),
                    Some(self.person_cause(*other)),
                ));
            }
        }
        found
    }

    fn window(&self, obstacles: &mut Vec<Obstacle>, what: &str, (starts, ends): (i64, i64), cause: &Cause) {
        let at = |micros| {
            instant(micros).map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)).unwrap_or_default()
        };
        let (standing, text, when) = if self.now >= ends {
            (Standing::Ended, format!("{what} ended {}", at(ends)), ends)
        } else if self.now < starts {
            (Standing::NotYet, format!("{what} starts {}", at(starts)), starts)
        } else {
            return;
        };
        let remedy = if standing == Standing::Ended { format!("{what} is renewed") } else { format!("{what} starts") };
        obstacles.push(Obstacle { at: instant(when), ..obstacle(standing, text, remedy, Some(cause.clone())) });
    }

    /// Rule 5.
    fn bindings(&mut self, person: u32, project: ProjectIx, own: &[Obstacle]) {
        let roster = self.roster;
        for ix in roster.index.person_bindings.get(&person).into_iter().flatten() {
            let Some(row) = roster.facts.bindings.get(*ix).and_then(Option::as_ref) else { continue };
            if row.project != NONE && row.project != project.0 {
                continue;
            }
            let Some(role) = roster.profile.role(&row.role) else { continue };
            let subject = roster.facts.bindings.id(*ix).to_owned();
            let cause = Cause {
                position: row.register.cause,
                source: rollcall_events::LOCAL.to_owned(),
                subject: subject.clone(),
            };
            let mut obstacles = self.common.clone();
            obstacles.extend_from_slice(own);
            let what = format!("the binding of role {}", roster.profile.role_name(role));
            if row.register.stands() {
                self.window(&mut obstacles, &what, (row.starts, row.ends), &cause);
            } else {
                let text = format!("{what} was removed");
                obstacles.push(obstacle(Standing::Ended, text, format!("{what} is set again"), Some(cause.clone())));
            }
            let level = if row.project == NONE { 0 } else { roster.profile.project_level() };
            let way = Way {
                rule: "binding",
                held: Held { role, level },
                name: subject,
                text: format!("a direct binding of role {}", roster.profile.role_name(role)),
                facts: vec![cause],
                until: row.ends,
                obstacles,
            };
            self.push(way);
        }
    }
}
