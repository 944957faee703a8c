//! Randomness of the system: ids of what is recorded, secrets.

use aws_lc_rs::rand;
use chrono::{DateTime, Utc};
use rollcall_events::prefixed_id;

use crate::error::{ErrorKind, Result};

/// A random id such as `evt_0190..`.
pub(crate) fn random_id(prefix: &str, now: DateTime<Utc>) -> Result<String> {
    Ok(prefixed_id(prefix, now, random()?))
}

/// Random bytes from the system's generator.
///
/// # Errors
/// The system has none.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes)
        .map_err(|_| ErrorKind::Internal.because("No randomness is to be had. Nothing was changed."))?;
    Ok(bytes)
}
