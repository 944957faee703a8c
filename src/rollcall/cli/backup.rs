//! `backup`: copies a data directory, beside a running server, and the configuration without its secrets. Records nothing.

use std::{fs, path::Path};

use anyhow::Context;
use rollcall_eventlog::Log;
use serde_json::json;

use crate::{
    cli::output::{OutputFormat, group_digits, shell_quote},
    client::{Exit, Failure},
    config::{
        carried::{Carried, PROFILE_FILE, carried},
        data_dir::{DataDir, write_private},
        load::Loaded,
    },
};

/// The configuration's file in a backup.
const CONFIGURATION_FILE: &str = "rollcall.toml";

/// Whether a file beside the databases is copied: what cannot be made again, and changes only by being replaced.
fn is_copied(name: &str) -> bool {
    ["admin.key", "demo.json"].contains(&name) || name.ends_with(".secret")
}

/// `backup`.
///
/// # Errors
/// When the target is not empty or inside of what is copied, or something cannot be copied.
pub async fn run(loaded: &Loaded, format: OutputFormat, target: &Path) -> Result<Exit, Failure> {
    let dir = DataDir::new(&loaded.config.server.data_dir);
    dir.check()?;
    let copy_dir = DataDir::new(target);
    if target.exists() && fs::read_dir(target).map_err(anyhow::Error::from)?.next().is_some() {
        return Err(Failure::Usage(format!("{} is not empty; choose an empty directory", target.display())));
    }
    if target.is_symlink() {
        return Err(Failure::Usage(format!("{} is a link; name the directory itself", target.display())));
    }
    if is_inside(target, dir.path()) {
        return Err(Failure::Usage(format!(
            "{} is inside the data directory, which it would be lost with; choose a place outside",
            target.display()
        )));
    }
    copy_dir.create()?;
    copy_dir.check_own()?;
    let verified = Log::backup(&dir.log(), target).await.map_err(|error| Failure::Unreachable(error.to_string()))?;
    rollcall_store::ops::backup(&dir.sql(), target).await.map_err(|error| Failure::Unreachable(error.to_string()))?;
    for name in file_names(dir.path())?.iter().filter(|name| is_copied(name)) {
        copy_file(&dir.file(name), &copy_dir.file(name))?;
    }
    let keys = dir.file("keys");
    if keys.is_dir() {
        DataDir::new(&copy_dir.file("keys")).create()?;
        for name in file_names(&keys)? {
            copy_file(&keys.join(&name), &copy_dir.file("keys").join(&name))?;
        }
    }
    let Carried { text, profile, without_secret } = carried(loaded, target)?;
    write_private(&copy_dir.file(CONFIGURATION_FILE), &text)?;
    if let Some(profile) = profile {
        write_private(&copy_dir.file(PROFILE_FILE), &profile)?;
    }
    let shown = target.display().to_string();
    let configuration = copy_dir.file(CONFIGURATION_FILE).display().to_string();
    let json = json!({
        "target": shown, "position": verified.head.position, "events": verified.events, "configuration": configuration,
        "without_secret": without_secret,
    });
    format.print(&json, |paint| {
        let mut out = format!(
            "{}  {shown} holds the log up to position {}, the records beside it, the keys and the configuration: keep it as you keep the data directory\n    start it with: rollcall serve --config {} --data-dir {}\n",
            paint.good("OK"),
            group_digits(verified.head.position.0),
            shell_quote(&configuration),
            shell_quote(&shown)
        );
        for name in &without_secret {
            out.push_str(&format!("    the secret of source {name} stands in no file and is not in the backup: say it again there\n"));
        }
        out
    });
    Ok(Exit::Yes)
}

/// Whether a path that need not exist leads into a directory.
fn is_inside(path: &Path, dir: &Path) -> bool {
    let (Ok(path), Ok(dir)) = (std::path::absolute(path), dir.canonicalize()) else { return false };
    path.ancestors().find_map(|there| there.canonicalize().ok()).is_some_and(|there| there.starts_with(dir))
}

fn file_names(dir: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))?;
    let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.collect())
}

/// Copies a file with its mode, if it is there.
fn copy_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_file() {
        fs::copy(from, to).with_context(|| format!("{} cannot be copied", from.display()))?;
        fs::File::open(to)
            .and_then(|file| file.sync_all())
            .with_context(|| format!("{} cannot be written", to.display()))?;
    }
    Ok(())
}
