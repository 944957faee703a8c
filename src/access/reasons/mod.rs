//! Reasons: every path by which a user could have a role on a project, each with what stands in its way.
//! A path with nothing in its way is a reason for the membership; the others are near misses. One search finds both, so that
//! what is explained is what is decided (`decide` takes a shorter way; a property test holds the two together).

mod ancestors;
pub(crate) mod baseline;
mod bindings;
mod customer;
pub(crate) mod linked;
mod places;
mod producer;
pub(crate) mod remedy;

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use rollcall_events::{LOCAL, Position};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    profile::HeldRole,
    roster::{
        Roster,
        facts::{Field, Holder, Package, RecordedScope, instant},
        handles::{Place, Principal, ProjectIx, ServiceIx, UserIx},
        register::Register,
    },
};

use self::places::ScopePath;
pub(crate) use self::remedy::{Fix, steps};
pub use self::remedy::{Remedy, Step};

/// An event that a reason rests on, or that ended one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cause {
    /// The event's position in the log.
    pub position: Position,
    /// The source that said it.
    pub source: String,
    /// What it is about.
    pub subject: String,
}

/// What a role rests on. In the order of the words, by which reasons are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// What everybody has without a role.
    Baseline,
    /// A role given by hand (rule 5).
    Binding,
    /// An entitlement (rule 3).
    Customer,
    /// A role given by hand to a group (rule 4).
    Group,
    /// The project is the user's own.
    Personal,
    /// The package is of the user's account (rule 2).
    Producer,
}

impl Rule {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Binding => "binding",
            Self::Customer => "customer",
            Self::Group => "group",
            Self::Personal => "personal",
            Self::Producer => "producer",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reason for a role: one path that stands, with every fact that it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What the role rests on.
    pub rule: Rule,
    /// The role that it gives; of a baseline `anyone` or `authenticated`, for whom it is.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What takes it away, as something that can be done.
    #[serde(skip)]
    pub(crate) fix: Fix,
}

/// One path to a role: a rule and the facts by which it gives the role, with what stands in its way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RolePath {
    pub(crate) rule: Rule,
    /// Absent where the profile has no such role any more, or none that is given there: an obstacle says so.
    pub(crate) held: Option<HeldRole>,
    pub(crate) role: String,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) facts: Vec<Cause>,
    pub(crate) until: i64,
    pub(crate) obstacles: Vec<Obstacle>,
}

impl RolePath {
    pub(crate) fn stands(&self) -> bool {
        self.obstacles.is_empty()
    }
}

/// Until which event something stood: the oldest of what ended it. What never stood comes first.
pub(crate) fn stood_until<'o>(obstacles: impl IntoIterator<Item = &'o Obstacle>) -> Position {
    let causes =
        obstacles.into_iter().map(|obstacle| obstacle.cause.as_ref().map_or(Position(0), |cause| cause.position));
    causes.min().unwrap_or(Position(u64::MAX))
}

/// Which of several ways to the same thing is found. One that stands is the same for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// That in which the fewest things stand: what is mended soonest.
    Fewest,
    /// That which stood the longest: what ended it is what turned the answer.
    Latest,
}

/// What stands in a way so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hindrance {
    obstacles: u64,
    stood_until: u64,
}

impl Hindrance {
    const NONE: Self = Self { obstacles: 0, stood_until: u64::MAX };

    fn and<'o>(self, more: impl IntoIterator<Item = &'o Obstacle>) -> Self {
        more.into_iter().fold(self, |so_far, obstacle| Self {
            obstacles: so_far.obstacles + 1,
            stood_until: so_far.stood_until.min(stood_until([obstacle]).0),
        })
    }
}

impl Wanted {
    /// The way with the least of it is taken.
    fn order(self, way: Hindrance) -> (u64, u64) {
        let ended = u64::MAX - way.stood_until;
        match self {
            Self::Fewest => (way.obstacles, ended),
            Self::Latest => (ended, way.obstacles),
        }
    }
}

/// How many paths an explanation looks at. A user with more is told about these; the decision looks at all.
const MAX_ROLE_PATHS: usize = 1_000;

struct PathSearch<'a> {
    roster: &'a Roster,
    now: i64,
    place: Place,
    wanted: Wanted,
    /// The package that delivers the project.
    package: Option<AskedPackage<'a>>,
    /// What stands in the way of every path: the place itself.
    common: Vec<Obstacle>,
    /// What every path of this caller rests on beside its own facts: what makes several persons one user.
    around: Vec<Cause>,
    /// The scopes at and above the place, now and formerly.
    above: BTreeMap<RecordedScope, ScopePath>,
    paths: Vec<RolePath>,
}

/// The package whose project is asked about.
#[derive(Clone, Copy)]
struct AskedPackage<'a> {
    ix: u32,
    row: &'a Package,
}

