//! What signs in: registry secrets and invitations of users, secrets of services. Found by hash, good at an instant, and
//! how far each reaches.

use chrono::{DateTime, Utc};
use rollcall_events::Position;

use crate::roster::{
    Roster,
    facts::{Owner, Reach, Secret, SecretUse, instant},
    handles::{Principal, SecretIx, ServiceIx, UserIx},
    users::ShutOut,
};

/// A secret that signs somebody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential<'a> {
    /// Whom: a service, a user, or a user as far as a secret reaches that somebody else made.
    pub principal: Principal,
    /// The secret's id.
    pub secret: &'a str,
    /// Until when (exclusive) it is good; of an invitation, until when the secret is that it fetches. Without end when
    /// absent.
    pub until: Option<DateTime<Utc>>,
}

/// Why a secret that is or was somebody's does not sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretFlaw {
    /// It expired, was revoked or reset, or whose it is or could be was parted from the user.
    Over,
    /// Whose it is can do nothing at all.
    ShutOut(ShutOut),
}

/// A secret or invitation, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretView<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its label.
    pub label: Option<&'a str>,
    /// Where it was made.
    pub issued: Position,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires: Option<DateTime<Utc>>,
    /// Not yet redeemed: a code that fetches a secret.
    pub invitation: bool,
    /// Who made it; absent where that was the operator.
    pub maker: Option<Principal>,
    /// The sources whose facts it reaches, every source when the list is empty; absent where it reaches as far as its owner.
    pub reach: Option<Vec<&'a str>>,
    /// Its maker serves none of the sources any more that it was made for.
    pub reaches_nothing: bool,
    /// Whether the persons whose it could be are several users by now: it signs nobody in, until they are one again.
    pub parted: bool,
}

/// How far a secret reaches now: as far as when it was made, and no further than its maker serves sources by now. Every
/// source where a list is empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReachNow<'a> {
    /// Absent where it reaches as far as its owner.
    made: Option<&'a [u16]>,
    maker: &'a [u16],
}

impl ReachNow<'_> {
    pub(crate) const OWNER: ReachNow<'static> = ReachNow { made: None, maker: &[] };

    pub(crate) fn is_owner(self) -> bool {
        self.made.is_none()
    }

    pub(crate) fn covers(self, source: u16) -> bool {
        let serves = |sources: &[u16]| sources.is_empty() || sources.contains(&source);
        self.made.is_none_or(|made| serves(made) && serves(self.maker))
    }

    /// As a reach of its own; nothing where no source is left.
    pub(crate) fn narrowed(self) -> Option<Reach> {
        Some(match (self.made, self.maker) {
            (None, _) => Reach::Owner,
            (Some(made), []) => Reach::Sources(made.to_vec()),
            (Some([]), maker) => Reach::Sources(maker.to_vec()),
            (Some(made), maker) => {
                let left: Vec<u16> = made.iter().copied().filter(|source| maker.contains(source)).collect();
                return (!left.is_empty()).then_some(Reach::Sources(left));
            }
        })
    }
}

