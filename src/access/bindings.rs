//! Roles given by hand: judged and kept. Commands ask here before they are appended; the answer that counts is the
//! fold's, which asks here again. That a scope keeps an owner is `owners`.

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Id, Position,
    body::{self, Author, EventData as _, Scope},
};

use crate::{
    Effect, Principal,
    authority::{Authority, Refusal, RefusalKind},
    decide::LiveRole,
    facts::{Binding, Holder, NONE, On, Origin},
    fold::{At, micros},
    owners::Gone,
    place::{FolderIx, GroupIx, Place, ProfileKind, ProjectIx, RecordedIx, ServiceIx},
    profile::{Held, RoleIx},
    register::{Rank, Register},
    roster::{Roster, UserIx, instant},
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

impl Roster {
    /// The role that a binding names, in the profile that it belongs to.
    pub(crate) fn named_role(&self, name: &str) -> Option<(ProfileKind, RoleIx)> {
        match name.strip_prefix(API_ROLE_PREFIX) {
            Some(name) => Some((ProfileKind::Api, self.api.role(name)?)),
            None => Some((ProfileKind::Access, self.profile.role(name)?)),
        }
    }

    /// A role as bindings write it, from whatever spelling: of the access profile, or of the API's own as `api:auditor`.
    #[must_use]
    pub fn canonical_role(&self, name: &str) -> Option<String> {
        self.named_role(name).map(|(rights, role)| self.word_of_role(rights, role))
    }

    fn word_of_role(&self, rights: ProfileKind, role: RoleIx) -> String {
        let prefix = if rights == ProfileKind::Api { API_ROLE_PREFIX } else { "" };
        format!("{prefix}{}", self.judge_of(rights).role_name(role))
    }

    /// Every role that a binding can name.
    #[must_use]
    pub fn bindable_roles(&self) -> Vec<String> {
        let all = |profile: &crate::Profile, prefix: &str| -> Vec<String> {
            profile.roles().map(|role| format!("{prefix}{}", profile.role_name(role))).collect()
        };
        [all(&self.profile, ""), all(&self.api, API_ROLE_PREFIX)].concat()
    }

    /// The role of a binding where it was given, if its profile lets it be given there.
    pub(crate) fn role_of(&self, row: &Binding) -> Option<(ProfileKind, Held)> {
        let (rights, role) = self.named_role(&row.role)?;
        let level = self.level(rights, row.on)?;
        self.judge_of(rights).grantable(role, level).then_some((rights, Held { role, level }))
    }

    /// The place that the words of a command mean.
    pub(crate) fn place_of(&self, scope: &Scope) -> Result<Place, Refusal> {
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
    pub(crate) fn judge_binding(&self, data: &body::Binding, now: DateTime<Utc>) -> Result<(Holder, On), Refusal> {
        let Some((rights, role)) = self.named_role(&data.role) else {
            let roles = self.bindable_roles().join(", ");
            return Err(RefusalKind::NoRole.because(format!(
                "profile {} has no role `{}`; the roles are {roles}",
                self.profile.name(),
                data.role
            )));
        };
        let place = self.place_of(&data.scope)?;
        let on = match place {
            Place::Root => On::Root,
            Place::Folder(FolderIx(ix)) => On::Folder(ix),
            Place::Project(ProjectIx::Recorded(RecordedIx(ix))) => On::Project(ix),
            Place::Project(ProjectIx::Personal(_)) => {
                return Err(RefusalKind::Invalid.because("a personal project has its user and nobody else"));
            }
        };
        let profile = self.judge_of(rights);
        let level = self.level(rights, on);
        if !level.is_some_and(|level| profile.grantable(role, level)) {
            let levels: Vec<&str> = profile.levels_of(role).collect();
            return Err(RefusalKind::Invalid.because(format!(
                "role {} cannot be granted here; it is granted at level {}",
                data.role,
                levels.join(" or ")
            )));
        }
        if let Place::Project(project) = place
            && rights == ProfileKind::Access
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
        let authority = self.authorise(Some(&data.author), "binding.set", place, now)?;
        self.not_above_the_giver(authority, &data.author, (rights, role), on, place, now)?;
        self.not_cut_short(data, now)?;
        Ok((holder, on))
    }

    /// Nobody gives more than he or she has, but whom the profile calls a giver. Whoever was given the right to give roles through the API gives any role of
    /// the registry, and of the API's own those that are no more than the giver's.
    pub(crate) fn not_above_the_giver(
        &self,
        authority: Authority,
        author: &Author,
        (rights, role): (ProfileKind, RoleIx),
        on: On,
        place: Place,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let unbounded = match authority {
            Authority::Operator => true,
            Authority::Api => rights == ProfileKind::Access,
            Authority::Access => false,
        };
        if unbounded {
            return Ok(());
        }
        let Some(level) = self.level(rights, on) else { return Ok(()) };
        let profile = self.judge_of(rights);
        let given = profile.gives(Held { role, level });
        let Some(giver) = self.author(author)? else { return Ok(()) };
        let (own, held) = self.granted(rights, giver, place, now);
        if rights == ProfileKind::Access && held.iter().any(|live| profile.is_giver(live.held.role)) {
            return Ok(());
        }
        if own.contains(given) {
            // Where a ceiling takes nothing from the role, the giver has such a role too.
            let above = profile
                .ceilings
                .iter()
                .find(|ceiling| ceiling.exempts(role) && !held.iter().any(|live| ceiling.exempts(live.held.role)));
            return above.map_or(Ok(()), |ceiling| {
                let word = self.word_of_role(rights, role);
                Err(RefusalKind::Beyond.because(format!("ceiling {} binds the giver, and not role {word}", ceiling.id)))
            });
        }
        let more = profile.names(given.difference(own)).join(", ");
        let word = self.word_of_role(rights, role);
        Err(RefusalKind::Beyond.because(format!("role {word} is more than the giver has here: {more}")))
    }

    /// Everything that somebody was given on a place, before any ceiling, and the roles that give it.
    pub(crate) fn granted(
        &self,
        rights: ProfileKind,
        principal: Principal,
        place: Place,
        now: DateTime<Utc>,
    ) -> (crate::ActionSet, Vec<LiveRole>) {
        let profile = self.judge_of(rights);
        let (Some(caller), Some(resource)) = (self.admitted(principal), self.resource(rights, place, principal)) else {
            return Default::default();
        };
        // What somebody has without a role above projects is not what it is below.
        let base = match place {
            Place::Project(_) => profile.baseline(caller, &resource, self.switches()),
            Place::Root | Place::Folder(_) => crate::ActionSet::EMPTY,
        };
        let held: Vec<LiveRole> = self.live_roles(rights, principal, place, now.timestamp_micros()).collect();
        (held.iter().fold(base, |mask, live| mask.union(profile.gives(live.held))), held)
    }

    pub(crate) fn bind(&mut self, at: &mut At<'_>, data: &body::Binding) -> Effect {
        let now = at.now();
        let (holder, on) = match self.judge_binding(data, now) {
            Ok(found) => found,
            Err(refusal) => return refusal.into(),
        };
        let raised = self.raised(holder, data, now);
        let covers = |raised: &body::Binding| {
            let actions = |name: &str| self.profile.role(name).map(|role| self.profile.role_actions(role));
            actions(&raised.role).zip(actions(&data.role)).is_some_and(|(least, role)| least.contains(role))
                && micros(raised.starts, i64::MIN) <= micros(data.starts, i64::MIN)
                && micros(raised.ends, i64::MAX) >= micros(data.ends, i64::MAX)
        };
        let effect = match &raised {
            None => self.keep_binding(at, data, holder, on, false),
            Some(raised) if covers(raised) => self.keep_binding(at, raised, holder, on, true),
            // Roles are sets: where the least one lacks something of what was given, or ends sooner, both are.
            Some(raised) => {
                self.keep_binding(at, raised, holder, on, true);
                self.keep_binding(at, data, holder, on, false)
            }
        };
        if matches!(effect, Effect::Applied | Effect::NoChange) && on == On::Root {
            self.raise_elsewhere(at, holder, data, now);
        }
        effect
    }

    /// Files a binding. `implied`: it follows from a command about something else, or in other words, and is stated
    /// beside it.
    pub(crate) fn keep_binding(
        &mut self,
        at: &mut At<'_>,
        data: &body::Binding,
        holder: Holder,
        on: On,
        implied: bool,
    ) -> Effect {
        let subject = data.subject();
        let new = self.facts.bindings.find(0, &subject).is_none();
        let ix = self.facts.bindings.at(0, &subject);
        let Some(slot) = self.facts.bindings.get_mut(ix) else { return Effect::NoChange };
        let mut register = slot.as_ref().map_or_else(Register::default, |row| row.register);
        let effect = if implied {
            let text = Body::BindingSet(data.clone()).data();
            at.settle_implied(&mut register, "binding", &subject, &text)
        } else {
            at.settle(&mut register, Rank::Full, "binding")
        };
        let row = Binding {
            register,
            holder,
            role: data.role.clone(),
            on,
            starts: micros(data.starts, i64::MIN),
            ends: micros(data.ends, i64::MAX),
        };
        *slot = Some(row.clone());
        let role = self.role_of(&row);
        if new {
            self.index.bind(ix, holder, on);
            if let Holder::Person(person) = holder {
                self.plain.person(&self.facts, &self.index, person);
            }
            self.roles.resize(ix as usize + 1, None);
        }
        if let Some(slot) = self.roles.get_mut(ix as usize) {
            *slot = role;
        }
        effect
    }

    /// An administrator is never below the profile's least role where he or she is a member: what a binding becomes, for
    /// as long as both it and the administration run. What is held already is not cut short by it.
    fn raised(&self, holder: Holder, data: &body::Binding, now: DateTime<Utc>) -> Option<body::Binding> {
        let least_name = self.profile.document().rules.admin_at_least.as_deref()?;
        let least = self.profile.role(least_name)?;
        let (rights, role) = self.named_role(&data.role)?;
        let on = self.on_of(&data.scope)?;
        let below = rights == ProfileKind::Access
            && on != On::Root
            && !self.profile.role_actions(role).contains(self.profile.role_actions(least))
            && self.profile.grantable(least, self.level(ProfileKind::Access, on)?);
        let (from, until) = self.administration(holder, now).filter(|_| below)?;
        let (mut starts, mut ends) = (micros(data.starts, i64::MIN).max(from), micros(data.ends, i64::MAX).min(until));
        if starts >= ends {
            return None;
        }
        let mut raised = body::Binding { role: least_name.to_owned(), ..data.clone() };
        let mine = self.facts.bindings.find(0, &raised.subject()).and_then(|ix| self.facts.bindings.get(ix)?.as_ref());
        if let Some(mine) = mine.filter(|mine| mine.register.stands()) {
            // A binding has one window: two that do not meet are not made into one.
            if mine.ends < starts || ends < mine.starts {
                return None;
            }
            (starts, ends) = (starts.min(mine.starts), ends.max(mine.ends));
        }
        (raised.starts, raised.ends) = (instant(starts), instant(ends));
        Some(raised)
    }

    /// The scope that a command names, where it is recorded.
    fn on_of(&self, scope: &Scope) -> Option<On> {
        self.path(self.place_of(scope).ok()?).next()
    }

    fn bindings_of_user(&self, person: u32) -> Vec<u32> {
        let user = UserIx(self.facts.persons.get(person).map_or(NONE, |row| row.user));
        let persons = self.persons_of(user).iter();
        persons
            .filter_map(|person| self.index.holder_bindings.get(&Holder::Person(*person)))
            .flatten()
            .copied()
            .collect()
    }

    /// The window of the binding that makes somebody an administrator now: of everything, at the root. Of several the
    /// one that runs longest.
    fn administration(&self, holder: Holder, now: DateTime<Utc>) -> Option<(i64, i64)> {
        let Holder::Person(person) = holder else { return None };
        let everything = |ix: u32| {
            matches!(self.roles.get(ix as usize).copied().flatten(),
                Some((ProfileKind::Access, held)) if self.profile.is_everything(held.role))
        };
        let theirs = self.bindings_of_user(person).into_iter().filter(|ix| everything(*ix));
        let rows = theirs.filter_map(|ix| self.facts.bindings.get(ix)?.as_ref());
        rows.filter(|row| row.on == On::Root && row.runs(now.timestamp_micros()))
            .map(|row| (row.starts, row.ends))
            .max_by_key(|(starts, ends)| (*ends, std::cmp::Reverse(*starts)))
    }

    /// Somebody became an administrator: what he or she holds below is raised too.
    fn raise_elsewhere(&mut self, at: &mut At<'_>, holder: Holder, data: &body::Binding, now: DateTime<Utc>) {
        let Holder::Person(person) = holder else { return };
        if self.profile.document().rules.admin_at_least.is_none() || self.administration(holder, now).is_none() {
            return;
        }
        for ix in self.bindings_of_user(person) {
            let row = self.facts.bindings.get(ix).and_then(Option::as_ref);
            let row = row.filter(|row| row.register.stands() && now.timestamp_micros() < row.ends);
            let Some((row, scope)) = row.and_then(|row| Some((row, self.scope_word(row.on)?))) else { continue };
            let (holder, on) = (row.holder, row.on);
            let Some(principal) = self.holder_word(holder) else { continue };
            let theirs = body::Binding {
                principal,
                role: row.role.clone(),
                scope,
                author: data.author.clone(),
                starts: instant(row.starts),
                ends: instant(row.ends),
            };
            if let Some(raised) = self.raised(holder, &theirs, now) {
                self.keep_binding(at, &raised, holder, on, true);
            }
        }
    }

    /// A scope in the words of a binding.
    pub(crate) fn scope_word(&self, on: On) -> Option<Scope> {
        Some(match on {
            On::Root => Scope::Root,
            On::Folder(ix) => Scope::Folder(self.facts.folders.id(ix).parse().ok()?),
            On::Project(ix) => Scope::Project(self.project(ProjectIx::recorded(ix)).id.parse().ok()?),
        })
    }

    /// Every binding that was not taken away.
    pub fn bindings(&self) -> impl Iterator<Item = BindingView<'_>> {
        (0..self.facts.bindings.len()).filter_map(|ix| self.binding_view(ix))
    }

    /// The bindings that were given on this very scope, and not taken away.
    pub fn bindings_on(&self, place: Place) -> impl Iterator<Item = BindingView<'_>> {
        let on = self.path(place).next().filter(|_| !matches!(place, Place::Project(ProjectIx::Personal(_))));
        let here = on.and_then(|on| self.index.place_bindings.get(&on));
        here.into_iter().flatten().filter_map(|ix| self.binding_view(*ix))
    }

    fn binding_view(&self, ix: u32) -> Option<BindingView<'_>> {
        let row = self.facts.bindings.get(ix)?.as_ref().filter(|row| row.register.stands())?;
        let (holder, group) = match row.holder {
            Holder::Person(person) => (Some(Principal::User(UserIx(self.facts.persons.get(person)?.user))), None),
            Holder::Service(ix) => (Some(Principal::Service(ServiceIx(ix))), None),
            Holder::Group(ix) => (None, Some(GroupIx(ix))),
        };
        Some(BindingView {
            subject: self.facts.bindings.id(ix),
            principal: self.holder_word(row.holder)?,
            holder,
            group,
            role: &row.role,
            place: self.place_on(row.on),
            starts: instant(row.starts),
            ends: instant(row.ends),
            position: row.register.cause,
        })
    }

    /// Whether this binding may be taken away now. Whoever holds it may always leave.
    pub(crate) fn judge_unbinding(&self, data: &body::BindingRef, now: DateTime<Utc>) -> Result<u32, Refusal> {
        let ix = self.facts.bindings.find(0, &data.subject()).filter(|ix| {
            self.facts.bindings.get(*ix).and_then(Option::as_ref).is_some_and(|row| row.register.stands())
        });
        let ix = ix.ok_or_else(|| RefusalKind::Unknown.because("there is no such binding"))?;
        // Also where the folder is gone: it may come back.
        let on = self.facts.bindings.get(ix).and_then(Option::as_ref).map_or(On::Root, |row| row.on);
        let place = match on {
            On::Folder(ix) => Place::Folder(FolderIx(ix)),
            On::Project(ix) => Place::Project(ProjectIx::recorded(ix)),
            On::Root => Place::Root,
        };
        let author = self.author(&data.author)?;
        if author.is_none() || author != self.find_principal(&data.principal) {
            let authority = self.authorise(Some(&data.author), "binding.remove", place, now)?;
            // A right in the registry takes away no more of Rollcall's own API than it gives.
            if let (Authority::Access, Some(role @ (ProfileKind::Api, _))) = (authority, self.named_role(&data.role)) {
                self.not_above_the_giver(authority, &data.author, role, on, place, now)?;
            }
        }
        self.somebody_stays(Gone::Binding(ix), now)?;
        Ok(ix)
    }

    pub(crate) fn unbind(&mut self, at: &mut At<'_>, data: &body::BindingRef) -> Effect {
        let ix = match self.judge_unbinding(data, at.now()) {
            Ok(ix) => ix,
            Err(refusal) => return refusal.into(),
        };
        match self.facts.bindings.get_mut(ix).and_then(Option::as_mut) {
            Some(row) => at.settle(&mut row.register, Rank::Removed, "binding"),
            None => Effect::NoChange,
        }
    }

    /// The creator of a project has the profile's role for it from the same step on.
    pub(crate) fn bind_creator(&mut self, at: &mut At<'_>, project: u32, author: Author) {
        let Some(Origin::Local(local)) = self.facts.projects.get(project as usize).map(|row| &row.origin) else {
            return;
        };
        let creator = local.creator;
        let Some(role) = self.profile.document().rules.creator_role.clone() else { return };
        let (Some(scope), Ok(user)) = (self.scope_word(On::Project(project)), self.person_key(creator).parse()) else {
            return;
        };
        if creator != NONE {
            let data =
                body::Binding { principal: body::Principal::User(user), role, scope, author, starts: None, ends: None };
            self.keep_binding(at, &data, Holder::Person(creator), On::Project(project), true);
        }
    }
}
