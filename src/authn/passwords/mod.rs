//! Passwords that directories check: the roster says whose a name is, the directories whether the password is right. An
//! answer is remembered for a minute, and never past an event for the person. Time and work are bounded, so that a
//! directory that hangs holds up nobody who does not need it.

mod cache;
pub(crate) mod check;
#[cfg(test)]
mod names_tests;
#[cfg(test)]
mod passwords_tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rollcall_access::{Roster, SharedRoster, ShutOut};
use rollcall_events::{Clock, Id, Position};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{sync::Semaphore, time::Instant};

use self::{
    cache::{AnswerCache, Version},
    check::{Account, AccountFound, PasswordAnswer, PasswordCheck, PasswordRefusal},
};
use crate::error::NoRandomness;

/// How long checking one password may take, waiting included.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// How many passwords one directory checks at once.
const MAX_CONCURRENT_CHECKS: usize = 16;
/// How many names' locks are kept; beyond that, those that nobody holds go.
const MAX_LOCKS: usize = 10_000;

/// A refusal is told at the end of such a span, so that it does not say how long whoever was asked took to find nobody, or
/// somebody with another password, nor whether anybody was asked.
const REFUSAL_SPAN: Duration = Duration::from_millis(100);
/// No refusal waits for others that took longer than so many spans.
const MOST_SPANS: u32 = 20;
/// How long the slowest refusal counts.
const SLOWEST_COUNTS: Duration = Duration::from_secs(3600);

/// A name and a password to check.
pub(crate) struct Login<'a> {
    /// The name as it was typed.
    pub(crate) name: &'a str,
    /// The name in its one spelling, where it can be one.
    pub(crate) normalized: Option<&'a str>,
    /// The id of the user of that name, where there is one.
    pub(crate) user: Option<&'a str>,
    pub(crate) password: &'a SecretString,
}

/// What came out of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checked {
    /// It is the password of this user, an id.
    Good(String),
    /// It signs nobody in, and whose name it was: ids of users.
    Refused(Refused, Vec<String>),
    /// Not every directory could be asked, and none said yes.
    Open(Heard),
}

/// Why nobody is signed in by a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A directory says so.
    ByDirectory(PasswordRefusal),
    /// The account of this name has had too many wrong ones; nothing was checked.
    Waiting,
    /// Nobody has the name, or no directory an entry of the user.
    NoSuchName,
    /// Several have it.
    AmbiguousName,
    /// It is the name of a user who is not the one whom the directory means by it.
    NameTaken,
    /// The source of the user's entry calls it inactive.
    Inactive,
    /// A source that may have the name is suspended, so that its directory is not asked.
    Suspended,
    /// The user can do nothing at all.
    ShutOut(ShutOut),
}

/// Whether any directory was heard at all: a guess that one answered is a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Some,
    None,
}

/// A directory with a bound of its own, so that one that hangs holds up no other.
struct Directory {
    check: Arc<dyn PasswordCheck>,
    permits: Semaphore,
}

impl Directory {
    async fn find(&self, account: Account<'_>, deadline: Instant) -> AccountFound {
        let asked = async {
            let Ok(_permit) = self.permits.acquire().await else { return AccountFound::Unavailable };
            self.check.find(account).await
        };
        tokio::time::timeout_at(deadline, asked).await.unwrap_or(AccountFound::Unavailable)
    }

    async fn check(&self, entry: Option<&str>, password: &SecretString, deadline: Instant) -> PasswordAnswer {
        let asked = async {
            let Ok(_permit) = self.permits.acquire().await else { return PasswordAnswer::Unavailable };
            self.check.check(entry, password).await
        };
        tokio::time::timeout_at(deadline, asked).await.unwrap_or(PasswordAnswer::Unavailable)
    }

    /// The answer about an account, found and asked. With the decoy where there is no account to ask about.
    async fn ask(
        &self,
        found: &AccountFound,
        is_meant: impl Fn(&Id) -> bool,
        (password, decoy): (&SecretString, &SecretString),
        deadline: Instant,
    ) -> PasswordAnswer {
        match found {
            AccountFound::Unavailable => PasswordAnswer::Unavailable,
            AccountFound::One(account) if is_meant(&account.person) => {
                self.check(Some(&account.entry), password, deadline).await
            }
            AccountFound::One(_) | AccountFound::Nobody | AccountFound::Several(_) => {
                // Whoever is asked about for show signs nobody in.
                match self.check(None, decoy, deadline).await {
                    PasswordAnswer::Good => PasswordAnswer::Refused(PasswordRefusal::Wrong),
                    answer => answer,
                }
            }
        }
    }
}

