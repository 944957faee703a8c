//! Speaks HTTP to a Rollcall: requests with whatever credentials a test wants, answers as status, headers and JSON.
//! Knows no rule.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// A client on its own small runtime, so that a test reads from top to bottom.
pub struct Http {
    runtime: Runtime,
    client: reqwest::Client,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The last part of a problem's `type`, e.g. `signature-mismatch`.
    pub fn problem(&self) -> String {
        assert!(
            self.header("content-type").is_some_and(|t| t.starts_with("application/problem+json")),
            "not a problem: {self:?}"
        );
        let problem = self.json();
        let kind = problem["type"].as_str().unwrap_or_default();
        kind.rsplit(['/', ':', '#']).next().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::built_by(|client| client)
    }
}

impl Http {
    /// Trusts this authority and no other, and shows a certificate with its key where there is one. All in PEM.
    pub fn trusting(authority: &str, shows: Option<&str>) -> Self {
        let root = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
        let shows = shows.map(|pem| reqwest::Identity::from_pem(pem.as_bytes()).unwrap());
        Self::built_by(|client| {
            let client = client.tls_certs_only([root]);
            shows.into_iter().fold(client, reqwest::ClientBuilder::identity)
        })
    }

    fn built_by(more: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            // The server closes a connection that lies idle; one that is used in that moment fails for no fault of either.
            .pool_idle_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(40))
            .redirect(reqwest::redirect::Policy::none());
        let client = more(client).build().unwrap();
        Self { runtime, client }
    }
}

impl Http {
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    pub fn get(&self, url: &str) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    pub fn post(&self, url: &str) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// Sends it. `Err` when there was no whole answer.
    pub fn try_send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        self.runtime.block_on(async {
            let answer = request.send().await?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            Ok(Answer { status, headers, text: answer.text().await? })
        })
    }

    #[track_caller]
    pub fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).unwrap_or_else(|error| panic!("{error:?}"))
    }
}

/// A webhook secret.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(seed: u8) -> Self {
        Self((0..32).map(|n| n ^ seed).collect())
    }

    /// As it stands in a `secret_file`.
    pub fn text(&self) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(&self.0))
    }

    /// The value of `webhook-signature` for a message.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(context.sign()))
    }
}

/// Adds the three headers of Standard Webhooks.
pub fn signed(request: RequestBuilder, secret: &Secret, id: &str, timestamp: i64, body: Vec<u8>) -> RequestBuilder {
    request
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", secret.sign(id, timestamp, &body))
        .body(body)
}

/// Seconds since 1970, now.
pub fn unix_now() -> i64 {
    chrono::Utc::now().timestamp()
}
