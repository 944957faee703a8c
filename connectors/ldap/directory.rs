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
use rollcall_events::Body;
use rollcall_ingest::connector::{
    ChangeSink, Failure, FullReadReason, LookupAnswer, Pull, Scope, Snapshot, SnapshotBuilder,
};

use crate::{
    client::{Client, Session},
    config::{Config, Mode},
    schema::server::Kind,
    sync::{
        active_directory::{self, ActiveDirectoryFeed},
        error::SyncError,
        feed::ChangeFeed,
        follow::Follower,
        index::ReadReport,
        method::SyncMethod,
        read, subjects,
        syncrepl_feed::SyncReplFeed,
    },
    wire::{fault::Fault, message::UNAVAILABLE_EXTENSION},
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
        let config = &self.client().config;
        let mut answers = subjects::look_up(&mut session, config, subjects, now).await?;
        // Who was renamed may be listed under the old name for a moment: servers fix that by themselves, a little later.
        let gone: Vec<usize> = (0..answers.len()).filter(|at| answers.get(*at) == Some(&LookupAnswer::Gone)).collect();
        if !gone.is_empty() {
            tokio::time::sleep(REFINT_DELAY).await;
            let again: Vec<Body> = gone.iter().filter_map(|at| subjects.get(*at).cloned()).collect();
            let again = subjects::look_up(&mut session, config, &again, now).await?;
            for (at, answer) in gone.into_iter().zip(again) {
                if let Some(place) = answers.get_mut(at) {
                    *place = answer;
                }
            }
        }
        session.connection.close().await;
        Ok(answers)
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
