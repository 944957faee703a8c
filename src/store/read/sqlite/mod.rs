//! The embedded engine of the read side, `read.db`: facts with their history, who is whose user, effects, and the view
//! `membership`.

mod batch;
mod file;
mod queries;
mod statements;

#[cfg(test)]
mod read_tests;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_access::{Effect, Folded, Subject};
use rollcall_events::{Digest, Position};
use tokio::sync::RwLock;

use super::{Origin, Projection, ReadError, Rebuild};
use batch::Batch;
use file::Database;

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

/// The read side in use. Cheap to clone; a rebuild swaps the file under all clones.
#[derive(Debug, Clone)]
pub(super) struct SqliteRead {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    origin: Origin,
    db: RwLock<Database>,
}

/// A second file that is filled beside the one in use.
#[derive(Debug)]
struct SecondFile {
    path: PathBuf,
    db: Database,
    shared: Arc<Shared>,
}

impl SqliteRead {
    /// Opens `read.db` in `dir`, or makes it.
    pub(super) async fn open(dir: &Path, origin: Origin) -> Result<Self, ReadError> {
        let path = dir.join("read.db");
        let db = match Database::open(&path, origin).await {
            Ok(db) => db,
            Err(why) => {
                if why != file::Unusable::Missing {
                    tracing::warn!(path = %path.display(), %why, "read side discarded, it is derived anew");
                }
                file::remove(&path)?;
                Database::create(&path, origin).await?
            }
        };
        file::remove(&dir.join("read.db.next"))?;
        Ok(Self { shared: Arc::new(Shared { dir: dir.to_owned(), origin, db: RwLock::new(db) }) })
    }
}

#[async_trait]
impl Projection for SqliteRead {
    fn name(&self) -> &'static str {
        "read.db"
    }

    async fn position(&self) -> Result<Position, ReadError> {
        self.shared.db.read().await.position().await
    }

    async fn apply(&self, batch: &[Folded], from: Position, to: Position) -> Result<(), ReadError> {
        self.shared.db.read().await.apply(&Batch::of(batch), from, to).await
    }

    async fn start_rebuild(&self) -> Result<Box<dyn Rebuild>, ReadError> {
        let path = self.shared.dir.join("read.db.next");
        file::remove(&path)?;
        let db = Database::create_bulk(&path, self.shared.origin).await?;
        Ok(Box::new(SecondFile { path, db, shared: Arc::clone(&self.shared) }))
    }

    async fn effects(&self, positions: &[Position]) -> Result<Vec<Option<Effect>>, ReadError> {
        queries::effects(&*self.shared.db.read().await, positions).await
    }

    async fn events_of(
        &self,
        subjects: &BTreeSet<Subject>,
        to: Position,
        lost: bool,
    ) -> Result<Vec<Position>, ReadError> {
        queries::events_of(&*self.shared.db.read().await, subjects, to, lost).await
    }

    async fn membership_digest(&self, at: DateTime<Utc>) -> Result<Digest, ReadError> {
        queries::membership_digest(&*self.shared.db.read().await, at).await
    }
}

#[async_trait]
impl Rebuild for SecondFile {
    async fn apply(&self, batch: &[Folded], from: Position, to: Position) -> Result<(), ReadError> {
        self.db.apply(&Batch::of(batch), from, to).await
    }

    async fn index(&self) -> Result<(), ReadError> {
        self.db.index().await
    }

    async fn membership_digest(&self, at: DateTime<Utc>) -> Result<Digest, ReadError> {
        queries::membership_digest(&self.db, at).await
    }

    /// The earlier file stays as `read.db.old` until the next swap.
    async fn swap(self: Box<Self>) -> Result<(), ReadError> {
        let Self { path: next_path, db: next, shared } = *self;
        next.finish(&next_path).await?;
        let path = shared.dir.join("read.db");
        let mut db = shared.db.write().await;
        let replaced = match db.close(&path).await {
            Ok(()) => file::replace(&path, &next_path),
            Err(error) => Err(error),
        };
        // Whatever came of it, the file that now has the name is the one in use.
        *db = Database::attach(&path).await?;
        replaced
    }
}
