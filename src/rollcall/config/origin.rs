//! Where a value of the configuration came from, and what is wrong at such a place. Reads nothing.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

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

impl Origin {
    /// A path that a value names: in the configuration file it is relative to that file.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        match self {
            Self::File { path: file, .. } => file.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path)),
            Self::Default | Self::Env(_) | Self::Flag(_) => path.to_owned(),
        }
    }
}

/// Where each dotted key that somebody set came from, and where each section of the file begins.
#[derive(Debug, Clone, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Notes where a key was set last.
    pub fn insert(&mut self, key: String, origin: Origin) {
        self.0.insert(key, origin);
    }

    /// A key has another spelling.
    pub fn rename(&mut self, key: &str, other: String) {
        if let Some(origin) = self.0.remove(key) {
            self.0.insert(other, origin);
        }
    }

    /// Whether somebody set the key.
    pub fn holds(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// How many keys and sections there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Where the value of a key came from.
    pub fn of(&self, key: &str) -> Origin {
        self.0.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Where a section begins, else its first key.
    pub fn of_section(&self, section: &str) -> Origin {
        let below = format!("{section}.");
        let first = || self.0.iter().find(|(key, _)| key.starts_with(&below)).map(|(_, origin)| origin);
        self.0.get(section).or_else(first).cloned().unwrap_or(Origin::Default)
    }

    /// Where the value of a key came from, else that of which it is a part, else the section in which it is missing.
    pub fn near(&self, key: &str, section: &str) -> Origin {
        let mut known = Some(key);
        while let Some(key) = known.filter(|key| *key != section) {
            if let Some(origin) = self.0.get(key) {
                return origin.clone();
            }
            known = key.rsplit_once('.').map(|(parent, _)| parent);
        }
        self.of_section(section)
    }
}
