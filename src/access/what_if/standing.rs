//! Two states of one roster held against each other: who has what where, now and at every later instant at which a
//! window that is stated already begins or ends. Row for row in one order, so that nothing but a place is held at once.
//! Decides nothing: it asks the very functions that decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use chrono::{DateTime, Utc};
use rollcall_events::Digest;
use serde::{Deserialize, Serialize};

use crate::{
    profile::{ActionSet, HeldRole, PseudoPrincipal},
    roster::{
        Roster,
        facts::instant,
        handles::{Place, Principal, ProfileKind},
    },
    what_if::preview::NamedScope,
};

/// Signing in at all: what somebody who is shut out has not.
pub(crate) const SIGN_IN: &str = "sign in";
/// What people whose only reasons are entitlements see of a project where the settings let them.
const SEE_MEMBERS: &str = "see other members";

/// A roster before and after something. Both have the same rows and names; what follows from them differs.
pub(crate) trait TwoStates {
    fn before(&mut self) -> &Roster;
    fn after(&mut self) -> &Roster;
}

/// What one caller would have more and less on one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRow {
    /// Where.
    pub scope: NamedScope,
    /// Whose: a user's name, `service:` and an id, `anyone`, or `authenticated` for everybody who is signed in.
    pub name: String,
    /// The id; empty for everybody.
    pub user: String,
    /// From when on, where it is not now: a window that is stated already begins or ends then.
    pub from: Option<DateTime<Utc>>,
    /// Roles that appear.
    pub roles_gained: Vec<String>,
    /// Roles that disappear.
    pub roles_lost: Vec<String>,
    /// Actions that appear; those of Rollcall's own API are written `api:x`.
    pub actions_gained: Vec<String>,
    /// Actions that disappear.
    pub actions_lost: Vec<String>,
}

/// A row's place in the order: scope, name, id, instant.
pub type AccessRowKey = (NamedScope, String, String, Option<DateTime<Utc>>);

impl AccessRow {
    /// Its place in the order.
    #[must_use]
    pub fn key(&self) -> AccessRowKey {
        (self.scope.clone(), self.name.clone(), self.user.clone(), self.from)
    }

    /// Whether something appears.
    #[must_use]
    pub fn gains(&self) -> bool {
        !(self.roles_gained.is_empty() && self.actions_gained.is_empty())
    }

    /// Whether something disappears.
    #[must_use]
    pub fn loses(&self) -> bool {
        !(self.roles_lost.is_empty() && self.actions_lost.is_empty())
    }
}

/// How much would change, and a digest over all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessTotals {
    /// Rows.
    pub rows: u64,
    /// Different users and services in them.
    pub people: u64,
    /// Rows in which something appears.
    pub gains: u64,
    /// Rows in which something disappears.
    pub losses: u64,
    /// Different users and services who lose something.
    pub losers: u64,
    /// Of every row: two that are the same change the same.
    pub digest: Digest,
}

/// Counts what would change.
pub(crate) fn totals(states: &mut impl TwoStates, now: DateTime<Utc>) -> AccessTotals {
    let (mut rows, mut gains, mut losses, mut digest) = (0, 0, 0, Digest::of(b""));
    let (mut people, mut losers) = (BTreeSet::new(), BTreeSet::new());
    let _ = each_row(states, now, None, |who, row| {
        rows += 1;
        gains += u64::from(row.gains());
        losses += u64::from(row.loses());
        people.extend(who);
        losers.extend(who.filter(|_| row.loses()));
        let text = serde_json::to_string(&row).unwrap_or_default();
        digest = Digest::of(format!("{digest}{text}").as_bytes());
        ControlFlow::Continue(())
    });
    AccessTotals { rows, people: people.len() as u64, gains, losses, losers: losers.len() as u64, digest }
}

/// The next rows after one, at most so many.
pub(crate) fn next_rows(
    states: &mut impl TwoStates,
    now: DateTime<Utc>,
    after: Option<&AccessRowKey>,
    limit: usize,
) -> Vec<AccessRow> {
    let mut rows = Vec::new();
    let _ = each_row(states, now, after, |_, row| {
        if rows.len() >= limit {
            return ControlFlow::Break(());
        }
        rows.push(row);
        ControlFlow::Continue(())
    });
    rows
}

