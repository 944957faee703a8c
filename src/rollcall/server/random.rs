//! The one place that asks the system for randomness.

use anyhow::Context;
use aws_lc_rs::rand;

/// Bytes that nobody can guess.
///
/// # Errors
/// When the machine gives none.
pub fn random_bytes<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).ok().context("the system gives no randomness")?;
    Ok(bytes)
}

/// Without randomness pauses are the shortest and ids as distinct as the clock is.
pub fn random_number() -> u64 {
    let mut bytes = [0; 8];
    let _ = rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}
