//! How often somebody may be wrong: counts wrong credentials for each account and for each client, and says how long to
//! wait. A burst of good requests is nothing to it (clients.md C22): one credential counts once, and a right one not at all.
//!
//! Whoever guesses at a name from outside makes it wait for strangers, and never for its owner: a client from which the
//! right password came lately has a few tries of its own, whatever others do. All tries at one account together stay
//! below [`MOST_PER_HOUR`].

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::true_client::host_of;

/// How many different wrong credentials strangers may send to one account before they have to wait.
const FREE_PER_ACCOUNT: u32 = 10;
/// The same for a client, behind which there may be a whole company.
const FREE_PER_CLIENT: u32 = 100;
/// One failure is forgotten in this time, and no wait is longer.
const DECAY: TimeDelta = TimeDelta::seconds(60);
/// How many clients are known for an account, each with tries of its own.
const KNOWN_CLIENTS: usize = 4;
/// How many wrong credentials a known client may send before it is a stranger for a while.
const FREE_PER_KNOWN_CLIENT: u32 = 3;
/// One of these is forgotten in this time.
const KNOWN_DECAY: TimeDelta = TimeDelta::minutes(30);
/// How long a client is known after the right password came from it.
const KNOWN_FOR: TimeDelta = TimeDelta::days(14);
/// What an account takes in an hour at most, from strangers and known clients together. A test adds it up.
#[cfg(test)]
const MOST_PER_HOUR: usize = 100;
/// How many of the latest wrong credentials are known again.
const RECENT: usize = 8;
/// How many accounts, names that nobody has and clients are kept in each of two generations. An account has about 500
/// bytes, the others 90.
const CAPACITY: usize = 32_768;

/// Whom a credential is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// A user, by id.
    User(&'a str),
    /// A name that nobody has.
    Stranger(&'a str),
    /// No name, or one that nobody can have.
    Nobody,
}

/// One credential that is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Try<'a> {
    /// For whom.
    pub(crate) target: Target<'a>,
    /// From where.
    pub(crate) client: IpAddr,
    /// What.
    pub(crate) credential: &'a str,
    /// When.
    pub(crate) now: DateTime<Utc>,
}

/// Wrong credentials: how many count now, and which came last.
#[derive(Debug, Default, Clone, Copy)]
struct Failures {
    count: u32,
    /// When `count` was last computed, Unix seconds.
    at: i64,
    /// Fingerprints of the latest.
    recent: [u64; RECENT],
}

impl Failures {
    fn count(&self, decay: TimeDelta, now: i64) -> u32 {
        let forgotten = u32::try_from((now - self.at) / decay.num_seconds()).unwrap_or_default();
        self.count.saturating_sub(forgotten)
    }

    fn knows(&self, credential: u64) -> bool {
        self.recent.contains(&credential)
    }

    /// Counts a credential, unless it was counted already; says how many count then.
    fn add(&mut self, credential: u64, decay: TimeDelta, now: i64) -> Option<u32> {
        if self.knows(credential) {
            return None;
        }
        self.recent.rotate_right(1);
        if let Some(first) = self.recent.first_mut() {
            *first = credential;
        }
        self.count = self.count(decay, now).saturating_add(1);
        self.at = now;
        Some(self.count)
    }

    /// Takes back what was counted for a credential.
    fn forgive(&mut self, credential: u64) {
        if let Some(counted) = self.recent.iter_mut().find(|counted| **counted == credential) {
            *counted = 0;
            self.count = self.count.saturating_sub(1);
        }
    }
}

/// Failures that make wait, longer and longer.
#[derive(Debug, Default, Clone, Copy)]
struct Record {
    failures: Failures,
    /// Until when the answer is "wait", Unix seconds.
    blocked_until: i64,
}

impl Record {
    /// For how many seconds the answer is "wait". A longer wait than there is was begun by a clock that was set back since.
    fn wait(&self, now: i64) -> i64 {
        let wait = self.blocked_until - now;
        if (0..=DECAY.num_seconds()).contains(&wait) { wait } else { 0 }
    }

