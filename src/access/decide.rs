//! The decision: may this caller do this, on this scope, at this instant. Pure, and quick: no allocation on the way,
//! unless roles were given by hand. Says yes or no; why is `explain`.

use chrono::{DateTime, Utc};

use crate::{
    profile::{ActionSet, HeldRole, PseudoPrincipal, RoleIx},
    roster::{
        Roster,
        credentials::ReachNow,
        facts::{Package, State, instant},
        handles::{Place, Principal, ProfileKind, ProjectIx, UserIx},
    },
};

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
pub(crate) struct LiveRole {
    pub(crate) held: HeldRole,
    pub(crate) until: i64,
}

/// Decides whether the caller holds every one of `actions`, which are the access profile's, on a scope at `now`.
#[must_use]
pub fn decide(
    roster: &Roster,
    principal: Principal,
    actions: ActionSet,
    place: impl Into<Place>,
    now: DateTime<Utc>,
) -> Verdict {
    roster.decide_by(ProfileKind::Access, principal, actions, place.into(), now)
}

impl Roster {
    /// Decides by either profile.
    pub(crate) fn decide_by(
        &self,
        profile_kind: ProfileKind,
        principal: Principal,
        actions: ActionSet,
        place: Place,
        now: DateTime<Utc>,
    ) -> Verdict {
        if let (ProfileKind::Access, Place::Project(project)) = (profile_kind, place)
            && let Some(user) = self.in_person(principal)
            && let Some(until) = self.fast_path.until(user, project, actions, now.timestamp_micros())
        {
            return until.map_or(Verdict::Denied, |until| Verdict::Allowed { until: instant(until) });
        }
        // What is closed is closed to the registry; Rollcall itself can still be asked about it.
        if profile_kind == ProfileKind::Access && !self.is_open(place) {
            return Verdict::Denied;
        }
        self.decide_as_if_open(profile_kind, principal, actions, place, now)
    }

    /// As [`Self::decide_by`], of a place that may be closed.
    pub(crate) fn decide_as_if_open(
        &self,
        profile_kind: ProfileKind,
        principal: Principal,
        actions: ActionSet,
        place: Place,
        now: DateTime<Utc>,
    ) -> Verdict {
        if actions.is_empty() {
            return Verdict::Denied;
        }
        match self.until(profile_kind, principal, actions, place, now.timestamp_micros()) {
            Some(until) => Verdict::Allowed { until: instant(until) },
            None => Verdict::Denied,
        }
    }

    fn until(
        &self,
        profile_kind: ProfileKind,
        principal: Principal,
        actions: ActionSet,
        place: Place,
        now: i64,
    ) -> Option<i64> {
        let caller = self.admitted(principal, now)?;
        let profile = self.profile_of(profile_kind);
        let resource = self.resource(profile_kind, place, principal)?;
        let base = profile.baseline(caller, &resource, self.switches());
        let derived =
            if profile_kind == ProfileKind::Access { self.derived_roles(principal, place, now) } else { [None; 2] };
        let bound = self.bound_roles(profile_kind, principal, place, now);
        let live = || derived.into_iter().flatten().chain(bound.iter().copied());
        let mut until = i64::MAX;
        for ceiling in
            profile.ceilings_on(&resource, self.switches()).filter(|ceiling| ceiling.mask.intersects(actions))
        {
            // An exemption lasts as long as the role that it rests on.
            let exempt = live().filter(|live| ceiling.exempts(live.held.role)).map(|live| live.until).max()?;
            until = until.min(exempt);
        }
        // What the caller has without a role never ends by itself; for the rest, the longest reason of each action
        // counts, and the shortest of the actions.
        let needed = actions.difference(base);
        for (_, action) in profile.actions().filter(|(_, action)| needed.contains(*action)) {
            let longest =
                live().filter(|live| profile.gives(live.held).contains(action)).map(|live| live.until).max()?;
            until = until.min(longest);
        }
        Some(until)
    }

