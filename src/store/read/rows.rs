//! What the read side answers with. Plain rows, whichever engine keeps them.

use chrono::{DateTime, Utc};
use rollcall_events::Position;
use serde::Serialize;

/// A fact while it stood. What began it and what ended it are its causes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FactRow {
    /// Whose fact.
    pub source: String,
    /// The noun of its subject.
    pub noun: String,
    /// Its subject.
    pub subject: String,
    /// The event that began it.
    pub from: Position,
    /// The event that ended it; absent while it stands.
    pub to: Option<Position>,
    /// From when it counts, where its data states a window.
    pub starts: Option<DateTime<Utc>>,
    /// Until when (exclusive) it counts.
    pub ends: Option<DateTime<Utc>>,
    /// The event's data, verbatim.
    pub data: String,
}

/// An event that lost to a newer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupersededRow {
    /// Where it stands.
    pub position: Position,
    /// Who said it.
    pub source: String,
    /// What it is about.
    pub subject: String,
    /// The event that is the subject's state; absent where its source is retired.
    pub by: Option<Position>,
}

/// A subject that keeps its last state because its newest event cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParkedRow {
    /// Whose subject.
    pub source: String,
    /// The subject.
    pub subject: String,
    /// The event that cannot be judged.
    pub position: Position,
    /// Why.
    pub reason: String,
}

/// A name that a package's project had or has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectRow {
    /// Whose package.
    pub source: String,
    /// The package, or the id of a project that people made.
    pub package: String,
    /// The project's name.
    pub name: String,
    /// Whether it was archived.
    pub archived: bool,
    /// The event since which it is so.
    pub from: Position,
    /// The event that ended it; absent while it stands.
    pub to: Option<Position>,
}

/// One reason of one membership, as the view `membership` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Membership {
    /// The user's id; of a service `service:` and its id.
    pub user_id: String,
    /// The user's name; of a service `service:` and its id.
    pub user_name: String,
    /// The project.
    pub project: String,
    /// The role.
    pub role: String,
    /// `producer` (rule 2), `customer` (rule 3), `group` (rule 4) or `binding` (rule 5).
    pub rule: String,
    /// What names the reason: the account, the line, the binding.
    pub name: String,
    /// The source that the person comes from; of a service `local`.
    pub source: String,
    /// The person; absent for a service.
    pub person: Option<String>,
    /// The person's account.
    pub account: Option<String>,
    /// The package, or the id of a project that people made.
    pub package: String,
    /// The entitlement, of a customer.
    pub entitlement: Option<String>,
    /// The entitlement's line.
    pub line: Option<String>,
    /// The line's product.
    pub product: Option<String>,
    /// The newest of the events that it rests on; groups between a person's own and the bound one are left out.
    pub since: Position,
    /// When it ends by itself.
    pub ends: Option<DateTime<Utc>>,
}
