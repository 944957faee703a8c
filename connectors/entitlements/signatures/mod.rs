//! How senders sign: one file for each scheme. What is signed, for how long that counts, and under which of several secrets.

mod keygen;
mod secrets;
mod standard;
mod stripe;

use std::fmt;

use chrono::{DateTime, Utc};
use rollcall_events::Digest;
use rollcall_ingest::connector::{Headers, Notification, Occasion, Rejection, SecretUse};

use crate::SecretMark;

pub use keygen::{KeygenKeyError, KeygenKeys};
pub use secrets::{SecretError, Secrets};
pub use stripe::{StripeSecretError, StripeSecrets};

/// How far a signed time may be from ours, in seconds, either way.
const MAX_CLOCK_DIFFERENCE: i64 = 300;
/// How many signatures of one delivery are looked at: enough for every rotation, few enough to be cheap.
const MAX_SIGNATURES: usize = 16;

/// The headers that hold a signature, of every scheme. What was kept with one arrived when nothing else was asked for.
pub(crate) const SIGNATURE_HEADERS: [&str; 4] =
    [standard::WEBHOOK.signature, standard::SVIX.signature, stripe::SIGNATURE, keygen::SIGNATURE];

/// A scheme with its secrets.
pub trait Scheme: fmt::Debug + Send + Sync {
    /// Whether what a header (lower case) says is signed, or is the signature.
    fn keeps(&self, header: &str) -> bool;

    /// Whether one of its secrets signed these bytes, and not long ago where they arrive now.
    ///
    /// # Errors
    /// A reason word and what to do.
    fn verify(&self, headers: &Headers, body: &[u8], occasion: Occasion<'_>) -> Result<(), Rejection>;

    /// The notification that a delivery is: the id that is signed, and where there is none what is signed, and when.
    fn notification(&self, headers: &Headers, body: &[u8]) -> Option<Notification>;

    /// What no other source may have.
    fn marks(&self) -> Vec<SecretMark>;

    /// Each secret without its value, and when it was last used.
    fn uses(&self) -> Vec<SecretUse>;

    /// Takes over when secrets that are here too were last used.
    fn recall(&self, uses: &[SecretUse]);
}

/// A header that must be there once and not be empty.
fn header<'a>(headers: &'a Headers, name: &str, missing: Rejection, bad: Rejection) -> Result<&'a str, Rejection> {
    let value = headers.one(name).map_err(|_| bad)?;
    value.filter(|value| !value.is_empty()).ok_or(missing)
}

/// Seconds since 1970. Digits only: what is signed is the text, and `+5` or ` 5` would be other texts for the same instant.
fn seconds(text: &str) -> Option<i64> {
    let digits = text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Whether what is signed for an instant counts now. A replay asks for no age.
fn is_fresh(signed_at: i64, occasion: Occasion<'_>) -> bool {
    match occasion {
        Occasion::Arrival { now, .. } => now.timestamp().abs_diff(signed_at) <= MAX_CLOCK_DIFFERENCE.unsigned_abs(),
        Occasion::Replay(_) => true,
    }
}

/// The lines of a file of secrets, counted from 1. Blank lines and lines that begin with `#` do not count.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // A byte order mark is what an editor wrote, not a part of the secret.
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let lines = text.lines().map(str::trim).enumerate().map(|(at, line)| (at + 1, line));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// A notification without an id, which was signed then: what is sent anew is signed anew, what is captured never is.
fn signed_then(signed_at: DateTime<Utc>, body: &[u8]) -> Notification {
    Notification { id: format!("{}.{}", signed_at.timestamp(), Digest::of(body)), signed_at }
}

/// An instant of a number of seconds.
fn instant(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0)
}
