//! The read side on SQLite: `read.db`, facts with their history, who is whose user, effects, and the view `membership`.
//! Takes what the fold says, in batches, under a checkpoint; decides nothing, and everything in it can be thrown away.

mod batch;
mod file;
mod query;
mod statements;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use rollcall_access::Folded;
use rollcall_events::{Digest, LogId, Position};
use tokio::sync::RwLock;

use batch::Batch;
use file::Db;
pub use query::{FactRow, Membership, ParkedRow, ProjectRow};

/// Why the read side does not do what it was asked. Nothing of a refused batch is kept.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Somebody else has moved the checkpoint: this projector must stop.
    #[error("the read side stands at {found}, not at {expected}: another projector writes it")]
    Fenced {
        /// Where this projector left it.
        expected: Position,
        /// Where it is.
        found: Position,
    },
    /// Another process has `read.db` open, so that it cannot be replaced. Close it and try again.
    #[error("{0} is open in another process and cannot be replaced")]
    InUse(PathBuf),
    /// The file cannot be read or written. Try again later, or delete it: it is made anew.
    #[error("the read side cannot be used")]
    Database(#[from] sqlx::Error),
    /// The directory cannot be read or written.
    #[error("{path}: {source}")]
    Directory {
        /// The path that was touched.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What a `read.db` must have been derived from and by to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The version of the fold that wrote it.
    pub version: u32,
    /// The log that it was folded from.
    pub log_id: LogId,
}

/// The read side in use. Cheap to clone; a rebuild swaps the file under all clones.
#[derive(Debug, Clone)]
pub struct Read {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    origin: Origin,
    db: RwLock<Db>,
}

/// A second file that a rebuild fills beside the one in use.
#[derive(Debug)]
pub struct Next {
    path: PathBuf,
    db: Db,
}

impl Read {
    /// Opens `read.db` in `dir`, or makes it. One of another origin or schema, or a damaged one, is discarded aloud and
    /// made anew: it then stands at position 0.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub async fn open(dir: &Path, origin: Origin) -> Result<Self, ReadError> {
        let path = dir.join("read.db");
        let db = match Db::open(&path, origin).await {
            Ok(db) => db,
            Err(why) => {
                if why != file::Unusable::Missing {
                    tracing::warn!(path = %path.display(), %why, "read side discarded, it is derived anew");
                }
                file::remove(&path)?;
                Db::create(&path, origin).await?
            }
        };
        file::remove(&dir.join("read.db.next"))?;
        Ok(Self { shared: Arc::new(Shared { dir: dir.to_owned(), origin, db: RwLock::new(db) }) })
    }

    /// Up to where the log is in it.
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn position(&self) -> Result<Position, ReadError> {
        self.shared.db.read().await.position().await
    }

    /// Applies a batch in one transaction: changes, effects, parked subjects, and the checkpoint from `from` to `to`.
    ///
    /// # Errors
    /// `Fenced` when the checkpoint is not at `from`; nothing is applied then.
    pub async fn apply(&self, batch: &[Folded], from: Position, to: Position) -> Result<(), ReadError> {
        self.shared.db.read().await.apply(&Batch::of(batch), from, to).await
    }

    /// An empty file beside the one in use, to be filled by [`Next::apply`] and brought in by [`Read::swap`].
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub async fn next(&self) -> Result<Next, ReadError> {
        let path = self.shared.dir.join("read.db.next");
        file::remove(&path)?;
        let db = Db::create_bulk(&path, self.shared.origin).await?;
        Ok(Next { path, db })
    }

    /// Puts `next` in the place of the file in use. Reads wait for the moment that it takes; the earlier file stays as
    /// `read.db.old` until the next swap.
    ///
    /// # Errors
    /// `InUse` when another process holds the file in use open; it stays in use then.
    pub async fn swap(&self, next: Next) -> Result<(), ReadError> {
        let Next { path: next_path, db: next } = next;
        next.finish(&next_path).await?;
        let path = self.shared.dir.join("read.db");
        let mut db = self.shared.db.write().await;
        let flipped = match db.close(&path).await {
            Ok(()) => file::replace(&path, &next_path),
            Err(error) => Err(error),
        };
        // Whatever came of it, the file that now has the name is the one in use.
        *db = Db::attach(&path).await?;
        flipped
    }
}

impl Next {
    /// As [`Read::apply`], but durable only after the swap.
    ///
    /// # Errors
    /// As [`Read::apply`].
    pub async fn apply(&self, batch: &[Folded], from: Position, to: Position) -> Result<(), ReadError> {
        self.db.apply(&Batch::of(batch), from, to).await
    }

    /// Makes the indexes that only reading needs. To be called when nearly everything is in.
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn index(&self) -> Result<(), ReadError> {
        self.db.index().await
    }

    /// As [`Read::membership_digest`].
    ///
    /// # Errors
    /// As [`ReadError`].
    pub async fn membership_digest(&self, at: DateTime<Utc>) -> Result<Digest, ReadError> {
        query::membership_digest(&self.db, at).await
    }
}

#[cfg(test)]
mod tests;
