//! Asks one origin: what is asked, within which bounds, and what an answer is.

use std::{error::Error as _, fmt, net::IpAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use ipnet::IpNet;
use reqwest::{Certificate, Url, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};

use crate::resolver::{Addresses, PrivateAddress};

/// Whom a client asks, and how it is sure of that.
#[derive(Debug)]
pub struct Target<'a> {
    /// A URL there. Its path and query do not count.
    pub url: &'a Url,
    /// The private networks in which it may be; public addresses may be asked in any case.
    pub private_networks: &'a [IpNet],
    /// Whether it is asked without TLS.
    pub clear_text: bool,
    /// Certificates of the authorities that are believed, PEM. When absent, those of the system.
    pub authorities: Option<&'a str>,
    /// What is shown of ourselves.
    pub credentials: Credentials,
    /// How long and how much.
    pub limits: Limits,
}

/// What a client shows of itself, with each request.
#[derive(Debug)]
pub enum Credentials {
    /// Nothing.
    None,
    /// `Authorization: Bearer`.
    Bearer(SecretString),
    /// `Authorization: Basic`, of `user:password`, in base64.
    Basic(SecretString),
    /// A header of its own.
    Header(HeaderName, SecretString),
}

/// How long and how much an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// Between two pieces of an answer, and until the first.
    pub pause: Duration,
    /// All of an answer.
    pub whole: Duration,
    /// The bytes of an answer.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            pause: Duration::from_secs(30),
            whole: Duration::from_secs(120),
            bytes: 16 << 20,
        }
    }
}

/// Why there can be no client for a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// The URL is not one that is asked.
    #[error("{0}")]
    Url(String),
    /// The authorities are no certificates.
    #[error("there is no certificate in it (PEM)")]
    Authorities,
    /// The credentials cannot be sent in a header.
    #[error("the credentials have a character that no header takes")]
    Credentials,
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(String),
}

/// What tells whether an answer changed, as whoever gave it said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

impl Validators {
    fn of(headers: &HeaderMap) -> Self {
        let own = |name| headers.get(name).cloned();
        Self { etag: own(header::ETAG), last_modified: own(header::LAST_MODIFIED) }
    }

    /// Whether there is anything to ask by.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// An answer of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What is there.
    Fresh {
        /// All of its bytes.
        body: Bytes,
        /// What tells whether it changed.
        validators: Validators,
    },
    /// It is what the validators are of.
    Unchanged,
}

/// Why there is no answer. No secret is in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It leads to another origin than the one that is configured. Nothing was sent.
    #[error("{0} is not what is configured to be asked")]
    Elsewhere(String),
    /// Its address is a private one that is not allowed. Nothing was sent.
    #[error("{host}: {reason}")]
    Private {
        /// The name that led there.
        host: String,
        /// Which address, and what to do.
        reason: String,
    },
    /// No connection, or none that lasted.
    #[error("{0}")]
    Unreachable(String),
    /// It does not know us, or lets us do nothing.
    #[error("it answers {0}: the credentials are not good, or not for this")]
    Unauthorised(StatusCode),
    /// It gives nothing now.
    #[error("it answers {status}")]
    NotNow {
        /// As what.
        status: StatusCode,
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// It answers with something else than what was asked for.
    #[error("{0}")]
    Unexpected(String),
}

/// Asks one origin.
pub struct Client {
    inner: reqwest::Client,
    origin: Url,
    addresses: Addresses,
    limits: Limits,
}

