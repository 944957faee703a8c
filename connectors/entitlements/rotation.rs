//! What a source may show of itself, the current secret and those before it, and when each was last used. Whether one fits
//! is asked of all of them: how long it takes does not tell which.

use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use rollcall_ingest::connector::{Occasion, SecretUse};

use crate::SecretMark;

/// The secrets of one source, current first.
pub(crate) struct Rotation<T>(Vec<Held<T>>);

struct Held<T> {
    secret: T,
    mark: SecretMark,
    /// Microseconds since 1970; nothing is 0.
    used: AtomicI64,
}

impl<T> Rotation<T> {
    pub(crate) fn of(secrets: Vec<(T, SecretMark)>) -> Self {
        Self(secrets.into_iter().map(|(secret, mark)| Held { secret, mark, used: AtomicI64::new(0) }).collect())
    }

    pub(crate) fn current(&self) -> Option<&T> {
        self.0.first().map(|held| &held.secret)
    }

    /// Whether one of them fits, and that it was used. A replay says nothing about who uses a secret now.
    pub(crate) fn fits(&self, occasion: Occasion<'_>, fits: impl Fn(&T, &SecretMark) -> bool) -> bool {
        let fitting = self.0.iter().fold(None, |found, held| {
            let right = fits(&held.secret, &held.mark);
            found.or(right.then_some(held))
        });
        if let (Some(held), Occasion::Arrival { now, .. }) = (fitting, occasion) {
            held.used.fetch_max(now.timestamp_micros(), Ordering::Relaxed);
        }
        fitting.is_some()
    }

    /// What no other source may have.
    pub(crate) fn marks(&self) -> Vec<SecretMark> {
        self.0.iter().map(|held| held.mark).collect()
    }

    /// Each without its value, and when it was last used.
    pub(crate) fn uses(&self) -> Vec<SecretUse> {
        let one = |held: &Held<T>| {
            let used = held.used.load(Ordering::Relaxed);
            let last_used = Some(used).filter(|used| *used != 0).and_then(DateTime::<Utc>::from_timestamp_micros);
            SecretUse { fingerprint: fingerprint(&held.mark), last_used }
        };
        self.0.iter().map(one).collect()
    }

    /// Takes over when secrets that are here too were last used.
    pub(crate) fn recall(&self, uses: &[SecretUse]) {
        for held in &self.0 {
            let fingerprint = fingerprint(&held.mark);
            for known in uses.iter().filter(|known| known.fingerprint == fingerprint) {
                let at = known.last_used.map_or(0, |at| at.timestamp_micros());
                held.used.fetch_max(at, Ordering::Relaxed);
            }
        }
    }
}

/// Four bytes of a hash under the secret's own: enough to tell it from its neighbours.
fn fingerprint(SecretMark(mark): &SecretMark) -> String {
    let hash = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, mark), b"rollcall fingerprint of a webhook secret");
    hash.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
