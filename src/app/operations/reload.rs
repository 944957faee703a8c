//! Secrets and certificates read anew while the server runs. Which they are the process knows; nothing of them comes here.

use crate::{Commands, control::Reloaded, error::Result};

/// Reads secrets and certificates anew, and says of each what became of it.
///
/// # Errors
/// It cannot be done now.
pub async fn reload(commands: Commands) -> Result<Reloaded> {
    Ok(commands.control().reload().await?)
}
