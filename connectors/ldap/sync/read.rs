//! A full read: people, groups, whoever groups list, each to the end, into an index. Concludes nothing from what did not
//! come: any fault ends the read.

use std::{collections::BTreeSet, iter};

use chrono::{DateTime, Utc};
use rollcall_events::Id;
use rollcall_ingest::connector::SnapshotBuilder;

use crate::{
    client::Session,
    config::{Base, Config, Part},
    schema::model::{Group, Schema, Unreadable},
    sync::{
        accounts,
        index::{self, DirectoryIndex, LookupResult, ReadReport},
    },
    wire::{
        dn::Dn,
        fault::Fault,
        filter::Filter,
        message::{Entry, Scope, Search},
        search,
    },
};

/// How many ids are asked for in one search.
pub const IDS_PER_SEARCH: usize = 100;

/// Why nothing can be concluded from a read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Fault(#[from] Fault),
    /// An entry without a readable id: whose it is cannot be said, so nothing can be said to be gone.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    /// What says that accounts are disabled or over cannot be read, so that everybody would look in force.
    #[error("{0}")]
    Hidden(String),
}

/// Makes sure that whoever is disabled or over would look so. Without this nothing that is read says that somebody is in force.
pub async fn prove_accounts(session: &mut Session, config: &Config, now: DateTime<Utc>) -> Result<(), ReadError> {
    match accounts::hidden(session, config, now).await? {
        Some(hidden) => Err(ReadError::Hidden(hidden.text(session, config))),
        None => Ok(()),
    }
}

/// The same by whoever is disabled now, before a whole read: it may have to look through everybody.
pub async fn prove_by_example(session: &mut Session, config: &Config, now: DateTime<Utc>) -> Result<(), ReadError> {
    match accounts::hidden_by_example(session, config, now).await? {
        Some(hidden) => Err(ReadError::Hidden(hidden.text(session, config))),
        None => Ok(()),
    }
}

/// Reads everything into a snapshot, as it comes: while a server looks for the next page, this one is taken in.
pub async fn read_everything(
    session: &mut Session,
    config: &Config,
    builder: &mut SnapshotBuilder,
) -> Result<ReadReport, ReadError> {
    let now = builder.now();
    prove_by_example(session, config, now).await?;
    let (mut index, mut report) = (DirectoryIndex::default(), ReadReport::default());
    let pages = session.root.pages().then_some(config.page);
    let schema = session.schema.clone();
    for base in &config.people {
        let search = search_below(base, schema.people.clone(), schema.person_attributes());
        let mut read = Ok(());
        let mut take = |entry: Entry| match index::read_person(&schema, &entry, now, |fact| builder.said(fact)) {
            Ok(person) => {
                index.add_names(&person);
                builder.add(index::person_fact(&person));
            }
            Err(why) => read = Err(why),
        };
        let found = search::search_all(&mut session.connection, &search, pages, &mut take).await?;
        report.references += found.references;
        read?;
    }
    for base in &config.groups {
        let search = search_below(base, schema.groups.clone(), schema.group_attributes());
        let (mut read, mut ranged) = (Ok(()), Vec::new());
        let mut take = |entry: Entry| {
            if search::is_ranged(&entry) {
                ranged.push(entry);
            } else if let Err(why) = add_group(&schema, &mut index, &mut report, builder, &entry) {
                read = Err(why);
            }
        };
        let found = search::search_all(&mut session.connection, &search, pages, &mut take).await?;
        read?;
        report.references += found.references;
        for mut entry in ranged {
            search::complete_ranges(&mut session.connection, &mut entry).await?;
            add_group(&schema, &mut index, &mut report, builder, &entry)?;
        }
    }
    resolve(session, config, &mut index, &mut report, now).await?;
    report.add(index.state(builder));
    Ok(report)
}

/// Takes a group in, and states it at once where nothing that is read later can add to it.
fn add_group(
    schema: &Schema,
    index: &mut DirectoryIndex,
    report: &mut ReadReport,
    builder: &mut SnapshotBuilder,
    entry: &Entry,
) -> Result<(), Unreadable> {
    match schema.group(entry) {
        // People may name it as theirs.
        Ok(group) if group.sid.is_some() || schema.member_of => index.put_group(group),
        Ok(group) => index.state_or_keep_group(group, builder, report),
        read => keep_group(index, report, read, entry)?,
    }
    Ok(())
}

