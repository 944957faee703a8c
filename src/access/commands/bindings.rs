//! Whether a role may be given or taken away: is there such a role for this scope, and does the giver have what is
//! given.

use chrono::{DateTime, Utc};
use rollcall_events::{
    Id,
    body::{self, Author, EventData as _, Scope},
};

use crate::{
    commands::{
        authority::Authority,
        last_holder::Removal,
        refusal::{Refusal, RefusalKind},
    },
    decide::LiveRole,
    profile::{ActionSet, HeldRole, RoleIx},
    roster::{
        Roster,
        facts::{Holder, RecordedScope},
        handles::{FolderIx, GroupIx, Place, Principal, ProfileKind, ProjectIx, RecordedIx, ServiceIx},
    },
};

/// How many roles those who run a scope can have given on it.
const MAX_BINDINGS: usize = 1_000;

impl Roster {
    /// The place that the words of a command mean.
    pub(crate) fn resolve_scope(&self, scope: &Scope) -> Result<Place, Refusal> {
        let missing = |what: &str, id: &Id| RefusalKind::Unknown.because(format!("there is no {what} `{id}`"));
        match scope {
            Scope::Root => Ok(Place::Root),
            Scope::Folder(id) => self.folder_by_id(id.as_str()).map(Place::Folder).ok_or_else(|| missing("folder", id)),
            Scope::Project(id) => {
                self.project_by_id(id.as_str()).map(Place::Project).ok_or_else(|| missing("project", id))
            }
        }
    }

    /// Whether this binding may be set now.
    pub(crate) fn check_binding(
        &self,
        data: &body::Binding,
        now: DateTime<Utc>,
    ) -> Result<(Holder, RecordedScope), Refusal> {
        let Some((profile_kind, role)) = self.resolve_role(&data.role) else {
            let roles = self.bindable_roles().join(", ");
            return Err(RefusalKind::NoRole.because(format!(
                "profile {} has no role `{}`; the roles are {roles}",
                self.profile.name(),
                data.role
            )));
        };
        let place = self.resolve_scope(&data.scope)?;
        let on = match place {
            Place::Root => RecordedScope::Root,
            Place::Folder(FolderIx(ix)) => RecordedScope::Folder(ix),
            Place::Project(ProjectIx::Recorded(RecordedIx(ix))) => RecordedScope::Project(ix),
            Place::Project(ProjectIx::Personal(_)) => {
                return Err(RefusalKind::Invalid.because("a personal project has its user and nobody else"));
            }
        };
        let profile = self.profile_of(profile_kind);
        let level = self.level(profile_kind, on);
        if !level.is_some_and(|level| profile.grantable(role, level)) {
            let levels: Vec<&str> = profile.levels_of(role).collect();
            let target = |name: &&str| match profile.level(name) {
                Some(0) => "the root (`root`)".to_owned(),
                Some(level) if level == profile.project_level() => "a project (`project:NAME`)".to_owned(),
                _ if profile_kind == ProfileKind::Access => format!("a folder of kind {name} (`folder:ID`)"),
                _ => "a folder (`folder:ID`)".to_owned(),
            };
            let targets: Vec<String> = levels.iter().map(target).collect();
            return Err(RefusalKind::Invalid.because(format!(
                "role {} cannot be granted here; it is granted at level {}: name {}",
                data.role,
                levels.join(" or "),
                targets.join(" or ")
            )));
        }
        if let Place::Project(project) = place
            && profile_kind == ProfileKind::Access
            && !self.settings.bindings_on_managed
            && let Some(package) = self.package_of(project)
        {
            let view = self.project(project);
            return Err(RefusalKind::Managed.because(format!(
                "project {} is managed by source {}: who is in it follows from package {} there, and is changed there",
                view.name,
                view.source,
                self.facts.packages.id(package)
            )));
        }
        let missing = |what: &str, id: &Id| RefusalKind::Unknown.because(format!("there is no {what} `{id}`"));
        let holder = match &data.principal {
            body::Principal::User(id) => {
                Holder::Person(self.person_of(id.as_str()).ok_or_else(|| missing("user", id))?)
            }
            body::Principal::Service(id) => {
                let ServiceIx(ix) = self.service_by_id(id.as_str()).ok_or_else(|| missing("service", id))?;
                Holder::Service(ix)
            }
            body::Principal::Group(id) => {
                let GroupIx(ix) = self.group_by_id(id.as_str()).ok_or_else(|| missing("group", id))?;
                Holder::Group(ix)
            }
        };
        let authority = self.authorize(Some(&data.author), "binding.set", place, now)?;
        self.check_giver_has(authority, &data.author, (profile_kind, role), on, place, now)?;
        self.check_room_for_binding(authority, data, on)?;
        self.check_window_keeps_holder(data, now)?;
        Ok((holder, on))
    }

