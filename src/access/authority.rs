//! Who may give a command: judged by the profile of Rollcall's own API, or by what the access profile in force gives of
//! it to those who hold something there. The API asks before it appends, the fold again at the command's position.

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body,
    body::{self, Author},
};

use crate::{
    ActionSet, Effect, Principal,
    facts::Owner,
    place::{Place, ProfileKind, ServiceIx},
    roster::{Roster, UserIx},
};

/// Why a command is refused: what the caller does about it, and in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// What is to be done about it.
    pub kind: RefusalKind,
    /// In words.
    pub text: String,
}

/// The kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// It names something that is not there.
    Unknown,
    /// A source owns it: change it there.
    Managed,
    /// The profile has no such role.
    NoRole,
    /// The role is more than the giver has.
    Beyond,
    /// The author may not do this here.
    Forbidden,
    /// Somebody has to stay in that role.
    LastHolder,
    /// The name or id is in use.
    Taken,
    /// It does not fit the profile or what is there.
    Invalid,
}

impl RefusalKind {
    pub(crate) fn because(self, text: impl Into<String>) -> Refusal {
        Refusal { kind: self, text: text.into() }
    }
}

impl From<Refusal> for Effect {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.text)
    }
}

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
        let holds = |rights, actions| self.judge_by(rights, caller, actions, place, now).is_allowed();
        if self.api.operation(action).is_some_and(|actions| holds(ProfileKind::Api, actions)) {
            let everything = self.api.everything();
            return Some(if holds(ProfileKind::Api, everything) { Authority::Operator } else { Authority::Api });
        }
        // What everybody who signed in has is for people: a service does here what it was given.
        let given = |actions: ActionSet| {
            let live = self.live_roles(ProfileKind::Access, caller, place, now.timestamp_micros());
            let roles = live.fold(ActionSet::EMPTY, |all, live| all.union(self.profile.gives(live.held)));
            !matches!(caller, Principal::Service(_)) || roles.contains(actions)
        };
        self.profile
            .gives_api(action)
            .is_some_and(|actions| holds(ProfileKind::Access, actions) && given(actions))
            .then_some(Authority::Access)
    }

    /// The user or service that gives a command; nothing for the operator.
    pub(crate) fn author(&self, author: &Author) -> Result<Option<Principal>, Refusal> {
        let Some(word) = author.principal() else { return Ok(None) };
        match self.find_principal(&word) {
            Some(principal) => Ok(Some(principal)),
            None => Err(RefusalKind::Forbidden.because(format!("its author {word} is not there"))),
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
            Principal::User(user) => Some(body::Principal::User(self.user_id(user).parse().ok()?)),
            Principal::Service(service) => Some(body::Principal::Service(self.service(service).id.parse().ok()?)),
        }
    }

    /// Whether the author of a command may do this on a scope. A command without an author is the operator's.
    pub(crate) fn authorise(
        &self,
        author: Option<&Author>,
        action: &str,
        place: Place,
        now: DateTime<Utc>,
    ) -> Result<Authority, Refusal> {
        if self.judging.trusts() {
            return Ok(Authority::Operator);
        }
        let Some(author) = author else { return Ok(Authority::Operator) };
        let Some(principal) = self.author(author)? else { return Ok(Authority::Operator) };
        self.authority(principal, action, place, now).ok_or_else(|| {
            RefusalKind::Forbidden.because(format!("{} may not do this here ({action})", author.as_str()))
        })
    }

    /// Whether the author could do this on a scope if it were open.
    pub(crate) fn might(
        &self,
        author: Option<&Author>,
        action: &str,
        place: Place,
        now: DateTime<Utc>,
    ) -> Result<bool, Refusal> {
        let Some(caller) = author.map(|author| self.author(author)).transpose()?.flatten() else { return Ok(true) };
        let holds = |rights, actions: Option<ActionSet>| {
            actions.is_some_and(|actions| self.judge_as_if_open(rights, caller, actions, place, now).is_allowed())
        };
        Ok(holds(ProfileKind::Api, self.api.operation(action))
            || holds(ProfileKind::Access, self.profile.gives_api(action)))
    }

    /// As [`Self::authorise`], where the command is about what signs somebody in. Everybody does so for himself or
    /// herself. Whoever gives another a secret can sign in as that one, and whoever takes it shuts him or her out: so
    /// only the operator does either to somebody who was given a role.
    fn authorise_about(
        &self,
        author: Option<&Author>,
        about: Option<Principal>,
        action: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let own = match author {
            Some(author) => self.author(author)?.filter(|author| Some(*author) == about),
            None => None,
        };
        if own.is_some() {
            return Ok(());
        }
        let authority = self.authorise(author, action, Place::Root, now)?;
        if authority == Authority::Operator || !about.is_some_and(|about| self.was_given(about, now)) {
            return Ok(());
        }
        Err(RefusalKind::Beyond
            .because("its owner was given a role, and only an administrator gives or takes the secrets of such"))
    }

    /// Who makes a secret, unless it is the operator, who may do everything anyway.
    pub(crate) fn maker(&self, author: Option<&Author>, now: DateTime<Utc>) -> Option<Owner> {
        let principal = self.author(author?).ok()??;
        if self.judge_by(ProfileKind::Api, principal, self.api.everything(), Place::Root, now).is_allowed() {
            return None;
        }
        match principal {
            Principal::Anyone => None,
            Principal::User(UserIx(person)) => Some(Owner::Person(person)),
            Principal::Service(ServiceIx(service)) => Some(Owner::Service(service)),
        }
    }

    /// Whether a command may be given now: the question that is asked before it is appended, and by the fold again.
    ///
    /// # Errors
    /// Says what stands against it.
    pub fn check_command(&self, command: &Body, now: DateTime<Utc>) -> Result<(), Refusal> {
        let user = |id: &rollcall_events::Id| self.user_by_id(id.as_str()).map(Principal::User);
        match command {
            Body::BindingSet(data) => self.judge_binding(data, now).map(|_| ()),
            Body::BindingRemoved(data) => self.judge_unbinding(data, now).map(|_| ()),
            Body::FolderUpserted(data) => self.judge_folder(data, now).map(|_| ()),
            Body::FolderRemoved(data) => self.judge_folder_removal(data, now).map(|_| ()),
            Body::ProjectCreated(data) => self.judge_creation(data, now).map(|_| ()),
            Body::ProjectUpdated(data) => self.judge_update(data, now).map(|_| ()),
            Body::ProjectDeleted(data) => self.judge_deletion(data, now).map(|_| ()),
            Body::ServiceCreated(data) => self.judge_service(data, now),
            Body::ServiceRemoved(data) => self.judge_service_removal(data, now).map(|_| ()),
            Body::GroupUpserted(data) => self.judge_group(data.group.as_str(), data.author.as_ref(), now),
            Body::GroupRemoved(data) => self.judge_group_removal(data, now),
            Body::GroupMemberAdded(data) | Body::GroupMemberRemoved(data) => {
                self.judge_member(data, matches!(command, Body::GroupMemberRemoved(_)), now)
            }
            Body::SecretIssued(data) => match &data.owner {
                // Whoever has an invitation needs nothing else.
                _ if data.invitation.is_some() => Ok(()),
                body::SecretOwner::User(id) => {
                    self.authorise_about(data.author.as_ref(), user(id), "secret.issue", now)
                }
                body::SecretOwner::Service(id) => {
                    let service = self.service_by_id(id.as_str());
                    if service.is_none() {
                        return Err(RefusalKind::Unknown.because(format!("there is no service `{id}`")));
                    }
                    self.authorise(data.author.as_ref(), "service.set", Place::Root, now)?;
                    self.authorise_about(data.author.as_ref(), service.map(Principal::Service), "service.set", now)
                }
            },
            Body::SecretInvited(data) => {
                self.authorise_about(data.author.as_ref(), user(&data.user), "secret.issue", now)
            }
            Body::SecretRevoked(data) => {
                let owner = self.secret_owner(data.secret.as_str());
                self.authorise_about(data.author.as_ref(), owner, "secret.revoke", now)
            }
            Body::CredentialsReset(data) => {
                self.authorise_about(data.author.as_ref(), user(&data.user), "secret.revoke", now)
            }
            Body::IdentityLinked(data) | Body::IdentityUnlinked(data) => {
                self.authorise(data.author.as_ref(), "person.link", Place::Root, now).map(|_| ())
            }
            _ => Ok(()),
        }
    }
}
