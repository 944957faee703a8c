//! The kinds of source that can be configured. A kind is one file here: its keys, their documentation, and what they are
//! built into. Everything else asks [`ConfiguredSource`] and [`Source`], never which kind it is. Nothing here asks an
//! upstream anything, except where somebody wants it inspected.

mod entitlements;
mod ldap;
mod mapped;
mod schedule;
mod senders;
mod upstream;

use std::{fmt, ops::Deref, path::Path, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use ipnet::IpNet;
use rollcall_authn::{PasswordCheck, parse_network};
use rollcall_entitlements::{Format, SecretMark};
use rollcall_events::{Order, SourceName, json::plain_words};
use rollcall_ingest::{
    ReadOptions,
    connector::{Hook, Pull},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::values::{ByteSize, StringList};

/// Every kind of source. A new one is its crate, one file in this folder and one line here. A source whose `kind` is not
/// written is of the first.
pub static KINDS: [Kind; 3] = [
    Kind::of::<entitlements::Entitlements>("entitlements"),
    Kind::of::<ldap::Ldap>("ldap"),
    Kind::of::<mapped::Mapped>("mapped"),
];

/// The keys of one kind of source, and what they mean.
pub trait SourceConfig: fmt::Debug + Send + Sync {
    /// What says which of two facts about one subject is newer.
    fn order(&self) -> Order;

    /// Whether a person whom the source calls inactive is shut out altogether, not only of what this source gives.
    fn authoritative(&self) -> bool;

    /// Whether its facts give roles by rules 2 and 3: to producers' people and to entitled customers.
    fn states_entitlements(&self) -> bool {
        false
    }

    /// The other sources that it says its people to be of, and the key that names them.
    fn names_sources(&self) -> Vec<(&'static str, &SourceName)> {
        Vec::new()
    }

    /// The file with its secret.
    fn secret_file(&self) -> Option<&Path>;

    /// Every file that only its owner may read, with the key that names it.
    fn private_files(&self) -> Vec<(&'static str, &Path)> {
        self.secret_file().map(|path| (SECRET_FILE, path)).into_iter().collect()
    }

    /// Every key that is wrong by itself, and what is wrong with it: also where the secret cannot be read.
    fn check(&self) -> Vec<KeyError>;

    /// In which form it says what it posts; nothing for one that posts nothing. Needs no secret.
    ///
    /// # Errors
    /// What is wrong with the keys that say it.
    fn format(&self) -> Option<Result<Format, Vec<KeyError>>> {
        None
    }

    /// Makes of the keys what the source offers.
    ///
    /// # Errors
    /// Every key that is wrong, and what is wrong with it, but for what [`Self::check`] reports.
    fn build(&self, context: &BuildContext<'_>) -> Result<Source, Vec<KeyError>>;
}

/// The key that names the file with a source's secret.
pub const SECRET_FILE: &str = "secret_file";

/// What a source is built with besides its keys.
pub struct BuildContext<'a> {
    /// Its name.
    pub name: &'a SourceName,
    /// The text of its secret, from wherever it came.
    pub secret: Option<&'a SecretString>,
    /// Reads the file that a key names.
    pub read: &'a dyn Fn(&'static str, &Path) -> Result<String, String>,
}

/// What is wrong with a source, by the key that a person would edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError {
    /// Where.
    pub at: Place,
    /// What.
    pub text: String,
}

/// The place of a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The source's table.
    Source,
    /// One key.
    Key(&'static str),
    /// A part of a key's value, as in `map.0.fields.starts`.
    Below(String),
    /// The secret, given as a file or as a value.
    Secret,
}

impl KeyError {
    fn of(key: &'static str, what: impl ToString) -> Self {
        Self { at: Place::Key(key), text: what.to_string() }
    }
}

/// The networks that a key lists.
fn networks(key: &'static str, list: &StringList) -> Result<Vec<IpNet>, KeyError> {
    let parse = |text: &String| {
        let wrong = || format!("`{}` is no address and no network, as in \"10.0.0.0/8\"", text.escape_debug());
        parse_network(text).ok_or_else(|| KeyError::of(key, wrong()))
    };
    list.0.iter().map(parse).collect()
}

/// A configured source, ready to be wired. It offers what its kind and its keys give it.
#[derive(Default)]
pub struct Source {
    /// Takes its notifications.
    pub hook: Option<Notifications>,
    /// Reads it on a schedule, and how.
    pub pull: Option<(Arc<dyn Pull>, ReadOptions)>,
    /// Checks the passwords of its people.
    pub passwords: Option<Arc<dyn PasswordCheck>>,
    /// Looks at it from this machine.
    pub inspect: Option<Arc<dyn Inspect>>,
}

