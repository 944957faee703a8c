//! Users and the persons that they are: found by name or id, and whether they can do anything at all.

use rollcall_events::{
    Position,
    names::{CallerReference, Unusable, canonical_name},
};

use crate::roster::{
    Roster,
    facts::{Field, NONE, NameNotInEffect},
    handles::{Principal, UserIx},
};

/// A user as others see it.
#[derive(Debug, Clone)]
pub struct UserView<'a> {
    /// `source/person` of the oldest person.
    pub id: String,
    /// The name to sign in with.
    pub name: &'a str,
    /// Whether the user can neither sign in nor do anything: an authoritative source calls a person of it inactive, or
    /// no source whose facts count knows a live person of it any more.
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
    /// The one that its source asks for, where that is not in effect.
    pub asked_name: Option<AskedName<'a>>,
    /// The account that the person is in.
    pub account: Option<&'a str>,
    /// Not made inactive by the source.
    pub active: bool,
    /// Removed at the source.
    pub removed: bool,
    /// Of a source whose facts do not count now.
    pub suspended: bool,
    /// The position of the event that says so.
    pub position: Position,
}

/// A user name that a source asks for and that is not in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedName<'a> {
    /// As the source wrote it, at most 256 bytes of it; of one that is taken, in its canonical form.
    pub name: &'a str,
    /// Why it is not in effect.
    pub why: NameProblem<'a>,
}

/// Why a user name is not in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameProblem<'a> {
    /// Nobody can have it.
    Unusable(Unusable),
    /// It is this person's, `source` and id, or was: no name passes to another by itself.
    Taken(&'a str, &'a str),
    /// It was freed since; who asks for it next has it.
    Freed,
    /// The user was given another one.
    Overruled,
}

impl std::fmt::Display for NameProblem<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unusable(why) => write!(f, "no user can have this name: {why}"),
            Self::Taken(source, person) => write!(f, "the name is or was that of {source}/{person}"),
            Self::Freed => f.write_str("the name was another's when it was asked for"),
            Self::Overruled => f.write_str("the user was given another name"),
        }
    }
}

/// Why a user can do nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutOut {
    /// A source calls a person of it inactive.
    Inactive,
    /// Nobody of it is there: removed, or of a source whose facts do not count.
    Gone,
}

/// Two persons that are one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkView {
    /// `source/id` of each.
    pub persons: [String; 2],
    /// The user that they are.
    pub user: UserIx,
    /// The event that linked them.
    pub position: Position,
}

impl Roster {
    /// The links that stand, from a row on, in the order in which they were first made.
    pub fn links_from(&self, from: u32) -> impl Iterator<Item = (u32, LinkView)> {
        let rows = from..u32::try_from(self.facts.links.len()).unwrap_or(NONE);
        rows.filter_map(|ix| Some((ix, self.link(ix)?)))
    }

    /// The link of a row, while it stands.
    #[must_use]
    pub fn link(&self, ix: u32) -> Option<LinkView> {
        let pair = self.facts.links.get(ix as usize).filter(|pair| pair.register.stands())?;
        Some(LinkView {
            persons: [self.person_key(pair.left), self.person_key(pair.right)],
            user: UserIx(self.user_of(pair.left)),
            position: pair.register.cause,
        })
    }

    /// The links by which a user is several persons.
    pub fn links_of(&self, user: UserIx) -> impl Iterator<Item = LinkView> {
        let mut links: Vec<u32> = self
            .persons_of(user)
            .iter()
            .filter_map(|person| self.index.person_links.get(person))
            .flatten()
            .copied()
            .collect();
        links.sort_unstable();
        links.dedup();
        links.into_iter().filter_map(|ix| self.link(ix))
    }

    /// The newest event that linked a person of a user with another, or parted them.
    #[must_use]
    pub fn newest_link(&self, user: UserIx) -> Position {
        let touching = self.persons_of(user).iter().filter_map(|person| self.index.person_links.get(person)).flatten();
        let pairs = touching.filter_map(|ix| self.facts.links.get(*ix as usize));
        pairs.map(|pair| pair.register.cause).max().unwrap_or_default()
    }

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

