//! The configuration: every key as a typed field with its default and its sentence in the reference.
//! Holds values only; where they come from is `layers`, whether they fit together is `checks`.

pub mod data_dir;
pub mod load;
#[cfg(test)]
mod load_tests;
pub mod locate;
pub mod validate;
pub mod values;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use rollcall_events::{Order, SourceName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::values::{Size, Span, Texts};

/// The whole configuration. Every key has a default that works, but for the secrets of sources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The process and its listener.
    pub server: Server,
    /// Registry tokens.
    pub token: Token,
    /// From facts to roles. Changing a key here is recorded as an event at the next start.
    pub access: Access,
    /// What the process says about itself on standard error.
    pub log: Logging,
    /// The upstreams, by name. A name is an identity: it is never changed.
    pub source: BTreeMap<SourceName, Source>,
}

/// The process and its listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Where to listen: address and port. Port 0 takes a free one.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The address under which clients reach this server; tokens' realm and links are made of it. When absent,
    /// `http://` and the address listened on.
    pub public_url: Option<String>,
    /// Where the log and everything beside it is kept. Made (mode 0700) when it does not exist.
    pub data_dir: PathBuf,
    /// The largest request body, read before anything is checked.
    pub max_body: Size,
    /// How many connections may be open at once; the next ones wait to be accepted.
    pub max_connections: u32,
    /// How long the head of a request may take to arrive.
    pub header_timeout: Span,
    /// How long a whole request may take, its body included.
    pub request_timeout: Span,
    /// How long requests that are under way may take after the signal to stop.
    pub shutdown_grace: Span,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            data_dir: "rollcall-data".into(),
            max_body: Size(1 << 20),
            max_connections: 1024,
            header_timeout: Span::seconds(10),
            request_timeout: Span::seconds(60),
            shutdown_grace: Span::seconds(10),
        }
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
    /// How tokens are signed.
    pub algorithm: Algorithm,
    /// How long a token lives, 60s to 300s; shorter where the reason it rests on ends sooner.
    pub ttl: Span,
    /// Who is told why a pull is refused: `auto` tells clients that show it, `explain` all, `standard` none.
    pub denial: Denial,
    /// Without news from the log for so long, no token is made and `/readyz` says so.
    pub max_staleness: Span,
    /// With a clock off by more than this, no token is made and `/readyz` says so.
    pub max_clock_skew: Span,
}