impl Roster {
    /// Every path, standing or not, by which a caller has, had or could have a role on a scope. Where several ways lead to
    /// the same, that with the fewest obstacles and that which stood the longest.
    pub(crate) fn role_paths(&self, caller: Principal, place: Place, now: DateTime<Utc>) -> Vec<RolePath> {
        let mut paths = self.role_paths_by(Wanted::Fewest, caller, place, now);
        if !paths.iter().all(RolePath::stands) {
            let latest = self.role_paths_by(Wanted::Latest, caller, place, now);
            let others: Vec<RolePath> =
                latest.into_iter().filter(|path| !path.stands() && !paths.contains(path)).collect();
            paths.extend(others);
        }
        paths
    }

    fn role_paths_by(&self, wanted: Wanted, caller: Principal, place: Place, now: DateTime<Utc>) -> Vec<RolePath> {
        let mut search = PathSearch { wanted, ..PathSearch::new(self, place, now) };
        match caller {
            Principal::Anyone => {}
            Principal::User(user) => {
                search.around = self.link_causes(user);
                let persons = self.persons_of(user).iter();
                let own: Vec<_> = persons.map(|person| (*person, search.person_obstacles(user, *person))).collect();
                let parted = self.formerly_linked(user);
                let given = search.ways_of_given(&own, &parted);
                for (person, own_of_it) in &own {
                    search.find_of_person(*person, own_of_it, search.in_the_way_of_given(*person, &given));
                }
                for parted in &parted {
                    search.find_formerly(parted);
                }
                if place == Place::Project(ProjectIx::Personal(user)) {
                    search.find_personal(user);
                }
            }
            // What others gave by hand, the secret does not reach.
            Principal::Limited(user, secret) => {
                search.around = self.link_causes(user);
                let within = |person: &&u32| self.reach_of(secret).is_some_and(|reach| self.is_within(reach, **person));
                for person in self.persons_of(user).iter().filter(within) {
                    let own = search.person_obstacles(user, *person);
                    search.find_by_licence(*person, &own);
                }
            }
            Principal::Service(service @ ServiceIx(ix)) => {
                let own = search.service_obstacles(ix);
                search.find_bindings(Holder::Service(ix), &own, &own);
                let over = self.service_end(service);
                search.paths.iter_mut().for_each(|path| path.until = path.until.min(over));
            }
        }
        search.paths
    }

    /// The event that gave a setting, by its path in the document, the value that it has; absent where nothing ever
    /// changed it.
    pub(crate) fn setting_cause(&self, path: &str) -> Option<Cause> {
        let position = *self.facts.settings_changed.get(path)?;
        Some(Cause { position, source: LOCAL.to_owned(), subject: "settings".to_owned() })
    }

    /// The events that said the profile and the settings in force: every answer rests on them.
    pub(crate) fn rules_in_force(&self) -> Vec<Cause> {
        [("profile", self.facts.profile_said), ("settings", self.facts.settings_said)]
            .into_iter()
            .filter(|(_, position)| *position != Position(0))
            .map(|(subject, position)| Cause { position, source: LOCAL.to_owned(), subject: subject.to_owned() })
            .collect()
    }

    /// The events that say that a place is there, and where: every answer about it rests on them.
    pub(crate) fn place_in_force(&self, place: Place, now: DateTime<Utc>) -> Vec<Cause> {
        PathSearch::new(self, place, now).place_causes()
    }

    /// The event by which a source's facts count, or do not, where one ever said so.
    fn suspension_cause(&self, space: u16) -> Option<Cause> {
        let said = self.facts.suspensions.get(&space)?;
        let subject = format!("source/{}", self.source_text(space));
        Some(Cause { position: said.by.said, source: LOCAL.to_owned(), subject })
    }

    /// Adds what said that the facts of these sources count, or do not: whatever rests on one of them rests on that.
    fn add_suspensions(&self, causes: &mut Vec<Cause>) {
        let rested_on = |space: &&u16| {
            let source = self.source_text(**space);
            causes.iter().any(|cause| cause.source == source)
        };
        let said = self.facts.suspensions.keys().filter(rested_on).filter_map(|space| self.suspension_cause(*space));
        let mut said: Vec<Cause> = said.filter(|said| !causes.contains(said)).collect();
        // In the order of the log: that in which sources became known is another in a slice.
        said.sort_by_key(|said| said.position);
        causes.extend(said);
    }

    pub(crate) fn cause(&self, space: u16, subject: String, register: &Register) -> Cause {
        Cause { position: register.cause, source: self.source_text(space).to_owned(), subject }
    }

