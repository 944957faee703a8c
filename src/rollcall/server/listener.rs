//! The listener: accepts connections, bounds what each may cost, and lets go of them in order when told to stop. Says of
//! every request who its client is, in the one place that everything behind it asks.
//! Knows nothing of what is served. HTTP/1.1 only: a proxy in front speaks it, and its limits are the ones that bite.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use rollcall_authn::{Proxies, true_client};
use rollcall_ingest::connector::ClientCertificate;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

use crate::{
    server::{
        proxy_protocol,
        sockets::{Progress, Shares, Unread, answer},
        telemetry::ConnectionRefused,
    },
    tls::{ShownCertificate, Tls},
};

/// What a connection may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open at once; the next ones wait to be accepted.
    pub connections: usize,
    /// Of these, for one address.
    pub per_address: usize,
    /// Beyond them, for whoever asks only for `urgent`.
    pub spare: usize,
    /// What is answered also while every connection is in use.
    pub urgent: &'static [&'static str],
    /// How long the head of a request may take, and a handshake, and how long a connection may be idle.
    pub head: Duration,
    /// How long a client may take nothing of an answer.
    pub write: Duration,
    /// How long requests under way may take after the signal to stop.
    pub grace: Duration,
}

/// What a request on a spare connection waits for a connection of its own, and how long one may take to say something.
const SPARE_TIME: Duration = Duration::from_secs(2);
/// The longest head of a request. Every connection may have one in memory before anybody knows who asks.
const MOST_HEAD: usize = 64 << 10;
/// How many who have their share are told so at once; the next ones are just closed.
const MOST_TOLD: usize = 64;

/// What stands between a client's bytes and its requests.
#[derive(Default)]
pub struct Front {
    /// Who is believed about whose connection it is.
    pub proxies: Proxies,
    /// TLS of our own.
    pub tls: Option<Arc<Tls>>,
}

