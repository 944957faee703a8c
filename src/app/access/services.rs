//! Services: principals that are no people, and the secrets with which they sign in. What a service may do, its bindings
//! say.

use chrono::{DateTime, Utc};
use rollcall_access::{Roster, ServiceIx};
use rollcall_events::{
    Body, Position, SchemaError, SourceName,
    body::{SecretOwner, Service, ServiceRef},
    time,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Answer, CommandOutcome, Commands, Created, List, Page, PageRequest, Precondition, Reads,
    access::secrets::{self, MadeShown, NewSecret, SecretIssued, SecretRevoked, SecretShown, WhatItMade},
    error::{Error, ErrorKind, Result},
    find, input,
};

/// A principal that is no person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServiceShown {
    /// Its id, and the name to sign in with.
    pub id: String,
    /// A label.
    pub name: Option<String>,
    /// Until when (exclusive) it signs in and may do anything; `null` without end.
    #[serde(default)]
    pub ends: Option<DateTime<Utc>>,
    /// Of a licensing portal: the sources whose people it serves; every source when empty.
    #[serde(default)]
    pub sources: Vec<String>,
    /// The newest event about it.
    #[schema(value_type = u64)]
    pub position: Position,
}

impl ServiceShown {
    fn of(roster: &Roster, service: ServiceIx) -> Self {
        let view = roster.service(service);
        Self {
            id: view.id.to_owned(),
            name: view.name.map(str::to_owned),
            ends: view.ends,
            sources: view.sources.iter().map(|&source| source.to_owned()).collect(),
            position: view.changed,
        }
    }
}

/// Services by id; whoever may not list them sees only the own row.
///
/// # Errors
/// The caller asks for much at once.
pub async fn list(reads: &Reads, page: PageRequest) -> Result<Answer<Page<ServiceShown>>> {
    let list = reads.list(move |roster, view, awaited| {
        let all = view.may_everywhere("service.list");
        let services = roster.services_by_id(page.from());
        let rows = services.map(|service| (all || view.is(service)).then(|| ServiceShown::of(roster, service)));
        page.gather(awaited, rows, |row| row.id.clone())
    });
    let (position, page) = list.await?;
    // Which the caller sees follows from roles that begin and end without an event.
    Ok(Answer::of_more(position, page))
}

/// One service.
///
/// # Errors
/// There is none of this id.
pub fn show(reads: &Reads, id: &str) -> Result<Answer<ServiceShown>> {
    let roster = reads.live().read();
    let service = ServiceShown::of(&roster, find::service(&roster, id)?);
    Ok(Answer::of_event(roster.position(), service.position, service))
}

/// A service to make.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewService {
    /// Its id: at most 100 of a-z, 0-9, `.`, `-` and `_`.
    pub id: String,
    /// A label.
    #[serde(default)]
    pub name: Option<String>,
    /// Until when (exclusive) it is there. When absent: as long as the secret that the caller signs in with, without end
    /// where that has none. Later than that is refused.
    #[serde(default, deserialize_with = "time::nullable")]
    pub ends: Option<DateTime<Utc>>,
    /// Of a licensing portal: the sources whose people it serves. Every source when empty.
    #[serde(default)]
    pub sources: Vec<String>,
}

/// Makes a service. It may do nothing until a binding says so. What a former one of this id signed in with stays ended.
///
/// # Errors
/// The id does not fit or is taken, or the command was refused.
pub async fn create(mut commands: Commands, new: NewService) -> Result<Created> {
    let service = input::id("/id", &new.id)?;
    // To state it again would end its secrets, so nobody may come in between.
    commands.take_exclusive().await;
    if commands.live().read().service_by_id(&new.id).is_some() {
        return Err(ErrorKind::Taken.because("There is a service of this id. Take another, or remove that one first."));
    }
    let ends = secrets::end_within("/ends", new.ends, &commands)?;
    let sources = new.sources.iter().map(|source| known_source(&commands, source)).collect::<Result<_>>()?;
    let body = Service {
        service,
        name: input::label("/name", new.name)?,
        ends,
        sources,
        author: Some(commands.author()),
        made_with: commands.made_with(),
    };
    Ok(Created::of(new.id, commands.append(&Body::ServiceCreated(body)).await?))
}

