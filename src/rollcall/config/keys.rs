//! Which keys a configuration may have. Those of a source hang on its kind, so the kinds are found before anything is read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    config::schema::{Key, general_keys, source_keys},
    sources::{KINDS, Kind},
};

/// The keys of a configuration whose sources are of these kinds.
pub struct KnownKeys {
    general: Vec<Key>,
    /// By kind.
    of_sources: BTreeMap<&'static str, Vec<Key>>,
    /// What each source says that it is, where it says something.
    written_kinds: BTreeMap<String, Value>,
}

impl KnownKeys {
    /// `written_kinds` holds what stands in `source.NAME.kind`, by name.
    pub fn new(written_kinds: BTreeMap<String, Value>) -> Self {
        let of_sources = KINDS.iter().map(|kind| (kind.name, source_keys(kind))).collect();
        Self { general: general_keys(), of_sources, written_kinds }
    }

    /// The kind of a source.
    ///
    /// # Errors
    /// What is written instead of one.
    pub fn kind_of(&self, source: &str) -> Result<&'static Kind, &Value> {
        match self.written_kinds.get(source) {
            None => Ok(Kind::default_kind()),
            Some(written) => written.as_str().and_then(Kind::named).ok_or(written),
        }
    }

    /// The keys that hang on no source.
    pub fn general(&self) -> impl Iterator<Item = &Key> {
        self.general.iter()
    }

    /// Whether the layers say of what kind a source is.
    pub fn says_kind(&self, source: &str) -> bool {
        self.written_kinds.contains_key(source)
    }

    /// Whether a path is a key of a source whose kind does not exist, so that nobody can say which keys it has.
    pub fn is_of_unknown_kind(&self, path: &[String]) -> bool {
        matches!(path, [section, source, key, ..]
            if section == "source" && key != "kind" && self.kind_of(source).is_err())
    }

    /// The keys among which a path is looked for.
    fn around(&self, path: &[String]) -> impl Iterator<Item = &Key> {
        let kind = match path {
            [section, source, _, ..] if section == "source" => {
                Some(self.kind_of(source).unwrap_or_else(|_| Kind::default_kind()).name)
            }
            _ => None,
        };
        let of_sources = self.of_sources.iter().filter(move |(name, _)| kind.is_none_or(|kind| kind == **name));
        let general = self.general.iter().filter(move |_| kind.is_none());
        general.chain(of_sources.flat_map(|(_, keys)| keys))
    }

    /// The key at a path.
    pub fn at(&self, path: &[String]) -> Option<&Key> {
        self.around(path).find(|key| key.is(path))
    }

    /// Whether there are keys below a path.
    pub fn is_section(&self, path: &[String]) -> bool {
        self.around(path).any(|key| key.is_below(path))
    }

    /// The kind of source that has this key where this source's own kind has not.
    pub fn other_kind_with(&self, path: &[String]) -> Option<&'static str> {
        let has = |keys: &[Key]| keys.iter().any(|key| key.is(path));
        self.of_sources.iter().find(|(_, keys)| has(keys)).map(|(name, _)| *name)
    }

    /// The key or section whose name is most like a path that is neither. For a key of a source it is one of its kind.
    pub fn nearest(&self, path: &[String]) -> String {
        let name = path.join(".");
        // The name that the operator chose stands in place of `*`, so that the nearest key can be pasted.
        let chosen = |key: &Key| -> String {
            let names = key.path.iter().enumerate();
            let names = names.map(|(i, name)| if name == "*" { path.get(i).unwrap_or(name) } else { name });
            names.map(String::as_str).collect::<Vec<_>>().join(".")
        };
        let section = |whole: &str| whole.split('.').next().unwrap_or_default().to_owned();
        let candidates: BTreeSet<String> = self
            .around(path)
            .flat_map(|key| {
                let whole = chosen(key);
                let section = section(&whole);
                [whole, section]
            })
            .collect();
        let nearest = candidates.into_iter().min_by_key(|candidate| strsim::damerau_levenshtein(candidate, &name));
        nearest.unwrap_or_default()
    }
}