    fn fail(&mut self, credential: u64, free: u32, now: i64) {
        let Some(count) = self.failures.add(credential, DECAY, now) else { return };
        if let Some(over) = count.checked_sub(free) {
            let wait = 1_i64.checked_shl(over.min(6)).unwrap_or_default().min(DECAY.num_seconds());
            self.blocked_until = now + wait;
        }
    }
}

/// A client from which the right password came.
#[derive(Debug, Default, Clone, Copy)]
struct KnownClient {
    client: u64,
    /// When it came last, Unix seconds.
    at: i64,
    failures: Failures,
}

/// What is counted for one account.
#[derive(Debug, Default, Clone, Copy)]
struct AccountRecord {
    strangers: Record,
    known: [KnownClient; KNOWN_CLIENTS],
}

impl AccountRecord {
    fn known(&mut self, client: u64, now: i64) -> Option<&mut KnownClient> {
        self.known.iter_mut().find(|known| known.client == client && now - known.at < KNOWN_FOR.num_seconds())
    }

    /// Counts a credential of a client that is known, if it has a try of its own left.
    fn takes_from_known(&mut self, client: u64, credential: u64, now: i64) -> bool {
        let Some(KnownClient { failures, .. }) = self.known(client, now) else { return false };
        let takes = failures.knows(credential) || failures.count(KNOWN_DECAY, now) < FREE_PER_KNOWN_CLIENT;
        if takes {
            failures.add(credential, KNOWN_DECAY, now);
        }
        takes
    }

    /// The client is known from now on, in the place of the one that was seen longest ago.
    fn remember(&mut self, client: u64, now: i64) {
        let place = match self.known.iter().position(|known| known.client == client) {
            Some(place) => Some(place),
            None => (0..KNOWN_CLIENTS).min_by_key(|place| self.known.get(*place).map(|known| known.at)),
        };
        if let Some(known) = place.and_then(|place| self.known.get_mut(place)) {
            let failures = if known.client == client { known.failures } else { Failures::default() };
            *known = KnownClient { client, at: now, failures };
        }
    }
}

#[derive(Debug)]
struct Generations<T> {
    young: HashMap<u64, T>,
    old: HashMap<u64, T>,
}

impl<T> Default for Generations<T> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<T: Default> Generations<T> {
    /// Memory stays bounded: when the young generation is full, it becomes the old one, which is forgotten.
    fn get_mut(&mut self, key: u64) -> &mut T {
        if self.young.len() >= CAPACITY && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        let known = self.old.remove(&key);
        self.young.entry(key).or_insert_with(|| known.unwrap_or_default())
    }

    /// One that is kept.
    fn known_mut(&mut self, key: u64) -> Option<&mut T> {
        let kept = self.young.contains_key(&key) || self.old.contains_key(&key);
        kept.then(|| self.get_mut(key))
    }
}

/// What is counted. Names that nobody has stand apart, so that inventing them pushes no account out.
#[derive(Debug, Default)]
struct Counts {
    accounts: Generations<AccountRecord>,
    strangers: Generations<Record>,
    clients: Generations<Record>,
}

/// The failures of all accounts and clients. One counts one kind of credential.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// Keys of all maps and fingerprints are keyed hashes: no name and no credential is kept.
    hasher: RandomState,
    counts: Mutex<Counts>,
}

impl Throttle {
    /// Counts a credential before anybody is asked about it, which takes time: of many at once no more are asked about than
    /// one after the other. Once, however often it is sent (clients.md C21), and not while there is a wait.
    /// [`Self::accept`] and [`Self::refund`] take it back.
    ///
    /// # Errors
    /// How long to wait instead.
    pub(crate) fn charge(&self, tried: &Try<'_>) -> Result<(), TimeDelta> {
        let (credential, client, now) = (self.fingerprint(tried), self.client(tried.client), tried.now.timestamp());
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { accounts, strangers, clients } = &mut *counts;
        let account = match tried.target {
            Target::User(id) => {
                let account = accounts.get_mut(self.hasher.hash_one(id));
                if account.takes_from_known(client, credential, now) {
                    return Ok(());
                }
                Some(&mut account.strangers)
            }
            Target::Stranger(name) => {
                // A name that somebody signed in with, though it is not the user's own.
                let known = accounts.known_mut(self.alias(name));
                if known.is_some_and(|account| account.takes_from_known(client, credential, now)) {
                    return Ok(());
                }
                Some(strangers.get_mut(self.hasher.hash_one(name)))
            }
            Target::Nobody => None,
        };
        let client = clients.get_mut(client);
        let wait = account.as_ref().map_or(0, |account| account.wait(now)).max(client.wait(now));
        if wait > 0 {
            return Err(TimeDelta::seconds(wait));
        }
        if let Some(account) = account {
            account.fail(credential, FREE_PER_ACCOUNT, now);
        }
        client.fail(credential, FREE_PER_CLIENT, now);
        Ok(())
    }

