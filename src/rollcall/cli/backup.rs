//! `backup`: copies a data directory, beside a running server. Records nothing.

use std::{fs, path::Path};

use anyhow::Context;
use rollcall_eventlog::Log;
use serde_json::json;

use crate::{
    cli::output::{Form, number, shell_word},
    client::{Exit, Failure},
    config::data_dir::DataDir,
};

/// Whether a file beside the databases is copied: what cannot be made again, and changes only by being replaced.
fn kept(name: &str) -> bool {
    ["admin.key", "demo.json"].contains(&name) || name.ends_with(".secret")
}

/// `backup`.
///
/// # Errors
/// When the target is not empty, or something cannot be copied.
pub async fn run(dir: &DataDir, form: Form, target: &Path) -> Result<Exit, Failure> {
    let there = DataDir::at(target);
    if target.exists() && fs::read_dir(target).map_err(anyhow::Error::from)?.next().is_some() {
        return Err(Failure::Usage(format!("{} is not empty; choose an empty directory", target.display())));
    }
    there.make()?;
    let verified = Log::backup(&dir.log(), target).await.map_err(|error| Failure::Unreachable(error.to_string()))?;
    rollcall_store::ops::backup(&dir.sql(), target).await.map_err(|error| Failure::Unreachable(error.to_string()))?;
    for name in files(dir.path())?.iter().filter(|name| kept(name)) {
        copy(&dir.file(name), &there.file(name))?;
    }
    let keys = dir.file("keys");
    if keys.is_dir() {
        DataDir::at(&there.file("keys")).make()?;
        for name in files(&keys)? {
            copy(&keys.join(&name), &there.file("keys").join(&name))?;
        }
    }
    let shown = target.display().to_string();
    form.show(&json!({"target": shown, "position": verified.head.position, "events": verified.events}), |paint| {
        format!(
            "{}  {shown} holds the log up to position {}, the records beside it and the keys: keep it as you keep the data directory\n    start it with: rollcall serve --data-dir {}\n",
            paint.good("OK"),
            number(verified.head.position.0),
            shell_word(&shown)
        )
    });
    Ok(Exit::Yes)
}

fn files(dir: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))?;
    let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.collect())
}

/// Copies a file with its mode, if it is there.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_file() {
        fs::copy(from, to).with_context(|| format!("{} cannot be copied", from.display()))?;
        fs::File::open(to)
            .and_then(|file| file.sync_all())
            .with_context(|| format!("{} cannot be written", to.display()))?;
    }
    Ok(())
}
