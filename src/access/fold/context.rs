//! The event at hand, with what every step of the fold needs of it, and the changes that it makes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rollcall_events::{Digest, Position, Recorded, SourceName};

use crate::{
    fold::change::{Change, Effect},
    roster::register::{Claim, Precedence, Rank, Register},
};

/// What every step of the fold needs of the event at hand.
pub(crate) struct FoldContext<'a> {
    pub(crate) record: &'a Recorded,
    pub(crate) space: u16,
    pub(crate) claim: Claim,
    pub(crate) changes: Vec<Change>,
}

impl FoldContext<'_> {
    /// Said by a command of Rollcall itself.
    pub(crate) fn is_local(&self) -> bool {
        self.record.event.key.source.is_local()
    }

    /// The instant for which a command is checked.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.record.recorded_at
    }

    pub(super) fn source(&self) -> SourceName {
        self.record.event.key.source.clone()
    }

    pub(crate) fn position(&self) -> Position {
        self.record.position
    }

    /// The subject has a new state: say so to the SQL side.
    pub(super) fn fact_began(&mut self, noun: &'static str) {
        self.changes.push(Change::FactBegan {
            source: self.source(),
            noun,
            subject: Arc::clone(&self.record.event.subject),
            data: Arc::clone(&self.record.event.data),
        });
    }

    pub(super) fn fact_ended(&mut self) {
        self.changes.push(Change::FactEnded { source: self.source(), subject: Arc::clone(&self.record.event.subject) });
    }

    /// Settles a register and says what that means.
    pub(crate) fn update(&mut self, register: &mut Register, rank: Rank, noun: &'static str) -> Effect {
        let stood = register.stands();
        let effect = effect_of(register.update(self.claim, rank));
        if effect == Effect::Applied {
            match (rank, stood) {
                (Rank::Removed, true) => self.fact_ended(),
                (Rank::Removed, false) => {}
                _ => self.fact_began(noun),
            }
        }
        effect
    }

    /// As [`Self::update`] of a fact that follows from this command beside its own subject.
    pub(crate) fn update_implied(
        &mut self,
        register: &mut Register,
        noun: &'static str,
        subject: &str,
        data: &str,
    ) -> Effect {
        let claim = Claim { tie: Digest::of(data.as_bytes()).prefix(), ..self.claim };
        let effect = effect_of(register.update(claim, Rank::Full));
        if effect == Effect::Applied {
            let source = self.source();
            self.changes.push(Change::FactBegan { source, noun, subject: subject.into(), data: data.into() });
        }
        effect
    }

    /// Ends a fact that rests on what this command removes.
    pub(crate) fn end_implied(&mut self, register: &mut Register, subject: &str) {
        if register.stands() && effect_of(register.update(self.claim, Rank::Removed)) == Effect::Applied {
            self.changes.push(Change::FactEnded { source: self.source(), subject: subject.into() });
        }
    }

    /// The effect of a fact of a command, which has no rivals.
    pub(crate) fn applied(&mut self, noun: &'static str) -> Effect {
        self.fact_began(noun);
        Effect::Applied
    }
}

fn effect_of(precedence: Precedence) -> Effect {
    match precedence {
        Precedence::Wins => Effect::Applied,
        Precedence::Same => Effect::NoChange,
        Precedence::Superseded => Effect::Superseded,
    }
}
