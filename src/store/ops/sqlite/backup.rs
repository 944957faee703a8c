//! A consistent copy of `ops.db`, beside a running server.
//! Copies that one file; the log and the keys are not its business.

use std::path::Path;

use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::ops::OpsError;

/// Copies `ops.db` of the data directory `dir` into the directory `target`. Nothing is done where there is none yet.
///
/// # Errors
/// When it cannot be read, or is there already.
pub(crate) async fn backup(dir: &Path, target: &Path) -> Result<(), OpsError> {
    let (from, to) = (dir.join("ops.db"), target.join("ops.db"));
    if !from.exists() {
        return Ok(());
    }
    let name = to.to_str().ok_or_else(|| OpsError::Database("the target's name is not UTF-8".into()))?;
    let mut connection = SqliteConnectOptions::new().filename(&from).read_only(true).connect().await?;
    sqlx::query("VACUUM INTO $1").bind(name).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
