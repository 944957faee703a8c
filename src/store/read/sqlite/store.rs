//! The read side in use, the second file that a rebuild fills, and the swap.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_access::{Effect, Folded, Subject};
use rollcall_events::{Digest, Position};
use rollcall_sqlite::{Limits, WriteAhead};
use sqlx::Connection;
use tokio::sync::{RwLock, RwLockReadGuard};

use super::{
    batch::Batch,
    file::{self, Database, FrozenFile},
    queries,
};
use crate::read::{
    FactRow, Frozen, Lists, Membership, Origin, ParkedRow, ProjectRow, Projection, ReadError, Rebuild, SupersededRow,
};

/// The read side in use. Cheap to clone; a rebuild swaps the file under all clones.
#[derive(Debug, Clone)]
pub(crate) struct SqliteRead {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) origin: Origin,
    pub(super) limits: Limits,
    pub(super) db: RwLock<Database>,
}

impl Shared {
    /// The file in use. One that a swap closed and could not open again is opened by whoever asks next.
    async fn db(&self) -> Result<RwLockReadGuard<'_, Database>, ReadError> {
        loop {
            let db = self.db.read().await;
            if !db.is_closed() {
                return Ok(db);
            }
            drop(db);
            let mut db = self.db.write().await;
            if db.is_closed() {
                *db = Database::attach(&self.dir.join("read.db"), self.limits).await?;
            }
        }
    }
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
    pub(crate) async fn open(dir: &Path, origin: Origin) -> Result<Self, ReadError> {
        Self::open_with(dir, origin, file::LIMITS).await
    }

    /// The same, with limits that a test may want otherwise.
    pub(super) async fn open_with(dir: &Path, origin: Origin, limits: Limits) -> Result<Self, ReadError> {
        let path = dir.join("read.db");
        let db = match Database::open(&path, origin, limits).await {
            Ok(db) => db,
            Err(why) => {
                if why != file::Unusable::Missing {
                    tracing::warn!(path = %path.display(), %why, "read side discarded, it is derived anew");
                }
                file::remove(&path)?;
                Database::create(&path, origin, limits).await?
            }
        };
        file::remove(&dir.join("read.db.next"))?;
        Ok(Self { shared: Arc::new(Shared { dir: dir.to_owned(), origin, limits, db: RwLock::new(db) }) })
    }
}

#[async_trait]
impl Projection for SqliteRead {
    fn name(&self) -> &'static str {
        "read.db"
    }

    async fn position(&self) -> Result<Position, ReadError> {
        self.shared.db().await?.position().await
    }

    async fn apply(&self, batch: &[Folded], from: Position, to: Position) -> Result<(), ReadError> {
        let db = self.shared.db().await?;
        db.apply(&Batch::of(batch), from, to).await?;
        // The batch is written; whoever asks by old figures only waits longer.
        if let Err(error) = db.analyze_if_grown(to).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the planner's figures of read.db stay old");
        }
        Ok(())
    }

    async fn start_rebuild(&self) -> Result<Box<dyn Rebuild>, ReadError> {
        let path = self.shared.dir.join("read.db.next");
        file::remove(&path)?;
        let db = Database::create_bulk(&path, self.shared.origin).await?;
        Ok(Box::new(SecondFile { path, db, shared: Arc::clone(&self.shared) }))
    }

    async fn effects(&self, positions: &[Position]) -> Result<Vec<Option<Effect>>, ReadError> {
        queries::effects(&*self.shared.db().await?, positions).await
    }

    async fn events_of(
        &self,
        subjects: &BTreeSet<Subject>,
        to: Position,
        ineffective: bool,
    ) -> Result<Vec<Position>, ReadError> {
        queries::events_of(&*self.shared.db().await?, subjects, to, ineffective).await
    }

    async fn forget(&self, to: Position, rows: u32) -> Result<u64, ReadError> {
        self.shared.db().await?.forget(to, rows).await
    }

    fn write_ahead(&self) -> WriteAhead {
        // Nothing while it is swapped.
        self.shared.db.try_read().map(|db| db.write_ahead()).unwrap_or_default()
    }

    async fn freeze(&self) -> Result<Box<dyn Frozen>, ReadError> {
        Ok(Box::new(self.shared.db().await?.freeze().await?))
    }
}

#[async_trait]
impl Frozen for FrozenFile {
    fn position(&self) -> Position {
        self.position
    }

    async fn membership_digest(mut self: Box<Self>, at: DateTime<Utc>) -> Result<Digest, ReadError> {
        let digest = queries::membership_digest(&mut self.connection, at).await;
        self.connection.close().await?;
        digest
    }
}

#[async_trait]
impl Rebuild for SecondFile {
    async fn apply(&self, batch: &[Folded], from: Position, to: Position) -> Result<(), ReadError> {
        self.db.apply(&Batch::of(batch), from, to).await
    }

    async fn index(&self) -> Result<(), ReadError> {
        self.db.index().await?;
        self.db.sync().await
    }

    async fn membership_digest(&self, at: DateTime<Utc>) -> Result<Digest, ReadError> {
        queries::membership_digest(&self.db.readers, at).await
    }

    /// The earlier file stays as `read.db.old` until the next swap.
    async fn swap(self: Box<Self>) -> Result<(), ReadError> {
        let Self { path: next_path, db: next, shared } = *self;
        next.finish().await?;
        let path = shared.dir.join("read.db");
        let mut db = shared.db.write().await;
        let replaced = match db.close().await {
            Ok(()) => file::replace(&path, &next_path),
            Err(error) => Err(error),
        };
        // Whatever came of it, the file that now has the name is the one in use.
        *db = Database::attach(&path, shared.limits).await?;
        replaced
    }
}

#[async_trait]
impl Lists for SqliteRead {
    async fn history(&self, source: &str, subject: &str) -> Result<Vec<FactRow>, ReadError> {
        queries::history(&*self.shared.db().await?, source, subject).await
    }

    async fn facts(&self, noun: &str, after: (&str, &str), limit: u32) -> Result<Vec<FactRow>, ReadError> {
        queries::facts(&*self.shared.db().await?, noun, after, limit).await
    }

    async fn parked(&self, after: (&str, &str), limit: u32) -> Result<Vec<ParkedRow>, ReadError> {
        queries::parked(&*self.shared.db().await?, after, limit).await
    }

    async fn superseded(
        &self,
        after: Position,
        rows: u32,
    ) -> Result<(Vec<SupersededRow>, Option<Position>), ReadError> {
        queries::superseded(&*self.shared.db().await?, after, rows).await
    }

    async fn parked_count(&self) -> Result<u64, ReadError> {
        queries::parked_count(&*self.shared.db().await?).await
    }

    async fn project_history(&self, source: &str, package: &str) -> Result<Vec<ProjectRow>, ReadError> {
        queries::project_history(&*self.shared.db().await?, source, package).await
    }

    async fn memberships(&self, project: Option<&str>, at: DateTime<Utc>) -> Result<Vec<Membership>, ReadError> {
        queries::memberships(&*self.shared.db().await?, project, at).await
    }
}