    /// Whether the caller may list all repositories: by what the profile says that it needs at the root, else by a role
    /// of everything there. Nobody who did not sign in may, whatever a profile gives to everybody.
    #[must_use]
    pub fn may_list_catalog(&self, principal: Principal, now: DateTime<Utc>) -> Verdict {
        if principal == Principal::Anyone || self.admitted(principal, now.timestamp_micros()).is_none() {
            return Verdict::Denied;
        }
        if let Some(actions) = self.profile.catalog() {
            return self.decide_by(ProfileKind::Access, principal, actions, Place::Root, now);
        }
        let live = self.live_roles(ProfileKind::Access, principal, Place::Root, now.timestamp_micros());
        let longest = live.filter(|live| self.profile.is_everything(live.held.role)).map(|live| live.until).max();
        longest.map_or(Verdict::Denied, |until| Verdict::Allowed { until: instant(until) })
    }

    /// Every role that is live for a caller on a scope.
    pub(crate) fn live_roles(
        &self,
        profile_kind: ProfileKind,
        principal: Principal,
        place: Place,
        now: i64,
    ) -> impl Iterator<Item = LiveRole> {
        let derived =
            if profile_kind == ProfileKind::Access { self.derived_roles(principal, place, now) } else { [None; 2] };
        derived.into_iter().flatten().chain(self.bound_roles(profile_kind, principal, place, now))
    }

    /// As what a caller is seen; nothing for a user who is shut out, one whom the sources of the secret's maker do not
    /// know, and a service that was removed or is over.
    pub(crate) fn admitted(&self, principal: Principal, now: i64) -> Option<PseudoPrincipal> {
        let stands = match principal {
            Principal::Anyone => return Some(PseudoPrincipal::Anyone),
            Principal::User(user) => !self.shut_out(user),
            Principal::Limited(user, secret) => !self.shut_out(user) && self.reaches_somebody(user, secret),
            Principal::Service(service) => self.service_runs(service, now),
        };
        stands.then_some(PseudoPrincipal::Authenticated)
    }

    /// The roles that nobody gave: of a producer's people and of customers (rules 2 and 3), and of a user in the user's
    /// own project.
    pub(crate) fn derived_roles(&self, principal: Principal, place: Place, now: i64) -> [Option<LiveRole>; 2] {
        let Place::Project(project) = place else { return [None; 2] };
        let (user, reach) = match principal {
            Principal::User(user) => (user, ReachNow::OWNER),
            Principal::Limited(user, secret) => match self.reach_of(secret) {
                Some(reach) => (user, reach),
                None => return [None; 2],
            },
            Principal::Anyone | Principal::Service(_) => return [None; 2],
        };
        if let ProjectIx::Personal(owner) = project {
            let held = self.personal_role().filter(|_| owner == user && reach.is_owner());
            return [held.map(|held| LiveRole { held, until: i64::MAX }), None];
        }
        let Some(ix) = self.package_of(project) else { return [None; 2] };
        let Some(package) = self.facts.packages.get(ix) else { return [None; 2] };
        let producer = self.producer_role.filter(|_| self.is_producer(user, reach, package));
        let customer = self.consumer_role.and_then(|role| {
            self.customer_until(user, reach, ix, package, now).map(|until| self.on_project(role, until))
        });
        [producer.map(|role| self.on_project(role, i64::MAX)), customer]
    }

