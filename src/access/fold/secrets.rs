//! Secrets and invitations: made, redeemed, revoked. Between asking and recording somebody else may have been first, so
//! the answer that counts is given here.

use rollcall_events::{
    Id,
    body::{self, SecretOwner},
};

use crate::{
    commands::secrets::Hand,
    fold::{change::Effect, context::FoldContext},
    roster::{
        Roster,
        facts::{NONE, Owner, Reach, Secret, SecretUse, micros},
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
        self.forget_over(secret.owner, cx.now().timestamp_micros());
        let ix = self.facts.secrets.intern(0, id);
        self.index.add_secret(ix, secret.sha256, secret.owner);
        if let Some(row) = self.facts.secrets.get_mut(ix) {
            *row = Some(secret);
        }
        cx.applied("secret")
    }

    /// What is over is looked through no more, so that making and ending secrets for ever costs nothing.
    fn forget_over(&mut self, owner: Owner, now: i64) {
        let Some(mut rows) = self.index.owner_secrets.remove(&owner) else { return };
        rows.retain(|ix| self.secret_row(*ix).is_some_and(|row| !self.is_over(row, now)));
        self.index.owner_secrets.insert(owner, rows);
    }

    /// The secret that the author of a command signed in with, [`NONE`] without one.
    fn signed_in_with(&self, id: Option<&Id>) -> u32 {
        id.and_then(|id| self.facts.secrets.find(0, id.as_str())).unwrap_or(NONE)
    }

    pub(crate) fn invite_secret(&mut self, cx: &mut FoldContext<'_>, data: &body::Invitation) -> Effect {
        let given_by = (data.author.as_ref(), data.made_with.as_ref());
        let found = self.secret_owner_person(data.user.as_str()).and_then(|person| {
            let owner = self.owner_principal(Owner::Person(person)).unwrap_or(Principal::Anyone);
            let hand = self.hand(given_by, owner, "secret.issue", cx.now())?;
            Ok((self.secret_person(person, &hand)?, hand))
        });
        let (person, hand) = match found {
            Ok(found) => found,
            Err(effect) => return effect,
        };
        let (author, reach) = maker_and_reach(hand);
        let made_with = self.signed_in_with(data.made_with.as_ref());
        let (owner, made_for) = self.whose(Owner::Person(person), &reach, author, made_with);
        let author = self.own_maker(author, owner);
        self.add_secret(
            cx,
            data.secret.as_str(),
            Secret {
                sha256: data.sha256.0,
                owner,
                expires: data.expires.timestamp_micros(),
                issued: cx.position(),
                issued_at: cx.record.recorded_at.timestamp_micros(),
                label: None,
                author,
                reach,
                made_with,
                usage: SecretUse::Invitation,
                made_for,
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
        let invited = invitation.and_then(|ix| self.secret_row(ix));
        let expires = micros(data.expires, i64::MAX);
        let (owner, made_with, author, reach) = match (invited, owner) {
            (Some(invited), _) if expires > self.end_of(invited.made_with) => {
                return refused("it would outlive the secret that its invitation was made with");
            }
            (Some(invited), _) => (invited.owner, invited.made_with, invited.author, invited.reach.clone()),
            (None, Owner::Person(person)) => {
                let about = self.owner_principal(owner).unwrap_or(Principal::Anyone);
                let given_by = (data.author.as_ref(), data.made_with.as_ref());
                let found = self
                    .hand(given_by, about, "secret.issue", cx.now())
                    .and_then(|hand| Ok((self.secret_person(person, &hand)?, hand)));
                match found {
                    Ok((person, hand)) => {
                        let (author, reach) = maker_and_reach(hand);
                        (Owner::Person(person), self.signed_in_with(data.made_with.as_ref()), author, reach)
                    }
                    Err(refusal) => return refusal.into(),
                }
            }
            // Only an administrator makes those.
            (None, Owner::Service(_)) => (owner, self.signed_in_with(data.made_with.as_ref()), None, Reach::Owner),
        };
        // For whom the invitation was made, its secret is.
        let (owner, made_for) = match invited {
            Some(invited) => (owner, invited.made_for.clone()),
            None => self.whose(owner, &reach, author, made_with),
        };
        let author = self.own_maker(author, owner);
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
                reach,
                made_with,
                usage: SecretUse::Live,
                made_for,
            },
        );
        if effect == Effect::Applied
            && let Some(row) = invitation.and_then(|ix| self.facts.secrets.get_mut(ix)).and_then(Option::as_mut)
        {
            row.usage = SecretUse::Over;
        }
        effect
    }

    /// Whose a secret is that reaches so far, and which persons of that user it could be where these are several. What is made
    /// with a secret of the user is whose that one is or could be. Else who is not there any more is not counted, unless nobody
    /// is.
    fn whose(&self, owner: Owner, reach: &Reach, maker: Option<Owner>, made_with: u32) -> (Owner, Box<[u32]>) {
        let Owner::Person(person) = owner else { return (owner, Box::default()) };
        let could_be = self.holders_of(made_with, person).unwrap_or_else(|| {
            let reach = self.reach_now(reach, maker);
            let persons = self.persons_of(UserIx(self.user_of(person))).iter().copied();
            let within: Vec<u32> = persons.filter(|one| self.is_within(reach, *one)).collect();
            let there: Vec<u32> = within.iter().copied().filter(|one| self.facts.is_there(*one)).collect();
            if there.is_empty() { within } else { there }
        });
        let owner = could_be.first().copied().filter(|_| !could_be.contains(&person)).unwrap_or(person);
        (Owner::Person(owner), if could_be.len() > 1 { could_be.into() } else { Box::default() })
    }

    /// Whose a secret is or could be, where it is one of a person's user.
    fn holders_of(&self, secret: u32, person: u32) -> Option<Vec<u32>> {
        let row = self.secret_row(secret)?;
        let Owner::Person(owner) = row.owner else { return None };
        let holders = if row.made_for.is_empty() { vec![owner] } else { row.made_for.to_vec() };
        holders.iter().all(|one| self.user_of(*one) == self.user_of(person)).then_some(holders)
    }

    /// Who made something for itself made it as the person whose it is: known is only which user that was.
    fn own_maker(&self, author: Option<Owner>, owner: Owner) -> Option<Owner> {
        author.map(|author| if self.owner_principal(author) == self.owner_principal(owner) { owner } else { author })
    }

    fn redeemable(&self, cx: &FoldContext<'_>, id: &str, owner: Owner) -> Option<u32> {
        let ix = self.facts.secrets.find(0, id)?;
        let row = self.facts.secrets.get(ix)?.as_ref()?;
        let (Owner::Person(theirs), Owner::Person(mine)) = (row.owner, owner) else { return None };
        let user = |person: u32| self.facts.persons.get(person).map(|row| row.user);
        let good = row.usage == SecretUse::Invitation
            && self.is_of_one_user(row)
            && user(theirs) == user(mine)
            && !self.is_over(row, cx.record.recorded_at.timestamp_micros());
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

    /// Ends everything that a user signs in with; where somebody else than the user or the operator asks, what that one made.
    pub(crate) fn reset_credentials(&mut self, cx: &mut FoldContext<'_>, data: &body::UserRef) -> Effect {
        let person = match self.secret_owner_person(data.user.as_str()) {
            Ok(person) => person,
            Err(effect) => return effect,
        };
        let user = UserIx(self.facts.persons.get(person).map_or(NONE, |row| row.user));
        let given_by = (data.author.as_ref(), data.made_with.as_ref());
        match self.hand(given_by, Principal::User(user), "secret.revoke", cx.now()) {
            Err(refusal) => refusal.into(),
            Ok(Hand::Other { maker, .. }) => {
                let theirs: Vec<u32> = self
                    .open_secrets_of(Principal::User(user), cx.now().timestamp_micros())
                    .filter(|(_, row)| self.is_by(row, maker))
                    .map(|(ix, _)| ix)
                    .collect();
                for ix in &theirs {
                    if let Some(row) = self.facts.secrets.get_mut(*ix).and_then(Option::as_mut) {
                        row.usage = SecretUse::Over;
                    }
                }
                if theirs.is_empty() { Effect::NoChange } else { cx.applied("user") }
            }
            Ok(Hand::Operator | Hand::Own(_)) => {
                // Of every person of the user: what is over stays over when they part.
                for person in self.persons_of(user).to_vec() {
                    self.facts.resets.insert(person, cx.position());
                }
                cx.applied("user")
            }
        }
    }
}

fn maker_and_reach(hand: Hand) -> (Option<Owner>, Reach) {
    match hand {
        Hand::Operator => (None, Reach::Owner),
        Hand::Own(maker) => (Some(maker), Reach::Owner),
        Hand::Other { maker, reach } => (Some(maker), reach),
    }
}
