//! Passwords checked by a directory: whose they are is said by the roster, whether they are right by a bind. Good answers
//! are remembered for a minute, and never past an event for the person. Bounds its own time and work, so that a directory
//! that hangs holds up nobody who does not need it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_lc_rs::{hmac, rand::SystemRandom};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_access::Live;
use rollcall_events::{Clock, Id};
use rollcall_ldap::{Directory, Whose};
use rollcall_registry::{Login, PasswordAnswer, PasswordCheck};
use secrecy::ExposeSecret;
use tokio::sync::Semaphore;

use crate::layers::Loaded;

/// How long an answer is remembered.
const REMEMBERED: TimeDelta = TimeDelta::seconds(60);
/// How many answers are remembered.
const CAPACITY: usize = 10_000;
/// How many binds are under way at once.
const AT_ONCE: usize = 16;
/// How long one login may take, waiting included.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer of a directory.
#[derive(Debug, Clone, Copy)]
struct Known {
    good: bool,
    until: DateTime<Utc>,
    /// The newest event for any of the user's persons, and how often the credentials were reset.
    state: (u64, u64),
}

/// The directories that check passwords.
pub struct Passwords {
    directories: Vec<(String, Directory)>,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    key: hmac::Key,
    known: Mutex<HashMap<[u8; 32], Known>>,
    /// One bind at a time for each user: of many who ask the same at once, one asks the directory.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    places: Semaphore,
}

impl Passwords {
    /// None where no directory checks passwords, or the system gives no randomness.
    pub fn of(loaded: &Loaded, live: Arc<Live>, clock: Arc<dyn Clock>) -> Option<Self> {
        let logs_in = |name| loaded.config.source.get(name).is_some_and(|source| source.login);
        let directories = loaded.directories.iter().filter(|(name, _)| logs_in(name));
        let directories: Vec<_> = directories.map(|(name, directory)| (name.to_string(), directory.clone())).collect();
        if directories.is_empty() {
            return None;
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?;
        let (known, turns) = (Mutex::default(), Mutex::default());
        Some(Self { directories, live, clock, key, known, turns, places: Semaphore::new(AT_ONCE) })
    }

    /// The user's persons in the directories, and what makes an older answer worthless.
    fn persons(&self, user: &str) -> (Vec<(Directory, Id)>, (u64, u64)) {
        let roster = self.live.read();
        let Some(ix) = roster.user_by_id(user) else { return (Vec::new(), (0, 0)) };
        let view = roster.user(ix);
        let newest = view.persons.iter().map(|person| person.position.0).max().unwrap_or_default();
        let of =
            |source: &str| self.directories.iter().find(|(name, _)| name == source).map(|(_, found)| found.clone());
        let standing = view.persons.iter().filter(|person| person.active && !person.removed);
        let persons = standing.filter_map(|person| Some((of(person.source)?, person.person.parse().ok()?)));
        (persons.collect(), (newest, view.credential_epoch))
    }

    fn print(&self, user: &str, password: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.key, format!("{}:{user}{password}", user.len()).as_bytes());
        tag.as_ref().try_into().unwrap_or_default()
    }

    fn remembered(&self, print: &[u8; 32], state: (u64, u64)) -> Option<PasswordAnswer> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner).get(print)?;
        let fresh = known.state == state && self.clock.now() < known.until;
        fresh.then_some(if known.good { PasswordAnswer::Good } else { PasswordAnswer::Bad })
    }

    fn remember(&self, print: [u8; 32], good: bool, state: (u64, u64)) {
        let now = self.clock.now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CAPACITY {
            known.retain(|_, known| now < known.until);
            if known.len() >= CAPACITY {
                known.clear();
            }
        }
        known.insert(print, Known { good, until: now + REMEMBERED, state });
    }

    fn turn(&self, user: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= CAPACITY {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(user.to_owned()).or_default())
    }

    async fn ask(&self, login: &Login<'_>) -> PasswordAnswer {
        let user = login.user.unwrap_or_default();
        let (persons, state) = self.persons(user);
        if persons.is_empty() {
            // Nobody has this name, or nobody of a directory. It takes as long as a wrong password.
            let Ok(_place) = self.places.acquire().await else { return PasswordAnswer::Unavailable };
            for (_, directory) in &self.directories {
                if directory.check(Whose::Name(login.name), login.password).await.is_err() {
                    return PasswordAnswer::Unavailable;
                }
            }
            return PasswordAnswer::Bad;
        }
        let print = self.print(user, login.password.expose_secret());
        if let Some(answer) = self.remembered(&print, state) {
            return answer;
        }
        let turn = self.turn(user);
        let _turn = turn.lock().await;
        if let Some(answer) = self.remembered(&print, state) {
            return answer;
        }
        let Ok(_place) = self.places.acquire().await else { return PasswordAnswer::Unavailable };
        for (directory, person) in &persons {
            match directory.check(Whose::Id(person), login.password).await {
                Ok(true) => {
                    self.remember(print, true, state);
                    return PasswordAnswer::Good;
                }
                Ok(false) => {}
                Err(fault) => {
                    tracing::warn!(%fault, "a directory could not check a password");
                    return PasswordAnswer::Unavailable;
                }
            }
        }
        // Also remembered: a robot with an old password does not lock its account in the directory.
        self.remember(print, false, state);
        PasswordAnswer::Bad
    }
}

#[async_trait]
impl PasswordCheck for Passwords {
    async fn check(&self, login: Login<'_>) -> PasswordAnswer {
        tokio::time::timeout(PATIENCE, self.ask(&login)).await.unwrap_or(PasswordAnswer::Unavailable)
    }
}
