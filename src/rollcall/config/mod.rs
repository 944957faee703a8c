//! The configuration: every key as a typed field with its default and its sentence in the reference.
//! Holds values only; `merge` and `load` say where they come from, `validate` whether they fit together. What a source is
//! its kind says, in `crate::sources`.

pub mod carried;
pub mod data_dir;
pub mod discover;
pub mod effective;
pub mod files;
mod keys;
pub mod load;
#[cfg(test)]
mod load_tests;
pub mod log_filter;
pub mod merge;
pub mod origin;
pub mod profile;
#[cfg(test)]
mod reference;
mod schema;
pub mod sources;
mod validate;

pub use validate::names_a_registry;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use rollcall_authn::{ClientHeader, Proxies};
use rollcall_events::{Settings, SourceName, SourceSettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    sources::ConfiguredSource,
    values::{ByteSize, HumanDuration, StringList, SwitchValue},
};

/// The whole configuration. Every key has a default that works, but for the secrets of sources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The process and its listener.
    pub server: Server,
    /// Registry tokens.
    pub token: Token,
    /// From facts to roles. A key that is changed here is recorded as an event at the next start if that changes nobody's
    /// access; else it waits until somebody applies it (`rollcall config plan`).
    pub access: Access,
    /// What the process says about itself on standard error.
    pub log: Logging,
    /// The upstreams, by name. A name is an identity: it is never changed.
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    pub source: BTreeMap<SourceName, ConfiguredSource>,
}

/// The process and its listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Where to listen: address and port. Port 0 takes a free one.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The address under which clients reach this server; tokens' realm and links are made of it. When absent,
    /// `http://`, or `https://` with `server.tls`, and the address listened on.
    pub public_url: Option<String>,
    /// Where the log and everything beside it is kept. Made (mode 0700) when it does not exist.
    pub data_dir: PathBuf,
    /// For how long `read.db` keeps what facts said that are over, for ever when absent. Where they stood is always kept: a
    /// question about the past is answered from the log, whatever its age.
    pub history: Option<HumanDuration>,
    /// The largest request body, read before anything is checked.
    pub max_body: ByteSize,
    /// How many bytes of notifications, beyond the first 16 KiB of each, may be in memory before it is known who sent them,
    /// of all senders together; one address has a quarter. Whoever comes then with a longer one is told to come again.
    pub max_unverified_bodies: ByteSize,
    /// How many connections may be open at once; the next ones wait to be accepted.
    pub max_connections: u32,
    /// The reverse proxies before this server, by address or network, as in `10.0.0.0/8`: what they say of the client is
    /// believed. Nobody by default, and then the client is whoever connects.
    pub trusted_proxies: StringList,
    /// The one header in which trusted proxies name the client: `X-Forwarded-For`, `Forwarded`, or one with a single
    /// address, as `X-Real-IP`. The proxy must add to it or set it anew; the rightmost address that is not trusted counts.
    pub client_header: Option<String>,
    /// Whether trusted proxies begin each connection with a PROXY protocol header, version 1 or 2. A connection of theirs
    /// without one is closed; of nobody else one is taken.
    pub proxy_protocol: bool,
    /// How many of them one address may have (of IPv6 one network of 64 bits), and how many requests under way a client that
    /// a trusted proxy names. What it opens or asks beyond is answered 503.
    pub max_connections_per_address: u32,
    /// The origins whose web pages may sign in at `/token` in a browser, each exactly as browsers write it, as in
    /// `https://console.example.com`. Nobody's by default.
    pub cors_origins: StringList,
    /// How long the head of a request may take to arrive.
    pub header_timeout: HumanDuration,
    /// How long a whole request may take, its body included.
    pub request_timeout: HumanDuration,
    /// How long a client may take nothing of an answer. Slow is not cut, standing still is.
    pub write_timeout: HumanDuration,
    /// How long requests that are under way may take after the signal to stop.
    pub shutdown_grace: HumanDuration,
    /// A second address, plain HTTP, for `/livez`, `/readyz` and `/metrics` alone, which are then not on the first. For
    /// probes and collectors inside; nobody signs in there. When absent they are on the first, where `/metrics` and
    /// `/readyz?verbose` want an auditor's key.
    #[schemars(with = "Option<String>")]
    pub ops_listen: Option<SocketAddr>,
    /// TLS of our own.
    pub tls: TlsFiles,
}