pub fn search_below(base: &Base, filter: Filter, attributes: Vec<String>) -> Search {
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
        Some(ids) => ids.chunks(IDS_PER_SEARCH).map(|ids| Some(Filter::any(ids.iter().map(of).collect()))).collect(),
    };
    let mut all = Vec::new();
    for (part, (base, kind, attributes)) in people.chain(groups).enumerate() {
        for ids in &asked {
            let filter = Filter::And(iter::once(kind).chain(ids).cloned().collect());
            let search = search_below(base, filter, attributes.clone());
            let found = search::search_all(&mut session.connection, &search, pages, &mut |entry| entry).await?;
            for mut entry in found.items {
                search::complete_ranges(&mut session.connection, &mut entry).await?;
                all.push((part, entry));
            }
        }
    }
    Ok(all)
}

/// Takes a group in; one whose members only the server knows is left out by name, any other unreadable one ends the read.
pub fn keep_group(
    index: &mut DirectoryIndex,
    report: &mut ReadReport,
    read: Result<Group, Unreadable>,
    entry: &Entry,
) -> Result<(), Unreadable> {
    match read {
        Ok(group) => index.put_group(group),
        Err(why) if entry.is("groupOfURLs") => report.left_out.push(why.to_string()),
        Err(why) => return Err(why),
    }
    Ok(())
}

/// Asks the server whom every name means that a group lists and under which nobody was read, until nothing is unknown. It
/// alone knows which names it takes for one.
pub async fn resolve(
    session: &mut Session,
    config: &Config,
    index: &mut DirectoryIndex,
    report: &mut ReadReport,
    now: DateTime<Utc>,
) -> Result<(), ReadError> {
    loop {
        let (unknown, unknown_uids) = (index.unknown(), index.unknown_uids());
        if unknown.is_empty() && unknown_uids.is_empty() {
            return Ok(());
        }
        for dn in unknown {
            look_up(session, config, index, report, &dn, now).await?;
        }
        for uid in unknown_uids {
            look_up_uid(session, config, index, &uid, now).await?;
        }
    }
}

/// Asks whom a user name means.
async fn look_up_uid(
    session: &mut Session,
    config: &Config,
    index: &mut DirectoryIndex,
    uid: &str,
    now: DateTime<Utc>,
) -> Result<(), ReadError> {
    let schema = session.schema.clone();
    let named = Filter::Equal(schema.username.clone(), uid.as_bytes().to_vec());
    let mut people = BTreeSet::new();
    for base in &config.people {
        let filter = Filter::And(vec![schema.people.clone(), named.clone()]);
        let search = search_below(base, filter, schema.person_attributes());
        let pages = session.root.pages().then_some(config.page);
        let found = search::search_all(&mut session.connection, &search, pages, &mut |entry| entry).await?;
        for entry in found.items {
            let person = schema.person(&entry, now)?;
            people.insert(person.id.clone());
            // One who came while we read.
            if index.named(&person.dn).is_none() {
                index.put_person(person);
            }
        }
    }
    index.set_uid_lookup(uid, people);
    Ok(())
}

/// Looks one name up: another spelling of one that was read, a person or group that came while we read, somebody outside,
/// nobody, or no answer.
async fn look_up(
    session: &mut Session,
    config: &Config,
    index: &mut DirectoryIndex,
    report: &mut ReadReport,
    dn: &Dn,
    now: DateTime<Utc>,
) -> Result<(), ReadError> {
    let schema = session.schema.clone();
    let found = match search::read_entry(&mut session.connection, &dn.to_string(), None, vec![schema.id.clone()]).await
    {
        Ok(found) => found,
        // The server answered, and not to this: that one member is unresolved. Anything else is the end of the read.
        Err(fault @ Fault::Refused { .. }) => {
            index.set_lookup(dn, LookupResult::Unresolved(fault.to_string()));
            return Ok(());
        }
        Err(fault) => return Err(fault.into()),
    };
    let Some(found) = found else {
        index.set_lookup(dn, LookupResult::Absent);
        return Ok(());
    };
    // What we may not read the id of was not read below the bases either.
    let (Ok(id), Ok(own)) = (schema.id_of(&found), found.dn.parse::<Dn>()) else {
        index.set_lookup(dn, LookupResult::Outside);
        return Ok(());
    };
    // By the name under which it was read, or where people are kept, by its id: it may have another name by now, which the
    // feed will say.
    let known = |index: &DirectoryIndex| {
        index.named(&own).filter(|named| *named.id() == id).cloned().or_else(|| index.resolved(&id))
    };
    if known(index).is_none() {
        for (part, mut entry) in entries(session, config, Some(std::slice::from_ref(&id))).await? {
            if part < config.people.len() {
                index.put_person(schema.person(&entry, now)?);
            } else {
                search::complete_ranges(&mut session.connection, &mut entry).await?;
                keep_group(index, report, schema.group(&entry), &entry)?;
            }
        }
    }
    match known(index) {
        Some(_) if index.named(dn).is_some() => {}
        Some(named) => index.set_lookup(dn, LookupResult::Means(named)),
        None => index.set_lookup(dn, LookupResult::Outside),
    }
    Ok(())
}
