//! Reasons: every way in which a user could have a role on a project, each with what stands in its way.
//! A way with nothing in its way is a reason for the membership; the others are near misses. One walk finds both, so
//! that what is explained is what is decided (`decide` takes a shorter way through the same facts; a property test
//! holds the two together).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_events::{Position, body::pair_subject};
use serde::Serialize;

use crate::{
    facts::{Field, NONE, Package, State},
    profile::{Held, RoleIx},
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

/// How far up a walk through present and former parents goes.
const MOST_STEPS: usize = 4_096;

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

    /// Rule 2: up from every account that the person is or was in, along present and former parents.
    fn producer(&mut self, person: u32, role: RoleIx, own: &[Obstacle]) {
        let facts = &self.roster.facts;
        let Some(row) = facts.persons.get(person) else { return };
        let permission = facts.permissions.get(&person).copied().unwrap_or_default();
        let starts: Vec<u32> = facts.ever(Field::PersonAccount, person, row.account).collect();
        for start in starts {
            let mut first = Vec::new();
            if start != row.account {
                let name = facts.accounts.id(start);
                let text = format!("left account {name}");
                first.push(obstacle(
                    Standing::Ended,
                    text,
                    format!("is in account {name} again"),
                    Some(self.person_cause(person)),
                ));
            }
            // Along every present and former parent, the way with the fewest obstacles first: a clean way up is found
            // even where a former parent was a short cut.
            let mut queue = vec![(start, first, vec![self.account_cause(start)])];
            let mut seen = BTreeSet::new();
            while let Some(next) =
                (0..queue.len()).min_by_key(|i| queue.get(*i).map(|(_, obstacles, _)| obstacles.len()))
            {
                let (ix, mut obstacles, mut path) = queue.remove(next);
                if !seen.insert(ix) {
                    continue;
                }
                if seen.len() > MOST_STEPS {
                    break;
                }
                obstacles.extend(self.account_gone(ix));
                if ix != start {
                    path.push(self.account_cause(ix));
                }
                for producer in facts.ever(Field::PackageProducer, self.package_ix, self.package.producer) {
                    if producer == ix {
                        self.produced(person, role, own, (start, producer), &permission, &obstacles, &path);
                    }
                }
                let Some(account) = facts.accounts.get(ix) else { continue };
                for parent in facts.ever(Field::AccountParent, ix, account.parent) {
                    let mut obstacles = obstacles.clone();
                    let (child, name) = (facts.accounts.id(ix), facts.accounts.id(parent));
                    if parent != account.parent {
                        let text = format!("account {child} was moved away from account {name}");
                        let remedy = format!("account {child} is below account {name} again");
                        obstacles.push(obstacle(Standing::Ended, text, remedy, Some(self.account_cause(ix))));
                    } else if account.in_cycle {
                        let text = format!("account {child} is in a cycle of accounts and so nobody's sub-account");
                        let remedy = "the cycle of accounts is broken".to_owned();
                        obstacles.push(obstacle(Standing::Never, text, remedy, Some(self.account_cause(ix))));
                    }
                    queue.push((parent, obstacles, path.clone()));
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one way, put together once")]
    fn produced(
        &mut self,
        person: u32,
        role: RoleIx,
        own: &[Obstacle],
        (account, producer): (u32, u32),
        permission: &Register,
        path: &[Obstacle],
        steps: &[Cause],
    ) {
        let facts = &self.roster.facts;
        let space = facts.persons.names.space(person);
        let id = facts.persons.id(person);
        let subject = pair_subject("permission", id, "view_and_manage_download_packages");
        let mut obstacles = self.common.clone();
        obstacles.extend_from_slice(own);
        obstacles.extend_from_slice(path);
        let what = "the permission to view and manage download packages";
        if !permission.stands() {
            let (standing, text, cause) = if permission.stated() {
                (
                    Standing::Ended,
                    format!("{what} was revoked"),
                    Some(self.roster.cause(space, subject.clone(), permission)),
                )
            } else {
                (Standing::Never, format!("{what} was never granted"), None)
            };
            obstacles.push(obstacle(standing, text, format!("{what} is granted"), cause));
        }
        let (name, package) = (facts.accounts.id(producer), facts.packages.id(self.package_ix));
        if producer != self.package.producer {
            let text = format!("account {name} no longer produces package {package}");
            let remedy = format!("account {name} produces package {package} again");
            obstacles.push(obstacle(Standing::Ended, text, remedy, Some(self.package_cause())));
        }
        let via = if account == producer {
            String::new()
        } else {
            format!(", through sub-account {}", facts.accounts.id(account))
        };
        let mut causes = vec![self.roster.cause(space, subject, permission), self.person_cause(person)];
        causes.extend_from_slice(steps);
        causes.push(self.package_cause());
        causes.retain(|cause| cause.position != Position(0));
        let way = Way {
            rule: "producer",
            held: Held { role, level: self.roster.profile.project_level() },
            name: facts.accounts.id(account).to_owned(),
            text: format!("producer account {name} of package {package}{via}"),
            facts: causes,
            until: i64::MAX,
            obstacles,
        };
        self.push(way);
    }

    /// Rule 3: every line of a product that is or was in the package, of an account that the person is or was in, or of
    /// an entitlement that the person is or was assigned to.
    fn customer(&mut self, person: u32, role: RoleIx, own: &[Obstacle]) {
        let roster = self.roster;
        let facts = &roster.facts;
        let Some(row) = facts.persons.get(person) else { return };
        let mut lines = BTreeSet::new();
        let mut accounts: Vec<u32> = facts.ever(Field::PersonAccount, person, row.account).collect();
        if roster.settings.customer_sub_accounts {
            let above: Vec<u32> = accounts.iter().flat_map(|account| roster.line_up(*account)).collect();
            accounts.extend(above);
        }
        for mapping in roster.index.package_mappings.of(self.package_ix) {
            let Some(pair) = facts.mappings.get(*mapping as usize) else { continue };
            for account in &accounts {
                lines.extend(roster.index.bought.get(&(*account, pair.right)).into_iter().flatten().copied());
            }
            for assigned in roster.index.person_assignments.get(&person).into_iter().flatten() {
                let Some(assigned) = facts.assignments.get(*assigned as usize) else { continue };
                for line in roster.index.entitlement_lines.of(assigned.left) {
                    let ever = |line: &u32| {
                        facts.lines.get(*line).is_some_and(|row| {
                            facts.ever(Field::LineProduct, *line, row.product).any(|p| p == pair.right)
                        })
                    };
                    lines.extend(Some(*line).filter(ever));
                }
            }
        }
        for line in lines {
            self.bought(person, role, own, line);
        }
    }

    fn bought(&mut self, person: u32, role: RoleIx, own: &[Obstacle], line_ix: u32) {
        let roster = self.roster;
        let facts = &roster.facts;
        let (Some(line), Some(row)) = (facts.lines.get(line_ix), facts.persons.get(person)) else { return };
        let Some(buyer) = facts.entitlements.get(line.entitlement) else { return };
        let mut obstacles = self.common.clone();
        obstacles.extend_from_slice(own);
        let space = facts.lines.names.space(line_ix);
        let (line_id, entitlement_id, product_id) =
            (facts.lines.id(line_ix), facts.entitlements.id(line.entitlement), facts.products.id(line.product));
        let line_cause = roster.cause(space, format!("line/{line_id}"), &line.register);
        let entitlement_cause = roster.cause(space, format!("entitlement/{entitlement_id}"), &buyer.register);

        // The person in the entitlement.
        let assigned =
            roster.index.assignment.get(&(line.entitlement, person)).and_then(|ix| facts.assignments.get(*ix as usize));
        let assigned_subject = pair_subject("entitlement_person", entitlement_id, facts.persons.id(person));
        let assignment_cause = assigned.map(|pair| roster.cause(space, assigned_subject, &pair.register));
        let in_account = row.account == buyer.account
            || (roster.settings.customer_sub_accounts && roster.is_below(row.account, buyer.account));
        if buyer.narrowed {
            if !assigned.is_some_and(|pair| pair.register.stands()) {
                let remedy = format!("the person is assigned to entitlement {entitlement_id}");
                obstacles.push(match &assignment_cause {
                    Some(cause) => {
                        let text = format!("the person was unassigned from entitlement {entitlement_id}");
                        obstacle(Standing::Ended, text, remedy, Some(cause.clone()))
                    }
                    None => {
                        let text =
                            format!("entitlement {entitlement_id} is for named people, and the person is none of them");
                        obstacle(Standing::Never, text, remedy, self.narrowing(line.entitlement))
                    }
                });
            }
        } else if !in_account {
            let account = facts.accounts.id(buyer.account);
            let was = facts.ever(Field::PersonAccount, person, row.account).any(|ever| ever == buyer.account);
            let (text, cause) = if was {
                (format!("left account {account}"), self.person_cause(person))
            } else {
                (format!("entitlement {entitlement_id} went to account {account}"), entitlement_cause.clone())
            };
            let remedy = format!("the person is in account {account}");
            obstacles.push(obstacle(Standing::Ended, text, remedy, Some(cause)));
        }
        obstacles.extend(self.account_gone(buyer.account));

        // The entitlement and its line.
        let what = format!("entitlement {entitlement_id}");
        match self.gone(&what, space, format!("entitlement/{entitlement_id}"), &buyer.register) {
            Some(gone) => obstacles.push(gone),
            None if buyer.state != State::Active => {
                let (standing, word) = match buyer.state {
                    State::Draft => (Standing::NotYet, "a draft"),
                    State::OnHold => (Standing::Ended, "on hold"),
                    State::Obsolete => (Standing::Ended, "obsolete"),
                    State::Inactive | State::Active => (Standing::Ended, "inactive"),
                };
                let text = format!("{what} is {word}");
                obstacles.push(obstacle(standing, text, format!("{what} is active"), Some(entitlement_cause.clone())));
            }
            None => {}
        }
        let what = format!("line {line_id}");
        obstacles.extend(self.gone(&what, space, format!("line/{line_id}"), &line.register));
        if line.register.stands() {
            self.window(&mut obstacles, &what, (line.starts, line.ends), &line_cause);
        }

        // The product in the package.
        let product = facts.products.get(line.product).map(|row| row.register).unwrap_or_default();
        let product_subject = format!("product/{product_id}");
        obstacles.extend(self.gone(&format!("product {product_id}"), space, product_subject.clone(), &product));
        let package_id = facts.packages.id(self.package_ix);
        let mapping =
            roster.index.mapping.get(&(self.package_ix, line.product)).and_then(|ix| facts.mappings.get(*ix as usize));
        let mapping_subject = pair_subject("package_product", package_id, product_id);
        let mapping_cause = mapping.map(|pair| roster.cause(space, mapping_subject, &pair.register));
        match mapping {
            Some(pair) if pair.register.stands() => {}
            Some(_) => {
                let text = format!("product {product_id} was taken out of package {package_id}");
                let remedy = format!("product {product_id} is mapped to package {package_id} again");
                obstacles.push(obstacle(Standing::Ended, text, remedy, mapping_cause.clone()));
            }
            None => {
                let text = format!("line {line_id} is for product {product_id} now");
                let remedy = format!("product {product_id} is mapped to package {package_id}");
                obstacles.push(obstacle(Standing::Ended, text, remedy, Some(line_cause.clone())));
            }
        }
        if self.package.register.stands() {
            let what = format!("package {package_id}");
            self.window(&mut obstacles, &what, (self.package.from, self.package.until), &self.package_cause());
        }

        let mut causes = vec![line_cause, entitlement_cause];
        causes.extend(assignment_cause);
        causes.push(self.person_cause(person));
        causes.push(self.account_cause(buyer.account));
        causes.push(roster.cause(space, product_subject, &product));
        causes.extend(mapping_cause);
        causes.push(self.package_cause());
        causes.retain(|cause| cause.position != Position(0));
        let way = Way {
            rule: "customer",
            held: Held { role, level: roster.profile.project_level() },
            name: line_id.to_owned(),
            text: format!(
                "entitlement {entitlement_id} (account {}, product {product_id})",
                facts.accounts.id(buyer.account)
            ),
            facts: causes,
            until: line.ends.min(self.package.until),
            obstacles,
        };
        self.push(way);
    }

    /// The event that narrowed an entitlement to named people.
    fn narrowing(&self, entitlement: u32) -> Option<Cause> {
        let facts = &self.roster.facts;
        let all = self.roster.index.entitlement_assignments.get(&entitlement)?;
        let pair =
            all.iter().filter_map(|ix| facts.assignments.get(*ix as usize)).min_by_key(|pair| pair.register.cause)?;
        let subject =
            pair_subject("entitlement_person", facts.entitlements.id(entitlement), facts.persons.id(pair.right));
        Some(self.roster.cause(facts.entitlements.names.space(entitlement), subject, &pair.register))
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