/// TLS of our own: 1.2 and 1.3. The files are read again when they change; a pair that does not fit leaves the old one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFiles {
    /// A file with the server's certificate and its chain, PEM. Relative to the configuration file. When absent, the
    /// listener speaks plain HTTP.
    pub cert_file: Option<PathBuf>,
    /// A file with its key, PEM.
    pub key_file: Option<PathBuf>,
    /// A file with the authorities that sign the client certificates of sources, PEM. Clients are asked for one and need
    /// none, but for sources with `authentication = "certificate"`.
    pub client_ca_file: Option<PathBuf>,
}

impl Server {
    /// The address that the listener is reached at where nobody says another.
    pub fn url_of(&self, address: impl std::fmt::Display) -> String {
        let scheme = if self.tls.cert_file.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            data_dir: "rollcall-data".into(),
            history: None,
            max_body: ByteSize(8 << 20),
            max_unverified_bodies: ByteSize(64 << 20),
            max_connections: 1024,
            trusted_proxies: StringList::default(),
            client_header: None,
            proxy_protocol: false,
            cors_origins: StringList::default(),
            max_connections_per_address: 256,
            header_timeout: HumanDuration::seconds(10),
            request_timeout: HumanDuration::seconds(60),
            write_timeout: HumanDuration::seconds(30),
            shutdown_grace: HumanDuration::seconds(10),
            ops_listen: None,
            tls: TlsFiles::default(),
        }
    }
}

impl Server {
    /// What stands before this server, with every mistake and the key that has it.
    pub fn proxies(&self) -> Result<Proxies, Vec<(&'static str, String)>> {
        let mut wrong = Vec::new();
        let mut trusted = Vec::new();
        for text in &self.trusted_proxies.0 {
            match Proxies::parse_trusted(text) {
                Ok(net) => trusted.push(net),
                Err(error) => wrong.push(("server.trusted_proxies", error.to_string())),
            }
        }
        let header = self.client_header.as_deref().map(str::parse::<ClientHeader>).transpose();
        let header = header.unwrap_or_else(|_| {
            let text = self.client_header.as_deref().unwrap_or_default().escape_debug();
            wrong.push(("server.client_header", format!("`{text}` is no name of a header, as in \"X-Forwarded-For\"")));
            None
        });
        let (asked, named) = (self.client_header.is_some() || self.proxy_protocol, !self.trusted_proxies.0.is_empty());
        match (named, asked) {
            (true, false) => wrong.push((
                "server.trusted_proxies",
                "say how they name the client: `client_header` with the header that they set, as in \"X-Forwarded-For\", or `proxy_protocol = true`".to_owned(),
            )),
            (false, true) => {
                let key = if self.proxy_protocol { "server.proxy_protocol" } else { "server.client_header" };
                wrong.push((key, "nobody is believed without `trusted_proxies`: name the proxies' addresses there".to_owned()));
            }
            _ => {}
        }
        if wrong.is_empty() { Ok(Proxies { trusted, header, proxy_protocol: self.proxy_protocol }) } else { Err(wrong) }
    }
}

/// Registry tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// The `iss` of every token; the registry's `auth.token.issuer`.
    pub issuer: String,
    /// The `aud` of every token; the registry's `auth.token.service`. No token is made for another one.
    pub service: String,
    /// The registry that these tokens are for, as its clients name it: `registry.example.com`, or with a port
    /// `registry.example.com:5000`. It stands in what is printed for clients; when absent, those who need it must name it.
    pub registry: Option<String>,
    /// How tokens are signed.
    pub algorithm: Algorithm,
    /// How long a token lives, 60s to 300s; shorter where the reason it rests on ends sooner.
    pub ttl: HumanDuration,
    /// Who is told why a pull is refused: `auto` tells clients that show it, `explain` all, `standard` none.
    pub denial: Denial,
    /// Without news from the log for so long, no token is made and `/readyz` says so.
    pub max_staleness: HumanDuration,
    /// With a clock off by more than this, no token is made and `/readyz` says so.
    pub max_clock_skew: HumanDuration,
}

