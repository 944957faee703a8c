//! Who may give a command: judged by the profile of Rollcall's own API, or by what the access profile in force gives of
//! it to those who hold something there. The API asks before it appends, the fold again at the command's position.

use chrono::{DateTime, Utc};
use rollcall_events::{
    Body,
    body::{self, Author},
};

use crate::{
    ActionSet, Effect, Principal,
    place::{Place, Rights},
    roster::Roster,
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
        if self.api.operation(action).is_some_and(|actions| holds(Rights::Api, actions)) {
            let everything = self.api.everything();
            return Some(if holds(Rights::Api, everything) { Authority::Operator } else { Authority::Api });
        }
        self.profile
            .gives_api(action)
            .is_some_and(|actions| holds(Rights::Access, actions))
            .then_some(Authority::Access)
    }

    /// The user or service that gives a command; nothing for the operator.
    pub(crate) fn author(&self, author: &Author) -> Result<Option<Principal>, Refusal> {
        let Some(word) = author.principal() else { return Ok(None) };
        match self.principal_of(&word) {
            Some(principal) => Ok(Some(principal)),
            None => Err(RefusalKind::Forbidden.because(format!("its author {word} is not there"))),
        }
    }

    /// The user or service that a command names.
    #[must_use]
    pub fn principal_of(&self, word: &body::Principal) -> Option<Principal> {
        match word {
            body::Principal::User(id) => self.user_by_id(id.as_str()).map(Principal::User),
            body::Principal::Service(id) => self.service_by_id(id.as_str()).map(Principal::Service),
            body::Principal::Group(_) => None,
        }
    }

    /// A caller in the words of a command; nothing for somebody who did not sign in.
    #[must_use]
    pub fn word_of(&self, principal: Principal) -> Option<body::Principal> {
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

    /// As [`Self::authorise`], where the command is about the author.
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
        if own.is_none() {
            let authority = self.authorise(author, action, Place::Root, now)?;
            if authority != Authority::Operator && action == "secret.issue" {
                self.no_step_up(author, about, now)?;
            }
        }
        Ok(())
    }

    /// Whoever gives somebody a secret can sign in as that user. So nobody gives one to a user who was given more of the
    /// API than the giver.
    fn no_step_up(&self, author: Option<&Author>, about: Option<Principal>, now: DateTime<Utc>) -> Result<(), Refusal> {
        let giver = author.map_or(Ok(None), |author| self.author(author))?;
        let (Some(giver), Some(about)) = (giver, about) else { return Ok(()) };
        let (own, _) = self.granted(Rights::Api, giver, Place::Root, now);
        let mut theirs = ActionSet::EMPTY;
        self.each_holder(about, |holder| {
            for ix in self.index.holder_bindings.get(&holder).into_iter().flatten() {
                let row = self.facts.bindings.get(*ix).and_then(Option::as_ref);
                if let (Some(row), Some((Rights::Api, held))) = (row, self.roles.get(*ix as usize).copied().flatten())
                    && row.register.stands()
                    && now.timestamp_micros() < row.ends
                {
                    theirs = theirs.with(self.api.gives(held));
                }
            }
        });
        if own.holds(theirs) {
            return Ok(());
        }
        let more = self.api.names(theirs.without(own)).join(", ");
        Err(RefusalKind::Beyond.because(format!("that user may do more with Rollcall than the giver: {more}")))
    }

    /// Whether a command may be given now: the question that is asked before it is appended, and by the fold again.
    ///
    /// # Errors
    /// Says what stands against it.
    pub fn may(&self, command: &Body, now: DateTime<Utc>) -> Result<(), Refusal> {
        let user = |id: &rollcall_events::Id| self.user_by_id(id.as_str()).map(Principal::User);
        match command {
            Body::BindingSet(data) => self.judge_binding(data, now).map(|_| ()),
            Body::BindingRemoved(data) => self.judge_unbinding(data, now).map(|_| ()),
            Body::ContainerUpserted(data) => self.judge_container(data, now).map(|_| ()),
            Body::ContainerRemoved(data) => self.judge_container_removal(data, now).map(|_| ()),
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
                    if self.service_by_id(id.as_str()).is_none() {
                        return Err(RefusalKind::Unknown.because(format!("there is no service `{id}`")));
                    }
                    self.authorise(data.author.as_ref(), "service.set", Place::Root, now).map(|_| ())
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
