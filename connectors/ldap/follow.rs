//! Follows OpenLDAP (RFC 4533, refresh and persist): one search for each base, each on its own connection, all into one
//! world. What a refresh says by silence goes onto a sheet, where the brake looks at it; what a server says explicitly is
//! told as it comes. A cookie is kept only after what came before it was recorded.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use futures_util::future::select_all;
use rollcall_events::{
    Body, Id,
    body::{GroupRef, PersonRef},
};
use rollcall_ingest::pull::{Cursor, News, Told};
use tokio::time::timeout;

use crate::{
    ber::Malformed,
    client::Client,
    config::{Base, Config},
    connection::{Connection, Item},
    directory::Ended,
    dn::Dn,
    fault::Fault,
    message::{Control, Entry, Search},
    model::{Schema, uuid_text},
    read, search,
    sync::{self, Change, Info, Meaning, REFRESH_REQUIRED, State},
    world::{self, Named, Notes, World},
};

/// How long the first of several changes waits for the others.
const GATHER: Duration = Duration::from_millis(20);
/// At most so many changes are told at once.
const BATCH: usize = 500;
/// How often a silent server is asked whether it is there.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// How long after the last change a doubtful group is read again.
const SETTLING: Duration = Duration::from_secs(1);
/// So many batches without such a pause, and it is read nevertheless.
const BUSY: u32 = 20;
/// unwillingToPerform: a cookie from the future.
const UNWILLING: u32 = 53;

/// What is kept in memory from one connection to the next: the cookies alone are worth nothing without the names.
#[derive(Debug)]
pub struct Memory {
    world: World,
    /// By the search's place among the bases: its last cookie, and whom it gave.
    streams: Vec<(Option<Vec<u8>>, HashSet<Id>)>,
    /// Groups that list a name which means somebody else now; they are read again.
    doubtful: HashSet<Id>,
}

impl Memory {
    fn cursor(&self) -> Cursor {
        let mut bytes = Vec::new();
        for (cookie, _) in &self.streams {
            let cookie = cookie.as_deref().unwrap_or_default();
            bytes.extend(u32::try_from(cookie.len()).unwrap_or_default().to_be_bytes());
            bytes.extend_from_slice(cookie);
        }
        Cursor(bytes)
    }
}

/// One search that goes on for ever.
struct Stream {
    connection: Connection,
    id: i64,
    people: bool,
}

/// What came since somebody last looked.
#[derive(Debug, Default)]
struct Batch {
    /// People (true) and groups as they are now.
    entries: Vec<(bool, Entry)>,
    gone: Vec<Id>,
}

/// Everything that a follower works with.
pub struct Follower<'a> {
    pub client: &'a Client,
    pub schema: Schema,
    pub news: &'a News,
    pub notes: &'a (dyn Fn(&Notes) + Sync),
}