impl Roster {
    /// Whom a secret, given by its SHA-256, signs in at this instant.
    #[must_use]
    pub fn credential(&self, sha256: &[u8; 32], now: DateTime<Utc>) -> Option<Credential<'_>> {
        self.find_credential(sha256, SecretUse::Live, now)
    }

    /// Whom an invitation, given by the SHA-256 of its code, is for at this instant.
    #[must_use]
    pub fn invitation(&self, sha256: &[u8; 32], now: DateTime<Utc>) -> Option<Credential<'_>> {
        self.find_credential(sha256, SecretUse::Invitation, now)
    }

    fn find_credential(&self, sha256: &[u8; 32], usage: SecretUse, now: DateTime<Utc>) -> Option<Credential<'_>> {
        let ix = *self.index.secret_hash.get(sha256)?;
        let secret = self.facts.secrets.get(ix)?.as_ref()?;
        let principal = self.signed_in_by(ix, secret)?;
        let good = secret.usage == usage && self.in_force(secret, now);
        let until =
            instant(if usage == SecretUse::Invitation { self.end_of(secret.made_with) } else { secret.expires });
        good.then_some(Credential { principal, secret: self.facts.secrets.id(ix), until })
    }

    /// Whose a secret is, given by its SHA-256, whether it signs in or not: whoever has it need not be told.
    #[must_use]
    pub fn owner_of_secret(&self, sha256: &[u8; 32]) -> Option<Principal> {
        let row = self.secret_row(*self.index.secret_hash.get(sha256)?)?;
        self.owner_principal(row.owner).filter(|_| row.usage != SecretUse::Invitation)
    }

    /// What keeps a secret, given by its SHA-256, from signing a user or service in whose it is or was.
    #[must_use]
    pub fn secret_flaw(&self, whose: Principal, sha256: &[u8; 32], now: DateTime<Utc>) -> Option<SecretFlaw> {
        self.flaw_of_row(whose, self.secret_row(*self.index.secret_hash.get(sha256)?)?, now)
    }

    /// The same of a secret by its id.
    #[must_use]
    pub fn flaw_of_secret(&self, whose: Principal, id: &str, now: DateTime<Utc>) -> Option<SecretFlaw> {
        self.flaw_of_row(whose, self.secret_by_id(id)?.1, now)
    }

    fn flaw_of_row(&self, whose: Principal, row: &Secret, now: DateTime<Utc>) -> Option<SecretFlaw> {
        let now = now.timestamp_micros();
        match self.owner_principal(row.owner)? {
            _ if row.usage == SecretUse::Invitation => None,
            owner if owner != whose => self.are_parted(owner, whose).then_some(SecretFlaw::Over),
            // With a service its secrets end too: that it is gone says more.
            Principal::Service(service) if !self.service_runs(service, now) => Some(SecretFlaw::ShutOut(ShutOut::Gone)),
            _ if !self.is_open_secret(row, now) => Some(SecretFlaw::Over),
            Principal::User(user) => self.why_shut_out(user).map(SecretFlaw::ShutOut),
            Principal::Service(_) | Principal::Anyone | Principal::Limited(..) => None,
        }
    }

    /// Whether persons of these two users were parted.
    fn are_parted(&self, one: Principal, other: Principal) -> bool {
        let (Principal::User(one), Principal::User(other)) = (one, other) else { return false };
        let touching = self.persons_of(one).iter().filter_map(|person| self.index.person_links.get(person)).flatten();
        let mut ended =
            touching.filter_map(|ix| self.facts.links.get(*ix as usize)).filter(|pair| !pair.register.stands());
        ended.any(|pair| [pair.left, pair.right].iter().any(|person| self.user_of(*person) == other.0))
    }

    /// When a secret ends; what is none has no end.
    pub(crate) fn end_of(&self, secret: u32) -> i64 {
        self.secret_row(secret).map_or(i64::MAX, |row| row.expires)
    }

    pub(crate) fn secret_row(&self, ix: u32) -> Option<&Secret> {
        self.facts.secrets.get(ix)?.as_ref()
    }

    /// The secret of an id, whether it is over or not.
    pub(crate) fn secret_by_id(&self, id: &str) -> Option<(SecretIx, &Secret)> {
        let ix = self.facts.secrets.find(0, id)?;
        Some((SecretIx(ix), self.secret_row(ix)?))
    }

    /// The user or service whose a secret is.
    pub(crate) fn owner_principal(&self, owner: Owner) -> Option<Principal> {
        Some(match owner {
            Owner::Person(person) => Principal::User(UserIx(self.facts.persons.get(person)?.user)),
            Owner::Service(service) => Principal::Service(ServiceIx(service)),
        })
    }

    /// As whom a secret signs somebody in.
    fn signed_in_by(&self, ix: u32, secret: &Secret) -> Option<Principal> {
        let owner = self.owner_principal(secret.owner)?;
        Some(match (owner, &secret.reach) {
            (Principal::User(user), Reach::Sources(_)) => Principal::Limited(user, SecretIx(ix)),
            (owner, _) => owner,
        })
    }

    /// How far a secret reaches that somebody else made.
    pub(crate) fn reach_of(&self, SecretIx(ix): SecretIx) -> Option<ReachNow<'_>> {
        self.secret_row(ix).map(|row| self.reach_now(&row.reach, row.author))
    }

    /// How far what was made with this reach by somebody reaches now.
    pub(crate) fn reach_now<'a>(&'a self, reach: &'a Reach, maker: Option<Owner>) -> ReachNow<'a> {
        let Reach::Sources(made) = reach else { return ReachNow::OWNER };
        let maker = match maker {
            Some(Owner::Service(ix)) => self.service_row(ServiceIx(ix)).map_or(&[][..], |row| &row.sources),
            Some(Owner::Person(_)) | None => &[],
        };
        ReachNow { made: Some(made), maker }
    }

    /// Whether what a person has is within reach.
    pub(crate) fn is_within(&self, reach: ReachNow<'_>, person: u32) -> bool {
        reach.is_owner() || reach.covers(self.facts.persons.names.space(person))
    }

    /// Whether what a source says of somebody is within a caller's reach.
    #[must_use]
    pub fn reaches_source(&self, caller: Principal, source: &str) -> bool {
        let Principal::Limited(_, secret) = caller else { return true };
        let known = self.facts.sources.find(0, source).and_then(|ix| u16::try_from(ix).ok());
        self.reach_of(secret).is_some_and(|reach| match known {
            Some(source) => reach.covers(source),
            None => reach.is_owner(),
        })
    }

    /// Whether the sources that a secret reaches know somebody live of the user.
    pub(crate) fn reaches_somebody(&self, user: UserIx, secret: SecretIx) -> bool {
        let live = |person: &u32| self.facts.is_live(*person);
        self.reach_of(secret).is_some_and(|reach| {
            self.persons_of(user).iter().any(|person| live(person) && self.is_within(reach, *person))
        })
    }

    /// The user as whom a caller acts where that user is one person, for the common case.
    pub(crate) fn in_person(&self, principal: Principal) -> Option<UserIx> {
        match principal {
            Principal::User(user) => Some(user),
            Principal::Limited(user, secret) => {
                self.reach_of(secret).filter(|reach| self.is_within(*reach, user.0)).map(|_| user)
            }
            Principal::Anyone | Principal::Service(_) => None,
        }
    }

    /// What a secret reaches that somebody else made, and what to do about it, for whoever was refused.
    pub(crate) fn reach_text(&self, SecretIx(ix): SecretIx) -> String {
        let row = self.secret_row(ix);
        let maker = row.and_then(|row| self.owner_principal(row.author?)).map(|maker| self.caller_names(maker).1);
        let maker = maker.unwrap_or_else(|| "somebody else".to_owned());
        let sources = match self.reach_of(SecretIx(ix)).map(ReachNow::narrowed) {
            Some(Some(Reach::Sources(sources))) => sources,
            Some(Some(Reach::Owner)) | None => Vec::new(),
            Some(None) => {
                return format!(
                    "this secret was made by {maker}, which serves none of the sources any more that it was made for; sign in with a secret of your own"
                );
            }
        };
        let given = match sources.as_slice() {
            [] => "licensing sources give".to_owned(),
            [one] => format!("source {} gives", self.source_text(*one)),
            many => {
                let names: Vec<&str> = many.iter().map(|source| self.source_text(*source)).collect();
                format!("sources {} give", names.join(" and "))
            }
        };
        format!("this secret was made by {maker} and reaches only what {given}; sign in with a secret of your own")
    }

    /// Neither expired nor reset, and its owner is there and not shut out.
    pub(crate) fn in_force(&self, secret: &Secret, now: DateTime<Utc>) -> bool {
        let now = now.timestamp_micros();
        self.is_open_secret(secret, now)
            && match self.owner_principal(secret.owner) {
                Some(Principal::User(user)) => !self.shut_out(user),
                Some(Principal::Service(service)) => self.service_runs(service, now),
                Some(Principal::Anyone | Principal::Limited(..)) | None => false,
            }
    }

    /// Whether a secret or invitation could still be used: neither over nor expired nor reset.
    pub(crate) fn is_open_secret(&self, row: &Secret, now: i64) -> bool {
        !self.is_over(row, now) && self.is_of_one_user(row)
    }

    /// Whether a secret or invitation can never be used again. It rests on whose it is or could be, and on no link: what is over
    /// stays over, and what is not goes on, whoever is linked with them or parted.
    pub(crate) fn is_over(&self, row: &Secret, now: i64) -> bool {
        row.usage == SecretUse::Over || now >= row.expires || row.issued.0 < self.newest_reset_of(row)
    }

    /// The position of the newest reset of whoever's a secret is or could be.
    fn newest_reset_of(&self, row: &Secret) -> u64 {
        match row.owner {
            Owner::Service(service) => self.credential_epoch(ServiceIx(service)),
            Owner::Person(_) if self.facts.resets.is_empty() => 0,
            Owner::Person(owner) => {
                let could_be = std::iter::once(&owner).chain(row.made_for.iter());
                could_be.filter_map(|one| self.facts.resets.get(one)).map(|at| at.0).max().unwrap_or(0)
            }
        }
    }

    /// Whether all persons that a secret was made for are its owner's still. Which of them made it, or was given it, is not
    /// known: it signs in none of them once they are parted, until they are one again.
    pub(crate) fn is_of_one_user(&self, row: &Secret) -> bool {
        let Owner::Person(owner) = row.owner else { return true };
        row.made_for.iter().all(|person| self.user_of(*person) == self.user_of(owner))
    }

    /// The secret with this id, while it signs this user or service in.
    #[must_use]
    pub fn live_secret(&self, owner: impl Into<Principal>, id: &str, now: DateTime<Utc>) -> Option<Credential<'_>> {
        let owner = owner.into();
        let (SecretIx(ix), row) = self.secret_by_id(id)?;
        let live =
            row.usage == SecretUse::Live && self.owner_principal(row.owner) == Some(owner) && self.in_force(row, now);
        let principal = self.signed_in_by(ix, row).filter(|_| live)?;
        Some(Credential { principal, secret: self.facts.secrets.id(ix), until: instant(row.expires) })
    }

    /// As whom a secret signs a user in, by the user's id and the secret's; nothing where it is over.
    #[must_use]
    pub fn caller_with_secret(&self, user: &str, secret: &str, now: DateTime<Utc>) -> Option<Principal> {
        let user = self.caller_by_id(user)?;
        self.live_secret(user, secret, now).map(|found| found.principal)
    }

    /// The position of the newest reset of somebody's credentials (of a service: where it was made last); whatever was
    /// issued before it is over.
    #[must_use]
    pub fn credential_epoch(&self, principal: impl Into<Principal>) -> u64 {
        let principal = principal.into();
        match principal {
            Principal::Anyone => 0,
            Principal::User(_) | Principal::Limited(..) if self.facts.resets.is_empty() => 0,
            Principal::User(user) | Principal::Limited(user, _) => {
                let reset = |person: &u32| self.facts.resets.get(person).map_or(0, |position| position.0);
                self.persons_of(user).iter().map(reset).max().unwrap_or(0)
            }
            Principal::Service(service) => self.service_row(service).map_or(0, |row| row.register.cause.0),
        }
    }

    /// The rows of somebody's secrets and open invitations that could still be used.
    pub(crate) fn open_secrets_of(&self, principal: Principal, now: i64) -> impl Iterator<Item = (u32, &Secret)> {
        self.kept_secrets_of(principal, now).filter(|(_, row)| self.is_of_one_user(row))
    }

    /// As [`Self::open_secrets_of`], with those that could be used again if their persons were one user again.
    fn kept_secrets_of(&self, principal: Principal, now: i64) -> impl Iterator<Item = (u32, &Secret)> {
        let owners: Vec<Owner> = match principal {
            Principal::Anyone => Vec::new(),
            Principal::User(user) | Principal::Limited(user, _) => {
                self.persons_of(user).iter().map(|person| Owner::Person(*person)).collect()
            }
            Principal::Service(ServiceIx(service)) => vec![Owner::Service(service)],
        };
        owners
            .into_iter()
            .filter_map(|owner| self.index.owner_secrets.get(&owner))
            .flatten()
            .filter_map(|ix| Some((*ix, self.secret_row(*ix)?)))
            .filter(move |(_, row)| !self.is_over(row, now))
    }

    /// Somebody's secrets and open invitations that are not over. Of a caller whose secret somebody else made: those of the
    /// same maker.
    #[must_use]
    pub fn secrets_of(&self, principal: impl Into<Principal>, now: DateTime<Utc>) -> Vec<SecretView<'_>> {
        let principal = principal.into();
        let maker = match principal {
            Principal::Limited(_, SecretIx(ix)) => Some(self.secret_row(ix).and_then(|row| self.maker_of(row))),
            Principal::Anyone | Principal::User(_) | Principal::Service(_) => None,
        };
        let mut found: Vec<SecretView<'_>> = self
            .kept_secrets_of(principal, now.timestamp_micros())
            .filter(|(_, row)| maker.is_none_or(|maker| self.maker_of(row) == maker))
            .map(|(ix, row)| self.secret_view(ix, row))
            .collect();
        found.sort_by_key(|secret| secret.issued);
        found
    }

    /// Who made a secret, unless that was the operator.
    fn maker_of(&self, row: &Secret) -> Option<Principal> {
        row.author.and_then(|author| self.owner_principal(author))
    }

    pub(crate) fn secret_view<'a>(&'a self, ix: u32, row: &'a Secret) -> SecretView<'a> {
        let reach = self.reach_now(&row.reach, row.author).narrowed();
        SecretView {
            id: self.facts.secrets.id(ix),
            label: row.label.as_deref(),
            issued: row.issued,
            issued_at: instant(row.issued_at).unwrap_or_default(),
            expires: instant(row.expires),
            invitation: row.usage == SecretUse::Invitation,
            maker: self.maker_of(row),
            reaches_nothing: reach.is_none(),
            parted: !self.is_of_one_user(row),
            reach: match reach {
                Some(Reach::Owner) => None,
                Some(Reach::Sources(sources)) => Some(sources.iter().map(|one| self.source_text(*one)).collect()),
                None => Some(Vec::new()),
            },
        }
    }

    /// A secret or open invitation in force by its id, with whose it is.
    #[must_use]
    pub fn open_secret(&self, id: &str, now: DateTime<Utc>) -> Option<(Principal, SecretView<'_>)> {
        let (SecretIx(ix), row) = self.secret_by_id(id)?;
        let row = Some(row).filter(|row| self.is_open_secret(row, now.timestamp_micros()))?;
        Some((self.owner_principal(row.owner)?, self.secret_view(ix, row)))
    }
}