    /// The user that somebody means, by name or id as the form says; nothing for a service.
    #[must_use]
    pub fn user_by_reference(&self, reference: CallerReference<'_>) -> Option<UserIx> {
        match reference {
            CallerReference::Name(name) => self.user_by_name(name),
            CallerReference::Id(id) => self.user_by_id(id),
            CallerReference::Service(_) => None,
        }
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
        find(name).or_else(|| find(&canonical_name(name)))
    }

    /// The user who was called so, in whatever spelling, where nobody is; and the event by which that ended.
    #[must_use]
    pub fn formerly_called(&self, name: &str) -> Option<(UserIx, Option<Position>)> {
        let find = |name: &str| {
            let ix = self.facts.user_names.find(0, name)?;
            let owner = match *self.facts.user_names.get(ix)? {
                // It was freed.
                NONE => *self.facts.name_holders.get(&ix)?.last()?,
                owner => owner,
            };
            let person = self.facts.persons.get(owner)?;
            let until = self.facts.left(Field::PersonName, owner, ix);
            (person.name != ix && person.user != NONE).then_some((UserIx(person.user), until))
        };
        find(name).or_else(|| find(&canonical_name(name)))
    }

    /// The user that a person, given as `source/person`, belongs to.
    #[must_use]
    pub fn user_by_id(&self, id: &str) -> Option<UserIx> {
        let person = self.facts.persons.get(self.person_of(id)?)?;
        (person.user != NONE).then_some(UserIx(person.user))
    }