impl Follower<'_> {
    fn config(&self) -> &Config {
        &self.client.config
    }

    /// The bases of people, then those of groups.
    fn bases(&self) -> impl Iterator<Item = (bool, &Base)> {
        let people = self.config().people.iter().map(|base| (true, base));
        people.chain(self.config().groups.iter().map(|base| (false, base)))
    }

    /// Follows until something ends it. `memory` is put back only where it is what was recorded; else all is read again.
    pub async fn run(&self, memory: &mut Option<Memory>, cursor: Option<Cursor>) -> Result<Infallible, Ended> {
        // A cursor of another process, or one that was not kept, is of no use: the names behind it are not here.
        let known = memory.take().filter(|memory| Some(memory.cursor()) == cursor);
        let (mut streams, mut now) = self.refresh(known).await?;
        let mut busy = 0;
        loop {
            self.news.keep(now.cursor()).await?;
            let settled = now.doubtful.is_empty();
            if !settled && busy >= BUSY {
                self.settle(&mut now).await?;
            }
            let first = match timeout(if settled { HEARTBEAT } else { SETTLING }, next_of(&mut streams)).await {
                Ok((at, Ok(item))) => (at, item),
                Ok((_, Err(fault))) => {
                    *memory = Some(now);
                    return Err(fault.into());
                }
                Err(_) if settled => {
                    if let Err(ended) = self.heartbeat().await {
                        *memory = Some(now);
                        return Err(ended);
                    }
                    continue;
                }
                Err(_) => {
                    self.settle(&mut now).await?;
                    busy = 0;
                    continue;
                }
            };
            busy += 1;
            let told = self.gather(first, &mut streams, &mut now).await?;
            if !told.is_empty() {
                self.news.tell(told).await?;
            }
        }
    }

    /// Reads the groups again that list a name which means somebody else now: what a server mends by itself (the overlay
    /// refint) it does a moment later, and tells nobody.
    async fn settle(&self, memory: &mut Memory) -> Result<(), Ended> {
        let told = self.read_again(memory).await?;
        if !told.is_empty() {
            self.news.tell(told).await?;
        }
        Ok(())
    }

    async fn read_again(&self, memory: &mut Memory) -> Result<Vec<Told>, Ended> {
        let doubtful = std::mem::take(&mut memory.doubtful);
        if doubtful.is_empty() {
            return Ok(Vec::new());
        }
        let mut session = self.client.session().await?;
        let mut entries = Vec::new();
        for id in &doubtful {
            let Some(group) = memory.world.group(id) else { continue };
            let filter = Some(self.schema.groups.clone());
            let found =
                search::entry(&mut session.connection, &group.text, filter, self.schema.group_attributes()).await?;
            // One that is gone or has another name is told by itself.
            entries.extend(found.map(|entry| (false, entry)));
        }
        session.connection.close().await;
        let told = self.apply(Batch { entries, gone: Vec::new() }, memory).await;
        memory.doubtful.clear();
        told
    }

    /// A server that says nothing may have nothing to say, or be gone.
    async fn heartbeat(&self) -> Result<(), Ended> {
        self.client.session().await?.connection.close().await;
        Ok(self.news.well().await?)
    }

    /// Brings the world up to date and starts every search.
    async fn refresh(&self, known: Option<Memory>) -> Result<(Vec<Stream>, Memory), Ended> {
        let whole = || Memory {
            world: World::default(),
            streams: self.bases().map(|_| Default::default()).collect(),
            doubtful: HashSet::new(),
        };
        let mut memory = known.unwrap_or_else(whole);
        loop {
            let cookies = memory.streams.iter().any(|(cookie, _)| cookie.is_some());
            match self.attempt(&mut memory).await {
                Ok(Some(streams)) => return Ok((streams, memory)),
                Ok(None) => {}
                Err(Ended::Fault(Fault::Refused { code: REFRESH_REQUIRED | UNWILLING, .. })) if cookies => {}
                Err(ended) => return Err(ended),
            }
            tracing::info!("the directory does not go on from the last cookie; everything is read again");
            memory = whole();
        }
    }

    /// One try. `None`: a cookie was not honoured, ask without.
    async fn attempt(&self, memory: &mut Memory) -> Result<Option<Vec<Stream>>, Ended> {
        // Where everything will come anyway, the run begins before the first question.
        let all = memory.streams.iter().any(|(cookie, _)| cookie.is_none());
        let mut sheet = if all { Some(self.news.sheet().await?) } else { None };
        let (mut streams, mut entries, mut gone, mut silent) = (Vec::new(), Vec::new(), Vec::new(), all);
        for (at, (people, base)) in self.bases().enumerate() {
            let Some((cookie, ids)) = memory.streams.get_mut(at) else { continue };
            let (stream, refreshed) = self.start(people, base, cookie.as_deref()).await?;
            streams.push(stream);
            match sync::meaning(cookie.is_some(), refreshed.cookie.as_deref(), refreshed.present) {
                Meaning::Again => return Ok(None),
                Meaning::Whole => {
                    silent = true;
                    gone.extend(ids.drain().filter(|id| !refreshed.seen.contains(id)));
                }
                Meaning::Delta => {
                    refreshed.deleted.iter().for_each(|id| _ = ids.remove(id));
                    gone.extend(refreshed.deleted);
                }
            }
            ids.extend(refreshed.seen);
            // Where nothing changed no cookie comes, and the old one stays good.
            *cookie = refreshed.cookie.filter(|new| !new.is_empty()).or(cookie.take());
            entries.extend(refreshed.entries.into_iter().map(|entry| (people, entry)));
        }
        memory.world.forget_fates();
        let mut told = self.apply(Batch { entries, gone }, memory).await?;
        // Where everything came, every list is as it is now.
        if all {
            memory.doubtful.clear();
        }
        told.extend(self.read_again(memory).await?);
        if !silent {
            self.news.tell(told).await?;
            return Ok(Some(streams));
        }
        let mut sheet = match sheet.take() {
            Some(sheet) => sheet,
            None => self.news.sheet().await?,
        };
        // Every search came to its end, or we would not be here.
        for (_, base) in self.bases() {
            let part = sheet.open(base.text.clone());
            sheet.close(part);
        }
        let notes = memory.world.state(&mut sheet);
        (self.notes)(&notes);
        self.news.sealed(sheet.seal()?).await?;
        Ok(Some(streams))
    }

    /// Starts one search and takes its refresh.
    async fn start(&self, people: bool, base: &Base, cookie: Option<&[u8]>) -> Result<(Stream, Refreshed), Ended> {
        let search = self.search(people, base);
        let mut connection = self.client.session().await?.connection;
        let id = connection.search(&search, &[sync::request(cookie)]).await?;
        let mut refreshed = Refreshed::default();
        loop {
            let done = match connection.next(id).await? {
                Item::Entry(entry, controls) => {
                    refreshed.entry(entry, &controls)?;
                    false
                }
                Item::Intermediate(name, value) => match Info::of(name.as_deref(), value.as_deref())? {
                    Some(info) => refreshed.info(info)?,
                    None => false,
                },
                Item::Reference => false,
                Item::Done(outcome, _) => {
                    return Err(connection.refused(&format!("following {}", base.text), &outcome).into());
                }
            };
            if done {
                return Ok((Stream { connection, id, people }, refreshed));
            }
        }
    }

    fn search(&self, people: bool, base: &Base) -> Search {
        let schema = &self.schema;
        if people {
            read::below(base, schema.people.clone(), schema.person_attributes())
        } else {
            read::below(base, schema.groups.clone(), schema.group_attributes())
        }
    }

    /// Takes what else is there already, and works out what it means.
    async fn gather(
        &self,
        first: (usize, Item),
        streams: &mut [Stream],
        memory: &mut Memory,
    ) -> Result<Vec<Told>, Ended> {
        let mut batch = Batch::default();
        let mut next = Some(first);
        let mut taken = 0;
        while let Some((at, item)) = next.take() {
            let Some(stream) = streams.get(at) else { break };
            take(stream, item, &mut batch, memory.streams.get_mut(at))?;
            taken += 1;
            if taken < BATCH {
                // Who leaves one base may be on the way to another.
                let wait = if batch.gone.is_empty() { GATHER } else { GATHER * 10 };
                next = match timeout(wait, next_of(streams)).await {
                    Ok((at, item)) => Some((at, item?)),
                    Err(_) => None,
                };
            }
        }
        self.apply(batch, memory).await
    }

    /// Puts changes into the world and says what follows from them.
    async fn apply(&self, batch: Batch, memory: &mut Memory) -> Result<Vec<Told>, Ended> {
        let now = self.news.now();
        let Memory { world, streams, doubtful } = memory;
        let mut told = Vec::new();
        let mut touched = Touched::default();
        for (people, entry) in batch.entries {
            if people {
                let person = self.schema.person(&entry, now)?;
                let same = world.person(&person.id).is_some_and(|old| old.dn == person.dn && old.uids == person.uids);
                let id = person.id.clone();
                told.push(Told::Stated(world::person_fact(&person)));
                if !same {
                    touched.by(world, &id);
                }
                world.put_person(person);
                if !same {
                    touched.by(world, &id);
                }
                continue;
            }
            match self.schema.group(&entry) {
                Ok(group) => {
                    let id = group.id.clone();
                    let same = world.group(&id).is_some_and(|old| old.dn == group.dn);
                    told.push(Told::Stated(world::group_fact(&group).into()));
                    if !same {
                        touched.by(world, &id);
                    }
                    world.put_group(group);
                    if !same {
                        touched.by(world, &id);
                    }
                    touched.groups.insert(id);
                }
                Err(why) if entry.is("groupOfURLs") => tracing::warn!(%why, "a group is left out"),
                Err(why) => return Err(why.into()),
            }
        }
        // Who left one base may have come to another; and deletions of entries that were never ours are said too.
        for id in batch.gone.iter().filter(|id| !streams.iter().any(|(_, ids)| ids.contains(*id))) {
            touched.by(world, id);
            match world.remove(id) {
                Some(Named::Person(person)) => told.push(Told::Gone(Body::PersonRemoved(PersonRef { person }))),
                Some(Named::Group(group)) => {
                    told.push(Told::Gone(Body::GroupRemoved(GroupRef { group, author: None })))
                }
                None => {}
            }
        }
        // Their lists may be mended in this moment. Who is told by user name has no such trouble.
        let said = std::mem::take(&mut touched.groups);
        doubtful.extend(world.listing(&touched.dns, &HashSet::new()));
        doubtful.retain(|id| !said.contains(id));
        touched.groups = said;
        touched
            .groups
            .extend(world.listing(&HashSet::new(), &touched.uids).into_iter().filter(|id| !doubtful.contains(id)));
        if !world.unknown().is_empty() {
            let mut session = self.client.session().await?;
            read::resolve(&mut session, self.config(), world, &mut Notes::default(), now).await?;
            session.connection.close().await;
        }
        for id in &touched.groups {
            let Some(group) = world.group(id) else { continue };
            let found = world.members(group);
            let whole = found.unresolved.is_empty() && found.conflicts.is_empty();
            let members = found.members.into_iter().map(|member| world::member_fact(id, member).into());
            if whole {
                told.push(Told::Members { group: id.clone(), members: members.collect() });
            } else {
                told.extend(members.map(Told::Stated));
            }
        }
        Ok(told)
    }
}

