//! Users and the persons that they are: found by name or id, and whether they can do anything at all.

use rollcall_events::Position;

use crate::roster::{
    Roster,
    facts::NONE,
    handles::{Principal, UserIx},
    names::normalize_user_name,
};

/// A user as others see it.
#[derive(Debug, Clone)]
pub struct UserView<'a> {
    /// `source/person` of the oldest person.
    pub id: String,
    /// The name to sign in with.
    pub name: &'a str,
    /// Whether the user can neither sign in nor do anything: an authoritative source calls a person of it inactive, or
    /// no source knows a live person of it any more.
    pub shut_out: bool,
    /// What a refresh token must carry to be good.
    pub credential_epoch: u64,
    /// The persons that it is, oldest first.
    pub persons: Vec<PersonView<'a>>,
}

/// A person as one source knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonView<'a> {
    /// The source.
    pub source: &'a str,
    /// The source's id.
    pub person: &'a str,
    /// The user name that the person has.
    pub username: &'a str,
    /// The account that the person is in.
    pub account: Option<&'a str>,
    /// Not suspended.
    pub active: bool,
    /// Removed at the source.
    pub removed: bool,
    /// The position of the event that says so.
    pub position: Position,
}

impl Roster {
    /// `source/id` of a person.
    pub(crate) fn person_key(&self, person: u32) -> String {
        let names = &self.facts.persons.names;
        format!("{}/{}", self.source_text(names.space(person)), names.text(person))
    }

    /// The person of `source/id`, who was there at some time: a mere mention or removal makes nobody.
    pub(crate) fn person_of(&self, key: &str) -> Option<u32> {
        let (source, id) = key.split_once('/')?;
        let space = self.facts.sources.find(0, source)?;
        let person = self.facts.persons.find(u16::try_from(space).ok()?, id)?;
        self.facts.persons.get(person).filter(|row| row.user != NONE).map(|_| person)
    }

    /// The user with a name, in whatever spelling.
    #[must_use]
    pub fn user_by_name(&self, name: &str) -> Option<UserIx> {
        let find = |name: &str| {
            let ix = self.facts.user_names.find(0, name)?;
            let owner = *self.facts.user_names.get(ix)?;
            let person = self.facts.persons.get(owner)?;
            // A name that its owner gave up stays reserved and finds nobody.
            (person.name == ix && person.user != NONE).then_some(UserIx(person.user))
        };
        find(name).or_else(|| find(&normalize_user_name(name)?))
    }

    /// The user that a person, given as `source/person`, belongs to.
    #[must_use]
    pub fn user_by_id(&self, id: &str) -> Option<UserIx> {
        let person = self.facts.persons.get(self.person_of(id)?)?;
        (person.user != NONE).then_some(UserIx(person.user))
    }

    /// Whether this is a user still: one that was linked to an older one is nobody any more.
    pub(crate) fn is_user(&self, user: UserIx) -> bool {
        self.facts.persons.get(user.0).is_some_and(|row| row.user == user.0)
    }

    /// The user's persons, oldest first.
    pub(crate) fn persons_of(&self, user: UserIx) -> &[u32] {
        match self.index.linked.get(&user.0) {
            Some(set) => set,
            None => self.only_person(user.0),
        }
    }

    /// A slice of one without an allocation: the row's own index is in the row.
    fn only_person(&self, person: u32) -> &[u32] {
        self.facts.persons.get(person).map_or(&[], |row| std::slice::from_ref(&row.user))
    }

    /// A user's name and state.
    #[must_use]
    pub fn user(&self, user: UserIx) -> UserView<'_> {
        let persons = self.persons_of(user).iter().filter_map(|ix| self.person_view(*ix)).collect();
        UserView {
            id: self.person_key(user.0),
            name: self.user_name(user),
            shut_out: self.shut_out(user),
            credential_epoch: self.credential_epoch(Principal::User(user)),
            persons,
        }
    }

    /// The name to sign in with.
    #[must_use]
    pub fn user_name(&self, user: UserIx) -> &str {
        self.facts.persons.get(user.0).map_or("", |row| self.facts.user_names.id(row.name))
    }

    /// `source/person` of the user's oldest person.
    #[must_use]
    pub fn user_id(&self, user: UserIx) -> String {
        self.person_key(user.0)
    }

    fn person_view(&self, ix: u32) -> Option<PersonView<'_>> {
        let row = self.facts.persons.get(ix)?;
        Some(PersonView {
            source: self.source_text(self.facts.persons.names.space(ix)),
            person: self.facts.persons.id(ix),
            username: self.facts.user_names.id(row.name),
            account: (row.account != NONE).then(|| self.facts.accounts.id(row.account)),
            active: row.active,
            removed: !row.register.stands(),
            position: row.register.cause,
        })
    }

    /// Everything that any source ever called a person, in the order in which they were first named.
    pub fn persons(&self) -> impl Iterator<Item = (PersonView<'_>, UserIx)> {
        (0..self.facts.persons.len()).filter_map(|ix| {
            let row = self.facts.persons.get(ix)?;
            if row.user == NONE { None } else { Some((self.person_view(ix)?, UserIx(row.user))) }
        })
    }

    /// Whether the user can do nothing at all.
    pub(crate) fn shut_out(&self, user: UserIx) -> bool {
        let mut live = false;
        for ix in self.persons_of(user) {
            let Some(row) = self.facts.persons.get(*ix) else { continue };
            if row.is_live() {
                live = true;
            } else if row.register.stands() {
                // Suspended. Only now is it worth finding out whose person it is.
                let space = usize::from(self.facts.persons.names.space(*ix));
                if self.authoritative.get(space).copied().unwrap_or(false) {
                    return true;
                }
            }
        }
        !live
    }

    /// Every user, in the order in which they came to be.
    pub fn users(&self) -> impl Iterator<Item = UserIx> {
        (0_u32..).zip(&self.facts.persons.rows).filter(|(ix, row)| row.user == *ix).map(|(ix, _)| UserIx(ix))
    }
}
