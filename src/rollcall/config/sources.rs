//! The sources of a configuration: their tables typed by their kinds, their secrets found, and each built. Asks no upstream.

use std::{cell::RefCell, collections::BTreeMap, io, path::Path};

use rollcall_access::profile::nearest;
use rollcall_events::{Digest, SourceName};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::{
    config::{
        Config,
        files::read_trusted,
        load::Loaded,
        merge::Merged,
        origin::{Origin, Origins, Problem},
    },
    sources::{BuildContext, Certificates, ConfiguredSource, KINDS, KeyError, Place, SECRET_FILE, Source},
};

/// Takes the sources out of the tree, each typed by its kind.
pub fn typed(merged: &mut Merged) -> BTreeMap<SourceName, ConfiguredSource> {
    let mut typed = BTreeMap::new();
    let Some(Value::Object(tables)) = merged.tree.as_object_mut().and_then(|tree| tree.remove("source")) else {
        return typed;
    };
    let in_file = |name: &&String| matches!(merged.origins.of(&format!("source.{name}")), Origin::File { .. });
    let in_file: Vec<String> = tables.keys().filter(in_file).cloned().collect();
    let mut by_variable: BTreeMap<String, String> = BTreeMap::new();
    for (name, keys) in tables {
        let path = format!("source.{name}");
        let mut report = |origin, what: String| merged.problems.push(Problem { origin, what });
        let here = merged.origins.of_section(&path);
        let in_variables = name.to_lowercase().replace('_', "-");
        let parsed = match (by_variable.insert(in_variables, name.clone()), name.parse::<SourceName>()) {
            (Some(other), _) => {
                Err(format!("the sources `{other}` and `{name}` have the same name in the environment; rename one"))
            }
            (None, Err(error)) => Err(error.to_string()),
            (None, Ok(parsed)) if parsed.is_local() => {
                Err("`local` is Rollcall's own source; choose another name".to_owned())
            }
            // Ids of personal projects begin with it.
            (None, Ok(parsed)) if parsed.as_str() == "personal" => {
                Err("`personal` is what ids of people's own projects begin with; choose another name".to_owned())
            }
            (None, Ok(parsed)) => Ok(parsed),
        };
        let parsed = parsed.and_then(|parsed| match stray(&merged.origins, &path, &in_file) {
            Some(nearest) if !merged.keys.says_kind(&name) => Err(format!(
                "no file has the source `{name}`, the nearest is `{nearest}`; if it is another one, say what it is: ROLLCALL__SOURCE__{}__KIND",
                name.to_uppercase().replace('-', "_")
            )),
            _ => Ok(parsed),
        });
        let (parsed, mut keys) = match (parsed, keys) {
            (Ok(parsed), Value::Object(keys)) => (parsed, keys),
            (Ok(_), _) => continue,
            (Err(what), _) => {
                report(here, what);
                continue;
            }
        };
        keys.remove("kind");
        match merged.keys.kind_of(&name) {
            Err(written) => {
                let written = written.as_str().map_or_else(|| written.to_string(), str::to_owned);
                let kinds: Vec<String> = KINDS.iter().map(|kind| format!("`{}`", kind.name)).collect();
                let what = format!("unknown kind `{}`, expected one of {}", written.escape_debug(), kinds.join(", "));
                let key = format!("{path}.kind");
                report(merged.origins.of(&key), format!("`{key}`: {what}"));
            }
            Ok(kind) => {
                let (source, wrong) = kind.parse(&keys);
                for (key, what) in wrong {
                    let key = format!("{path}.{key}");
                    report(merged.origins.of(&key), format!("`{key}`: {what}"));
                }
                typed.insert(parsed, source);
            }
        }
    }
    typed
}

/// The source of the file that is nearest to one that only variables name. Where a file names sources, one of the
/// environment alone is likely a mistake in writing.
fn stray<'a>(origins: &Origins, path: &str, in_file: &'a [String]) -> Option<&'a str> {
    let first = origins.of_section(path);
    let name = path.rsplit('.').next().unwrap_or_default();
    matches!(first, Origin::Env(_))
        .then(|| nearest(name, in_file.iter().map(String::as_str)))
        .filter(|near| !near.is_empty())
}