    /// The reasons for which a caller has a role on a scope now.
    pub(crate) fn reasons(&self, caller: Principal, place: Place, now: DateTime<Utc>) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = self
            .role_paths_by(Wanted::Fewest, caller, place, now)
            .iter()
            .filter(|path| path.stands())
            .map(|path| self.reason(path))
            .collect();
        reasons.sort_by(|a, b| (&a.role, &a.rule, &a.name).cmp(&(&b.role, &b.rule, &b.name)));
        reasons.dedup_by(|a, b| (&a.role, &a.rule, &a.name) == (&b.role, &b.rule, &b.name));
        reasons
    }

    pub(crate) fn reason(&self, path: &RolePath) -> Reason {
        Reason {
            rule: path.rule,
            role: path.role.clone(),
            name: path.name.clone(),
            text: path.text.clone(),
            facts: path.facts.clone(),
            until: instant(path.until),
        }
    }
}

fn obstacle(standing: Standing, text: String, remedy: String, cause: Option<Cause>) -> Obstacle {
    Obstacle { standing, text, remedy, cause, at: None, fix: Fix::None }
}

/// A suspended source stands in the way of several things at once, and is one obstacle.
fn each_once(obstacles: Vec<Obstacle>) -> Vec<Obstacle> {
    let mut kept: Vec<Obstacle> = Vec::with_capacity(obstacles.len());
    for obstacle in obstacles {
        if !kept.contains(&obstacle) {
            kept.push(obstacle);
        }
    }
    kept
}

impl Obstacle {
    fn with_fix(self, fix: Fix) -> Self {
        Self { fix, ..self }
    }
}

impl<'a> PathSearch<'a> {
    fn new(roster: &'a Roster, place: Place, now: DateTime<Utc>) -> Self {
        let package = match place {
            Place::Project(project) => roster.package_of(project),
            Place::Root | Place::Folder(_) => None,
        };
        let package = package.and_then(|ix| Some(AskedPackage { ix, row: roster.facts.packages.get(ix)? }));
        let (common, around, above, paths) = (Vec::new(), Vec::new(), BTreeMap::new(), Vec::new());
        let (now, wanted) = (now.timestamp_micros(), Wanted::Fewest);
        let mut search = Self { roster, now, place, wanted, package, common, around, above, paths };
        search.common = match package {
            Some(at) => search.package_obstacles(at),
            None => search.place_obstacles(),
        };
        search
    }

    /// Everything that one person has, had or could have here; what stands in its way, and in that of what it was given.
    fn find_of_person(&mut self, person: u32, own: &[Obstacle], given: &[Obstacle]) {
        self.find_by_licence(person, own);
        self.find_bindings(Holder::Person(person), own, given);
    }

    /// Rules 2 and 3.
    fn find_by_licence(&mut self, person: u32, own: &[Obstacle]) {
        let Some(at) = self.package else { return };
        self.find_producer(at, person, own);
        self.find_customer(at, person, own);
    }

    /// The role that rule 2 or 3 gives here: its name, and what it is in the profile in force.
    fn role_of_rule(&self, rule: Rule) -> (String, Option<HeldRole>) {
        let (role, name) = match rule {
            Rule::Producer => (self.roster.producer_role, self.roster.rule_role_names().0),
            _ => (self.roster.consumer_role, self.roster.rule_role_names().1),
        };
        let level = self.roster.profile.project_level();
        match role {
            Some(role) => (self.roster.profile.role_name(role).to_owned(), Some(HeldRole { role, level })),
            None => (name.to_owned(), None),
        }
    }

    /// That the profile in force has no such role.
    fn no_such_role(&self, standing: Standing, role: &str) -> Obstacle {
        let profile = &self.roster.profile.document().name;
        let text = format!("profile {profile} has no role {role}");
        let cause = self.roster.rules_in_force().into_iter().find(|rule| rule.subject == "profile");
        obstacle(standing, text, format!("the profile has a role {role}"), cause)
    }

    fn push(&mut self, mut path: RolePath) {
        // A role of a rule that the profile never had is worth a word only where nothing else is missing.
        if path.held.is_none() && matches!(path.rule, Rule::Producer | Rule::Customer) {
            if !path.stands() {
                return;
            }
            path.obstacles.push(self.no_such_role(Standing::Never, &path.role));
        }
        path.facts.extend(self.around.iter().filter(|cause| !path.facts.contains(cause)).cloned().collect::<Vec<_>>());
        self.roster.add_suspensions(&mut path.facts);
        path.obstacles = each_once(path.obstacles);
        if self.paths.len() < MAX_ROLE_PATHS || path.stands() {
            self.paths.push(path);
        }
    }

    /// A source whose facts do not count.
    fn suspended(&self, space: u16) -> Option<Obstacle> {
        let cause = self.roster.suspension_cause(space).filter(|_| self.roster.facts.is_suspended(space))?;
        let source = self.roster.source_text(space);
        let (text, remedy) = (format!("source {source} is suspended"), format!("source {source} is resumed"));
        Some(obstacle(Standing::Ended, text, remedy, Some(cause)).with_fix(self.fix_suspended(space)))
    }

