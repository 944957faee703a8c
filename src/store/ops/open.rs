//! The only place that chooses between the engines of the ops store.

use std::{path::Path, sync::Arc};

use super::{OpenError, Ops, OpsError, sqlite};
use crate::EngineConfig;

/// Opens the ops store, or makes a new one. Needs a running tokio.
///
/// # Errors
/// As [`OpenError`].
pub async fn open(config: &EngineConfig) -> Result<Arc<dyn Ops>, OpenError> {
    match config {
        EngineConfig::Embedded { dir } => Ok(Arc::new(sqlite::SqliteOps::open(dir).await?)),
    }
}

/// Copies the ops store into a directory that holds none yet, also beside a running server. Does nothing where there is
/// no store yet.
///
/// # Errors
/// When it cannot be read, or is there already.
pub async fn backup(config: &EngineConfig, target: &Path) -> Result<(), OpsError> {
    match config {
        EngineConfig::Embedded { dir } => sqlite::backup(dir, target).await,
    }
}