/// How many spans the slowest refusal of late took, and when. A directory whose hashes are slow takes longer for somebody than
/// for nobody, and one without an index the other way round: whoever is refused waits as long as the slowest.
#[derive(Default)]
struct Slowest(Mutex<Option<(u32, Instant)>>);

impl Slowest {
    /// How many spans one waits that took so many.
    fn spans(&self, took: u32, now: Instant) -> u32 {
        let mut slowest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *slowest {
            Some((spans, at)) if spans > took && now - at < SLOWEST_COUNTS => spans,
            _ => {
                *slowest = Some((took.min(MOST_SPANS), now));
                took
            }
        }
    }
}

/// All directories that check passwords, with one memory of their answers.
///
/// A name that nobody has is treated as one that somebody has, step for step: every directory that may have it is asked
/// about each, a wrong answer is remembered for each, and one that cannot be asked leaves the answer open for each. So a
/// refusal says nothing of who there is.
pub(crate) struct Passwords {
    directories: Vec<Directory>,
    live: Arc<SharedRoster>,
    clock: Arc<dyn Clock>,
    answers: AnswerCache,
    slowest: Slowest,
    /// One check at a time for each name: of many who ask the same at once, one asks the directories.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Passwords {
    pub(crate) fn new(
        directories: Vec<Arc<dyn PasswordCheck>>,
        live: Arc<SharedRoster>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NoRandomness> {
        let bounded = |check| Directory { check, permits: Semaphore::new(MAX_CONCURRENT_CHECKS) };
        let directories = directories.into_iter().map(bounded).collect();
        Ok(Self {
            directories,
            live,
            clock,
            answers: AnswerCache::new()?,
            slowest: Slowest::default(),
            locks: Mutex::default(),
        })
    }

    /// Whose password it is. `may_try`: whether somebody's account takes another guess now, asked where the name is not the
    /// user's own; it counts one.
    pub(crate) async fn check(&self, login: &Login<'_>, may_try: &(dyn Fn(&str) -> bool + Sync)) -> Checked {
        let start = Instant::now();
        let checked = self.ask(login, may_try, start + CHECK_TIMEOUT).await;
        if !matches!(checked, Checked::Good(_)) {
            let took = u32::try_from(start.elapsed().as_millis() / REFUSAL_SPAN.as_millis() + 1).unwrap_or(1);
            let spans = match checked {
                Checked::Refused(..) => self.slowest.spans(took, Instant::now()),
                // Whoever could not be asked took the time that a directory has.
                Checked::Open(_) | Checked::Good(_) => took,
            };
            tokio::time::sleep_until(start + REFUSAL_SPAN * spans).await;
        }
        checked
    }

    async fn ask(&self, login: &Login<'_>, may_try: &(dyn Fn(&str) -> bool + Sync), deadline: Instant) -> Checked {
        // No id of a user begins with a space.
        let stranger = || format!(" {}", login.normalized.unwrap_or(login.name));
        let whose = login.user.map_or_else(stranger, str::to_owned);
        let key = self.answers.key(&whose, login.password.expose_secret());
        let remembered = || self.answers.get(&key, |said| self.version(said), self.clock.steady(self.clock.now()));
        if let Some(answer) = remembered() {
            return answer;
        }
        let lock = self.name_lock(&whose);
        let Ok(_guard) = tokio::time::timeout_at(deadline, lock.lock()).await else {
            return Checked::Open(Heard::None);
        };
        if let Some(answer) = remembered() {
            return answer;
        }
        // No directory is shown a password of somebody whom it does not know.
        let Some(decoy) = decoy(login.password.expose_secret()) else { return Checked::Open(Heard::None) };
        let passwords = (login.password, &decoy);
        // What came in between makes the answer an old one.
        let (checked, version) = match login.user {
            Some(user) => {
                let (persons, version) = self.persons(user);
                (self.ask_about(user, &persons, login.name, passwords, deadline).await, version)
            }
            None => self.ask_whose(login.name, may_try, passwords, deadline).await,
        };
        match &checked {
            // Nothing was checked, and the next moment it may be.
            Checked::Open(_) | Checked::Refused(Refused::Waiting, _) => {}
            // About several, or nobody: whom it would be about was not known before.
            Checked::Refused(_, users) if users.len() != 1 => {
                self.answers.put(key, checked.clone(), self.version(&checked), self.clock.steady(self.clock.now()));
            }
            // Wrong ones too: a robot with an old password does not lock its account in the directory.
            Checked::Good(_) | Checked::Refused(..) => {
                self.answers.put(key, checked.clone(), version, self.clock.steady(self.clock.now()));
            }
        }
        checked
    }

    /// Asks about a user whose own name it is, each directory by itself: one that hangs holds up no good answer.
    async fn ask_about(
        &self,
        user: &str,
        persons: &[(&Directory, Id)],
        name: &str,
        passwords: (&SecretString, &SecretString),
        deadline: Instant,
    ) -> Checked {
        let mut asked: Vec<(&Directory, Account<'_>)> = Vec::new();
        let counting = self.counting(&self.live.read());
        for directory in counting {
            let before = asked.len();
            let own = persons.iter().filter(|(of, _)| std::ptr::eq(*of, directory));
            asked.extend(own.map(|(_, person)| (directory, Account::Person(person))));
            if asked.len() == before {
                asked.push((directory, Account::Named(name)));
            }
        }
        let other = Mutex::new(None);
        let is_there = AtomicBool::new(false);
        let all = asked.into_iter().map(async |(directory, account)| {
            let found = directory.find(account, deadline).await;
            let known = matches!(account, Account::Person(_));
            if known && !matches!(found, AccountFound::Nobody) {
                is_there.store(true, Ordering::Relaxed);
            }
            if let (AccountFound::One(account), false) = (&found, known) {
                *other.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(format!("{}/{}", directory.check.source(), account.person));
            }
            directory.ask(&found, |_| known, passwords, deadline).await
        });
        match first_good(all).await {
            Ok(()) => Checked::Good(user.to_owned()),
            Err(Unsaid::Open(heard)) => Checked::Open(heard),
            // Its entries are gone, which is not recorded yet.
            Err(Unsaid::Refused(_)) if !persons.is_empty() && !is_there.into_inner() => {
                Checked::Refused(Refused::NoSuchName, vec![user.to_owned()])
            }
            Err(Unsaid::Refused(why)) if !persons.is_empty() => {
                Checked::Refused(Refused::ByDirectory(why), vec![user.to_owned()])
            }
            Err(Unsaid::Refused(_)) => match other.into_inner().unwrap_or_else(PoisonError::into_inner) {
                // The directory means somebody by this name who is not its user.
                Some(other) => self.name_taken(user, &other),
                None => Checked::Refused(self.unasked(user), vec![user.to_owned()]),
            },
        }
    }

    /// Asks whose a name is that is no user's own, and then that one account. It is somebody's where all directories
    /// together have one account of that name.
    async fn ask_whose(
        &self,
        name: &str,
        may_try: &(dyn Fn(&str) -> bool + Sync),
        passwords: (&SecretString, &SecretString),
        deadline: Instant,
    ) -> (Checked, Version) {
        let directories = self.that_may_have(&self.live.read(), name);
        let finding = directories.iter().map(async |directory| directory.find(Account::Named(name), deadline).await);
        let found = futures_util::future::join_all(finding).await;
        let named = self.whose(&directories, &found);
        let (persons, version) = match &named {
            Named::By(user) => self.persons(user),
            Named::Nobody | Named::Several(_) => (Vec::new(), Version::default()),
        };
        // Of the persons that count, those whom the directories mean by this name.
        let is_known = |directory: &Directory, found: &AccountFound| match found {
            AccountFound::One(account) => {
                persons.iter().any(|(of, person)| std::ptr::eq(*of, directory) && *person == account.person)
            }
            AccountFound::Nobody | AccountFound::Several(_) | AccountFound::Unavailable => false,
        };
        let known = directories.iter().zip(&found).any(|(directory, found)| is_known(directory, found));
        let meant = match &named {
            Named::By(user) if known && may_try(user) => Some(user),
            Named::By(_) | Named::Nobody | Named::Several(_) => None,
        };
        let asking = directories.iter().zip(&found).map(async |(directory, found)| {
            let is_meant = meant.is_some() && is_known(directory, found);
            directory.ask(found, |_| is_meant, passwords, deadline).await
        });
        let checked = match (first_good(asking).await, meant) {
            (Ok(()), Some(user)) => Checked::Good(user.clone()),
            (Err(Unsaid::Open(heard)), _) => Checked::Open(heard),
            (Err(Unsaid::Refused(why)), Some(user)) => Checked::Refused(Refused::ByDirectory(why), vec![user.clone()]),
            (Ok(()) | Err(Unsaid::Refused(_)), _) => match named {
                Named::Nobody if self.awaits(name) => Checked::Refused(Refused::Suspended, Vec::new()),
                Named::Nobody => Checked::Refused(Refused::NoSuchName, Vec::new()),
                Named::Several(users) => Checked::Refused(Refused::AmbiguousName, users),
                Named::By(user) if known => Checked::Refused(Refused::Waiting, vec![user]),
                Named::By(user) => Checked::Refused(self.unasked(&user), vec![user]),
            },
        };
        (checked, version)
    }

    /// The directories whose word counts: of a source that is suspended or retired nothing is asked, and nobody waits for it.
    fn counting(&self, roster: &Roster) -> Vec<&Directory> {
        let counts = |source: &str| {
            !roster.suspension(source).is_some_and(|said| said.suspended) && roster.retirement(source).is_none()
        };
        self.directories.iter().filter(|directory| counts(directory.check.source().as_str())).collect()
    }

    /// The directories that may have a name that is no user's own: those that the operator gave its domain to, if there are
    /// any, else all. Whoever fills another one cannot claim such a name, and nobody waits for it.
    fn that_may_have(&self, roster: &Roster, name: &str) -> Vec<&Directory> {
        let owned = self.directories.iter().any(|directory| directory.check.owns(name));
        let counting = self.counting(roster).into_iter();
        counting.filter(|directory| !owned || directory.check.owns(name)).collect()
    }

    /// Whether an e-mail address of somebody of this source is a name to sign in with.
    pub(crate) fn takes_address(&self, roster: &Roster, source: &str, address: &str) -> bool {
        let mut all = self.that_may_have(roster, address).into_iter();
        all.any(|directory| directory.check.source().as_str() == source && directory.check.takes_addresses())
    }

    /// Which user these directories together mean by a name.
    fn whose(&self, directories: &[&Directory], found: &[AccountFound]) -> Named {
        let mut ids = Vec::new();
        let mut several = false;
        for (directory, found) in directories.iter().zip(found) {
            let mut add = |person: &Id| ids.push(format!("{}/{person}", directory.check.source()));
            match found {
                AccountFound::One(account) => add(&account.person),
                AccountFound::Several(them) => {
                    several = true;
                    them.iter().for_each(&mut add);
                }
                AccountFound::Nobody => {}
                // Somebody else may be meant.
                AccountFound::Unavailable => return Named::Nobody,
            }
        }
        let (count, mut users) = {
            let roster = self.live.read();
            let users = ids.iter().filter_map(|id| Some(roster.user_id(roster.user_by_id(id)?)));
            (ids.len(), users.collect::<Vec<_>>())
        };
        // An account that was not read is nobody's yet, and makes the name two people's.
        let all_known = users.len() == count;
        users.sort();
        users.dedup();
        match (users.len(), all_known && !several) {
            (1, true) => users.pop().map_or(Named::Nobody, Named::By),
            (0, _) if count < 2 && !several => Named::Nobody,
            _ => Named::Several(users),
        }
    }

    /// A directory has an account of a name that is another user's: nobody signs in with it until somebody decides.
    fn name_taken(&self, user: &str, other: &str) -> Checked {
        let roster = self.live.read();
        let other = roster.user_by_id(other).map(|ix| roster.user_id(ix)).filter(|other| other != user);
        match other {
            Some(other) => Checked::Refused(Refused::NameTaken, vec![user.to_owned(), other]),
            // The user's own account, which does not count, or one that no read has stated yet.
            None => Checked::Refused(why_unasked(&roster, user, &self.directories), vec![user.to_owned()]),
        }
    }

    /// Why nobody is signed in of whom no directory was asked.
    fn unasked(&self, user: &str) -> Refused {
        why_unasked(&self.live.read(), user, &self.directories)
    }

    /// Whether a source is suspended whose directory may have a name that is no user's own.
    fn awaits(&self, name: &str) -> bool {
        let roster = self.live.read();
        let owned = self.directories.iter().any(|directory| directory.check.owns(name));
        let mut all = self.directories.iter().filter(|directory| !owned || directory.check.owns(name));
        all.any(|directory| roster.suspension(directory.check.source().as_str()).is_some_and(|said| said.suspended))
    }

    /// What an answer about these is good for.
    fn version(&self, said: &Checked) -> Version {
        let users = match said {
            Checked::Good(user) => std::slice::from_ref(user),
            Checked::Refused(_, users) => users,
            Checked::Open(_) => &[],
        };
        users.iter().map(|user| self.persons(user).1).fold(Version::default(), |all, one| Version {
            newest_event: all.newest_event.max(one.newest_event),
            credential_epoch: all.credential_epoch.wrapping_add(one.credential_epoch),
        })
    }

    /// The user's active persons in the directories whose word counts, and the version of the user that answers are good for.
    fn persons(&self, user: &str) -> (Vec<(&Directory, Id)>, Version) {
        let roster = self.live.read();
        let Some(ix) = roster.user_by_id(user) else { return (Vec::new(), Version::default()) };
        let view = roster.user(ix);
        let said = |source| roster.suspension(source).map_or(Position(0), |said| said.by.position);
        let events = view.persons.iter().flat_map(|person| [person.position, said(person.source)]);
        let newest_event = events.chain([roster.newest_link(ix)]).map(|position| position.0).max().unwrap_or_default();
        let of = |source: &str| self.directories.iter().find(|directory| directory.check.source().as_str() == source);
        let active = view.persons.iter().filter(|person| person.active && !person.removed && !person.suspended);
        let persons = active.filter_map(|person| Some((of(person.source)?, person.person.parse().ok()?)));
        (persons.collect(), Version { newest_event, credential_epoch: view.credential_epoch })
    }

    fn name_lock(&self, whose: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() >= MAX_LOCKS {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry(whose.to_owned()).or_default())
    }
}

/// Why nobody is signed in as a user of whom none of these directories was asked.
fn why_unasked(roster: &Roster, user: &str, directories: &[Directory]) -> Refused {
    let Some(ix) = roster.user_by_id(user) else { return Refused::NoSuchName };
    if let Some(why) = roster.why_shut_out(ix) {
        return Refused::ShutOut(why);
    }
    // Somebody of it is there, of another source.
    let view = roster.user(ix);
    let has_entry = |source: &str| directories.iter().any(|directory| directory.check.source().as_str() == source);
    let mut why = Refused::NoSuchName;
    for person in view.persons.iter().filter(|person| has_entry(person.source) && !person.removed) {
        match (person.active, person.suspended) {
            (false, _) => return Refused::Inactive,
            (true, true) => why = Refused::Suspended,
            (true, false) => {}
        }
    }
    why
}

/// Whom a name means that is no user's own.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Nobody,
    /// A user, by id.
    By(String),
    /// More than one account, of these users as far as they are known.
    Several(Vec<String>),
}

/// What a check came to, where nobody said yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsaid {
    /// All said no; the most telling reason.
    Refused(PasswordRefusal),
    /// One is missing.
    Open(Heard),
}

