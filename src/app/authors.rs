//! Who caused an event: the caller of a command, the source that said it, the rule or the configuration that it follows from.
//! Reads what is recorded; decides nothing.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use rollcall_access::Roster;
use rollcall_events::{
    LOCAL, Position, Recorded,
    body::{Author, Principal},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Reads, error::Result};

/// What kind of thing causes events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CausedByKind {
    /// Somebody gave a command.
    Caller,
    /// A source said it.
    Source,
    /// A rule that is configured.
    Rule,
    /// The configuration that the server was started with.
    Configuration,
}

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CausedBy {
    /// What kind of thing.
    pub kind: CausedByKind,
    /// The caller as commands have it: `admin key`, `user:source/id`, `service:id`; the source's name; the rule.
    pub by: String,
    /// The user's present name, of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The secret that the caller signed in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Who caused the event at a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventCause {
    /// The event.
    #[schema(value_type = u64)]
    pub position: Position,
    /// Who.
    pub caused_by: CausedBy,
}

/// What of the data of a command says who gave it.
#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    author: Option<Author>,
    #[serde(default)]
    made_with: Option<String>,
    #[serde(default)]
    rule: Option<String>,
}

impl CausedBy {
    /// Who caused a recorded event.
    pub(crate) fn of(roster: &Roster, record: &Recorded) -> Self {
        let source = record.event.key.source.as_str();
        if source != LOCAL {
            return Self { kind: CausedByKind::Source, by: source.to_owned(), name: None, secret: None };
        }
        let given =
            serde_json::from_str(&record.event.data).unwrap_or(Given { author: None, made_with: None, rule: None });
        match given {
            Given { author: Some(author), made_with, .. } => Self {
                kind: CausedByKind::Caller,
                name: match author.principal() {
                    Some(Principal::User(id)) => {
                        roster.user_by_id(id.as_str()).map(|user| roster.user_name(user).to_owned())
                    }
                    _ => None,
                },
                by: author.as_str().to_owned(),
                secret: made_with,
            },
            Given { rule: Some(rule), .. } => Self { kind: CausedByKind::Rule, by: rule, name: None, secret: None },
            Given { .. } => {
                Self { kind: CausedByKind::Configuration, by: "configuration".to_owned(), name: None, secret: None }
            }
        }
    }

    /// In words: `admin key`, `ada (user:corp/1)`, `source corp`.
    #[must_use]
    pub fn text(&self) -> String {
        match (self.kind, &self.name) {
            (CausedByKind::Source, _) => format!("source {}", self.by),
            (CausedByKind::Rule, _) => format!("rule {}", self.by),
            (CausedByKind::Configuration, _) => "the configuration".to_owned(),
            (CausedByKind::Caller, Some(name)) => format!("{name} ({})", self.by),
            (CausedByKind::Caller, None) => self.by.clone(),
        }
    }
}

impl EventCause {
    pub(crate) fn of(roster: &Roster, record: &Recorded) -> Self {
        Self { position: record.position, caused_by: CausedBy::of(roster, record) }
    }
}

impl Reads {
    /// Who caused these events, in the order of the log.
    pub(crate) async fn causes(&self, positions: BTreeSet<Position>) -> Result<Vec<EventCause>> {
        let mut causes = Vec::with_capacity(positions.len());
        let mut pages = self.tail().records(positions.into_iter().collect());
        while let Some(records) = pages.next().await.transpose()? {
            let roster = self.live().read();
            causes.extend(records.iter().map(|record| EventCause::of(&roster, record)));
        }
        Ok(causes)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use rollcall_events::{
        Body, LogId, NewEvent,
        body::{Author, ServiceRef},
    };

    use super::*;

    #[test]
    fn an_event_is_caused_by_a_caller_a_source_a_rule_or_the_configuration() {
        let removed = ServiceRef { service: "ci".parse().unwrap(), author: Some(Author::operator()), made_with: None };
        let body = Body::ServiceRemoved(removed);
        let roster = Roster::new(LogId([1; 8]));
        for (source, data, kind, text) in [
            (LOCAL, body.data().as_str(), CausedByKind::Caller, "admin key"),
            (LOCAL, r#"{"author":"service:ci","made_with":"sec_1","rule":"x"}"#, CausedByKind::Caller, "service:ci"),
            (LOCAL, r#"{"rule":"mail domain","persons":[]}"#, CausedByKind::Rule, "rule mail domain"),
            (LOCAL, r#"{"switches":{}}"#, CausedByKind::Configuration, "the configuration"),
            ("corp", r#"{"author":"admin key"}"#, CausedByKind::Source, "source corp"),
        ] {
            let event = NewEvent { data: data.into(), ..NewEvent::of(source.parse().unwrap(), "x", &body) };
            let record = Recorded { position: Position(1), recorded_at: DateTime::default(), event };
            let cause = CausedBy::of(&roster, &record);
            assert_eq!((cause.kind, cause.text().as_str()), (kind, text), "{data}");
        }
    }
}
