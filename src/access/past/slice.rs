//! A slice: the few events of the log that a question about the past depends on, folded by themselves into an empty
//! roster, which answers that question as the whole log up to there would. Which events these are, `subjects` knows.

use chrono::{DateTime, Utc};
use rollcall_events::{Body, Position, Recorded};

use crate::roster::{FoldMode, Roster};

/// A scope as a question about the past names it. Projects are named by name or by id; names of any time count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeName<'a> {
    /// Above everything.
    Root,
    /// A folder, by id.
    Folder(&'a str),
    /// A project.
    Project(&'a str),
}

/// What a question about the past is about. Users are named by name, by id, or as `service:` and an id; names of any
/// time count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastQuestion<'a> {
    /// One caller (absent: somebody who did not sign in) and one scope.
    Access {
        /// The caller.
        user: Option<&'a str>,
        /// The scope.
        scope: ScopeName<'a>,
    },
    /// Everybody in a project.
    Members(&'a str),
    /// Everything that a caller is in.
    User(&'a str),
}

/// Which events count, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Those that were recorded by then, as they took effect: what would have been answered then.
    Recorded,
    /// Those known now whose time was by then, by the order of their source: what is now known to have been so.
    Effective,
}

/// A source and a subject of it.
pub type Subject = (String, String);

/// Of events that are known to have applied or to have lost, those that were so by then: by their own time where a
/// source states one, else when they were recorded, which `recorded_at` tells. What a source said after it was retired counts
/// for nothing.
#[must_use]
pub fn effective_by(
    mut records: Vec<Recorded>,
    then: DateTime<Utc>,
    recorded_at: impl Fn(&Recorded) -> DateTime<Utc>,
) -> Vec<Recorded> {
    let retired: Vec<(String, Position)> = records
        .iter()
        .filter_map(|record| match Body::recorded(&record.event.kind, &record.event.data) {
            Ok(Body::SourceRetired(data)) => Some((data.source.to_string(), record.position)),
            _ => None,
        })
        .collect();
    records.retain(|record| {
        let source = &record.event.key.source;
        let time = record.event.time.filter(|_| !source.is_local()).unwrap_or_else(|| recorded_at(record));
        time <= then && !retired.iter().any(|(name, at)| name == source.as_str() && record.position > *at)
    });
    records
}

impl Roster {
    /// An empty roster for the events of a slice. `self` is the roster that the slice was found by.
    #[must_use]
    pub fn empty_slice(&self, basis: Basis) -> Self {
        let mut roster = Self::new(self.log_id());
        roster.mode = match basis {
            Basis::Recorded => FoldMode::Recorded,
            Basis::Effective => FoldMode::Effective(
                self.settings.sources.iter().map(|(name, said)| (name.clone(), said.order)).collect(),
            ),
        };
        roster
    }

    /// Says of a slice that it holds the log up to here.
    pub fn advance_to(&mut self, position: Position) {
        self.facts.position = self.facts.position.max(position);
    }
}
