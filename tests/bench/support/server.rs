//! The server that is measured, as a child process with its own directory, and the bare one that it is measured against.
//! Knows how to sign a webhook and how to ask for a token.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use axum::{Router, routing::get};
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use rollcall_events::NewEvent;
use serde_json::{Value, json};

use super::http::Connection;

pub struct Server {
    child: Child,
    pub port: u16,
    pub data: PathBuf,
    sent: u64,
}

/// The secret of the source, as bytes.
const SECRET: [u8; 32] = [42; 32];

impl Server {
    /// A Rollcall with one source, otherwise as it is by default.
    pub async fn start(dir: &Path, algorithm: &str) -> Self {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("source.secret"), format!("whsec_{}\n", BASE64_STANDARD.encode(SECRET))).unwrap();
        let config = format!(
            "[token]\nalgorithm = \"{algorithm}\"\n\n[source.{source}]\nkind = \"entitlements\"\nformat = \"cloudevents\"\norder = \"version\"\n\
             secret_file = \"source.secret\"\n",
            source = super::world::SOURCE,
        );
        Self::configured(dir, &config).await
    }

    /// One with this configuration, on whatever it left in its directory before.
    pub async fn configured(dir: &Path, config: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = dir.join("data");
        let config = format!("[server]\nlisten = \"127.0.0.1:{port}\"\ndata_dir = {data:?}\n\n{config}");
        fs::write(dir.join("rollcall.toml"), config).unwrap();
        let output = fs::File::create(dir.join("output")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_rollcall"))
            .args(["serve", "--config", "rollcall.toml"])
            .current_dir(dir)
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut server = Self { child, port, data, sent: 0 };
        let start = Instant::now();
        while !server.is_ready().await {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "the server ended: {}", fs::read_to_string(dir.join("output")).unwrap());
            assert!(start.elapsed() < Duration::from_secs(60), "the server does not become ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    async fn is_ready(&self) -> bool {
        match tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await {
            Ok(_) => Connection::open(self.port).await.ask(&plain("/readyz", "")).await.0 == 200,
            Err(_) => false,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as an operator would.
    pub async fn stop(mut self) {
        assert!(Command::new("kill").arg(self.pid().to_string()).status().unwrap().success());
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(120), "the server does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A signed post of one event (an object) or of several (an array).
    pub fn post(&mut self, body: &Value) -> Vec<u8> {
        let kind = if body.is_array() { "cloudevents-batch" } else { "cloudevents" };
        self.sent += 1;
        let (id, at, body) = (format!("msg-{}", self.sent), chrono::Utc::now().timestamp(), body.to_string());
        let signature = BASE64_STANDARD.encode(signature(&id, at, body.as_bytes()));
        format!(
            "POST /hooks/{} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/{kind}+json\r\nwebhook-id: {id}\r\n\
             webhook-timestamp: {at}\r\nwebhook-signature: v1,{signature}\r\ncontent-length: {}\r\n\r\n{body}",
            super::world::SOURCE,
            body.len()
        )
        .into_bytes()
    }

    /// Posts events and waits until the roster has them.
    pub async fn say(&mut self, events: impl Iterator<Item = NewEvent>) {
        let mut connection = Connection::open(self.port).await;
        let (mut events, mut position) = (events, 0);
        loop {
            let some: Vec<Value> = events.by_ref().take(500).map(|event| cloud_event(&event)).collect();
            if some.is_empty() {
                break;
            }
            let count = some.len();
            let request = self.post(&json!(some));
            let answer: Value = serde_json::from_slice(connection.expect(&request, 202).await).unwrap();
            let events = answer["events"].as_array().unwrap();
            assert!(events.len() == count && events.iter().all(|event| event["outcome"] == "recorded"), "{answer}");
            position = events.iter().filter_map(|event| event["position"].as_u64()).max().unwrap();
        }
        let path = format!("/api/v1/projects?limit=1&min_position={position}&wait=30s");
        connection.expect(&plain(&path, &self.admin()), 200).await;
    }

    pub fn admin(&self) -> String {
        let key = fs::read_to_string(self.data.join("admin.key")).unwrap();
        format!("authorization: Bearer {}\r\n", key.trim())
    }

    /// How many events the log holds.
    pub async fn events(&self) -> u64 {
        let request = plain("/api/v1/log/head", &self.admin());
        let mut connection = Connection::open(self.port).await;
        let head: Value = serde_json::from_slice(connection.expect(&request, 200).await).unwrap();
        head["position"].as_u64().unwrap_or_else(|| panic!("no position: {head}"))
    }

    /// A new secret for a user.
    pub async fn secret(&self, user: &str) -> String {
        let made = post(self, &format!("/api/v1/users/{user}/secrets"), &json!({"label": "bench"}), 201).await;
        made["secret"].as_str().unwrap().to_owned()
    }
}

/// An administrator's command, and what it is answered.
pub async fn post(server: &Server, path: &str, body: &Value, status: u16) -> Value {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        server.admin(),
        body.len()
    );
    let mut connection = Connection::open(server.port).await;
    serde_json::from_slice(connection.expect(request.as_bytes(), status).await).unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the sender signs with: the HMAC over `id.timestamp.body`.
pub fn signature(id: &str, at: i64, body: &[u8]) -> impl AsRef<[u8]> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET));
    context.update(format!("{id}.{at}.").as_bytes());
    context.update(body);
    context.sign()
}

/// An event as the sender's CloudEvent.
pub fn cloud_event(event: &NewEvent) -> Value {
    json!({
        "specversion": "1.0", "id": &*event.key.id, "source": "/licences", "type": &*event.kind,
        "subject": &*event.subject, "sequence": event.sequence.unwrap_or(1).to_string(),
        "datacontenttype": "application/json", "data": serde_json::from_str::<Value>(&event.data).unwrap(),
    })
}

/// A GET without a body.
pub fn plain(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").into_bytes()
}

/// Asks for a token to pull from a project.
pub fn ask_token(user: &str, secret: &str, project: &str) -> Vec<u8> {
    let basic = BASE64_STANDARD.encode(format!("{user}:{secret}"));
    let path = format!("/token?service=rollcall&scope=repository:{project}/app:pull");
    plain(&path, &format!("authorization: Basic {basic}\r\nuser-agent: bench\r\n"))
}

/// The token of an answer, and whether it lets its holder pull.
pub fn token(answer: &[u8]) -> (String, bool) {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    let token = answer["token"].as_str().unwrap().to_owned();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let pulls = claims["access"].as_array().is_some_and(|access| {
        access.iter().any(|entry| entry["actions"].as_array().is_some_and(|actions| actions.contains(&json!("pull"))))
    });
    (token, pulls)
}

/// The least that an HTTP server on this machine does, in a process of its own.
pub struct Hello {
    child: Child,
    pub port: u16,
}

impl Hello {
    pub fn start() -> Self {
        let me = std::env::current_exe().unwrap();
        let mut child = Command::new(me).arg("hello").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the child does; to be called first by a program that starts one.
    pub fn serve_if_asked() -> bool {
        if std::env::args().nth(1).as_deref() != Some("hello") {
            return false;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            println!("{}", listener.local_addr().unwrap().port());
            axum::serve(listener, Router::new().route("/", get(async || "hello"))).await.unwrap();
        });
        true
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
