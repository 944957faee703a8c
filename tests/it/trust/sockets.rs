//! Time runs on both sides of a socket: what one client holds is bounded, and says so; who watches is always answered.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    runtime::{Builder, Runtime},
};

use crate::support::{
    api::{Http, signed, unix_now},
    free_port,
    server::{Server, WORLD},
    wait_for,
};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A connection from an address of this machine.
async fn connect(port: u16, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(([127, 0, 0, 1], port).into()).await.unwrap()
}

async fn say(stream: &mut TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn get(path: &str, more: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n").into_bytes()
}

#[test]
fn what_a_server_says_of_itself_in_detail_is_for_auditors() {
    let server = Server::start();
    server.say(WORLD);
    server.post("/api/v1/services", &json!({"id": "watch"})).expect(201);
    let made = server.post("/api/v1/services/watch/secrets", &json!({})).expect(201).json();
    let watch = made["secret"].as_str().unwrap().to_owned();
    let ada = server.secret_for("ada");
    let ask = |path: &str, key: Option<&str>| {
        let request = server.http.get(&server.url(path));
        server.http.send(key.into_iter().fold(request, |request, key| request.bearer_auth(key)))
    };
    for path in ["/livez", "/readyz", "/healthz"] {
        ask(path, None).expect(200);
    }
    assert_eq!(ask("/readyz", None).text, "ready\n");
    for path in ["/metrics", "/readyz?verbose", "/readyz?a=b&verbose=1", "/healthz?verbose"] {
        assert_eq!(ask(path, None).expect(401).problem(), "unauthenticated", "{path}");
        assert_eq!(ask(path, Some("rcs_wrong")).status, 401, "{path}");
        assert_eq!(ask(path, Some(&ada)).expect(403).problem(), "forbidden", "{path}");
        assert_eq!(ask(path, Some(&watch)).status, 403, "{path}");
        server.get(path).expect(200);
    }
    let auditor = json!({"principal": {"service": "watch"}, "role": "api:auditor", "scope": "root"});
    server.post("/api/v1/bindings", &auditor).expect(200);
    for (path, says) in [("/metrics", "rollcall_http_requests_total"), ("/readyz?verbose", "[+] log: ")] {
        assert!(ask(path, Some(&watch)).expect(200).text.contains(says), "{path}");
    }
}

#[test]
fn operations_can_have_a_listener_of_their_own_and_are_then_on_no_other() {
    let mut server = Server::prepared("");
    let port = free_port();
    server.set(&format!("ops_listen = \"127.0.0.1:{port}\""));
    let command = server.command();
    server.go_unready(command);
    let http = Http::default();
    let ops = |path: &str| http.try_send(http.get(&format!("http://127.0.0.1:{port}{path}")));
    wait_for("the operations", || ops("/readyz").ok().filter(|answer| answer.status == 200));
    for (path, says) in [("/livez", "alive"), ("/readyz?verbose", "[+] log: "), ("/metrics", "rollcall_build_info")] {
        assert!(ops(path).unwrap().expect(200).text.contains(says), "{path}");
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    for path in ["/api/v1/projects", "/token", "/hooks/flexnet"] {
        assert_eq!(ops(path).unwrap().status, 404, "{path}");
    }
    let doctor = server.cli(&["doctor"]);
    assert!(doctor.code == 0 && doctor.out.contains("projection"), "{doctor:?}");
}

#[test]
fn a_probe_is_answered_while_waiters_hold_every_connection() {
    let mut server = Server::prepared("");
    server.set("max_connections = 4");
    server.go();
    let head = server.get("/api/v1/log/head").json()["position"].as_u64().unwrap();
    let key = format!("authorization: Bearer {}\r\n", server.admin_key());
    let wait = get(&format!("/api/v1/projects?min_position={}&wait=30s", head + 1), &key);
    // The test's own connection is one of the four until it is given up.
    server.http = Http::default();
    runtime().block_on(async {
        let mut waiters = Vec::new();
        for _ in 0..12 {
            let mut waiter = connect(server.port, "127.0.0.1").await;
            waiter.write_all(&wait).await.unwrap();
            waiters.push(waiter);
        }
        for path in ["/readyz", "/livez"] {
            let answer = say(&mut connect(server.port, "127.0.0.1").await, &get(path, "")).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        }
    });
}

#[test]
fn one_address_cannot_hold_every_connection() {
    let mut server = Server::prepared("");
    server.set("max_connections_per_address = 3\nheader_timeout = \"30s\"");
    server.go();
    let port = server.port;
    runtime().block_on(async {
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(connect(port, "127.0.0.2").await);
        }
        let told = say(&mut connect(port, "127.0.0.2").await, &get("/readyz", "")).await;
        assert!(
            told.starts_with("HTTP/1.1 503") && told.contains("retry-after") && told.contains("this address"),
            "{told}"
        );
        let other = say(&mut connect(port, "127.0.0.3").await, &get("/readyz", "")).await;
        assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    });
}

#[test]
fn bodies_that_nobody_has_vouched_for_are_bounded_in_total() {
    let mut server = Server::prepared("");
    server.set("max_body = \"128KiB\"\nmax_unverified_bodies = \"128KiB\"");
    server.go();
    let post = |length: usize| {
        let request = server.http.post(&server.url("/hooks/flexnet"));
        let request = request.header("content-type", "application/cloudevents-batch+json");
        let body = format!("[{}]", " ".repeat(length)).into_bytes();
        server.http.send(signed(request, &server.secret, &server.delivery_id(), unix_now(), body))
    };
    post(48 << 10).expect(202);
    let runtime = runtime();
    let hold = || {
        runtime.block_on(async {
            let mut stream = connect(server.port, "127.0.0.2").await;
            let head = "POST /hooks/flexnet HTTP/1.1\r\nhost: x\r\ncontent-length: 130000\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&vec![b' '; 129_000]).await.unwrap();
            stream
        })
    };
    // Where the other body was there first, this one was refused and holds nothing: both are tried again.
    let (held, refused) = wait_for("the bound", || {
        let held = hold();
        Some((held, post(48 << 10))).filter(|(_, answer)| answer.status != 202)
    });
    let refused = refused.expect(429);
    assert_eq!((refused.problem().as_str(), refused.header("retry-after")), ("overloaded", Some("1")));
    // An ordinary notification goes through all the same.
    post(8 << 10).expect(202);
    drop(held);
    wait_for("room", || Some(post(48 << 10)).filter(|answer| answer.status == 202));
}

#[test]
fn whoever_is_refused_before_the_body_was_read_gets_the_answer_and_is_told_that_the_connection_ends() {
    let server = Server::start();
    server.say(WORLD);
    let big = vec![b'x'; 1 << 20];
    let key = format!("authorization: Bearer {}\r\n", server.admin_key());
    runtime().block_on(async {
        for (path, more, status) in [
            ("/api/v1/users/ada/secrets", "", "401"),
            ("/api/v1/users/ada/secrets", &*key, "413"),
            ("/hooks/nobody", "", "404"),
            ("/hooks/flexnet", "", "401"),
            ("/nowhere", "", "404"),
        ] {
            let mut stream = connect(server.port, "127.0.0.1").await;
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{more}",
                big.len()
            );
            let close = if path == "/hooks/flexnet" { "connection: close\r\n\r\n" } else { "\r\n" };
            stream.write_all(format!("{head}{close}").as_bytes()).await.unwrap();
            let answer = say(&mut stream, &big).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
            assert!(answer.to_ascii_lowercase().contains("connection: close"), "{path}: {answer}");
        }
    });
}
