//! Sources: which of them were suspended or retired, by whom and since when.

use chrono::{DateTime, Utc};
use rollcall_events::Position;

use crate::roster::{
    Roster,
    facts::{SourceSaid, Suspension, instant},
};

/// What was said last of whether a source's facts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuspensionView<'a> {
    /// They are kept and go on being updated, and nobody has anything through them.
    pub suspended: bool,
    /// Who said so.
    pub by: SourceSaidView<'a>,
}

/// Who said something of a source as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceSaidView<'a> {
    /// The source.
    pub source: &'a str,
    /// Who said so; the operator where nobody is named.
    pub author: Option<&'a str>,
    /// The event that says so.
    pub position: Position,
    /// When it was recorded.
    pub at: DateTime<Utc>,
}

impl Roster {
    fn suspension_view(&self, space: u16) -> Option<SuspensionView<'_>> {
        let Suspension { suspended, by } = self.facts.suspensions.get(&space)?;
        Some(SuspensionView { suspended: *suspended, by: self.said_view(space, by) })
    }

    fn said_view<'a>(&'a self, space: u16, SourceSaid { said, at, author }: &'a SourceSaid) -> SourceSaidView<'a> {
        SourceSaidView {
            source: self.source_text(space),
            author: author.as_deref(),
            position: *said,
            at: instant(*at).unwrap_or_default(),
        }
    }

    /// The sources that are retired, for ever: nothing that they say counts.
    pub fn retired_sources(&self) -> impl Iterator<Item = SourceSaidView<'_>> {
        self.facts.retired.iter().map(|(space, said)| self.said_view(*space, said))
    }

    /// Who retired a source, where somebody did.
    #[must_use]
    pub fn retirement(&self, source: &str) -> Option<SourceSaidView<'_>> {
        if self.facts.retired.is_empty() {
            return None;
        }
        self.retired_sources().find(|said| said.source == source)
    }

    /// What was said last of whether a source's facts count; nothing where it never was suspended.
    #[must_use]
    pub fn suspension(&self, source: &str) -> Option<SuspensionView<'_>> {
        if self.facts.suspensions.is_empty() {
            return None;
        }
        self.suspension_view(u16::try_from(self.facts.sources.find(0, source)?).ok()?)
    }

    /// The sources that are suspended.
    pub fn suspended_sources(&self) -> impl Iterator<Item = SuspensionView<'_>> {
        let all = self.facts.suspensions.keys().filter_map(|space| self.suspension_view(*space));
        all.filter(|said| said.suspended)
    }
}
