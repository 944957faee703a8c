//! Whether a user may be given a name, or a name be freed: not while whoever has or had it still means something by it.
//! Rights never pass with a name, as they rest on ids; what is asked here keeps people from being taken for others.

use chrono::{DateTime, Utc};
use rollcall_events::body::{Author, UserName, UserNameRef};

use crate::{
    commands::refusal::{Refusal, RefusalKind},
    roster::{
        Roster,
        facts::{Holder, NONE},
        handles::{Place, Principal, UserIx},
    },
};

/// What somebody still does under a name, and what keeps the name from passing to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NameUse {
    /// Secrets and invitations in force.
    pub secrets: usize,
    /// Roles that were given to the user by name.
    pub bindings: usize,
}

impl NameUse {
    /// The name may pass to another.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for NameUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |n: usize, one: &str, many: &str| match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        let all: Vec<String> = [
            count(self.secrets, "secret or invitation in force", "secrets or invitations in force"),
            count(self.bindings, "role given by name", "roles given by name"),
        ]
        .into_iter()
        .flatten()
        .collect();
        f.write_str(&all.join(", "))
    }
}

impl Roster {
    /// Whether the profile gives everybody a project of the own name. What was pushed there is in the registry still, so none of
    /// them ever ends.
    pub(crate) fn has_personal_projects(&self) -> bool {
        self.profile.document().rules.personal_project.is_some()
    }

    /// What the user of a person still does under its names.
    pub(crate) fn name_use(&self, person: u32, now: DateTime<Utc>) -> NameUse {
        let user = UserIx(self.user_of(person));
        let now = now.timestamp_micros();
        let persons = self.persons_of(user).iter();
        let bindings = persons.filter_map(|person| self.index.holder_bindings.get(&Holder::Person(*person))).flatten();
        let in_force = bindings.filter_map(|ix| self.facts.bindings.get(*ix)?.as_ref());
        NameUse {
            secrets: self.open_secrets_of(Principal::User(user), now).count(),
            bindings: in_force.filter(|row| row.register.stands() && now < row.ends).count(),
        }
    }

    /// `with_project`: somebody said that the personal project of the name passes with it.
    fn check_passes(&self, name: u32, to: Option<u32>, with_project: bool, now: DateTime<Utc>) -> Result<(), Refusal> {
        let Some(holder) = self.loses(name, to) else { return Ok(()) };
        let kept = self.name_use(holder, now);
        if !kept.is_none() {
            let (name, holder) = (self.facts.user_names.id(name), self.person_key(holder));
            return Err(RefusalKind::Taken
                .because(format!("`{name}` is or was the name of {holder}, who still has {kept}; end that first")));
        }
        if with_project { Ok(()) } else { self.check_project_passes(name, to) }
    }

    /// Whoever a name passes from.
    fn loses(&self, name: u32, to: Option<u32>) -> Option<u32> {
        let holder = self.facts.user_names.get(name).copied().filter(|holder| *holder != NONE);
        holder.filter(|holder| to.is_none_or(|to| self.user_of(to) != self.user_of(*holder)))
    }

    /// What was pushed below a name must not pass with it unsaid.
    fn check_project_passes(&self, name: u32, to: Option<u32>) -> Result<(), Refusal> {
        let Some(holder) = self.loses(name, to).filter(|_| self.has_personal_projects()) else { return Ok(()) };
        let (name, holder) = (self.facts.user_names.id(name), self.person_key(holder));
        Err(RefusalKind::Taken.because(format!(
            "`{name}` is or was the name of {holder}, whose personal project is `{name}/..`: whoever has the name next has what was pushed there; say so (--with-personal-project)",
        )))
    }

    fn check_namer(&self, author: Option<&Author>, now: DateTime<Utc>) -> Result<(), Refusal> {
        self.authorize(author, "person.name", Place::Root, now).map(|_| ())
    }

    pub(super) fn check_name_given(&self, data: &UserName, now: DateTime<Utc>) -> Result<(), Refusal> {
        self.check_namer(data.author.as_ref(), now)?;
        let Some(person) = self.person_of(data.user.as_str()) else {
            return Err(RefusalKind::Unknown.because(format!("there is no user `{}`", data.user)));
        };
        let user = self.user_of(person);
        // A rule gives it to the person whose source asks for it, whoever that is besides.
        if user != person && data.rule.is_none() {
            return Err(RefusalKind::Invalid.because(format!(
                "{} was linked and is user {} now; give the name to that one",
                data.user,
                self.person_key(user)
            )));
        }
        let Some(name) = self.facts.user_names.find(0, &data.username) else { return Ok(()) };
        if !self.exchange_by(data).is_empty() {
            return self.check_project_passes(name, Some(person));
        }
        self.check_passes(name, Some(person), data.with_personal_project, now)
    }

    pub(super) fn check_name_freed(&self, data: &UserNameRef, now: DateTime<Utc>) -> Result<(), Refusal> {
        self.check_namer(data.author.as_ref(), now)?;
        let Some(name) = self.facts.user_names.find(0, &data.username) else {
            return Err(RefusalKind::Unknown.because(format!("nobody is or was called `{}`", data.username)));
        };
        let holder = self.facts.user_names.get(name).copied().unwrap_or(NONE);
        if self.facts.persons.get(holder).is_some_and(|row| row.name == name) {
            return Err(RefusalKind::Taken.because(format!(
                "`{}` is the name of {} now; give it to another user instead, or rename this one first",
                data.username,
                self.person_key(holder)
            )));
        }
        self.check_passes(name, None, data.with_personal_project, now)
    }
}
