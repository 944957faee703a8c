//! The layers of a configuration, one over the other: file, environment, flags. Remembers where each value came from and
//! reports keys that do not exist. Knows no types; reads nothing.

use std::{collections::BTreeMap, path::Path};

use rollcall_access::profile::{Profile, line_and_column, plain_switch};
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use crate::{
    config::{
        keys::KnownKeys,
        origin::{Origin, Origins, Problem},
        schema::Scalar,
    },
    sources::SECRET_FILE,
};

/// What the variables of the environment that set a key begin with.
pub const VARIABLES: &str = "ROLLCALL__";

/// A value that a flag gives to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagValue {
    /// The dotted key.
    pub key: String,
    /// The value, as text.
    pub value: String,
    /// The flag.
    pub flag: &'static str,
}

/// What the layers say together.
pub struct Merged {
    /// Every key that somebody set, and no others.
    pub tree: Value,
    /// Where all that came from.
    pub origins: Origins,
    /// Secrets of sources that the environment gives as values, by source.
    pub inline_secrets: BTreeMap<String, String>,
    /// Which keys there are.
    pub keys: KnownKeys,
    /// What is wrong so far.
    pub problems: Vec<Problem>,
}

/// Merges the layers; each one overrides those before it.
pub fn merge(file: Option<(&Path, &str)>, env: &[(String, String)], flags: &[FlagValue]) -> Merged {
    let parsed = file.map(|(path, text)| (path, text, DeTable::parse_recoverable(text)));
    let table = parsed.as_ref().map(|(_, _, (table, _))| table.get_ref());
    let names = ChosenNames::of(table);
    let mut merge = Merge(Merged {
        tree: Value::Object(Map::new()),
        origins: Origins::default(),
        inline_secrets: BTreeMap::new(),
        keys: KnownKeys::new(written_kinds(table, &names, env, flags)),
        problems: Vec::new(),
    });
    if let Some((path, text, (table, errors))) = &parsed {
        let at = |offset: usize| {
            let (line, column) = line_and_column(text, offset);
            Origin::File { path: (*path).to_owned(), line, column }
        };
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            merge.report(at(offset), format!("this is not TOML: {}", error.message()));
        }
        merge.add_table(table.get_ref(), &mut Vec::new(), &at);
    }
    merge.add_environment(env, &names);
    for FlagValue { key, value, flag } in flags {
        merge.set_text(dotted(key), value, Origin::Flag((*flag).to_owned()));
    }
    merge.0
}

fn dotted(key: &str) -> Vec<String> {
    key.split('.').map(str::to_owned).collect()
}

/// The names that the file chose, which a variable of the environment finds whatever their case, dashes and underscores.
#[derive(Default)]
struct ChosenNames {
    sources: Vec<String>,
    switches: Vec<String>,
}

impl ChosenNames {
    fn of(file: Option<&DeTable<'_>>) -> Self {
        let table = |table: Option<&DeTable<'_>>, name: &str| -> Vec<String> {
            let inner = table.and_then(|table| table.get(name)).and_then(|inner| inner.get_ref().as_table());
            inner.into_iter().flat_map(|inner| inner.iter()).map(|(name, _)| name.get_ref().to_string()).collect()
        };
        let access = file.and_then(|file| file.get("access")).and_then(|access| access.get_ref().as_table());
        Self { sources: table(file, "source"), switches: table(access, "switches") }
    }

    /// The path of the key that a variable sets; none where it is none of ours.
    fn path_of(&self, variable: &str) -> Option<Vec<String>> {
        let (prefix, rest) = variable.split_at_checked(VARIABLES.len())?;
        if !prefix.eq_ignore_ascii_case(VARIABLES) {
            return None;
        }
        let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        Some(match path.as_slice() {
            [section, source, keys @ ..] if section == "source" => {
                let as_dashes = |name: &str| name.to_lowercase().replace('_', "-");
                let wanted = as_dashes(source);
                let known = self.sources.iter().find(|name| as_dashes(name) == wanted);
                [section.clone(), known.cloned().unwrap_or(wanted)].into_iter().chain(keys.iter().cloned()).collect()
            }
            [section, switches, first, more @ ..]
                if (section.as_str(), switches.as_str()) == ("access", "switches") =>
            {
                let wanted = more.iter().fold(first.clone(), |name, part| name + "__" + part);
                let known = self.switches.iter().find(|name| plain_switch(name) == plain_switch(&wanted));
                vec![section.clone(), switches.clone(), known.cloned().unwrap_or(wanted)]
            }
            _ => path,
        })
    }
}

