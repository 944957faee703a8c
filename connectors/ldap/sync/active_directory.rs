//! Changes by asking again and again (Active Directory): which entries changed, by DirSync or by their change numbers; each
//! is then read by the questions of a whole read. What the server says on the way is `dirsync`'s; what a change means is
//! the follower's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use rollcall_events::Id;
use tokio::time::{Instant, sleep_until};

use crate::{
    client::{Client, Session},
    schema::{model::Unreadable, server::RootDse},
    sync::{
        error::SyncError,
        feed::{ChangeFeed, EntryChange, FeedAnswer},
        method::{SyncMethod, context},
        read,
        state::SyncState,
    },
    wire::{
        connection::SearchItem,
        dirsync::{self, Announced, Reply},
        dn::Dn,
        fault::Fault,
        filter::Filter,
        message::{Entry, NO_SUCH_OBJECT, Scope, Search, UNAVAILABLE_EXTENSION},
        search,
    },
};

/// So many known entries that no filter gives any more, all at once, may be a right that we lost: a whole read, and its
/// guard, must say so.
const MAX_VANISHED: usize = 20;

/// Asks a server for changes.
pub struct ActiveDirectoryFeed<'a> {
    client: &'a Client,
    method: SyncMethod,
    position: PollCursor,
    /// The connection to the server whose changes are counted.
    session: Option<Session>,
    due: Instant,
}

/// Up to where changes were seen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PollCursor {
    /// Nowhere.
    None,
    /// DirSync's cookie, which every controller of the domain takes.
    Cookie(Vec<u8>),
    /// The highest change number seen, and whose it is: of which controller, in which life of its database.
    Number { last: u64, of: DomainController },
}

/// Whose change numbers: they count per domain controller, and begin anew when its database is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DomainController {
    service: String,
    invocation: Vec<u8>,
}

/// Which entries changed, and up to where.
enum Announcement {
    Changes(Vec<(Id, Announced, String)>, PollCursor),
    Lost(String),
}

/// How this server can be asked: by DirSync, by change numbers where DirSync is refused, else not at all; and why.
pub async fn method(client: &Client, session: &mut Session) -> Result<(SyncMethod, String), Fault> {
    let polled = ActiveDirectoryFeed::new(client, SyncMethod::DirSync);
    let refused = match polled.dirsync(session, &[], nobody()).await {
        Ok(_) => None,
        Err(SyncError::Fault(fault @ Fault::Refused { .. })) => Some(fault),
        Err(SyncError::Fault(fault)) => return Err(fault),
        Err(ended) => return Err(Fault::Malformed(ended.to_string())),
    };
    let sees = sees_deleted(session, client).await?;
    let blind = "; the account may not read the deleted objects, so whoever is deleted stays until the next whole read";
    let Some(fault) = refused else {
        // Microsoft's shows tombstones to whoever may replicate; Samba only to whoever may read them.
        let blind = if sees || session.root.vendor.is_none() { "" } else { blind };
        return Ok((SyncMethod::DirSync, format!("DirSync{blind}")));
    };
    if controller(session).await?.is_none() {
        let why = format!("DirSync was refused ({fault}), and the controller does not show its invocationId");
        return Ok((SyncMethod::FullRead, why));
    }
    let blind = if sees { "" } else { blind };
    Ok((SyncMethod::ChangeNumbers, format!("uSNChanged, because DirSync was refused: {fault}{blind}")))
}

