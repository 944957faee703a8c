//! Commands, judged at their position: secrets, invitations, bindings. The API asks the same questions before it
//! appends; between asking and recording somebody else may have been first, so the answer that counts is given here.

use chrono::{DateTime, Utc};
use rollcall_events::{
    Position,
    body::{self, Principal, Scope, SecretOwner},
};

use crate::{
    Effect, ProjectIx, UserIx,
    facts::{Binding, NONE, Secret, SecretUse},
    fold::At,
    register::{Rank, Register},
    roster::{Roster, instant},
};

/// A role given by hand that was not taken away; its window may be over, or not have begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingView<'a> {
    /// Its subject: who, which role, where.
    pub subject: &'a str,
    /// Who.
    pub user: UserIx,
    /// Which role.
    pub role: &'a str,
    /// The project; absent for the root.
    pub project: Option<ProjectIx>,
    /// From when.
    pub starts: Option<DateTime<Utc>>,
    /// Until when, exclusive.
    pub ends: Option<DateTime<Utc>>,
    /// The event that set it.
    pub position: Position,
}

fn refused(reason: impl Into<String>) -> Effect {
    Effect::Refused(reason.into())
}

impl Roster {
    fn owner(&self, user: &str) -> Result<u32, Effect> {
        self.person_of(user).ok_or_else(|| refused(format!("there is no user `{user}`")))
    }

    fn add_secret(&mut self, at: &mut At<'_>, id: &str, secret: Secret) -> Effect {
        if self.facts.secrets.find(0, id).is_some() || self.index.secret_hash.contains_key(&secret.sha256) {
            return refused("a secret with this id or value was made already");
        }
        let ix = self.facts.secrets.at(0, id);
        self.index.secret(ix, secret.sha256, secret.person);
        if let Some(row) = self.facts.secrets.get_mut(ix) {
            *row = Some(secret);
        }
        at.said("secret")
    }

    pub(crate) fn invite(&mut self, at: &mut At<'_>, data: &body::Invitation) -> Effect {
        match self.owner(data.user.as_str()) {
            Ok(person) => self.add_secret(
                at,
                data.secret.as_str(),
                Secret {
                    sha256: data.sha256.0,
                    person,
                    expires: data.expires.timestamp_micros(),
                    issued: at.position(),
                    issued_at: at.record.recorded_at.timestamp_micros(),
                    label: None,
                    use_: SecretUse::Invitation,
                },
            ),
            Err(effect) => effect,
        }
    }

    pub(crate) fn issue(&mut self, at: &mut At<'_>, data: &body::Secret) -> Effect {
        let SecretOwner::User(user) = &data.owner else {
            return refused("services are not part of this version");
        };
        let person = match self.owner(user.as_str()) {
            Ok(person) => person,
            Err(effect) => return effect,
        };
        let invitation = match &data.invitation {
            None => None,
            // Redeemed at most once, in time, for the user that it was made for: judged here, where order is decided.
            Some(id) => match self.redeemable(at, id.as_str(), person) {
                Some(ix) => Some(ix),
                None => return refused("the invitation is used, over or for somebody else; ask for a new one"),
            },
        };
        let effect = self.add_secret(
            at,
            data.secret.as_str(),
            Secret {
                sha256: data.sha256.0,
                person,
                expires: data.expires.map_or(i64::MAX, |time| time.timestamp_micros()),
                issued: at.position(),
                issued_at: at.record.recorded_at.timestamp_micros(),
                label: data.label.clone(),
                use_: SecretUse::Live,
            },
        );
        if effect == Effect::Applied
            && let Some(row) = invitation.and_then(|ix| self.facts.secrets.get_mut(ix)).and_then(Option::as_mut)
        {
            row.use_ = SecretUse::Over;
        }
        effect
    }

    fn redeemable(&self, at: &At<'_>, id: &str, person: u32) -> Option<u32> {
        let ix = self.facts.secrets.find(0, id)?;
        let row = self.facts.secrets.get(ix)?.as_ref()?;
        let user = |person: u32| self.facts.persons.get(person).map(|row| row.user);
        let good = row.use_ == SecretUse::Invitation
            && user(row.person) == user(person)
            && at.record.recorded_at.timestamp_micros() < row.expires
            && row.issued.0 >= self.credential_epoch(UserIx(user(person)?));
        good.then_some(ix)
    }

    pub(crate) fn revoke(&mut self, at: &mut At<'_>, id: &str) -> Effect {
        let ix = self.facts.secrets.find(0, id);
        match ix.and_then(|ix| self.facts.secrets.get_mut(ix)).and_then(Option::as_mut) {
            Some(row) if row.use_ == SecretUse::Over => Effect::NoChange,
            Some(row) => {
                row.use_ = SecretUse::Over;
                at.said("secret")
            }
            None => refused(format!("there is no secret `{id}`")),
        }
    }