/// A source that said something, or is configured.
fn known_source(commands: &Commands, name: &str) -> Result<SourceName> {
    let roster = commands.live().read();
    let settings = &roster.settings().sources;
    let parsed: Option<SourceName> = name.parse().ok();
    let known = parsed.filter(|source| settings.contains_key(source) || roster.sources().any(|one| one == name));
    known.ok_or_else(|| {
        let names: Vec<&str> = settings.keys().map(SourceName::as_str).collect();
        let error = SchemaError::at("/sources", format!("names of sources: {}", names.join(", ")));
        ErrorKind::InvalidBody.because("There is no such source. Nothing was recorded.").with_field(error)
    })
}

/// Removes a service and ends everything that it signs in with, everywhere.
///
/// # Errors
/// There is none of this id, or the command was refused.
pub async fn remove(commands: Commands, id: &str, only_if: Precondition) -> Result<CommandOutcome> {
    let commands = commands.with_precondition(only_if).await;
    let newest = {
        let roster = commands.live().read();
        roster.service(find::service(&roster, id)?).changed
    };
    commands.check(Some(newest))?;
    let body =
        ServiceRef { service: input::id("/id", id)?, author: Some(commands.author()), made_with: commands.made_with() };
    commands.append(&Body::ServiceRemoved(body)).await
}

/// The secrets of a service that are in force; never their text.
///
/// # Errors
/// There is no such service.
pub fn list_secrets(reads: &Reads, id: &str) -> Result<Answer<List<SecretShown>>> {
    let now = reads.now();
    let roster = reads.live().view();
    let secrets = roster.secrets_of(find::service(&roster, id)?, now);
    Ok(Answer::of_more(
        roster.position(),
        List { items: secrets.iter().map(|one| SecretShown::of(&roster, one)).collect() },
    ))
}

/// Makes a secret for a service, shown this once. It never outlives the secret that the caller signs in with.
///
/// # Errors
/// There is no such service, what is asked for does not fit, or the command was refused.
pub async fn issue_secret(commands: Commands, id: &str, new: NewSecret) -> Result<SecretIssued> {
    find::service(&commands.live().read(), id)?;
    let service = input::id("/id", id)?;
    let (text, secret) = secrets::generate(&commands, SecretOwner::Service(service), new)?;
    let outcome = commands.append(&Body::SecretIssued(secret.clone())).await?;
    Ok(SecretIssued::of(secret, text, id.to_owned(), outcome.position))
}

/// What a secret of a service made, and what that made in turn, as far as it is there still.
///
/// # Errors
/// There is no such secret.
pub fn made(reads: &Reads, id: &str, secret: &str) -> Result<Answer<List<MadeShown>>> {
    let roster = reads.live().view();
    let service = find::service(&roster, id)?;
    let secret = secrets::whole_id(&roster.secrets_of(service, reads.now()), secret)?;
    let seen = reads.view(&roster).sees_secret(service.into(), &secret);
    seen.then(|| secrets::made_with(reads, &roster, &secret)).ok_or_else(|| unknown_secret(&secret))
}

fn unknown_secret(id: &str) -> Error {
    ErrorKind::UnknownSecret.because(format!(
        "This service has no such secret in force. Its path without the last part lists them.{}",
        find::only_looks_like(id)
    ))
}

/// Ends a secret of a service, everywhere. What it made stays unless the caller says otherwise, and is listed.
///
/// # Errors
/// There is no such secret in force, or the command was refused.
pub async fn revoke_secret(
    commands: Commands,
    id: &str,
    secret: &str,
    what_it_made: WhatItMade,
) -> Result<SecretRevoked> {
    let now = commands.now();
    let secret = {
        let roster = commands.live().view();
        let service = find::service(&roster, id)?;
        let secrets = roster.secrets_of(service, now);
        let secret = secrets::whole_id(&secrets, secret)?;
        let own = secrets.iter().any(|one| one.id == secret)
            || (what_it_made == WhatItMade::End && commands.view(&roster).sees_secret(service.into(), &secret));
        secret.parse().ok().filter(|_| own).ok_or_else(|| unknown_secret(&secret))?
    };
    secrets::end(commands, secret, what_it_made).await
}
