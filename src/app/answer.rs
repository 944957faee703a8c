//! What questions and commands come to. Asks nobody.

use std::borrow::Cow;

use rollcall_access::Effect;
use rollcall_events::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an answer depends on, beside the question: whoever caches it has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheBasis {
    /// On the log up to a position, and on nothing else.
    Log,
    /// The newest event about one thing, and what hangs on it: a command can be given on condition that it still is the
    /// newest.
    Event(Position),
    /// Also on the time or on records kept beside the log: the same position may have another answer.
    Volatile,
}

/// An answer, and how much of the log it holds.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// The last position that counts in it.
    pub position: Position,
    /// What it depends on.
    pub cache_basis: CacheBasis,
    /// What was asked for.
    pub value: T,
}

impl<T> Answer<T> {
    /// That rests on the log up to a position and on nothing else.
    pub(crate) fn of_log(position: Position, value: T) -> Self {
        Self { position, cache_basis: CacheBasis::Log, value }
    }

    /// That is about one thing, whose newest event is at `changed`.
    pub(crate) fn of_event(position: Position, changed: Position, value: T) -> Self {
        Self { position, cache_basis: CacheBasis::Event(changed), value }
    }

    /// That also rests on the time or on what is kept beside the log.
    pub(crate) fn of_more(position: Position, value: T) -> Self {
        Self { position, cache_basis: CacheBasis::Volatile, value }
    }
}

/// A list that is short enough to be whole.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// The rows.
    pub items: Vec<T>,
}

/// A command that stands in the log and was not refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommandOutcome {
    /// Where it stands.
    #[schema(value_type = u64)]
    pub position: Position,
    /// `applied` or `no_change`.
    #[schema(value_type = String)]
    pub effect: Cow<'static, str>,
}

impl CommandOutcome {
    pub(crate) fn of(position: Position, effect: &Effect) -> Self {
        Self { position, effect: effect.as_str().into() }
    }
}

/// Something that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Created {
    /// Its id, as paths and bodies name it.
    pub id: String,
    /// Where it stands.
    #[schema(value_type = u64)]
    pub position: Position,
    /// `applied` or `no_change`.
    #[schema(value_type = String)]
    pub effect: Cow<'static, str>,
}

impl Created {
    pub(crate) fn of(id: String, outcome: CommandOutcome) -> Self {
        let CommandOutcome { position, effect } = outcome;
        Self { id, position, effect }
    }
}
