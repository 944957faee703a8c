//! A client against an upstream on this machine that answers as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{Answer, Client, Credentials, Fault, InvalidTarget, Limits, Target, Url, Validators};

/// An upstream: what it answers next, and what it was asked.
struct Upstream {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    /// Answers each request with the next of these, byte for byte; the last one for ever.
    async fn saying(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut nth = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => break,
                    }
                }
                seen.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
                let answer = answers.get(nth).or(answers.last()).unwrap();
                nth += 1;
                drop(stream.write_all(answer.as_bytes()).await);
                if answer.ends_with("...") {
                    // It says nothing more and stays.
                    tokio::spawn(async move {
                        let _stays = stream;
                        std::future::pending::<()>().await;
                    });
                }
            }
        });
        Self { address, asked }
    }

    fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    pause: Duration::from_millis(300),
    whole: Duration::from_secs(20),
    bytes: 1000,
};

fn client_of(url: &Url, networks: &[&str], credentials: Credentials) -> Client {
    let networks: Vec<_> = networks.iter().map(|net| net.parse().unwrap()).collect();
    let target =
        Target { url, private_networks: &networks, clear_text: true, authorities: None, credentials, limits: LIMITS };
    Client::new(target).unwrap()
}

fn now() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

async fn get(upstream: &Upstream, path: &str) -> Result<Answer, Fault> {
    let url = upstream.url(path);
    client_of(&url, &["127.0.0.0/8"], Credentials::None).get(&url, &Validators::default(), now()).await
}

#[tokio::test]
async fn what_did_not_change_is_asked_for_by_what_its_last_answer_said() {
    let etag = "etag: \"v1\"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    let upstream = Upstream::saying(vec![answer("200 OK", etag, "[1]"), answer("304 Not Modified", "", "")]).await;
    let url = upstream.url("/all?page=1");
    let client = client_of(&url, &["127.0.0.1/32"], Credentials::Bearer("token-1".into()));
    let Ok(Answer::Fresh { body, validators }) = client.get(&url, &Validators::default(), now()).await else {
        panic!()
    };
    assert_eq!(&body[..], b"[1]");
    assert_eq!(client.get(&url, &validators, now()).await, Ok(Answer::Unchanged));
    let asked = upstream.asked();
    assert!(
        asked[0].starts_with("GET /all?page=1 HTTP/1.1\r\n") && asked[0].contains("authorization: Bearer token-1\r\n")
    );
    assert!(!asked[0].contains("if-none-match") && !asked[0].contains("accept-encoding"), "{asked:?}");
    assert!(asked[1].contains("if-none-match: \"v1\"\r\n") && asked[1].contains("if-modified-since: Thu"), "{asked:?}");
    assert!(!format!("{client:?}").contains("token-1"));
}

#[tokio::test]
async fn nobody_is_asked_but_the_one_origin_and_no_redirect_is_followed() {
    let elsewhere = Upstream::saying(vec![answer("200 OK", "", "secret")]).await;
    let to = format!("location: {}\r\n", elsewhere.url("/secret"));
    let upstream = Upstream::saying(vec![answer("302 Found", &to, "")]).await;
    let url = upstream.url("/all");
    let client = client_of(&url, &["127.0.0.0/8"], Credentials::Bearer("token-1".into()));
    let told = client.get(&url, &Validators::default(), now()).await.unwrap_err();
    assert!(matches!(&told, Fault::Unexpected(why) if why.contains("no redirect is followed")), "{told:?}");
    for other in [elsewhere.url("/"), "http://localhost/".parse().unwrap(), "https://127.0.0.1/".parse().unwrap()] {
        let told = client.get(&other, &Validators::default(), now()).await.unwrap_err();
        assert!(matches!(told, Fault::Elsewhere(_)), "{other}: {told:?}");
    }
    let mut with_user = url.clone();
    with_user.set_username("eve").unwrap();
    assert!(matches!(client.get(&with_user, &Validators::default(), now()).await, Err(Fault::Elsewhere(_))));
    assert_eq!((upstream.asked().len(), elsewhere.asked().len()), (1, 0));
}