impl Default for Token {
    fn default() -> Self {
        Self {
            issuer: "rollcall".into(),
            service: "rollcall".into(),
            registry: None,
            algorithm: Algorithm::Es256,
            ttl: HumanDuration::seconds(300),
            denial: Denial::Auto,
            max_staleness: HumanDuration::seconds(60),
            max_clock_skew: HumanDuration::seconds(5),
        }
    }
}

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    /// ECDSA on P-256.
    Es256,
    /// RSA, for registries that know nothing else.
    Rs256,
}

/// Who is told why a pull is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Denial {
    /// Clients that show the reason to their user.
    Auto,
    /// Every client.
    Explain,
    /// No client: a token with less in it.
    Standard,
}

/// From facts to roles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// The access model: `revenera`, `harbor`, `portus`, `sregistry` or `ibm`, or the path of a profile file, relative to
    /// the configuration file.
    pub profile: String,
    /// The role of a producer's people. When absent, the profile's own, else Developer.
    pub producer_role: Option<String>,
    /// The role of entitled customers. When absent, the profile's own, else Guest. A registry whose guests
    /// may list members shows one customer the names of the others; choose a role without that right where it matters.
    pub consumer_role: Option<String>,
    /// The name of a `consumer_role` that may push or delete, written again to confirm that this is meant.
    pub confirm_consumer_role: Option<String>,
    /// Whether an entitlement also reaches the sub-accounts of its account.
    pub customer_sub_accounts: bool,
    /// Whether people whose only reasons are entitlements are told who else is in a project. Unless this is true they see
    /// only themselves there, whatever their role.
    pub customers_see_each_other: bool,
    /// Whether an administrator may bind people to projects that a source manages.
    pub bindings_on_managed: bool,
    /// Names of projects that nobody but an administrator may take, `*` for any characters: they are kept for packages.
    /// Where people make projects, somebody could else take the name that a package is about to need.
    pub reserved_names: StringList,
    /// The profile's own switches, by name. Case, spaces, `_`, `-` and `.` do not count in a name, nor in what it says; one
    /// that the profile does not have refuses to start.
    pub switches: BTreeMap<String, SwitchValue>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            profile: "revenera".into(),
            producer_role: None,
            consumer_role: None,
            confirm_consumer_role: None,
            customer_sub_accounts: false,
            customers_see_each_other: false,
            bindings_on_managed: false,
            reserved_names: StringList::default(),
            switches: BTreeMap::new(),
        }
    }
}

impl Access {
    /// What of the configuration the fold must know, as the log has it. A key of [`Access`] and a member of [`Settings`]
    /// that nobody mapped here do not compile.
    pub fn settings(&self, sources: BTreeMap<SourceName, SourceSettings>) -> Settings {
        // The profile is an event of its own, and the confirmation is for the operator alone.
        let Self {
            profile: _,
            producer_role,
            consumer_role,
            confirm_consumer_role: _,
            customer_sub_accounts,
            customers_see_each_other,
            bindings_on_managed,
            reserved_names,
            switches,
        } = self.clone();
        Settings {
            producer_role,
            consumer_role,
            customer_sub_accounts,
            customers_see_each_other,
            bindings_on_managed,
            reserved_names: reserved_names.0,
            switches: switches.into_iter().map(|(name, SwitchValue(value))| (name, value)).collect(),
            sources,
            author: None,
        }
    }
}

/// What the process says about itself on standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Logging {
    /// `auto` is text on a terminal and JSON elsewhere.
    pub format: LogFormat,
    /// The least that is said: `error`, `warn`, `info`, `debug`, `trace`, also per module, as in `info,rollcall_registry=debug`.
    pub level: String,
}

impl Default for Logging {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".into() }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// One line of text each.
    Text,
    /// One JSON object each.
    Json,
}
