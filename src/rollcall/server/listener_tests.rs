//! The listener, met by clients that read nothing, stop in the middle, come in numbers or go away.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::ConnectInfo,
    http::StatusCode,
    middleware,
    routing::{get, post},
};
use rollcall_authn::Proxies;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::listener::{Front, Limits, serve, with_timeout};

const LIMITS: Limits = Limits {
    connections: 2,
    per_address: 8,
    spare: 0,
    urgent: &["/readyz"],
    head: Duration::from_millis(200),
    write: Duration::from_millis(500),
    grace: Duration::from_secs(5),
};

/// Longer than any test takes.
const PATIENT: Duration = Duration::from_secs(600);

/// More than the kernel keeps for a client that reads nothing.
const BIG: usize = 64 << 20;

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
        .route("/readyz", get(|| async { "ready" }))
        .route("/refused", post(|| async { StatusCode::FORBIDDEN }))
        .route("/big", get(|| async { vec![b'x'; BIG] }))
        .layer(middleware::from_fn_with_state(Duration::from_millis(300), with_timeout));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(listener, app, limits, Front { proxies, tls: None }, stop.clone()));
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
    let both = Proxies { proxy_protocol: true, ..by_header.clone() };
    let other = vec![Proxies::parse_trusted("192.0.2.1").unwrap()];
    let foreign = Proxies { trusted: other, proxy_protocol: true, ..by_header.clone() };
    let (xff, proxy) = ("x-forwarded-for: 203.0.113.9\r\n", "PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n");
    for (proxies, request, expected) in [
        (&by_header, format!("{GET}{xff}\r\n"), Some("203.0.113.9")),
        (&by_header, format!("{proxy}{GET}\r\n"), None),
        (&by_connection, format!("{proxy}{GET}{xff}\r\n"), Some("198.51.100.7")),
        (&by_connection, format!("{GET}\r\n"), None),
        // Passed on for another proxy that is trusted, for a client, and for nobody knows whom.
        (&both, format!("PROXY TCP4 127.0.0.1 192.0.2.1 4711 80\r\n{GET}{xff}\r\n"), Some("203.0.113.9")),
        (&both, format!("{proxy}{GET}{xff}\r\n"), Some("198.51.100.7")),
        (&both, format!("PROXY UNKNOWN\r\n{GET}{xff}\r\n"), Some("127.0.0.1")),
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
async fn a_head_that_is_too_long_is_refused_before_it_ends() {
    let (address, ..) = start(LIMITS).await;
    let ask =
        |length: usize| format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-long: {}", "x".repeat(length));
    let answer = say(&mut connect(address).await, &(ask(32 << 10) + "\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = say(&mut connect(address).await, &ask(96 << 10)).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
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

    let (address, stop, served) = start(Limits { grace: Duration::ZERO, head: PATIENT, ..LIMITS }).await;
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

const ASK: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_no_connection_and_a_slow_one_is_served_to_the_end() {
    let (address, ..) = start(Limits { connections: 1, ..LIMITS }).await;
    let mut silent = connect(address).await;
    silent.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // There is one place, so whoever is answered next has it from the first.
    let mut next = connect(address).await;
    assert!(say(&mut next, ASK).await.starts_with("HTTP/1.1 200"));

    let (address, ..) = start(Limits { write: Duration::from_millis(300), ..LIMITS }).await;
    let mut slow = connect(address).await;
    slow.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (mut read, mut chunk, begun) = (0, vec![0; 1 << 20], tokio::time::Instant::now());
    loop {
        match slow.read(&mut chunk).await.unwrap() {
            0 => break,
            some => read += some,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(read > BIG, "{read} bytes");
    assert!(begun.elapsed() > Duration::from_millis(300), "it was not slow");
}

#[tokio::test]
async fn one_address_has_its_share_and_is_told_so() {
    let (address, ..) = start(Limits { per_address: 1, head: PATIENT, ..LIMITS }).await;
    let held = connect(address).await;
    let mut second = connect(address).await;
    let answer = say(&mut second, ASK).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    drop(held);
    loop {
        let mut next = connect(address).await;
        if say(&mut next, ASK).await.starts_with("HTTP/1.1 200") {
            break;
        }
    }
}

fn balancer() -> Proxies {
    let trusted = ["127.0.0.1", "192.0.2.7"].map(|proxy| Proxies::parse_trusted(proxy).unwrap());
    Proxies { trusted: trusted.to_vec(), header: None, proxy_protocol: true }
}

#[tokio::test]
async fn whom_a_balancer_names_has_a_share_but_for_another_trusted_proxy() {
    for (from, served) in [("203.0.113.9", false), ("192.0.2.7", true)] {
        let limits = Limits { per_address: 1, head: PATIENT, ..LIMITS };
        let (address, ..) = start_behind(limits, balancer()).await;
        let mut held = connect(address).await;
        let ask = format!("PROXY TCP4 {from} 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n");
        held.write_all(ask.as_bytes()).await.unwrap();
        let mut seen = [0; 12];
        held.read_exact(&mut seen).await.unwrap();
        let mut second = connect(address).await;
        let answer = say(&mut second, &format!("PROXY TCP4 {from} 192.0.2.1 4711 80\r\n{ASK}")).await;
        assert_eq!(answer.starts_with("HTTP/1.1 200"), served, "{from} {answer}");
    }
}

#[tokio::test]
async fn whom_a_proxy_names_by_a_header_has_a_share_of_what_is_under_way() {
    let (begun, mut begins) = tokio::sync::mpsc::channel(8);
    let work = get(move || async move {
        begun.send(()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let trusted = vec![Proxies::parse_trusted("127.0.0.1").unwrap()];
    let proxies = Proxies { trusted, header: Some("X-Forwarded-For".parse().unwrap()), proxy_protocol: false };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let done = || async { "done" };
    let app = Router::new().route("/work", work).route("/", get(done)).route("/readyz", get(done));
    let limits = Limits { connections: 8, per_address: 1, ..LIMITS };
    tokio::spawn(serve(listener, app, limits, Front { proxies, tls: None }, CancellationToken::new()));
    let ask = |path: &str, client: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-forwarded-for: {client}\r\n\r\n")
    };
    let mut held = connect(address).await;
    held.write_all(ask("/work", "203.0.113.9").as_bytes()).await.unwrap();
    begins.recv().await.unwrap();
    let told = say(&mut connect(address).await, &ask("/", "203.0.113.9")).await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 1"), "{told}");
    for (path, client) in [("/", "203.0.113.8"), ("/readyz", "203.0.113.9")] {
        let answer = say(&mut connect(address).await, &ask(path, client)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path} {client} {answer}");
    }
    // The proxy itself, as in a check of its own, has as many as it needs.
    assert!(say(&mut connect(address).await, ASK).await.starts_with("HTTP/1.1 200"));
    drop(held);
    while !say(&mut connect(address).await, &ask("/", "203.0.113.9")).await.starts_with("HTTP/1.1 200") {}
}

#[tokio::test]
async fn whoever_says_nothing_holds_no_place_that_is_kept_for_what_is_urgent() {
    let limits = Limits { connections: 1, spare: 1, head: PATIENT, ..LIMITS };
    let (address, ..) = start_behind(limits, balancer()).await;
    let silent = [connect(address).await, connect(address).await];
    let probe = async {
        let mut probe = connect(address).await;
        let ask = "PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\nGET /readyz HTTP/1.1\r\nhost: x\r\n\r\n";
        say(&mut probe, ask).await
    };
    let answer = tokio::time::timeout(Duration::from_secs(60), probe).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close"), "the place is for the next who asks: {answer}");
    drop(silent);
}

#[tokio::test]
async fn what_is_urgent_is_answered_while_every_connection_is_in_use() {
    let (address, ..) = start(Limits { connections: 1, spare: 1, ..LIMITS }).await;
    let mut held = connect(address).await;
    held.write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n").await.unwrap();
    let mut probe = connect(address).await;
    let answer = say(&mut probe, "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ready"), "{answer}");
    // Anything else waits for the first to end, which its own limit does.
    let mut other = connect(address).await;
    let answer = say(&mut other, ASK).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_refusal_before_the_body_was_read_keeps_the_connection_or_says_that_it_closes() {
    let (address, ..) = start(LIMITS).await;
    let refused = |length: usize, more: &str| {
        format!("POST /refused HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{more}\r\n")
    };
    // Short: read and thrown away, and the next request on the same connection is answered.
    let mut stream = connect(address).await;
    let answer = say(&mut stream, &format!("{}hello{ASK}", refused(5, ""))).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("HTTP/1.1 200"), "{answer}");
    // Asked first: the body never comes.
    let mut stream = connect(address).await;
    let answer = say(&mut stream, &refused(5, "expect: 100-continue\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("connection: close"), "{answer}");
    // Long: the whole of it is sent before anything is read, and the answer is there.
    let mut stream = connect(address).await;
    stream.write_all(refused(1 << 20, "").as_bytes()).await.unwrap();
    let answer = say(&mut stream, &"x".repeat(1 << 20)).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("connection: close"), "{answer}");
    // One that stops in the middle.
    let mut stream = connect(address).await;
    let answer = say(&mut stream, &format!("{}ab", refused(1000, ""))).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn work_ends_when_its_client_is_gone() {
    struct Told(Option<tokio::sync::oneshot::Sender<()>>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.take().map(|told| told.send(()));
        }
    }
    let (told, gone) = tokio::sync::oneshot::channel();
    let (begun, mut begins) = tokio::sync::mpsc::channel(1);
    let told = Arc::new(Mutex::new(Some(told)));
    let work = get(move || async move {
        let _told = Told(told.lock().unwrap().take());
        begun.send(()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Router::new().route("/", work), LIMITS, Front::default(), CancellationToken::new()));
    let mut stream = connect(address).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    begins.recv().await.unwrap();
    drop(stream);
    gone.await.unwrap();
}
