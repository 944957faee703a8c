//! What the API says of itself: a log line and its metric are one struct, so that they cannot drift apart.
//! Never a body, a key, a code or a person's name; routes by their pattern, never by their path.

use rollcall_events::{Position, SourceName};

/// A request was answered.
pub(crate) struct RequestAnswered<'a> {
    /// The route's pattern, `-` where none matched.
    pub route: &'a str,
    /// The HTTP method; `OTHER` for one that no route has.
    pub method: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// How long it took.
    pub seconds: f64,
}

impl RequestAnswered<'_> {
    /// Says it.
    pub fn emit(self) {
        let Self { route, method, status, seconds } = self;
        tracing::debug!(route, method, status, seconds, "request answered");
        let labels = [("route", route.to_owned()), ("method", method.to_owned()), ("status", status.to_string())];
        metrics::counter!("rollcall_http_requests_total", &labels).increment(1);
        metrics::histogram!("rollcall_http_request_duration_seconds", "route" => route.to_owned()).record(seconds);
    }
}

/// The personal data of somebody was erased; of whom is for no log.
pub(crate) struct PersonErased<'a> {
    /// The source that named the person.
    pub source: &'a SourceName,
    /// How many kept deliveries lost their bytes.
    pub deliveries: u64,
}

impl PersonErased<'_> {
    /// Says it.
    pub fn emit(self) {
        tracing::info!(source = self.source.as_str(), deliveries = self.deliveries, "personal data erased");
        metrics::counter!("rollcall_erasures_total", "source" => self.source.to_string()).increment(1);
    }
}

/// A command was recorded and judged.
pub(crate) struct CommandJudged {
    /// The event type.
    pub kind: &'static str,
    /// Where it stands.
    pub position: Position,
    /// The effect's word; `unknown` while it was not judged in time.
    pub effect: &'static str,
}

impl CommandJudged {
    /// Says it.
    pub fn emit(self) {
        tracing::info!(kind = self.kind, position = self.position.0, effect = self.effect, "command judged");
        metrics::counter!("rollcall_commands_total", "type" => self.kind, "effect" => self.effect).increment(1);
    }
}
