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
    changes::{Changes, Heard, Said},
    client::{Client, Session},
    config::Config,
    connection::Item,
    directory::{Ended, Way},
    dirsync::{self, Change, Reply},
    dn::Dn,
    fault::Fault,
    filter::Filter,
    message::{Entry, Scope, Search},
    model::Unreadable,
    notebook::Notebook,
    read, search,
    server::RootDse,
};

/// unavailableCriticalExtension: the cookie is none of the server's.
const UNAVAILABLE_EXTENSION: u32 = 12;
const NO_SUCH_OBJECT: u32 = 32;
/// So many known entries that no filter gives any more, all at once, may be a right that we lost: a whole read, and its
/// brake, must say so.
const MANY: usize = 20;

/// Asks a server for changes.
pub struct Polled<'a> {
    client: &'a Client,
    way: Way,
    mark: Mark,
    /// The connection to the server whose changes are counted.
    session: Option<Session>,
    due: Instant,
}

/// Up to where changes were seen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    /// Nowhere.
    None,
    /// DirSync's cookie, which every controller of the domain takes.
    Cookie(Vec<u8>),
    /// The highest change number seen, and whose it is: of which controller, in which life of its database.
    Number { last: u64, of: Controller },
}

/// Whose change numbers: they count per domain controller, and begin anew when its database is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Controller {
    service: String,
    invocation: Vec<u8>,
}

/// Which entries changed, and up to where.
enum Asked {
    Changes(Vec<(Id, Change, String)>, Mark),
    Lost(String),
}

/// How this server can be asked: by DirSync, by change numbers where DirSync is refused, else not at all; and why.
pub async fn way(client: &Client, session: &mut Session) -> Result<(Way, String), Fault> {
    let polled = Polled::new(client, Way::DirSync);
    let refused = match polled.dirsync(session, &[], nobody()).await {
        Ok(_) => None,
        Err(Ended::Fault(fault @ Fault::Refused { .. })) => Some(fault),
        Err(Ended::Fault(fault)) => return Err(fault),
        Err(ended) => return Err(Fault::Malformed(ended.to_string())),
    };
    let sees = sees_deleted(session, client).await?;
    let blind = "; the account may not read the deleted objects, so whoever is deleted stays until the next whole read";
    let Some(fault) = refused else {
        // Microsoft's shows tombstones to whoever may replicate; Samba only to whoever may read them.
        let blind = if sees || session.root.vendor.is_none() { "" } else { blind };
        return Ok((Way::DirSync, format!("DirSync{blind}")));
    };
    if controller(session).await?.is_none() {
        let why = format!("DirSync was refused ({fault}), and the controller does not show its invocationId");
        return Ok((Way::Whole, why));
    }
    let blind = if sees { "" } else { blind };
    Ok((Way::ChangeNumbers, format!("uSNChanged, because DirSync was refused: {fault}{blind}")))
}

