//! Why an authentic part of a delivery was not appended: a fixed set of types, each with a place and what to do.
//! A problem is kept and shown; it is never logged, because its text may quote the payload.

use std::{fmt, str::FromStr};

use rollcall_events::SchemaError;
pub(crate) use rollcall_events::size::clipped;
use serde::{Serialize, Serializer};

macro_rules! types {
    ($($(#[$doc:meta])* $variant:ident = $word:literal;)*) => {
        /// The problem types of a quarantined part. The words are part of the API: filters and replays name them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ProblemType { $($(#[$doc])* $variant,)* }

        impl ProblemType {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word, e.g. `unknown-type`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

types! {
    /// The body is not what its content type says (JSON, UTF-8).
    Malformed = "malformed";
    /// The content type is none that the source's format knows.
    UnsupportedContentType = "unsupported-content-type";
    /// What decides stands in headers, and the sender's signature covers only the body.
    BinaryMode = "binary-mode";
    /// More events in one delivery than are taken apart.
    BatchTooLarge = "batch-too-large";
    /// A CloudEvents attribute is missing or cannot be.
    InvalidEnvelope = "invalid-envelope";
    /// No such event type.
    UnknownType = "unknown-type";
    /// The type exists, but a connector may not say it.
    NotYours = "not-yours";
    /// The data does not fit the type's schema: unknown or repeated members, an unknown state, an end before its start.
    InvalidData = "invalid-data";
    /// The `subject` attribute names another thing than the data.
    SubjectMismatch = "subject-mismatch";
    /// The event lacks what its source is ordered by.
    MissingOrderKey = "missing-order-key";
    /// What the source is ordered by is so far ahead that whatever came after it would be taken for older.
    ImplausibleOrderKey = "implausible-order-key";
    /// No rule of the source's mapping is for the body.
    Unmapped = "unmapped";
    /// The body is not one that the source is configured for: another tenant, a test system.
    RequirementNotMet = "requirement-not-met";
    /// An expression of the source's mapping cannot be evaluated on the body: a member is missing, or is another thing.
    ExpressionFailed = "expression-failed";
    /// Mapping the body takes more steps than it may.
    MappingTooCostly = "mapping-too-costly";
    /// The mapping itself failed. A defect of Rollcall: report it.
    MappingFailed = "mapping-failed";
}

impl fmt::Display for ProblemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ProblemType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|known| known.as_str()).collect();
            format!("`{}` is not a problem type; one of {}", text.escape_debug(), words.join(", "))
        })
    }
}

impl Serialize for ProblemType {
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.serialize_str(self.as_str())
    }
}

/// What is wrong with a part, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which kind of problem.
    #[serde(rename = "type")]
    pub kind: ProblemType,
    /// JSON pointer into the event; empty for the whole.
    pub pointer: String,
    /// What was found and what to do, at most 500 characters.
    pub detail: String,
}

impl Problem {
    /// A problem at a JSON pointer.
    #[must_use]
    pub fn at(kind: ProblemType, pointer: impl Into<String>, detail: impl fmt::Display) -> Self {
        // What was found is quoted now and then, and that can be a megabyte.
        let detail = clipped(detail.to_string(), 500);
        Self { kind, pointer: clipped(pointer.into(), 500), detail }
    }

    /// A schema's refusal as a problem of this kind.
    #[must_use]
    pub fn of(kind: ProblemType, error: SchemaError) -> Self {
        Self::at(kind, error.pointer, error.expected)
    }
}
