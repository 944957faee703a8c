//! Callers by id, in the words of events and the other way round.

use std::borrow::Cow;

use rollcall_events::{
    body::{self, Scope},
    names::CallerReference,
};

use crate::roster::{
    Roster,
    facts::{Holder, RecordedScope},
    handles::{Principal, ProjectIx},
};

/// What the id of a service begins with where ids of users stand too. No user's does: a source's name has no colon.
const SERVICE: &str = "service:";

impl Roster {
    /// A caller's id and name: of a user `source/person` and what it signs in with, of a service `service:` and its id.
    #[must_use]
    pub fn caller_names(&self, who: Principal) -> (String, String) {
        match who {
            Principal::Anyone => Default::default(),
            Principal::User(user) | Principal::Limited(user, _) => {
                (self.user_id(user), self.user_name(user).to_owned())
            }
            Principal::Service(service) => {
                let id = format!("{SERVICE}{}", self.service(service).id);
                (id.clone(), id)
            }
        }
    }

    /// The name alone, as [`Self::caller_names`] gives it.
    pub(crate) fn caller_name(&self, who: Principal) -> Cow<'_, str> {
        match who {
            Principal::User(user) | Principal::Limited(user, _) => self.user_name(user).into(),
            Principal::Service(_) | Principal::Anyone => self.caller_names(who).1.into(),
        }
    }

    /// The caller with an id, as [`Self::caller_names`] gives it.
    #[must_use]
    pub fn caller_by_id(&self, id: &str) -> Option<Principal> {
        match id.strip_prefix(SERVICE) {
            Some(id) => self.service_by_id(id).map(Principal::Service),
            None => self.user_by_id(id).map(Principal::User),
        }
    }

    /// The user or service that somebody means, by the form of what was written.
    #[must_use]
    pub fn caller_by_reference(&self, reference: CallerReference<'_>) -> Option<Principal> {
        match reference {
            CallerReference::Service(id) => self.service_by_id(id).map(Principal::Service),
            user => self.user_by_reference(user).map(Principal::User),
        }
    }

    /// The user or service that a command names.
    #[must_use]
    pub fn find_principal(&self, word: &body::Principal) -> Option<Principal> {
        match word {
            body::Principal::User(id) => self.user_by_id(id.as_str()).map(Principal::User),
            body::Principal::Service(id) => self.service_by_id(id.as_str()).map(Principal::Service),
            body::Principal::Group(_) => None,
        }
    }

    /// A caller in the words of a command; nothing for somebody who did not sign in.
    #[must_use]
    pub fn event_principal(&self, principal: Principal) -> Option<body::Principal> {
        match principal {
            Principal::Anyone => None,
            Principal::User(user) | Principal::Limited(user, _) => {
                Some(body::Principal::User(self.user_id(user).parse().ok()?))
            }
            Principal::Service(service) => Some(body::Principal::Service(self.service(service).id.parse().ok()?)),
        }
    }

    /// A holder in the words of a binding.
    pub(crate) fn event_holder(&self, holder: Holder) -> Option<body::Principal> {
        Some(match holder {
            Holder::Person(ix) => body::Principal::User(self.person_key(ix).parse().ok()?),
            Holder::Service(ix) => body::Principal::Service(self.facts.services.id(ix).parse().ok()?),
            Holder::Group(ix) => body::Principal::Group(self.group_key(ix).parse().ok()?),
        })
    }

    /// A scope in the words of a binding.
    pub(crate) fn event_scope(&self, on: RecordedScope) -> Option<Scope> {
        Some(match on {
            RecordedScope::Root => Scope::Root,
            RecordedScope::Folder(ix) => Scope::Folder(self.facts.folders.id(ix).parse().ok()?),
            RecordedScope::Project(ix) => Scope::Project(self.project(ProjectIx::recorded(ix)).id.parse().ok()?),
        })
    }

    pub(crate) fn is_there(&self, caller: Principal) -> bool {
        !matches!(caller, Principal::User(user) | Principal::Limited(user, _) if !self.is_user(user))
    }
}