    /// Whoever gives roles only because of a role in the registry gives so many on one scope and no more.
    fn check_room_for_binding(
        &self,
        authority: Authority,
        data: &body::Binding,
        on: RecordedScope,
    ) -> Result<(), Refusal> {
        let there = self.facts.bindings.find(0, &data.subject()).is_some();
        if authority != Authority::Access || there || self.mode.trusts_commands() {
            return Ok(());
        }
        let here = self.index.scope_bindings.get(&on).map_or(&[][..], Vec::as_slice);
        let standing =
            |ix: &&u32| self.facts.bindings.get(**ix).and_then(Option::as_ref).is_some_and(|row| row.register.stands());
        if here.len() < MAX_BINDINGS || here.iter().filter(standing).count() < MAX_BINDINGS {
            return Ok(());
        }
        Err(RefusalKind::TooMany.because(format!(
            "{MAX_BINDINGS} roles are given here, which is the most: take one away first, or give one to a group"
        )))
    }

    /// Whether this binding may be taken away now. Whoever holds it may always leave.
    pub(crate) fn check_binding_removal(&self, data: &body::BindingRef, now: DateTime<Utc>) -> Result<u32, Refusal> {
        let ix = self.facts.bindings.find(0, &data.subject()).filter(|ix| {
            self.facts.bindings.get(*ix).and_then(Option::as_ref).is_some_and(|row| row.register.stands())
        });
        let ix = ix.ok_or_else(|| RefusalKind::Unknown.because("there is no such binding"))?;
        // Also where the folder is gone: it may come back.
        let on = self.facts.bindings.get(ix).and_then(Option::as_ref).map_or(RecordedScope::Root, |row| row.on);
        let place = match on {
            RecordedScope::Folder(ix) => Place::Folder(FolderIx(ix)),
            RecordedScope::Project(ix) => Place::Project(ProjectIx::recorded(ix)),
            RecordedScope::Root => Place::Root,
        };
        let author = self.resolve_author(&data.author)?;
        if author.is_none() || author != self.find_principal(&data.principal) {
            let authority = self.authorize(Some(&data.author), "binding.remove", place, now)?;
            // A right in the registry takes away no more of Rollcall's own API than it gives.
            if let (Authority::Access, Some(role @ (ProfileKind::Api, _))) = (authority, self.resolve_role(&data.role))
            {
                self.check_giver_has(authority, &data.author, role, on, place, now)?;
            }
        }
        self.check_last_holder(Removal::Binding(ix), now)?;
        Ok(ix)
    }

    /// Nobody gives more than he or she has, but whom the profile calls a giver. Whoever was given the right to give
    /// roles through the API gives any role of the registry, and of the API's own those that are no more than the
    /// giver's.
    pub(crate) fn check_giver_has(
        &self,
        authority: Authority,
        author: &Author,
        (profile_kind, role): (ProfileKind, RoleIx),
        on: RecordedScope,
        place: Place,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let unbounded = match authority {
            Authority::Operator => true,
            Authority::Api => profile_kind == ProfileKind::Access,
            Authority::Access => false,
        };
        if unbounded {
            return Ok(());
        }
        let Some(level) = self.level(profile_kind, on) else { return Ok(()) };
        let profile = self.profile_of(profile_kind);
        let given = profile.gives(HeldRole { role, level });
        let Some(giver) = self.resolve_author(author)? else { return Ok(()) };
        let (own, held) = self.granted(profile_kind, giver, place, now);
        if profile_kind == ProfileKind::Access && held.iter().any(|live| profile.is_giver(live.held.role)) {
            return Ok(());
        }
        if own.contains(given) {
            // Where a ceiling takes nothing from the role, the giver has such a role too.
            let above = profile
                .ceilings
                .iter()
                .find(|ceiling| ceiling.exempts(role) && !held.iter().any(|live| ceiling.exempts(live.held.role)));
            return above.map_or(Ok(()), |ceiling| {
                let word = self.bindable_role(profile_kind, role);
                Err(RefusalKind::Beyond.because(format!("ceiling {} binds the giver, and not role {word}", ceiling.id)))
            });
        }
        let more = profile.names(given.difference(own)).join(", ");
        let word = self.bindable_role(profile_kind, role);
        Err(RefusalKind::Beyond.because(format!("role {word} is more than the giver has here: {more}")))
    }

    /// Everything that somebody was given on a place, before any ceiling, and the roles that give it.
    pub(crate) fn granted(
        &self,
        profile_kind: ProfileKind,
        principal: Principal,
        place: Place,
        now: DateTime<Utc>,
    ) -> (ActionSet, Vec<LiveRole>) {
        let profile = self.profile_of(profile_kind);
        let (Some(caller), Some(resource)) =
            (self.admitted(principal, now.timestamp_micros()), self.resource(profile_kind, place, principal))
        else {
            return Default::default();
        };
        // What somebody has without a role above projects is not what it is below.
        let base = match place {
            Place::Project(_) => profile.baseline(caller, &resource, self.switches()),
            Place::Root | Place::Folder(_) => ActionSet::EMPTY,
        };
        let held: Vec<LiveRole> = self.live_roles(profile_kind, principal, place, now.timestamp_micros()).collect();
        (held.iter().fold(base, |mask, live| mask.union(profile.gives(live.held))), held)
    }
}
