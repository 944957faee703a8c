//! The listener: accepts connections, bounds what each may cost, and lets go of them in order when told to stop. Says of
//! every request who its client is, in the one place that everything behind it asks.
//! Knows nothing of what is served. HTTP/1.1 only: a proxy in front speaks it, and its limits are the ones that bite.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use rollcall_authn::{Proxies, true_client};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::server::proxy_protocol;

/// What a connection may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open at once; the next ones wait to be accepted.
    pub connections: usize,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub head: Duration,
    /// How long requests under way may take after the signal to stop.
    pub grace: Duration,
}

/// Serves until `stop`, then lets what is under way end. Returns how many connections had to be cut.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    proxies: Proxies,
    stop: CancellationToken,
) -> usize {
    let proxies = Arc::new(proxies);
    let room = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head).half_close(false);
    while let Some((mut stream, peer, permit)) = accept(&listener, &room, &stop).await {
        let (app, proxies, builder, watcher) = (app.clone(), Arc::clone(&proxies), builder.clone(), graceful.watcher());
        tokio::spawn(async move {
            let peer = match connected_peer(&mut stream, peer, &proxies, limits.head).await {
                Ok(peer) => peer,
                Err(error) => {
                    return tracing::warn!(%error, proxy = %peer.ip(), "a connection of a trusted proxy is closed");
                }
            };
            let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let mut request = request.map(Body::new);
                let client = true_client(peer.ip(), request.headers(), &proxies);
                request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, peer.port())));
                app.clone().oneshot(request)
            });
            if let Err(error) = watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await {
                tracing::debug!(%error, "connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => 0,
        () = tokio::time::sleep(limits.grace) => limits.connections.saturating_sub(room.available_permits()),
    }
}

/// Whose connection it is: the peer's, or that of whom a trusted proxy passes on.
async fn connected_peer(
    stream: &mut TcpStream,
    peer: SocketAddr,
    proxies: &Proxies,
    limit: Duration,
) -> io::Result<SocketAddr> {
    if !proxies.proxy_protocol || !proxies.trusts(peer.ip()) {
        return Ok(peer);
    }
    match tokio::time::timeout(limit, proxy_protocol::read(stream)).await {
        Ok(named) => Ok(named?.unwrap_or(peer)),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// The next connection, once there is room for it; nothing when it is time to stop.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return None,
            accepted = async {
                let permit = room.clone().acquire_owned().await.ok()?;
                Some(listener.accept().await.map(|(stream, client)| (stream, client, permit)))
            } => accepted?,
        };
        match accepted {
            Ok((stream, client, permit)) => {
                // Small answers are not to wait for a full packet.
                drop(stream.set_nodelay(true));
                return Some((stream, client, permit));
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

#[cfg(test)]
mod tests {
    use axum::{
        middleware,
        routing::{get, post},
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMITS: Limits = Limits { connections: 2, head: Duration::from_millis(200), grace: Duration::from_secs(5) };

    async fn start(limits: Limits) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<usize>) {
        start_behind(limits, Proxies::default()).await
    }

    async fn start_behind(
        limits: Limits,
        proxies: Proxies,
    ) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<usize>) {
        let app = Router::new()
            .route("/", get(|ConnectInfo(client): ConnectInfo<SocketAddr>| async move { client.ip().to_string() }))
            .route("/echo", post(|body: String| async move { body }))
            .route("/hang", get(|| async { std::future::pending::<()>().await }))
            .layer(middleware::from_fn_with_state(Duration::from_millis(300), with_timeout));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, app, limits, proxies, stop.clone()));
        (address, stop, served)
    }

    async fn say(stream: &mut TcpStream, text: &str) -> String {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_request_is_answered_and_knows_its_client() {
        let (address, ..) = start(LIMITS).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let answer = say(&mut stream, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
    }

    #[tokio::test]
    async fn a_trusted_proxy_names_the_client_by_a_header_or_for_the_whole_connection_and_nobody_else_does() {
        const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
        let trusted = vec![Proxies::parse_trusted("127.0.0.1").unwrap()];
        let by_header = Proxies { trusted, header: Some("X-Forwarded-For".parse().unwrap()), proxy_protocol: false };
        let by_connection = Proxies { header: None, proxy_protocol: true, ..by_header.clone() };
        let other = vec![Proxies::parse_trusted("192.0.2.1").unwrap()];
        let foreign = Proxies { trusted: other, proxy_protocol: true, ..by_header.clone() };
        let (xff, proxy) = ("x-forwarded-for: 203.0.113.9\r\n", "PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n");
        for (proxies, request, expected) in [
            (&by_header, format!("{GET}{xff}\r\n"), Some("203.0.113.9")),
            (&by_header, format!("{proxy}{GET}\r\n"), None),
            (&by_connection, format!("{proxy}{GET}{xff}\r\n"), Some("198.51.100.7")),
            (&by_connection, format!("{GET}\r\n"), None),
            (&foreign, format!("{GET}{xff}\r\n"), Some("127.0.0.1")),
            (&foreign, format!("{proxy}{GET}\r\n"), None),
        ] {
            let (address, ..) = start_behind(LIMITS, proxies.clone()).await;
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // What is closed unread is cut off.
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8(answer).unwrap();
            match expected {
                Some(client) => assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(client), "{answer}"),
                None => assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{request} {answer}"),
            }
        }
    }

    #[tokio::test]
    async fn a_head_or_a_body_that_never_ends_is_cut() {
        let (address, ..) = start(LIMITS).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let answer = say(&mut stream, "GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert_eq!(say(&mut silent, "").await, "", "a connection that says nothing is closed");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let answer = say(&mut stream, "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nab").await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("took too long"), "{answer}");
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_for_room() {
        let (address, ..) = start(Limits { connections: 1, ..LIMITS }).await;
        let _held = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        // The first is silent and is closed after its time; then the second is served.
        let answer = say(&mut second, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn stopping_lets_an_answer_finish_and_cuts_what_outlives_the_grace() {
        let (address, stop, served) = start(LIMITS).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n")
            .await
            .unwrap();
        let mut seen = [0_u8; 12];
        stream.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"HTTP/1.1 100");
        stop.cancel();
        stream.write_all(b"done").await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert!(rest.contains("HTTP/1.1 200") && rest.ends_with("done"), "{rest}");
        assert_eq!(served.await.unwrap(), 0);

        let (address, stop, served) = start(Limits { grace: Duration::ZERO, ..LIMITS }).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n").await.unwrap();
        let answer = {
            // Served once the first bytes are in: ask on a second connection to know that the first was accepted.
            let mut other = TcpStream::connect(address).await.unwrap();
            say(&mut other, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await
        };
        assert!(answer.starts_with("HTTP/1.1 200"));
        stop.cancel();
        assert_eq!(served.await.unwrap(), 1);
    }
}