    /// What is missing of a thing that has to be stated and not removed.
    fn removed_obstacle(&self, what: &str, space: u16, subject: String, register: &Register) -> Option<Obstacle> {
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

    /// The event by which a row's reference moved away from `old`: an earlier one than the row's own, where something
    /// else of the row was said anew since.
    fn left_by(&self, row: Cause, field: Field, ix: u32, old: u32) -> Cause {
        Cause { position: self.roster.facts.left(field, ix, old).unwrap_or(row.position), ..row }
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
        let gone = self.removed_obstacle(&format!("account {id}"), space, format!("account/{id}"), &register)?;
        Some(gone.with_fix(self.fix_account(ix, json!({}))))
    }

    fn person_cause(&self, ix: u32) -> Cause {
        let facts = &self.roster.facts;
        let register = facts.persons.get(ix).map(|row| row.register).unwrap_or_default();
        self.roster.cause(facts.persons.names.space(ix), format!("person/{}", facts.persons.id(ix)), &register)
    }

    fn package_cause(&self, at: AskedPackage<'_>) -> Cause {
        let names = &self.roster.facts.packages.names;
        let (space, id) = (names.space(at.ix), names.text(at.ix));
        self.roster.cause(space, format!("package/{id}"), &at.row.register)
    }

    fn package_obstacles(&self, at: AskedPackage<'_>) -> Vec<Obstacle> {
        let id = self.roster.facts.packages.id(at.ix);
        let space = self.roster.facts.packages.names.space(at.ix);
        let what = format!("package {id}");
        let mut found: Vec<Obstacle> = self.suspended(space).into_iter().collect();
        if let Some(gone) = self.removed_obstacle(&what, space, format!("package/{id}"), &at.row.register) {
            let change = json!({"effective_from": null, "effective_until": null});
            found.push(gone.with_fix(self.fix_package(at.ix, change)));
        } else if !at.row.delivery {
            let text = format!("{what} delivers no containers any more");
            let remedy = format!("{what} delivers containers");
            let gone = obstacle(Standing::Ended, text, remedy, Some(self.package_cause(at)));
            found.push(gone.with_fix(self.fix_package(at.ix, json!({}))));
        }
        found
    }

    /// What keeps this person from anything at all.
    fn person_obstacles(&self, user: UserIx, person: u32) -> Vec<Obstacle> {
        let roster = self.roster;
        let Some(row) = roster.facts.persons.get(person) else { return Vec::new() };
        let name = roster.user_name(user);
        let space = roster.facts.persons.names.space(person);
        let mut found: Vec<Obstacle> = self.suspended(space).into_iter().collect();
        if !row.register.stands() {
            let source = roster.source_text(space);
            let text = format!("{name} was removed at source {source}");
            found.push(
                obstacle(
                    Standing::Ended,
                    text,
                    format!("{source} knows {name} again"),
                    Some(self.person_cause(person)),
                )
                .with_fix(self.fix_person(person, json!({}))),
            );
        } else if !row.active {
            let source = roster.source_text(space);
            let text = format!("{name} is suspended at source {source}");
            found.push(
                obstacle(
                    Standing::Ended,
                    text,
                    format!("{source} makes {name} active"),
                    Some(self.person_cause(person)),
                )
                .with_fix(self.fix_person(person, json!({}))),
            );
        }
        for other in roster.persons_of(user).iter().filter(|other| **other != person) {
            let other_space = roster.facts.persons.names.space(*other);
            let authoritative = roster.authoritative.get(usize::from(other_space)).copied().unwrap_or(false);
            let shuts = roster.facts.persons.get(*other).is_some_and(|row| row.register.stands() && !row.active);
            if authoritative && shuts {
                let source = roster.source_text(other_space);
                let text = format!("{name} is shut out: suspended at the authoritative source {source}");
                found.push(
                    obstacle(
                        Standing::Ended,
                        text,
                        format!("{source} makes {name} active"),
                        Some(self.shut_out_by(user, *other, source)),
                    )
                    .with_fix(self.fix_person(*other, json!({}))),
                );
            }
        }
        found
    }

    /// `renewed`: what opens a window that is over.
    fn window(
        &self,
        obstacles: &mut Vec<Obstacle>,
        what: &str,
        (starts, ends): (i64, i64),
        cause: &Cause,
        renewed: impl FnOnce() -> Fix,
    ) {
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
        let fix = match standing {
            Standing::Ended => renewed(),
            Standing::NotYet | Standing::Never => instant(starts).map_or(Fix::None, Fix::Wait),
        };
        let found = Obstacle { at: instant(when), ..obstacle(standing, text, remedy, Some(cause.clone())) };
        obstacles.push(found.with_fix(fix));
    }
}