/// What a variable would be called that seems to be meant for a switch or a source, whose names are free.
fn of_free_name(variable: &str) -> Option<String> {
    let name = variable.to_uppercase();
    let below = |words: &[&str]| {
        let rest = words.iter().try_fold(name.strip_prefix("ROLLCALL")?, |rest, word| {
            rest.strip_prefix('_')?.trim_start_matches('_').strip_prefix(word)
        })?;
        let rest = rest.strip_prefix('_')?.trim_start_matches('_');
        (!rest.is_empty()).then(|| format!("{VARIABLES}{}__{rest}", words.join("__")))
    };
    // Of an orchestrator's own no part has two underscores.
    below(&["ACCESS", "SWITCHES"]).or_else(|| below(&["SOURCE"]).filter(|_| name.contains("__")))
}

/// What stands in `source.NAME.kind` when all layers are merged, by name.
fn written_kinds(
    file: Option<&DeTable<'_>>,
    names: &ChosenNames,
    env: &[(String, String)],
    flags: &[FlagValue],
) -> BTreeMap<String, Value> {
    let mut kinds = BTreeMap::new();
    let sources = file.and_then(|file| file.get("source")).and_then(|sources| sources.get_ref().as_table());
    for (name, source) in sources.into_iter().flat_map(|sources| sources.iter()) {
        if let Some(kind) = source.get_ref().as_table().and_then(|keys| keys.get("kind")) {
            kinds.insert(name.get_ref().to_string(), to_json(kind.get_ref()));
        }
    }
    let env = env.iter().filter_map(|(name, value)| Some((names.path_of(name)?, value)));
    let flags = flags.iter().map(|flag| (dotted(&flag.key), &flag.value));
    for (path, value) in env.chain(flags) {
        if let [section, source, key] = path.as_slice()
            && (section.as_str(), key.as_str()) == ("source", "kind")
        {
            kinds.insert(source.clone(), value.as_str().into());
        }
    }
    kinds
}

struct Merge(Merged);

impl Merge {
    fn report(&mut self, origin: Origin, what: impl Into<String>) {
        self.0.problems.push(Problem { origin, what: what.into() });
    }

    fn add_table(&mut self, table: &DeTable<'_>, path: &mut Vec<String>, at: &dyn Fn(usize) -> Origin) {
        for (name, value) in table.iter() {
            let origin = at(name.span().start);
            path.push(name.get_ref().to_string());
            match value.get_ref() {
                DeValue::Table(inner) if self.0.keys.is_section(path) => {
                    self.0.origins.insert(path.join("."), origin);
                    self.table_at(path);
                    self.add_table(inner, path, at);
                }
                DeValue::Table(_) if self.0.keys.at(path).is_none() => self.report_unknown(path, origin),
                value => {
                    self.set(path.clone(), to_json(value), origin);
                    self.note_places(value, path, at);
                }
            }
            path.pop();
        }
    }