impl Client {
    /// A client of a target. Asks nothing.
    ///
    /// # Errors
    /// The target cannot be asked.
    pub fn new(target: Target<'_>) -> Result<Self, InvalidTarget> {
        let Target { url, private_networks, clear_text, authorities, credentials, limits } = target;
        let wrong = |what: &str| Err(InvalidTarget::Url(what.to_owned()));
        match url.scheme() {
            "https" => {}
            "http" if clear_text => {}
            "http" => return wrong("`http://` is clear text: write `https://`, or `clear_text = true`"),
            _ => return wrong("a URL that begins with `https://`"),
        }
        if url.host_str().is_none_or(str::is_empty) {
            return wrong("it has no host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("a user or password does not stand in a URL: put them into a file");
        }
        let addresses = Addresses::with(private_networks);
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let shown = match &credentials {
            Credentials::None => None,
            Credentials::Bearer(token) => Some((header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()))),
            Credentials::Basic(encoded) => Some((header::AUTHORIZATION, format!("Basic {}", encoded.expose_secret()))),
            Credentials::Header(name, value) => Some((name.clone(), value.expose_secret().to_owned())),
        };
        if let Some((name, value)) = shown {
            let mut value = HeaderValue::from_str(&value).map_err(|_| InvalidTarget::Credentials)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let builder = reqwest::Client::builder()
            .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .dns_resolver(addresses.clone())
            .connect_timeout(limits.connect)
            .read_timeout(limits.pause)
            .pool_max_idle_per_host(1);
        let builder = match authorities {
            None => builder,
            Some(pem) => {
                let roots = Certificate::from_pem_bundle(pem.as_bytes()).ok().filter(|roots| !roots.is_empty());
                builder.tls_certs_only(roots.ok_or(InvalidTarget::Authorities)?)
            }
        };
        let inner = builder.build().map_err(|error| InvalidTarget::Tls(root_cause(&error)))?;
        Ok(Self { inner, origin: url.clone(), addresses, limits })
    }

    /// Asks for what is at a URL of the origin; with validators, whether it is still what they are of. `now` is what a time
    /// in `Retry-After` is compared with.
    ///
    /// # Errors
    /// There is no answer, or none that can be used.
    pub async fn get(&self, url: &Url, known: &Validators, now: DateTime<Utc>) -> Result<Answer, Fault> {
        let asking = tokio::time::timeout(self.limits.whole, self.ask(url, known, now));
        asking
            .await
            .unwrap_or_else(|_| Err(Fault::Unreachable(format!("it did not answer in {:?}", self.limits.whole))))
    }

    async fn ask(&self, url: &Url, known: &Validators, now: DateTime<Utc>) -> Result<Answer, Fault> {
        if url.origin() != self.origin.origin() || !url.username().is_empty() || url.password().is_some() {
            return Err(Fault::Elsewhere(shown(url)));
        }
        // The resolver is not asked for an address that is written as one.
        if let Some(address) = literal(url) {
            self.addresses.check(address).map_err(|error| private(url, &error))?;
        }
        let mut request = self.inner.get(url.clone());
        if let Some(etag) = &known.etag {
            request = request.header(header::IF_NONE_MATCH, etag.clone());
        }
        if let Some(time) = &known.last_modified {
            request = request.header(header::IF_MODIFIED_SINCE, time.clone());
        }
        let mut response = request.send().await.map_err(|error| fault(url, &error))?;
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if !known.is_empty() => return Ok(Answer::Unchanged),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(Fault::Unauthorised(status)),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => return Err(not_now(&response, now)),
            _ if status.is_server_error() => return Err(not_now(&response, now)),
            _ if status.is_redirection() => {
                let to = response.headers().get(header::LOCATION).and_then(|to| url.join(to.to_str().ok()?).ok());
                let to = to.map_or_else(|| "elsewhere".to_owned(), |to| format!("to {}", shown(&to)));
                return Err(Fault::Unexpected(format!(
                    "{} leads {to} ({status}); no redirect is followed",
                    shown(url)
                )));
            }
            _ => return Err(Fault::Unexpected(format!("{} answers {status}", shown(url)))),
        }
        let too_large = || Fault::Unexpected(format!("{} answers more than {} bytes", shown(url), self.limits.bytes));
        if response.content_length().is_some_and(|length| length > self.limits.bytes as u64) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| fault(url, &error))? {
            if body.len() + piece.len() > self.limits.bytes {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer::Fresh { body: body.freeze(), validators: Validators::of(response.headers()) })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", shown(&self.origin))
    }
}

/// The address in a URL that names one.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// A URL as it may be shown: what is asked for can be somebody's.
#[must_use]
pub fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// The longest pause that an answer may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 3600);

fn not_now(response: &reqwest::Response, now: DateTime<Utc>) -> Fault {
    let stated = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = |text: &str| text.trim().parse::<u64>().ok().map(Duration::from_secs);
    let until = |text: &str| {
        let until = DateTime::parse_from_rfc2822(text.trim()).ok()?.to_utc();
        Some((until - now).to_std().unwrap_or_default())
    };
    let retry_after = stated.and_then(|text| seconds(text).or_else(|| until(text)));
    Fault::NotNow { status: response.status(), retry_after: retry_after.map(|pause| pause.min(MAX_PAUSE)) }
}

fn private(url: &Url, error: &PrivateAddress) -> Fault {
    let host = url.host_str().unwrap_or_default().to_owned();
    Fault::Private { host, reason: error.to_string() }
}

fn fault(url: &Url, error: &reqwest::Error) -> Fault {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<PrivateAddress>() {
            return private(url, refused);
        }
        cause = inner.source();
    }
    let what = if error.is_timeout() { "it did not answer in time".to_owned() } else { root_cause(error) };
    Fault::Unreachable(format!("{}: {what}", shown(url)))
}

/// The innermost reason, which is what somebody can do something about.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