/// Whether tombstones are shown to us.
async fn sees_deleted(session: &mut Session, client: &Client) -> Result<bool, Fault> {
    let Some(context) = context(&client.config, &session.root) else { return Ok(false) };
    let search = Search {
        base: format!("CN=Deleted Objects,{context}"),
        scope: Scope::Base,
        filter: crate::wire::filter::everything(),
        attributes: vec!["isDeleted".to_owned()],
        controls: vec![dirsync::show_deleted()],
        limit: 0,
    };
    match search::search_all(&mut session.connection, &search, None, &mut |entry| entry).await {
        // Its name alone is shown to everybody.
        Ok(found) => Ok(found.items.iter().any(|entry| entry.text("isDeleted").is_some())),
        Err(Fault::Refused { .. }) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Which controller answers, where it says so.
async fn controller(session: &mut Session) -> Result<Option<DomainController>, Fault> {
    let Some(service) = session.root.service.clone() else { return Ok(None) };
    let wanted = vec!["invocationId".to_owned()];
    let found = match search::read_entry(&mut session.connection, &service, None, wanted).await {
        Err(Fault::Refused { .. }) => None,
        found => found?,
    };
    let invocation = found.and_then(|entry| entry.values("invocationId").first().cloned());
    Ok(invocation.map(|invocation| DomainController { service, invocation }))
}

/// What nothing is.
fn nobody() -> Filter {
    Filter::Not(Box::new(crate::wire::filter::everything()))
}

impl<'a> ActiveDirectoryFeed<'a> {
    pub fn new(client: &'a Client, method: SyncMethod) -> Self {
        Self { client, method, position: PollCursor::None, session: None, due: Instant::now() }
    }

    fn parts(&self) -> usize {
        self.client.config.people.len() + self.client.config.groups.len()
    }

    /// A search of the whole naming context for what was changed.
    fn search(&self, session: &Session, filter: Filter) -> Result<Search, SyncError> {
        let context = context(&self.client.config, &session.root);
        let base = context.ok_or_else(|| Fault::Malformed("the server holds not every base any more".to_owned()))?;
        let attributes = session.schema.announcing_attributes();
        Ok(Search { base, scope: Scope::Subtree, filter, attributes, controls: Vec::new(), limit: 0 })
    }

    /// Where the server is now.
    async fn here(&self, session: &mut Session) -> Result<PollCursor, SyncError> {
        if self.method == SyncMethod::DirSync {
            let mut cookie = Vec::new();
            // The same is asked of everything, and nothing fits: only the cookie moves.
            loop {
                let (_, reply) = self.dirsync(session, &cookie, nobody()).await?;
                let more = reply.more && reply.cookie != cookie;
                cookie = reply.cookie;
                if !more {
                    return Ok(PollCursor::Cookie(cookie));
                }
            }
        }
        let root = RootDse::read(&mut session.connection).await?;
        let of = controller(session).await?;
        let (last, of) = root.highest_usn.zip(of).ok_or_else(|| {
            Fault::Malformed(format!("{}: no change numbers, or not whose they are", session.connection.url()))
        })?;
        Ok(PollCursor::Number { last, of })
    }

    /// One request and its answer.
    async fn dirsync(
        &self,
        session: &mut Session,
        cookie: &[u8],
        filter: Filter,
    ) -> Result<(Vec<Entry>, Reply), SyncError> {
        let search = self.search(session, filter)?;
        let connection = &mut session.connection;
        let id = connection.search(&search, &[dirsync::request(cookie)]).await?;
        let until = connection.bytes_received().saturating_add(connection.limits().search);
        let mut entries = Vec::new();
        loop {
            match connection.next(id).await? {
                SearchItem::Entry(..) if connection.bytes_received() > until => {
                    return Err(
                        Fault::Malformed(format!("{}: changes go on beyond all bounds", connection.url())).into()
                    );
                }
                SearchItem::Entry(entry, _) => entries.push(entry),
                SearchItem::Reference | SearchItem::Intermediate(..) => {}
                SearchItem::Done(outcome, controls) if outcome.code == 0 => {
                    return Ok((entries, Reply::of(&controls)?));
                }
                SearchItem::Done(outcome, _) => return Err(connection.refused("DirSync", &outcome).into()),
            }
        }
    }

    /// Which entries changed since the mark.
    async fn ask(&self, session: &mut Session) -> Result<Announcement, SyncError> {
        match &self.position {
            PollCursor::None => Ok(Announcement::Lost("nothing was asked before".to_owned())),
            PollCursor::Cookie(cookie) => self.ask_by_cookie(session, cookie.clone()).await,
            PollCursor::Number { last, of } => self.ask_by_number(session, *last, of).await,
        }
    }

    async fn ask_by_cookie(&self, session: &mut Session, mut cookie: Vec<u8>) -> Result<Announcement, SyncError> {
        let mut all = Vec::new();
        let until = session.connection.bytes_received().saturating_add(session.connection.limits().search);
        loop {
            if session.connection.bytes_received() > until {
                return Ok(Announcement::Lost("more changed than is worth following".to_owned()));
            }
            let (entries, reply) = match self.dirsync(session, &cookie, crate::wire::filter::everything()).await {
                Err(SyncError::Fault(fault @ Fault::Refused { code: UNAVAILABLE_EXTENSION, .. })) => {
                    return Ok(Announcement::Lost(format!("the server does not take the kept cookie: {fault}")));
                }
                answer => answer?,
            };
            all.extend(announced(session, entries)?);
            if reply.cookie.is_empty() || (reply.more && reply.cookie == cookie) {
                return Ok(Announcement::Lost("the server gives no cookie to go on from".to_owned()));
            }
            cookie = reply.cookie;
            if !reply.more {
                return Ok(Announcement::Changes(all, PollCursor::Cookie(cookie)));
            }
        }
    }

    async fn ask_by_number(
        &self,
        session: &mut Session,
        last: u64,
        of: &DomainController,
    ) -> Result<Announcement, SyncError> {
        // Read before the search: what changes meanwhile is found now, or again the next time.
        let now = RootDse::read(&mut session.connection).await?.highest_usn.unwrap_or_default();
        if now < last {
            return Ok(Announcement::Lost(format!("the change numbers went back from {last} to {now}")));
        }
        let position = PollCursor::Number { last: now, of: of.clone() };
        if now == last {
            return Ok(Announcement::Changes(Vec::new(), position));
        }
        let mut search = self.search(session, dirsync::changed_from(last + 1))?;
        search.controls = vec![dirsync::show_deleted()];
        let pages = Some(self.client.config.page);
        let entries = search::search_all(&mut session.connection, &search, pages, &mut |entry| entry).await?.items;
        Ok(Announcement::Changes(announced(session, entries)?, position))
    }

    /// What changed since the cursor, read. The first time after a pause (`resumed`) the state may know less than was sent.
    async fn poll(&mut self, session: &mut Session, state: &SyncState, resumed: bool) -> Result<FeedAnswer, SyncError> {
        let (announced, position) = match self.ask(session).await? {
            Announcement::Lost(why) => return Ok(FeedAnswer::FullRead(why)),
            Announcement::Changes(announced, position) => (announced, position),
        };
        let (mut said, mut ids) = (Vec::new(), BTreeSet::new());
        for (id, change, dn) in announced {
            if change == Announced::Deleted {
                said.extend((0..self.parts()).map(|part| EntryChange::Gone(part, id.clone())));
                continue;
            }
            if change == Announced::Container {
                ids.extend(self.below(session, &dn, state).await?);
            }
            ids.insert(id);
        }
        let ids: Vec<Id> = ids.into_iter().collect();
        let mut found: BTreeMap<Id, BTreeMap<usize, Entry>> = BTreeMap::new();
        for (part, entry) in read::entries(session, &self.client.config, Some(&ids)).await? {
            found.entry(session.schema.id_of(&entry)?).or_default().insert(part, entry);
        }
        let mut vanished = 0;
        for id in ids {
            let mut parts = found.remove(&id).unwrap_or_default();
            let known = state.contains(&id);
            let mut outside = false;
            if parts.is_empty() && (known || resumed) {
                let name = format!("<GUID={id}>");
                let there = search::read_entry(&mut session.connection, &name, None, vec!["1.1".to_owned()]).await?;
                if there.is_none() && known {
                    // Deleted or hidden, and nobody said which: that is for a whole read to conclude from.
                    return Ok(FeedAnswer::FullRead(format!("{name} was changed and cannot be found any more")));
                }
                outside = there.is_some();
                vanished += usize::from(outside && known);
                if vanished >= MAX_VANISHED {
                    return Ok(FeedAnswer::FullRead(format!(
                        "{vanished} changed entries are there and fit no filter any more"
                    )));
                }
            }
            for part in 0..self.parts() {
                match parts.remove(&part) {
                    Some(entry) => said.push(EntryChange::Present(part, entry)),
                    None if known || outside => said.push(EntryChange::Gone(part, id.clone())),
                    None => {}
                }
            }
        }
        self.position = position;
        Ok(if said.is_empty() { FeedAnswer::Idle } else { FeedAnswer::Changes(said) })
    }

    /// Who is below a container under another name than we know.
    async fn below(&self, session: &mut Session, dn: &str, state: &SyncState) -> Result<Vec<Id>, SyncError> {
        let schema = session.schema.clone();
        let search = Search {
            base: dn.to_owned(),
            scope: Scope::Subtree,
            filter: Filter::Or(vec![schema.people.clone(), schema.groups.clone()]),
            attributes: vec![schema.id.clone()],
            controls: Vec::new(),
            limit: 0,
        };
        let pages = Some(self.client.config.page);
        let mut take = |entry: Entry| Ok::<_, Unreadable>((schema.id_of(&entry)?, entry.dn));
        let found = match search::search_all(&mut session.connection, &search, pages, &mut take).await {
            Ok(found) => found.items,
            // It has another name by now, and is announced again.
            Err(Fault::Refused { code: NO_SUCH_OBJECT, .. }) => return Ok(Vec::new()),
            Err(fault) => return Err(fault.into()),
        };
        let mut moved = Vec::new();
        for item in found {
            let (id, dn) = item?;
            let known = state.index.name_of(&id);
            if known.is_none() || known != dn.parse::<Dn>().ok().as_ref() {
                moved.push(id);
            }
        }
        Ok(moved)
    }

    /// Where to go on, or why that is not possible.
    async fn resume(&self, session: &mut Session, cursor: &[u8]) -> Result<Result<PollCursor, String>, SyncError> {
        let position = PollCursor::read(cursor);
        let why = match (&position, self.method) {
            (PollCursor::Cookie(_), SyncMethod::DirSync) => return Ok(Ok(position)),
            (PollCursor::Number { of, .. }, SyncMethod::ChangeNumbers) => match controller(session).await? {
                Some(here) if here == *of => return Ok(Ok(position)),
                Some(here) if here.service == of.service => {
                    "the controller's database was restored; its change numbers begin anew".to_owned()
                }
                _ => format!("another controller than {} answers, and change numbers are each one's own", of.service),
            },
            _ => "the directory was asked by another method before".to_owned(),
        };
        Ok(Err(why))
    }
}

#[async_trait]
impl ChangeFeed for ActiveDirectoryFeed<'_> {
    fn method_name(&self) -> &'static str {
        if self.method == SyncMethod::DirSync { "DirSync" } else { "uSNChanged" }
    }

    async fn begin(&mut self, cursor: Option<&[u8]>, known: &SyncState) -> Result<FeedAnswer, SyncError> {
        let mut session = self.client.session().await?;
        let heard = match cursor {
            None => {
                // Before the first question: what changes while everything is read is read again.
                self.position = self.here(&mut session).await?;
                let all = read::entries(&mut session, &self.client.config, None).await?;
                FeedAnswer::Changes(all.into_iter().map(|(part, entry)| EntryChange::Present(part, entry)).collect())
            }
            Some(cursor) => match self.resume(&mut session, cursor).await? {
                Ok(position) => {
                    self.position = position;
                    self.poll(&mut session, known, true).await?
                }
                Err(why) => FeedAnswer::FullRead(why),
            },
        };
        self.session = Some(session);
        self.due = Instant::now() + self.client.config.poll;
        Ok(heard)
    }

    async fn next(&mut self, wait: Duration, known: &SyncState) -> Result<FeedAnswer, SyncError> {
        let until = Instant::now() + wait;
        while self.due <= until {
            sleep_until(self.due).await;
            let mut session = match self.session.take() {
                Some(session) => session,
                None => return Err(Fault::Unreachable("the connection is gone".to_owned()).into()),
            };
            let heard = self.poll(&mut session, known, false).await?;
            self.session = Some(session);
            self.due = Instant::now() + self.client.config.poll;
            if !matches!(heard, FeedAnswer::Idle) {
                return Ok(heard);
            }
        }
        sleep_until(until).await;
        Ok(FeedAnswer::Idle)
    }

    fn cursor(&self) -> Vec<u8> {
        self.position.write()
    }
}

