//! The roster: the facts, the ways to find them, and the settings and profile in force, as of one position.
//! Answers look-ups; what an event does to it is `fold`, what a person may do is `decide`.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use chrono::{DateTime, Utc};
use rollcall_events::{
    LOCAL, LogId, Order, Position, Settings, SourceName,
    body::{ProjectKind, Visibility},
};

use crate::{
    facts::{Facts, NONE},
    index::Index,
    names::normalize_user_name,
    place::ProfileKind,
    plain::Plain,
    profile::{Held, Own, Profile, Pseudo, Resource, RoleIx},
    slice::Judging,
};

/// A user of the roster. Good for this roster only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserIx(pub(crate) u32);

/// The in-memory index of facts that answers access questions.
#[derive(Debug, Clone)]
pub struct Roster {
    pub(crate) facts: Facts,
    pub(crate) index: Index,
    pub(crate) plain: Plain,
    pub(crate) settings: Settings,
    pub(crate) profile: Profile,
    /// The profile of Rollcall's own API.
    pub(crate) api: Arc<Profile>,
    /// The role of each binding where it was given, under the profile that it belongs to; absent where that profile has
    /// no such role or does not let it be given there.
    pub(crate) roles: Vec<Option<(ProfileKind, Held)>>,
    /// The roles of rules 2 and 3; absent where the profile has no such role.
    pub(crate) producer_role: Option<RoleIx>,
    pub(crate) consumer_role: Option<RoleIx>,
    /// By source: whether an inactive person of it shuts the user out.
    pub(crate) authoritative: Vec<bool>,
    /// How events are judged; a roster that follows the log judges each anew.
    pub(crate) judging: Judging,
}

/// One roster that is read by many and folded into by one. A guard is held for a look-up, never across a wait.
#[derive(Debug)]
pub struct SharedRoster(RwLock<Roster>);

impl SharedRoster {
    /// Shares a roster.
    #[must_use]
    pub fn new(roster: Roster) -> Self {
        Self(RwLock::new(roster))
    }

    /// To look something up.
    pub fn read(&self) -> RwLockReadGuard<'_, Roster> {
        // A panic while folding leaves an event half applied; the projector that panicked is gone and the process is
        // not ready. What readers see until then is the state at the last whole event plus part of one.
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// To fold into it.
    pub fn write(&self) -> RwLockWriteGuard<'_, Roster> {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Puts another roster in its place (a rebuilt one) and hands the old one back.
    pub fn replace(&self, roster: Roster) -> Roster {
        std::mem::replace(&mut self.write(), roster)
    }
}

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

/// A subject whose newest event could not be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedView<'a> {
    /// Its source.
    pub source: &'a str,
    /// The subject.
    pub subject: &'a str,
    /// The event that waits.
    pub position: Position,
    /// Why.
    pub reason: &'a str,
    /// The project's name that it waits for, if that is why.
    pub wants: Option<&'a str>,
}

/// What a roster can count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users that exist.
    pub users: usize,
    /// Projects that exist, archived ones included.
    pub projects: usize,
    /// Subjects that are parked.
    pub parked: usize,
    /// Those of them that wait for the name of a project.
    pub name_taken: usize,
}

impl Roster {
    /// The roster of an empty log: nobody, nothing, the Revenera profile.
    ///
    /// # Panics
    /// Never: the bundled profiles compile, which a test of them shows.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the bundled profiles are constants that a test compiles")]
    pub fn new(log: LogId) -> Self {
        let profile = Profile::bundled("revenera").expect("the bundled profile compiles");
        let api = Arc::new(Profile::api().expect("the profile of the API compiles"));
        let mut roster = Self {
            facts: Facts::new(log),
            index: Index::default(),
            plain: Plain::default(),
            settings: Settings::default(),
            profile,
            api,
            roles: Vec::new(),
            producer_role: None,
            consumer_role: None,
            authoritative: Vec::new(),
            judging: Judging::Anew,
        };
        roster.settle();
        roster
    }

