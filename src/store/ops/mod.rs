//! The ops store on SQLite, `ops.db`: deliveries and quarantine, personal data, decisions, idempotency answers.
//! Keeps what it is handed; judges nothing, and if it is lost, no membership is.

mod answers;
mod backup;
mod decisions;
mod deliveries;
mod people;
mod prune;
mod rows;
mod sources;
mod sources_sql;
#[cfg(test)]
mod sources_tests;
mod sql;
#[cfg(test)]
mod tests;
mod writer;

use std::{path::Path, time::Duration};

use rollcall_ingest::InboxError;
use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub use answers::{Claim, StoredAnswer};
pub use backup::backup;
pub use decisions::{DecisionCount, DecisionFilter, DecisionOutcome, DecisionRow};
pub use deliveries::{DeliveryDetail, DeliveryFilter, DeliverySummary, PartProblem, PartRow, ReplayRow};
pub use people::PersonalRow;
pub use prune::Retention;

/// The migrations of `ops.db`.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite/ops");

/// What the ops store can refuse.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpsError {
    /// Too much is waiting to be written. Nothing was kept; try again after a moment.
    #[error("too much is waiting to be written")]
    Overloaded,
    /// The database does not answer, or holds what it cannot hold. Nothing was kept; try again later.
    #[error("ops.db cannot be used: {0}")]
    Database(String),
}

impl From<sqlx::Error> for OpsError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<OpsError> for InboxError {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::Overloaded => Self::Overloaded,
            OpsError::Database(_) => Self::Unavailable(error.to_string()),
        }
    }
}

/// Why `ops.db` was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened.
    #[error("ops.db in {dir}: {error}")]
    Database {
        /// The data directory.
        dir: String,
        /// Why.
        #[source]
        error: sqlx::Error,
    },
    /// The file is of another, perhaps a newer, version.
    #[error("ops.db in {dir} cannot be brought up to date: {error}")]
    Migration {
        /// The data directory.
        dir: String,
        /// Why.
        #[source]
        error: sqlx::migrate::MigrateError,
    },
}

/// The ops store. Cheap to clone; all clones write through one task.
#[derive(Clone)]
pub struct Ops {
    readers: SqlitePool,
    writer: writer::Handle,
}

impl Ops {
    /// Opens `ops.db` in the data directory, makes it if it is not there, and starts its writer. Needs a running tokio.
    ///
    /// # Errors
    /// As [`OpenError`].
    pub async fn open(dir: &Path) -> Result<Self, OpenError> {
        let shown = || dir.display().to_string();
        let options = SqliteConnectOptions::new()
            .filename(dir.join("ops.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .foreign_keys(true)
            // What is erased is gone from the file too, not only from the tables (DESIGN 4, personal data).
            .pragma("secure_delete", "ON");
        let database = |error| OpenError::Database { dir: shown(), error };
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(database)?;
        let migrated = MIGRATIONS.run(&mut connection).await;
        migrated.map_err(|error| OpenError::Migration { dir: shown(), error })?;
        sqlx::query(sql::DROP_RUNNING_ANSWERS).execute(&mut connection).await.map_err(database)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options.clone().create_if_missing(false).read_only(true))
            .await
            .map_err(database)?;
        Ok(Self { readers, writer: writer::start(options, connection) })
    }

    /// Waits until all that was handed in before can be read: what became of a delivery is noted behind its answer.
    ///
    /// # Errors
    /// As [`OpsError`].
    pub async fn caught_up(&self) -> Result<(), OpsError> {
        let nothing = writer::Write::Rows(rows::Rows::default());
        self.writer.write(nothing, rollcall_ingest::Durability::Written).await.map(drop)
    }

    /// Writes all that waits, brings it into the file and closes it. What is offered afterwards is refused.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
