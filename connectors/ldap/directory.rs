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
    ChangeSink, Failure, FullReadReason, LookupAnswer, Pull, Scope, Snapshot, SnapshotBuilder,
};

use crate::{
    client::{Client, Session},
    config::{Config, Mode},
    schema::{model::Group, server::Kind},
    sync::{
        active_directory::{self, ActiveDirectoryFeed},
        error::SyncError,
        feed::ChangeFeed,
        follow::Follower,
        index::{self, ReadReport},
        method::SyncMethod,
        read,
        syncrepl_feed::SyncReplFeed,
    },
    wire::{
        dn::Dn,
        fault::Fault,
        filter::Filter,
        message::{Entry, UNAVAILABLE_EXTENSION},
        search,
    },
};

/// How long a server may take to fix the lists of groups after a rename.
pub(crate) const REFINT_DELAY: Duration = Duration::from_millis(500);

/// One configured directory.
#[derive(Debug, Clone)]
pub struct Directory(Arc<DirectoryState>);

#[derive(Debug)]
struct DirectoryState {
    client: Client,
    /// Whether the server that answered last can be followed.
    followable: AtomicBool,
    /// How the server is read and why, where it turned out not to do what it says.
    method_found: Mutex<Option<(SyncMethod, String)>>,
    known: Mutex<Option<DirectoryStatus>>,
}

/// What is known of a directory since it last answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryStatus {
    /// The server that answered.
    pub server: String,
    /// What it is.
    pub kind: Kind,
    /// Its name in its own words.
    pub vendor: Option<String>,
    /// How it is read.
    pub method: SyncMethod,
    /// Why so.
    pub why: String,
    /// What the last whole read met that is no fact.
    pub report: ReadReport,
}

impl Directory {
    /// Of a configuration.
    ///
    /// # Errors
    /// A certificate or key that cannot be used, or settings that do not fit together.
    pub fn new(config: Config) -> Result<Self, String> {
        let followable = AtomicBool::new(config.mode == Mode::Auto);
        let client = Client::new(config)?;
        Ok(Self(Arc::new(DirectoryState {
            client,
            followable,
            method_found: Mutex::default(),
            known: Mutex::default(),
        })))
    }

    /// What is known since it last answered.
    #[must_use]
    pub fn status(&self) -> Option<DirectoryStatus> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    /// A session, and how its server is read.
    async fn session(&self) -> Result<(Session, SyncMethod), Fault> {
        let session = self.client().session().await?;
        let of_itself = || SyncMethod::of(&self.client().config, &session.root, &session.schema.id);
        let (method, why) = self.method_found().clone().unwrap_or_else(of_itself);
        self.0.followable.store(method != SyncMethod::FullRead, Ordering::Relaxed);
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let report = known.take().map(|known| known.report).unwrap_or_default();
        *known = Some(DirectoryStatus {
            server: session.connection.url().to_string(),
            kind: session.root.kind,
            vendor: session.root.vendor.clone(),
            method,
            why,
            report,
        });
        drop(known);
        Ok((session, method))
    }

    fn method_found(&self) -> MutexGuard<'_, Option<(SyncMethod, String)>> {
        self.0.method_found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save_report(&self, report: &ReadReport) {
        for text in report.left_out.iter().chain(&report.conflicts) {
            tracing::warn!(what = %text, "something of the directory is left out");
        }
        if let Some(known) = &mut *self.0.known.lock().unwrap_or_else(PoisonError::into_inner) {
            known.report = report.clone();
        }
    }

    async fn read_whole(&self, mut builder: SnapshotBuilder) -> Result<Snapshot, SyncError> {
        let config = &self.client().config;
        let bases = || config.people.iter().chain(&config.groups);
        let parts: Vec<_> = bases().map(|base| builder.open_section(base.text.clone())).collect();
        let (mut session, _) = self.session().await?;
        read::prove_accounts(&mut session, config, builder.now()).await?;
        let report = read::read_everything(&mut session, config, &mut builder).await?;
        session.connection.close().await;
        // Every page of every base came with a good result, or we would not be here.
        parts.into_iter().for_each(|part| builder.close_section(part));
        self.save_report(&report);
        Ok(builder.seal()?)
    }

