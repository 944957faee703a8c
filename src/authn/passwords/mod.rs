//! Passwords that directories check: the roster says whose a name is, the directories whether the password is right. An
//! answer is remembered for a minute, and never past an event for the person. Time and work are bounded, so that a
//! directory that hangs holds up nobody who does not need it.

mod cache;
pub(crate) mod check;
#[cfg(test)]
mod passwords_tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rollcall_access::SharedRoster;
use rollcall_events::{Clock, Id};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use self::{
    cache::{AnswerCache, Version},
    check::{Account, PasswordAnswer, PasswordCheck},
};
use crate::error::NoRandomness;

/// How long checking one password may take, waiting included.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// How many passwords one directory checks at once.
const MAX_CONCURRENT_CHECKS: usize = 16;
/// How many users' locks are kept; beyond that, those that nobody holds go.
const MAX_LOCKS: usize = 10_000;

/// A name and a password to check.
pub(crate) struct Login<'a> {
    /// The name as it was typed.
    pub(crate) name: &'a str,
    /// The id of the user of that name, where there is one.
    pub(crate) user: Option<&'a str>,
    pub(crate) password: &'a SecretString,
}

/// A directory with a bound of its own, so that one that hangs holds up no other.
struct Directory {
    check: Arc<dyn PasswordCheck>,
    permits: Semaphore,
}

impl Directory {
    async fn check(&self, account: Account<'_>, password: &SecretString) -> PasswordAnswer {
        let Ok(_permit) = self.permits.acquire().await else { return PasswordAnswer::Unavailable };
        self.check.check(account, password).await
    }
}

/// All directories that check passwords, with one memory of their answers.
pub(crate) struct Passwords {
    directories: Vec<Directory>,
    live: Arc<SharedRoster>,
    clock: Arc<dyn Clock>,
    answers: AnswerCache,
    /// One check at a time for each user: of many who ask the same at once, one asks the directory.
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
        Ok(Self { directories, live, clock, answers: AnswerCache::new()?, locks: Mutex::default() })
    }

    /// Whether it is this user's password.
    pub(crate) async fn check(&self, login: &Login<'_>) -> PasswordAnswer {
        tokio::time::timeout(CHECK_TIMEOUT, self.ask(login)).await.unwrap_or(PasswordAnswer::Unavailable)
    }

    async fn ask(&self, login: &Login<'_>) -> PasswordAnswer {
        let user = login.user.unwrap_or_default();
        let (persons, version) = self.persons(user);
        if persons.is_empty() {
            // Nobody has this name, or nobody of a directory. It takes as long as a wrong password, and is never right.
            let all =
                self.directories.iter().map(|directory| directory.check(Account::Unknown(login.name), login.password));
            return match first_good(all).await {
                PasswordAnswer::Unavailable => PasswordAnswer::Unavailable,
                PasswordAnswer::Good | PasswordAnswer::Bad => PasswordAnswer::Bad,
            };
        }
        let key = self.answers.key(user, login.password.expose_secret());
        if let Some(answer) = self.answers.get(&key, version, self.clock.now()) {
            return answer;
        }
        let lock = self.user_lock(user);
        let _guard = lock.lock().await;
        if let Some(answer) = self.answers.get(&key, version, self.clock.now()) {
            return answer;
        }
        let all = persons.iter().map(|(directory, person)| directory.check(Account::Person(person), login.password));
        let answer = first_good(all).await;
        match answer {
            PasswordAnswer::Good => self.answers.put(key, true, version, self.clock.now()),
            // Also remembered: a robot with an old password does not lock its account in the directory.
            PasswordAnswer::Bad => self.answers.put(key, false, version, self.clock.now()),
            PasswordAnswer::Unavailable => {}
        }
        answer
    }

    /// The user's active persons in the directories, and the version of the user that answers are good for.
    fn persons(&self, user: &str) -> (Vec<(&Directory, Id)>, Version) {
        let roster = self.live.read();
        let Some(ix) = roster.user_by_id(user) else { return (Vec::new(), Version::default()) };
        let view = roster.user(ix);
        let newest_event = view.persons.iter().map(|person| person.position.0).max().unwrap_or_default();
        let of = |source: &str| self.directories.iter().find(|directory| directory.check.source().as_str() == source);
        let active = view.persons.iter().filter(|person| person.active && !person.removed);
        let persons = active.filter_map(|person| Some((of(person.source)?, person.person.parse().ok()?)));
        (persons.collect(), Version { newest_event, credential_epoch: view.credential_epoch })
    }

    fn user_lock(&self, user: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() >= MAX_LOCKS {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry(user.to_owned()).or_default())
    }
}

/// Asks all at the same time. One good answer is enough; without one, one that is missing leaves it open.
async fn first_good(all: impl Iterator<Item = impl Future<Output = PasswordAnswer>>) -> PasswordAnswer {
    let mut pending: FuturesUnordered<_> = all.collect();
    let mut answer = PasswordAnswer::Bad;
    while let Some(next) = pending.next().await {
        match next {
            PasswordAnswer::Good => return next,
            PasswordAnswer::Unavailable => answer = next,
            PasswordAnswer::Bad => {}
        }
    }
    answer
}
