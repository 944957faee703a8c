//! From text to a configuration in force: merges the layers, gives every value its type, builds the sources, and finds
//! every problem, not the first. Pure: files are read through a closure, the environment is a list of pairs.

use std::{collections::BTreeMap, io, path::Path};

use rollcall_access::Profile;
use rollcall_events::SourceName;
use secrecy::SecretString;
use serde_json::Value;

use crate::{
    config::{
        Config,
        merge::{FlagValue, Merged, merge},
        origin::{Origins, Problem},
        profile::{load_profile, resolve_switches},
        sources, validate,
    },
    sources::{Source, in_our_words},
};

/// What the configuration is made of.
pub struct Inputs<'a> {
    /// The file's path and text.
    pub file: Option<(&'a Path, &'a str)>,
    /// The environment.
    pub env: &'a [(String, String)],
    /// What flags say.
    pub flags: &'a [FlagValue],
    /// Reads a file that the configuration names.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// The configuration in force.
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The access profile that they name.
    pub profile: Profile,
    /// Where they came from.
    pub origins: Origins,
    /// The text of each source's secret.
    pub secrets: BTreeMap<SourceName, SecretString>,
    /// The sources, built of their keys. Nothing was asked of them yet.
    pub sources: BTreeMap<SourceName, Source>,
    /// The sources that they name and that are not configured: a mistake, unless the log knows them.
    pub named_only: Vec<(SourceName, Problem)>,
}

/// Reads a whole configuration.
///
/// # Errors
/// Every problem that there is.
pub fn load(inputs: &Inputs<'_>) -> Result<Loaded, Vec<Problem>> {
    let mut merged = merge(inputs.file, inputs.env, inputs.flags);
    let source = sources::typed(&mut merged);
    let mut config = Config { source, ..typed(&mut merged) };
    let Merged { mut origins, inline_secrets, mut problems, .. } = merged;
    let profile = load_profile(&config.access, &origins.of("access.profile"), inputs.read);
    let profile = profile
        .map_err(|what| {
            let what = format!("`access.profile`: {what}");
            problems.push(Problem { origin: origins.of("access.profile"), what });
        })
        .ok();
    if let Some(profile) = &profile {
        resolve_switches(&mut config.access, profile, &mut origins, &mut problems);
    }
    validate::check(&config, profile.as_ref(), &origins, &mut problems);
    validate::check_tls(&config, &origins, inputs.read, &mut problems);
    let secrets = sources::secrets(&config, &origins, &inline_secrets, inputs.read, &mut problems);
    let sources = sources::build(&config, &origins, &secrets, inputs.read, &mut problems);
    let secrets = secrets.into_iter().filter_map(|(name, secret)| Some((name, secret?))).collect();
    match profile {
        Some(profile) if problems.is_empty() => {
            let named_only = sources::named_only(&config, &origins);
            Ok(Loaded { config, profile, origins, secrets, sources, named_only })
        }
        _ => Err(problems),
    }
}

/// Reads the tree as the typed configuration; what does not fit is reported and taken out until the rest fits.
fn typed(merged: &mut Merged) -> Config {
    // Each round takes one value out, so there are never more rounds than values.
    for _ in 0..=merged.origins.len() {
        match serde_path_to_error::deserialize::<_, Config>(merged.tree.clone()) {
            Ok(config) => return config,
            Err(error) => {
                let path = error.path().to_string();
                let what = format!("`{path}`: {}", in_our_words(&error.inner().to_string()));
                merged.problems.push(Problem { origin: merged.origins.of(&path), what });
                let pointer = format!("/{}", path.replace('.', "/"));
                let Some((parent, name)) = pointer.rsplit_once('/') else { break };
                let map = merged.tree.pointer_mut(parent).and_then(Value::as_object_mut);
                if map.and_then(|map| map.remove(name)).is_none() {
                    break;
                }
            }
        }
    }
    Config::default()
}
