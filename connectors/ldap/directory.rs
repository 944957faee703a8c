//! A directory as a connector: read as a whole, asked for single subjects, followed where the server can be. Turns faults
//! into the states that an operator sees; decides no removal.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_events::{
    Body, Id,
    body::{self, GroupRef, Member, PersonRef},
};
use rollcall_ingest::connector::{
    ChangeSink, Failure, FullReadReason, LookupAnswer, Pull, Scope, SinkError, Snapshot, SnapshotBuilder,
};

use crate::{
    ber::Malformed,
    changes::Changes,
    client::{Client, Session},
    config::{Config, Mode},
    fault::Fault,
    filter::Filter,
    follow::Follower,
    message::Entry,
    model::{Listed, Unreadable},
    polled::{self, Polled},
    read::{self, ReadError},
    rfc4533::Streams,
    search,
    server::{Kind, RootDse, SYNC},
    world::{self, Notes},
};

/// unavailableCriticalExtension.
const UNAVAILABLE_EXTENSION: u32 = 12;

/// How long a server may take to mend the lists of groups after a rename.
pub(crate) const SETTLING: Duration = Duration::from_millis(500);

/// One configured directory.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    /// Whether the server that answered last can be followed.
    followable: AtomicBool,
    /// How the server is read and why, where it turned out not to do what it says.
    turned_out: Mutex<Option<(Way, String)>>,
    known: Mutex<Option<Known>>,
}

/// What is known of a directory since it last answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The server that answered.
    pub server: String,
    /// What it is.
    pub kind: Kind,
    /// Its name in its own words.
    pub vendor: Option<String>,
    /// How it is read.
    pub way: Way,
    /// Why so.
    pub why: String,
    /// What the last whole read met that is no fact.
    pub notes: Notes,
}

/// How a directory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As a whole, on the schedule.
    Whole,
    /// Followed by RFC 4533.
    Followed,
    /// Asked for changes by DirSync.
    DirSync,
    /// Asked for changes by their numbers (`uSNChanged`), each domain controller's own.
    ChangeNumbers,
}

impl Way {
    /// What fits a server, and why.
    pub(crate) fn of(config: &Config, root: &RootDse, id: &str) -> (Self, String) {
        let whole = |why: &str| (Self::Whole, why.to_owned());
        match root.kind {
            _ if config.mode == Mode::Full => whole("`mode` says so"),
            Kind::OpenLdap | Kind::ActiveDirectory if config.member_of => {
                whole("`member_of` is on, and a change of it is not announced")
            }
            Kind::OpenLdap | Kind::ActiveDirectory if config.filters_name("memberOf") => {
                whole("a filter looks at memberOf, and a change of it is not announced")
            }
            Kind::ActiveDirectory if !id.eq_ignore_ascii_case("objectGUID") => {
                whole("`id_attribute` is not objectGUID")
            }
            Kind::ActiveDirectory if polled::context(config, root).is_none() => {
                whole("the bases are in several naming contexts, and changes are asked of one")
            }
            Kind::ActiveDirectory => (Self::DirSync, "DirSync".to_owned()),
            Kind::OpenLdap if !root.knows(SYNC) => {
                whole("the server has no RFC 4533: load the overlay syncprov to have it followed")
            }
            Kind::OpenLdap if !id.eq_ignore_ascii_case("entryUUID") => whole("`id_attribute` is not entryUUID"),
            Kind::OpenLdap => (Self::Followed, "OpenLDAP with RFC 4533".to_owned()),
            Kind::Ds389 | Kind::Other => whole("only OpenLDAP and Active Directory are followed"),
        }
    }

    /// For people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "read as a whole on the schedule",
            Self::Followed => "followed",
            Self::DirSync | Self::ChangeNumbers => "asked for changes",
        }
    }
}

impl Directory {
    /// Of a configuration.
    ///
    /// # Errors
    /// A certificate or key that cannot be used, or settings that do not fit together.
    pub fn new(config: Config) -> Result<Self, String> {
        let followable = AtomicBool::new(config.mode == Mode::Auto);
        let client = Client::new(config)?;
        Ok(Self(Arc::new(Inner { client, followable, turned_out: Mutex::default(), known: Mutex::default() })))
    }

