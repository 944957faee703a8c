//! The keys that sign registry tokens. Their private halves never come near this crate.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Answer, Commands, List, Reads,
    control::{RenewalStep, SigningAuthority, SigningKey},
    error::Result,
};

/// A step of the renewal of the authority, as it is asked for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// `make` the next one, then give every registry the bundle, then `use` it.
    pub step: RenewalStep,
}

/// The authorities of the bundle, the one that certifies first.
///
/// # Errors
/// They cannot be read now.
pub async fn authorities(reads: &Reads) -> Result<Answer<List<SigningAuthority>>> {
    let position = reads.applied();
    Ok(Answer::of_more(position, List { items: reads.control().authorities().await? }))
}

/// Does a step of the renewal of the authority.
///
/// # Errors
/// It cannot be done now; nothing changed.
pub async fn renew(commands: Commands, renewal: Renewal) -> Result<List<SigningAuthority>> {
    Ok(List { items: commands.control().renew_authority(renewal.step).await? })
}

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
