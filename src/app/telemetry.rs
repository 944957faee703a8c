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
