//! What of a source is asked by HTTP: the keys of that, made into what asks. Asks nothing.

use std::path::{Path, PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderName;
use ipnet::IpNet;
use rollcall_entitlements::{Listing, Listings, Mapping, Paging, PagingText};
use rollcall_ingest::{ReadOptions, connector::Scope};
use rollcall_outbound::{Client, Credentials, InvalidTarget, Limits, Target, Url};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{
    sources::{BuildContext, KeyError, Place, networks, schedule::ReadSchedule},
    values::{ByteSize, HumanDuration, StringList},
};

/// What is asked by HTTP, when and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Upstream {
    /// When it is read, and what becomes of what it says.
    #[serde(flatten)]
    schedule: ReadSchedule,
    /// The listings that it is read from, each a table `[[source.NAME.read]]` with the `url` of its first page, its `items`, the
    /// `next` page, the `total` number of items, and a URL of what has `changed` (`docs/mapping.md`). All of one host.
    read: Vec<ReadText>,
    /// How often it is asked for what has `changed`.
    poll: HumanDuration,
    /// A file with what is shown when it is asked: a token, `user:password`, or a header's value. Relative to the
    /// configuration file.
    credentials_file: Option<PathBuf>,
    /// How that is shown: `bearer`, `basic`, or the name of a header, as in `X-Api-Key`.
    credentials: String,
    /// The private networks in which it may be, as in `10.1.0.0/16`. Public addresses are asked in any case.
    private_networks: StringList,
    /// Whether it is asked by `http://`, without TLS.
    clear_text: bool,
    /// The authorities that sign its certificate, PEM, in the place of the system's.
    ca_file: Option<PathBuf>,
    /// How long it may be silent while it answers.
    answer_timeout: HumanDuration,
    /// The largest page.
    max_page: ByteSize,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            schedule: ReadSchedule::default(),
            read: Vec::new(),
            poll: HumanDuration::seconds(60),
            credentials_file: None,
            credentials: "bearer".to_owned(),
            private_networks: StringList::default(),
            clear_text: false,
            ca_file: None,
            answer_timeout: HumanDuration::seconds(30),
            max_page: ByteSize(16 << 20),
        }
    }
}

/// What is said of a listing. Each text but the URLs is an expression (CEL) over `payload`, a page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadText {
    /// Its first page.
    url: String,
    /// A list: each item of it is mapped as what is posted is.
    items: String,
    /// The URL of the next page, from that of this one; null behind the last. When absent, there is one page.
    next: Option<String>,
    /// How many items there are on all pages. Where it is another one on another page the read comes to nothing.
    total: Option<String>,
    /// A URL of what has changed since an instant, for which `{since}` stands in it. Asked between the whole reads.
    changed: Option<String>,
}

impl Upstream {
    /// Whether anything is asked.
    pub fn is_asked(&self) -> bool {
        !self.read.is_empty()
    }

    pub fn private_file(&self) -> Option<(&'static str, &Path)> {
        Some(("credentials_file", self.credentials_file.as_deref()?))
    }

    /// What asks. `of_mapping` is all that says what becomes of an item: where it is another, who is there may be too.
    ///
    /// # Errors
    /// Every key that is wrong.
    pub fn polled(
        &self,
        context: &BuildContext<'_>,
        mapping: Mapping,
        of_mapping: Vec<String>,
        time_zone: &str,
    ) -> Result<(Listings, ReadOptions), Vec<KeyError>> {
        let mut wrong = Vec::new();
        let options = self.schedule.options().map_err(|errors| wrong.extend(errors)).ok();
        for (key, time, most) in [("poll", self.poll, 86_400), ("answer_timeout", self.answer_timeout, 600)] {
            if time.0.as_millis() < 100 || time.0.as_secs() > most {
                let most = HumanDuration::seconds(most);
                wrong.push(KeyError::of(key, format!("{time} is not between 100ms and {most}")));
            }
        }
        if !(1 << 10..=256 << 20).contains(&self.max_page.0) {
            wrong.push(KeyError::of("max_page", format!("{} is not between 1KiB and 256MiB", self.max_page)));
        }
        let mut listings = Vec::new();
        for (n, text) in self.read.iter().enumerate() {
            match text.listing(n, time_zone) {
                Ok(listing) => listings.push(listing),
                Err(errors) => wrong.extend(errors),
            }
        }
        let networks = networks("private_networks", &self.private_networks).map_err(|error| wrong.push(error)).ok();
        let client = match (listings.first(), networks) {
            (Some(first), Some(networks)) => {
                let others = listings.iter().zip(0..).filter(|(one, _)| one.url.origin() != first.url.origin());
                wrong.extend(
                    others.map(|(_, n): (_, usize)| below(n, "url", "all listings of a source are of one host")),
                );
                self.client(context, &first.url, &networks).map_err(|error| wrong.push(error)).ok()
            }
            _ => None,
        };
        match (options, client) {
            (Some(options), Some(client)) if wrong.is_empty() => {
                let scope = self.read.iter().flat_map(|read| [read.url.clone(), read.items.clone()]);
                let scope = Scope::of(scope.chain(of_mapping));
                Ok((Listings::new(context.name.clone(), client, listings, mapping, scope, self.poll.0), options))
            }
            _ => Err(wrong),
        }
    }

