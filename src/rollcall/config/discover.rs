//! Finds the configuration where it is: the file, the environment, the flags. The one impure step before `load`.

use std::path::{Path, PathBuf};

use rollcall_events::SourceName;

use crate::{
    config::{
        files::{read_configuration, read_trusted},
        load::{Inputs, Loaded, load},
        merge::{FlagValue, VARIABLES, merge},
        origin::{Origin, Origins, Problem},
        sources::alone,
    },
    sources::ConfiguredSource,
};

/// Where a configuration file is looked for when nobody names one.
const DEFAULT_FILES: [&str; 2] = ["rollcall.toml", "/etc/rollcall/rollcall.toml"];

/// The configuration in force with this file, else the usual one, and what flags say.
///
/// # Errors
/// Every problem that there is.
pub fn discover(file: Option<&Path>, flags: &[FlagValue]) -> Result<Loaded, Vec<Problem>> {
    with_layers(file, |file, env| load(&Inputs { file, env, flags, read: &read_trusted }))?
}

/// One source of it alone, whatever is wrong elsewhere.
///
/// # Errors
/// What is wrong with the source, or that there is none.
pub fn discover_source(
    file: Option<&Path>,
    name: &str,
) -> Result<(SourceName, ConfiguredSource, Origins), Vec<Problem>> {
    with_layers(file, |file, env| alone(merge(file, env, &[]), name))?
}

/// Reads the file and the environment.
fn with_layers<T>(
    file: Option<&Path>,
    then: impl FnOnce(Option<(&Path, &str)>, &[(String, String)]) -> T,
) -> Result<T, Vec<Problem>> {
    let usual = || DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.exists());
    let path = file.map(Path::to_owned).or_else(usual);
    let text = match &path {
        None => None,
        Some(path) => Some(read_configuration(path).map_err(|error| {
            let origin = Origin::Flag("--config".into());
            vec![Problem { origin, what: format!("`{}` cannot be read: {error}", path.display()) }]
        })?),
    };
    let (mut env, mut unreadable) = (Vec::new(), Vec::new());
    for (name, value) in std::env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => env.push((name, value)),
            (Ok(name), Err(_)) if name.to_uppercase().starts_with(VARIABLES) => {
                unreadable.push(Problem { origin: Origin::Env(name), what: "its value is not UTF-8".to_owned() });
            }
            // Not one of ours.
            _ => {}
        }
    }
    if !unreadable.is_empty() {
        return Err(unreadable);
    }
    Ok(then(path.as_deref().zip(text.as_deref()), &env))
}
