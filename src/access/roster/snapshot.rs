//! The roster as bytes: facts under a checksum, so that a restart folds only the tail. What is derived is derived
//! again.

use rollcall_events::{Digest, Settings, Version};

use crate::{
    profile::Profile,
    roster::{Roster, facts::Facts, index::Index},
};

/// Changes whenever the fold or the facts change their meaning: an older snapshot is then folded anew from the log.
pub const FOLD_VERSION: u32 = 29;

/// Which fold this is, and from which on snapshots of earlier ones answer until the log is folded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoldVersions {
    /// The one that folds.
    pub current: u32,
    /// The first whose facts are written as they are now and mean what they mean now. It becomes `current` with a change
    /// of what a fact is, and with one after which somebody has less: what was wrongly given must not be answered on.
    pub readable_since: u32,
}

impl FoldVersions {
    /// This version's.
    pub const CURRENT: Self = Self { current: FOLD_VERSION, readable_since: 28 };
}

/// With what every snapshot begins, for ever; behind it its fold, the version of Rollcall that wrote it, and the checksum of
/// all three and the facts.
const MAGIC: &[u8; 8] = b"rollcal\x02";

/// Why a snapshot cannot be used. The log can: fold it from the start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It is not what was written.
    #[error("the roster snapshot is damaged: {0}")]
    Damaged(String),
    /// Another version wrote it.
    #[error(
        "the roster snapshot is of fold {found} (Rollcall {by}), this version reads {} to {}",
        .reads.readable_since,
        .reads.current
    )]
    Version {
        /// The fold that made it.
        found: u32,
        /// The version that wrote it.
        by: Version,
        /// What can be read.
        reads: FoldVersions,
    },
}

impl Roster {
    /// The roster as bytes.
    #[must_use]
    pub fn to_snapshot(&self) -> Vec<u8> {
        self.to_snapshot_of(FOLD_VERSION)
    }

    /// As [`Roster::to_snapshot`], of a roster whose oldest facts an earlier fold made.
    #[must_use]
    pub fn to_snapshot_of(&self, version: u32) -> Vec<u8> {
        let facts = postcard::to_stdvec(&self.facts).unwrap_or_default();
        let mut bytes = Vec::with_capacity(facts.len() + 48);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&Version::CURRENT.0.to_be_bytes());
        bytes.extend_from_slice(&checksum(version, Version::CURRENT, &facts).0);
        bytes.extend_from_slice(&facts);
        bytes
    }

    /// Reads what [`Roster::to_snapshot`] wrote.
    ///
    /// # Errors
    /// When any byte differs from what was written, or another version wrote it.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let this = FoldVersions { current: FOLD_VERSION, readable_since: FOLD_VERSION };
        Self::from_snapshot_of(bytes, this).map(|(roster, _)| roster)
    }

    /// As [`Roster::from_snapshot`], also of an earlier fold whose facts can be read, and which fold made them. What comes is
    /// folded into them as into any.
    ///
    /// # Errors
    /// As [`Roster::from_snapshot`].
    pub fn from_snapshot_of(bytes: &[u8], reads: FoldVersions) -> Result<(Self, u32), SnapshotError> {
        let damaged = |what: &str| SnapshotError::Damaged(what.to_owned());
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| damaged("it is too short"))?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("it is too short"))?;
        let (by, rest) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("it is too short"))?;
        let (sum, facts) = rest.split_first_chunk::<32>().ok_or_else(|| damaged("it is too short"))?;
        if magic != MAGIC {
            return Err(damaged("it does not begin like one"));
        }
        let (version, by) = (u32::from_be_bytes(*version), Version(u32::from_be_bytes(*by)));
        if checksum(version, by, facts).0 != *sum {
            return Err(damaged("its checksum is another"));
        }
        if !(reads.readable_since..=reads.current).contains(&version) {
            return Err(SnapshotError::Version { found: version, by, reads });
        }
        let mut facts: Facts = postcard::from_bytes(facts).map_err(|error| damaged(&error.to_string()))?;
        facts.reindex();
        if !facts.is_sound() {
            return Err(damaged("its tables do not fit each other"));
        }
        let mut roster = Self::new(facts.log);
        if !facts.settings.is_empty() {
            roster.settings = rollcall_events::json::read::<Settings>(&facts.settings)
                .map_err(|error| damaged(&error.to_string()))?;
        }
        if !facts.profile.is_empty() {
            roster.profile = Profile::from_json(&facts.profile).map_err(|error| damaged(&error.to_string()))?;
        }
        roster.index = Index::build(&facts);
        roster.facts = facts;
        roster.derive_from_settings();
        roster.rebuild_fast_path();
        Ok((roster, version))
    }
}

/// The versions are under the checksum too: a flipped bit in one is damage, not another version.
fn checksum(version: u32, by: Version, facts: &[u8]) -> Digest {
    use sha2::{Digest as _, Sha256};
    let head = Sha256::new().chain_update(MAGIC).chain_update(version.to_be_bytes()).chain_update(by.0.to_be_bytes());
    Digest(head.chain_update(facts).finalize().into())
}

impl Facts {
    fn reindex(&mut self) {
        self.sources.names.reindex();
        self.accounts.names.reindex();
        self.persons.names.reindex();
        self.products.names.reindex();
        self.packages.names.reindex();
        self.entitlements.names.reindex();
        self.lines.names.reindex();
        self.user_names.names.reindex();
        self.project_names.names.reindex();
        self.local_projects.names.reindex();
        self.folders.names.reindex();
        self.services.names.reindex();
        self.groups.names.reindex();
        self.secrets.names.reindex();
        self.bindings.names.reindex();
        self.others.names.reindex();
    }

    fn is_sound(&self) -> bool {
        self.sources.is_sound()
            && self.accounts.is_sound()
            && self.persons.is_sound()
            && self.products.is_sound()
            && self.packages.is_sound()
            && self.entitlements.is_sound()
            && self.lines.is_sound()
            && self.user_names.is_sound()
            && self.project_names.is_sound()
            && self.local_projects.is_sound()
            && self.folders.is_sound()
            && self.services.is_sound()
            && self.groups.is_sound()
            && self.secrets.is_sound()
            && self.bindings.is_sound()
            && self.others.is_sound()
    }
}
