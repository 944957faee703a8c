//! `keys`: the keys that sign registry tokens. The bundle is also read from the key files where no server runs.

use rollcall_registry::Keys as KeyFiles;
use serde_json::{Value, json};

use crate::{
    cli::{
        output::{OutputFormat, field_table, field_text},
        remote::request::api_path,
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
    let columns = [
        ("KEY", "kid"),
        ("ALGORITHM", "algorithm"),
        ("SIGNS", "current"),
        ("FROM", "not_before"),
        ("UNTIL", "not_after"),
    ];
    format.print(&Value::Array(rows.clone()), |paint| field_table(paint, &columns, &rows));
    Ok(Exit::Yes)
}

/// `keys rotate`.
///
/// # Errors
/// As [`Failure`].
pub async fn rotate(client: &Client, format: OutputFormat) -> Result<Exit, Failure> {
    let key = client.post(&api_path(&["keys", "rotate"]), &json!({})).await?;
    format.print(&key, |_| {
        format!("{} signs from now on; registries that hold the bundle need nothing\n", field_text(&key, "kid"))
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
