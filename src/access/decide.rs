//! The decision: may this caller do this, on this project, at this instant. Pure, and quick: no allocation on the way.
//! Says yes or no; why is `explain`.

use chrono::{DateTime, Utc};

use crate::{
    facts::{NONE, Package, Person, State},
    profile::{ActionSet, Held, Own, Pseudo, Resource, RoleIx},
    roster::{ProjectIx, Roster, UserIx, instant},
};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// Somebody who did not sign in.
    Anyone,
    /// A signed-in user.
    User(UserIx),
}

/// The answer. Denied is an answer, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, and the instant at which the last reason for it ends, if it does.
    Allowed {
        /// Exclusive.
        until: Option<DateTime<Utc>>,
    },
    /// No.
    Denied,
}

impl Verdict {
    /// Whether it is a yes.
    #[must_use]
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

/// A role that is live, and until when.
#[derive(Debug, Clone, Copy)]
struct Live {
    held: Held,
    until: i64,
}

/// Decides whether the caller holds every one of `actions` on the project at `now`.
#[must_use]
pub fn decide(
    roster: &Roster,
    principal: Principal,
    actions: ActionSet,
    project: ProjectIx,
    now: DateTime<Utc>,
) -> Verdict {
    if actions.is_empty() {
        return Verdict::Denied;
    }
    let now = now.timestamp_micros();
    match roster.until(principal, actions, project, now) {
        Some(until) => Verdict::Allowed { until: instant(until) },
        None => Verdict::Denied,
    }
}

impl Roster {
    fn until(&self, principal: Principal, actions: ActionSet, project: ProjectIx, now: i64) -> Option<i64> {
        let row = self.project_row(project)?;
        let package = self.facts.packages.get(row.package)?;
        if !(package.register.stands() && package.delivery) {
            return None;
        }
        let resource = self.resource();
        let caller = match principal {
            Principal::Anyone => Pseudo::Anyone,
            Principal::User(user) if self.shut_out(user) => return None,
            Principal::User(_) => Pseudo::Authenticated,
        };
        let base = self.profile.baseline(caller, &resource, self.switches());
        let (producer, customer) = match principal {
            Principal::Anyone => (None, None),
            Principal::User(user) => (
                self.producer_role.filter(|_| self.produces(user, package)).map(|role| self.on_project(role, i64::MAX)),
                self.consumer_role.and_then(|role| {
                    self.buys_until(user, row.package, package, now).map(|until| self.on_project(role, until))
                }),
            ),
        };
        let bound = move || self.bound(principal, project, now);
        let live = move || producer.into_iter().chain(customer).chain(bound());
        let taken = self
            .profile
            .ceilings(live().map(|live| live.held), &resource, self.switches())
            .fold(ActionSet::EMPTY, |mask, (_, taken)| mask.with(taken));
        if taken.meets(actions) {
            return None;
        }
        // What the caller has without a role never ends by itself; for the rest, the longest reason of each action
        // counts, and the shortest of the actions.
        let needed = actions.without(base);
        let mut until = i64::MAX;
        for (_, action) in self.profile.actions().filter(|(_, action)| needed.holds(*action)) {
            let longest =
                live().filter(|live| self.profile.gives(live.held).holds(action)).map(|live| live.until).max()?;
            until = until.min(longest);
        }
        Some(until)
    }

    /// What a profile looks at in a package's project: it is private, standard and nobody's own.
    pub(crate) fn resource(&self) -> Resource<'static> {
        Resource {
            level: self.profile.project_level(),
            visibility: Some(rollcall_events::body::Visibility::Private),
            kind: Some("standard"),
            own: Own::NotMine,
        }
    }

    fn on_project(&self, role: RoleIx, until: i64) -> Live {
        Live { held: Held { role, level: self.profile.project_level() }, until }
    }

    /// Rule 2: an active person of the producer account or below it, with the permission.
    fn produces(&self, user: UserIx, package: &Package) -> bool {
        self.persons_of(user).iter().any(|ix| {
            let Some(person) = self.facts.persons.get(*ix) else { return false };
            person.is_live()
                && self.facts.permissions.get(ix).is_some_and(|permission| permission.stands())
                && self.is_below(person.account, package.producer)
        })
    }

    /// Whether an account is another or a sub-account of it, all of them stated and not removed.
    pub(crate) fn is_below(&self, account: u32, above: u32) -> bool {
        self.line_up(account).any(|ix| ix == above)
    }