#[tokio::test]
async fn private_addresses_are_asked_only_where_they_are_allowed_also_behind_a_name() {
    let upstream = Upstream::saying(vec![answer("200 OK", "", "[]")]).await;
    let port = upstream.address.port();
    for host in ["127.0.0.1", "localhost"] {
        let url: Url = format!("http://{host}:{port}/").parse().unwrap();
        for networks in [&[][..], &["10.0.0.0/8"][..]] {
            let client = client_of(&url, networks, Credentials::None);
            let told = client.get(&url, &Validators::default(), now()).await.unwrap_err();
            assert!(matches!(&told, Fault::Private { host: named, .. } if named == host), "{told:?}");
        }
        assert_eq!(upstream.asked().len(), 0, "nothing was sent");
    }
    let url: Url = format!("http://localhost:{port}/").parse().unwrap();
    let client = client_of(&url, &["127.0.0.0/8", "::1/128"], Credentials::None);
    assert!(client.get(&url, &Validators::default(), now()).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_is_too_large_too_slow_or_cut_is_none() {
    let large = Upstream::saying(vec![answer("200 OK", "", &"x".repeat(1001))]).await;
    assert!(matches!(get(&large, "/").await, Err(Fault::Unexpected(why)) if why.contains("more than 1000 bytes")));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n".to_owned();
    let endless = Upstream::saying(vec![
        chunked + &"fa\r\n".chars().chain(['y'; 250]).chain("\r\n".chars()).collect::<String>().repeat(5),
    ])
    .await;
    assert!(matches!(get(&endless, "/").await, Err(Fault::Unexpected(why)) if why.contains("more than 1000 bytes")));
    let slow = Upstream::saying(vec!["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n...".to_owned()]).await;
    assert!(matches!(get(&slow, "/").await, Err(Fault::Unreachable(why)) if why.contains("in time")));
    let cut = Upstream::saying(vec!["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n[1".to_owned()]).await;
    assert!(matches!(get(&cut, "/").await, Err(Fault::Unreachable(_))));
    let gone = Upstream::saying(vec![String::new()]).await;
    assert!(matches!(get(&gone, "/").await, Err(Fault::Unreachable(_))));
}

#[tokio::test]
async fn what_an_answer_asks_of_us_is_told_apart() {
    let of = async |status: &str, headers: &str| {
        let upstream = Upstream::saying(vec![answer(status, headers, "no")]).await;
        get(&upstream, "/x").await.unwrap_err()
    };
    let pause = async |status: &str, headers: &str| match of(status, headers).await {
        Fault::NotNow { retry_after, .. } => retry_after.map(|pause| pause.as_secs()),
        other => panic!("{other:?}"),
    };
    assert_eq!(pause("429 Too Many Requests", "retry-after: 7\r\n").await, Some(7));
    assert_eq!(pause("429 Too Many Requests", "").await, None);
    assert_eq!(pause("503 Service Unavailable", "retry-after: Thu, 01 Jan 2026 00:01:00 GMT\r\n").await, Some(60));
    assert_eq!(pause("503 Service Unavailable", "retry-after: Wed, 31 Dec 2025 00:01:00 GMT\r\n").await, Some(0));
    assert_eq!(pause("500 Internal Server Error", "retry-after: soon\r\n").await, None);
    assert_eq!(pause("429 Too Many Requests", "retry-after: 99999999999\r\n").await, Some(24 * 3600), "a day at most");
    for status in ["401 Unauthorized", "403 Forbidden"] {
        assert!(matches!(of(status, "").await, Fault::Unauthorised(_)), "{status}");
    }
    for status in ["404 Not Found", "400 Bad Request", "204 No Content", "304 Not Modified"] {
        assert!(matches!(of(status, "").await, Fault::Unexpected(_)), "{status}");
    }
}

#[test]
fn a_url_that_is_not_asked_is_refused_with_what_to_do() {
    let of = |text: &str, clear_text: bool, authorities: Option<&str>| {
        let url: Url = text.parse().unwrap();
        let credentials = Credentials::None;
        let target = Target { url: &url, private_networks: &[], clear_text, authorities, credentials, limits: LIMITS };
        Client::new(target).err().map(|error| error.to_string())
    };
    assert_eq!(of("https://api.example.com/v1", false, None), None);
    assert_eq!(of("http://api.example.com/v1", true, None), None);
    for (text, told) in [
        ("http://api.example.com/", "`clear_text = true`"),
        ("ftp://api.example.com/", "`https://`"),
        ("https://bob:hunter2@api.example.com/", "put them into a file"),
    ] {
        assert!(of(text, false, None).unwrap().contains(told), "{text}");
    }
    assert_eq!(of("https://api.example.com/", false, Some("none")), Some(InvalidTarget::Authorities.to_string()));
}

/// A server with a certificate of an authority that nobody knows but us.
#[tokio::test]
async fn a_certificate_of_ones_own_authority_is_believed_where_that_is_named_and_nowhere_else() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = authority.self_signed(&key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, key);
    let own = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(own.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], private.into()).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                request.push(byte);
            }
            drop(stream.write_all(answer("200 OK", "", "[]").as_bytes()).await);
            drop(stream.shutdown().await);
        }
    });
    let url: Url = format!("https://localhost:{port}/").parse().unwrap();
    let get = async |authorities: Option<&str>| {
        let networks = ["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let credentials = Credentials::None;
        let target = Target {
            url: &url,
            private_networks: &networks,
            clear_text: false,
            authorities,
            credentials,
            limits: LIMITS,
        };
        Client::new(target).unwrap().get(&url, &Validators::default(), now()).await
    };
    assert!(matches!(get(Some(&ca)).await, Ok(Answer::Fresh { .. })));
    assert!(matches!(get(None).await, Err(Fault::Unreachable(_))));
}
