//! The keys that sign registry tokens. Their private halves never come near this crate.

use crate::{Answer, Commands, List, Reads, control::SigningKey, error::Result};

/// The keys that sign registry tokens, the current one first.
///
/// # Errors
/// The keys cannot be read now.
pub async fn list(reads: &Reads) -> Result<Answer<List<SigningKey>>> {
    let position = reads.applied();
    Ok(Answer::of_more(position, List { items: reads.control().keys().await? }))
}

/// The certificates for a registry's `rootcertbundle`, PEM.
///
/// # Errors
/// The keys cannot be read now.
pub async fn bundle(reads: &Reads) -> Result<Answer<String>> {
    let pem = reads.control().key_bundle().await?;
    Ok(Answer::of_more(reads.applied(), pem))
}

/// Makes a new key and signs with it from now on. Registries that have the bundle need no restart.
///
/// # Errors
/// The new key could not be kept; nothing changed.
pub async fn rotate(commands: Commands) -> Result<SigningKey> {
    Ok(commands.control().rotate_keys().await?)
}
