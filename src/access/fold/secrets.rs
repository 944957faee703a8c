//! Secrets and invitations: made, redeemed, revoked. Between asking and recording somebody else may have been first, so
//! the answer that counts is given here.

use rollcall_events::{
    Id,
    body::{self, Author, SecretOwner},
};

use crate::{
    fold::{change::Effect, context::FoldContext},
    roster::{
        Roster,
        facts::{NONE, Owner, Secret, SecretUse, micros},
        handles::{Principal, ServiceIx, UserIx},
    },
};

fn refused(reason: impl Into<String>) -> Effect {
    Effect::Refused(reason.into())
}

impl Roster {
    fn secret_owner_person(&self, user: &str) -> Result<u32, Effect> {
        self.person_of(user).ok_or_else(|| refused(format!("there is no user `{user}`")))
    }

    fn add_secret(&mut self, cx: &mut FoldContext<'_>, id: &str, secret: Secret) -> Effect {
        if self.facts.secrets.find(0, id).is_some() || self.index.secret_hash.contains_key(&secret.sha256) {
            return refused("a secret with this id or value was made already");
        }
        let ix = self.facts.secrets.intern(0, id);
        self.index.add_secret(ix, secret.sha256, secret.owner);
        if let Some(row) = self.facts.secrets.get_mut(ix) {
            *row = Some(secret);
        }
        cx.applied("secret")
    }

    /// The secret that the author of a command signed in with, [`NONE`] without one, and who counts as its maker:
    /// whoever made a secret for somebody else may know what that one makes.
    fn signed_in_with(
        &self,
        id: Option<&Id>,
        author: Option<&Author>,
        cx: &FoldContext<'_>,
    ) -> Result<(u32, Option<Owner>), Effect> {
        let Some(id) = id else { return Ok((NONE, self.secret_maker(author, cx.now()))) };
        let ix = self.facts.secrets.find(0, id.as_str());
        let row = ix.and_then(|ix| self.facts.secrets.get(ix)).and_then(Option::as_ref);
        let (Some(ix), Some(row)) = (ix, row) else { return Err(refused(format!("there is no secret `{id}`"))) };
        Ok((ix, if self.is_made_by_other(row) { row.author } else { self.secret_maker(author, cx.now()) }))
    }

    pub(crate) fn invite_secret(&mut self, cx: &mut FoldContext<'_>, data: &body::Invitation) -> Effect {
        let found = self.secret_owner_person(data.user.as_str()).and_then(|person| {
            let made_with = self.signed_in_with(data.made_with.as_ref(), data.author.as_ref(), cx)?;
            Ok((person, made_with))
        });
        let (person, (made_with, author)) = match found {
            Ok(found) => found,
            Err(effect) => return effect,
        };
        let expires = data.expires.timestamp_micros();
        if expires > self.end_of(made_with) {
            return refused("it would outlive the secret that it was made with");
        }
        self.add_secret(
            cx,
            data.secret.as_str(),
            Secret {
                sha256: data.sha256.0,
                owner: Owner::Person(person),
                expires,
                issued: cx.position(),
                issued_at: cx.record.recorded_at.timestamp_micros(),
                label: None,
                author,
                made_with,
                usage: SecretUse::Invitation,
            },
        )
    }

    pub(crate) fn issue_secret(&mut self, cx: &mut FoldContext<'_>, data: &body::Secret) -> Effect {
        let owner = match &data.owner {
            SecretOwner::User(user) => match self.secret_owner_person(user.as_str()) {
                Ok(person) => Owner::Person(person),
                Err(effect) => return effect,
            },
            SecretOwner::Service(id) => match self.service_by_id(id.as_str()) {
                Some(ServiceIx(ix)) => Owner::Service(ix),
                None => return refused(format!("there is no service `{id}`")),
            },
        };
        let invitation = match &data.invitation {
            None => None,
            // Redeemed at most once, in time, for the user that it was made for: checked here, where order is decided.
            Some(id) => match self.redeemable(cx, id.as_str(), owner) {
                Some(ix) => Some(ix),
                None => return refused("the invitation is used, over or for somebody else; ask for a new one"),
            },
        };
        // Whoever made the invitation knows its code, and so perhaps the secret.
        let invited = invitation.and_then(|ix| self.facts.secrets.get(ix)).and_then(Option::as_ref);
        let made_with = match invited {
            Some(invited) => Ok((invited.made_with, invited.author)),
            None => self.signed_in_with(data.made_with.as_ref(), data.author.as_ref(), cx),
        };
        let (made_with, author) = match made_with {
            Ok(found) => found,
            Err(effect) => return effect,
        };
        let expires = micros(data.expires, i64::MAX);
        if expires > self.end_of(made_with) {
            return refused("it would outlive the secret that it, or its invitation, was made with");
        }
        let effect = self.add_secret(
            cx,
            data.secret.as_str(),
            Secret {
                sha256: data.sha256.0,
                owner,
                expires,
                issued: cx.position(),
                issued_at: cx.record.recorded_at.timestamp_micros(),
                label: data.label.clone(),
                author,
                made_with,
                usage: SecretUse::Live,
            },
        );
        if effect == Effect::Applied
            && let Some(row) = invitation.and_then(|ix| self.facts.secrets.get_mut(ix)).and_then(Option::as_mut)
        {
            row.usage = SecretUse::Over;
        }
        effect
    }

    fn redeemable(&self, cx: &FoldContext<'_>, id: &str, owner: Owner) -> Option<u32> {
        let ix = self.facts.secrets.find(0, id)?;
        let row = self.facts.secrets.get(ix)?.as_ref()?;
        let (Owner::Person(theirs), Owner::Person(mine)) = (row.owner, owner) else { return None };
        let user = |person: u32| self.facts.persons.get(person).map(|row| row.user);
        let good = row.usage == SecretUse::Invitation
            && user(theirs) == user(mine)
            && cx.record.recorded_at.timestamp_micros() < row.expires
            && row.issued.0 >= self.credential_epoch(Principal::User(UserIx(user(mine)?)))
            && (self.mode.trusts_commands() || !self.would_elevate(row, cx.now()));
        good.then_some(ix)
    }

    pub(crate) fn revoke_secret(&mut self, cx: &mut FoldContext<'_>, id: &str) -> Effect {
        let ix = self.facts.secrets.find(0, id);
        match ix.and_then(|ix| self.facts.secrets.get_mut(ix)).and_then(Option::as_mut) {
            Some(row) if row.usage == SecretUse::Over => Effect::NoChange,
            Some(row) => {
                row.usage = SecretUse::Over;
                cx.applied("secret")
            }
            None => refused(format!("there is no secret `{id}`")),
        }
    }

    pub(crate) fn reset_credentials(&mut self, cx: &mut FoldContext<'_>, user: &str) -> Effect {
        match self.secret_owner_person(user) {
            Ok(person) => {
                // Of every person of the user: what is over stays over when they part.
                let user = UserIx(self.facts.persons.get(person).map_or(NONE, |row| row.user));
                for person in self.persons_of(user).to_vec() {
                    self.facts.resets.insert(person, cx.position());
                }
                cx.applied("user")
            }
            Err(effect) => effect,
        }
    }
}