/// Serves until `stop`, then lets what is under way end. Returns how many connections had to be cut.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    Front { proxies, tls }: Front,
    stop: CancellationToken,
) -> usize {
    let proxies = Arc::new(proxies);
    let room = Arc::new(Semaphore::new(limits.connections));
    let spare = Arc::new(Semaphore::new(limits.spare));
    let told = Arc::new(Semaphore::new(MOST_TOLD));
    let shares = Shares::new(limits.per_address);
    let graceful = GracefulShutdown::new();
    while let Some((stream, peer)) = accept(&listener, &stop).await {
        // A trusted proxy speaks for many clients, and has as many connections as they need.
        let share = if proxies.trusts(peer.ip()) { None } else { shares.take(peer.ip()) };
        if share.is_none() && !proxies.trusts(peer.ip()) {
            refuse(stream, peer.ip(), tls.is_some(), &told);
            continue;
        }
        let Some(place) = place(&room, &spare, &stop).await else { break };
        let place = Arc::new(Mutex::new(place));
        let connection = Connection {
            app: app.clone(),
            limits,
            peer,
            proxies: Arc::clone(&proxies),
            room: Arc::clone(&room),
            told: Arc::clone(&told),
            shares: shares.clone(),
            place,
        };
        let (watcher, tls, stop) = (graceful.watcher(), tls.clone(), stop.clone());
        tokio::spawn(async move {
            connection.run(stream, tls, watcher, stop).await;
            drop(share);
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => 0,
        () = tokio::time::sleep(limits.grace) => limits.connections.saturating_sub(room.available_permits()),
    }
}

/// Where a connection is counted.
enum Place {
    /// Among those that may ask for anything.
    Room { _permit: OwnedSemaphorePermit },
    /// Among those that came when all of these were in use.
    Spare { _permit: OwnedSemaphorePermit },
}

/// One connection and what it may cost.
struct Connection {
    app: Router,
    limits: Limits,
    /// Who connected, or for whom a trusted proxy did.
    peer: SocketAddr,
    proxies: Arc<Proxies>,
    room: Arc<Semaphore>,
    told: Arc<Semaphore>,
    shares: Shares,
    place: Arc<Mutex<Place>>,
}

impl Connection {
    /// From the first byte to the last.
    async fn run(mut self, mut stream: TcpStream, tls: Option<Arc<Tls>>, watcher: Watcher, stop: CancellationToken) {
        let (patience, proxy) = (self.patience(), self.peer.ip());
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = connected_peer(&mut stream, self.peer, &self.proxies, patience) => opened,
        };
        match opened {
            Ok(Opened::Direct) => {}
            Ok(Opened::For(named)) => self.peer = named,
            // It speaks for itself, and nobody knows for whom else: no header on it is believed.
            Ok(Opened::ForNobody) => self.proxies = Arc::default(),
            // Somebody only looked whether anybody listens.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return tracing::debug!(%error, %proxy, "a connection of a trusted proxy ended early");
            }
            Err(error) => return tracing::warn!(%error, %proxy, "a connection of a trusted proxy is closed"),
        }
        let named = self.peer.ip();
        let counts = named != proxy && !self.proxies.trusts(named);
        let share = if counts { self.shares.take(named) } else { None };
        if counts && share.is_none() {
            return refuse(stream, named, tls.is_some(), &self.told);
        }
        let unread = Unread::default();
        let stream = Progress::new(stream, self.limits.write, unread.clone());
        let Some(tls) = tls else { return self.serve(stream, None, unread, watcher).await };
        let shaken = tokio::select! {
            () = stop.cancelled() => return,
            shaken = tokio::time::timeout(patience, tls.acceptor().accept(stream)) => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => {
                let certificate = ShownCertificate::of(&tls, stream.get_ref().1);
                self.serve(stream, certificate, unread, watcher).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
        drop(share);
    }

    /// Answers its requests until it ends.
    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        certificate: Option<Arc<dyn ClientCertificate>>,
        unread: Unread,
        watcher: Watcher,
    ) {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.patience()).half_close(false).max_buf_size(MOST_HEAD);
        let connection = Arc::new(self);
        let held = Arc::clone(&connection);
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            let (connection, unread) = (Arc::clone(&connection), unread.clone());
            let client = true_client(connection.peer.ip(), request.headers(), &connection.proxies);
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, connection.peer.port())));
            if let Some(certificate) = &certificate {
                request.extensions_mut().insert(Arc::clone(certificate));
            }
            async move { connection.answer(request, client, unread).await }
        });
        if let Err(error) = watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await {
            tracing::debug!(%error, "connection ended early");
        }
        drop(held);
    }

    /// Answers one request.
    async fn answer(
        &self,
        request: hyper::Request<Incoming>,
        client: IpAddr,
        unread: Unread,
    ) -> Result<Response, Infallible> {
        if !self.may_ask(request.uri().path()).await {
            unread.set();
            return Ok(busy_response(BUSY));
        }
        // A proxy's connections are everybody's: whom its header names has a share of what is under way on them.
        let named = client != self.peer.ip().to_canonical() && !self.proxies.trusts(client);
        let counts = named && !self.limits.urgent.contains(&request.uri().path());
        let share = if counts { self.shares.take(client) } else { None };
        if counts && share.is_none() {
            ConnectionRefused { client }.emit();
            unread.set();
            return Ok(busy_response(BUSY_CLIENT));
        }
        let mut response = answer(self.app.clone(), request, unread).await?;
        // Others who look are waiting for its place.
        if self.is_spare() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        drop(share);
        Ok(response)
    }

    fn is_spare(&self) -> bool {
        matches!(*self.place.lock().unwrap_or_else(PoisonError::into_inner), Place::Spare { .. })
    }

    /// How long it may take to say whose it is, to shake hands, and to ask.
    fn patience(&self) -> Duration {
        if self.is_spare() { self.limits.head.min(SPARE_TIME) } else { self.limits.head }
    }

    /// Whether it may ask this: one that came too late only what is urgent, or anything once another one has ended.
    async fn may_ask(&self, path: &str) -> bool {
        if self.limits.urgent.contains(&path) || !self.is_spare() {
            return true;
        }
        match tokio::time::timeout(SPARE_TIME, Arc::clone(&self.room).acquire_owned()).await {
            Ok(Ok(permit)) => {
                *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Place::Room { _permit: permit };
                true
            }
            _ => false,
        }
    }
}