/// The hook of a source that posts.
pub struct Notifications {
    /// Its format, and how its sender is known.
    pub hook: Arc<dyn Hook>,
    /// What no other source may have: under one secret each could speak for the other.
    pub marks: Vec<SecretMark>,
    /// Whether its sender is known by a certificate that TLS asks for.
    pub certificates: Certificates,
    /// The largest notification, where it is not the server's.
    pub max_body: Option<ByteSize>,
}

impl Notifications {
    /// Whether whoever reaches the hook is believed: no secret and no certificate says who posts.
    pub fn believes_anybody(&self) -> bool {
        self.marks.is_empty() && self.certificates == Certificates::Ignored
    }
}

/// Whether a sender is known by its client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificates {
    /// It is, so the listener must ask for one.
    Demanded,
    /// It is not.
    Ignored,
}

/// Looks at a source as an operator would, and says what is wrong. Changes nothing.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// What it looks at, in a word.
    fn subject(&self) -> &'static str;

    /// Looks at all that can be looked at, for as long as the configuration allows.
    async fn inspect(&self, now: DateTime<Utc>) -> Vec<Finding>;
}

/// One thing that was looked at.
pub struct Finding {
    /// What, in a word.
    pub check: &'static str,
    /// How it is.
    pub grade: Grade,
    /// For people.
    pub text: String,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Good,
    /// Somebody should look at it.
    Odd,
    /// It does not work.
    Bad,
}

impl Grade {
    /// The word in answers for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Odd => "odd",
            Self::Bad => "bad",
        }
    }
}

/// One kind of source, before any is configured.
pub struct Kind {
    /// As it is written: `kind = "..."`.
    pub name: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    parse: fn(&Map<String, Value>) -> Parsed,
}

/// A source's keys as typed values, the same as JSON, and the keys that do not fit.
type Parsed = (Arc<dyn SourceConfig>, Value, Vec<(String, String)>);

impl Kind {
    const fn of<T>(name: &'static str) -> Self
    where
        T: SourceConfig + Default + Serialize + DeserializeOwned + JsonSchema + 'static,
    {
        Self { name, schema: T::json_schema, parse: parse::<T> }
    }

    /// The kind of a source that does not say which.
    pub fn default_kind() -> &'static Self {
        let [first, ..] = &KINDS;
        first
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// The JSON Schema of a source of this kind: its keys and no others.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        let mut schema = (self.schema)(generator);
        let default = std::ptr::eq(self, Self::default_kind());
        let absent = if default { " Also what it is when this is absent." } else { "" };
        let kind = json_schema!({"const": self.name, "description": format!("What the source is.{absent}")});
        if let Some(Value::Object(keys)) = schema.get_mut("properties") {
            keys.insert("kind".to_owned(), kind.to_value());
        }
        schema.insert("additionalProperties".to_owned(), false.into());
        if !default {
            schema.insert("required".to_owned(), ["kind"].as_slice().into());
        }
        schema
    }

    /// Reads the keys of a source, `kind` left out, and says which do not fit; these are taken as not written.
    pub fn parse(&'static self, keys: &Map<String, Value>) -> (ConfiguredSource, Vec<(String, String)>) {
        let (config, mut values, wrong) = (self.parse)(keys);
        if let Value::Object(values) = &mut values {
            values.insert("kind".to_owned(), self.name.into());
        }
        (ConfiguredSource { config, values }, wrong)
    }
}

/// What a reader of a value says, in words that somebody who writes files knows.
pub fn in_our_words(message: &str) -> String {
    match message.strip_prefix("unknown variant ") {
        Some(rest) => format!("unknown value {rest}"),
        None if message == "invalid socket address syntax" => {
            "an address with its port, as in \"127.0.0.1:8080\"".to_owned()
        }
        None => plain_words(message),
    }
}

fn parse<T>(keys: &Map<String, Value>) -> Parsed
where
    T: SourceConfig + Default + Serialize + DeserializeOwned + 'static,
{
    let typed = |keys: Map<String, Value>| serde_json::from_value::<T>(Value::Object(keys));
    let mut wrong = Vec::new();
    let mut fitting = Map::new();
    // No key needs another, so each is read alone: every mistake is found, with its key.
    for (key, value) in keys {
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        match typed(alone) {
            Ok(_) => drop(fitting.insert(key.clone(), value.clone())),
            Err(error) => wrong.push((key.clone(), in_our_words(&error.to_string()))),
        }
    }
    let config = typed(fitting).unwrap_or_default();
    let values = serde_json::to_value(&config).unwrap_or_default();
    (Arc::new(config), values, wrong)
}

/// One upstream as the configuration has it.
#[derive(Debug, Clone)]
pub struct ConfiguredSource {
    config: Arc<dyn SourceConfig>,
    values: Value,
}

impl Deref for ConfiguredSource {
    type Target = dyn SourceConfig;

    fn deref(&self) -> &Self::Target {
        self.config.as_ref()
    }
}

impl PartialEq for ConfiguredSource {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Serialize for ConfiguredSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.values.serialize(serializer)
    }
}
