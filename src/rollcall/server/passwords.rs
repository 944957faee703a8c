//! Passwords checked by a directory: whose they are is said by the roster, whether they are right by a bind. Good answers
//! are remembered for a minute, and never past an event for the person. Bounds its own time and work, so that a directory
//! that hangs holds up nobody who does not need it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_lc_rs::{hmac, rand::SystemRandom};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream::FuturesUnordered};
use rollcall_access::SharedRoster;
use rollcall_events::{Clock, Id, SourceName};
use rollcall_ldap::{Directory, PasswordOwner};
use rollcall_registry::{Login, Logins, PasswordAnswer, PasswordCheck, SignIn};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::config::load::Loaded;

/// How long an answer is remembered.
const REMEMBERED: TimeDelta = TimeDelta::seconds(60);
/// How many answers are remembered.
const CAPACITY: usize = 10_000;
/// How many binds are under way at once in one directory.
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

/// A directory that checks passwords. Each has its own places, so that one that hangs holds up no other.
struct Door {
    source: String,
    directory: Directory,
    places: Semaphore,
}

impl Door {
    async fn check(&self, whose: PasswordOwner<'_>, password: &SecretString) -> PasswordAnswer {
        let Ok(_place) = self.places.acquire().await else { return PasswordAnswer::Unavailable };
        match self.directory.check(whose, password).await {
            Ok(true) => PasswordAnswer::Good,
            Ok(false) => PasswordAnswer::Bad,
            Err(fault) => {
                tracing::warn!(source = self.source, %fault, "a directory could not check a password");
                PasswordAnswer::Unavailable
            }
        }
    }
}

/// The directories that check passwords.
pub struct Passwords {
    doors: Vec<Door>,
    live: Arc<SharedRoster>,
    clock: Arc<dyn Clock>,
    key: hmac::Key,
    known: Mutex<HashMap<[u8; 32], Known>>,
    /// One bind at a time for each user: of many who ask the same at once, one asks the directory.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Passwords {
    /// None where no directory checks passwords, or the system gives no randomness.
    pub fn of(loaded: &Loaded, live: Arc<SharedRoster>, clock: Arc<dyn Clock>) -> Option<Self> {
        let sources = loaded.sources.iter();
        let directories = sources.filter_map(|(name, source)| Some((name, source.passwords.as_ref()?)));
        let door = |(name, directory): (&SourceName, &Directory)| {
            let (source, directory) = (name.to_string(), directory.clone());
            Door { source, directory, places: Semaphore::new(AT_ONCE) }
        };
        let doors: Vec<Door> = directories.map(door).collect();
        if doors.is_empty() {
            return None;
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?;
        let (known, turns) = (Mutex::default(), Mutex::default());
        Some(Self { doors, live, clock, key, known, turns })
    }

    /// The user's persons in the directories, and what makes an older answer worthless.
    fn persons(&self, user: &str) -> (Vec<(&Door, Id)>, (u64, u64)) {
        let roster = self.live.read();
        let Some(ix) = roster.user_by_id(user) else { return (Vec::new(), (0, 0)) };
        let view = roster.user(ix);
        let newest = view.persons.iter().map(|person| person.position.0).max().unwrap_or_default();
        let of = |source: &str| self.doors.iter().find(|door| door.source == source);
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
            // Nobody has this name, or nobody of a directory. It takes as long as a wrong password, and is never right.
            let all = self.doors.iter().map(|door| door.check(PasswordOwner::Name(login.name), login.password));
            return match first_good(all).await {
                PasswordAnswer::Unavailable => PasswordAnswer::Unavailable,
                PasswordAnswer::Good | PasswordAnswer::Bad => PasswordAnswer::Bad,
            };
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
        let all = persons.iter().map(|(door, person)| door.check(PasswordOwner::Id(person), login.password));
        let answer = first_good(all).await;
        match answer {
            PasswordAnswer::Good => self.remember(print, true, state),
            // Also remembered: a robot with an old password does not lock its account in the directory.
            PasswordAnswer::Bad => self.remember(print, false, state),
            PasswordAnswer::Unavailable => {}
        }
        answer
    }
}

/// Asks all at the same time. One good answer is enough; without one, one that is missing leaves it open.
async fn first_good(all: impl Iterator<Item = impl Future<Output = PasswordAnswer>>) -> PasswordAnswer {
    let mut asked: FuturesUnordered<_> = all.collect();
    let mut answer = PasswordAnswer::Bad;
    while let Some(next) = asked.next().await {
        match next {
            PasswordAnswer::Good => return next,
            PasswordAnswer::Unavailable => answer = next,
            PasswordAnswer::Bad => {}
        }
    }
    answer
}

#[async_trait]
impl PasswordCheck for Passwords {
    async fn check(&self, login: Login<'_>) -> PasswordAnswer {
        tokio::time::timeout(PATIENCE, self.ask(&login)).await.unwrap_or(PasswordAnswer::Unavailable)
    }
}

/// The same logins as the API asks them.
pub struct ApiLogins {
    /// What stands behind the token endpoint too.
    pub logins: Arc<Logins>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl rollcall_api::Passwords for ApiLogins {
    async fn sign_in(&self, name: &str, password: &SecretString, from: IpAddr) -> rollcall_api::SignIn {
        match self.logins.sign_in(name, password, from, self.clock.now()).await {
            SignIn::Known(user) => rollcall_api::SignIn::Known(user),
            SignIn::Wrong => rollcall_api::SignIn::Wrong,
            SignIn::Wait(wait) => rollcall_api::SignIn::Wait(wait),
            SignIn::Unavailable => rollcall_api::SignIn::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_good_answer_is_enough_and_one_that_is_missing_leaves_it_open() {
        use PasswordAnswer::{Bad, Good, Unavailable};
        for (answers, expected) in [
            (&[][..], Bad),
            (&[Bad, Bad], Bad),
            (&[Bad, Unavailable], Unavailable),
            (&[Unavailable, Good], Good),
            (&[Good, Unavailable], Good),
        ] {
            assert_eq!(first_good(answers.iter().map(|answer| async { *answer })).await, expected, "{answers:?}");
        }
        let hangs: [std::pin::Pin<Box<dyn Future<Output = PasswordAnswer>>>; 2] =
            [Box::pin(std::future::pending()), Box::pin(async { Good })];
        assert_eq!(first_good(hangs.into_iter()).await, Good, "one that hangs holds up no good answer of another");
    }
}
