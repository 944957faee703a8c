//! The identity in use, and its files looked at again: what fits is taken at once, what does not leaves the old one and is
//! said. New connections get the new one; those that are open keep theirs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use rollcall_events::Clock;
use rollcall_ingest::connector::ClientCertificate;
use rustls::pki_types::CertificateDer;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::identity::{Identity, TlsError, TlsFile};

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Where the files are.
#[derive(Debug, Clone)]
pub struct TlsPaths {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of client certificates.
    pub client_authorities: Option<PathBuf>,
}

/// Reads a file, if nobody else may write it.
pub type ReadTrusted = fn(&Path) -> io::Result<String>;

/// TLS of a running server.
pub struct Tls {
    paths: TlsPaths,
    read: ReadTrusted,
    current: RwLock<Arc<Identity>>,
    last: Mutex<Looked>,
}

/// How the last look at the files went.
struct Looked {
    /// The hash of what stood in them.
    content: Vec<u8>,
    /// Why that was not taken.
    refused: Option<String>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One is missing, or they do not fit.
    pub fn open(paths: TlsPaths, read: ReadTrusted) -> anyhow::Result<Self> {
        let files = read_all(&paths, read).map_err(anyhow::Error::msg)?;
        let identity = files.identity().map_err(anyhow::Error::msg)?;
        let last = Mutex::new(Looked { content: files.hash(), refused: None });
        Ok(Self { paths, read, current: RwLock::new(Arc::new(identity)), last })
    }

    /// Looks at the files again, and takes them if they changed and fit. What does not fit leaves what was there, and so does
    /// what has ended while that has not.
    pub fn reload(&self, now: DateTime<Utc>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (content, identity) = match read_all(&self.paths, self.read) {
            Ok(files) => (files.hash(), files.identity().and_then(|next| self.unless_over(next, now))),
            Err(what) => (what.clone().into_bytes(), Err(what)),
        };
        if content == last.content {
            return;
        }
        last.content = content;
        match identity {
            Ok(identity) => {
                tracing::info!(names = identity.names.join(" "), ends = %identity.ends, "TLS certificate taken");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
                last.refused = None;
            }
            Err(what) => {
                tracing::error!(%what, "TLS files changed and do not fit: the certificate before them stays in use");
                last.refused = Some(what);
            }
        }
    }

    fn unless_over(&self, next: Identity, now: DateTime<Utc>) -> Result<Identity, String> {
        if next.ends <= now && self.identity().ends > now {
            return Err(format!("`{}`: the certificate ended {}", TlsFile::Certificate.key(), next.ends));
        }
        Ok(next)
    }

    /// Why what stands in the files is not what is in use.
    pub fn refused(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }

    /// What is in use.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// For the handshake of a new connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.identity().config))
    }

    /// For operators: whom the certificate is made out to, when it ends, and why newer files were not taken.
    pub fn report(&self, now: DateTime<Utc>) -> String {
        let Identity { names, ends, .. } = &*self.identity();
        let verb = if *ends <= now { "ENDED" } else { "ends" };
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = last.refused.as_ref().map(|what| format!("; the files have changed and are not taken: {what}"));
        format!("the certificate of {} {verb} {ends}{}", names.join(", "), refused.unwrap_or_default())
    }
}

/// Looks at the files until it is told to stop.
pub async fn watch(tls: Arc<Tls>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {
                let (tls, now) = (Arc::clone(&tls), clock.now());
                let _ = tokio::task::spawn_blocking(move || tls.reload(now)).await;
            }
        }
    }
}

/// The texts of the files.
struct Files {
    certificate: String,
    key: String,
    client_authorities: Option<String>,
}

fn read_all(paths: &TlsPaths, read: ReadTrusted) -> Result<Files, String> {
    let text = |path: &PathBuf| read(path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()));
    Ok(Files {
        certificate: text(&paths.certificate)?,
        key: text(&paths.key)?,
        client_authorities: paths.client_authorities.as_ref().map(text).transpose()?,
    })
}

impl Files {
    fn identity(&self) -> Result<Identity, String> {
        Identity::read(&self.certificate, &self.key, self.client_authorities.as_deref())
            .map_err(|TlsError { of, what }| format!("`{}`: {what}", of.key()))
    }

    fn hash(&self) -> Vec<u8> {
        let mut context = digest::Context::new(&digest::SHA256);
        for text in [Some(&self.certificate), Some(&self.key), self.client_authorities.as_ref()].into_iter().flatten() {
            context.update(&text.len().to_be_bytes());
            context.update(text.as_bytes());
        }
        context.finish().as_ref().to_vec()
    }
}

/// The certificate that a client showed on its connection, judged by what is in use when it is asked for.
pub struct ShownCertificate {
    tls: Arc<Tls>,
    chain: Vec<CertificateDer<'static>>,
}

impl ShownCertificate {
    /// The certificate of a connection, if the client showed one.
    pub fn of(tls: &Arc<Tls>, connection: &rustls::ServerConnection) -> Option<Arc<dyn ClientCertificate>> {
        let chain = connection.peer_certificates().filter(|chain| !chain.is_empty())?;
        let chain = chain.iter().map(|one| one.clone().into_owned()).collect();
        Some(Arc::new(Self { tls: Arc::clone(tls), chain }))
    }
}

impl ClientCertificate for ShownCertificate {
    fn names(&self, now: DateTime<Utc>) -> Option<Vec<String>> {
        self.tls.identity().client_names(&self.chain, now)
    }
}