    /// The same for the account behind a name that is not its own, whose client was counted under that name already: that
    /// there is one shows in no answer. Says whether the credential may be tried.
    pub(crate) fn charge_behind(&self, tried: &Try<'_>) -> bool {
        let Target::User(id) = tried.target else { return false };
        let (credential, client, now) = (self.fingerprint(tried), self.client(tried.client), tried.now.timestamp());
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let account = counts.accounts.get_mut(self.hasher.hash_one(id));
        if account.takes_from_known(client, credential, now) {
            return true;
        }
        let may = account.strangers.wait(now) == 0;
        if may {
            account.strangers.fail(credential, FREE_PER_ACCOUNT, now);
        }
        may
    }

    /// The credential is right: it does not count, and its client is known for the account, or by the name, from now on.
    pub(crate) fn accept(&self, tried: &Try<'_>) {
        self.refund(tried);
        let key = match tried.target {
            Target::User(id) => self.hasher.hash_one(id),
            Target::Stranger(name) => self.alias(name),
            Target::Nobody => return,
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.accounts.get_mut(key).remember(self.client(tried.client), tried.now.timestamp());
    }

    /// Nobody could say whether the credential is right: it does not count.
    pub(crate) fn refund(&self, tried: &Try<'_>) {
        let (credential, client) = (self.fingerprint(tried), self.client(tried.client));
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match tried.target {
            Target::User(id) => {
                let account = counts.accounts.get_mut(self.hasher.hash_one(id));
                account.strangers.failures.forgive(credential);
                if let Some(known) = account.known(client, tried.now.timestamp()) {
                    known.failures.forgive(credential);
                }
            }
            Target::Stranger(name) => {
                counts.strangers.get_mut(self.hasher.hash_one(name)).failures.forgive(credential);
                if let Some(account) = counts.accounts.known_mut(self.alias(name))
                    && let Some(known) = account.known(client, tried.now.timestamp())
                {
                    known.failures.forgive(credential);
                }
            }
            Target::Nobody => {}
        }
        counts.clients.get_mut(client).failures.forgive(credential);
    }

    /// One password under many names is as many guesses.
    fn fingerprint(&self, tried: &Try<'_>) -> u64 {
        let (kind, name) = match tried.target {
            Target::User(id) => (1, id),
            Target::Stranger(name) => (2, name),
            Target::Nobody => (3, ""),
        };
        self.hasher.hash_one((kind, name, tried.credential)).max(1)
    }

    /// Under which key it is kept who signed in by a name that is no user's own.
    fn alias(&self, name: &str) -> u64 {
        self.hasher.hash_one(("alias", name))
    }

    /// Neighbours are others.
    fn client(&self, client: IpAddr) -> u64 {
        self.hasher.hash_one(host_of(client)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Target<'static> = Target::User("corp/u-ada");
    const BOB: Target<'static> = Target::User("corp/u-bob");

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn nth(n: usize) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + u32::try_from(n).unwrap()).into())
    }

    impl Throttle {
        fn guess(&self, target: Target<'_>, client: IpAddr, credential: &str, second: i64) -> Result<(), i64> {
            let tried = Try { target, client, credential, now: at(second) };
            self.charge(&tried).map_err(|wait| wait.num_seconds())
        }

        /// The right password, if it may be tried.
        fn sign_in(&self, target: Target<'_>, client: IpAddr, second: i64) -> Result<(), i64> {
            self.guess(target, client, "right", second)?;
            self.accept(&Try { target, client, credential: "right", now: at(second) });
            Ok(())
        }
    }

