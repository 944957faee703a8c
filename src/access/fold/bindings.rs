//! Roles given by hand: kept, raised for administrators, given to the creator of a project, taken away.

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body,
    body::{self, Author, EventData as _, Scope},
};

use crate::{
    fold::{change::Effect, context::FoldContext},
    roster::{
        Roster,
        facts::{Binding, Holder, MadeThing, NONE, Origin, RecordedScope, instant, micros},
        handles::ProfileKind,
        register::{Rank, Register},
    },
};

impl Roster {
    pub(crate) fn set_binding(&mut self, cx: &mut FoldContext<'_>, data: &body::Binding) -> Effect {
        let now = cx.now();
        let (holder, on) = match self.check_binding(data, now) {
            Ok(found) => found,
            Err(refusal) => return refusal.into(),
        };
        let raised = self.raised_binding(holder, data, now);
        let covers = |raised: &body::Binding| {
            let actions = |name: &str| self.profile.role(name).map(|role| self.profile.role_actions(role));
            actions(&raised.role).zip(actions(&data.role)).is_some_and(|(least, role)| least.contains(role))
                && micros(raised.starts, i64::MIN) <= micros(data.starts, i64::MIN)
                && micros(raised.ends, i64::MAX) >= micros(data.ends, i64::MAX)
        };
        let effect = match &raised {
            None => self.store_binding(cx, data, holder, on, false),
            Some(raised) if covers(raised) => self.store_binding(cx, raised, holder, on, true),
            // Roles are sets: where the least one lacks something of what was given, or ends sooner, both are.
            Some(raised) => {
                self.store_binding(cx, raised, holder, on, true);
                self.store_binding(cx, data, holder, on, false)
            }
        };
        if matches!(effect, Effect::Applied | Effect::NoChange) && on == RecordedScope::Root {
            self.raise_bindings_below(cx, holder, data, now);
        }
        effect
    }

    pub(crate) fn remove_binding(&mut self, cx: &mut FoldContext<'_>, data: &body::BindingRef) -> Effect {
        let ix = match self.check_binding_removal(data, cx.now()) {
            Ok(ix) => ix,
            Err(refusal) => return refusal.into(),
        };
        match self.facts.bindings.get_mut(ix).and_then(Option::as_mut) {
            Some(row) => cx.update(&mut row.register, Rank::Removed, "binding"),
            None => Effect::NoChange,
        }
    }

    /// The creator of a project has the profile's role for it from the same step on.
    pub(crate) fn bind_creator(&mut self, cx: &mut FoldContext<'_>, project: u32, author: Author) {
        let Some(Origin::Local(local)) = self.facts.projects.get(project as usize).map(|row| &row.origin) else {
            return;
        };
        let creator = local.creator;
        let Some(role) = self.profile.document().rules.creator_role.clone() else { return };
        let (Some(scope), Ok(user)) =
            (self.event_scope(RecordedScope::Project(project)), self.person_key(creator).parse())
        else {
            return;
        };
        if creator != NONE {
            let data = body::Binding {
                principal: body::Principal::User(user),
                role,
                scope,
                author,
                starts: None,
                ends: None,
                made_with: None,
            };
            self.store_binding(cx, &data, Holder::Person(creator), RecordedScope::Project(project), true);
        }
    }