/// The groups that have other members now, and the names that mean somebody else.
#[derive(Debug, Default)]
struct Touched {
    groups: HashSet<Id>,
    dns: HashSet<Dn>,
    uids: HashSet<String>,
}

impl Touched {
    /// Whoever has this id comes, goes or has another name.
    fn by(&mut self, world: &World, id: &Id) {
        if let Some(person) = world.person(id) {
            self.dns.insert(person.dn.clone());
            self.uids.extend(person.uids.iter().cloned());
        }
        if let Some(group) = world.group(id) {
            self.dns.insert(group.dn.clone());
        }
    }
}

/// What a refresh gave.
#[derive(Debug, Default)]
struct Refreshed {
    entries: Vec<Entry>,
    seen: HashSet<Id>,
    deleted: Vec<Id>,
    cookie: Option<Vec<u8>>,
    present: bool,
}

impl Refreshed {
    fn entry(&mut self, entry: Entry, controls: &[Control]) -> Result<(), Malformed> {
        let state = State::of(controls)?;
        self.cookie = state.cookie.or(self.cookie.take());
        let id = id(&state.uuid)?;
        match state.change {
            Change::Delete => self.deleted.push(id),
            Change::Present => {
                self.present = true;
                self.seen.insert(id);
            }
            Change::Add | Change::Modify => {
                self.seen.insert(id);
                self.entries.push(entry);
            }
        }
        Ok(())
    }