    #[test]
    fn c21_the_same_wrong_credential_counts_once() {
        let throttle = Throttle::default();
        for second in 0..1000 {
            assert_eq!(throttle.guess(ADA, nth(1), "wrong", second), Ok(()));
        }
    }

    #[test]
    fn nobody_waits_longer_than_there_is_a_wait_after_a_clock_that_was_set_back() {
        let (throttle, year) = (Throttle::default(), 365 * 86_400);
        let wrong = |from: i64| {
            (0..40).filter(|n| throttle.guess(ADA, nth(1), &format!("wrong-{from}-{n}"), from).is_err()).count()
        };
        assert!(wrong(year) > 20, "who guesses waits");
        assert_eq!(throttle.sign_in(ADA, nth(2), 0), Ok(()), "the clock is right again");
        assert!(wrong(1) > 20, "and who guesses then waits too");
    }

    #[test]
    fn c22_a_burst_of_the_right_password_is_nothing_and_many_guesses_at_once_are_not_all_free() {
        let throttle = Throttle::default();
        let asked = (0..500).filter(|n| throttle.guess(ADA, nth(*n), &format!("guess {n}"), 0).is_ok());
        assert_eq!(asked.count(), FREE_PER_ACCOUNT as usize);
        for second in 0..500 {
            assert_eq!(throttle.guess(BOB, nth(1), "right", second), Ok(()));
            if second % 3 == 0 {
                throttle.accept(&Try { target: BOB, client: nth(1), credential: "right", now: at(second) });
            }
        }
    }

    #[test]
    fn one_account_takes_no_more_than_a_hundred_guesses_in_any_hour_wherever_they_come_from() {
        for known in 0..=KNOWN_CLIENTS {
            let throttle = Throttle::default();
            for client in 0..known {
                throttle.sign_in(ADA, nth(client), 0).unwrap();
            }
            // Every second of three hours somebody new tries, and so does each known client.
            let mut taken = Vec::new();
            for second in 0..3 * 3600 {
                for client in (0..known).chain([1000 + usize::try_from(second).unwrap()]) {
                    if throttle.guess(ADA, nth(client), &format!("{client} {second}"), second).is_ok() {
                        taken.push(second);
                    }
                }
            }
            let of_hour = |from: &i64| taken.iter().filter(|at| (*from..from + 3600).contains(*at)).count();
            let most = taken.iter().map(of_hour).max().unwrap();
            assert!((60..=MOST_PER_HOUR).contains(&most), "{known} known clients: {most}");
        }
    }

    #[test]
    fn an_account_takes_no_more_guesses_under_other_names_than_under_its_own() {
        let throttle = Throttle::default();
        throttle.sign_in(ADA, nth(0), 0).unwrap();
        let names = ["ada", "ada@ex.test", "EX\\ada"];
        let mut taken = Vec::new();
        for second in 0..3 * 3600 {
            for (n, name) in names.iter().enumerate() {
                let (client, credential) = (nth(1000 + usize::try_from(second).unwrap()), format!("{n} {second}"));
                let tried = Try { target: Target::Stranger(name), client, credential: &credential, now: at(second) };
                let may = match n {
                    0 => throttle.guess(ADA, client, &credential, second).is_ok(),
                    _ => throttle.charge(&tried).is_ok() && throttle.charge_behind(&Try { target: ADA, ..tried }),
                };
                if may {
                    taken.push(second);
                }
            }
        }
        let of_hour = |from: &i64| taken.iter().filter(|at| (*from..from + 3600).contains(*at)).count();
        let most = taken.iter().map(of_hour).max().unwrap();
        assert!((60..=MOST_PER_HOUR).contains(&most), "{most}");
    }

