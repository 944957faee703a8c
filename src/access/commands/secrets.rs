//! Whether a secret may be made or ended by its author, and in whose name: that says what a new one reaches. Who may do
//! what for whom stands as a table in `docs/decisions/sign-in.md`.

use chrono::{DateTime, Utc};
use rollcall_events::{
    Command, Id,
    body::{self, Author},
    time::for_people,
};

use crate::{
    commands::{
        authority::Authority,
        refusal::{Refusal, RefusalKind},
    },
    roster::{
        Roster,
        facts::{MadeThing, Owner, Reach, Secret, SecretUse, instant, micros},
        handles::{FolderIx, Place, Principal, SecretIx, ServiceIx, UserIx},
    },
};

/// How many secrets and open invitations of one user each maker but the operator can have in force.
pub(crate) const MAX_SECRETS: usize = 50;
/// How many of them there are at most where the user makes one with a secret of that maker: whatever a user does, the maker
/// has room for more.
pub(crate) const MAX_SECRETS_BY_OWNER: usize = 25;

/// In whose name something is made or ended that signs a user or service in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hand {
    /// The operator's, who may do everything.
    Operator,
    /// The owner's own.
    Own(Owner),
    /// Somebody else's: a portal's, or what was signed in with was made by one. It makes what reaches these sources only,
    /// and ends what it made. Whatever others give to the user or take away changes none of it.
    Other { maker: Owner, reach: Reach },
}

impl Roster {
    /// In whose name a command about what signs somebody in is given. Refused where its author may do no such thing.
    pub(crate) fn hand(
        &self,
        (author, made_with): (Option<&Author>, Option<&Id>),
        about: Principal,
        action: &str,
        now: DateTime<Utc>,
    ) -> Result<Hand, Refusal> {
        if self.mode.trusts_commands() {
            return Ok(Hand::Operator);
        }
        if let Some((secret, row)) = made_with.and_then(|id| self.secret_by_id(id.as_str()))
            && let (Reach::Sources(_), Some(maker)) = (&row.reach, row.author)
        {
            if self.owner_principal(row.owner) != Some(about) {
                return Err(
                    RefusalKind::Forbidden.because("a secret that somebody else made is good for its owner only")
                );
            }
            // What it makes reaches as far as it does by now.
            return match self.reach_now(&row.reach, row.author).narrowed() {
                Some(reach) => Ok(Hand::Other { maker, reach }),
                None => Err(RefusalKind::Forbidden.because(self.reach_text(secret))),
            };
        }
        let caller = author.map(|author| self.resolve_author(author)).transpose()?.flatten();
        let Some((caller, maker)) = caller.and_then(|caller| Some((caller, owner_of(caller)?))) else {
            return Ok(Hand::Operator);
        };
        if caller == about {
            return Ok(Hand::Own(maker));
        }
        if self.authorize(author, action, Place::Root, now)? == Authority::Operator {
            return Ok(Hand::Operator);
        }
        let sources = match caller {
            Principal::Service(service) => self.service_row(service).map_or_else(Vec::new, |row| row.sources.clone()),
            Principal::Anyone | Principal::User(_) | Principal::Limited(..) => Vec::new(),
        };
        Ok(Hand::Other { maker, reach: Reach::Sources(sources) })
    }

    /// The person of a user whom something that signs in is made for: of a portal's sources, one that they know.
    pub(crate) fn secret_person(&self, person: u32, hand: &Hand) -> Result<u32, Refusal> {
        let Hand::Other { maker, reach } = hand else { return Ok(person) };
        let reach = self.reach_now(reach, Some(*maker));
        if self.is_within(reach, person) {
            return Ok(person);
        }
        let user = self.facts.persons.get(person).map(|row| UserIx(row.user));
        let known = user.and_then(|user| self.persons_of(user).iter().copied().find(|one| self.is_within(reach, *one)));
        known.ok_or_else(|| {
            let maker = self.owner_principal(*maker).map(|maker| self.caller_names(maker).1).unwrap_or_default();
            let name = user.map(|user| self.user_name(user).to_owned()).unwrap_or_default();
            RefusalKind::Beyond
                .because(format!("no source that {maker} serves knows {name}; it makes secrets for their people"))
        })
    }