    /// Notes where the parts of a list stand, so that what is wrong in one is told there.
    fn note_places(&mut self, value: &DeValue<'_>, path: &mut Vec<String>, at: &dyn Fn(usize) -> Origin) {
        let mut note = |merge: &mut Self, name: String, place: usize, inner: &DeValue<'_>| {
            path.push(name);
            merge.0.origins.insert(path.join("."), at(place));
            merge.note_places(inner, path, at);
            path.pop();
        };
        match value {
            DeValue::Array(list) => {
                for (n, item) in list.iter().enumerate() {
                    note(self, n.to_string(), item.span().start, item.get_ref());
                }
            }
            DeValue::Table(table) => {
                for (name, inner) in table.iter() {
                    note(self, name.get_ref().to_string(), name.span().start, inner.get_ref());
                }
            }
            _ => {}
        }
    }

    fn add_environment(&mut self, env: &[(String, String)], names: &ChosenNames) {
        let mut seen: BTreeMap<Vec<String>, String> = BTreeMap::new();
        for (name, value) in env {
            let Some(path) = names.path_of(name) else {
                self.report_missed(name);
                continue;
            };
            if let Some(other) = seen.insert(path.clone(), name.clone()) {
                let what = format!("says `{}`, and so does {other}; keep one of them", path.join("."));
                self.report(Origin::Env(name.clone()), what);
                continue;
            }
            self.set_text(path, value, Origin::Env(name.clone()));
        }
    }

    /// Reports a variable that would be one of ours but for its underscores. Others are somebody else's: an orchestrator
    /// sets some for every service, also for one called `rollcall`.
    fn report_missed(&mut self, name: &str) {
        let plain = |text: &str| text.replace('_', "").to_uppercase();
        let wanted = plain(name);
        let found = self.0.keys.general().find(|key| plain(&format!("{VARIABLES}{}", key.path.concat())) == wanted);
        let of_key = found.map(|key| format!("{VARIABLES}{}", key.path.join("__").to_uppercase()));
        if let Some(right) = of_key.or_else(|| of_free_name(name)) {
            self.report(Origin::Env(name.to_owned()), format!("says nothing as it is written; did you mean {right}?"));
        }
    }

    /// Sets a value that was given as a text.
    fn set_text(&mut self, path: Vec<String>, text: &str, origin: Origin) {
        let read = match self.0.keys.at(&path).map(|key| key.scalar) {
            None | Some(Scalar::Text) => None,
            Some(Scalar::Number) => text.parse::<u64>().ok().map(Value::from),
            Some(Scalar::Flag) => text.parse::<bool>().ok().map(Value::from),
        };
        self.set(path, read.unwrap_or_else(|| text.into()), origin);
    }

    fn set(&mut self, path: Vec<String>, value: Value, origin: Origin) {
        if let [section, source, key] = path.as_slice()
            && (section.as_str(), key.as_str()) == ("source", "secret")
        {
            let (source, parent) = (source.clone(), [section.clone(), source.clone()]);
            return match (&origin, value.as_str()) {
                (Origin::Env(_), Some(secret)) => {
                    self.0.origins.insert(path.join("."), origin);
                    self.0.inline_secrets.insert(source, secret.to_owned());
                    self.table_at(&parent);
                }
                _ => self.report(
                    origin,
                    format!("a secret does not stand in the configuration: put it into a file and write `{SECRET_FILE} = \"{source}.secret\"`"),
                ),
            };
        }
        if self.0.keys.is_of_unknown_kind(&path) {
            // What its keys are nobody can say; the kind is reported.
            return;
        }
        if self.0.keys.at(&path).is_none() {
            return self.report_unknown(&path, origin);
        }
        let Some((last, parents)) = path.split_last() else { return };
        if let Some(map) = self.table_at(parents).and_then(Value::as_object_mut) {
            map.insert(last.clone(), value);
        }
        self.0.origins.insert(path.join("."), origin);
    }

    /// The table at a path, made when it is not there.
    fn table_at(&mut self, path: &[String]) -> Option<&mut Value> {
        path.iter().try_fold(&mut self.0.tree, |at, name| {
            Some(at.as_object_mut()?.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())))
        })
    }

    fn report_unknown(&mut self, path: &[String], origin: Origin) {
        let key = path.join(".");
        let key = key.escape_debug();
        let what = match self.0.keys.other_kind_with(path) {
            Some(kind) => format!("`{key}` is a key of sources of kind `{kind}`; this source is of another kind"),
            None if self.0.keys.is_section(path) => {
                format!("`{key}` is a section, not a value: write `[{key}]` and its keys below it")
            }
            None => match misplaced_switch(path) {
                Some((profile, switch)) => format!(
                    "unknown key `{key}`: `{switch}` is a switch of the profile `{profile}`; write it in `[access.switches]`"
                ),
                None => format!("unknown key `{key}`; the nearest is `{}`", self.0.keys.nearest(path).escape_debug()),
            },
        };
        self.report(origin, what);
    }
}

/// The switch of a bundled profile that a key of the section `access` means.
fn misplaced_switch(path: &[String]) -> Option<(&'static str, String)> {
    match path {
        [section, name, ..] if section == "access" => Profile::bundled_switch(name),
        _ => None,
    }
}

fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or_else(|_| number.as_str().into(), Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or_else(|_| number.as_str().into(), Value::from),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(list) => list.iter().map(|value| to_json(value.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(name, value)| (name.get_ref().to_string(), to_json(value.get_ref())))
            .collect::<Map<_, _>>()
            .into(),
    }
}