    #[test]
    fn an_owner_is_not_locked_out_by_strangers_and_waits_only_where_nobody_knows_it() {
        let throttle = Throttle::default();
        throttle.sign_in(ADA, nth(1), 0).unwrap();
        for n in 0..10_000 {
            let _ = throttle.guess(ADA, nth(100 + n), &format!("guess {n}"), 1);
        }
        assert_eq!(throttle.sign_in(ADA, nth(1), 1), Ok(()), "the owner's own client");
        assert!(throttle.sign_in(ADA, nth(2), 1).is_err(), "a new client waits as a stranger does");
        assert_eq!(throttle.sign_in(BOB, nth(2), 1), Ok(()), "and others are not concerned");
        // A known client that is wrong itself becomes a stranger, and forgets in its own time.
        for n in 0..FREE_PER_KNOWN_CLIENT {
            assert_eq!(throttle.guess(ADA, nth(1), &format!("mistyped {n}"), 1), Ok(()));
        }
        assert!(throttle.guess(ADA, nth(1), "mistyped again", 1).is_err());
        assert_eq!(throttle.sign_in(ADA, nth(1), 1 + KNOWN_DECAY.num_seconds()), Ok(()));
        let later = KNOWN_FOR.num_seconds() + KNOWN_DECAY.num_seconds() + 2;
        for n in 0..100 {
            let _ = throttle.guess(ADA, nth(100 + n), &format!("later {n}"), later);
        }
        assert!(throttle.sign_in(ADA, nth(1), later).is_err(), "it is not known for ever");
    }

    #[test]
    fn guesses_at_other_names_keep_nobody_out_who_signed_in_here_lately() {
        let throttle = Throttle::default();
        throttle.sign_in(ADA, nth(1), 0).unwrap();
        let spray = |n| throttle.guess(Target::Stranger(&format!("x{n}")), nth(1), "guess", 1);
        assert_eq!(
            (0..1000).filter(|n| spray(*n).is_ok()).count(),
            FREE_PER_CLIENT as usize,
            "one password, many names"
        );
        assert!(throttle.sign_in(BOB, nth(1), 1).is_err(), "whoever is new here waits with the guesser");
        assert_eq!(throttle.sign_in(ADA, nth(1), 1), Ok(()));
        assert_eq!(throttle.sign_in(BOB, nth(2), 1), Ok(()), "the neighbour in the network is another client");
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network_of_one_customer() {
        let throttle = Throttle::default();
        for n in 0..FREE_PER_CLIENT {
            let name = format!("x{n}");
            throttle.guess(Target::Stranger(&name), address(&format!("2001:db8::{n:x}")), "guess", 0).unwrap();
            throttle.guess(Target::Stranger(&name), address("192.0.2.1"), "guess", 0).unwrap();
        }
        let free = |client| throttle.guess(Target::Nobody, address(client), "guess", 0).is_ok();
        assert!(!free("2001:db8::ffff") && !free("::ffff:192.0.2.1"));
        assert!(free("2001:db8:0:1::1") && free("192.0.2.2"));
    }

    #[test]
    fn a_user_and_a_name_that_nobody_has_are_counted_alike() {
        let traces = [ADA, Target::Stranger("nobody")].map(|target| {
            let throttle = Throttle::default();
            (0..400)
                .map(|n| throttle.guess(target, nth(n % 3), &format!("{}", n % 97), i64::try_from(n).unwrap()))
                .collect::<Vec<_>>()
        });
        assert_eq!(traces[0], traces[1]);
        assert!(traces[0].iter().any(Result::is_err));
    }

    #[test]
    fn memory_is_bounded_and_invented_names_push_no_account_out() {
        let throttle = Throttle::default();
        throttle.sign_in(ADA, nth(1), 0).unwrap();
        for n in 0..200_000 {
            let _ = throttle.guess(Target::Stranger(&format!("x{n}")), nth(n), "guess", 0);
        }
        let full = |len: usize| len <= CAPACITY + 1;
        {
            let counts = throttle.counts.lock().unwrap();
            assert!(full(counts.strangers.young.len()) && full(counts.strangers.old.len()));
            assert!(full(counts.clients.young.len()) && full(counts.clients.old.len()));
            assert_eq!(counts.accounts.young.len(), 1);
            assert!(size_of::<AccountRecord>() <= 512 && size_of::<Record>() <= 96);
        }
        for n in 0..100 {
            let _ = throttle.guess(ADA, nth(500_000 + n), &format!("guess {n}"), 0);
        }
        assert_eq!(throttle.sign_in(ADA, nth(1), 0), Ok(()));
    }
}
