//! What reading sources says about itself: log lines and their metrics together, so that they cannot drift apart.

use rollcall_eventlog::Outcome;
use rollcall_events::{NewEvent, SourceName};

use crate::{
    connector::FullReadReason,
    reading::{
        run::RunError,
        status::{SourceState, SourceStatus},
    },
};

/// Facts of a read or a follower were appended.
pub(crate) fn facts_appended(source: &SourceName, events: &[NewEvent], outcomes: &[Outcome]) {
    for (event, outcome) in events.iter().zip(outcomes) {
        match outcome {
            Outcome::Recorded(_) => metrics::counter!("rollcall_events_appended_total",
                "source" => source.to_string(), "type" => event.kind.to_string())
            .increment(1),
            Outcome::Duplicate(_) => {}
            Outcome::Conflict(at) => {
                tracing::warn!(
                    source = source.as_str(),
                    subject = &*event.subject,
                    position = at.0,
                    "id taken by other bytes"
                );
            }
        }
    }
}

/// A source was asked, and this is how it is.
pub(crate) fn source_checked(status: &SourceStatus) {
    let source = status.source.as_str();
    for state in SourceState::ALL {
        metrics::gauge!("rollcall_source_state", "source" => source.to_owned(), "state" => state.as_str())
            .set(if *state == status.state { 1.0 } else { 0.0 });
    }
    if let Some(sealed) = status.sealed_at {
        #[expect(clippy::cast_precision_loss, reason = "seconds fit")]
        metrics::gauge!("rollcall_source_sealed_at_seconds", "source" => source.to_owned())
            .set(sealed.timestamp() as f64);
    }
    tracing::debug!(source, state = status.state.as_str(), facts = status.facts, "source checked");
}

/// A follower goes on from where it was.
pub(crate) fn source_resumed(source: &SourceName) {
    metrics::counter!("rollcall_source_follows_total", "source" => source.to_string(), "from" => "cursor").increment(1);
    tracing::info!(source = source.as_str(), "source followed from where it was");
}

/// A follower reads everything.
pub(crate) fn source_read_anew(source: &SourceName, why: &FullReadReason) {
    metrics::counter!("rollcall_source_follows_total", "source" => source.to_string(), "from" => why.word())
        .increment(1);
    tracing::info!(source = source.as_str(), from = why.word(), %why, "source read as a whole");
}

/// A run came to nothing.
pub(crate) fn run_failed(source: &SourceName, error: &RunError) {
    let word = match error {
        RunError::Source(failure) => SourceState::from(failure).as_str(),
        RunError::Retired(_) => SourceState::Retired.as_str(),
        RunError::Storage(_) => "storage",
    };
    metrics::counter!("rollcall_source_failures_total", "source" => source.to_string(), "reason" => word).increment(1);
    tracing::warn!(source = source.as_str(), reason = word, %error, "source not read");
}
