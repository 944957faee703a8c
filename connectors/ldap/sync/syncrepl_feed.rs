//! Changes by RFC 4533 (OpenLDAP): one search for each base, each on its own connection, refreshed and then followed. What
//! a refresh means is `sync`'s; what a change means is the follower's.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::select_all;
use rollcall_events::Id;
use tokio::time::timeout;

use crate::{
    client::Client,
    config::Base,
    schema::model::{Schema, uuid_text},
    sync::{
        error::SyncError,
        feed::{ChangeFeed, EntryChange, FeedAnswer},
        read,
        state::SyncState,
    },
    wire::{
        ber::Malformed,
        connection::{Connection, SearchItem},
        fault::Fault,
        message::{Control, Entry, Search},
        syncrepl::{self, Change, Info, Meaning, REFRESH_REQUIRED, State},
    },
};

/// How long the first of several changes waits for the others.
const BATCH_DELAY: Duration = Duration::from_millis(20);
/// At most so many changes are heard at once.
const MAX_BATCH: usize = 500;
/// unwillingToPerform: a cookie from the future.
const UNWILLING: u32 = 53;

/// The searches of all bases.
pub struct SyncReplFeed<'a> {
    pub client: &'a Client,
    pub schema: Schema,
    streams: Vec<Stream>,
}

/// One search that goes on for ever.
struct Stream {
    connection: Connection,
    id: i64,
    cookie: Option<Vec<u8>>,
}

impl<'a> SyncReplFeed<'a> {
    pub fn new(client: &'a Client, schema: Schema) -> Self {
        Self { client, schema, streams: Vec::new() }
    }

    /// What is searched, by part, and the base in the operator's words.
    fn searches(&self) -> Vec<(Search, String)> {
        let (config, schema) = (&self.client.config, &self.schema);
        let people = |base: &Base| {
            (read::search_below(base, schema.people.clone(), schema.person_attributes()), base.text.clone())
        };
        let groups = |base: &Base| {
            (read::search_below(base, schema.groups.clone(), schema.group_attributes()), base.text.clone())
        };
        config.people.iter().map(people).chain(config.groups.iter().map(groups)).collect()
    }

    /// Starts one search and takes its refresh.
    async fn start(&self, search: &Search, cookie: Option<&[u8]>) -> Result<(Stream, Refresh), SyncError> {
        let mut connection = self.client.session().await?.connection;
        let id = connection.search(search, &[syncrepl::request(cookie)]).await?;
        let until = connection.bytes_received().saturating_add(connection.limits().search);
        let mut refreshed = Refresh::default();
        loop {
            if connection.bytes_received() > until {
                let what = format!("{}: the refresh below {} goes on", connection.url(), search.base);
                return Err(Fault::Malformed(format!("{what} beyond all bounds")).into());
            }
            let done = match connection.next(id).await? {
                SearchItem::Entry(entry, controls) => {
                    refreshed.entry(entry, &controls)?;
                    false
                }
                SearchItem::Intermediate(name, value) => match Info::of(name.as_deref(), value.as_deref())? {
                    Some(info) => refreshed.info(info)?,
                    None => false,
                },
                SearchItem::Reference => false,
                SearchItem::Done(outcome, _) => {
                    return Err(connection.refused(&format!("following {}", search.base), &outcome).into());
                }
            };
            if done {
                // Where nothing changed no cookie comes, and the old one stays good.
                let new = refreshed.cookie.clone().filter(|new| !new.is_empty());
                let cookie = new.or(cookie.map(<[u8]>::to_vec));
                return Ok((Stream { connection, id, cookie }, refreshed));
            }
        }
    }
}