/// Whether nobody has more or less after it, now or later.
pub(crate) fn changes_nobody(states: &mut impl TwoStates, now: DateTime<Utc>) -> bool {
    each_row(states, now, None, |_, _| ControlFlow::Break(())).is_continue()
}

/// Visits every row in order, from one on.
fn each_row(
    states: &mut impl TwoStates,
    now: DateTime<Utc>,
    after: Option<&AccessRowKey>,
    mut visit: impl FnMut(Option<Principal>, AccessRow) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let (mut words, now) = (Words::default(), now.timestamp_micros());
    // What either access profile gives of the API: whoever has it by a role of the API keeps it.
    let mut given = states.before().given_by_api_section();
    given.extend(states.after().given_by_api_section());
    let mut had = Meaning::of(states.before(), &given, &mut words);
    let mut has = Meaning::of(states.after(), &given, &mut words);
    (had.words, has.words) = (words.names.len(), words.names.len());
    let admitted = |roster: &Roster| roster.users().map(|user| (user, roster.shut_out(user))).collect::<Vec<_>>();
    let former = admitted(states.before());
    let mut turned = BTreeSet::new();
    for (user, shut_out) in former {
        if states.after().shut_out(user) != shut_out {
            turned.insert(Principal::User(user));
        }
    }
    for (scope, place) in places(states) {
        if after.is_some_and(|(from, ..)| scope < *from) {
            continue;
        }
        let mut found: Vec<(Option<Principal>, AccessRow)> = Vec::new();
        for (name, crowd) in [("anyone", PseudoPrincipal::Anyone), ("authenticated", PseudoPrincipal::Authenticated)] {
            let (was, is) = (had.of_crowd(states.before(), crowd, place), has.of_crowd(states.after(), crowd, place));
            found.extend(words.row(&scope, name, "", None, &was, &is).map(|row| (None, row)));
        }
        let mut callers = states.before().callers_at(place);
        callers.extend(states.after().callers_at(place));
        if place == Place::Root {
            callers.extend(&turned);
        }
        // A window bears on whoever holds something by it, and that may be so in one of the two only.
        let later: Vec<(Principal, BTreeSet<i64>)> = {
            let roster = states.after();
            callers.into_iter().map(|caller| (caller, roster.instants(caller, place, now))).collect()
        };
        let before: Vec<(Principal, BTreeSet<i64>, Vec<Held>)> = {
            let roster = states.before();
            let one = |(caller, mut times): (Principal, BTreeSet<i64>)| {
                times.extend(roster.instants(caller, place, now));
                let held = times.iter().map(|at| had.held_by(roster, caller, place, *at)).collect();
                (caller, times, held)
            };
            later.into_iter().map(one).collect()
        };
        let roster = states.after();
        for (caller, times, was) in before {
            let (mut told, mut names) = (Vec::new(), None);
            for (at, was) in times.into_iter().zip(was) {
                let is = has.held_by(roster, caller, place, at);
                let turns = place == Place::Root && turned.contains(&caller);
                if was == is || !(turns || words.any_role(&was) || words.any_role(&is)) {
                    continue;
                }
                let (user, name) = names.get_or_insert_with(|| roster.caller_names(caller));
                let from = if at == now { None } else { instant(at) };
                let Some(row) = words.row(&scope, name, user, from, &was, &is) else { continue };
                // What was told of an earlier instant is not told again.
                if !told.iter().any(|earlier: &AccessRow| AccessRow { from, ..earlier.clone() } == row) {
                    told.push(row);
                }
            }
            found.extend(told.into_iter().map(|row| (Some(caller), row)));
        }
        found.sort_by_cached_key(|(_, row)| row.key());
        for (who, row) in found {
            if after.is_none_or(|after| row.key() > *after) {
                visit(who, row)?;
            }
        }
    }
    ControlFlow::Continue(())
}

/// Every scope that there is before or after, by name.
fn places(states: &mut impl TwoStates) -> Vec<(NamedScope, Place)> {
    let mut places: BTreeSet<Place> = states.before().places_below(Place::Root).into_iter().collect();
    places.extend(states.after().places_below(Place::Root));
    let roster = states.after();
    let mut named: Vec<_> = places.into_iter().map(|place| (roster.named_scope(place), place)).collect();
    named.sort();
    named
}