    /// The account and all above it, as far as they stand. Nobody is above an account in a cycle.
    pub(crate) fn line_up(&self, account: u32) -> impl Iterator<Item = u32> + '_ {
        let standing = |ix: u32| self.facts.accounts.get(ix).filter(|row| row.register.stands()).map(|_| ix);
        std::iter::successors(standing(account), move |ix| {
            let row = self.facts.accounts.get(*ix)?;
            if row.in_cycle { None } else { standing(row.parent) }
        })
    }

    /// Rule 3: until when somebody of this user is an entitled customer of the package; absent = not now.
    fn buys_until(&self, user: UserIx, package_ix: u32, package: &Package, now: i64) -> Option<i64> {
        if !(package.from <= now && now < package.until) {
            return None;
        }
        let mut best: Option<i64> = None;
        for person_ix in self.persons_of(user) {
            let Some(person) = self.facts.persons.get(*person_ix).filter(|person| person.is_live()) else { continue };
            let mut take = |until: i64| best = best.max(Some(until.min(package.until)));
            for product in self.delivered(package_ix) {
                let mut buyer = |account: u32| {
                    for line in self.index.bought.of((account, product)) {
                        if let Some(until) = self.line_until(line, account, product, now) {
                            take(until);
                        }
                    }
                };
                if self.settings.customer_sub_accounts {
                    self.line_up(person.account).for_each(&mut buyer);
                } else if self.facts.accounts.get(person.account).is_some_and(|row| row.register.stands()) {
                    buyer(person.account);
                }
            }
            if self.index.person_assignments.is_empty() {
                continue;
            }
            for assigned in self.index.person_assignments.get(person_ix).into_iter().flatten() {
                let Some(pair) = self.facts.assignments.get(*assigned as usize).filter(|pair| pair.register.stands())
                else {
                    continue;
                };
                if !self.grants(pair.left) {
                    continue;
                }
                for line_ix in self.index.entitlement_lines.of(pair.left) {
                    let Some(line) = self.facts.lines.get(*line_ix) else { continue };
                    let runs = line.register.stands()
                        && line.entitlement == pair.left
                        && line.starts <= now
                        && now < line.ends;
                    if runs && self.delivers(package_ix, line.product) {
                        take(line.ends);
                    }
                }
            }
        }
        best
    }

    /// The products that a package delivers: mapped now, stated and not removed.
    fn delivered(&self, package: u32) -> impl Iterator<Item = u32> + '_ {
        self.index.package_mappings.of(package).iter().filter_map(|ix| {
            let pair = self.facts.mappings.get(*ix as usize)?;
            let stands = pair.register.stands() && self.facts.products.get(pair.right)?.register.stands();
            stands.then_some(pair.right)
        })
    }

    fn delivers(&self, package: u32, product: u32) -> bool {
        self.delivered(package).any(|delivered| delivered == product)
    }

    /// An entitlement that grants now: stated, active, of an account that is there.
    fn grants(&self, entitlement: u32) -> bool {
        self.facts.entitlements.get(entitlement).is_some_and(|row| {
            row.register.stands()
                && row.state == State::Active
                && self.facts.accounts.get(row.account).is_some_and(|account| account.register.stands())
        })
    }

    /// When a line that the account bought for all its people ends; absent = it does not run now.
    fn line_until(&self, line: u32, account: u32, product: u32, now: i64) -> Option<i64> {
        let line = self.facts.lines.get(line)?;
        let buyer = self.facts.entitlements.get(line.entitlement)?;
        let runs = line.register.stands()
            && line.product == product
            && line.starts <= now
            && now < line.ends
            && buyer.account == account
            && !buyer.narrowed
            && self.grants(line.entitlement);
        runs.then_some(line.ends)
    }

    /// Rule 5: roles given by hand, on the project or above it.
    fn bound(&self, principal: Principal, project: ProjectIx, now: i64) -> impl Iterator<Item = Live> + Clone + '_ {
        let user = match principal {
            Principal::User(user) if !self.index.person_bindings.is_empty() => Some(user),
            Principal::Anyone | Principal::User(_) => None,
        };
        let persons = user.map_or(&[][..], |user| self.persons_of(user));
        persons
            .iter()
            // A binding rests on the person that it names, as every reason rests on what it names.
            .filter(|person| self.facts.persons.get(**person).is_some_and(Person::is_live))
            .filter_map(|person| self.index.person_bindings.get(person))
            .flatten()
            .filter_map(|ix| self.facts.bindings.get(*ix)?.as_ref())
            .filter(move |row| row.register.stands() && row.starts <= now && now < row.ends)
            .filter(move |row| row.project == NONE || row.project == project.0)
            .filter_map(|row| {
                let level = if row.project == NONE { 0 } else { self.profile.project_level() };
                Some(Live { held: Held { role: self.profile.role(&row.role)?, level }, until: row.ends })
            })
    }
}