    /// Whether a secret or invitation may be made for a user or service, and there is room for one more.
    pub(super) fn check_secret_making(
        &self,
        given_by: (Option<&Author>, Option<&Id>),
        owner: Principal,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let hand = match owner {
            Principal::Service(_) => {
                if self.authorize(given_by.0, "service.set", Place::Root, now)? != Authority::Operator {
                    return Err(RefusalKind::Beyond.because("only an administrator makes secrets of a service"));
                }
                Hand::Operator
            }
            Principal::User(UserIx(person)) => {
                let hand = self.hand(given_by, owner, "secret.issue", now)?;
                self.secret_person(person, &hand)?;
                hand
            }
            Principal::Anyone | Principal::Limited(..) => return Ok(()),
        };
        // The operator's are not counted.
        let (false, Hand::Own(maker) | Hand::Other { maker, .. }) = (self.mode.trusts_commands(), hand) else {
            return Ok(());
        };
        let with_limited = given_by.1.and_then(|id| self.secret_by_id(id.as_str()));
        let most = match with_limited {
            Some((_, row)) if row.reach != Reach::Owner => MAX_SECRETS_BY_OWNER,
            _ => MAX_SECRETS,
        };
        let mut known: Vec<(u32, &Secret)> =
            self.open_secrets_of(owner, now.timestamp_micros()).filter(|(_, row)| self.is_by(row, maker)).collect();
        if known.len() < most {
            return Ok(());
        }
        known.sort_by_key(|(_, row)| row.issued);
        let oldest = known.first().map(|(ix, row)| {
            let label = row.label.as_deref().map(|label| format!(" ({label})")).unwrap_or_default();
            format!("; the oldest is {}{label}", self.facts.secrets.id(*ix))
        });
        Err(RefusalKind::TooMany.because(format!(
            "{} has {} secrets and invitations of this maker in force and may have {most}: revoke one first{}",
            self.caller_names(owner).1,
            known.len(),
            oldest.unwrap_or_default()
        )))
    }

    /// Whether a secret may be ended. Its owner and the operator may end any, everybody else what they made.
    pub(super) fn check_secret_ending(&self, data: &body::SecretRef, now: DateTime<Utc>) -> Result<(), Refusal> {
        let given_by = (data.author.as_ref(), data.made_with.as_ref());
        let Some((_, row)) = self.secret_by_id(data.secret.as_str()) else {
            return self.authorize(given_by.0, "secret.revoke", Place::Root, now).map(|_| ());
        };
        let Some(owner) = self.owner_principal(row.owner) else { return Ok(()) };
        match self.hand(given_by, owner, "secret.revoke", now)? {
            Hand::Other { maker, .. } if !self.is_by(row, maker) => Err(RefusalKind::Beyond
                .because("somebody else made it: it is ended by who made it, its owner or an administrator")),
            Hand::Operator | Hand::Own(_) | Hand::Other { .. } => Ok(()),
        }
    }

    /// Whether a maker made a secret.
    pub(crate) fn is_by(&self, row: &Secret, maker: Owner) -> bool {
        row.author.is_some_and(|author| self.owner_principal(author) == self.owner_principal(maker))
    }

    /// Whether the secret that a command was given with is its author's and good, and the command is one that it reaches;
    /// and that nothing that the command makes outlives it.
    pub(super) fn check_given_with(&self, command: &Command<'_>, now: DateTime<Utc>) -> Result<(), Refusal> {
        let (author, made_with) = command.given_by();
        let Some(id) = made_with.filter(|_| !self.mode.trusts_commands()) else { return Ok(()) };
        let Some((secret, row)) = self.secret_by_id(id.as_str()) else {
            return Err(RefusalKind::Forbidden.because(format!("there is no secret `{id}` with which it was given")));
        };
        let caller = author.map(|author| self.resolve_author(author)).transpose()?.flatten();
        if self.owner_principal(row.owner) != caller {
            return Err(RefusalKind::Forbidden.because(format!("secret {id} is not its author's")));
        }
        if row.usage != SecretUse::Live || !self.in_force(row, now) {
            return Err(RefusalKind::Forbidden.because(format!("secret {id}, with which it was given, is over")));
        }
        let about_secrets = matches!(
            command,
            Command::SecretIssued(_)
                | Command::SecretInvited(_)
                | Command::SecretRevoked(_)
                | Command::CredentialsReset(_)
        );
        if row.reach != Reach::Owner && !about_secrets {
            return Err(RefusalKind::Forbidden.because(self.reach_text(secret)));
        }
        self.check_ends_with(command, secret)
    }

