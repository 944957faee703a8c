//! Reads the configuration from where it is: the file, the environment, the flags. The one impure step before `layers`.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    cli::args::Global,
    config::load::{Inputs, Loaded, Origin, Problem, Setting, load},
};

/// Where a configuration is looked for when nobody names one.
const PLACES: [&str; 2] = ["rollcall.toml", "/etc/rollcall/rollcall.toml"];

/// The configuration in force for these arguments and what further flags say.
///
/// # Errors
/// Every problem that there is.
pub fn configuration(global: &Global, more: Vec<Setting>) -> Result<Loaded, Vec<Problem>> {
    let named = global.config.clone();
    let path = named.clone().or_else(|| PLACES.iter().map(PathBuf::from).find(|path| path.exists()));
    let text = match &path {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            let origin = Origin::Flag("--config".into());
            vec![Problem { origin, what: format!("`{}` cannot be read: {error}", path.display()) }]
        })?),
    };
    let env: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut flags = more;
    if let Some(dir) = &global.data_dir {
        flags.push(Setting { key: "server.data_dir".into(), value: dir.display().to_string(), by: "--data-dir" });
    }
    let read = |path: &Path| -> io::Result<String> { std::fs::read_to_string(path) };
    let file = path.as_deref().zip(text.as_deref());
    load(&Inputs { file, env: &env, flags: &flags, read: &read })
}
