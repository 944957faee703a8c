//! A full read: people, groups, whoever groups list, each to the end, into a world. Concludes nothing from what did not
//! come: any fault ends the read.

use chrono::{DateTime, Utc};

use crate::{
    client::Session,
    config::{Base, Config},
    dn::Dn,
    fault::Fault,
    message::{Entry, Scope, Search},
    model::{Group, Unreadable},
    search,
    world::{Fate, Notes, World},
};

/// Why nothing can be concluded from a read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Fault(#[from] Fault),
    /// An entry without a readable id: whose it is cannot be said, so nothing can be said to be gone.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
}

/// Reads everything.
pub async fn everything(
    session: &mut Session,
    config: &Config,
    now: DateTime<Utc>,
) -> Result<(World, Notes), ReadError> {
    let mut world = World::default();
    let mut notes = Notes::default();
    let pages = session.root.pages().then_some(config.page);
    for base in &config.people {
        let schema = session.schema.clone();
        let search = below(base, schema.people.clone(), schema.person_attributes());
        let mut take = |entry: Entry| schema.person(&entry, now);
        let found = search::whole(&mut session.connection, &search, pages, &mut take).await?;
        notes.references += found.references;
        for person in found.items {
            world.put_person(person?);
        }
    }
    for base in &config.groups {
        let schema = session.schema.clone();
        let search = below(base, schema.groups.clone(), schema.group_attributes());
        let found = search::whole(&mut session.connection, &search, pages, &mut |entry| entry).await?;
        notes.references += found.references;
        for mut entry in found.items {
            search::complete(&mut session.connection, &mut entry).await?;
            take_group(&mut world, &mut notes, session.schema.group(&entry), &entry)?;
        }
    }
    resolve(session, config, &mut world, &mut notes, now).await?;
    Ok((world, notes))
}

pub fn below(base: &Base, filter: crate::filter::Filter, attributes: Vec<String>) -> Search {
    Search { base: base.text.clone(), scope: Scope::Subtree, filter, attributes, limit: 0 }
}

/// Takes a group in; one whose members only the server knows is left out by name, any other unreadable one ends the read.
pub fn take_group(
    world: &mut World,
    notes: &mut Notes,
    read: Result<Group, Unreadable>,
    entry: &Entry,
) -> Result<(), Unreadable> {
    match read {
        Ok(group) => world.put_group(group),
        Err(why) if entry.is("groupOfURLs") => notes.left_out.push(why.to_string()),
        Err(why) => return Err(why),
    }
    Ok(())
}

/// Looks every name up that a group lists and nobody read, until nothing is unknown.
pub async fn resolve(
    session: &mut Session,
    config: &Config,
    world: &mut World,
    notes: &mut Notes,
    now: DateTime<Utc>,
) -> Result<(), ReadError> {
    loop {
        let unknown = world.unknown();
        if unknown.is_empty() {
            return Ok(());
        }
        for dn in unknown {
            look_up(session, config, world, notes, &dn, now).await?;
        }
    }
}

/// Looks one name up: a person or group that came while we read, somebody outside, nobody, or no answer.
async fn look_up(
    session: &mut Session,
    config: &Config,
    world: &mut World,
    notes: &mut Notes,
    dn: &Dn,
    now: DateTime<Utc>,
) -> Result<(), ReadError> {
    let text = dn.to_string();
    let within = |bases: &[Base]| bases.iter().any(|base| dn.is_within(&base.dn));
    let schema = session.schema.clone();
    let connection = &mut session.connection;
    let found = match search::entry(connection, &text, None, vec!["1.1".to_owned()]).await {
        Ok(found) => found,
        // The server answered, and not to this: that one member is unresolved. Anything else is the end of the read.
        Err(fault @ Fault::Refused { .. }) => {
            world.note(dn.clone(), Fate::Unresolved(fault.to_string()));
            return Ok(());
        }
        Err(fault) => return Err(fault.into()),
    };
    if found.is_none() {
        world.note(dn.clone(), Fate::Absent);
        return Ok(());
    }
    if within(&config.people) {
        let filter = Some(schema.people.clone());
        if let Some(entry) = search::entry(connection, &text, filter, schema.person_attributes()).await? {
            world.put_person(schema.person(&entry, now)?);
        }
    }
    if within(&config.groups) {
        let filter = Some(schema.groups.clone());
        if let Some(mut entry) = search::entry(connection, &text, filter, schema.group_attributes()).await? {
            search::complete(connection, &mut entry).await?;
            take_group(world, notes, schema.group(&entry), &entry)?;
        }
    }
    if world.named(dn).is_none() {
        world.note(dn.clone(), Fate::Outside);
    }
    Ok(())
}
