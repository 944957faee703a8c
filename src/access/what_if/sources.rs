//! What suspending, resuming or retiring a source would change of anybody's access: tried by the very fold that folds
//! the log. Records nothing.

use chrono::{DateTime, Utc};
use rollcall_events::{Body, Digest, SourceName};

use crate::{
    fold::change::Effect,
    roster::Roster,
    what_if::{
        dry_run::emptied,
        standing::{AccessRow, AccessRowKey, AccessTotals, TwoStates, next_rows, totals},
    },
};

/// What a command about a source would change.
#[derive(Debug, Clone)]
pub struct SourcePlan {
    /// What the fold would say of it.
    pub effect: Effect,
    /// How much access.
    pub access: AccessTotals,
    /// The projects, by name, that have a crowd of members now and would have none.
    pub emptied: Vec<String>,
    /// Names it: what does the same has the same name.
    pub name: String,
}

/// What a command about a source would change now. `crowd`: how many members of a project are many.
#[must_use]
pub fn plan_source(before: &Roster, command: &Body, crowd: usize, now: DateTime<Utc>) -> SourcePlan {
    let (mut tried, effect) = Tried::of(before, command, now);
    let access = totals(&mut tried, now);
    let emptied = if access.losses > 0 { emptied(before, &tried.after, crowd, now) } else { Vec::new() };
    let text = format!("{} {}\n{}", command.kind(), command.subject(), access.digest);
    let name = format!("src_{:016x}", Digest::of(text.as_bytes()).prefix());
    SourcePlan { effect, access, emptied, name }
}

/// What the fold would say of a command about a source, and whom it would change, after one row and at most so many.
#[must_use]
pub fn source_rows(
    before: &Roster,
    command: &Body,
    now: DateTime<Utc>,
    after: Option<&AccessRowKey>,
    limit: usize,
) -> (Effect, Vec<AccessRow>) {
    let (mut tried, effect) = Tried::of(before, command, now);
    (effect, next_rows(&mut tried, now, after, limit))
}

struct Tried<'a> {
    before: &'a Roster,
    after: Roster,
}

impl<'a> Tried<'a> {
    fn of(before: &'a Roster, command: &Body, now: DateTime<Utc>) -> (Self, Effect) {
        let mut after = before.clone();
        let effect = after.fold_unrecorded(&SourceName::local(), command, now);
        (Self { before, after }, effect)
    }
}

impl TwoStates for Tried<'_> {
    fn before(&mut self) -> &Roster {
        self.before
    }

    fn after(&mut self) -> &Roster {
        &self.after
    }
}
