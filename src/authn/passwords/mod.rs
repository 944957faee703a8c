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
use rollcall_events::{Clock, Id, Position};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{sync::Semaphore, time::Instant};

use self::{
    cache::{AnswerCache, Version},
    check::{Account, PasswordAnswer, PasswordCheck},
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// It is this user's password.
    Good,
    /// It is not.
    Bad,
    /// Not every directory could be asked, and none said yes.
    Open(Heard),
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
    async fn check(&self, account: Account<'_>, password: &SecretString, deadline: Instant) -> PasswordAnswer {
        let asked = async {
            let Ok(_permit) = self.permits.acquire().await else { return PasswordAnswer::Unavailable };
            self.check.check(account, password).await
        };
        tokio::time::timeout_at(deadline, asked).await.unwrap_or(PasswordAnswer::Unavailable)
    }
}

/// All directories that check passwords, with one memory of their answers.
///
/// A name that nobody has is treated as one that somebody has, step for step: every directory is asked about each, a wrong
/// answer is remembered for each, and one that cannot be asked leaves the answer open for each. So a refusal says nothing
/// of who there is.
pub(crate) struct Passwords {
    directories: Vec<Directory>,
    live: Arc<SharedRoster>,
    clock: Arc<dyn Clock>,
    answers: AnswerCache,
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
        Ok(Self { directories, live, clock, answers: AnswerCache::new()?, locks: Mutex::default() })
    }

    /// Whether it is this user's password.
    pub(crate) async fn check(&self, login: &Login<'_>) -> Checked {
        let start = Instant::now();
        let checked = self.ask(login, start + CHECK_TIMEOUT).await;
        if checked != Checked::Good {
            let spans = start.elapsed().as_millis() / REFUSAL_SPAN.as_millis() + 1;
            tokio::time::sleep_until(start + REFUSAL_SPAN * u32::try_from(spans).unwrap_or(1)).await;
        }
        checked
    }

    async fn ask(&self, login: &Login<'_>, deadline: Instant) -> Checked {
        let (persons, version) = self.persons(login.user.unwrap_or_default());
        // No id of a user begins with a space.
        let stranger = || format!(" {}", login.normalized.unwrap_or(login.name));
        let whose = login.user.map_or_else(stranger, str::to_owned);
        let key = self.answers.key(&whose, login.password.expose_secret());
        if let Some(answer) = self.answers.get(&key, version, self.clock.now()) {
            return answer;
        }
        let lock = self.name_lock(&whose);
        let Ok(_guard) = tokio::time::timeout_at(deadline, lock.lock()).await else {
            return Checked::Open(Heard::None);
        };
        if let Some(answer) = self.answers.get(&key, version, self.clock.now()) {
            return answer;
        }
        // No directory is shown a password of somebody whom it does not know.
        let Some(decoy) = decoy(login.password.expose_secret().len()) else { return Checked::Open(Heard::None) };
        let asked = self.directories.iter().flat_map(|directory| {
            let mut own: Vec<_> = persons.iter().filter(|(of, _)| std::ptr::eq(*of, directory)).collect();
            let known = own.pop().map(|(_, person)| (Account::Person(person), login.password));
            let rest = own.into_iter().map(|(_, person)| (Account::Person(person), login.password));
            let first = known.unwrap_or((Account::Unknown(login.name), &decoy));
            std::iter::once(first).chain(rest).map(move |asked| (directory, asked)).collect::<Vec<_>>()
        });
        let all = asked.map(|(directory, (account, password))| async move {
            match (directory.check(account, password, deadline).await, account) {
                // Whoever is asked about for show signs nobody in.
                (PasswordAnswer::Good, Account::Unknown(_)) => PasswordAnswer::Bad,
                (answer, _) => answer,
            }
        });
        let checked = first_good(all).await;
        match checked {
            Checked::Good => self.answers.put(key, true, version, self.clock.now()),
            // Also remembered: a robot with an old password does not lock its account in the directory.
            Checked::Bad => self.answers.put(key, false, version, self.clock.now()),
            Checked::Open(_) => {}
        }
        checked
    }

    /// The user's active persons in the directories whose word counts, and the version of the user that answers are good for.
    fn persons(&self, user: &str) -> (Vec<(&Directory, Id)>, Version) {
        let roster = self.live.read();
        let Some(ix) = roster.user_by_id(user) else { return (Vec::new(), Version::default()) };
        let view = roster.user(ix);
        let said = |source| roster.suspension(source).map_or(Position(0), |said| said.by.position);
        let events = view.persons.iter().flat_map(|person| [person.position, said(person.source)]);
        let newest_event = events.map(|position| position.0).max().unwrap_or_default();
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

/// Asks all at the same time. One good answer is enough; without one, one that is missing leaves it open.
async fn first_good(all: impl Iterator<Item = impl Future<Output = PasswordAnswer>>) -> Checked {
    let mut pending: FuturesUnordered<_> = all.collect();
    let (mut missing, mut heard) = (false, Heard::None);
    while let Some(next) = pending.next().await {
        match next {
            PasswordAnswer::Good => return Checked::Good,
            PasswordAnswer::Unavailable => missing = true,
            PasswordAnswer::Bad => heard = Heard::Some,
        }
    }
    if missing { Checked::Open(heard) } else { Checked::Bad }
}

/// Random text as long as a password.
fn decoy(length: usize) -> Option<SecretString> {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| char::from(b'a' + byte % 26)).collect::<String>().into())
}