/// What somebody has: one bit for each word.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held(Vec<u64>);

impl Held {
    fn none(words: usize) -> Self {
        Self(vec![0; words.div_ceil(64)])
    }

    fn add(&mut self, word: usize) {
        if let Some(bits) = self.0.get_mut(word / 64) {
            *bits |= 1 << (word % 64);
        }
    }

    fn has(&self, word: usize) -> bool {
        self.0.get(word / 64).is_some_and(|bits| bits & (1 << (word % 64)) != 0)
    }
}

/// The roles and actions of both states by name, so that what two profiles call the same is the same.
#[derive(Debug, Default)]
struct Words {
    numbers: BTreeMap<(bool, String), usize>,
    /// Whether it is a role, and its name.
    names: Vec<(bool, String)>,
}

impl Words {
    fn number(&mut self, is_role: bool, name: &str) -> usize {
        *self.numbers.entry((is_role, name.to_owned())).or_insert_with_key(|key| {
            self.names.push(key.clone());
            self.names.len() - 1
        })
    }

    fn any_role(&self, held: &Held) -> bool {
        self.names.iter().enumerate().any(|(word, (is_role, _))| *is_role && held.has(word))
    }

    fn row(
        &self,
        scope: &NamedScope,
        name: &str,
        user: &str,
        from: Option<DateTime<Utc>>,
        was: &Held,
        is: &Held,
    ) -> Option<AccessRow> {
        if was == is {
            return None;
        }
        let differ = |wanted_role: bool, from: &Held, to: &Held| -> Vec<String> {
            let all = self.names.iter().enumerate();
            let these = all.filter(|(word, (role, _))| *role == wanted_role && to.has(*word) && !from.has(*word));
            let mut names: Vec<String> = these.map(|(_, (_, name))| name.clone()).collect();
            names.sort();
            names
        };
        Some(AccessRow {
            scope: scope.clone(),
            name: name.to_owned(),
            user: user.to_owned(),
            from,
            roles_gained: differ(true, was, is),
            roles_lost: differ(true, is, was),
            actions_gained: differ(false, was, is),
            actions_lost: differ(false, is, was),
        })
    }
}

/// One state's roles and actions as the words of both.
struct Meaning {
    /// How many words there are in all.
    words: usize,
    roles: Vec<usize>,
    api_roles: Vec<usize>,
    actions: Vec<(ActionSet, usize)>,
    api: Vec<ApiAction>,
    sign_in: usize,
    see_members: usize,
}

/// An action of Rollcall's own API.
struct ApiAction {
    /// In the API's profile.
    own: Option<ActionSet>,
    /// What gives it in the access profile.
    given: Option<ActionSet>,
    word: usize,
}

impl Meaning {
    fn of(roster: &Roster, given: &BTreeSet<String>, words: &mut Words) -> Self {
        let profile = roster.profile();
        let mut role = |name: String| words.number(true, &name);
        let roles = profile.roles().map(|ix| role(profile.role_name(ix).to_owned())).collect();
        let api_roles = roster.api.roles().map(|ix| role(roster.bindable_role(ProfileKind::Api, ix))).collect();
        let actions = profile.actions().map(|(name, set)| (set, words.number(false, name))).collect();
        let mut api_action = |name: &String| ApiAction {
            own: roster.api.operation(name),
            given: profile.gives_api(name),
            word: words.number(false, &format!("api:{name}")),
        };
        let api = given.iter().map(&mut api_action).collect();
        let (sign_in, see_members) = (words.number(false, SIGN_IN), words.number(false, SEE_MEMBERS));
        Self { words: 0, roles, api_roles, actions, api, sign_in, see_members }
    }

    /// What everybody has without a role.
    fn of_crowd(&self, roster: &Roster, crowd: PseudoPrincipal, place: Place) -> Held {
        let mut held = Held::none(self.words);
        let actions = roster.baseline_at(crowd, place);
        self.actions.iter().filter(|(set, _)| actions.contains(*set)).for_each(|(_, word)| held.add(*word));
        let given = self.api.iter().filter(|api| api.given.is_some_and(|set| actions.contains(set)));
        given.for_each(|api| held.add(api.word));
        held
    }

