//! How often somebody may be wrong: counts wrong credentials per user name and per address prefix, and says how long to
//! wait. A burst of good requests is nothing to it (clients.md C22): one credential counts once, and a right one not at all.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

/// How many different wrong credentials one user name may be given before anybody has to wait.
const FREE_PER_NAME: u32 = 20;
/// The same for an address prefix, behind which there may be a whole company.
const FREE_PER_PREFIX: u32 = 100;
/// One failure is forgotten in this time, and no wait is longer, so a name is tried at most about 100 times an hour.
const DECAY: TimeDelta = TimeDelta::seconds(60);
/// How many of the latest wrong credentials are known again.
const RECENT: usize = 4;
/// How many names and prefixes are kept in each of two generations; one entry has about 64 bytes.
const CAPACITY: usize = 32_768;

#[derive(Debug, Default, Clone, Copy)]
struct Record {
    failures: u32,
    /// When `failures` was last computed, Unix seconds.
    at: i64,
    /// Until when the answer is "wait", Unix seconds.
    blocked_until: i64,
    /// Fingerprints of the latest wrong credentials.
    recent: [u64; RECENT],
}

impl Record {
    /// Counts a wrong credential, unless it was counted already.
    fn fail(&mut self, credential: u64, free: u32, now: i64) {
        if self.recent.contains(&credential) {
            return;
        }
        self.recent.rotate_right(1);
        if let Some(first) = self.recent.first_mut() {
            *first = credential;
        }
        let forgotten = u32::try_from((now - self.at) / DECAY.num_seconds()).unwrap_or_default();
        self.failures = self.failures.saturating_sub(forgotten).saturating_add(1);
        self.at = now;
        if let Some(over) = self.failures.checked_sub(free) {
            let wait = 1_i64.checked_shl(over.min(6)).unwrap_or_default().min(DECAY.num_seconds());
            self.blocked_until = now + wait;
        }
    }

    /// Takes back what was counted for a credential.
    fn forgive(&mut self, credential: u64) {
        if let Some(counted) = self.recent.iter_mut().find(|counted| **counted == credential) {
            *counted = 0;
            self.failures = self.failures.saturating_sub(1);
        }
    }
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Record>,
    old: HashMap<u64, Record>,
}

impl Generations {
    fn get(&self, key: u64) -> Option<&Record> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }

    /// Memory stays bounded: when the young generation is full, it becomes the old one, which is forgotten.
    fn get_mut(&mut self, key: u64) -> &mut Record {
        if self.young.len() >= CAPACITY && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        let known = self.old.remove(&key);
        self.young.entry(key).or_insert_with(|| known.unwrap_or_default())
    }
}

/// The failures of all names and prefixes.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// Keys of both maps and fingerprints are keyed hashes: no name and no credential is kept.
    hasher: RandomState,
    records: Mutex<Generations>,
}

