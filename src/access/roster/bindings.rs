//! Roles given by hand, as they are found: on a scope, of a holder, in the profile that each belongs to.

use chrono::{DateTime, Utc};
use rollcall_events::{Position, body};

use crate::{
    profile::{HeldRole, Profile, RoleIx},
    roster::{
        Roster,
        facts::{Binding, Holder, NONE, instant},
        handles::{GroupIx, Place, Principal, ProfileKind, ProjectIx, ServiceIx, UserIx},
    },
};

/// How a role of Rollcall's own API is written in a binding: `api:auditor`.
pub const API_ROLE_PREFIX: &str = "api:";

/// A role given by hand that was not taken away; its window may be over, or not have begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingView<'a> {
    /// Its subject: who, which role, where.
    pub subject: &'a str,
    /// Who, as the command named it.
    pub principal: body::Principal,
    /// The user or service that it is; absent for a group.
    pub holder: Option<Principal>,
    /// The group that it is, if it is one.
    pub group: Option<GroupIx>,
    /// Which role, spelled as it was given.
    pub role: &'a str,
    /// Where.
    pub place: Place,
    /// From when.
    pub starts: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    pub ends: Option<DateTime<Utc>>,
    /// The event that set it.
    pub position: Position,
}

impl Binding {
    /// Not taken away, and within its window.
    pub(crate) fn runs(&self, now: i64) -> bool {
        self.register.stands() && self.starts <= now && now < self.ends
    }

    /// Not taken away, and of the same role for at least as long.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.register.stands() && self.role == other.role && self.starts <= other.starts && other.ends <= self.ends
    }
}

impl Roster {
    /// The role that a binding names, in the profile that it belongs to.
    pub(crate) fn resolve_role(&self, name: &str) -> Option<(ProfileKind, RoleIx)> {
        match name.strip_prefix(API_ROLE_PREFIX) {
            Some(name) => Some((ProfileKind::Api, self.api.role(name)?)),
            None => Some((ProfileKind::Access, self.profile.role(name)?)),
        }
    }

    /// A role as bindings write it, from whatever spelling: of the access profile, or of the API's own as
    /// `api:auditor`.
    #[must_use]
    pub fn canonical_role(&self, name: &str) -> Option<String> {
        self.resolve_role(name).map(|(profile_kind, role)| self.bindable_role(profile_kind, role))
    }

    pub(crate) fn bindable_role(&self, profile_kind: ProfileKind, role: RoleIx) -> String {
        let prefix = if profile_kind == ProfileKind::Api { API_ROLE_PREFIX } else { "" };
        format!("{prefix}{}", self.profile_of(profile_kind).role_name(role))
    }

    /// Every role that a binding can name.
    #[must_use]
    pub fn bindable_roles(&self) -> Vec<String> {
        let all = |profile: &Profile, prefix: &str| -> Vec<String> {
            profile.roles().map(|role| format!("{prefix}{}", profile.role_name(role))).collect()
        };
        [all(&self.profile, ""), all(&self.api, API_ROLE_PREFIX)].concat()
    }

    /// The role of a binding where it was given, if its profile lets it be given there.
    pub(crate) fn binding_role(&self, row: &Binding) -> Option<(ProfileKind, HeldRole)> {
        let (profile_kind, role) = self.resolve_role(&row.role)?;
        let level = self.level(profile_kind, row.on)?;
        self.profile_of(profile_kind).grantable(role, level).then_some((profile_kind, HeldRole { role, level }))
    }

    /// Every binding that was not taken away.
    pub fn bindings(&self) -> impl Iterator<Item = BindingView<'_>> {
        (0..self.facts.bindings.len()).filter_map(|ix| self.binding_view(ix))
    }

    /// The binding of a subject, if it was not taken away.
    #[must_use]
    pub fn binding_of(&self, subject: &str) -> Option<BindingView<'_>> {
        self.binding_view(self.facts.bindings.find(0, subject)?)
    }

    /// The bindings whose subject's digest begins with these hexadecimal digits, at most 16 of them, and that were not taken
    /// away.
    pub fn bindings_by_digest(&self, digits: &str) -> impl Iterator<Item = BindingView<'_>> {
        let known = 4 * u32::try_from(digits.len()).unwrap_or(u32::MAX);
        let first = u64::from_str_radix(digits, 16).ok().and_then(|head| head.checked_shl(64_u32.checked_sub(known)?));
        let range = first.map(|first| (first, 0)..=(first | u64::MAX.checked_shr(known).unwrap_or(0), u32::MAX));
        let found = range.into_iter().flat_map(|range| self.index.binding_digests.range(range));
        found.filter_map(|((_, ix), ())| self.binding_view(*ix))
    }

    /// The bindings that were given on this very scope, and not taken away.
    pub fn bindings_on(&self, place: Place) -> impl Iterator<Item = BindingView<'_>> {
        let on = self.path(place).next().filter(|_| !matches!(place, Place::Project(ProjectIx::Personal(_))));
        let here = on.and_then(|on| self.index.scope_bindings.get(&on));
        here.into_iter().flatten().filter_map(|ix| self.binding_view(*ix))
    }

    pub(crate) fn binding_view(&self, ix: u32) -> Option<BindingView<'_>> {
        let row = self.facts.bindings.get(ix)?.as_ref().filter(|row| row.register.stands())?;
        let (holder, group) = match row.holder {
            Holder::Person(person) => (Some(Principal::User(UserIx(self.facts.persons.get(person)?.user))), None),
            Holder::Service(ix) => (Some(Principal::Service(ServiceIx(ix))), None),
            Holder::Group(ix) => (None, Some(GroupIx(ix))),
        };
        Some(BindingView {
            subject: self.facts.bindings.id(ix),
            principal: self.event_holder(row.holder)?,
            holder,
            group,
            role: &row.role,
            place: self.place_on(row.on),
            starts: instant(row.starts),
            ends: instant(row.ends),
            position: row.register.cause,
        })
    }

    /// The bindings of a user or service itself, not taken away.
    pub fn bindings_of(&self, who: Principal) -> impl Iterator<Item = BindingView<'_>> {
        let holders: Vec<Holder> = match who {
            Principal::Anyone => Vec::new(),
            Principal::User(user) | Principal::Limited(user, _) => {
                self.persons_of(user).iter().map(|person| Holder::Person(*person)).collect()
            }
            Principal::Service(ServiceIx(ix)) => vec![Holder::Service(ix)],
        };
        holders.into_iter().flat_map(|holder| self.bindings_held_by(holder))
    }

    /// The bindings of a group, not taken away.
    pub fn bindings_of_group(&self, GroupIx(group): GroupIx) -> impl Iterator<Item = BindingView<'_>> {
        self.bindings_held_by(Holder::Group(group))
    }

    fn bindings_held_by(&self, holder: Holder) -> impl Iterator<Item = BindingView<'_>> {
        let held = self.index.holder_bindings.get(&holder);
        held.into_iter().flatten().filter_map(|ix| self.binding_view(*ix))
    }

    pub(crate) fn bindings_of_user(&self, person: u32) -> Vec<u32> {
        let user = UserIx(self.facts.persons.get(person).map_or(NONE, |row| row.user));
        let persons = self.persons_of(user).iter();
        persons
            .filter_map(|person| self.index.holder_bindings.get(&Holder::Person(*person)))
            .flatten()
            .copied()
            .collect()
    }
}