    /// The user that a person is, its oldest person; [`NONE`] for one that was only mentioned.
    pub(crate) fn user_of(&self, person: u32) -> u32 {
        self.facts.persons.get(person).map_or(NONE, |row| row.user)
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

    /// The person of a user on whom rests what is given by hand from now on, `source/person`: the oldest who is there.
    #[must_use]
    pub fn gifted_person(&self, user: UserIx) -> String {
        self.person_key(self.live_person(user).unwrap_or(user.0))
    }

    /// The oldest person of a user that is there.
    pub(crate) fn live_person(&self, user: UserIx) -> Option<u32> {
        self.persons_of(user).iter().copied().find(|person| self.facts.is_live(*person))
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
        let person = self.facts.called_as.get(&user.0).copied().unwrap_or(user.0);
        self.facts.persons.get(person).map_or("", |row| self.facts.user_names.id(row.name))
    }

    /// Every name that finds a user: of each of its persons, the one that it is called by first.
    pub fn user_names(&self, user: UserIx) -> impl Iterator<Item = &str> {
        let first = self.user_name(user);
        let all = self.persons_of(user).iter().filter_map(|person| self.facts.persons.get(*person));
        let others = all.map(|row| self.facts.user_names.id(row.name)).filter(move |name| *name != first);
        std::iter::once(first).chain(others)
    }

    /// The person, `source/id`, that a user name is that of, in whatever spelling.
    #[must_use]
    pub fn person_called(&self, name: &str) -> Option<String> {
        let find = |name: &str| {
            let person = self.kept_for(name)?;
            let row = self.facts.persons.get(person)?;
            (self.facts.user_names.id(row.name) == name).then(|| self.person_key(person))
        };
        find(name).or_else(|| find(&canonical_name(name)))
    }

    /// What a person, `source/id`, is called itself, whatever its user is called.
    #[must_use]
    pub fn name_of_person(&self, id: &str) -> &str {
        let row = self.person_of(id).and_then(|person| self.facts.persons.get(person));
        row.map_or("", |row| self.facts.user_names.id(row.name))
    }

    /// The person whose a user name is, or was last: it stays reserved when it is given up.
    pub(crate) fn kept_for(&self, name: &str) -> Option<u32> {
        let owner = *self.facts.user_names.get(self.facts.user_names.find(0, name)?)?;
        self.facts.persons.get(owner).filter(|row| row.user != NONE).map(|_| owner)
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
            asked_name: self.asked_name(ix),
            account: (row.account != NONE).then(|| self.facts.accounts.id(row.account)),
            active: row.active,
            removed: !row.register.stands(),
            suspended: self.facts.is_suspended(self.facts.persons.names.space(ix)),
            position: row.register.cause,
        })
    }

    pub(crate) fn asked_name(&self, person: u32) -> Option<AskedName<'_>> {
        Some(match self.facts.names_not_in_effect.get(&person)? {
            NameNotInEffect::Unusable(name, why) => AskedName { name, why: NameProblem::Unusable(*why) },
            NameNotInEffect::Taken(ix) => {
                let why = match *self.facts.user_names.get(*ix)? {
                    NONE => NameProblem::Freed,
                    // One user may be called by any name of its persons.
                    holder if self.user_of(holder) == self.user_of(person) => return None,
                    holder => {
                        let names = &self.facts.persons.names;
                        NameProblem::Taken(self.source_text(names.space(holder)), names.text(holder))
                    }
                };
                AskedName { name: self.facts.user_names.id(*ix), why }
            }
            NameNotInEffect::Overruled(name) => AskedName { name, why: NameProblem::Overruled },
        })
    }

    /// Every person that is there and whose user name is not the one that its source asks for; why is in its view.
    pub fn names_not_in_effect(&self) -> impl Iterator<Item = PersonView<'_>> {
        let all = self.facts.names_not_in_effect.keys().filter_map(|ix| self.person_view(*ix));
        all.filter(|view| !view.removed && view.asked_name.is_some())
    }

    /// The users of whom a person asks for this name, in its canonical form, and has it not.
    pub fn askers_of(&self, name: &str) -> impl Iterator<Item = UserIx> {
        let of = self.facts.user_names.find(0, name).into_iter().flat_map(|name| self.who_wait_for(name));
        of.filter(|person| self.asked_name(*person).is_some() && self.facts.is_live(*person))
            .map(|person| UserIx(self.user_of(person)))
    }

    /// The persons whose sources ask for a name that was another's when they did.
    pub(crate) fn who_wait_for(&self, name: u32) -> impl Iterator<Item = u32> {
        let text = self.facts.user_names.id(name);
        let sources = (0..self.facts.sources.len()).filter_map(|source| u16::try_from(source).ok());
        let asking = sources.flat_map(move |source| {
            self.index.asked_names.range((source, text.to_owned(), 0)..=(source, text.to_owned(), u32::MAX))
        });
        let waits = move |one: &u32| self.facts.names_not_in_effect.get(one) == Some(&NameNotInEffect::Taken(name));
        asking.map(|((.., one), ())| *one).filter(waits)
    }

    /// A person as its source knows it.
    #[must_use]
    pub fn person(&self, source: &str, id: &str) -> Option<PersonView<'_>> {
        self.person_view(self.person_of(&format!("{source}/{id}"))?)
    }

    /// Whether the user can do nothing at all.
    pub(crate) fn shut_out(&self, user: UserIx) -> bool {
        self.why_shut_out(user).is_some()
    }

    /// Why the user can do nothing at all, if that is so.
    #[must_use]
    pub fn why_shut_out(&self, user: UserIx) -> Option<ShutOut> {
        let (mut live, mut why) = (false, ShutOut::Gone);
        for ix in self.persons_of(user) {
            let Some(row) = self.facts.persons.get(*ix) else { continue };
            if row.register.stands() && row.active {
                // Suspending a source only takes away: whoever it calls inactive stays shut out.
                live |= self.facts.is_live(*ix);
            } else if row.register.stands() {
                // Inactive. Only now is it worth finding out whose person it is.
                if self.is_authoritative(*ix) {
                    return Some(ShutOut::Inactive);
                }
                why = ShutOut::Inactive;
            }
        }
        (!live).then_some(why)
    }

    /// The users of whom a person is or was in an account of this id, of any source; by name.
    #[must_use]
    pub fn users_ever_in(&self, account: &str) -> Vec<UserIx> {
        let spaces = (0..self.facts.sources.len()).filter_map(|space| u16::try_from(space).ok());
        let accounts = spaces.filter_map(|space| self.facts.accounts.find(space, account));
        let people = accounts.flat_map(|account| self.index.account_people.of(account)).copied();
        let users = people.map(|person| UserIx(self.user_of(person))).filter(|user| self.is_user(*user));
        let mut users: Vec<UserIx> = users.collect();
        users.sort_by_key(|user| (self.user_name(*user), *user));
        users.dedup();
        users
    }

    /// Every user, in the order in which they came to be.
    pub fn users(&self) -> impl Iterator<Item = UserIx> {
        let is_user = |ix: &u32| self.facts.persons.get(*ix).is_some_and(|row| row.user == *ix);
        (0..self.facts.persons.len()).filter(is_user).map(UserIx)
    }
}
