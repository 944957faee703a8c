//! The names of things: positions, sources, ids, project names. Each is made by parsing, so a value of the type is
//! valid.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    str::FromStr,
    sync::Arc,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::names::has_form_of_id;

/// A text that is not the name that it should be; the message says what one looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(pub String);

/// An event's place in the log: strictly increasing, not promised dense; 0 is before the first.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which log this is. Random at creation; a restored or reset log gets a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogId(pub [u8; 8]);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The source name under which commands of Rollcall itself are recorded.
pub const LOCAL: &str = "local";

/// The configured name of an upstream: 1 to 63 of `a-z 0-9 -`, starting with a letter or digit. Its identity, for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// The reserved source `local`, under which commands are recorded.
    #[must_use]
    pub fn local() -> Self {
        Self(LOCAL.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the reserved source of Rollcall's own commands.
    #[must_use]
    pub fn is_local(&self) -> bool {
        &*self.0 == LOCAL
    }
}

impl FromStr for SourceName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let body = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !text.is_empty() && text.len() <= 63 && text.chars().all(body) && !text.starts_with('-') {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName(format!(
                "`{}` is not a source name: 1 to 63 of a-z, 0-9 and -, starting with a letter or digit",
                text.escape_debug()
            )))
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SourceName {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(de)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for SourceName {
    fn schema_name() -> Cow<'static, str> {
        "SourceName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$", "maxLength": 63})
    }
}

/// An id as its source writes it: 1 to 256 bytes, no control characters. Compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Id(Arc<str>);

impl Id {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Compared and hashed as its text is.
impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Id {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName("an id has 1 to 256 bytes and no control characters".into()))
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(de)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"})
    }
}

/// The first path segment of an image name: `[a-z0-9]+([._-][a-z0-9]+)*`, at most 100 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ProjectName(Arc<str>);

impl ProjectName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let part = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if text.len() <= 100 && text.split(['.', '_', '-']).all(part) && !has_form_of_id(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName(format!(
                "`{}` is not a project name: a-z and 0-9 with single . _ - between them, at most 100 characters, and not the form of an id",
                text.escape_debug()
            )))
        }
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The project name that a package's own name gives: lower case, every other character a `-` (DESIGN 7, rule 1).
///
/// # Errors
/// When what comes out is still not a project name, for example because two separators meet.
pub fn project_name_of(package_name: &str) -> Result<ProjectName, InvalidName> {
    let keep = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c) { c } else { '-' };
    package_name.to_lowercase().chars().map(keep).collect::<String>().parse()
}

/// An id such as `dlv_0190a7..`: the prefix says what kind of thing it names, the rest is a UUIDv7, so ids sort by
/// time. Time and randomness are the caller's.
#[must_use]
pub fn prefixed_id(prefix: &str, now: chrono::DateTime<chrono::Utc>, random: [u8; 10]) -> String {
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    format!("{prefix}_{}", uuid.simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_names_follow_the_grammar() {
        for good in ["a", "acme", "acme-db", "a.b_c-d", "0", &"a".repeat(100)] {
            assert!(good.parse::<ProjectName>().is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "a-", "a--b", "a/b", "é", "a b", "dec_0190a7b2c3d4", &"a".repeat(101)] {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_package_name_becomes_a_project_name_or_says_why_not() {
        assert_eq!(project_name_of("DB Suite").unwrap().as_str(), "db-suite");
        assert_eq!(project_name_of("db_suite.v2").unwrap().as_str(), "db_suite.v2");
        assert!(project_name_of("DB  Suite").unwrap_err().to_string().contains("db--suite"));
        assert!(project_name_of("!!").is_err());
    }

    #[test]
    fn ids_carry_their_kind_and_sort_by_time() {
        let at = |s| chrono::DateTime::from_timestamp(s, 0).unwrap();
        let (a, b) = (prefixed_id("dlv", at(1), [255; 10]), prefixed_id("dlv", at(2), [0; 10]));
        assert!(a.starts_with("dlv_0") && a < b && a.len() == 36);
    }
}
