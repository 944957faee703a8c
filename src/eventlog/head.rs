//! The head of the log: how far it is durable, and that under a signature.

use chrono::{DateTime, Utc};
use rollcall_events::{Digest, LogId, Position};
use serde::{Deserialize, Serialize};

/// The newest durable record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its position; 0 for an empty log.
    pub position: Position,
    /// The chain's hash there.
    pub hash: Digest,
}

/// A head that can be kept elsewhere and held against the log later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// The log's id, hexadecimal.
    pub log: String,
    /// The position.
    pub position: Position,
    /// The chain's hash there, hexadecimal.
    pub hash: String,
    /// When it was signed.
    pub signed_at: DateTime<Utc>,
    /// ES256 over `log.position.hash.signed_at`, base64.
    pub signature: String,
}

impl Head {
    /// The head of an empty log.
    #[must_use]
    pub fn empty(log: LogId) -> Self {
        Self { position: Position(0), hash: rollcall_events::chain_start(log) }
    }
}
