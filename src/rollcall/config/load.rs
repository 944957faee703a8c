//! Default < file < environment < flag: merges the layers, remembers where each value came from, and finds every
//! problem, not the first. Pure: files are read through a closure, the environment is a list of pairs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
};

use rollcall_access::profile::line_and_column;
use rollcall_events::SourceName;
use rollcall_ldap::Directory;
use schemars::generate::SchemaSettings;
use secrecy::SecretString;
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use crate::config::{Config, validate};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A place in the file; both count from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// An environment variable.
    Env(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// What.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.what)
    }
}

/// What the configuration is made of.
pub struct Inputs<'a> {
    /// The file's path and text.
    pub file: Option<(&'a Path, &'a str)>,
    /// The environment.
    pub env: &'a [(String, String)],
    /// What flags say.
    pub flags: &'a [Setting],
    /// Reads a secret's file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// A value that a flag gives to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The dotted key.
    pub key: String,
    /// The value, as text.
    pub value: String,
    /// The flag.
    pub by: &'static str,
}

/// The configuration in force.
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where each dotted key that somebody set came from, and where each source's table begins.
    pub origins: BTreeMap<String, Origin>,
    /// Each source's secrets as its connector reads them.
    pub secrets: BTreeMap<SourceName, SecretString>,
    /// The directories, as their connector has them. Nothing was asked of them yet.
    pub directories: BTreeMap<SourceName, Directory>,
}

impl Loaded {
    /// Where the value of a key came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

/// A key that may be set, with `*` for a name that the operator chooses.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its path.
    pub path: Vec<String>,
    /// Its sentence.
    pub doc: String,
    /// What it takes.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reference, which a test writes"))]
    pub takes: String,
    /// How a text of the environment becomes a value.
    scalar: Scalar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Text,
    Number,
    Flag,
}

impl Key {
    /// Dotted.
    #[cfg(test)]
    pub fn name(&self) -> String {
        self.path.join(".")
    }

    fn is(&self, path: &[String]) -> bool {
        self.path.len() == path.len() && self.path.iter().zip(path).all(|(key, name)| key == "*" || key == name)
    }
}

/// The JSON Schema of the configuration, with nothing behind a reference.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = Value::from(settings.into_generator().into_root_schema_for::<Config>());
    if let Some(map) = schema.as_object_mut() {
        map.insert("title".into(), "Rollcall configuration".into());
    }
    schema
}

/// Every key, read off the types.
pub fn keys() -> Vec<Key> {
    let mut keys = Vec::new();
    collect(&schema(), &mut Vec::new(), &mut keys);
    keys
}

