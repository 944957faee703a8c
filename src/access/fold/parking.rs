//! Subjects whose newest event cannot be applied: they keep their last state until a later event of them can be.

use std::sync::Arc;

use crate::{
    fold::{
        change::{Change, Effect},
        context::FoldContext,
    },
    roster::{Roster, facts::ParkedEvent},
};

/// How many bytes of a reason for parking are kept.
const MAX_REASON: usize = 1_000;

impl Roster {
    /// Marks the subject: its newest event waits, nothing waits behind it, its last state stays.
    pub(crate) fn park(&mut self, cx: &mut FoldContext<'_>, reason: String) -> Effect {
        self.park_for(cx, reason, None)
    }

    /// As [`Self::park`], for the name of a project that somebody else has.
    pub(crate) fn park_for(&mut self, cx: &mut FoldContext<'_>, mut reason: String, wants: Option<&str>) -> Effect {
        // A reason quotes what was sent, which may be long; it is kept here, in SQL and in every snapshot.
        reason.truncate(reason.floor_char_boundary(MAX_REASON));
        let subject = (cx.space, cx.record.event.subject.to_string());
        let newest = self.facts.parked.get(&subject).is_none_or(|mark| mark.key <= cx.claim.key);
        if newest {
            cx.changes.push(Change::Parked {
                source: cx.source(),
                subject: Arc::clone(&cx.record.event.subject),
                reason: Some(reason.clone()),
            });
            let (key, position, wants) = (cx.claim.key, cx.position(), wants.map(str::to_owned));
            self.set_parked(subject, Some(ParkedEvent { key, position, reason: reason.clone(), wants }));
        }
        Effect::Parked(reason)
    }

    /// Files what waits of a subject, and counts those that wait for a name.
    pub(super) fn set_parked(&mut self, subject: (u16, String), mark: Option<ParkedEvent>) {
        let waits = |mark: &Option<ParkedEvent>| mark.as_ref().is_some_and(|mark| mark.wants.is_some());
        self.index.wanted_names += usize::from(waits(&mark));
        let before = match mark {
            Some(mark) => self.facts.parked.insert(subject, mark),
            None => self.facts.parked.remove(&subject),
        };
        self.index.wanted_names -= usize::from(waits(&before));
    }

    pub(super) fn unpark(&mut self, cx: &mut FoldContext<'_>) {
        if self.facts.parked.is_empty() {
            return;
        }
        let subject = (cx.space, cx.record.event.subject.to_string());
        if self.facts.parked.get(&subject).is_some_and(|mark| mark.key <= cx.claim.key) {
            self.set_parked(subject, None);
            cx.changes.push(Change::Parked {
                source: cx.source(),
                subject: Arc::clone(&cx.record.event.subject),
                reason: None,
            });
        }
    }
}