    /// Works out what follows from settings and profile.
    pub(crate) fn settle(&mut self) {
        let rules = &self.profile.document().rules;
        let role = |set: &Option<String>, rule: &Option<String>, fallback| {
            self.profile.role(set.as_deref().or(rule.as_deref()).unwrap_or(fallback))
        };
        let producer_role = role(&self.settings.producer_role, &rules.producer_role, "Developer");
        let consumer_role = role(&self.settings.consumer_role, &rules.consumer_role, "Guest");
        (self.producer_role, self.consumer_role) = (producer_role, consumer_role);
        self.roles = self.facts.bindings.rows.iter().map(|row| self.role_of(row.as_ref()?)).collect();
        let packaged = Resource {
            level: self.profile.project_level(),
            visibility: Some(Visibility::Private),
            kind: Some(self.profile.kind_name(ProjectKind::Standard)),
            own: Own::NotMine,
        };
        let allowed = |role: Option<RoleIx>| {
            let held = role.map(|role| Held { role, level: self.profile.project_level() });
            self.profile.allowed(Pseudo::Authenticated, held.into_iter(), &packaged, self.switches())
        };
        (self.plain.anybody, self.plain.customer) = (allowed(None), allowed(consumer_role));
        self.authoritative = (0..self.facts.sources.len())
            .map(|ix| {
                let name = self.facts.sources.id(ix);
                self.settings.sources.iter().any(|(source, said)| source.as_str() == name && said.authoritative)
            })
            .collect();
    }

    /// Derives anew what is kept ready.
    pub(crate) fn ready(&mut self) {
        self.plain.build(&self.facts, &self.index, self.settings.customer_sub_accounts);
    }

    /// Which log it was folded from.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.facts.log
    }

    /// The last event that is in it.
    #[must_use]
    pub fn position(&self) -> Position {
        self.facts.position
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether a `settings.set`, and a `profile.set`, was ever said.
    #[must_use]
    pub fn has_settings(&self) -> bool {
        !self.facts.settings.is_empty() && !self.facts.profile.is_empty()
    }

    /// The profile in force.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Sources that recorded at least one event.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        (0..self.facts.sources.len()).map(|ix| self.facts.sources.id(ix))
    }

    /// How a source's events are ordered. `local` and unknown sources: as observed.
    #[must_use]
    pub fn order(&self, source: &SourceName) -> Order {
        self.settings.sources.get(source).map_or(Order::Observed, |said| said.order)
    }

    pub(crate) fn source_text(&self, space: u16) -> &str {
        self.facts.sources.id(u32::from(space))
    }

    /// An id as a fact of one source writes it: a source's own ids bare; what is kept here names all with their source.
    pub(crate) fn source_own_id(&self, space: u16, of: u16, id: &str) -> String {
        let source = self.source_text(of);
        if space == of && source != LOCAL { id.to_owned() } else { format!("{source}/{id}") }
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
            None => self.one(user.0),
        }
    }

    /// A slice of one without an allocation: the row's own index is in the row.
    fn one(&self, person: u32) -> &[u32] {
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
            credential_epoch: self.credential_epoch(crate::Principal::User(user)),
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

    /// Subjects whose newest event could not be judged.
    pub fn parked(&self) -> impl Iterator<Item = ParkedView<'_>> + Clone {
        self.facts.parked.iter().map(|((space, subject), mark)| ParkedView {
            source: self.source_text(*space),
            subject,
            position: mark.position,
            reason: &mark.reason,
            wants: mark.wants.as_deref(),
        })
    }

    /// Accounts whose chain of parents comes back to themselves, as `source/account`. They are nobody's sub-accounts.
    #[must_use]
    pub fn accounts_in_cycles(&self) -> Vec<String> {
        (0_u32..)
            .zip(&self.facts.accounts.rows)
            .filter(|(_, row)| row.in_cycle)
            .map(|(ix, _)| {
                let names = &self.facts.accounts.names;
                format!("{}/{}", self.source_text(names.space(ix)), names.text(ix))
            })
            .collect()
    }

    /// How much there is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            users: self.users().count(),
            projects: self.facts.projects.len(),
            parked: self.facts.parked.len(),
            name_taken: self.facts.parked.values().filter(|mark| mark.wants.is_some()).count(),
        }
    }

    /// The profile's switches as they are set.
    pub(crate) fn switches(&self) -> &BTreeMap<String, String> {
        &self.settings.switches
    }
}

/// Microseconds as an instant; the two ends of time are open.
pub(crate) fn instant(micros: i64) -> Option<DateTime<Utc>> {
    if micros == i64::MAX || micros == i64::MIN { None } else { DateTime::from_timestamp_micros(micros) }
}
