//! The answer to commands that were recorded before, of the same shape as the one that was given then: their request is sent
//! again and its answer is lost. Told from the log alone.

use futures_util::StreamExt as _;
use rollcall_events::{Body, LOCAL, Position, Recorded};
use serde::Serialize;

use crate::{
    App, CommandOutcome, Created,
    access::{
        bindings::BindingSet,
        bindings_document::BindingsApplied,
        identity::{LinksApplied, count_links},
        projects::ProjectMade,
    },
    commands::{judged, outcome},
    error::{ErrorKind, Result},
    operations::{configuration::ConfigurationApplied, source_changes::SourceChanged},
};

/// How the answer to a request is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// By what its command is about.
    Thing,
    /// As a document that was applied.
    Document,
}

/// The answer to a request that was recorded before, of the same shape as the one that was given then.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum CommandsRecorded {
    /// Of a command that has nothing else to show.
    Command(CommandOutcome),
    /// Of something that was made.
    Created(Created),
    /// Of a project that was made.
    Project(ProjectMade),
    /// Of a binding.
    Binding(BindingSet),
    /// Of a document of bindings.
    Bindings(BindingsApplied),
    /// Of links.
    Links(LinksApplied),
    /// Of a source.
    Source(SourceChanged),
    /// Of the configuration.
    Configuration(ConfigurationApplied),
}

impl CommandsRecorded {
    /// Whether something new was made.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self, Self::Created(_) | Self::Project(_))
    }

    /// The position to ask for in the next read.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Command(told) => Some(told.position),
            Self::Created(told) => Some(told.position),
            Self::Project(told) => Some(told.position),
            Self::Binding(told) => Some(told.position),
            Self::Bindings(told) => told.positions.last().copied(),
            Self::Links(told) => Some(told.position),
            Self::Source(told) => Some(told.position),
            Self::Configuration(told) => Some(told.position),
        }
    }
}

impl App {
    /// The answer to commands that were recorded before.
    ///
    /// # Errors
    /// One was refused, its effect is not known yet, or what they made can be shown only once.
    pub async fn recorded(&self, positions: Vec<Position>, told: Told) -> Result<CommandsRecorded> {
        let effects = judged(self, &positions).await;
        let mut last = None;
        for (position, effect) in positions.iter().zip(effects) {
            last = Some(outcome(*position, effect)?);
        }
        let mut bodies: Vec<Body> = Vec::with_capacity(positions.len());
        let mut pages = self.tail.records(positions.clone());
        while let Some(page) = pages.next().await.transpose()? {
            bodies.extend(page.iter().filter_map(body_of));
        }
        let (Some(first), Some(outcome)) = (bodies.first(), last) else {
            return Err(ErrorKind::Internal.because("What was recorded cannot be read. Look at the log."));
        };
        let position = outcome.position;
        Ok(match first {
            _ if told == Told::Document => CommandsRecorded::Bindings(BindingsApplied { plan: None, positions }),
            Body::SecretIssued(secret) => return Err(shown_once(secret.secret.as_str(), "secret", position)),
            Body::SecretInvited(code) => return Err(shown_once(code.secret.as_str(), "invitation", position)),
            Body::ProjectCreated(data) => {
                let CommandOutcome { position, effect } = outcome;
                CommandsRecorded::Project(ProjectMade { id: format!("{LOCAL}/{}", data.project), position, effect })
            }
            Body::GroupUpserted(data) => {
                CommandsRecorded::Created(Created::of(format!("{LOCAL}/{}", data.group), outcome))
            }
            Body::ServiceCreated(data) => CommandsRecorded::Created(Created::of(data.service.to_string(), outcome)),
            Body::BindingSet(data) => CommandsRecorded::Binding(BindingSet::recorded(&self.live.read(), data, outcome)),
            Body::SourceSuspended(data) | Body::SourceResumed(data) | Body::SourceRetired(data) => {
                let CommandOutcome { position, effect } = outcome;
                let source = data.source.to_string();
                CommandsRecorded::Source(SourceChanged { source, plan: None, position, effect })
            }
            Body::IdentityLinked(_) | Body::IdentityUnlinked(_) | Body::UserNameGiven(_) => {
                let links = count_links(&bodies);
                CommandsRecorded::Links(LinksApplied { plan: None, links, left: 0, position })
            }
            Body::SettingsSet(_) | Body::ProfileSet(_) => {
                CommandsRecorded::Configuration(ConfigurationApplied { plan: None, position })
            }
            _ => CommandsRecorded::Command(outcome),
        })
    }
}

fn body_of(record: &Recorded) -> Option<Body> {
    Body::recorded(&record.event.kind, &record.event.data).ok()
}

fn shown_once(id: &str, what: &str, position: Position) -> crate::Error {
    ErrorKind::ShownOnce
        .because(format!(
            "This request made the {what} {id}, which is shown once, with the first answer. If that never came, end {id} and make another under a new `Idempotency-Key`."
        ))
        .at(position)
        .about(id)
}