/// The text of each source's secret; none where none is given. A source whose secret cannot be read is left out.
pub fn secrets(
    config: &Config,
    origins: &Origins,
    inline: &BTreeMap<String, String>,
    read: &dyn Fn(&Path) -> io::Result<String>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<SourceName, Option<SecretString>> {
    let mut secrets = BTreeMap::new();
    for (name, source) in &config.source {
        let key = format!("source.{name}.{SECRET_FILE}");
        let found = match (inline.get(name.as_str()), source.secret_file()) {
            (Some(_), Some(_)) => {
                Err("the secret is given twice, as a file and as a value; keep one of them".to_owned())
            }
            (Some(text), None) => Ok(Some(text.clone())),
            (None, Some(path)) => read_file(path, &origins.of(&key), read).map(Some),
            (None, None) => Ok(None),
        };
        match found {
            Ok(text) => drop(secrets.insert(name.clone(), text.map(SecretString::from))),
            Err(what) => problems.push(Problem { origin: origins.of(&key), what: format!("`{key}`: {what}") }),
        }
    }
    secrets
}

/// Checks every source, and builds each whose secret could be read.
pub fn build(
    config: &Config,
    origins: &Origins,
    secrets: &BTreeMap<SourceName, Option<SecretString>>,
    read: &dyn Fn(&Path) -> io::Result<String>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<SourceName, Source> {
    let mut built = BTreeMap::new();
    for (name, source) in &config.source {
        let table = format!("source.{name}");
        let read = |key: &'static str, path: &Path| read_file(path, &origins.of(&format!("{table}.{key}")), read);
        let mut errors = source.check();
        if let Some(secret) = secrets.get(name) {
            match source.build(&BuildContext { name, secret: secret.as_ref(), read: &read }) {
                Ok(source) => drop(built.insert(name.clone(), source)),
                Err(more) => errors.extend(more),
            }
        }
        problems.extend(errors.into_iter().map(|error| in_place(error, &table, origins)));
    }
    check_together(config, origins, &built, problems);
    built
}

/// What one source alone is, whatever is wrong elsewhere: its keys, and where they came from. No secret is read.
///
/// # Errors
/// There is no such source, or its keys do not fit.
pub fn alone(mut merged: Merged, name: &str) -> Result<(SourceName, ConfiguredSource, Origins), Vec<Problem>> {
    let names: Vec<String> = match merged.tree.pointer("/source") {
        Some(Value::Object(tables)) => tables.keys().cloned().collect(),
        _ => Vec::new(),
    };
    if !names.iter().any(|known| known == name) {
        let near = nearest(name, names.iter().map(String::as_str));
        let near = if near.is_empty() { "none is configured".to_owned() } else { format!("the nearest is `{near}`") };
        let what = format!("there is no source `{}`; {near}", name.escape_debug());
        // Where the file cannot be read it may be there all the same.
        merged.problems.push(Problem { origin: Origin::Flag("--source".to_owned()), what });
        return Err(merged.problems);
    }
    if let Some(Value::Object(tables)) = merged.tree.pointer_mut("/source") {
        tables.retain(|known, _| known == name);
    }
    let own = format!("`source.{name}.");
    let unknown = format!("unknown key {own}");
    merged.problems.retain(|problem| problem.what.starts_with(&own) || problem.what.starts_with(&unknown));
    let typed = typed(&mut merged);
    match typed.into_iter().next() {
        Some((name, source)) if merged.problems.is_empty() => Ok((name, source, merged.origins)),
        _ => Err(merged.problems),
    }
}

/// The sources that others name and that are not configured, each with where. What is said of their people is in effect
/// only where the log knows them, as of one that was retired: that is known at start.
pub fn named_only(config: &Config, origins: &Origins) -> Vec<(SourceName, Problem)> {
    let mut named = Vec::new();
    for (name, source) in &config.source {
        for (key, other) in source.names_sources().into_iter().filter(|(_, other)| !config.source.contains_key(*other))
        {
            let (table, key) = (format!("source.{name}"), format!("source.{name}.{key}"));
            let what = format!("`{key}`: there is no source `{other}`");
            named.push((other.clone(), Problem { origin: origins.near(&key, &table), what }));
        }
    }
    named
}

/// A mistake of a source with its place.
pub fn in_place(error: KeyError, table: &str, origins: &Origins) -> Problem {
    let inline = format!("{table}.secret");
    let key = match error.at {
        Place::Source => table.to_owned(),
        Place::Key(key) => format!("{table}.{key}"),
        Place::Below(key) => format!("{table}.{key}"),
        Place::Secret if origins.holds(&inline) => inline,
        Place::Secret => format!("{table}.{SECRET_FILE}"),
    };
    Problem { origin: origins.near(&key, table), what: format!("`{key}`: {}", error.text) }
}

/// What no source can know of itself: whether another has its secret, and whether the listener gives it what it needs.
fn check_together(
    config: &Config,
    origins: &Origins,
    built: &BTreeMap<SourceName, Source>,
    problems: &mut Vec<Problem>,
) {
    let mut holders = BTreeMap::new();
    for (name, hook) in built.iter().filter_map(|(name, source)| Some((name, source.hook.as_ref()?))) {
        let table = format!("source.{name}");
        let mut wrong = |key: &str, what: String| {
            problems.push(Problem { origin: origins.near(key, &table), what: format!("`{key}`: {what}") });
        };
        let shared = hook.marks.iter().find_map(|mark| holders.insert(*mark, name).filter(|other| *other != name));
        if let Some(other) = shared {
            let inline = format!("{table}.secret");
            let key = if origins.holds(&inline) { inline } else { format!("{table}.{SECRET_FILE}") };
            wrong(
                &key,
                format!(
                    "the source `{other}` has this secret too, so that a delivery of the one would be good at the other; give each its own"
                ),
            );
        }
        if hook.certificates == Certificates::Demanded && config.server.tls.client_ca_file.is_none() {
            let what = "needs `server.tls.client_ca_file`, the authorities that sign client certificates";
            wrong(&format!("{table}.authentication"), what.to_owned());
        }
        if let Some(max_body) = hook.max_body.filter(|max_body| *max_body > config.server.max_unverified_bodies) {
            let what = format!(
                "{max_body} is more than `server.max_unverified_bodies`, {}",
                config.server.max_unverified_bodies
            );
            wrong(&format!("{table}.max_body"), what);
        }
    }
}

/// A source that was built again, and what of.
pub struct BuiltSource {
    /// The source.
    pub source: Source,
    /// A digest of all texts that it was made of.
    pub made_of: Digest,
    /// How many files were read for it.
    pub files: usize,
}

/// Builds a source of a configuration once more, with the files as they are now.
///
/// # Errors
/// Everything that is wrong with it.
pub fn rebuild(loaded: &Loaded, name: &SourceName) -> Result<BuiltSource, Vec<Problem>> {
    let texts = RefCell::new(Vec::new());
    let read = |path: &Path| -> io::Result<String> {
        let text = read_trusted(path)?;
        texts.borrow_mut().push(text.clone());
        Ok(text)
    };
    let configured = loaded.config.source.get(name).map(|configured| (name.clone(), configured.clone()));
    let only =
        Config { server: loaded.config.server.clone(), source: configured.into_iter().collect(), ..Config::default() };
    // What a variable says stays while the process runs.
    let by_variable = loaded.secrets.get(name).filter(|_| loaded.origins.holds(&format!("source.{name}.secret")));
    let inline = by_variable.map(|secret| (name.to_string(), secret.expose_secret().to_owned())).into_iter().collect();
    let mut problems = Vec::new();
    let secrets = secrets(&only, &loaded.origins, &inline, &read, &mut problems);
    let mut built = build(&only, &loaded.origins, &secrets, &read, &mut problems);
    let texts = texts.take();
    let whole: String = texts.iter().map(|text| format!("{}:{text}", text.len())).collect();
    match built.remove(name) {
        Some(source) if problems.is_empty() => {
            Ok(BuiltSource { source, made_of: Digest::of(whole.as_bytes()), files: texts.len() })
        }
        _ => Err(problems),
    }
}

/// Reads a file that a key names.
fn read_file(path: &Path, origin: &Origin, read: &dyn Fn(&Path) -> io::Result<String>) -> Result<String, String> {
    let path = origin.resolve(path);
    read(&path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
}