impl Throttle {
    /// How long a login under this name (where one is given) from this address has to wait, if at all.
    pub(crate) fn wait(&self, name: Option<&str>, client: IpAddr, now: DateTime<Utc>) -> Option<TimeDelta> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let until = [name.map(|name| self.name(name)), Some(self.prefix(client))]
            .into_iter()
            .flatten()
            .filter_map(|key| records.get(key).map(|record| record.blocked_until))
            .max()?;
        (until > now.timestamp()).then(|| TimeDelta::seconds(until - now.timestamp()))
    }

    /// Counts a wrong credential against the name and the address: once, however often it is sent (clients.md C21), and
    /// not while there is a wait, which is returned.
    pub(crate) fn record_failure(
        &self,
        name: Option<&str>,
        client: IpAddr,
        credential: &str,
        now: DateTime<Utc>,
    ) -> Option<TimeDelta> {
        let wait = self.wait(name, client, now);
        if wait.is_none() {
            let fingerprint = self.hasher.hash_one((name, credential));
            let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(name) = name {
                records.get_mut(self.name(name)).fail(fingerprint, FREE_PER_NAME, now.timestamp());
            }
            records.get_mut(self.prefix(client)).fail(fingerprint, FREE_PER_PREFIX, now.timestamp());
        }
        wait
    }

    /// Counts a credential against a name before somebody else is asked about it, which takes time: of many guesses at
    /// once no more are asked about than one after the other. [`Self::refund`] takes it back.
    pub(crate) fn charge(
        &self,
        name: Option<&str>,
        client: IpAddr,
        credential: &str,
        now: DateTime<Utc>,
    ) -> Option<TimeDelta> {
        let wait = self.wait(name, client, now);
        if let (None, Some(name)) = (wait, name) {
            let fingerprint = self.hasher.hash_one((Some(name), credential));
            let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
            records.get_mut(self.name(name)).fail(fingerprint, FREE_PER_NAME, now.timestamp());
        }
        wait
    }

    /// The credential is right, or nobody could say.
    pub(crate) fn refund(&self, name: Option<&str>, credential: &str) {
        let Some(name) = name else { return };
        let fingerprint = self.hasher.hash_one((Some(name), credential));
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.get_mut(self.name(name)).forgive(fingerprint);
    }

    fn name(&self, name: &str) -> u64 {
        self.hasher.hash_one(("name", name))
    }

    /// An IPv4 /24 or an IPv6 /64; a mapped IPv4 address is one.
    fn prefix(&self, client: IpAddr) -> u64 {
        match client.to_canonical() {
            IpAddr::V4(v4) => self.hasher.hash_one(("v4", v4.to_bits() >> 8)),
            IpAddr::V6(v6) => self.hasher.hash_one(("v6", v6.to_bits() >> 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_same_wrong_credential_counts_once() {
        let throttle = Throttle::default();
        for second in 0..1000 {
            throttle.record_failure(Some("ada"), address("192.0.2.1"), "wrong", at(second));
        }
        assert_eq!(throttle.wait(Some("ada"), address("192.0.2.1"), at(1000)), None);
    }

    #[test]
    fn many_guesses_at_once_are_not_all_free_and_a_burst_of_the_right_password_is() {
        let throttle = Throttle::default();
        let from = |i: u32| IpAddr::V4((i << 8).into());
        let asked = |i: &u32| throttle.charge(Some("ada"), from(*i), &format!("guess {i}"), at(0)).is_none();
        assert_eq!((0..500).filter(asked).count(), FREE_PER_NAME as usize);
        for second in 0..500 {
            assert_eq!(throttle.charge(Some("bob"), from(1), "right", at(second)), None);
            if second % 3 == 0 {
                throttle.refund(Some("bob"), "right");
            }
        }
    }

    #[test]
    fn guessing_one_name_from_everywhere_makes_it_wait_longer_and_longer() {
        let throttle = Throttle::default();
        let from = |i: i64| address(&format!("10.{}.{}.1", i / 250, i % 250));
        let (mut guesses, mut now) = (0, 0);
        while now < 3600 {
            match throttle.wait(Some("ada"), from(guesses), at(now)) {
                Some(wait) => now += wait.num_seconds(),
                None => {
                    throttle.record_failure(Some("ada"), from(guesses), &format!("guess {guesses}"), at(now));
                    guesses += 1;
                }
            }
        }
        assert!((20..=100).contains(&guesses), "{guesses}");
        assert_eq!(throttle.wait(Some("bob"), address("203.0.113.1"), at(now)), None);
        assert_eq!(throttle.wait(Some("ada"), from(0), at(now + 60)), None);
    }

    #[test]
    fn guessing_many_names_from_one_prefix_makes_the_prefix_wait() {
        let throttle = Throttle::default();
        for i in 0..=FREE_PER_PREFIX {
            let from = address(&format!("192.0.2.{}", i % 250));
            throttle.record_failure(Some(&format!("user{i}")), from, "guess", at(0));
        }
        assert!(throttle.wait(Some("ada"), address("192.0.2.251"), at(0)).is_some());
        assert!(throttle.wait(Some("ada"), address("::ffff:192.0.2.7"), at(0)).is_some());
        assert_eq!(throttle.wait(Some("ada"), address("192.0.3.1"), at(0)), None);

        for i in 0..=FREE_PER_PREFIX {
            throttle.record_failure(Some(&format!("user{i}")), address(&format!("2001:db8::{i:x}")), "guess", at(0));
        }
        assert!(throttle.wait(Some("ada"), address("2001:db8::ffff"), at(0)).is_some());
        assert_eq!(throttle.wait(Some("ada"), address("2001:db8:0:1::1"), at(0)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::default();
        for i in 0..200_000_u32 {
            throttle.record_failure(Some(&format!("user{i}")), IpAddr::V4((i << 8).into()), "guess", at(0));
        }
        let records = throttle.records.lock().unwrap();
        assert!(records.young.len() <= CAPACITY + 1 && records.old.len() <= CAPACITY + 1);
    }
}
