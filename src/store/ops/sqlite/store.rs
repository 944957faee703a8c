//! Opening and closing `ops.db`: one connection writes, some read.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::Version;
use rollcall_ingest::Durability;
use rollcall_sqlite::{Checkpointer, Limits, WriteAhead};
use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    sql, writer,
    writes::{PruneStep, Rows, Write},
};
use crate::ops::{OpenError, Ops, OpsError, Retention};

/// The migrations of `ops.db`.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite/ops");

/// The ops store in `ops.db`. Cheap to clone; all clones write through one task.
#[derive(Clone)]
pub(crate) struct SqliteOps {
    pub(super) readers: SqlitePool,
    pub(super) writer: writer::Handle,
    pub(super) checkpointer: Arc<Checkpointer>,
}

impl SqliteOps {
    /// Opens `ops.db` in the data directory, makes it if it is not there, and starts its writer.
    pub(crate) async fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_with(dir, Limits::USUAL).await
    }

    /// The same, with limits that a test may want otherwise.
    pub(super) async fn open_with(dir: &Path, limits: Limits) -> Result<Self, OpenError> {
        let (place, path) = (|| format!("ops.db in {}", dir.display()), dir.join("ops.db"));
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true)
            .pragma("wal_autocheckpoint", "0")
            // What is erased is gone from the file too, not only from the tables (DESIGN 4, personal data).
            .pragma("secure_delete", "ON");
        let database = |error: sqlx::Error| OpenError::Database { place: place(), what: error.to_string() };
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(database)?;
        let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
        let form = "SELECT max(version) FROM _sqlx_migrations";
        // No table of them: a new file.
        let had: Option<i64> = sqlx::query_scalar(form).fetch_one(&mut connection).await.unwrap_or_default();
        if had > newest {
            let by = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await.map_err(database)?;
            return Err(OpenError::Newer { place: place(), by: Version(by) });
        }
        let migrated = MIGRATIONS.run(&mut connection).await;
        migrated.map_err(|error| OpenError::Migration { place: place(), what: error.to_string() })?;
        if had < newest {
            // For the older version that meets it.
            let by = format!("PRAGMA user_version = {}", Version::CURRENT.0);
            sqlx::raw_sql(sqlx::AssertSqlSafe(by)).execute(&mut connection).await.map_err(database)?;
        }
        sqlx::query(sql::DROP_RUNNING_ANSWERS).execute(&mut connection).await.map_err(database)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options.clone().create_if_missing(false).read_only(true))
            .await
            .map_err(database)?;
        let moving = Checkpointer::start(("ops.db", &path), options.clone(), &mut connection, limits).await;
        let checkpointer = Arc::new(moving.map_err(|what| OpenError::Database { place: place(), what })?);
        let writer = writer::start(options, connection, Arc::clone(&checkpointer));
        Ok(Self { readers, writer, checkpointer })
    }
}

#[async_trait]
impl Ops for SqliteOps {
    async fn caught_up(&self) -> Result<(), OpsError> {
        self.writer.write(Write::Rows(Rows::default()), Durability::Written).await?;
        self.writer.write_record(Write::Rows(Rows::default())).await.map(drop)
    }

    async fn prune(&self, now: DateTime<Utc>, retention: &Retention) -> Result<u64, OpsError> {
        let mut all = 0;
        loop {
            let step = PruneStep::new(now, retention);
            match self.writer.write_record(Write::Prune(step)).await?.count() {
                0 => return Ok(all),
                some => all += some,
            }
        }
    }

    fn write_ahead(&self) -> WriteAhead {
        self.checkpointer.write_ahead()
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
