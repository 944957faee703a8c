//! Finds the configuration where it is: the file, the environment, the flags. The one impure step before `load`.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::config::{
    load::{Inputs, Loaded, load},
    merge::FlagValue,
    origin::{Origin, Problem},
};

/// Where a configuration file is looked for when nobody names one.
const DEFAULT_FILES: [&str; 2] = ["rollcall.toml", "/etc/rollcall/rollcall.toml"];

/// The configuration in force with this file, else the usual one, and what flags say.
///
/// # Errors
/// Every problem that there is.
pub fn discover(file: Option<&Path>, flags: &[FlagValue]) -> Result<Loaded, Vec<Problem>> {
    let usual = || DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.exists());
    let path = file.map(Path::to_owned).or_else(usual);
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
    let read = |path: &Path| -> io::Result<String> { std::fs::read_to_string(path) };
    load(&Inputs { file: path.as_deref().zip(text.as_deref()), env: &env, flags, read: &read })
}
