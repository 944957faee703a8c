//! Who calls, and what that caller sees and may do in one reading of the roster. Unknown things and things that the caller
//! does not see get the same answer (access-models, decision 15). Appends nothing and reads no request.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use rollcall_access::{
    BindingView, FolderIx, GroupIx, Place, Principal, ProjectIx, Roster, SecretView, ServiceIx, UserIx, Verb, decide,
    had_own_tie, is_only_customer,
};
use rollcall_authn::{Identity, SecretUsed};
use rollcall_events::{
    Digest, Id,
    body::{self, Author},
};

use crate::{
    binding_id,
    error::{Error, ErrorKind, Result},
    find, prefix,
    share::Party,
};

/// Whose credential a request carries. Kept by the ids of events: a roster's own indices are valid for that roster only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Whoever has the admin key.
    Operator,
    /// A user or a service.
    Known(body::Principal),
    /// A user by a secret that somebody else made, by their ids: no more than that reaches.
    Limited(Id, Id),
}

impl Caller {
    /// The author of this caller's commands.
    #[must_use]
    pub fn author(&self) -> Author {
        match self {
            Self::Operator => Author::operator(),
            Self::Known(principal) => Author::of(principal),
            Self::Limited(user, _) => Author::of(&body::Principal::User(user.clone())),
        }
    }

    /// What belongs to this caller alone is bound to this: cursors, for one.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut text = self.author().as_str().to_owned();
        if let Self::Limited(_, secret) = self {
            text.push('\n');
            text.push_str(secret.as_str());
        }
        Digest::of(text.as_bytes()).0
    }

    /// The caller in one reading of the roster.
    pub(crate) fn view<'a>(&self, roster: &'a Roster, now: DateTime<Utc>) -> CallerView<'a> {
        let who = match self {
            Self::Operator => None,
            // Somebody who is gone since signing in is nobody.
            Self::Known(word) => Some(roster.find_principal(word).unwrap_or(Principal::Anyone)),
            Self::Limited(user, secret) => {
                Some(roster.caller_with_secret(user.as_str(), secret.as_str(), now).unwrap_or(Principal::Anyone))
            }
        };
        CallerView { roster, who, now }
    }
}

/// A caller, from where, and the secret that they signed in with; the admin key and a password in a directory are none.
#[derive(Clone)]
pub struct SignedIn {
    /// Who.
    pub caller: Caller,
    /// By which secret.
    pub secret: Option<SecretUsed>,
    /// The client's address.
    pub client: IpAddr,
}

impl SignedIn {
    /// In words that outlive the roster they were read from.
    pub(crate) fn of(roster: &Roster, identity: Identity, client: IpAddr) -> Option<Self> {
        match identity {
            Identity::Anonymous => None,
            Identity::Operator => Some(Self { caller: Caller::Operator, secret: None, client }),
            Identity::Principal { principal, secret } => {
                let caller = match (principal, roster.event_principal(principal)?) {
                    (Principal::Limited(..), body::Principal::User(user)) => {
                        Caller::Limited(user, secret.as_ref()?.id.clone())
                    }
                    (_, word) => Caller::Known(word),
                };
                Some(Self { caller, secret, client })
            }
        }
    }

    /// Whom what is asked counts for.
    pub(crate) fn party(&self) -> Party {
        Party::new(self.caller.author().as_str(), Some(self.client))
    }
}

/// Who gives commands, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Giver {
    /// Who.
    pub author: Author,
    /// The secret that they signed in with, as commands name it.
    pub made_with: Option<Id>,
    /// Until when (exclusive) what they make is good at most.
    pub end: Option<DateTime<Utc>>,
}

impl SignedIn {
    /// Who it is and by which secret, in words of which none is a credential: what belongs to this caller is kept under it.
    #[must_use]
    pub fn identity(&self) -> String {
        let secret = self.secret.as_ref().map(|secret| secret.id.as_str()).unwrap_or_default();
        format!("{}\n{secret}", self.caller.author().as_str())
    }

    /// As commands name it.
    pub(crate) fn giver(&self) -> Giver {
        Giver {
            author: self.caller.author(),
            made_with: self.secret.as_ref().map(|secret| secret.id.clone()),
            end: self.secret.as_ref().and_then(|secret| secret.until),
        }
    }
}

/// A caller who looks at a roster at an instant.
#[derive(Clone, Copy)]
pub(crate) struct CallerView<'a> {
    roster: &'a Roster,
    /// Nothing for the operator, who may do everything.
    who: Option<Principal>,
    now: DateTime<Utc>,
}

