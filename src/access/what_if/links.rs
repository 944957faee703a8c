//! What each person would gain and lose by being linked or parted. Records nothing.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_events::{Body, Digest, SourceName};

use crate::{
    effort::{Effort, GivenUp},
    fold::change::Effect,
    questions::members::memberships_of,
    roster::{
        Roster,
        handles::{Place, Principal, ProfileKind, UserIx},
    },
    what_if::{preview::NamedScope, standing::SIGN_IN},
};

/// A role that a person has on a scope, or has no more; or that it can sign in no more, told of the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersonChange {
    /// Whose, `source/id`.
    pub person: String,
    /// Where.
    pub scope: NamedScope,
    /// Which role.
    pub role: String,
    /// Whether it appears; else it disappears.
    pub appears: bool,
}

/// What linking or parting persons would do.
#[derive(Debug, Clone)]
pub struct LinkPlan {
    /// What it would record, in this order.
    pub commands: Vec<Body>,
    /// What the fold would say of each.
    pub effects: Vec<Effect>,
    /// What each of the persons would gain and lose.
    pub changes: Vec<PersonChange>,
    /// Names it: what does the same has the same name.
    pub name: String,
}

impl Roster {
    /// The roles of a user, by scope.
    fn roles_by_scope(&self, user: UserIx, now: DateTime<Utc>) -> BTreeSet<(NamedScope, String)> {
        let projects = memberships_of(self, user, now).into_iter();
        let mut all: BTreeSet<_> = projects.map(|row| (NamedScope::Project(row.project), row.role)).collect();
        let above = std::iter::once(Place::Root).chain(self.folders().map(Place::Folder));
        for place in above {
            let roles = self.roles_at(Principal::User(user), place, now).into_iter();
            all.extend(roles.map(|role| (self.named_scope(place), role)));
        }
        all.extend(self.api_roles_by_scope(user, now));
        all
    }

    /// Those of Rollcall's own API, where they were given.
    fn api_roles_by_scope(&self, user: UserIx, now: DateTime<Utc>) -> Vec<(NamedScope, String)> {
        let (mut all, now) = (Vec::new(), now.timestamp_micros());
        if self.shut_out(user) {
            return all;
        }
        self.each_holder(Principal::User(user), |holder| {
            for ix in self.index.holder_bindings.get(&holder).into_iter().flatten() {
                let row = self.facts.bindings.get(*ix).and_then(Option::as_ref).filter(|row| row.runs(now));
                let role = self.roles.get(*ix as usize).copied().flatten();
                if let (Some(row), Some((ProfileKind::Api, held))) = (row, role) {
                    let scope = self.named_scope(self.place_on(row.on));
                    all.push((scope, self.bindable_role(ProfileKind::Api, held.role)));
                }
            }
        });
        all
    }
}

/// Tries links on a copy of the roster.
///
/// # Errors
/// It was given up half way.
pub fn plan_links(
    before: &Roster,
    commands: Vec<Body>,
    now: DateTime<Utc>,
    effort: &Effort<'_>,
) -> Result<LinkPlan, GivenUp> {
    let mut after = before.clone();
    let effects = commands.iter().map(|body| after.fold_unrecorded(&SourceName::local(), body, now)).collect();
    let mut changes = BTreeSet::new();
    let mut text = String::new();
    for command in &commands {
        text.push_str(&format!("{} {}\n", command.kind(), command.subject()));
        let (Body::IdentityLinked(link) | Body::IdentityUnlinked(link)) = command else { continue };
        for person in &link.persons {
            effort.step()?;
            let person = format!("{}/{}", person.source, person.person);
            let roles = |roster: &Roster| {
                let user = roster.user_by_id(&person);
                user.map(|user| roster.roles_by_scope(user, now)).unwrap_or_default()
            };
            let (had, has) = (roles(before), roles(&after));
            let signs_in = |roster: &Roster| roster.user_by_id(&person).is_some_and(|user| !roster.shut_out(user));
            if signs_in(before) && !signs_in(&after) {
                let (scope, role) = (NamedScope::Root, SIGN_IN.to_owned());
                changes.insert(PersonChange { person: person.clone(), scope, role, appears: false });
            }
            for (side, other, appears) in [(&has, &had, true), (&had, &has, false)] {
                changes.extend(side.difference(other).map(|(scope, role)| PersonChange {
                    person: person.clone(),
                    scope: scope.clone(),
                    role: role.clone(),
                    appears,
                }));
            }
        }
    }
    for change in &changes {
        text.push_str(&format!("{change:?}\n"));
    }
    let name = format!("lnk_{:016x}", Digest::of(text.as_bytes()).prefix());
    Ok(LinkPlan { commands, effects, changes: changes.into_iter().collect(), name })
}
