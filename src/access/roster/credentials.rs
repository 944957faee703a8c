//! What signs in: registry secrets and invitations of users, secrets of services. Found by hash, good at an instant.

use chrono::{DateTime, Utc};
use rollcall_events::Position;

use crate::roster::{
    Roster,
    facts::{Owner, Secret, SecretUse, instant},
    handles::{Principal, ServiceIx, UserIx},
};

/// A secret that signs somebody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential<'a> {
    /// Whom: a user or a service.
    pub principal: Principal,
    /// The secret's id.
    pub secret: &'a str,
    /// Made by somebody other than its owner, and not by the operator.
    pub given: bool,
    /// Until when (exclusive) it is good; of an invitation, until when the secret is that it fetches. Without end when
    /// absent.
    pub until: Option<DateTime<Utc>>,
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
}

impl Roster {
    /// Whom a secret, given by its SHA-256, signs in at this instant.
    #[must_use]
    pub fn credential(&self, sha256: &[u8; 32], now: DateTime<Utc>) -> Option<Credential<'_>> {
        self.find_credential(sha256, SecretUse::Live, now).map(|(credential, _)| credential)
    }

    /// As [`Self::credential`], for Rollcall's own API: whoever gave somebody a secret may know it, so there it is good
    /// only while its owner holds no role that was given by hand.
    #[must_use]
    pub fn credential_for_api(&self, sha256: &[u8; 32], now: DateTime<Utc>) -> Option<Credential<'_>> {
        self.find_credential(sha256, SecretUse::Live, now)
            .filter(|(_, secret)| !self.would_elevate(secret, now))
            .map(|(credential, _)| credential)
    }

    /// Whom an invitation, given by the SHA-256 of its code, is for at this instant.
    #[must_use]
    pub fn invitation(&self, sha256: &[u8; 32], now: DateTime<Utc>) -> Option<Credential<'_>> {
        self.find_credential(sha256, SecretUse::Invitation, now)
            .filter(|(_, secret)| !self.would_elevate(secret, now))
            .map(|(credential, _)| credential)
    }

    fn find_credential(
        &self,
        sha256: &[u8; 32],
        usage: SecretUse,
        now: DateTime<Utc>,
    ) -> Option<(Credential<'_>, &Secret)> {
        let ix = *self.index.secret_hash.get(sha256)?;
        let secret = self.facts.secrets.get(ix)?.as_ref()?;
        let principal = self.owner_principal(secret.owner)?;
        let good = secret.usage == usage && self.in_force(secret, now);
        let until =
            instant(if usage == SecretUse::Invitation { self.end_of(secret.made_with) } else { secret.expires });
        let found =
            Credential { principal, secret: self.facts.secrets.id(ix), given: self.is_made_by_other(secret), until };
        good.then_some((found, secret))
    }

    /// When a secret ends; what is none has no end.
    pub(crate) fn end_of(&self, secret: u32) -> i64 {
        self.facts.secrets.get(secret).and_then(Option::as_ref).map_or(i64::MAX, |row| row.expires)
    }

    /// Made by somebody other than its owner, and not by the operator.
    pub(crate) fn is_made_by_other(&self, secret: &Secret) -> bool {
        secret.author.is_some_and(|author| self.owner_principal(author) != self.owner_principal(secret.owner))
    }

    /// Whether its maker would become more by it: it was given, and its owner was given a role.
    pub(crate) fn would_elevate(&self, secret: &Secret, now: DateTime<Utc>) -> bool {
        self.is_made_by_other(secret)
            && self.owner_principal(secret.owner).is_some_and(|owner| self.has_bindings(owner, now))
    }

    fn owner_principal(&self, owner: Owner) -> Option<Principal> {
        Some(match owner {
            Owner::Person(person) => Principal::User(UserIx(self.facts.persons.get(person)?.user)),
            Owner::Service(service) => Principal::Service(ServiceIx(service)),
        })
    }

    /// Neither expired nor reset, and its owner is there and not shut out.
    fn in_force(&self, secret: &Secret, now: DateTime<Utc>) -> bool {
        now.timestamp_micros() < secret.expires
            && match self.owner_principal(secret.owner) {
                Some(Principal::User(user)) => {
                    secret.issued.0 >= self.credential_epoch(Principal::User(user)) && !self.shut_out(user)
                }
                Some(Principal::Service(service)) => {
                    secret.issued.0 >= self.credential_epoch(Principal::Service(service))
                        && self.service_stands(service)
                }
                Some(Principal::Anyone) | None => false,
            }
    }

    /// The secret with this id, while it signs this user or service in.
    #[must_use]
    pub fn live_secret(&self, principal: impl Into<Principal>, id: &str, now: DateTime<Utc>) -> Option<Credential<'_>> {
        let principal = principal.into();
        let ix = self.facts.secrets.find(0, id)?;
        let row = self.facts.secrets.get(ix)?.as_ref()?;
        let live = row.usage == SecretUse::Live
            && self.owner_principal(row.owner) == Some(principal)
            && self.in_force(row, now);
        let (secret, given, until) = (self.facts.secrets.id(ix), self.is_made_by_other(row), instant(row.expires));
        live.then_some(Credential { principal, secret, given, until })
    }

    /// The position of the newest reset of somebody's credentials (of a service: where it was made last); whatever was
    /// issued before it is over.
    #[must_use]
    pub fn credential_epoch(&self, principal: impl Into<Principal>) -> u64 {
        let principal = principal.into();
        match principal {
            Principal::Anyone => 0,
            Principal::User(_) if self.facts.resets.is_empty() => 0,
            Principal::User(user) => {
                let reset = |person: &u32| self.facts.resets.get(person).map_or(0, |position| position.0);
                self.persons_of(user).iter().map(reset).max().unwrap_or(0)
            }
            Principal::Service(service) => self.service_row(service).map_or(0, |row| row.register.cause.0),
        }
    }

    /// Somebody's secrets and open invitations that are in force.
    #[must_use]
    pub fn secrets_of(&self, principal: impl Into<Principal>, now: DateTime<Utc>) -> Vec<SecretView<'_>> {
        let principal = principal.into();
        let owners: Vec<Owner> = match principal {
            Principal::Anyone => Vec::new(),
            Principal::User(user) => self.persons_of(user).iter().map(|person| Owner::Person(*person)).collect(),
            Principal::Service(ServiceIx(service)) => vec![Owner::Service(service)],
        };
        let mut found = Vec::new();
        for ix in owners.iter().filter_map(|owner| self.index.owner_secrets.get(owner)).flatten() {
            let Some(row) = self.facts.secrets.get(*ix).and_then(Option::as_ref) else { continue };
            if row.usage != SecretUse::Over
                && now.timestamp_micros() < row.expires
                && row.issued.0 >= self.credential_epoch(principal)
            {
                found.push(SecretView {
                    id: self.facts.secrets.id(*ix),
                    label: row.label.as_deref(),
                    issued: row.issued,
                    issued_at: instant(row.issued_at).unwrap_or_default(),
                    expires: instant(row.expires),
                    invitation: row.usage == SecretUse::Invitation,
                });
            }
        }
        found.sort_by_key(|secret| secret.issued);
        found
    }

    /// Whose a secret is.
    pub(crate) fn secret_owner(&self, id: &str) -> Option<Principal> {
        let row = self.facts.secrets.get(self.facts.secrets.find(0, id)?)?.as_ref()?;
        match row.owner {
            Owner::Person(person) => Some(Principal::User(UserIx(self.facts.persons.get(person)?.user))),
            Owner::Service(service) => Some(Principal::Service(ServiceIx(service))),
        }
    }
}
