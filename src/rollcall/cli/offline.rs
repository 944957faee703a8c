//! `verify`, `backup` and `keys bundle`: the commands that read the data directory themselves, beside a running server.
//! They record nothing.

use std::{
    fs,
    io::{IsTerminal, Write},
    path::Path,
};

use anyhow::Context;
use rollcall_eventlog::{Log, SignedHead, VerifyError, VerifyOptions, VerifyProgress};
use rollcall_events::Position;
use rollcall_registry::Keys;
use serde_json::json;

use crate::{
    cli::{
        args::Global,
        commands::{self, Form},
        output::number,
    },
    client::{Client, Exit, Failure},
    config::{data_dir::DataDir, load::Loaded},
};

/// A line of progress on the terminal, where there is one.
struct Bar(bool);

impl Bar {
    fn new() -> Self {
        Self(std::io::stderr().is_terminal())
    }

    fn show(&self, progress: VerifyProgress) {
        if self.0 {
            let VerifyProgress { position, end } = progress;
            eprint!("\r{} of {} ", number(position.0), number(end.0));
            drop(std::io::stderr().flush());
        }
    }

    fn end(&self) {
        if self.0 {
            eprint!("\r\u{1b}[K");
        }
    }
}

/// `keys bundle`: what the server says, or its key files where it does not run.
///
/// # Errors
/// When neither is there.
pub async fn bundle(global: &Global, loaded: &Loaded, form: Form) -> Result<Exit, Failure> {
    let asked = match Client::new(global, loaded) {
        Ok(client) => commands::bundle(&client).await,
        Err(error) => Err(Failure::Unreachable(format!("{error:#}"))),
    };
    let keys = DataDir::at(&loaded.config.server.data_dir).file("keys");
    let text = match asked {
        Ok(text) => text,
        Err(Failure::Unreachable(_)) if keys.is_dir() => Keys::bundle_in(&keys).map_err(anyhow::Error::from)?,
        Err(failure) => return Err(failure),
    };
    form.show(&json!({"bundle": text}), |_| text.clone());
    Ok(Exit::Yes)
}

/// `verify`.
///
/// # Errors
/// When the log cannot be read; what is not in order is an answer.
pub async fn verify(dir: &DataDir, form: Form, against: Option<&Path>, from: u64) -> Result<Exit, Failure> {
    let against = against.map(read_head).transpose()?;
    let options = VerifyOptions { against, after: Position(from.saturating_sub(1)), ..VerifyOptions::default() };
    let bar = Bar::new();
    let found = Log::verify(&dir.log(), options, |progress| bar.show(progress)).await;
    bar.end();
    match found {
        Ok(verified) => {
            let answer = json!({
                "ok": true, "log": verified.log.to_string(), "events": verified.events,
                "position": verified.head.position, "hash": verified.head.hash.to_string(),
                "against": verified.against,
            });
            form.show(&answer, |paint| {
                format!("{}  {verified}\n    head sha256:{}\n", paint.good("OK"), verified.head.hash)
            });
            Ok(Exit::Yes)
        }
        Err(VerifyError::Unavailable(why)) => Err(Failure::Unreachable(why)),
        Err(error) => {
            let position = match &error {
                VerifyError::Damaged { position, .. } | VerifyError::Altered { position } => Some(*position),
                _ => None,
            };
            form.show(&json!({"ok": false, "position": position, "what": error.to_string()}), |paint| {
                format!("{}  {error}\n", paint.bad("NOT OK"))
            });
            Ok(Exit::No)
        }
    }
}

fn read_head(path: &Path) -> anyhow::Result<SignedHead> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not a signed head (the answer of /api/v1/log/head)", path.display()))
}

/// Whether a file beside the databases is copied: what cannot be made again, and changes only by being replaced.
fn kept(name: &str) -> bool {
    ["admin.key", "demo.json"].contains(&name) || name.ends_with(".secret")
}

/// `backup`.
///
/// # Errors
/// When the target is not empty, or something cannot be copied.
pub async fn backup(dir: &DataDir, form: Form, target: &Path) -> Result<Exit, Failure> {
    let there = DataDir::at(target);
    if target.exists() && fs::read_dir(target).map_err(anyhow::Error::from)?.next().is_some() {
        return Err(Failure::Usage(format!("{} is not empty; choose an empty directory", target.display())));
    }
    there.make()?;
    let verified = Log::backup(&dir.log(), target).await.map_err(|error| Failure::Unreachable(error.to_string()))?;
    rollcall_store::ops::backup(dir.path(), target).await.map_err(|error| Failure::Unreachable(error.to_string()))?;
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
            crate::cli::output::shell_word(&shown)
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
