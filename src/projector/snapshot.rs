//! The file `roster.snap`: the roster at one position, so that a restart folds only what came after.
//! Owns the file; what is in it, and whether it is whole, the roster knows.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use rollcall_access::{FoldVersions, Roster};
use rollcall_events::LogId;

use crate::shared::Shared;

pub(crate) const FILE: &str = "roster.snap";

/// The roster of the file, and which fold made its facts. One that cannot be used is named and left: the roster is folded
/// from the beginning then.
pub(crate) fn load(dir: &Path, log: LogId, reads: FoldVersions) -> Option<(Roster, u32)> {
    let path = dir.join(FILE);
    let ignored = |why: String| {
        tracing::warn!(path = %path.display(), %why, "roster snapshot ignored, the roster is folded anew");
        None
    };
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return ignored(error.to_string()),
    };
    match Roster::from_snapshot_of(&bytes, reads) {
        Ok((roster, version)) if roster.log_id() == log => Some((roster, version)),
        Ok((roster, _)) => ignored(format!("it is of log {}, this is log {log}", roster.log_id())),
        Err(error) => ignored(error.to_string()),
    }
}

/// Puts the file in place in one step, durable.
fn write(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = dir.join(FILE);
    let next = dir.join("roster.snap.next");
    let mut file = File::create(&next)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&next, &path)?;
    File::open(dir)?.sync_all()
}

/// Keeps a roster whose facts a fold made, unless one of a later fold is kept.
pub(crate) async fn keep(shared: &Shared, roster: Arc<Roster>, version: u32) {
    if shared.kept_of.fetch_max(version, Ordering::Relaxed) > version {
        return;
    }
    let (dir, at) = (shared.dir.clone(), roster.position());
    let written = tokio::task::spawn_blocking(move || {
        let bytes = roster.to_snapshot_of(version);
        write(&dir, &bytes).map(|()| bytes.len())
    });
    match written.await.map_err(std::io::Error::other).flatten() {
        Ok(size) => tracing::info!(position = %at, bytes = size, "roster snapshot written"),
        Err(error) => tracing::warn!(%error, "roster snapshot not written, the next start takes longer"),
    }
}
