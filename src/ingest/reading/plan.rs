//! A plan: what an apply would append, row for row, kept so that a person can look at it and confirm it.
//! Knows no store and appends nothing.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use rollcall_events::{InvalidName, Position, SourceName, body::Author, prefixed_id};
use serde::Serialize;

use crate::{
    reading::change::{Change, ChangeKind},
    string_enum::string_enum,
};

/// The id of a plan, `pln_` and a UUIDv7.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PlanId(String);

impl PlanId {
    pub(crate) fn new(now: DateTime<Utc>, random: [u8; 10]) -> Self {
        Self(prefixed_id("pln", now, random))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PlanId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match text.strip_prefix("pln_") {
            Some(rest) if rest.len() == 32 && rest.bytes().all(hex) => Ok(Self(text.to_owned())),
            _ => Err(InvalidName("a plan's id is `pln_` and 32 of 0-9 and a-f".into())),
        }
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

string_enum! {
    /// Why there is a plan and not just its effect.
    PlanReason {
        /// Somebody asked for it.
        Asked = "asked",
        /// It is the first read, and the source is configured to wait for a person then.
        FirstRun = "first_run",
        /// Something else was read than before: another base, filter or attribute.
        Scope = "scope",
        /// Other attributes than before say whom people are in other sources.
        Links = "links",
        /// The removal guard holds the removals.
        Guard = "guard",
        /// The source answered with nothing.
        Empty = "empty",
    }
}

string_enum! {
    /// What became of a plan.
    PlanState {
        /// It waits for somebody.
        Open = "open",
        /// It was confirmed and applied.
        Applied = "applied",
        /// Somebody decided against it.
        Discarded = "discarded",
        /// A later read found something else.
        Superseded = "superseded",
    }
}

/// When a plan ceased to wait, and on whose word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanClosure {
    /// When.
    pub at: DateTime<Utc>,
    /// Who confirmed or discarded it. Nobody where a later read found something else.
    pub by: Option<Author>,
}

/// What an apply would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// Whose facts.
    pub source: SourceName,
    /// When the source was read.
    pub made_at: DateTime<Utc>,
    /// The log's position that the source was held against.
    pub position: Position,
    /// Why there is a plan.
    pub why: PlanReason,
    /// The same for people, with numbers and names.
    pub reason: String,
    /// What became of it.
    pub state: PlanState,
    /// When, and by whom; absent while it is open.
    pub closed: Option<PlanClosure>,
    /// How many facts of the source stood.
    pub facts: u64,
    /// How many rows add.
    pub additions: u64,
    /// How many rows change.
    pub changes: u64,
    /// How many rows remove: the number to confirm.
    pub removals: u64,
    /// SHA-256 over the removals: what must be found again to apply it.
    pub removals_digest: String,
    /// SHA-256 over all rows.
    pub rows_digest: String,
}

/// One event that an apply would append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRow {
    /// `add`, `change` or `remove`.
    pub verb: ChangeKind,
    /// The event type.
    pub kind: String,
    /// The subject.
    pub subject: String,
    /// The data.
    pub data: String,
    /// The data of what stood until now.
    pub was: Option<String>,
    /// What it means, with names.
    pub text: String,
}

impl PlanRow {
    pub(crate) fn of(change: &Change, text: String) -> Self {
        Self {
            verb: change.verb(),
            kind: change.body.kind().to_owned(),
            subject: change.subject.clone(),
            data: change.body.data(),
            was: change.was.as_ref().map(rollcall_events::Body::data),
            text,
        }
    }
}
