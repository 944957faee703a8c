//! Who may give a command: decided by the profile of Rollcall's own API, or by what the access profile in force gives
//! of it to those who hold something there.

use chrono::{DateTime, Utc};
use rollcall_events::body::Author;

use crate::{
    commands::refusal::{Refusal, RefusalKind},
    profile::ActionSet,
    roster::{
        Roster,
        handles::{Place, Principal, ProfileKind},
    },
};

/// Whence somebody may give a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authority {
    /// Holds the admin key, or everything in the API's profile.
    Operator,
    /// A role of the API's profile.
    Api,
    /// A role of the access profile, by its section `api`.
    Access,
}

impl Roster {
    /// Whether a caller may do this action of Rollcall's own API on a scope.
    #[must_use]
    pub fn allows(&self, caller: Principal, action: &str, place: impl Into<Place>, now: DateTime<Utc>) -> bool {
        self.authority(caller, action, place.into(), now).is_some()
    }

    fn authority(&self, caller: Principal, action: &str, place: Place, now: DateTime<Utc>) -> Option<Authority> {
        let holds = |profile_kind, actions| self.decide_by(profile_kind, caller, actions, place, now).is_allowed();
        if self.api.operation(action).is_some_and(|actions| holds(ProfileKind::Api, actions)) {
            let everything = self.api.everything();
            return Some(if holds(ProfileKind::Api, everything) { Authority::Operator } else { Authority::Api });
        }
        // What everybody who signed in has is for people: a service, and whoever uses a secret that somebody else made, does
        // here what a role gives.
        let given = |actions: ActionSet| {
            let live = self.live_roles(ProfileKind::Access, caller, place, now.timestamp_micros());
            let roles = live.fold(ActionSet::EMPTY, |all, live| all.union(self.profile.gives(live.held)));
            !matches!(caller, Principal::Service(_) | Principal::Limited(..)) || roles.contains(actions)
        };
        self.profile
            .gives_api(action)
            .is_some_and(|actions| holds(ProfileKind::Access, actions) && given(actions))
            .then_some(Authority::Access)
    }

    /// The user or service that gives a command; nothing for the operator.
    pub(crate) fn resolve_author(&self, author: &Author) -> Result<Option<Principal>, Refusal> {
        let Some(word) = author.principal() else { return Ok(None) };
        match self.find_principal(&word) {
            Some(principal) => Ok(Some(principal)),
            None => Err(RefusalKind::Forbidden.because(format!("its author {word} is not there"))),
        }
    }

    /// Whether the author of a command may do this on a scope. A command without an author is the operator's.
    pub(crate) fn authorize(
        &self,
        author: Option<&Author>,
        action: &str,
        place: Place,
        now: DateTime<Utc>,
    ) -> Result<Authority, Refusal> {
        if self.mode.trusts_commands() {
            return Ok(Authority::Operator);
        }
        let Some(author) = author else { return Ok(Authority::Operator) };
        let Some(principal) = self.resolve_author(author)? else { return Ok(Authority::Operator) };
        self.authority(principal, action, place, now).ok_or_else(|| {
            RefusalKind::Forbidden.because(format!("{} may not do this here ({action})", author.as_str()))
        })
    }

    /// Whether the author could do this on a scope if it were open.
    pub(crate) fn could_if_open(
        &self,
        author: Option<&Author>,
        action: &str,
        place: Place,
        now: DateTime<Utc>,
    ) -> Result<bool, Refusal> {
        let Some(caller) = author.map(|author| self.resolve_author(author)).transpose()?.flatten() else {
            return Ok(true);
        };
        let holds = |profile_kind, actions: Option<ActionSet>| {
            actions
                .is_some_and(|actions| self.decide_as_if_open(profile_kind, caller, actions, place, now).is_allowed())
        };
        Ok(holds(ProfileKind::Api, self.api.operation(action))
            || holds(ProfileKind::Access, self.profile.gives_api(action)))
    }
}
