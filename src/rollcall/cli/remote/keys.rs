//! `keys`: the keys that sign registry tokens. The bundle is also read from the key files where no server runs.

use rollcall_registry::Keys as KeyFiles;
use serde_json::{Value, json};

use crate::{
    cli::{
        output::{Form, cell, members},
        remote::request::api,
    },
    client::{Client, Exit, Failure},
    config::data_dir::DataDir,
};

/// `keys list`.
///
/// # Errors
/// As [`Failure`].
pub async fn list(client: &Client, form: Form) -> Result<Exit, Failure> {
    let rows = client.whole(&api(&["keys"])).await?;
    let columns = [
        ("KEY", "kid"),
        ("ALGORITHM", "algorithm"),
        ("SIGNS", "current"),
        ("FROM", "not_before"),
        ("UNTIL", "not_after"),
    ];
    form.show(&Value::Array(rows.clone()), |paint| members(paint, &columns, &rows));
    Ok(Exit::Yes)
}

/// `keys rotate`.
///
/// # Errors
/// As [`Failure`].
pub async fn rotate(client: &Client, form: Form) -> Result<Exit, Failure> {
    let key = client.post(&api(&["keys", "rotate"]), &json!({})).await?;
    form.show(&key, |_| {
        format!("{} signs from now on; registries that hold the bundle need nothing\n", cell(&key, "kid"))
    });
    Ok(Exit::Yes)
}

/// `keys bundle`: what the server says, or its key files where it does not run.
///
/// # Errors
/// When neither is there.
pub async fn bundle(client: anyhow::Result<Client>, dir: &DataDir, form: Form) -> Result<Exit, Failure> {
    let asked = match client {
        Ok(client) => client.text(&api(&["keys", "bundle"]), &[]).await,
        Err(error) => Err(Failure::Unreachable(format!("{error:#}"))),
    };
    let keys = dir.file("keys");
    let text = match asked {
        Ok(text) => text,
        Err(Failure::Unreachable(_)) if keys.is_dir() => KeyFiles::bundle_in(&keys).map_err(anyhow::Error::from)?,
        Err(failure) => return Err(failure),
    };
    form.show(&json!({"bundle": text}), |_| text.clone());
    Ok(Exit::Yes)
}