#[async_trait]
impl ChangeFeed for SyncReplFeed<'_> {
    fn method_name(&self) -> &'static str {
        "RFC 4533"
    }

    async fn begin(&mut self, cursor: Option<&[u8]>, _: &SyncState) -> Result<FeedAnswer, SyncError> {
        self.streams.clear();
        let searches = self.searches();
        let cookies = match cursor {
            None => vec![None; searches.len()],
            Some(cursor) => match cookies(cursor) {
                Some(cookies) if cookies.len() == searches.len() => cookies.into_iter().map(Some).collect(),
                _ => return Ok(FeedAnswer::FullRead("a cookie is missing for one of the bases".to_owned())),
            },
        };
        let mut said = Vec::new();
        for (part, ((search, base), cookie)) in searches.into_iter().zip(cookies).enumerate() {
            let (stream, refreshed) = match self.start(&search, cookie.as_deref()).await {
                Err(SyncError::Fault(Fault::Refused { code: UNWILLING, .. })) if cookie.is_some() => {
                    let why = format!("the cookie for {base} is from the server's future; was it restored?");
                    return Ok(FeedAnswer::FullRead(why));
                }
                Err(SyncError::Fault(Fault::Refused { code: REFRESH_REQUIRED, .. })) if cookie.is_some() => {
                    return Ok(FeedAnswer::FullRead(format!("the server asks for a new read of {base}")));
                }
                started => started?,
            };
            match syncrepl::meaning(cookie.is_some(), refreshed.cookie.as_deref(), refreshed.present) {
                Meaning::Whole | Meaning::Delta => {}
                Meaning::Unknown => {
                    return Ok(FeedAnswer::FullRead(format!("the server does not know the cookie for {base}")));
                }
                Meaning::Forgotten => {
                    let why = "the server no longer knows what was deleted since then";
                    return Ok(FeedAnswer::FullRead(format!(
                        "{why} below {base} (restarted, or its session log is too short)"
                    )));
                }
            }
            self.streams.push(stream);
            said.extend(refreshed.deleted.into_iter().map(|id| EntryChange::Gone(part, id)));
            said.extend(refreshed.entries.into_iter().map(|entry| EntryChange::Present(part, entry)));
        }
        Ok(FeedAnswer::Changes(said))
    }

    async fn next(&mut self, wait: Duration, _: &SyncState) -> Result<FeedAnswer, SyncError> {
        let Ok(first) = timeout(wait, next_of(&mut self.streams)).await else { return Ok(FeedAnswer::Idle) };
        let mut said = Vec::new();
        let (mut next, mut received, mut leaving) = (Some(first), 0, false);
        while let Some((part, item)) = next.take() {
            let Some(stream) = self.streams.get_mut(part) else { break };
            leaving |= stream.take(part, item?, &mut said)?;
            received += 1;
            if received < MAX_BATCH {
                // Who leaves one base may be on the way to another.
                let wait = if leaving { BATCH_DELAY * 10 } else { BATCH_DELAY };
                next = timeout(wait, next_of(&mut self.streams)).await.ok();
            }
        }
        Ok(FeedAnswer::Changes(said))
    }

    fn cursor(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for stream in &self.streams {
            let cookie = stream.cookie.as_deref().unwrap_or_default();
            bytes.extend(u32::try_from(cookie.len()).unwrap_or_default().to_be_bytes());
            bytes.extend_from_slice(cookie);
        }
        bytes
    }
}

/// The cookies of a cursor. None where one is missing or the bytes are not ours.
fn cookies(mut cursor: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut cookies = Vec::new();
    while !cursor.is_empty() {
        let (length, rest) = cursor.split_first_chunk()?;
        let (cookie, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        if cookie.is_empty() {
            return None;
        }
        cookies.push(cookie.to_vec());
        cursor = rest;
    }
    Some(cookies)
}

impl Stream {
    /// Takes one thing that came after the refresh. Whether somebody left.
    fn take(&mut self, part: usize, item: SearchItem, said: &mut Vec<EntryChange>) -> Result<bool, SyncError> {
        let mut leaving = false;
        match item {
            SearchItem::Entry(entry, controls) => {
                let state = State::of(&controls)?;
                self.cookie = state.cookie.or(self.cookie.take());
                leaving = state.change == Change::Delete;
                said.push(if leaving {
                    EntryChange::Gone(part, id(&state.uuid)?)
                } else {
                    EntryChange::Present(part, entry)
                });
            }
            SearchItem::Intermediate(name, value) => {
                let info = Info::of(name.as_deref(), value.as_deref())?;
                if let Some(new) = info.as_ref().and_then(Info::cookie) {
                    self.cookie = Some(new.to_vec());
                }
                if let Some(Info::Ids { deleted: true, ids, .. }) = info {
                    leaving = true;
                    for uuid in &ids {
                        said.push(EntryChange::Gone(part, id(uuid)?));
                    }
                }
            }
            SearchItem::Reference => {}
            SearchItem::Done(outcome, _) => return Err(self.connection.refused("following", &outcome).into()),
        }
        Ok(leaving)
    }
}

/// What a refresh gave.
#[derive(Debug, Default)]
struct Refresh {
    entries: Vec<Entry>,
    deleted: Vec<Id>,
    cookie: Option<Vec<u8>>,
    present: bool,
}

impl Refresh {
    fn entry(&mut self, entry: Entry, controls: &[Control]) -> Result<(), Malformed> {
        let state = State::of(controls)?;
        self.cookie = state.cookie.or(self.cookie.take());
        match state.change {
            Change::Delete => self.deleted.push(id(&state.uuid)?),
            Change::Present => self.present = true,
            Change::Add | Change::Modify => self.entries.push(entry),
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
            Info::Ids { deleted: true, ids, .. } => {
                for uuid in &ids {
                    self.deleted.push(id(uuid)?);
                }
                false
            }
            Info::Ids { deleted: false, .. } => {
                self.present = true;
                false
            }
        })
    }
}

fn id(uuid: &[u8; 16]) -> Result<Id, Malformed> {
    uuid_text(uuid).parse().map_err(|_| Malformed("an id that is no UUID"))
}

/// The next thing that any of the searches gives, and which one.
async fn next_of(streams: &mut [Stream]) -> (usize, Result<SearchItem, Fault>) {
    let waiting = streams.iter_mut().map(|stream| Box::pin(stream.connection.next_unbounded(stream.id)));
    let (item, at, _) = select_all(waiting).await;
    (at, item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_the_cookies_of_all_bases_or_nothing() {
        assert_eq!(cookies(b"\0\0\0\x01a\0\0\0\x02bc"), Some(vec![b"a".to_vec(), b"bc".to_vec()]));
        for bad in [&b"\0\0\0\0"[..], b"\0\0\0\x01", b"\0\0\0", b"\xff\xff\xff\xffa", b"\0\0\0\x01a\0\0\0\0"] {
            assert_eq!(cookies(bad), None, "{bad:?}");
        }
    }
}
