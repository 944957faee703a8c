//! The log as a whole: its signed head, the key to check that with, and a check of the whole chain.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Answer, Commands, Reads, control::Verified, error::Result};

/// The head of the log under its signature.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SignedHead {
    /// The log's id, hexadecimal.
    pub log: String,
    /// The newest durable position.
    pub position: u64,
    /// The chain's hash there, hexadecimal.
    pub hash: String,
    /// When it was signed.
    pub signed_at: chrono::DateTime<chrono::Utc>,
    /// ES256 over `log.position.hash.signed_at`, base64.
    pub signature: String,
}

/// The head of the log, signed.
///
/// # Errors
/// The log cannot be read.
pub async fn head(reads: &Reads) -> Result<Answer<SignedHead>> {
    let rollcall_eventlog::SignedHead { log, position, hash, signed_at, signature } =
        reads.tail().signed_head().await?;
    let head = SignedHead { log, position: position.0, hash, signed_at, signature };
    Ok(Answer::of_more(position, head))
}

/// The public key of the log's signatures, PEM.
#[must_use]
pub fn public_key(reads: &Reads) -> Answer<String> {
    Answer::of_more(reads.applied(), reads.tail().public_key_pem())
}

/// Reads the whole log and checks its chain.
///
/// # Errors
/// The log is damaged, or cannot be read.
pub async fn verify(commands: Commands) -> Result<Verified> {
    Ok(commands.control().verify().await?)
}
