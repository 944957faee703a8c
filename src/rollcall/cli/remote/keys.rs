//! `keys`: the keys that sign registry tokens. The bundle is also read from the key files where no server runs.

use rollcall_app::SigningKey;
use rollcall_registry::Keys as KeyFiles;
use serde_json::json;

use crate::{
    cli::{
        output::{Column, OutputFormat, cell},
        remote::request::{api_path, print_list},
    },
    client::{Client, Exit, Failure},
    config::data_dir::DataDir,
};

/// `keys list`.
///
/// # Errors
/// As [`Failure`].
pub async fn list(client: &Client, format: OutputFormat) -> Result<Exit, Failure> {
    let rows = client.items(&api_path(&["keys"])).await?;
    let columns: [Column<SigningKey>; 5] = [
        ("KEY", |row| cell(&row.kid)),
        ("ALGORITHM", |row| cell(&row.algorithm)),
        ("SIGNS", |row| cell(&row.current)),
        ("FROM", |row| cell(&row.not_before)),
        ("UNTIL", |row| cell(&row.not_after)),
    ];
    print_list(format, &columns, &rows);
    Ok(Exit::Yes)
}

/// `keys rotate`.
///
/// # Errors
/// As [`Failure`].
pub async fn rotate(client: &Client, format: OutputFormat) -> Result<Exit, Failure> {
    let key = client.post::<SigningKey>(&api_path(&["keys", "rotate"]), &json!({})).await?;
    format.print(&key.json, |_| {
        format!("{} signs from now on; registries that have the bundle need no change\n", cell(&key.value.kid))
    });
    Ok(Exit::Yes)
}

/// `keys bundle`: what the server says, or its key files where it does not run.
///
/// # Errors
/// When neither is there.
pub async fn bundle(client: anyhow::Result<Client>, dir: &DataDir, format: OutputFormat) -> Result<Exit, Failure> {
    let asked = match client {
        Ok(client) => client.text(&api_path(&["keys", "bundle"]), &[]).await,
        Err(error) => Err(Failure::Unreachable(format!("{error:#}"))),
    };
    let keys = dir.file("keys");
    let text = match asked {
        Ok(text) => text,
        Err(Failure::Unreachable(_)) if keys.is_dir() => KeyFiles::bundle_in(&keys).map_err(anyhow::Error::from)?,
        Err(failure) => return Err(failure),
    };
    format.print(&json!({"bundle": text}), |_| text.clone());
    Ok(Exit::Yes)
}