    /// What is known since it last answered.
    #[must_use]
    pub fn known(&self) -> Option<Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    /// A session, and how its server is read.
    async fn session(&self) -> Result<(Session, Way), Fault> {
        let session = self.client().session().await?;
        let of_itself = || Way::of(&self.client().config, &session.root, &session.schema.id);
        let (way, why) = self.turned_out().clone().unwrap_or_else(of_itself);
        self.0.followable.store(way != Way::Whole, Ordering::Relaxed);
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let notes = known.take().map(|known| known.notes).unwrap_or_default();
        *known = Some(Known {
            server: session.connection.url().to_string(),
            kind: session.root.kind,
            vendor: session.root.vendor.clone(),
            way,
            why,
            notes,
        });
        drop(known);
        Ok((session, way))
    }

    fn turned_out(&self) -> MutexGuard<'_, Option<(Way, String)>> {
        self.0.turned_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, notes: &Notes) {
        for text in notes.left_out.iter().chain(&notes.conflicts) {
            tracing::warn!(what = %text, "something of the directory is left out");
        }
        if let Some(known) = &mut *self.0.known.lock().unwrap_or_else(PoisonError::into_inner) {
            known.notes = notes.clone();
        }
    }

    async fn read_whole(&self, mut builder: SnapshotBuilder) -> Result<Snapshot, Ended> {
        let config = &self.client().config;
        let bases = || config.people.iter().chain(&config.groups);
        let parts: Vec<_> = bases().map(|base| builder.open_section(base.text.clone())).collect();
        let (mut session, _) = self.session().await?;
        let notes = read::everything(&mut session, config, &mut builder).await?;
        session.connection.close().await;
        // Every page of every base came with a good result, or we would not be here.
        parts.into_iter().for_each(|part| builder.close_section(part));
        self.note(&notes);
        Ok(builder.seal()?)
    }

    async fn look_up_each(&self, subjects: &[Body], now: DateTime<Utc>) -> Result<Vec<LookupAnswer>, Ended> {
        let (mut session, _) = self.session().await?;
        let mut answers = Vec::with_capacity(subjects.len());
        for subject in subjects {
            answers.push(self.look_up_one(&mut session, subject, now).await?);
        }
        // Who was renamed may be listed under the old name for a moment: servers mend that by themselves, a little later.
        if answers.contains(&LookupAnswer::Gone) {
            tokio::time::sleep(SETTLING).await;
            for (subject, answer) in
                subjects.iter().zip(&mut answers).filter(|(_, answer)| **answer == LookupAnswer::Gone)
            {
                *answer = self.look_up_one(&mut session, subject, now).await?;
            }
        }
        session.connection.close().await;
        Ok(answers)
    }

    async fn look_up_one(
        &self,
        session: &mut Session,
        subject: &Body,
        now: DateTime<Utc>,
    ) -> Result<LookupAnswer, Ended> {
        match self.answer(session, subject, now).await {
            Err(Ended::Fault(fault @ Fault::Refused { .. })) => Ok(LookupAnswer::Unanswered(fault.to_string())),
            Err(Ended::Unreadable(why)) => Ok(LookupAnswer::Unanswered(why.to_string())),
            answered => answered,
        }
    }

    async fn answer(&self, session: &mut Session, subject: &Body, now: DateTime<Utc>) -> Result<LookupAnswer, Ended> {
        // That an entry is not found may also mean that it is hidden; only a whole read concludes from that.
        let hidden = || LookupAnswer::Unknown("it is not found any more; the next whole read decides".to_owned());
        let schema = session.schema.clone();
        Ok(match subject {
            Body::PersonUpserted(body::Person { person: id, .. }) | Body::PersonRemoved(PersonRef { person: id }) => {
                match self.find(session, id, true).await? {
                    Some(entry) => LookupAnswer::Stated(world::person_fact(&schema.person(&entry, now)?)),
                    None => hidden(),
                }
            }
            Body::GroupUpserted(body::Group { group: id, .. }) | Body::GroupRemoved(GroupRef { group: id, .. }) => {
                match self.find(session, id, false).await? {
                    Some(entry) => LookupAnswer::Stated(world::group_fact(&schema.group(&entry)?).into()),
                    None => hidden(),
                }
            }
            Body::GroupMemberAdded(fact) | Body::GroupMemberRemoved(fact) => {
                let Some(entry) = self.find(session, &fact.group, false).await? else { return Ok(hidden()) };
                let group = schema.group(&entry)?;
                let listed = match &fact.member {
                    Member::Person(id) => {
                        let Some(entry) = self.find(session, id, true).await? else { return Ok(hidden()) };
                        let person = schema.person(&entry, now)?;
                        let primary = group.sid.is_some() && group.sid == person.primary;
                        let listed = |member: &Listed| match member {
                            Listed::Dn(dn) => *dn == person.dn,
                            Listed::Uid(uid) => person.uids.contains(uid),
                            Listed::Garbage(_) => false,
                        };
                        primary || person.member_of.contains(&group.dn) || group.members.iter().any(listed)
                    }
                    Member::Group(id) => {
                        let Some(entry) = self.find(session, id, false).await? else { return Ok(hidden()) };
                        group.members.contains(&Listed::Dn(schema.group(&entry)?.dn))
                    }
                    Member::Service(_) => return Ok(LookupAnswer::Unknown("a directory has no services".to_owned())),
                };
                if listed {
                    LookupAnswer::Stated(Body::GroupMemberAdded(fact.clone()).into())
                } else {
                    LookupAnswer::Gone
                }
            }
            _ => LookupAnswer::Unknown("a directory says nothing of it".to_owned()),
        })
    }

    /// One entry by its id.
    async fn find(&self, session: &mut Session, id: &Id, person: bool) -> Result<Option<Entry>, Fault> {
        let config = &self.client().config;
        let schema = session.schema.clone();
        let (bases, kind, attributes) = if person {
            (&config.people, schema.people.clone(), schema.person_attributes())
        } else {
            (&config.groups, schema.groups.clone(), schema.group_attributes())
        };
        let wanted = Filter::And(vec![kind, Filter::Equal(schema.id.clone(), schema.id_value(id))]);
        for base in bases {
            let search = read::below(base, wanted.clone(), attributes.clone());
            let mut found = search::whole(&mut session.connection, &search, None, &mut |entry| entry).await?.items;
            if let Some(mut entry) = found.pop() {
                search::complete(&mut session.connection, &mut entry).await?;
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Pull for Directory {
    fn scope(&self) -> Scope {
        self.client().config.scope()
    }

    async fn read(&self, builder: SnapshotBuilder) -> Result<Snapshot, Failure> {
        Ok(self.read_whole(builder).await?)
    }

    async fn look_up(&self, subjects: &[Body], now: DateTime<Utc>) -> Result<Vec<LookupAnswer>, Failure> {
        Ok(self.look_up_each(subjects, now).await?)
    }

    fn follows(&self) -> bool {
        self.0.followable.load(Ordering::Relaxed)
    }

    async fn follow(&self, sink: ChangeSink) -> Failure {
        let followed = async {
            *self.turned_out() = None;
            let (mut session, mut way) = self.session().await?;
            if way == Way::DirSync {
                let found = polled::way(self.client(), &mut session).await?;
                way = found.0;
                *self.turned_out() = Some(found);
                self.session().await?.0.connection.close().await;
            }
            let schema = session.schema.clone();
            session.connection.close().await;
            let changes: Option<Box<dyn Changes + '_>> = match way {
                Way::Whole => None,
                Way::Followed => Some(Box::new(Streams::new(self.client(), schema.clone()))),
                Way::DirSync | Way::ChangeNumbers => Some(Box::new(Polled::new(self.client(), way))),
            };
            if let Some(mut changes) = changes {
                let follower =
                    Follower { client: self.client(), schema, sink: &sink, notes: &|notes| self.note(notes) };
                let Err(ended) = follower.run(&mut *changes).await;
                if way != Way::Followed
                    || !matches!(ended, Ended::Fault(Fault::Refused { code: UNAVAILABLE_EXTENSION, .. }))
                {
                    return Err(ended);
                }
                // The server knows RFC 4533, and not for this database.
                let why = "the database has no overlay syncprov: load it to have it followed";
                *self.turned_out() = Some((Way::Whole, why.to_owned()));
                self.session().await?.0.connection.close().await;
            }
            // Whoever follows begins with a read of its own; the others come on the schedule.
            let why = self.known().map(|known| known.why).unwrap_or_default();
            sink.apply_snapshot(self.read_whole(sink.begin_snapshot(FullReadReason::NotFollowed(why)).await?).await?)
                .await?;
            std::future::pending().await
        };
        let Err(ended): Result<Infallible, Ended> = followed.await;
        ended.into()
    }
}

/// Why a read or a follow came to an end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    SinkError(#[from] SinkError),
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Fault(fault) => Self::Fault(fault),
            ReadError::Unreadable(why) => Self::Unreadable(why),
        }
    }
}