const BUSY: &str = "every connection is in use: come again in a moment\n";
const BUSY_CLIENT: &str = "too many requests from this address: come again in a moment\n";

fn busy_response(why: &'static str) -> Response {
    let headers = [(header::RETRY_AFTER, "1"), (header::CONNECTION, "close")];
    (StatusCode::SERVICE_UNAVAILABLE, headers, why).into_response()
}

/// Closes a connection of an address that has its share. Says so where that costs no handshake.
fn refuse(stream: TcpStream, client: IpAddr, encrypted: bool, told: &Arc<Semaphore>) {
    ConnectionRefused { client }.emit();
    let (false, Ok(permit)) = (encrypted, Arc::clone(told).try_acquire_owned()) else { return };
    tokio::spawn(async move {
        const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
            content-type: text/plain\r\ncontent-length: 63\r\n\r\n\
            too many connections from this address: come again in a moment\n";
        let unread = Unread::default();
        unread.set();
        let mut stream = Progress::new(stream, SPARE_TIME, unread);
        let tell = async {
            stream.write_all(ANSWER).await?;
            stream.shutdown().await
        };
        drop(tokio::time::timeout(SPARE_TIME, tell).await);
        drop(permit);
    });
}

/// How a connection begins.
enum Opened {
    /// The peer's own.
    Direct,
    /// A trusted proxy's, for somebody.
    For(SocketAddr),
    /// A trusted proxy's that names nobody.
    ForNobody,
}

/// Whose connection it is: the peer's, or that of whom a trusted proxy passes on.
async fn connected_peer(
    stream: &mut TcpStream,
    peer: SocketAddr,
    proxies: &Proxies,
    limit: Duration,
) -> io::Result<Opened> {
    if !proxies.proxy_protocol || !proxies.trusts(peer.ip()) {
        return Ok(Opened::Direct);
    }
    match tokio::time::timeout(limit, proxy_protocol::read(stream)).await {
        Ok(named) => Ok(named?.map_or(Opened::ForNobody, Opened::For)),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Room for a connection, as soon as there is some; nothing when it is time to stop.
async fn place(room: &Arc<Semaphore>, spare: &Arc<Semaphore>, stop: &CancellationToken) -> Option<Place> {
    tokio::select! {
        biased;
        permit = Arc::clone(room).acquire_owned() => Some(Place::Room { _permit: permit.ok()? }),
        permit = Arc::clone(spare).acquire_owned() => Some(Place::Spare { _permit: permit.ok()? }),
        () = stop.cancelled() => None,
    }
}

/// The next connection; nothing when it is time to stop.
async fn accept(listener: &TcpListener, stop: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                // Small answers are not to wait for a full packet.
                drop(stream.set_nodelay(true));
                return Some((stream, client));
            }
            Err(error) => {
                // Out of file descriptors, mostly: connections that end will free some.
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// What folds or reads the whole log may take as long as that takes.
const SLOW_PATHS: [&str; 3] = ["/api/v1/projections/", "/api/v1/log/verify", "/api/v1/deliveries/replay"];
const SLOW_PATH_TIMEOUT: Duration = Duration::from_secs(3600);

/// Ends a request that takes too long, its body included, with 408 in the shape that its path speaks.
pub async fn with_timeout(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let oci = path == "/token";
    let limit = if SLOW_PATHS.iter().any(|long| path.starts_with(long)) { SLOW_PATH_TIMEOUT } else { limit };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => timeout_response(oci),
    }
}

fn timeout_response(oci: bool) -> Response {
    let (kind, body) = if oci {
        ("application/json", r#"{"errors":[{"code":"UNKNOWN","message":"the request took too long; send it again"}]}"#)
    } else {
        (
            "application/problem+json",
            r#"{"type":"about:blank","title":"Request Timeout","status":408,"detail":"The request took too long to arrive or to answer. Send it again."}"#,
        )
    };
    (StatusCode::REQUEST_TIMEOUT, [(header::CONTENT_TYPE, kind), (header::CONNECTION, "close")], body).into_response()
}