    /// Whether the refresh is over.
    fn info(&mut self, info: Info) -> Result<bool, Malformed> {
        self.cookie = info.cookie().map(<[u8]>::to_vec).or(self.cookie.take());
        Ok(match info {
            Info::Cookie(_) => false,
            Info::Deletes { done, .. } => done,
            Info::Presents { done, .. } => {
                self.present = true;
                done
            }
            Info::Ids { deleted, ids, .. } => {
                let ids: Vec<Id> = ids.iter().map(id).collect::<Result<_, _>>()?;
                if deleted {
                    self.deleted.extend(ids);
                } else {
                    self.present = true;
                    self.seen.extend(ids);
                }
                false
            }
        })
    }
}

fn id(uuid: &[u8; 16]) -> Result<Id, Malformed> {
    uuid_text(uuid).parse().map_err(|_| Malformed("an id that is no UUID"))
}

/// The next thing that any of the searches gives, and which one.
async fn next_of(streams: &mut [Stream]) -> (usize, Result<Item, Fault>) {
    let waiting = streams.iter_mut().map(|stream| Box::pin(stream.connection.next_ever(stream.id)));
    let (item, at, _) = select_all(waiting).await;
    (at, item)
}

/// Notes one thing that came after the refresh.
fn take(
    stream: &Stream,
    item: Item,
    batch: &mut Batch,
    slot: Option<&mut (Option<Vec<u8>>, HashSet<Id>)>,
) -> Result<(), Ended> {
    let Some((cookie, ids)) = slot else { return Ok(()) };
    match item {
        Item::Entry(entry, controls) => {
            let state = State::of(&controls)?;
            let id = id(&state.uuid)?;
            *cookie = state.cookie.or(cookie.take());
            if state.change == Change::Delete {
                ids.remove(&id);
                batch.gone.push(id);
            } else {
                ids.insert(id);
                batch.entries.push((stream.people, entry));
            }
        }
        Item::Intermediate(name, value) => match Info::of(name.as_deref(), value.as_deref())? {
            Some(Info::Ids { cookie: new, deleted: true, ids: gone }) => {
                *cookie = new.or(cookie.take());
                for uuid in &gone {
                    let id = id(uuid)?;
                    ids.remove(&id);
                    batch.gone.push(id);
                }
            }
            Some(info) => *cookie = info.cookie().map(<[u8]>::to_vec).or(cookie.take()),
            None => {}
        },
        Item::Reference => {}
        Item::Done(outcome, _) => return Err(stream.connection.refused("following", &outcome).into()),
    }
    Ok(())
}