impl From<Malformed> for Ended {
    fn from(error: Malformed) -> Self {
        Self::Fault(error.into())
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Fault(fault) => fault.into(),
            Ended::Unreadable(why) => Self::Partial(why.to_string()),
            Ended::SinkError(stop) => stop.into(),
            Ended::Failure(failure) => failure,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let text = fault.to_string();
        match fault {
            Fault::Unreachable(_) | Fault::Untrusted(_) => Self::Unreachable(text),
            Fault::Unauthorised { .. } | Fault::Uncertified(_) => Self::Unauthorised(text),
            // strongerAuthRequired, confidentialityRequired, inappropriateAuthentication, insufficientAccessRights
            Fault::Refused { code: 8 | 13 | 48 | 50, .. } => Self::Unauthorised(text),
            // busy, unavailable
            Fault::Refused { code: 51 | 52, .. } => Self::Blind { reason: text, retry_after: None },
            Fault::Refused { .. } | Fault::Malformed(_) => Self::Partial(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(kind: Kind, change: impl FnOnce(&mut Config, &mut RootDse)) -> (Way, String) {
        let mut config = Config::new(vec!["ldaps://x".parse().unwrap()], "OU=people,DC=ex,DC=test".parse().unwrap());
        let mut root = RootDse::of(&Entry { dn: String::new(), attributes: Vec::new() });
        root.kind = kind;
        root.contexts = vec!["DC=ex,DC=test".to_owned(), "DC=other,DC=test".to_owned()];
        root.controls = vec![SYNC.to_owned()];
        change(&mut config, &mut root);
        let id = config.attributes.id.clone().unwrap_or_else(|| kind.id().to_owned());
        Way::of(&config, &root, &id)
    }

    #[test]
    fn what_is_not_announced_is_read_as_a_whole_and_the_reason_is_named() {
        let active = Kind::ActiveDirectory;
        assert_eq!(way(active, |_, _| {}), (Way::DirSync, "DirSync".to_owned()));
        assert_eq!(way(Kind::OpenLdap, |_, _| {}).0, Way::Followed);
        let filter = "(&(objectClass=user)(memberOf:1.2.840.113556.1.4.1941:=CN=x,DC=ex,DC=test))";
        for (found, reason) in [
            (way(active, |config, _| config.mode = Mode::Full), "`mode`"),
            (way(active, |config, _| config.member_of = true), "`member_of`"),
            (way(active, |config, _| config.people_filter = Some(filter.parse().unwrap())), "looks at memberOf"),
            (way(active, |config, _| config.attributes.id = Some("objectSid".to_owned())), "not objectGUID"),
            (way(active, |config, _| config.groups = vec!["DC=other,DC=test".parse().unwrap()]), "naming contexts"),
            (way(active, |_, root| root.contexts.clear()), "naming contexts"),
            (way(Kind::OpenLdap, |config, _| config.member_of = true), "`member_of`"),
            (way(Kind::OpenLdap, |_, root| root.controls.clear()), "syncprov"),
            (way(Kind::Ds389, |_, _| {}), "only OpenLDAP and Active Directory"),
        ] {
            assert!(found.0 == Way::Whole && found.1.contains(reason), "{found:?} for {reason}");
        }
    }
}