    pub(crate) fn reset_credentials(&mut self, at: &mut At<'_>, user: &str) -> Effect {
        match self.owner(user) {
            Ok(person) => {
                // Of every person of the user: what is over stays over when they part.
                let user = UserIx(self.facts.persons.get(person).map_or(NONE, |row| row.user));
                for person in self.persons_of(user).to_vec() {
                    self.facts.resets.insert(person, at.position());
                }
                at.said("user")
            }
            Err(effect) => effect,
        }
    }

    /// Whether this binding may be set now: the question that a command asks before it is appended, and the fold again.
    ///
    /// # Errors
    /// Says what stands against it.
    pub fn may_bind(&self, data: &body::Binding) -> Result<(), String> {
        self.binding_of(data).map(|_| ())
    }

    fn binding_of(&self, data: &body::Binding) -> Result<(u32, u32), String> {
        let Some(role) = self.profile.role(&data.role) else {
            let known: Vec<&str> = self.profile.roles().map(|role| self.profile.role_name(role)).collect();
            return Err(format!(
                "profile {} has no role `{}`; its roles are {}",
                self.profile.name(),
                data.role,
                known.join(", ")
            ));
        };
        let (project, level) = match &data.scope {
            Scope::Root => (NONE, 0),
            Scope::Project(id) => match self.project_by_id(id.as_str()) {
                Some(ProjectIx(ix)) => (ix, self.profile.project_level()),
                None => return Err(format!("there is no project `{id}`")),
            },
            Scope::Container(_) => {
                return Err("containers are not part of this version; bind on the root or a project".into());
            }
        };
        if project != NONE && !self.settings.bindings_on_managed {
            let view = self.project(ProjectIx(project));
            return Err(format!(
                "project {} is managed by source {}: who is in it follows from package {} there, and is changed there",
                view.name, view.source, view.package
            ));
        }
        if !self.profile.grantable(role, level) {
            return Err(format!("role {} cannot be granted at this level", self.profile.role_name(role)));
        }
        match &data.principal {
            Principal::User(user) => match self.person_of(user.as_str()) {
                Some(person) => Ok((person, project)),
                None => Err(format!("there is no user `{user}`")),
            },
            Principal::Service(_) | Principal::Group(_) => {
                Err("bindings of groups and services are not part of this version; bind users".into())
            }
        }
    }

    pub(crate) fn bind(&mut self, at: &mut At<'_>, data: &body::Binding) -> Effect {
        let (person, project) = match self.binding_of(data) {
            Ok(found) => found,
            Err(reason) => return refused(reason),
        };
        let new = self.facts.bindings.find(0, &at.record.event.subject).is_none();
        let ix = self.facts.bindings.at(0, &at.record.event.subject);
        let Some(slot) = self.facts.bindings.get_mut(ix) else { return Effect::NoChange };
        let mut register = slot.as_ref().map_or_else(Register::default, |row| row.register);
        let effect = at.settle(&mut register, Rank::Full, "binding");
        *slot = Some(Binding {
            register,
            person,
            role: data.role.clone(),
            project,
            starts: data.starts.map_or(i64::MIN, |time| time.timestamp_micros()),
            ends: data.ends.map_or(i64::MAX, |time| time.timestamp_micros()),
        });
        if new {
            self.index.person_bindings.entry(person).or_default().push(ix);
        }
        effect
    }

    /// Every binding that was not taken away.
    pub fn bindings(&self) -> impl Iterator<Item = BindingView<'_>> {
        (0_u32..).zip(&self.facts.bindings.rows).filter_map(|(ix, row)| {
            let row = row.as_ref().filter(|row| row.register.stands())?;
            Some(BindingView {
                subject: self.facts.bindings.id(ix),
                user: UserIx(self.facts.persons.get(row.person)?.user),
                role: &row.role,
                project: (row.project != NONE).then_some(ProjectIx(row.project)),
                starts: instant(row.starts),
                ends: instant(row.ends),
                position: row.register.cause,
            })
        })
    }

    pub(crate) fn unbind(&mut self, at: &mut At<'_>, _: &body::BindingRef) -> Effect {
        let ix = self.facts.bindings.find(0, &at.record.event.subject);
        match ix.and_then(|ix| self.facts.bindings.get_mut(ix)).and_then(Option::as_mut) {
            Some(row) if row.register.stands() => at.settle(&mut row.register, Rank::Removed, "binding"),
            _ => refused("there is no such binding"),
        }
    }
}
