//! A source is suspended and resumed: its facts stay as they are and go on being updated, and do not count meanwhile.

use rollcall_events::body::SourceRef;

use crate::{
    fold::{change::Effect, context::FoldContext},
    roster::{
        Roster,
        facts::{SourceSaid, Suspension},
    },
};

/// Who says this of a source.
pub(super) fn said_of(cx: &FoldContext<'_>, data: &SourceRef) -> SourceSaid {
    let author = data.author.as_ref().map(|author| author.as_str().to_owned());
    SourceSaid { said: cx.position(), at: cx.now().timestamp_micros(), author }
}

impl Roster {
    /// From here on the facts of a source count, or do not.
    pub(super) fn set_suspended(&mut self, cx: &mut FoldContext<'_>, data: &SourceRef, suspended: bool) -> Effect {
        let known = self.facts.sources.len();
        let ix = self.facts.sources.intern(0, data.source.as_str());
        let Ok(space) = u16::try_from(ix) else { return Effect::NoChange };
        if ix >= known {
            self.know_sources();
        }
        if self.facts.is_suspended(space) == suspended {
            return Effect::NoChange;
        }
        self.facts.suspensions.insert(space, Suspension { suspended, by: said_of(cx, data) });
        if suspended {
            cx.fact_began("source");
        } else {
            cx.fact_ended();
        }
        self.emit_packages(cx, space);
        self.rebuild_fast_path();
        Effect::Applied
    }

    /// Says of every package of a source whether it has a project now.
    pub(super) fn emit_packages(&self, cx: &mut FoldContext<'_>, space: u16) {
        for package in 0..self.facts.packages.len() {
            if self.facts.packages.names.space(package) == space {
                self.emit_package(cx, package);
            }
        }
    }

    /// A source that is no more is not suspended either.
    pub(super) fn end_suspension(&mut self, cx: &mut FoldContext<'_>, space: u16) {
        if let Some(said) = self.facts.suspensions.get_mut(&space).filter(|said| said.suspended) {
            said.suspended = false;
            cx.fact_ended();
        }
    }
}
