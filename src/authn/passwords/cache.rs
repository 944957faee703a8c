//! What directories answered, for a minute. Neither names nor passwords are kept: an entry's key is a keyed hash of both.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::{hmac, rand::SystemRandom};
use chrono::{DateTime, TimeDelta, Utc};

use super::Checked;
use crate::error::NoRandomness;

/// How long an answer is remembered.
const LIFETIME: TimeDelta = TimeDelta::seconds(60);
/// How many answers are remembered.
const CAPACITY: usize = 10_000;

/// What makes an older answer worthless.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    /// The position of the newest event for any of the user's persons, or that linked or parted one of them.
    pub(super) newest_event: u64,
    /// Changes with each reset of the user's credentials.
    pub(super) credential_epoch: u64,
}

/// A keyed hash of a user and a password.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct AnswerKey([u8; 32]);

#[derive(Debug)]
struct Answer {
    said: Checked,
    until: DateTime<Utc>,
    version: Version,
}

pub(super) struct AnswerCache {
    key: hmac::Key,
    answers: Mutex<HashMap<AnswerKey, Answer>>,
}

impl AnswerCache {
    pub(super) fn new() -> Result<Self, NoRandomness> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| NoRandomness)?;
        Ok(Self { key, answers: Mutex::default() })
    }

    pub(super) fn key(&self, user: &str, password: &str) -> AnswerKey {
        let tag = hmac::sign(&self.key, format!("{}:{user}{password}", user.len()).as_bytes());
        AnswerKey(tag.as_ref().try_into().unwrap_or_default())
    }

    /// `version`: of whom an answer is about, as they are now.
    pub(super) fn get(
        &self,
        key: &AnswerKey,
        version: impl Fn(&Checked) -> Version,
        now: DateTime<Utc>,
    ) -> Option<Checked> {
        let (said, until, of) = {
            let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = answers.get(key)?;
            (answer.said.clone(), answer.until, answer.version)
        };
        (now < until && version(&said) == of).then_some(said)
    }

    pub(super) fn put(&self, key: AnswerKey, said: Checked, version: Version, now: DateTime<Utc>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= CAPACITY {
            answers.retain(|_, answer| now < answer.until);
            if answers.len() >= CAPACITY {
                answers.clear();
            }
        }
        answers.insert(key, Answer { said, until: now + LIFETIME, version });
    }
}