    /// Rules 4 and 5: roles given by hand, to the caller or a group, on the place or above it. Costs what the caller is
    /// in times the depth of the tree, however many roles a group holds elsewhere.
    pub(crate) fn bound_roles(
        &self,
        profile_kind: ProfileKind,
        principal: Principal,
        place: Place,
        now: i64,
    ) -> Vec<LiveRole> {
        let mut found = Vec::new();
        if self.index.holder_scope_bindings.is_empty() {
            return found;
        }
        let path = self.path(place);
        let over = match principal {
            Principal::Service(service) => self.service_end(service),
            Principal::Anyone | Principal::User(_) | Principal::Limited(..) => i64::MAX,
        };
        self.each_holder(principal, |holder| {
            // Few hold anything themselves, and a table of few is near.
            if !self.index.holder_bindings.contains_key(&holder) {
                return;
            }
            for ix in path.clone().filter_map(|on| self.index.holder_scope_bindings.get(&(holder, on))).flatten() {
                let Some(row) = self.facts.bindings.get(*ix).and_then(Option::as_ref) else { continue };
                let Some((by, held)) = self.roles.get(*ix as usize).copied().flatten() else { continue };
                if by == profile_kind && row.runs(now) {
                    found.push(LiveRole { held, until: row.ends.min(over) });
                }
            }
        });
        found
    }

    fn on_project(&self, role: RoleIx, until: i64) -> LiveRole {
        LiveRole { held: HeldRole { role, level: self.profile.project_level() }, until }
    }

    /// Rule 2: an active person of the producer account or below it, with the permission.
    fn is_producer(&self, user: UserIx, reach: ReachNow<'_>, package: &Package) -> bool {
        self.persons_of(user).iter().any(|ix| {
            let Some(person) = self.facts.persons.get(*ix) else { return false };
            self.facts.is_live(*ix)
                && self.is_within(reach, *ix)
                && self.facts.permissions.get(ix).is_some_and(|permission| permission.stands())
                && self.is_below(person.account, package.producer)
        })
    }

    /// Rule 3: until when somebody of this user is an entitled customer of the package; absent = not now.
    fn customer_until(
        &self,
        user: UserIx,
        reach: ReachNow<'_>,
        package_ix: u32,
        package: &Package,
        now: i64,
    ) -> Option<i64> {
        if !(package.from <= now && now < package.until) {
            return None;
        }
        let mut best: Option<i64> = None;
        for person_ix in self.persons_of(user) {
            let Some(person) = self.facts.persons.get(*person_ix) else { continue };
            if !(self.facts.is_live(*person_ix) && self.is_within(reach, *person_ix)) {
                continue;
            }
            let mut take = |until: i64| best = best.max(Some(until.min(package.until)));
            for product in self.index.delivered_products(&self.facts, package_ix) {
                let mut buyer = |account: u32| {
                    for line in self.index.purchases.of((account, product)) {
                        if let Some(until) = self.line_until(line, account, product, now) {
                            take(until);
                        }
                    }
                };
                if self.settings.customer_sub_accounts {
                    self.account_and_ancestors(person.account).for_each(&mut buyer);
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
                if !self.entitlement_grants(pair.left) {
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

    fn delivers(&self, package: u32, product: u32) -> bool {
        self.index.delivered_products(&self.facts, package).any(|delivered| delivered == product)
    }

    /// An entitlement that grants now: stated, active, of an account that is there.
    fn entitlement_grants(&self, entitlement: u32) -> bool {
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
            && self.entitlement_grants(line.entitlement);
        runs.then_some(line.ends)
    }

    /// Everything that a caller may do on a scope now, in actions of the profile.
    #[must_use]
    pub fn actions_of(&self, principal: Principal, place: impl Into<Place>, now: DateTime<Utc>) -> ActionSet {
        let place = place.into();
        let admitted = self.admitted(principal, now.timestamp_micros());
        let (Some(caller), true) = (admitted, self.is_open(place)) else { return ActionSet::EMPTY };
        let Some(resource) = self.resource(ProfileKind::Access, place, principal) else { return ActionSet::EMPTY };
        let now = now.timestamp_micros();
        let held: Vec<_> = self.live_roles(ProfileKind::Access, principal, place, now).map(|live| live.held).collect();
        self.profile.allowed(caller, held.iter().copied(), &resource, self.switches())
    }
}
