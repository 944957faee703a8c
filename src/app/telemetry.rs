//! What questions and commands say of themselves: a log line and its metric are one struct, so that they cannot drift apart.
//! Never a body, a key, a code or a person's name.

use rollcall_events::{Position, SourceName};

/// The personal data of somebody was erased; of whom is for no log.
pub(crate) struct PersonErased<'a> {
    /// The source that named the person.
    pub source: &'a SourceName,
    /// How many kept deliveries lost their bytes.
    pub deliveries: u64,
}

impl PersonErased<'_> {
    /// Writes the line and counts.
    pub fn emit(self) {
        tracing::info!(source = self.source.as_str(), deliveries = self.deliveries, "personal data erased");
        metrics::counter!("rollcall_erasures_total", "source" => self.source.to_string()).increment(1);
    }
}

/// A command was recorded and its caller answered.
pub(crate) struct CommandAnswered {
    /// The event type.
    pub kind: &'static str,
    /// Its position in the log.
    pub position: Position,
    /// The effect's word; `unknown` where the fold did not reach it in time.
    pub effect: &'static str,
}

impl CommandAnswered {
    /// Writes the line and counts.
    pub fn emit(self) {
        tracing::info!(kind = self.kind, position = self.position.0, effect = self.effect, "command answered");
        metrics::counter!("rollcall_commands_total", "type" => self.kind, "effect" => self.effect).increment(1);
    }
}

/// How much of something that is shared among callers is taken.
pub(crate) struct ShareUse {
    /// Which.
    pub share: &'static str,
    /// By how many requests.
    pub held: usize,
    /// How many wait for it.
    pub waiting: usize,
}

impl ShareUse {
    /// Shows it.
    pub fn emit(self) {
        let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        metrics::gauge!("rollcall_share_held", "share" => self.share).set(count(self.held));
        metrics::gauge!("rollcall_share_waiting", "share" => self.share).set(count(self.waiting));
    }
}

/// A request got its part of something that is shared among callers.
pub(crate) struct ShareTaken {
    /// Of what.
    pub share: &'static str,
}

impl ShareTaken {
    /// Counts.
    pub fn emit(self) {
        metrics::counter!("rollcall_share_uses_total", "share" => self.share).increment(1);
    }
}

/// A request was refused because as much of its kind is under way as may be.
pub(crate) struct ShareRefused {
    /// Of what.
    pub share: &'static str,
    /// Whose: `caller`, `address` or `everybody`.
    pub bound: &'static str,
}

impl ShareRefused {
    /// Writes the line and counts.
    pub fn emit(self) {
        tracing::debug!(share = self.share, bound = self.bound, "too much at once");
        metrics::counter!("rollcall_share_refused_total", "share" => self.share, "bound" => self.bound).increment(1);
    }
}

/// Events were folded for a question about the past.
pub(crate) struct PastEventsFolded {
    /// How many.
    pub events: usize,
}

impl PastEventsFolded {
    /// Counts.
    pub fn emit(self) {
        metrics::counter!("rollcall_past_events_folded_total").increment(self.events as u64);
    }
}
