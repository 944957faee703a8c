//! Facts of a source tried one after the other on one copy of the roster: each question costs what was folded for it and no
//! copy. What was folded is taken back by folding what stood before it, which the registers of groups and memberships do
//! exactly. Appends nothing.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_events::{Body, SourceName};

use crate::{roster::Roster, what_if::dry_run::emptied};

/// A roster, and a copy of it into which facts are folded that nobody has recorded.
#[derive(Debug)]
pub struct Trial {
    before: Roster,
    after: Roster,
    source: SourceName,
    crowd: usize,
    now: DateTime<Utc>,
}

impl Trial {
    /// Of facts of a source. `crowd`: how many members a project has at least that can be emptied.
    #[must_use]
    pub fn of(before: Roster, source: SourceName, crowd: usize, now: DateTime<Utc>) -> Self {
        Self { after: before.clone(), before, source, crowd, now }
    }

    /// Goes on as if this had been recorded.
    pub fn record(&mut self, facts: &[Body]) {
        for fact in facts {
            self.after.fold_unrecorded(&self.source, fact, self.now);
        }
    }

    /// Forgets what was folded. Costs a copy.
    pub fn begin_anew(&mut self) {
        self.after = self.before.clone();
    }

    /// The projects, by name, that had a crowd before and have nobody now.
    #[must_use]
    pub fn emptied(&self) -> BTreeSet<String> {
        emptied(&self.before, &self.after, self.crowd, self.now).into_iter().collect()
    }

    /// Whether none of these projects, by name, has a member now.
    #[must_use]
    pub fn are_empty(&self, projects: &BTreeSet<String>) -> bool {
        let found = projects.iter().filter_map(|name| self.after.project_by_name(name));
        found.into_iter().all(|project| !self.after.has_member(project, self.now))
    }
}