    /// What a secret that ends makes ends no later; what has no end of its own it does not make.
    fn check_ends_with(&self, command: &Command<'_>, SecretIx(secret): SecretIx) -> Result<(), Refusal> {
        let end = self.end_of(secret);
        let until = || instant(end).map(for_people).unwrap_or_default();
        let ends = match command {
            Command::SecretIssued(data) => micros(data.expires, i64::MAX),
            Command::SecretInvited(data) => data.expires.timestamp_micros(),
            Command::BindingSet(data) if !self.gives_nothing_more(data) => micros(data.ends, i64::MAX),
            Command::ServiceCreated(data) => micros(data.ends, i64::MAX),
            _ if end == i64::MAX => return Ok(()),
            _ => {
                let Some(what) = self.endless(command) else { return Ok(()) };
                return Err(RefusalKind::Invalid.because(format!(
                    "{what} has no end of its own, and the secret that it was given with ends at {}: give it with one without an end",
                    until()
                )));
            }
        };
        if ends > end {
            return Err(RefusalKind::Invalid
                .because(format!("it would outlive the secret that it was made with, which ends at {}", until())));
        }
        Ok(())
    }

    /// What a command gives somebody that cannot end by itself. A place is given to nobody when it is made; who can see it,
    /// and what it is in, is.
    fn endless(&self, command: &Command<'_>) -> Option<&'static str> {
        match command {
            Command::GroupMemberAdded(_) => Some("who is in a group"),
            Command::IdentityLinked(_) => Some("a link"),
            // Also of a project that is made again: its content is there still.
            Command::ProjectCreated(data) | Command::ProjectUpdated(data) => {
                let local = self.local_project(data.project.as_str()).1?;
                let there = Some(local).filter(|local| local.register.stands());
                let seen = there.map_or(body::Visibility::Private, |local| local.visibility);
                let folder = data.folder.as_ref().and_then(|id| self.facts.folders.find(0, id.as_str()));
                if seen_by_more(data.visibility, seen) {
                    Some("who can see a project")
                } else {
                    folder
                        .filter(|folder| there.is_none_or(|there| *folder != there.folder))
                        .map(|_| "a project's folder")
                }
            }
            Command::FolderUpserted(data) => {
                let row = self.facts.folders.find(0, data.folder.as_str()).map(FolderIx);
                let row = row.and_then(|ix| self.folder_row(ix)).filter(|row| row.register.stated())?;
                let parent = data.parent.as_ref().and_then(|id| self.facts.folders.find(0, id.as_str()));
                parent.filter(|parent| *parent != row.parent).map(|_| "a folder's place")
            }
            _ => None,
        }
    }

    /// Whether a binding is there already for at least this window.
    pub(crate) fn gives_nothing_more(&self, data: &body::Binding) -> bool {
        let ix = self.facts.bindings.find(0, &body::EventData::subject(data));
        let row = ix.and_then(|ix| self.facts.bindings.get(ix)).and_then(Option::as_ref);
        row.is_some_and(|row| {
            row.register.stands()
                && row.starts <= micros(data.starts, i64::MIN)
                && row.ends >= micros(data.ends, i64::MAX)
        })
    }

    /// Notes what something was made with. What says again what is so made nothing: `stood`.
    pub(crate) fn note_made_with(&mut self, thing: MadeThing, made_with: Option<&Id>, stood: bool) {
        if stood {
            return;
        }
        match made_with.and_then(|id| self.facts.secrets.find(0, id.as_str())) {
            Some(secret) => self.facts.made_with.insert(thing, secret),
            None => self.facts.made_with.remove(&thing),
        };
    }
}

/// Whether one visibility opens a project to more people than another.
fn seen_by_more(one: body::Visibility, other: body::Visibility) -> bool {
    let breadth = |visibility| match visibility {
        body::Visibility::Private => 0,
        body::Visibility::Protected => 1,
        body::Visibility::Public => 2,
    };
    breadth(one) > breadth(other)
}

/// What is kept of who made something.
pub(crate) fn owner_of(caller: Principal) -> Option<Owner> {
    match caller {
        Principal::Anyone => None,
        Principal::User(UserIx(person)) | Principal::Limited(UserIx(person), _) => Some(Owner::Person(person)),
        Principal::Service(ServiceIx(service)) => Some(Owner::Service(service)),
    }
}
