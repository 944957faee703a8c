//! What the fold says of one event: its effect, and what changed for the SQL side.

use std::sync::Arc;

use rollcall_events::{Position, SourceName};
use serde::{Deserialize, Serialize};

/// What an event did at its position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", content = "reason", rename_all = "snake_case")]
pub enum Effect {
    /// It is the subject's state now.
    Applied,
    /// A newer event of the subject, by its source's order, was there already.
    Superseded,
    /// The subject was in this very state already.
    NoChange,
    /// A command that lost, or a fact of a runner that was no longer the one: it stays in the log and changes nothing.
    Refused(String),
    /// It cannot be applied; the subject keeps its last state until a later event of it can.
    Parked(String),
}

impl Effect {
    /// The effect's word in the API, e.g. `no_change`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Superseded => "superseded",
            Self::NoChange => "no_change",
            Self::Refused(_) => "refused",
            Self::Parked(_) => "parked",
        }
    }

    /// Why it was refused or parked.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused(reason) | Self::Parked(reason) => Some(reason),
            Self::Applied | Self::Superseded | Self::NoChange => None,
        }
    }
}

/// What one event did to the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// Where the event stands.
    pub position: Position,
    /// Who said it.
    pub source: SourceName,
    /// What it is about.
    pub subject: Arc<str>,
    /// What it did.
    pub effect: Effect,
    /// What the SQL side has to say now.
    pub changes: Vec<Change>,
}

/// One change of the derived state, as the SQL side keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A fact began, or took the place of the subject's earlier one.
    FactBegan {
        /// Whose fact.
        source: SourceName,
        /// The noun of its subject: `account`, `person`, `package_product`, ... (the text before the first `/`).
        noun: &'static str,
        /// Its subject.
        subject: Arc<str>,
        /// The event's data, verbatim.
        data: Arc<str>,
    },
    /// The subject's fact ended.
    FactEnded {
        /// Whose fact.
        source: SourceName,
        /// Its subject.
        subject: Arc<str>,
    },
    /// From here on an entitlement reaches named people only. Said once; it does not end when nobody is named any more,
    /// and may come from an event that is otherwise superseded.
    Narrowed {
        /// The entitlement's source.
        source: SourceName,
        /// The entitlement.
        entitlement: Arc<str>,
    },
    /// A person belongs to this user now (said for every person of the set when users merge or part).
    PersonIs {
        /// The person's source.
        source: SourceName,
        /// The person's id in the source.
        person: Arc<str>,
        /// The user's id, `source/person` of its oldest person.
        user: Arc<str>,
    },
    /// A user has this name now.
    UserNamed {
        /// The user's id.
        user: Arc<str>,
        /// The name to sign in with.
        name: Arc<str>,
    },
    /// A project has this name now (its earlier names stay as aliases), archived or not.
    ProjectNamed {
        /// The source that owns it; `local` for one that a person made.
        source: SourceName,
        /// The package, or the id of a project that a person made.
        package: Arc<str>,
        /// The project's name.
        name: Arc<str>,
        /// Whether it is archived: its package is removed or delivers no containers, or it was deleted.
        archived: bool,
    },
    /// A subject is parked, or no longer.
    Parked {
        /// Whose subject.
        source: SourceName,
        /// The subject.
        subject: Arc<str>,
        /// Why; absent when a later event of it could be applied.
        reason: Option<String>,
    },
}