/// Asks all at the same time. One good answer is enough; without one, one that is missing leaves it open.
async fn first_good(all: impl Iterator<Item = impl Future<Output = PasswordAnswer>>) -> Result<(), Unsaid> {
    let mut pending: FuturesUnordered<_> = all.collect();
    let (mut missing, mut refused) = (false, None);
    while let Some(next) = pending.next().await {
        match next {
            PasswordAnswer::Good => return Ok(()),
            PasswordAnswer::Unavailable => missing = true,
            PasswordAnswer::Refused(why) => refused = refused.max(Some(why)),
        }
    }
    Err(match (missing, refused) {
        (false, refused) => Unsaid::Refused(refused.unwrap_or(PasswordRefusal::Wrong)),
        (true, None) => Unsaid::Open(Heard::None),
        (true, Some(_)) => Unsaid::Open(Heard::Some),
    })
}

/// Random text as long as a password, and another one.
fn decoy(password: &str) -> Option<SecretString> {
    let mut bytes = vec![0; password.len()];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    bytes.iter_mut().for_each(|byte| *byte = b'a' + *byte % 26);
    if bytes == password.as_bytes() {
        bytes.iter_mut().take(1).for_each(|byte| *byte = if *byte == b'a' { b'b' } else { b'a' });
    }
    Some(bytes.into_iter().map(char::from).collect::<String>().into())
}