    fn client(&self, context: &BuildContext<'_>, url: &Url, networks: &[IpNet]) -> Result<Client, KeyError> {
        let read = |key: &'static str, path: &Option<PathBuf>| {
            let read = path.as_deref().map(|path| (context.read)(key, path)).transpose();
            read.map_err(|what| KeyError::of(key, what))
        };
        let authorities = read("ca_file", &self.ca_file)?;
        let shown = read("credentials_file", &self.credentials_file)?;
        let line = shown.as_deref().map(|text| text.lines().next().unwrap_or_default().trim());
        let credentials = match line {
            None => Credentials::None,
            Some("") => return Err(KeyError::of("credentials_file", "there is nothing in its first line")),
            Some(text) => match self.credentials.as_str() {
                "bearer" => Credentials::Bearer(SecretString::from(text)),
                "basic" if text.contains(':') => Credentials::Basic(BASE64_STANDARD.encode(text).into()),
                "basic" => return Err(KeyError::of("credentials_file", "it has no `user:password`")),
                name => {
                    let name = name.parse::<HeaderName>().map_err(|_| {
                        KeyError::of("credentials", "`bearer`, `basic`, or the name of a header, as in `X-Api-Key`")
                    })?;
                    Credentials::Header(name, SecretString::from(text))
                }
            },
        };
        let limits = Limits { pause: self.answer_timeout.0, bytes: self.max_page.bytes(), ..Limits::default() };
        let target = Target {
            url,
            private_networks: networks,
            clear_text: self.clear_text,
            authorities: authorities.as_deref(),
            credentials,
            limits,
        };
        Client::new(target).map_err(|error| match error {
            InvalidTarget::Url(what) => below(0, "url", what),
            InvalidTarget::Authorities => KeyError::of("ca_file", InvalidTarget::Authorities),
            InvalidTarget::Credentials => KeyError::of("credentials_file", InvalidTarget::Credentials),
            InvalidTarget::Tls(what) => KeyError::of("ca_file", what),
        })
    }
}

fn below(n: usize, key: &str, what: impl Into<String>) -> KeyError {
    KeyError { at: Place::Below(format!("read.{n}.{key}")), text: what.into() }
}

impl ReadText {
    fn listing(&self, n: usize, time_zone: &str) -> Result<Listing, Vec<KeyError>> {
        let mut wrong = Vec::new();
        let url = self.url.parse::<Url>().map_err(|_| {
            wrong.push(below(n, "url", "a whole URL, as in \"https://licensing.example.com/v1/licences\""));
        });
        if let Some(changed) = &self.changed {
            let written = changed.replace("{since}", "2026-01-01T00%3A00%3A00Z");
            let parsed = written.parse::<Url>().ok().filter(|_| written != *changed);
            match (parsed, &url) {
                (None, _) => wrong.push(below(
                    n,
                    "changed",
                    "a whole URL with `{since}` in it, which an instant takes the place of",
                )),
                (Some(parsed), Ok(url)) if parsed.origin() != url.origin() => {
                    wrong.push(below(n, "changed", "it is of another host than `url`"));
                }
                (Some(_), _) => {}
            }
        }
        let text =
            PagingText { items: &self.items, next: self.next.as_deref(), total: self.total.as_deref(), time_zone };
        let paging = Paging::compile(&text).map_err(|mistakes| {
            wrong.extend(mistakes.into_iter().map(|mistake| below(n, &mistake.at, mistake.text)));
        });
        match (url, paging) {
            (Ok(url), Ok(paging)) if wrong.is_empty() => Ok(Listing { url, paging, changed: self.changed.clone() }),
            _ => Err(wrong),
        }
    }
}
