//! The servers of a directory as one: which of them answers, bound and asked what it is. Tries the next where one does
//! not answer, and remembers which did; when to come again is for whoever asked.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{
    config::Config,
    schema::{model::Schema, server::RootDse},
    wire::{
        connection::{Connection, Protection, Url},
        fault::Fault,
    },
};

/// A directory's servers.
#[derive(Debug)]
pub struct Client {
    pub config: Config,
    protection: Protection,
    /// Which server answered last.
    preferred: AtomicUsize,
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
        Ok(Self { config, protection, preferred: AtomicUsize::new(0) })
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
        Session { connection, schema: Schema::of(&self.config, root.kind), root }
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
