//! Where the derived state stands, held against the log, made anew beside the live one.

use crate::{
    Answer, Commands, List, Reads,
    control::{Checked, Projection},
    error::Result,
};

/// Where each projection stands.
///
/// # Errors
/// The state cannot be read now.
pub async fn list(reads: &Reads) -> Result<Answer<List<Projection>>> {
    let position = reads.applied();
    Ok(Answer::of_more(position, List { items: reads.control().projections().await? }))
}

/// Folds the log anew beside the live projection and compares; changes nothing.
///
/// # Errors
/// There is no such projection, or another check runs.
pub async fn check(commands: Commands, name: &str) -> Result<Checked> {
    Ok(commands.control().check(name).await?)
}

/// Folds the log anew beside the live projection, compares, and swaps.
///
/// # Errors
/// As [`check`].
pub async fn rebuild(commands: Commands, name: &str) -> Result<Checked> {
    Ok(commands.control().rebuild(name).await?)
}