impl CallerView<'_> {
    /// Whether the caller may do an action of the API's profile at a place. Who may at the root, may also at what is
    /// archived or removed, where nothing else holds.
    pub fn may(&self, action: &str, place: impl Into<Place>) -> bool {
        let (roster, now) = (self.roster, self.now);
        self.who
            .is_none_or(|who| roster.allows(who, action, place, now) || roster.allows(who, action, Place::Root, now))
    }

    /// Whether the caller may do an action everywhere.
    pub fn may_everywhere(&self, action: &str) -> bool {
        self.may(action, Place::Root)
    }

    /// The caller as somebody; nothing for the operator.
    pub fn itself(&self) -> Option<Principal> {
        self.who
    }

    /// The id of the caller that is a user or service; of anybody else what is nobody's.
    pub fn own_id(&self) -> String {
        let known = self.who.filter(|who| *who != Principal::Anyone);
        known.map(|who| self.roster.caller_names(who).0).unwrap_or_default()
    }

    /// Whether the caller is this user or service.
    pub fn is(&self, who: impl Into<Principal>) -> bool {
        let who = who.into();
        match (self.who, who) {
            (Some(Principal::Limited(user, _)), Principal::User(asked)) => user == asked,
            (caller, who) => caller == Some(who),
        }
    }

    /// As whom somebody is asked about: whoever signed in with a secret that somebody else made is told of the own user no
    /// more than that reaches.
    pub fn within_reach(&self, who: Principal) -> Principal {
        match self.who {
            Some(limited @ Principal::Limited(own, _)) if who == Principal::User(own) => limited,
            _ => who,
        }
    }

    /// What a secret reached that somebody else made, nobody knows of the past.
    pub fn may_ask_of_the_past(&self) -> Result<()> {
        match self.who {
            Some(Principal::Limited(..)) => Err(ErrorKind::Forbidden.because(
                "The secret that you sign in with was made by somebody else and tells of now only. Leave `as_of` away, or sign in with a secret of your own.",
            )),
            _ => Ok(()),
        }
    }

    /// The secrets of a user that the caller sees: all for the user and for who may see everybody's, else those that the
    /// caller made.
    pub fn secrets(&self, user: UserIx) -> Vec<SecretView<'_>> {
        let whose = match self.who {
            Some(limited @ Principal::Limited(own, _)) if own == user => limited,
            _ => Principal::User(user),
        };
        let all = self.is(user) || self.may_everywhere("secret.list_all");
        let mut found = self.roster.secrets_of(whose, self.now);
        found.retain(|secret| all || (secret.maker.is_some() && secret.maker == self.who));
        found
    }

    /// The sources that a portal names as its own: of others' deliveries it is not told and it commands nothing. Every source
    /// when empty.
    pub fn served(&self) -> Vec<&str> {
        match self.who {
            Some(Principal::Service(service)) => self.roster.service(service).sources,
            _ => Vec::new(),
        }
    }

    /// Whether a source is one of these.
    pub fn serves(&self, source: &str) -> bool {
        let served = self.served();
        served.is_empty() || served.contains(&source)
    }

    /// Whether the caller is in a group, to any depth.
    pub fn is_in(&self, group: GroupIx) -> bool {
        self.who.is_some_and(|who| self.roster.everybody_in(group).contains(&who))
    }

    /// Whether the caller may be told that somebody exists who is named at a place: whoever lists users or services knows
    /// them all, colleagues know each other, and whoever runs a place knows who has or had to do with it. Everybody else is
    /// to the caller like a name that nobody has.
    pub fn knows(&self, who: Principal, place: Place) -> bool {
        let roster = self.roster;
        let listed = match who {
            Principal::Anyone => true,
            Principal::User(_) | Principal::Limited(..) => self.may_everywhere("user.list"),
            Principal::Service(_) => self.may_everywhere("service.list"),
        };
        listed
            || self.is(who)
            || self.is_colleague(who)
            || (self.may("binding.list", place) && roster.bindings_on(place).any(|bound| bound.holder == Some(who)))
            || matches!(place, Place::Project(project) if had_own_tie(roster, who, project, self.now))
    }

    /// Whether the caller and somebody else are people of one account, or of one source that parts them into none, or of one
    /// directory, where everybody can be looked up by everybody else.
    fn is_colleague(&self, who: Principal) -> bool {
        let user = |who| match who {
            Principal::User(user) | Principal::Limited(user, _) => Some(user),
            Principal::Anyone | Principal::Service(_) => None,
        };
        let (Some(caller), Some(other)) = (self.who.and_then(user), user(who)) else { return false };
        let roster = self.roster;
        let present = |user| roster.user(user).persons.into_iter().filter(|person| !person.removed);
        let directory = |source: &str| {
            let settings = &roster.settings().sources;
            settings.iter().any(|(name, settings)| name.as_str() == source && settings.authoritative)
        };
        present(caller).any(|mine| {
            present(other)
                .any(|other| mine.source == other.source && (mine.account == other.account || directory(mine.source)))
        })
    }

    /// Whether the caller sees that a project exists: may list it, give roles on it, or do something in its repositories.
    pub fn sees(&self, project: ProjectIx) -> bool {
        let Some(who) = self.who else { return true };
        let verb = |verb| {
            let action = self.roster.profile().registry_action(verb);
            action.is_some_and(|action| decide(self.roster, who, action, project, self.now).is_allowed())
        };
        self.may("project.list", project)
            || self.may("binding.list", project)
            || [Verb::Pull, Verb::Push, Verb::Delete].into_iter().any(verb)
    }

    /// Whether the caller sees that a folder exists.
    pub fn sees_folder(&self, folder: FolderIx) -> bool {
        ["folder.list", "project.create", "binding.list"].into_iter().any(|action| self.may(action, folder))
    }

    /// Whether the caller may be told who else is in a project. People whose only live reasons there are entitlements are
    /// not, even where the role that rule 3 gives holds `member.list`, unless `customers_see_each_other` is on (DESIGN
    /// 7.6). A role of the API's own counts before that: whoever may read reports of the project reads there who is in it.
    pub fn sees_members(&self, project: ProjectIx) -> bool {
        let roster = self.roster;
        let listed = self.may("member.list", project)
            && (roster.settings().customers_see_each_other
                || self.may_everywhere("member.list")
                || self.may("report.read", project)
                || !self.who.is_some_and(|who| is_only_customer(roster, who, project, self.now)));
        listed
            || (roster.settings().customers_see_each_other
                && self.who.is_some_and(|who| {
                    [Verb::Pull, Verb::Push].into_iter().any(|verb| {
                        let action = roster.profile().registry_action(verb);
                        action.is_some_and(|action| decide(roster, who, action, project, self.now).is_allowed())
                    })
                }))
    }

    /// Whether the caller is told of a secret of a user or service, also of one that is over.
    pub fn sees_secret(&self, owner: Principal, id: &str) -> bool {
        let Some((whose, maker)) = self.roster.secret_owner_and_maker(id) else { return false };
        let made_it = maker.is_some() && maker == self.who;
        let own = self.who == Some(owner);
        whose == owner && (own || made_it || self.may_everywhere("secret.list_all"))
    }

    /// The project of a name, if the caller sees it.
    pub fn project(&self, name: &str) -> Result<ProjectIx> {
        find::project(self.roster, name).ok().filter(|project| self.sees(*project)).ok_or_else(find::no_such_project)
    }

    /// The folder of an id, if the caller sees it.
    pub fn folder(&self, id: &str) -> Result<FolderIx> {
        let found = self.roster.folder_by_id(id).filter(|folder| self.sees_folder(*folder));
        found.ok_or_else(find::no_such_folder)
    }

    /// The service of an id, if it is the caller or the caller may do an action with every service.
    pub fn service_for(&self, id: &str, action: &str) -> Result<ServiceIx> {
        match self.roster.service_by_id(id) {
            Some(service) if self.may_everywhere(action) => Ok(service),
            Some(service) if self.is(service) && action.ends_with(".list") => Ok(service),
            Some(_) if self.may_everywhere("service.list") => Err(forbidden(action)),
            _ => Err(find::no_such_service()),
        }
    }

    /// The user of a name or id, if it is the caller or the caller may do an action with every user.
    pub fn user_for(&self, name: &str, action: &str) -> Result<UserIx> {
        let found = find::user(self.roster, name);
        if self.may_everywhere(action) {
            return found;
        }
        match found {
            Ok(user) if self.is(user) => Ok(user),
            // Whoever lists users knows them all; it is the action that is missing.
            Ok(_) if self.may_everywhere("user.list") => Err(forbidden(action)),
            _ => Err(find::no_such_user()),
        }
    }

    /// Whether the caller holds a binding.
    pub fn holds(&self, binding: &BindingView<'_>) -> bool {
        // With a secret that somebody else made nobody holds what was given by hand.
        binding.holder.is_some_and(|holder| self.who == Some(holder))
    }

    /// Whether the caller is told of a binding: it is the caller's, or on a scope where the caller may list them.
    pub fn sees_binding(&self, binding: &BindingView<'_>) -> bool {
        self.holds(binding) || self.may("binding.list", binding.place)
    }

    /// The binding of an id, whole or short, if the caller may do an action with it. Whoever holds it sees it and may leave.
    pub fn binding_for(&self, id: &str, action: &str) -> Result<BindingView<'_>> {
        let told = |binding: &BindingView<'_>| self.sees_binding(binding) || self.may(action, binding.place);
        let found = find::bindings(self.roster, id).into_iter().filter(told);
        let found = found.map(|binding| (binding_id::short_of_subject(binding.subject), binding));
        let found = prefix::the_one(id, found, find::no_such_binding)?;
        if action == "binding.list" || self.holds(&found) || self.may(action, found.place) {
            Ok(found)
        } else {
            Err(forbidden(action))
        }
    }
}

/// The caller may see it, but not do this.
pub(crate) fn forbidden(action: &str) -> Error {
    ErrorKind::Forbidden.because(format!(
        "This needs `{action}` here, which none of your roles gives. Ask an administrator for a role that does."
    ))
}