impl Default for Token {
    fn default() -> Self {
        Self {
            issuer: "rollcall".into(),
            service: "rollcall".into(),
            algorithm: Algorithm::Es256,
            ttl: Span::seconds(300),
            denial: Denial::Auto,
            max_staleness: Span::seconds(60),
            max_clock_skew: Span::seconds(5),
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
    pub reserved_names: Texts,
    /// The profile's own switches, by name.
    pub switches: BTreeMap<String, String>,
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
            reserved_names: Texts::default(),
            switches: BTreeMap::new(),
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

/// One upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// What it is.
    pub kind: Kind,
    /// How it writes its notifications.
    pub format: Format,
    /// What says which of two facts about one subject is newer: `version` (its own number), `time` (its clock) or
    /// `observed` (the order of arrival). Fixed with the first fact.
    pub order: Order,
    /// A file with the secret that signs its notifications, `whsec_` and base64, previous ones on the lines after it; or
    /// with the password of a directory's `bind_dn`.
    /// Relative to the configuration file. In the environment also as a value: `ROLLCALL__SOURCE__NAME__SECRET`.
    pub secret_file: Option<PathBuf>,
    /// The largest notification. When absent, `server.max_body`.
    pub max_body: Option<Size>,
    /// Whether a person whom it calls inactive is shut out altogether, not only of what this source gives. When absent,
    /// true for a directory and false for others.
    pub authoritative: Option<bool>,
    /// For sources that Rollcall reads: when they are read as a whole. Five fields, UTC (minute, hour, day of month,
    /// month, day of week, 0 and 7 being Sunday), or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    pub schedule: String,
    /// For sources that Rollcall reads: each read begins so much later at most, by chance, so that not all are asked in
    /// the same second.
    pub jitter: Span,
    /// For sources that Rollcall reads: `apply` records what the first read finds, `plan` waits for `rollcall apply`.
    pub first_run: FirstRun,
    /// For sources that Rollcall reads: hold removals for a person when they are more than a fifth (and at least 20) of
    /// the source's facts, would empty a group or project of five or more, or the answer is empty.
    pub guard: bool,
    /// For sources that Rollcall reads: after so long without a good read everything that the source said ends, until
    /// it can be read again. When absent, it stays for ever: an outage takes nothing away from anybody.
    pub revoke_after: Option<Span>,
    /// The servers of a directory, the preferred one first, as in `ldaps://dc1.example.com`. With `ldap://` StartTLS is
    /// asked for and required.
    pub url: Texts,
    /// Whether the directory may be spoken to without TLS, passwords included. Only for tests.
    pub clear_text: bool,
    /// A file with the authorities that sign the directory's certificate, PEM. When absent, the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 fingerprints of the directory's certificates. Where there are any, nothing else is trusted.
    pub certificate_pin: Texts,
    /// A file with the certificate that we show the directory, and its chain, PEM. Without `bind_dn` it says who we are.
    pub client_certificate_file: Option<PathBuf>,
    /// A file with its key, PEM.
    pub client_key_file: Option<PathBuf>,
    /// The account that reads the directory; its password is in `secret_file`. When absent, nobody.
    pub bind_dn: Option<String>,
    /// Below which names people are.
    pub people: Texts,
    /// Below which names groups are.
    pub groups: Texts,
    /// What people are among what is there (RFC 4515). When absent, the usual classes of the server's kind.
    pub people_filter: Option<String>,
    /// What groups are among what is there (RFC 4515). When absent, the usual classes of the server's kind.
    pub group_filter: Option<String>,
    /// The attribute with the immutable id. When absent, `entryUUID`, `objectGUID` or `nsUniqueId`, as the server has it.
    pub id_attribute: Option<String>,
    /// The attribute with the name to sign in with. When absent, `uid` or `sAMAccountName`.
    pub username_attribute: Option<String>,
    /// The attribute with the e-mail address.
    pub email_attribute: String,
    /// The attribute with the display name.
    pub name_attribute: String,
    /// The attribute with the label of a group.
    pub group_name_attribute: String,
    /// Whether `memberOf` of people counts beside the lists of groups. Servers keep it in part at best.
    pub member_of: bool,
    /// How a directory is read: `auto` follows it where the server can, `full` only reads it on the schedule.
    pub mode: Mode,
    /// How often Active Directory is asked for changes; others that are followed say them by themselves.
    pub poll: Span,
    /// How many entries are asked for at once.
    pub page_size: u32,
    /// How long connecting to a directory may take, TLS included.
    pub connect_timeout: Span,
    /// How long every single answer of a directory may take.
    pub answer_timeout: Span,
    /// Whether people of this directory sign in with their password in it, to registries and to the API.
    pub login: bool,
}

impl Source {
    /// What says which of two facts about one subject is newer. What is read is ordered as it was observed.
    pub fn order(&self) -> Order {
        match self.kind {
            Kind::Entitlements => self.order,
            Kind::Ldap => Order::Observed,
        }
    }

    /// Whether an inactive person of it is shut out altogether.
    pub fn authoritative(&self) -> bool {
        self.authoritative.unwrap_or(self.kind == Kind::Ldap)
    }
}

impl Default for Source {
    fn default() -> Self {
        Self {
            kind: Kind::Entitlements,
            format: Format::Cloudevents,
            order: Order::Version,
            secret_file: None,
            max_body: None,
            authoritative: None,
            schedule: "*/15 * * * *".into(),
            jitter: Span::seconds(30),
            first_run: FirstRun::Apply,
            guard: true,
            revoke_after: None,
            url: Texts::default(),
            clear_text: false,
            ca_file: None,
            certificate_pin: Texts::default(),
            client_certificate_file: None,
            client_key_file: None,
            bind_dn: None,
            people: Texts::default(),
            groups: Texts::default(),
            people_filter: None,
            group_filter: None,
            id_attribute: None,
            username_attribute: None,
            email_attribute: "mail".into(),
            name_attribute: "displayName".into(),
            group_name_attribute: "cn".into(),
            member_of: false,
            mode: Mode::Auto,
            poll: Span::seconds(2),
            page_size: 200,
            connect_timeout: Span::seconds(5),
            answer_timeout: Span::seconds(30),
            login: true,
        }
    }
}

/// What becomes of the first read of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FirstRun {
    /// What it finds is recorded.
    Apply,
    /// It is a plan that waits for a person.
    Plan,
}

/// What a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A licensing system.
    Entitlements,
    /// A directory that speaks LDAP.
    Ldap,
}

/// How a directory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Followed where the server can.
    Auto,
    /// Only as a whole.
    Full,
}

/// How a source writes its notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// CloudEvents 1.0 in Rollcall's own vocabulary.
    Cloudevents,
}
