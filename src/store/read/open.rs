//! The only place that chooses between the engines of the read side.

use std::sync::Arc;

use super::{Origin, Read, ReadError, sqlite};
use crate::EngineConfig;

/// Opens the read side, or makes it. One of another origin or schema, or a damaged one, is discarded aloud and made
/// anew: it then stands at position 0.
///
/// # Errors
/// When the storage cannot be used.
pub async fn open(config: &EngineConfig, origin: Origin) -> Result<Arc<dyn Read>, ReadError> {
    match config {
        EngineConfig::Embedded { dir } => Ok(Arc::new(sqlite::SqliteRead::open(dir, origin).await?)),
    }
}