    /// Files a binding. `implied`: it follows from a command about something else, or in other words, and is stated
    /// beside it.
    pub(crate) fn store_binding(
        &mut self,
        cx: &mut FoldContext<'_>,
        data: &body::Binding,
        holder: Holder,
        on: RecordedScope,
        implied: bool,
    ) -> Effect {
        let subject = data.subject();
        let new = self.facts.bindings.find(0, &subject).is_none();
        let ix = self.facts.bindings.intern(0, &subject);
        let Some(slot) = self.facts.bindings.get_mut(ix) else { return Effect::NoChange };
        let mut register = slot.as_ref().map_or_else(Register::default, |row| row.register);
        let (starts, ends) = (micros(data.starts, i64::MIN), micros(data.ends, i64::MAX));
        let stood = register.stands() && slot.as_ref().is_some_and(|row| (row.starts, row.ends) == (starts, ends));
        let (now, position) = (cx.now().timestamp_micros(), cx.position());
        let standing = slot.as_ref().filter(|row| row.register.stands() && now < row.ends);
        let since = standing.map_or(position, |row| row.since);
        let effect = if implied {
            let text = Body::BindingSet(data.clone()).data();
            cx.update_implied(&mut register, "binding", &subject, &text)
        } else {
            cx.update(&mut register, Rank::Full, "binding")
        };
        let row = Binding { register, holder, role: data.role.clone(), on, starts, ends, since };
        *slot = Some(row.clone());
        let role = self.binding_role(&row);
        if new {
            self.index.add_binding(ix, self.facts.bindings.id(ix), holder, on);
            if let Holder::Person(person) = holder {
                self.fast_path.update_person(&self.facts, &self.index, person);
            }
        }
        if let Some(slot) = self.roles.get_or_grow(ix as usize, &None) {
            *slot = role;
        }
        self.note_made_with(MadeThing::Binding(ix), data.made_with.as_ref(), stood);
        effect
    }

    /// An administrator is never below the profile's least role where he or she is a member: what a binding becomes,
    /// for as long as both it and the administration run. What is held already is not cut short by it.
    fn raised_binding(&self, holder: Holder, data: &body::Binding, now: DateTime<Utc>) -> Option<body::Binding> {
        let least_name = self.profile.document().rules.admin_at_least.as_deref()?;
        let least = self.profile.role(least_name)?;
        let (profile_kind, role) = self.resolve_role(&data.role)?;
        let on = self.recorded_scope(&data.scope)?;
        let below = profile_kind == ProfileKind::Access
            && on != RecordedScope::Root
            && !self.profile.role_actions(role).contains(self.profile.role_actions(least))
            && self.profile.grantable(least, self.level(ProfileKind::Access, on)?);
        let (from, until) = self.admin_window(holder, now).filter(|_| below)?;
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
    fn recorded_scope(&self, scope: &Scope) -> Option<RecordedScope> {
        self.path(self.resolve_scope(scope).ok()?).next()
    }

    /// The window of the binding that makes somebody an administrator now: of everything, at the root. Of several the
    /// one that runs longest.
    fn admin_window(&self, holder: Holder, now: DateTime<Utc>) -> Option<(i64, i64)> {
        let Holder::Person(person) = holder else { return None };
        let everything = |ix: u32| {
            matches!(self.roles.get(ix as usize).copied().flatten(),
                Some((ProfileKind::Access, held)) if self.profile.is_everything(held.role))
        };
        let theirs = self.bindings_of_user(person).into_iter().filter(|ix| everything(*ix));
        let rows = theirs.filter_map(|ix| self.facts.bindings.get(ix)?.as_ref());
        rows.filter(|row| row.on == RecordedScope::Root && row.runs(now.timestamp_micros()))
            .map(|row| (row.starts, row.ends))
            .max_by_key(|(starts, ends)| (*ends, std::cmp::Reverse(*starts)))
    }

    /// Somebody became an administrator: what he or she holds below is raised too.
    fn raise_bindings_below(
        &mut self,
        cx: &mut FoldContext<'_>,
        holder: Holder,
        data: &body::Binding,
        now: DateTime<Utc>,
    ) {
        let Holder::Person(person) = holder else { return };
        if self.profile.document().rules.admin_at_least.is_none() || self.admin_window(holder, now).is_none() {
            return;
        }
        for ix in self.bindings_of_user(person) {
            let row = self.facts.bindings.get(ix).and_then(Option::as_ref);
            let row = row.filter(|row| row.register.stands() && now.timestamp_micros() < row.ends);
            let Some((row, scope)) = row.and_then(|row| Some((row, self.event_scope(row.on)?))) else { continue };
            let (holder, on) = (row.holder, row.on);
            let Some(principal) = self.event_holder(holder) else { continue };
            let theirs = body::Binding {
                principal,
                role: row.role.clone(),
                scope,
                author: data.author.clone(),
                starts: instant(row.starts),
                ends: instant(row.ends),
                made_with: data.made_with.clone(),
            };
            if let Some(raised) = self.raised_binding(holder, &theirs, now) {
                self.store_binding(cx, &raised, holder, on, true);
            }
        }
    }
}