/// Whether tombstones are shown to us.
async fn sees_deleted(session: &mut Session, client: &Client) -> Result<bool, Fault> {
    let Some(context) = context(&client.config, &session.root) else { return Ok(false) };
    let search = Search {
        base: format!("CN=Deleted Objects,{context}"),
        scope: Scope::Base,
        filter: crate::filter::everything(),
        attributes: vec!["isDeleted".to_owned()],
        controls: vec![dirsync::show_deleted()],
        limit: 0,
    };
    match search::whole(&mut session.connection, &search, None, &mut |entry| entry).await {
        // Its name alone is shown to everybody.
        Ok(found) => Ok(found.items.iter().any(|entry| entry.text("isDeleted").is_some())),
        Err(Fault::Refused { .. }) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// The naming context that holds every base.
pub fn context(config: &Config, root: &RootDse) -> Option<String> {
    let mut contexts = config.people.iter().chain(&config.groups).map(|base| root.context_of(&base.dn));
    let first = contexts.next()??;
    contexts.all(|other| other == Some(first)).then(|| first.to_owned())
}

/// Which controller answers, where it says so.
async fn controller(session: &mut Session) -> Result<Option<Controller>, Fault> {
    let Some(service) = session.root.service.clone() else { return Ok(None) };
    let wanted = vec!["invocationId".to_owned()];
    let found = match search::entry(&mut session.connection, &service, None, wanted).await {
        Err(Fault::Refused { .. }) => None,
        found => found?,
    };
    let invocation = found.and_then(|entry| entry.values("invocationId").first().cloned());
    Ok(invocation.map(|invocation| Controller { service, invocation }))
}

/// What nothing is.
fn nobody() -> Filter {
    Filter::Not(Box::new(crate::filter::everything()))
}

impl<'a> Polled<'a> {
    pub fn new(client: &'a Client, way: Way) -> Self {
        Self { client, way, mark: Mark::None, session: None, due: Instant::now() }
    }

    fn parts(&self) -> usize {
        self.client.config.people.len() + self.client.config.groups.len()
    }

    /// A search of the whole naming context for what was changed.
    fn search(&self, session: &Session, filter: Filter) -> Result<Search, Ended> {
        let context = context(&self.client.config, &session.root);
        let base = context.ok_or_else(|| Fault::Malformed("the server holds not every base any more".to_owned()))?;
        let attributes = session.schema.announcing_attributes();
        Ok(Search { base, scope: Scope::Subtree, filter, attributes, controls: Vec::new(), limit: 0 })
    }

    /// Where the server is now.
    async fn here(&self, session: &mut Session) -> Result<Mark, Ended> {
        if self.way == Way::DirSync {
            let mut cookie = Vec::new();
            // The same is asked of everything, and nothing fits: only the cookie moves.
            loop {
                let (_, reply) = self.dirsync(session, &cookie, nobody()).await?;
                let more = reply.more && reply.cookie != cookie;
                cookie = reply.cookie;
                if !more {
                    return Ok(Mark::Cookie(cookie));
                }
            }
        }
        let root = RootDse::read(&mut session.connection).await?;
        let of = controller(session).await?;
        let (last, of) = root.highest_usn.zip(of).ok_or_else(|| {
            Fault::Malformed(format!("{}: no change numbers, or not whose they are", session.connection.url()))
        })?;
        Ok(Mark::Number { last, of })
    }

    /// One request and its answer.
    async fn dirsync(
        &self,
        session: &mut Session,
        cookie: &[u8],
        filter: Filter,
    ) -> Result<(Vec<Entry>, Reply), Ended> {
        let search = self.search(session, filter)?;
        let connection = &mut session.connection;
        let id = connection.search(&search, &[dirsync::request(cookie)]).await?;
        let until = connection.taken().saturating_add(connection.limits().search);
        let mut entries = Vec::new();
        loop {
            match connection.next(id).await? {
                Item::Entry(..) if connection.taken() > until => {
                    return Err(
                        Fault::Malformed(format!("{}: changes go on beyond all bounds", connection.url())).into()
                    );
                }
                Item::Entry(entry, _) => entries.push(entry),
                Item::Reference | Item::Intermediate(..) => {}
                Item::Done(outcome, controls) if outcome.code == 0 => return Ok((entries, Reply::of(&controls)?)),
                Item::Done(outcome, _) => return Err(connection.refused("DirSync", &outcome).into()),
            }
        }
    }

    /// Which entries changed since the mark.
    async fn ask(&self, session: &mut Session) -> Result<Asked, Ended> {
        match &self.mark {
            Mark::None => Ok(Asked::Lost("nothing was asked before".to_owned())),
            Mark::Cookie(cookie) => self.ask_by_cookie(session, cookie.clone()).await,
            Mark::Number { last, of } => self.ask_by_number(session, *last, of).await,
        }
    }

    async fn ask_by_cookie(&self, session: &mut Session, mut cookie: Vec<u8>) -> Result<Asked, Ended> {
        let mut all = Vec::new();
        let until = session.connection.taken().saturating_add(session.connection.limits().search);
        loop {
            if session.connection.taken() > until {
                return Ok(Asked::Lost("more changed than is worth following".to_owned()));
            }
            let (entries, reply) = match self.dirsync(session, &cookie, crate::filter::everything()).await {
                Err(Ended::Fault(fault @ Fault::Refused { code: UNAVAILABLE_EXTENSION, .. })) => {
                    return Ok(Asked::Lost(format!("the server does not take the kept cookie: {fault}")));
                }
                answer => answer?,
            };
            all.extend(announced(session, entries)?);
            if reply.cookie.is_empty() || (reply.more && reply.cookie == cookie) {
                return Ok(Asked::Lost("the server gives no cookie to go on from".to_owned()));
            }
            cookie = reply.cookie;
            if !reply.more {
                return Ok(Asked::Changes(all, Mark::Cookie(cookie)));
            }
        }
    }

    async fn ask_by_number(&self, session: &mut Session, last: u64, of: &Controller) -> Result<Asked, Ended> {
        // Read before the search: what changes meanwhile is found now, or again the next time.
        let now = RootDse::read(&mut session.connection).await?.highest_usn.unwrap_or_default();
        if now < last {
            return Ok(Asked::Lost(format!("the change numbers went back from {last} to {now}")));
        }
        let mark = Mark::Number { last: now, of: of.clone() };
        if now == last {
            return Ok(Asked::Changes(Vec::new(), mark));
        }
        let mut search = self.search(session, dirsync::changed_from(last + 1))?;
        search.controls = vec![dirsync::show_deleted()];
        let pages = Some(self.client.config.page);
        let entries = search::whole(&mut session.connection, &search, pages, &mut |entry| entry).await?.items;
        Ok(Asked::Changes(announced(session, entries)?, mark))
    }

    /// What changed since the mark, read. The first time after a pause (`resumed`) the notebook may know less than was told.
    async fn hear(&mut self, session: &mut Session, notebook: &Notebook, resumed: bool) -> Result<Heard, Ended> {
        let (announced, mark) = match self.ask(session).await? {
            Asked::Lost(why) => return Ok(Heard::FullReadReason(why)),
            Asked::Changes(announced, mark) => (announced, mark),
        };
        let (mut said, mut ids) = (Vec::new(), BTreeSet::new());
        for (id, change, dn) in announced {
            if change == Change::Deleted {
                said.extend((0..self.parts()).map(|part| Said::Gone(part, id.clone())));
                continue;
            }
            if change == Change::Container {
                ids.extend(self.below(session, &dn, notebook).await?);
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
            let known = notebook.is_somewhere(&id);
            let mut outside = false;
            if parts.is_empty() && (known || resumed) {
                let name = format!("<GUID={id}>");
                let there = search::entry(&mut session.connection, &name, None, vec!["1.1".to_owned()]).await?;
                if there.is_none() && known {
                    // Deleted or hidden, and nobody said which: that is for a whole read to conclude from.
                    return Ok(Heard::FullReadReason(format!("{name} was changed and cannot be found any more")));
                }
                outside = there.is_some();
                vanished += usize::from(outside && known);
                if vanished >= MANY {
                    return Ok(Heard::FullReadReason(format!(
                        "{vanished} changed entries are there and fit no filter any more"
                    )));
                }
            }
            for part in 0..self.parts() {
                match parts.remove(&part) {
                    Some(entry) => said.push(Said::Entry(part, entry)),
                    None if known || outside => said.push(Said::Gone(part, id.clone())),
                    None => {}
                }
            }
        }
        self.mark = mark;
        Ok(if said.is_empty() { Heard::Nothing } else { Heard::Changes(said) })
    }

    /// Who is below a container under another name than we know.
    async fn below(&self, session: &mut Session, dn: &str, notebook: &Notebook) -> Result<Vec<Id>, Ended> {
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
        let found = match search::whole(&mut session.connection, &search, pages, &mut take).await {
            Ok(found) => found.items,
            // It has another name by now, and is announced again.
            Err(Fault::Refused { code: NO_SUCH_OBJECT, .. }) => return Ok(Vec::new()),
            Err(fault) => return Err(fault.into()),
        };
        let mut moved = Vec::new();
        for item in found {
            let (id, dn) = item?;
            let known = notebook.world.name_of(&id);
            if known.is_none() || known != dn.parse::<Dn>().ok().as_ref() {
                moved.push(id);
            }
        }
        Ok(moved)
    }

    /// Where to go on, or why that is not possible.
    async fn resume(&self, session: &mut Session, cursor: &[u8]) -> Result<Result<Mark, String>, Ended> {
        let mark = Mark::read(cursor);
        let why = match (&mark, self.way) {
            (Mark::Cookie(_), Way::DirSync) => return Ok(Ok(mark)),
            (Mark::Number { of, .. }, Way::ChangeNumbers) => match controller(session).await? {
                Some(here) if here == *of => return Ok(Ok(mark)),
                Some(here) if here.service == of.service => {
                    "the controller's database was restored; its change numbers begin anew".to_owned()
                }
                _ => format!("another controller than {} answers, and change numbers are each one's own", of.service),
            },
            _ => "the directory was asked in another way before".to_owned(),
        };
        Ok(Err(why))
    }
}

#[async_trait]
impl Changes for Polled<'_> {
    fn way(&self) -> &'static str {
        if self.way == Way::DirSync { "DirSync" } else { "uSNChanged" }
    }

    async fn begin(&mut self, cursor: Option<&[u8]>, known: &Notebook) -> Result<Heard, Ended> {
        let mut session = self.client.session().await?;
        let heard = match cursor {
            None => {
                // Before the first question: what changes while everything is read is read again.
                self.mark = self.here(&mut session).await?;
                let all = read::entries(&mut session, &self.client.config, None).await?;
                Heard::Changes(all.into_iter().map(|(part, entry)| Said::Entry(part, entry)).collect())
            }
            Some(cursor) => match self.resume(&mut session, cursor).await? {
                Ok(mark) => {
                    self.mark = mark;
                    self.hear(&mut session, known, true).await?
                }
                Err(why) => Heard::FullReadReason(why),
            },
        };
        self.session = Some(session);
        self.due = Instant::now() + self.client.config.poll;
        Ok(heard)
    }

    async fn next(&mut self, wait: Duration, known: &Notebook) -> Result<Heard, Ended> {
        let until = Instant::now() + wait;
        while self.due <= until {
            sleep_until(self.due).await;
            let mut session = match self.session.take() {
                Some(session) => session,
                None => return Err(Fault::Unreachable("the connection is gone".to_owned()).into()),
            };
            let heard = self.hear(&mut session, known, false).await?;
            self.session = Some(session);
            self.due = Instant::now() + self.client.config.poll;
            if !matches!(heard, Heard::Nothing) {
                return Ok(heard);
            }
        }
        sleep_until(until).await;
        Ok(Heard::Nothing)
    }

    fn cursor(&self) -> Vec<u8> {
        self.mark.write()
    }
}

impl Mark {
    fn write(&self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Cookie(cookie) => [b"C", cookie.as_slice()].concat(),
            Self::Number { last, of: Controller { service, invocation } } => {
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
            let of = Controller { service: String::from_utf8(service.to_vec()).ok()?, invocation: invocation.to_vec() };
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
fn announced(session: &Session, entries: Vec<Entry>) -> Result<Vec<(Id, Change, String)>, Ended> {
    let schema = &session.schema;
    let ours = entries.into_iter().filter(|entry| !entry.values(&schema.id).is_empty());
    ours.map(|entry| Ok((schema.id_of(&entry)?, Change::of(&entry), entry.dn))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_garbage_is_none() {
        let of = Controller { service: "CN=NTDS Settings,CN=DC1".to_owned(), invocation: vec![7; 16] };
        for mark in [Mark::None, Mark::Cookie(b"MSDS".to_vec()), Mark::Number { last: 3945, of }] {
            let bytes = mark.write();
            assert_eq!(Mark::read(&bytes), mark);
        }
        for bad in [&b"C"[..], b"N", b"N\0\0\0\0\0\0\0\x01", b"N\0\0\0\0\0\0\0\x01\x10abc", b"X", b"\0\0\0\x01a"] {
            assert_eq!(Mark::read(bad), Mark::None, "{bad:?}");
        }
    }
}