impl PollCursor {
    fn write(&self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Cookie(cookie) => [b"C", cookie.as_slice()].concat(),
            Self::Number { last, of: DomainController { service, invocation } } => {
                let length = [u8::try_from(invocation.len()).unwrap_or_default()];
                [b"N", &last.to_be_bytes()[..], &length, invocation, service.as_bytes()].concat()
            }
        }
    }

    fn read(bytes: &[u8]) -> Self {
        let number = |bytes: &[u8]| {
            let (last, rest) = bytes.split_first_chunk()?;
            let (length, rest) = rest.split_first()?;
            let (invocation, service) = rest.split_at_checked(usize::from(*length))?;
            let of = DomainController {
                service: String::from_utf8(service.to_vec()).ok()?,
                invocation: invocation.to_vec(),
            };
            Some(Self::Number { last: u64::from_be_bytes(*last), of })
        };
        match bytes.split_first() {
            Some((b'C', cookie)) if !cookie.is_empty() => Self::Cookie(cookie.to_vec()),
            Some((b'N', rest)) => number(rest).unwrap_or(Self::None),
            _ => Self::None,
        }
    }
}

/// The ids of announced entries. One without an id is none of ours.
fn announced(session: &Session, entries: Vec<Entry>) -> Result<Vec<(Id, Announced, String)>, SyncError> {
    let schema = &session.schema;
    let ours = entries.into_iter().filter(|entry| !entry.values(&schema.id).is_empty());
    ours.map(|entry| Ok((schema.id_of(&entry)?, Announced::of(&entry), entry.dn))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_garbage_is_none() {
        let of = DomainController { service: "CN=NTDS Settings,CN=DC1".to_owned(), invocation: vec![7; 16] };
        for position in [PollCursor::None, PollCursor::Cookie(b"MSDS".to_vec()), PollCursor::Number { last: 3945, of }]
        {
            let bytes = position.write();
            assert_eq!(PollCursor::read(&bytes), position);
        }
        for bad in [&b"C"[..], b"N", b"N\0\0\0\0\0\0\0\x01", b"N\0\0\0\0\0\0\0\x01\x10abc", b"X", b"\0\0\0\x01a"] {
            assert_eq!(PollCursor::read(bad), PollCursor::None, "{bad:?}");
        }
    }
}
