//! A full read: people, groups, whoever groups list, each to the end, into a world. Concludes nothing from what did not
//! come: any fault ends the read.

use std::iter;

use chrono::{DateTime, Utc};
use rollcall_events::Id;
use rollcall_ingest::connector::SnapshotBuilder;

use crate::{
    changes::Part,
    client::Session,
    config::{Base, Config},
    dn::Dn,
    fault::Fault,
    filter::Filter,
    message::{Entry, Scope, Search},
    model::{Group, Schema, Unreadable},
    search,
    world::{self, Fate, Notes, World},
};

/// How many ids are asked for in one search.
const AT_ONCE: usize = 100;

/// Why nothing can be concluded from a read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Fault(#[from] Fault),
    /// An entry without a readable id: whose it is cannot be said, so nothing can be said to be gone.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
}

/// Reads everything onto a sheet, as it comes: while a server looks for the next page, this one is written down.
pub async fn everything(
    session: &mut Session,
    config: &Config,
    builder: &mut SnapshotBuilder,
) -> Result<Notes, ReadError> {
    let now = builder.now();
    let (mut world, mut notes) = (World::default(), Notes::default());
    let pages = session.root.pages().then_some(config.page);
    let schema = session.schema.clone();
    for base in &config.people {
        let search = below(base, schema.people.clone(), schema.person_attributes());
        let mut read = Ok(());
        let mut take = |entry: Entry| match schema.person(&entry, now) {
            Ok(person) => {
                world.meet(&person);
                builder.add(world::person_fact(&person));
            }
            Err(why) => read = Err(why),
        };
        let found = search::whole(&mut session.connection, &search, pages, &mut take).await?;
        notes.references += found.references;
        read?;
    }
    for base in &config.groups {
        let search = below(base, schema.groups.clone(), schema.group_attributes());
        let (mut read, mut ranged) = (Ok(()), Vec::new());
        let mut take = |entry: Entry| {
            if search::is_ranged(&entry) {
                ranged.push(entry);
            } else if let Err(why) = pass_group(&schema, &mut world, &mut notes, builder, &entry) {
                read = Err(why);
            }
        };
        let found = search::whole(&mut session.connection, &search, pages, &mut take).await?;
        read?;
        notes.references += found.references;
        for mut entry in ranged {
            search::complete(&mut session.connection, &mut entry).await?;
            pass_group(&schema, &mut world, &mut notes, builder, &entry)?;
        }
    }
    resolve(session, config, &mut world, &mut notes, now).await?;
    notes.add(world.state(builder));
    Ok(notes)
}

/// Takes a group in, and states it at once where nothing that is read later can add to it.
fn pass_group(
    schema: &Schema,
    world: &mut World,
    notes: &mut Notes,
    builder: &mut SnapshotBuilder,
    entry: &Entry,
) -> Result<(), Unreadable> {
    match schema.group(entry) {
        // People may name it as theirs.
        Ok(group) if group.sid.is_some() || schema.member_of => world.put_group(group),
        Ok(group) => world.pass_group(group, builder, notes),
        read => take_group(world, notes, read, entry)?,
    }
    Ok(())
}

pub fn below(base: &Base, filter: Filter, attributes: Vec<String>) -> Search {
    Search { base: base.text.clone(), scope: Scope::Subtree, filter, attributes, controls: Vec::new(), limit: 0 }
}

/// Every entry of every base, by part and with every value; of these ids only, where some are given.
pub async fn entries(session: &mut Session, config: &Config, only: Option<&[Id]>) -> Result<Vec<(Part, Entry)>, Fault> {
    let schema = session.schema.clone();
    let pages = session.root.pages().then_some(config.page);
    let people = config.people.iter().map(|base| (base, &schema.people, schema.person_attributes()));
    let groups = config.groups.iter().map(|base| (base, &schema.groups, schema.group_attributes()));
    let of = |id: &Id| Filter::Equal(schema.id.clone(), schema.id_value(id));
    let asked: Vec<Option<Filter>> = match only {
        None => vec![None],
        Some(ids) => ids.chunks(AT_ONCE).map(|ids| Some(Filter::any(ids.iter().map(of).collect()))).collect(),
    };
    let mut all = Vec::new();
    for (part, (base, kind, attributes)) in people.chain(groups).enumerate() {
        for ids in &asked {
            let filter = Filter::And(iter::once(kind).chain(ids).cloned().collect());
            let search = below(base, filter, attributes.clone());
            let found = search::whole(&mut session.connection, &search, pages, &mut |entry| entry).await?;
            for mut entry in found.items {
                search::complete(&mut session.connection, &mut entry).await?;
                all.push((part, entry));
            }
        }
    }
    Ok(all)
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
            world.note(dn, Fate::Unresolved(fault.to_string()));
            return Ok(());
        }
        Err(fault) => return Err(fault.into()),
    };
    if found.is_none() {
        world.note(dn, Fate::Absent);
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
        world.note(dn, Fate::Outside);
    }
    Ok(())
}
