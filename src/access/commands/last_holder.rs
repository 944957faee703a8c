//! A scope that has an owner keeps one: no command takes the last holder of a role of which one has to stay, neither
//! now nor at any later instant. Facts of a source and the end of a window win over this rule, and the scope is shown.

use chrono::{DateTime, Utc};
use rollcall_events::body::{self, EventData as _};

use crate::{
    commands::refusal::{Refusal, RefusalKind},
    profile::RoleIx,
    roster::{
        Roster,
        facts::{Binding, Holder, Origin, RecordedScope, micros},
        handles::{Place, ProfileKind, ServiceIx, UserIx},
    },
};

/// What a command takes away, for the question whether somebody is left.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Removal {
    Nothing,
    Binding(u32),
    Member(u32),
    Group(u32),
    Service(u32),
}

impl Roster {
    /// A binding that is set again with a narrower window takes the role away where that is over or has not begun.
    pub(crate) fn check_window_keeps_holder(&self, data: &body::Binding, now: DateTime<Utc>) -> Result<(), Refusal> {
        let Some(ix) = self.facts.bindings.find(0, &data.subject()) else { return Ok(()) };
        let Some(row) = self.facts.bindings.get(ix).and_then(Option::as_ref) else { return Ok(()) };
        if self.mode.trusts_commands() || !row.register.stands() {
            return Ok(());
        }
        let (starts, ends) = (micros(data.starts, i64::MIN), micros(data.ends, i64::MAX));
        let from = row.starts.max(now.timestamp_micros());
        self.check_last_holder_between(Removal::Binding(ix), ix, (from, row.ends.min(starts)))?;
        self.check_last_holder_between(Removal::Binding(ix), ix, (from.max(ends), row.ends))
    }

    /// Whether every scope that has a holder of a role of which one has to stay still has one without this, for as long
    /// as it would have had.
    pub(crate) fn check_last_holder(&self, gone: Removal, now: DateTime<Utc>) -> Result<(), Refusal> {
        if self.mode.trusts_commands() || self.profile.document().rules.last_holder_stays.is_empty() {
            return Ok(());
        }
        // Few roles have to stay, and few groups and services hold one of them; of a binding it is known which.
        let touched = |ix: u32, row: &Binding| match gone {
            Removal::Nothing => false,
            Removal::Binding(gone) => ix == gone,
            Removal::Service(gone) => matches!(row.holder, Holder::Group(_)) || row.holder == Holder::Service(gone),
            Removal::Member(_) | Removal::Group(_) => matches!(row.holder, Holder::Group(_)),
        };
        let all = match gone {
            Removal::Binding(ix) => ix..ix.saturating_add(1),
            _ => 0..self.facts.bindings.len(),
        };
        for ix in all {
            let Some(row) = self.facts.bindings.get(ix).and_then(Option::as_ref).filter(|row| touched(ix, row)) else {
                continue;
            };
            self.check_last_holder_between(gone, ix, (row.starts.max(now.timestamp_micros()), row.ends))?;
        }
        Ok(())
    }

    /// Whether a binding's scope has a holder without what goes wherever it has one with it, between two instants.
    fn check_last_holder_between(&self, gone: Removal, ix: u32, (from, until): (i64, i64)) -> Result<(), Refusal> {
        let Some(row) = self.facts.bindings.get(ix).and_then(Option::as_ref) else { return Ok(()) };
        let Some((ProfileKind::Access, held)) = self.roles.get(ix as usize).copied().flatten() else { return Ok(()) };
        if from >= until || !self.is_protected(held.role) {
            return Ok(());
        }
        // Without a change somebody stays a holder; so it is asked where one ends, and at both ends.
        let mut at: Vec<i64> = self
            .holders_on(row.on, held.role)
            .map(|(_, other)| match other.holder {
                Holder::Service(service) => other.ends.min(self.service_end(ServiceIx(service))),
                Holder::Person(_) | Holder::Group(_) => other.ends,
            })
            .filter(|ends| from < *ends && *ends < until)
            .chain([from, until - 1])
            .collect();
        at.sort_unstable();
        at.dedup();
        let lost = |at: &&i64| {
            self.has_holder(row.on, held.role, Removal::Nothing, **at)
                && !self.has_holder(row.on, held.role, gone, **at)
        };
        let Some(at) = at.iter().find(lost) else { return Ok(()) };
        let scope = self.scope_name(row.on);
        let role = self.profile.role_name(held.role);
        let when = if *at == from { "" } else { " when the roles of the others end" };
        Err(RefusalKind::LastHolder
            .because(format!("{scope} would be left without {role}{when}; give the role to somebody else first")))
    }