    /// What a caller has at an instant.
    fn held_by(&self, roster: &Roster, caller: Principal, place: Place, at: i64) -> Held {
        let mut held = Held::none(self.words);
        let Some(admitted) = roster.admitted(caller, at).filter(|_| roster.is_there(caller)) else { return held };
        if place == Place::Root {
            held.add(self.sign_in);
        }
        for live in roster.live_roles(ProfileKind::Api, caller, place, at) {
            self.api_roles.get(usize::from(live.held.role.0)).into_iter().for_each(|word| held.add(*word));
            let gives = roster.api.gives(live.held);
            let own = self.api.iter().filter(|api| api.own.is_some_and(|set| gives.contains(set)));
            own.for_each(|api| held.add(api.word));
        }
        let resource = roster.resource(ProfileKind::Access, place, caller);
        let Some(resource) = resource.filter(|_| roster.is_open(place)) else { return held };
        let derived = roster.derived_roles(caller, place, at);
        let bound = roster.bound_roles(ProfileKind::Access, caller, place, at);
        let roles: Vec<HeldRole> = derived.iter().flatten().chain(&bound).map(|live| live.held).collect();
        for role in &roles {
            self.roles.get(usize::from(role.role.0)).into_iter().for_each(|word| held.add(*word));
        }
        let actions = roster.profile.allowed(admitted, roles.iter().copied(), &resource, roster.switches());
        self.actions.iter().filter(|(set, _)| actions.contains(*set)).for_each(|(_, word)| held.add(*word));
        // What everybody who signed in has is for people: a service does here what it was given.
        let given = roles.iter().fold(ActionSet::EMPTY, |all, role| all.union(roster.profile.gives(*role)));
        let may = |set: ActionSet| {
            actions.contains(set)
                && (!matches!(caller, Principal::Service(_) | Principal::Limited(..)) || given.contains(set))
        };
        self.api.iter().filter(|api| api.given.is_some_and(may)).for_each(|api| held.add(api.word));
        if let ([None, Some(_)], true) = (derived, bound.is_empty())
            && roster.settings().customers_see_each_other
        {
            held.add(self.see_members);
        }
        held
    }
}

impl Roster {
    /// The actions of the API that the access profile in force gives to somebody.
    fn given_by_api_section(&self) -> BTreeSet<String> {
        self.profile.document().api.keys().cloned().collect()
    }

    /// Everybody who could hold a role on a scope.
    fn callers_at(&self, place: Place) -> BTreeSet<Principal> {
        match place {
            Place::Project(project) => self.candidates(project),
            Place::Root | Place::Folder(_) => self.holders_over(place),
        }
    }

    /// Now, and every later instant at which a window that bears on this caller here begins or ends: a superset.
    fn instants(&self, caller: Principal, place: Place, now: i64) -> BTreeSet<i64> {
        let mut at = BTreeSet::from([now]);
        let mut note = |starts: i64, ends: i64| {
            at.extend([starts, ends].into_iter().filter(|time| *time > now && *time < i64::MAX));
        };
        self.each_holder(caller, |holder| {
            for on in self.path(place) {
                for ix in self.index.holder_scope_bindings.get(&(holder, on)).into_iter().flatten() {
                    if let Some(row) = self.facts.bindings.get(*ix).and_then(Option::as_ref) {
                        note(row.starts, row.ends);
                    }
                }
            }
        });
        if let (Principal::User(user), Place::Project(project)) = (caller, place)
            && let Some(package_ix) = self.package_of(project)
            && let Some(package) = self.facts.packages.get(package_ix)
        {
            note(package.from, package.until);
            let mut line = |ix: &u32| {
                self.facts.lines.get(*ix).into_iter().for_each(|line| note(line.starts, line.ends));
            };
            for person_ix in self.persons_of(user) {
                let Some(person) = self.facts.persons.get(*person_ix) else { continue };
                for product in self.index.delivered_products(&self.facts, package_ix) {
                    for account in self.account_and_ancestors(person.account) {
                        self.index.purchases.of((account, product)).for_each(|ix| line(&ix));
                    }
                }
                for assigned in self.index.person_assignments.get(person_ix).into_iter().flatten() {
                    let Some(pair) = self.facts.assignments.get(*assigned as usize) else { continue };
                    self.index.entitlement_lines.of(pair.left).iter().for_each(&mut line);
                }
            }
        }
        at
    }
}
