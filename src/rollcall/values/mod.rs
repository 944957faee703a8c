//! Durations, sizes and lists as people write them in a configuration: `5m`, `1MiB`.
//! Only the notation; what a value may be is decided where it is used.

mod text_file;

use std::{borrow::Cow, fmt, net::SocketAddr, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use text_file::{read_text, text_of};

/// A length of time, written as a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

/// A number of bytes, written as a whole number and `B`, `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// An address and a port.
///
/// # Errors
/// What is expected instead.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an address and a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned())
}

fn parse_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn write_with_unit(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let whole = units.iter().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor)).or(units.last());
    let (unit, factor) = whole.copied().unwrap_or(("", 1));
    write!(f, "{}{unit}", value / factor)
}

impl FromStr for HumanDuration {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse_with_unit(text, &DURATION_UNITS).map(|millis| Self(Duration::from_millis(millis))).ok_or_else(|| {
            format!("`{}` is not a duration: a whole number and ms, s, m, h or d, as in \"5m\"", text.escape_debug())
        })
    }
}

impl FromStr for ByteSize {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse_with_unit(text, &SIZE_UNITS).map(Self).ok_or_else(|| {
            format!("`{}` is not a size: a whole number and B, KiB, MiB or GiB, as in \"1MiB\"", text.escape_debug())
        })
    }
}

impl HumanDuration {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl ByteSize {
    /// As a length in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// As a limit of request bodies.
    ///
    /// # Errors
    /// When no body or too large a one would fit.
    pub fn as_body_limit(self) -> Result<usize, String> {
        if (1..=64 << 20).contains(&self.0) {
            Ok(self.bytes())
        } else {
            Err(format!("{self} is not between 1B and 64MiB"))
        }
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_unit(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &DURATION_UNITS)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_unit(f, self.0, &SIZE_UNITS)
    }
}

macro_rules! written_as_text {
    ($name:ident, $title:literal, $pattern:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
                ser.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
                Cow::<str>::deserialize(de)?.parse().map_err(de::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $title.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern})
            }
        }
    };
}
written_as_text!(HumanDuration, "Duration", "^[0-9]+ ?(ms|s|m|h|d)$");
written_as_text!(ByteSize, "Size", "^[0-9]+ ?(B|KiB|MiB|GiB)$");

/// Several texts, written as a list; one alone also as a text, and several in the environment one a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct StringList(pub Vec<String>);

impl<'de> Deserialize<'de> for StringList {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a text or a list of texts")]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        Ok(Self(match OneOrMany::deserialize(de)? {
            OneOrMany::One(text) => text.lines().map(|line| line.trim().to_owned()).filter(|l| !l.is_empty()).collect(),
            OneOrMany::Many(list) => list,
        }))
    }
}

impl JsonSchema for StringList {
    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]})
    }
}

/// What a switch says: a text, also written as a flag or a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SwitchValue(pub String);

impl<'de> Deserialize<'de> for SwitchValue {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a text, one of the values of the switch")]
        enum Written {
            Text(String),
            Flag(bool),
            Number(i64),
        }
        Ok(Self(match Written::deserialize(de)? {
            Written::Text(text) => text,
            Written::Flag(flag) => flag.to_string(),
            Written::Number(number) => number.to_string(),
        }))
    }
}

impl JsonSchema for SwitchValue {
    fn schema_name() -> Cow<'static, str> {
        "Switch".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "boolean"}, {"type": "integer"}]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["5m", "90s", "1500ms", "2h", "14d", "0ms"] {
            assert_eq!(text.parse::<HumanDuration>().unwrap().to_string(), text);
        }
        for text in ["1MiB", "64KiB", "10B", "2GiB", "0B"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        assert_eq!("300s".parse::<HumanDuration>(), "5 m".parse::<HumanDuration>());
    }

    #[test]
    fn a_bare_number_has_no_unit_and_is_refused() {
        for text in ["", "5", "m", "-5m", "5 minutes", "1.5h", "99999999999999999999s"] {
            assert!(text.parse::<HumanDuration>().unwrap_err().contains("as in \"5m\""), "{text}");
        }
        assert!("1MB".parse::<ByteSize>().is_err());
    }

    #[test]
    fn an_address_to_listen_on_that_is_none_is_told_with_one_that_is() {
        assert_eq!(listen_address("[::1]:0").unwrap().port(), 0);
        for wrong in ["x", "8080", "localhost:8080", "127.0.0.1"] {
            assert!(listen_address(wrong).unwrap_err().contains("such as 127.0.0.1:8080"), "{wrong}");
        }
    }
}