fn collect(schema: &Value, path: &mut Vec<String>, keys: &mut Vec<Key>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    if let Some(properties) = properties {
        for (name, inner) in properties {
            path.push(name.clone());
            collect(inner, path, keys);
            path.pop();
        }
        return;
    }
    let names = ["additionalProperties", "patternProperties"].iter().find_map(|key| match schema.get(key)? {
        inner @ Value::Object(map) if *key == "patternProperties" => map.values().next().or(Some(inner)),
        inner @ Value::Object(_) => Some(inner),
        _ => None,
    });
    if let Some(inner) = names {
        path.push("*".into());
        let before = keys.len();
        collect(inner, path, keys);
        if let (Some(key), Some(doc)) = (keys.get_mut(before), schema.get("description").and_then(Value::as_str))
            && key.doc.is_empty()
        {
            key.doc = doc.to_owned();
        }
        path.pop();
        return;
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let doc = schema.get("description").and_then(text).unwrap_or_default().replace('\n', " ");
    let (takes, scalar) = takes(schema);
    keys.push(Key { path: path.clone(), doc, takes, scalar });
}

/// What a value looks like, for people, and how to read it from a text.
fn takes(schema: &Value) -> (String, Scalar) {
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        return any.first().map_or(("text".into(), Scalar::Text), takes);
    }
    let consts = |list: &[Value]| {
        let words: Vec<_> =
            list.iter().filter_map(|v| v.get("const").unwrap_or(v).as_str()).map(|w| format!("`{w}`")).collect();
        words.join(", ")
    };
    for key in ["oneOf", "enum"] {
        if let Some(list) = schema.get(key).and_then(Value::as_array) {
            return (consts(list), Scalar::Text);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(kind) => kind.as_str(),
        None => None,
    };
    match (kind, schema.get("pattern").and_then(Value::as_str)) {
        (Some("array"), _) => ("list of texts".into(), Scalar::Text),
        (Some("boolean"), _) => ("`true`, `false`".into(), Scalar::Flag),
        (Some("integer"), _) => ("number".into(), Scalar::Number),
        (_, Some(pattern)) if pattern.contains("ms|") => ("duration".into(), Scalar::Text),
        (_, Some(pattern)) if pattern.contains("KiB") => ("size".into(), Scalar::Text),
        _ => ("text".into(), Scalar::Text),
    }
}

/// Merges the layers.
///
/// # Errors
/// Every problem that there is.
pub fn load(inputs: &Inputs<'_>) -> Result<Loaded, Vec<Problem>> {
    let mut merge = Merge { keys: keys(), tree: Value::Object(Map::new()), ..Merge::default() };
    if let Some((path, text)) = inputs.file {
        merge.file(path, text);
    }
    merge.env(inputs.env);
    for Setting { key, value, by } in inputs.flags {
        let path = key.split('.').map(str::to_owned).collect();
        merge.text(path, value, Origin::Flag((*by).to_owned()));
    }
    let config = merge.typed();
    let Merge { origins, inline, mut problems, .. } = merge;
    let mut loaded = Loaded { config, origins, secrets: BTreeMap::new(), directories: BTreeMap::new() };
    validate::run(&mut loaded, &inline, inputs.read, &mut problems);
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

#[derive(Default)]
struct Merge {
    keys: Vec<Key>,
    tree: Value,
    origins: BTreeMap<String, Origin>,
    /// Secrets that the environment gave as values.
    inline: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Merge {
    fn problem(&mut self, origin: Origin, what: impl Into<String>) {
        self.problems.push(Problem { origin, what: what.into() });
    }

    fn file(&mut self, path: &Path, text: &str) {
        let at = |offset: usize| {
            let (line, column) = line_and_column(text, offset);
            Origin::File { path: path.to_owned(), line, column }
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            self.problem(at(offset), format!("this is not TOML: {}", error.message()));
        }
        self.table(table.get_ref(), &mut Vec::new(), &at);
    }

    fn table(&mut self, table: &DeTable<'_>, path: &mut Vec<String>, at: &dyn Fn(usize) -> Origin) {
        for (name, value) in table.iter() {
            let origin = at(name.span().start);
            path.push(name.get_ref().to_string());
            match value.get_ref() {
                DeValue::Table(inner) if self.keys.iter().any(|key| below(key, path)) => {
                    self.origins.insert(path.join("."), origin);
                    self.open(path);
                    self.table(inner, path, at);
                }
                DeValue::Table(_) if !self.keys.iter().any(|key| key.is(path)) => self.unknown(path, origin),
                value => self.set(path.clone(), plain(value), origin),
            }
            path.pop();
        }
    }

    fn env(&mut self, env: &[(String, String)]) {
        let mut seen: BTreeMap<Vec<String>, String> = BTreeMap::new();
        for (name, value) in env {
            let Some(rest) = name.strip_prefix("ROLLCALL__") else { continue };
            let mut path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
            if let [section, source, ..] = path.as_mut_slice()
                && section == "source"
            {
                *source = source.replace('_', "-");
            }
            if let Some(other) = seen.insert(path.clone(), name.clone()) {
                let what = format!("says `{}`, and so does {other}; keep one of them", path.join("."));
                self.problem(Origin::Env(name.clone()), what);
                continue;
            }
            self.text(path, value, Origin::Env(name.clone()));
        }
    }

    /// A value that was given as a text.
    fn text(&mut self, path: Vec<String>, text: &str, origin: Origin) {
        let scalar = self.keys.iter().find(|key| key.is(&path)).map_or(Scalar::Text, |key| key.scalar);
        let read = match scalar {
            Scalar::Text => None,
            Scalar::Number => text.parse::<u64>().ok().map(Value::from),
            Scalar::Flag => text.parse::<bool>().ok().map(Value::from),
        };
        self.set(path, read.unwrap_or_else(|| text.into()), origin);
    }

    fn set(&mut self, path: Vec<String>, value: Value, origin: Origin) {
        if let [section, source, key] = path.as_slice()
            && section == "source"
            && key == "secret"
        {
            match (&origin, value.as_str()) {
                (Origin::Env(_), Some(secret)) => {
                    self.origins.insert(path.join("."), origin);
                    self.inline.insert(source.clone(), secret.to_owned());
                    let parent = path.get(..2).unwrap_or_default();
                    self.open(parent);
                }
                _ => self.problem(
                    origin,
                    format!("a secret does not stand in the configuration: put it into a file and write `secret_file = \"{source}.secret\"`"),
                ),
            }
            return;
        }
        if !self.keys.iter().any(|key| key.is(&path)) {
            return self.unknown(&path, origin);
        }
        let Some((last, parents)) = path.split_last() else { return };
        if let Some(map) = self.open(parents).and_then(Value::as_object_mut) {
            map.insert(last.clone(), value);
        }
        self.origins.insert(path.join("."), origin);
    }

    /// The table at a path, made when it is not there.
    fn open(&mut self, path: &[String]) -> Option<&mut Value> {
        path.iter().try_fold(&mut self.tree, |at, name| {
            Some(at.as_object_mut()?.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())))
        })
    }

    fn unknown(&mut self, path: &[String], origin: Origin) {
        // The name that the operator chose stands in place of `*`, so that the nearest key can be pasted.
        let chosen = |key: &Key| -> String {
            let names = key.path.iter().enumerate();
            let names = names.map(|(i, name)| if name == "*" { path.get(i).unwrap_or(name) } else { name });
            names.map(String::as_str).collect::<Vec<_>>().join(".")
        };
        let name = path.join(".");
        let candidates: BTreeSet<String> = self
            .keys
            .iter()
            .flat_map(|key| {
                let whole = chosen(key);
                let section = whole.split('.').next().unwrap_or_default().to_owned();
                [whole, section]
            })
            .collect();
        let nearest = candidates.into_iter().min_by_key(|candidate| strsim::damerau_levenshtein(candidate, &name));
        self.problem(
            origin,
            format!(
                "unknown key `{}`; the nearest is `{}`",
                name.escape_debug(),
                nearest.unwrap_or_default().escape_debug()
            ),
        );
    }

    /// Reads the tree as the typed configuration; what does not fit is reported and taken out until the rest fits.
    fn typed(&mut self) -> Config {
        // Names of sources are checked first: a bad one would be reported without its place.
        let names: Vec<String> = self
            .tree
            .pointer("/source")
            .and_then(Value::as_object)
            .map(|m| m.keys().cloned().collect())
            .unwrap_or_default();
        let mut folded: BTreeMap<String, String> = BTreeMap::new();
        for name in names {
            let path = format!("source.{name}");
            let origin = self.origins.get(&path).cloned().unwrap_or_else(|| self.first_under(&path));
            let as_env = name.to_lowercase().replace('_', "-");
            let problem = match (folded.insert(as_env, name.clone()), name.parse::<SourceName>()) {
                (Some(other), _) => Some(format!(
                    "the sources `{other}` and `{name}` have the same name in the environment; rename one"
                )),
                (None, Err(error)) => Some(error.to_string()),
                (None, Ok(parsed)) if parsed.is_local() => {
                    Some("`local` is Rollcall's own source; choose another name".into())
                }
                (None, Ok(_)) => None,
            };
            if let Some(what) = problem {
                self.problem(origin, what);
                if let Some(sources) = self.tree.pointer_mut("/source").and_then(Value::as_object_mut) {
                    sources.remove(&name);
                }
            }
        }
        // Each round takes one value out, so there are never more rounds than values.
        for _ in 0..=self.origins.len() {
            match serde_path_to_error::deserialize::<_, Config>(self.tree.clone()) {
                Ok(config) => return config,
                Err(error) => {
                    let path = error.path().to_string();
                    let origin = self.origins.get(&path).cloned().unwrap_or(Origin::Default);
                    self.problem(origin, format!("`{path}`: {}", error.inner()));
                    let pointer = format!("/{}", path.replace('.', "/"));
                    let Some((parent, name)) = pointer.rsplit_once('/') else { break };
                    if let Some(map) = self.tree.pointer_mut(parent).and_then(Value::as_object_mut) {
                        map.remove(name);
                    }
                }
            }
        }
        Config::default()
    }

    fn first_under(&self, path: &str) -> Origin {
        let dot = format!("{path}.");
        self.origins.iter().find(|(key, _)| key.starts_with(&dot)).map_or(Origin::Default, |(_, origin)| origin.clone())
    }
}

fn below(key: &Key, path: &[String]) -> bool {
    key.path.len() > path.len() && key.path.iter().zip(path).all(|(key, name)| key == "*" || key == name)
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or_else(|_| number.as_str().into(), Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or_else(|_| number.as_str().into(), Value::from),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(list) => list.iter().map(|value| plain(value.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(name, value)| (name.get_ref().to_string(), plain(value.get_ref())))
            .collect::<Map<_, _>>()
            .into(),
    }
}

/// Every key with its effective value (JSON) and where that came from; names of sources in place of `*`.
pub fn effective(loaded: &Loaded) -> Vec<(String, Value, Origin)> {
    let whole = serde_json::to_value(&loaded.config).unwrap_or_default();
    let mut rows = Vec::new();
    flatten(&whole, &mut Vec::new(), &mut rows);
    let sources = loaded.secrets.keys().map(|name| (format!("source.{name}.secret"), Value::from("***")));
    rows.extend(sources);
    let origin = |key: &str| match key.strip_suffix(".secret") {
        Some(source) if !loaded.origins.contains_key(key) => loaded.origin(&format!("{source}.secret_file")),
        _ => loaded.origin(key),
    };
    rows.into_iter().map(|(key, value)| (key.clone(), value, origin(&key))).collect()
}

fn flatten(value: &Value, path: &mut Vec<String>, rows: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                path.push(name.clone());
                flatten(inner, path, rows);
                path.pop();
            }
        }
        value => rows.push((path.join("."), value.clone())),
    }
}

/// The reference: a table of every key, made of the types.
#[cfg(test)]
pub fn reference() -> String {
    let mut defaults = Vec::new();
    flatten(&serde_json::to_value(Config::default()).unwrap_or_default(), &mut Vec::new(), &mut defaults);
    flatten(
        &serde_json::to_value(crate::config::Source::default()).unwrap_or_default(),
        &mut vec!["source".into(), "*".into()],
        &mut defaults,
    );
    let default = |key: &str| match defaults.iter().find(|(name, _)| name == key) {
        Some((_, Value::Null)) | None => "-".to_owned(),
        Some((_, value)) => format!("`{value}`"),
    };
    let mut out = String::from(include_str!("../CONFIGURATION.head.md"));
    out.push_str("\n| key | default | takes | what it is |\n|---|---|---|---|\n");
    for key in keys() {
        let name = key.name();
        out.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            name.replace('*', "NAME"),
            default(&name),
            key.takes.replace('|', "\\|"),
            key.doc
        ));
    }
    out
}