    async fn look_up_each(&self, subjects: &[Body], now: DateTime<Utc>) -> Result<Vec<LookupAnswer>, SyncError> {
        let (mut session, _) = self.session().await?;
        read::prove_accounts(&mut session, &self.client().config, now).await?;
        let mut answers = Vec::with_capacity(subjects.len());
        for subject in subjects {
            answers.push(self.look_up_one(&mut session, subject, now).await?);
        }
        // Who was renamed may be listed under the old name for a moment: servers fix that by themselves, a little later.
        if answers.contains(&LookupAnswer::Gone) {
            tokio::time::sleep(REFINT_DELAY).await;
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
    ) -> Result<LookupAnswer, SyncError> {
        match self.answer(session, subject, now).await {
            Err(SyncError::Fault(fault @ Fault::Refused { .. })) => Ok(LookupAnswer::Unanswered(fault.to_string())),
            Err(SyncError::Unreadable(why)) => Ok(LookupAnswer::Unanswered(why.to_string())),
            answered => answered,
        }
    }

    async fn answer(
        &self,
        session: &mut Session,
        subject: &Body,
        now: DateTime<Utc>,
    ) -> Result<LookupAnswer, SyncError> {
        // That an entry is not found may also mean that it is hidden; only a whole read concludes from that.
        let hidden = || LookupAnswer::Unknown("it is not found any more; the next whole read decides".to_owned());
        let schema = session.schema.clone();
        Ok(match subject {
            Body::PersonUpserted(body::Person { person: id, .. }) | Body::PersonRemoved(PersonRef { person: id }) => {
                match self.find(session, id, true).await? {
                    Some(entry) => {
                        let person = index::read_person(&schema, &entry, now, |fact| fact == subject)?;
                        LookupAnswer::Found(index::person_fact(&person))
                    }
                    None => hidden(),
                }
            }
            Body::GroupUpserted(body::Group { group: id, .. }) | Body::GroupRemoved(GroupRef { group: id, .. }) => {
                match self.find(session, id, false).await? {
                    Some(entry) => LookupAnswer::Found(index::group_fact(&schema.group(&entry)?).into()),
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
                        let uids = person.uids.iter().map(|uid| ("memberUid", uid.clone())).collect();
                        primary
                            || person.member_of.contains(&group.dn)
                            || lists(session, &group, &person.dn, uids).await?
                    }
                    Member::Group(id) => {
                        let Some(entry) = self.find(session, id, false).await? else { return Ok(hidden()) };
                        lists(session, &group, &schema.group(&entry)?.dn, Vec::new()).await?
                    }
                    Member::Service(_) => return Ok(LookupAnswer::Unknown("a directory has no services".to_owned())),
                };
                if listed {
                    LookupAnswer::Found(Body::GroupMemberAdded(fact.clone()).into())
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
            let search = read::search_below(base, wanted.clone(), attributes.clone());
            let mut found = search::search_all(&mut session.connection, &search, None, &mut |entry| entry).await?.items;
            if let Some(mut entry) = found.pop() {
                search::complete_ranges(&mut session.connection, &mut entry).await?;
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// Whether the server says that a group lists somebody: it alone knows which values it takes for one.
async fn lists(session: &mut Session, group: &Group, dn: &Dn, mut values: Vec<(&str, String)>) -> Result<bool, Fault> {
    values.extend(["member", "uniqueMember"].map(|list| (list, dn.to_string())));
    let equal = |(list, value): (&str, String)| Filter::Equal(list.to_owned(), value.into_bytes());
    let filter = Filter::any(values.into_iter().map(equal).collect());
    let found = search::read_entry(&mut session.connection, &group.text, Some(filter), vec!["1.1".to_owned()]).await?;
    Ok(found.is_some())
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
            *self.method_found() = None;
            let (mut session, mut method) = self.session().await?;
            read::prove_accounts(&mut session, &self.client().config, sink.now()).await?;
            if method == SyncMethod::DirSync {
                let found = active_directory::method(self.client(), &mut session).await?;
                method = found.0;
                *self.method_found() = Some(found);
                self.session().await?.0.connection.close().await;
            }
            let schema = session.schema.clone();
            session.connection.close().await;
            let changes: Option<Box<dyn ChangeFeed + '_>> = match method {
                SyncMethod::FullRead => None,
                SyncMethod::SyncRepl => Some(Box::new(SyncReplFeed::new(self.client(), schema.clone()))),
                SyncMethod::DirSync | SyncMethod::ChangeNumbers => {
                    Some(Box::new(ActiveDirectoryFeed::new(self.client(), method)))
                }
            };
            if let Some(mut changes) = changes {
                let follower =
                    Follower { client: self.client(), schema, sink: &sink, report: &|report| self.save_report(report) };
                let Err(ended) = follower.run(&mut *changes).await;
                if method != SyncMethod::SyncRepl
                    || !matches!(ended, SyncError::Fault(Fault::Refused { code: UNAVAILABLE_EXTENSION, .. }))
                {
                    return Err(ended);
                }
                // The server knows RFC 4533, and not for this database.
                let why = "the database has no overlay syncprov: load it to have it followed";
                *self.method_found() = Some((SyncMethod::FullRead, why.to_owned()));
                self.session().await?.0.connection.close().await;
            }
            // Whoever follows begins with a read of its own; the others come on the schedule.
            let why = self.status().map(|known| known.why).unwrap_or_default();
            sink.apply_snapshot(self.read_whole(sink.begin_snapshot(FullReadReason::NotFollowed(why)).await?).await?)
                .await?;
            std::future::pending().await
        };
        let Err(ended): Result<Infallible, SyncError> = followed.await;
        ended.into()
    }
}
