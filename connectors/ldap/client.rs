//! The servers of a directory as one: which of them answers, bound and asked what it is. Tries the next where one does
//! not answer, and remembers which did; when to come again is for whoever asked.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    config::Config,
    schema::{
        definitions::{self, Definitions},
        model::Schema,
        server::RootDse,
    },
    wire::{
        connection::{Connection, Protection, Url},
        fault::Fault,
        search,
    },
};

/// How long a server's schema is taken for what it was: it is large, and changes by an administrator's hand.
const KNOWN_FOR: TimeDelta = TimeDelta::minutes(10);

/// The servers' schema as it was read last, and when.
type KnownDefinitions = Arc<Mutex<Option<(DateTime<Utc>, Arc<Definitions>)>>>;

/// A directory's servers.
#[derive(Debug)]
pub struct Client {
    pub config: Config,
    protection: Protection,
    /// Which server answered last.
    preferred: AtomicUsize,
    definitions: KnownDefinitions,
}

impl std::fmt::Debug for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Clear) { "Clear" } else { "Tls" })
    }
}

/// A bound connection to a server that was asked what it is.
#[derive(Debug)]
pub struct Session {
    pub connection: Connection,
    pub root: RootDse,
    pub schema: Schema,
    definitions: KnownDefinitions,
}

impl Session {
    /// What the server's schema defines; `None` where it does not show it to us.
    pub async fn definitions(&mut self, now: DateTime<Utc>) -> Result<Option<Arc<Definitions>>, Fault> {
        if let Some((at, known)) = &*self.definitions.lock().unwrap_or_else(PoisonError::into_inner)
            && (now - *at).abs() < KNOWN_FOR
        {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(subschema) = self.root.subschema.clone() else { return Ok(None) };
        let names = definitions::ATTRIBUTES.map(str::to_owned).to_vec();
        let shown = match search::read_entry(&mut self.connection, &subschema, None, names).await {
            Ok(shown) => shown,
            Err(Fault::Refused { .. }) => None,
            Err(fault) => return Err(fault),
        };
        let found = shown.as_ref().and_then(Definitions::of).map(Arc::new);
        if let Some(found) = &found {
            let known = (now, Arc::clone(found));
            *self.definitions.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        }
        Ok(found)
    }
}

impl Client {
    /// Of a configuration.
    ///
    /// # Errors
    /// A certificate or key that cannot be read, or an address and a protection that do not fit.
    pub fn new(config: Config) -> Result<Self, String> {
        if config.urls.is_empty() || config.people.is_empty() {
            return Err("a directory needs at least one address and one base".to_owned());
        }
        let protection = if config.clear_text { Protection::Clear } else { Protection::Tls(config.trust.handshake()?) };
        if let Some(url) = config.urls.iter().find(|url| config.clear_text && url.tls) {
            return Err(format!("{url} speaks TLS, and `clear_text` says not to"));
        }
        Ok(Self { config, protection, preferred: AtomicUsize::new(0), definitions: KnownDefinitions::default() })
    }

    /// A secured connection to one server, not yet bound.
    pub async fn connect(&self, url: &Url) -> Result<Connection, Fault> {
        Connection::open(url, &self.protection, self.config.limits).await
    }

    /// The server that answered last.
    pub fn preferred_url(&self) -> String {
        let url = self.config.urls.get(self.preferred.load(Ordering::Relaxed));
        url.or(self.config.urls.first()).map_or_else(String::new, Url::to_string)
    }

    /// A secured connection to the server that answered last, not yet bound.
    pub async fn connect_preferred(&self) -> Result<Connection, Fault> {
        let url = self.config.urls.get(self.preferred.load(Ordering::Relaxed)).or(self.config.urls.first());
        match url {
            Some(url) => self.connect(url).await,
            None => Err(Fault::Unreachable("no server is configured".to_owned())),
        }
    }

    /// A session with the first server that answers.
    pub async fn session(&self) -> Result<Session, Fault> {
        let urls = &self.config.urls;
        let start = self.preferred.load(Ordering::Relaxed);
        let mut worst: Option<Fault> = None;
        for turn in 0..urls.len() {
            let at = (start + turn) % urls.len();
            let Some(url) = urls.get(at) else { continue };
            match self.session_with(url).await {
                Ok(session) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok(session);
                }
                Err(fault) if fault.may_another_server_help() => {
                    tracing::debug!(server = %url, %fault, "a server of the directory is passed over");
                    worst = Some(match worst {
                        None => fault,
                        Some(before) => both(before, &fault),
                    });
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(worst.unwrap_or_else(|| Fault::Unreachable("no server is configured".to_owned())))
    }

    async fn session_with(&self, url: &Url) -> Result<Session, Fault> {
        let mut connection = self.connect(url).await?;
        connection.bind(&self.config.bind).await?;
        let root = RootDse::read(&mut connection).await?;
        Ok(self.session_of(connection, root))
    }

    /// A session on a bound connection whose server said what it is.
    pub fn session_of(&self, mut connection: Connection, root: RootDse) -> Session {
        connection.set_advice(root.kind.limit_advice(self.config.bind.account()));
        let definitions = Arc::clone(&self.definitions);
        Session { connection, schema: Schema::of(&self.config, root.kind), root, definitions }
    }
}

/// What several servers came to: the first kind of fault, with all texts.
fn both(first: Fault, second: &Fault) -> Fault {
    match first {
        Fault::Unreachable(text) => Fault::Unreachable(format!("{text}; {second}")),
        Fault::Uncertified(text) => Fault::Uncertified(format!("{text}; {second}")),
        Fault::Untrusted(text) => Fault::Untrusted(format!("{text}; {second}")),
        Fault::Malformed(text) => Fault::Malformed(format!("{text}; {second}")),
        other => other,
    }
}
