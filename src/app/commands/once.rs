//! Exactly once, also across a crash: the commands of a request with an `Idempotency-Key` are events whose ids follow from
//! who calls and the key, so that the log itself says whether they were given, for as long as it is there. Knows no HTTP
//! and no key: whoever holds one makes the digests.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use rollcall_events::{Body, Digest, LOCAL, Position, Recorded};
use serde::Serialize;

use super::{judged, outcome};
use crate::{
    App, CommandOutcome, Created,
    access::{
        bindings::BindingSet,
        bindings_document::BindingsApplied,
        identity::{LinksApplied, is_link},
        projects::ProjectMade,
    },
    error::{ErrorKind, Result},
    operations::{configuration::ConfigurationApplied, source_changes::SourceChanged},
};

/// A request whose commands are given once.
#[derive(Debug)]
pub struct OneRequest {
    /// What the ids of its events begin with.
    begins: String,
    /// What is asked for; their `correlationid`.
    asked: Arc<str>,
    given: AtomicU32,
}

/// What the log has of a request.
#[derive(Debug)]
pub enum Given {
    /// Nothing: its commands may be given.
    Nothing,
    /// Another request has the same key.
    Other,
    /// Its commands stand at these positions.
    At(Vec<Position>),
}

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

impl OneRequest {
    /// `named`: of who calls and the key. `asked`: of all that is asked for. Both stand in the log, so that they must be
    /// keyed: nobody who has a copy of it may try out what they were made of.
    #[must_use]
    pub fn new(named: Digest, asked: Digest) -> Self {
        let half = |digest: Digest| digest.to_string().chars().take(32).collect::<String>();
        Self {
            begins: format!("evt_{}", half(named)),
            asked: format!("req_{}", half(asked)).into(),
            given: AtomicU32::new(0),
        }
    }

    /// The ids of the next `n` events of the request, and their correlation.
    pub(super) fn next(&self, n: usize) -> (impl Iterator<Item = String>, &Arc<str>) {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let from = self.given.fetch_add(n, Ordering::Relaxed);
        ((from..from.saturating_add(n)).map(|n| format!("{}{n:08x}", self.begins)), &self.asked)
    }
}

impl App {
    /// What the log has of a request. Its commands are recorded together, so that none is missing where one is there.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn given(&self, request: &OneRequest) -> Result<Given> {
        let positions = self.tail.by_id(LOCAL, &request.begins, u32::MAX).await?;
        let Some(first) = positions.first() else { return Ok(Given::Nothing) };
        let first = self.tail.records(&[*first]).await?;
        let same = first.iter().all(|record| record.event.correlation.as_ref() == Some(&request.asked));
        Ok(if same { Given::At(positions) } else { Given::Other })
    }

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
        let bodies: Vec<Body> = self.tail.records(&positions).await?.iter().filter_map(body_of).collect();
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
                let links = bodies.iter().filter(|body| is_link(body)).count() as u64;
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
    Body::parse(&record.event.kind, &record.event.data).ok()
}

fn shown_once(id: &str, what: &str, position: Position) -> crate::Error {
    ErrorKind::ShownOnce
        .because(format!(
            "This request made the {what} {id}, which is shown once, with the first answer. If that never came, end {id} and make another under a new `Idempotency-Key`."
        ))
        .at(position)
        .about(id)
}