    /// The roles of which one has to stay.
    fn protected_roles(&self) -> impl Iterator<Item = RoleIx> + '_ {
        self.profile.document().rules.last_holder_stays.iter().filter_map(|role| self.profile.role(role))
    }

    fn is_protected(&self, role: RoleIx) -> bool {
        self.protected_roles().any(|stays| stays == role)
    }

    /// Every binding of a role on this very scope, also those that were taken away.
    fn holders_on(&self, on: RecordedScope, role: RoleIx) -> impl Iterator<Item = (u32, &Binding)> {
        self.index.scope_bindings.get(&on).into_iter().flatten().filter_map(move |ix| {
            let (profile_kind, held) = self.roles.get(*ix as usize).copied().flatten()?;
            let row = self.facts.bindings.get(*ix)?.as_ref()?;
            (profile_kind == ProfileKind::Access && held.role == role).then_some((*ix, row))
        })
    }

    fn has_holder(&self, on: RecordedScope, role: RoleIx, gone: Removal, now: i64) -> bool {
        self.holders_on(on, role).any(|(ix, row)| {
            row.runs(now)
                && !matches!(gone, Removal::Binding(gone) if gone == ix)
                && match row.holder {
                    Holder::Person(person) => {
                        let user = self.facts.persons.get(person).map(|row| UserIx(row.user));
                        self.holds_what_is_given(person) && user.is_some_and(|user| !self.shut_out(user))
                    }
                    Holder::Service(service) => {
                        !matches!(gone, Removal::Service(gone) if gone == service)
                            && self.service_runs(ServiceIx(service), now)
                    }
                    Holder::Group(group) => self.holds_somebody(group, gone, now),
                }
        })
    }

    fn holds_somebody(&self, group: u32, gone: Removal, now: i64) -> bool {
        if matches!(gone, Removal::Group(gone) if gone == group) {
            return false;
        }
        let skip = |ix: u32| match gone {
            Removal::Member(gone) => gone == ix,
            Removal::Group(gone) => {
                self.facts.members.get(ix as usize).is_some_and(|row| row.holder == Holder::Group(gone))
            }
            Removal::Service(gone) => {
                self.facts.members.get(ix as usize).is_some_and(|row| row.holder == Holder::Service(gone))
            }
            Removal::Nothing | Removal::Binding(_) => false,
        };
        self.principals_in(group, skip).into_iter().any(|principal| self.admitted(principal, now).is_some())
    }

    /// Whether nobody holds a role here of which one has to stay: of a scope that once had a holder, since facts of a
    /// source win over this rule and windows end, and of a project that somebody made here and gave to nobody.
    #[must_use]
    pub fn is_ownerless(&self, place: Place, now: DateTime<Utc>) -> bool {
        let Some(on) = self.path(place).next().filter(|on| *on != RecordedScope::Root || place == Place::Root) else {
            return false;
        };
        // What is closed needs no owner.
        if !self.is_open(place) {
            return false;
        }
        let now = now.timestamp_micros();
        let level = self.level(ProfileKind::Access, on);
        let made_here = matches!(on, RecordedScope::Project(ix) if matches!(
            self.facts.projects.get(ix as usize).map(|row| &row.origin),
            Some(Origin::Local(local)) if local.register.stands()));
        self.protected_roles().any(|role| {
            let expected = made_here && level.is_some_and(|level| self.profile.grantable(role, level));
            (expected || self.holders_on(on, role).next().is_some())
                && !self.has_holder(on, role, Removal::Nothing, now)
        })
    }
}
