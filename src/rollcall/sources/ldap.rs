//! LDAP directories: the keys of such a source, made into a directory that is read, checks passwords and can be inspected.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_authn::{Account, AccountFound, FoundAccount, PasswordAnswer, PasswordCheck, PasswordRefusal};
use rollcall_events::{Order, SourceName};
use rollcall_ldap::{Attributes, Base, Bind, Config, Directory, Fault, Limits, Trust, Wanted, pin, usual_attributes};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    sources::{
        BuildContext, Finding, Grade, Inspect, KeyError, Place, SECRET_FILE, Source, SourceConfig,
        schedule::ReadSchedule,
    },
    values::{HumanDuration, StringList},
};

/// A directory that speaks LDAP, read as a whole on a schedule and followed in between where its server can.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Ldap {
    /// When it is read, and what becomes of what it says.
    #[serde(flatten)]
    read: ReadSchedule,
    /// Whether a person whom it calls inactive is shut out altogether, not only of what this source gives.
    authoritative: bool,
    /// A file with the password of `bind_dn` in its first line. Relative to the configuration file. In the environment
    /// also as a value: `ROLLCALL__SOURCE__NAME__SECRET`.
    secret_file: Option<PathBuf>,
    /// The servers, the preferred one first, as in `ldaps://dc1.example.com`. With `ldap://` StartTLS is asked for and
    /// required.
    url: StringList,
    /// Whether it may be spoken to without TLS, passwords included. Only for tests.
    clear_text: bool,
    /// A file with the authorities that sign the servers' certificate, PEM. When absent, the system's.
    ca_file: Option<PathBuf>,
    /// SHA-256 fingerprints of the servers' certificates. Where there are any, nothing else is trusted.
    certificate_pin: StringList,
    /// A file with the certificate that we show the servers, and its chain, PEM. Without `bind_dn` it says who we are.
    client_certificate_file: Option<PathBuf>,
    /// A file with its key, PEM.
    client_key_file: Option<PathBuf>,
    /// The account that reads the directory; its password is in `secret_file`. When absent, nobody.
    bind_dn: Option<String>,
    /// Below which names people are.
    people: StringList,
    /// Below which names groups are.
    groups: StringList,
    /// What people are among what is there (RFC 4515). When absent, the usual classes of the server's kind.
    people_filter: Option<String>,
    /// What groups are among what is there (RFC 4515). When absent, the usual classes of the server's kind.
    group_filter: Option<String>,
    /// The attribute with the immutable id. When absent, `entryUUID`, `objectGUID` or `nsUniqueId`, as the server has it.
    id_attribute: Option<String>,
    /// The attribute with the name to sign in with. When absent, `uid` or `sAMAccountName`.
    username_attribute: Option<String>,
    /// The attributes with what else people may type as their name, looked up when they sign in. A name that several
    /// entries have is nobody's. When absent, `mail`, and in Active Directory `userPrincipalName` too.
    sign_in_attributes: Option<StringList>,
    /// The NetBIOS name of the domain, for people who type `DOMAIN\\name`. When absent, Active Directory's own.
    netbios_domain: Option<String>,
    /// The domains of names that people type, `name@domain`, which this directory has or nobody: no other one is asked for
    /// them, nor can claim them, nor keeps anybody out by not answering.
    sign_in_domains: StringList,
    /// An attribute that says that an account is disabled, beside those that every kind of server has.
    disabled_attribute: Option<String>,
    /// The values of it that mean so, in any case; any value where there are none.
    disabled_values: StringList,
    /// An entry that is known to be disabled. As long as it does not look so, what says so cannot be read, and nothing is
    /// concluded from what is read.
    disabled_probe: Option<String>,
    /// Attributes that say whether an account is in force and that nobody has, though the server's schema knows them, as in
    /// `"shadowExpire"`: they are not read, and need not be readable.
    unused_attributes: StringList,
    /// Attributes that hold the id of the same person in another source, by that source's name, as in
    /// `flexnet = "employeeNumber"`. Whom it says to be one waits until it is confirmed once with `rollcall users link`.
    links: BTreeMap<SourceName, String>,
    /// The attribute with the e-mail address.
    email_attribute: String,
    /// The attribute with the display name.
    name_attribute: String,
    /// The attribute with the label of a group.
    group_name_attribute: String,
    /// Whether `memberOf` of people counts beside the lists of groups. Servers keep it in part at best.
    member_of: bool,
    /// How it is read: `auto` follows it where the server can, `full` only reads it on the schedule.
    mode: Mode,
    /// How often Active Directory is asked for changes; others that are followed say them by themselves.
    poll: HumanDuration,
    /// How many entries are asked for at once.
    page_size: u32,
    /// How long connecting may take, TLS included.
    connect_timeout: HumanDuration,
    /// How long every single answer may take.
    answer_timeout: HumanDuration,
    /// Whether its people sign in with their password in it, to registries and to the API.
    login: bool,
}

/// How a directory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Followed where the server can.
    Auto,
    /// Only as a whole.
    Full,
}

impl Default for Ldap {
    fn default() -> Self {
        Self {
            read: ReadSchedule::default(),
            authoritative: true,
            secret_file: None,
            url: StringList::default(),
            clear_text: false,
            ca_file: None,
            certificate_pin: StringList::default(),
            client_certificate_file: None,
            client_key_file: None,
            bind_dn: None,
            people: StringList::default(),
            groups: StringList::default(),
            people_filter: None,
            group_filter: None,
            id_attribute: None,
            username_attribute: None,
            sign_in_attributes: None,
            netbios_domain: None,
            sign_in_domains: StringList::default(),
            disabled_attribute: None,
            disabled_values: StringList::default(),
            disabled_probe: None,
            unused_attributes: StringList::default(),
            links: BTreeMap::new(),
            email_attribute: "mail".into(),
            name_attribute: "displayName".into(),
            group_name_attribute: "cn".into(),
            member_of: false,
            mode: Mode::Auto,
            poll: HumanDuration::seconds(2),
            page_size: 200,
            connect_timeout: HumanDuration::seconds(5),
            answer_timeout: HumanDuration::seconds(30),
            login: true,
        }
    }
}

impl SourceConfig for Ldap {
    /// What is read is ordered as it was observed.
    fn order(&self) -> Order {
        Order::Observed
    }

    fn authoritative(&self) -> bool {
        self.authoritative
    }

    fn names_sources(&self) -> Vec<(&'static str, &SourceName)> {
        self.links.keys().map(|source| ("links", source)).collect()
    }

    fn secret_file(&self) -> Option<&Path> {
        self.secret_file.as_deref()
    }

    fn private_files(&self) -> Vec<(&'static str, &Path)> {
        let files = [(SECRET_FILE, &self.secret_file), ("client_key_file", &self.client_key_file)];
        files.into_iter().filter_map(|(key, path)| Some((key, path.as_deref()?))).collect()
    }

    fn check(&self) -> Vec<KeyError> {
        let mut wrong = self.read.options().err().unwrap_or_default();
        if !(1..=10_000).contains(&self.page_size) {
            wrong.push(KeyError::of("page_size", "between 1 and 10000"));
        }
        for (key, time) in [("connect_timeout", self.connect_timeout), ("answer_timeout", self.answer_timeout)] {
            if time.0.is_zero() || time.0.as_secs() > 600 {
                wrong.push(KeyError::of(key, format!("{time} is not between 1ms and 10m")));
            }
        }
        if self.disabled_attribute.is_none() && !self.disabled_values.0.is_empty() {
            wrong.push(KeyError::of("disabled_values", "of which attribute? Name it with `disabled_attribute`"));
        }
        let is_usual = |name: &&String| usual_attributes().any(|usual| usual.eq_ignore_ascii_case(name));
        for name in self.unused_attributes.0.iter().filter(|name| !is_usual(name)) {
            let known = usual_attributes().collect::<Vec<_>>().join(", ");
            let text = format!("`{}` is none that is looked at: {known}", name.escape_debug());
            wrong.push(KeyError::of("unused_attributes", text));
        }
        for domain in self.sign_in_domains.0.iter().filter(|domain| domain.is_empty() || domain.contains(['@', ' '])) {
            let text = format!("`{}` is no domain, as in \"example.com\"", domain.escape_debug());
            wrong.push(KeyError::of("sign_in_domains", text));
        }
        for (source, attribute) in &self.links {
            let (mails, given) = (["mail", "proxyAddresses", &self.email_attribute], attribute.as_str());
            if given.is_empty() || mails.iter().any(|mail| mail.eq_ignore_ascii_case(given)) {
                let text = "name an attribute with an id that nobody chooses: a mail address never gets into the log";
                wrong.push(KeyError::of("links", format!("{source}: {text}")));
            }
        }
        if self.poll.0.as_millis() < 100 || self.poll.0.as_secs() > 3600 {
            wrong.push(KeyError::of("poll", format!("{} is not between 100ms and 1h", self.poll)));
        }
        wrong
    }

    fn build(&self, context: &BuildContext<'_>) -> Result<Source, Vec<KeyError>> {
        match (self.read.options(), self.directory(context)) {
            (Ok(options), Ok(directory)) => Ok(Source {
                hook: None,
                pull: Some((Arc::new(directory.clone()), options)),
                passwords: self.login.then(|| -> Arc<dyn PasswordCheck> {
                    let (source, domains) = (context.name.clone(), self.sign_in_domains.0.clone());
                    let takes_addresses = self.sign_in_attributes.as_ref().is_none_or(|list| {
                        list.0.iter().any(|attribute| attribute.eq_ignore_ascii_case(&self.email_attribute))
                    });
                    Arc::new(Passwords { source, directory: directory.clone(), domains, takes_addresses })
                }),
                inspect: Some(Arc::new(Inspection(directory))),
            }),
            (_, directory) => Err(directory.err().into_iter().collect()),
        }
    }
}

impl Ldap {
    /// The directory, as its connector has it. Asks nothing of it.
    fn directory(&self, context: &BuildContext<'_>) -> Result<Directory, KeyError> {
        let password = context.secret.map(first_line).transpose()?;
        if self.url.0.is_empty() {
            return Err(KeyError::of("url", "name the directory's servers, as in \"ldaps://dc1.example.com\""));
        }
        if self.people.0.is_empty() {
            let what = "name the base below which people are, as in \"ou=people,dc=example,dc=com\"";
            return Err(KeyError::of("people", what));
        }
        let urls = parse_all("url", &self.url)?;
        let trust = self.trust(context)?;
        let bind = self.bind(password, trust.client.is_some())?;
        let filter = |key, text: &Option<String>| text.as_deref().map(str::parse).transpose().map_err(at(key));
        let config = Config {
            urls,
            clear_text: self.clear_text,
            trust,
            bind,
            people: parse_all::<Base>("people", &self.people)?,
            groups: parse_all::<Base>("groups", &self.groups)?,
            people_filter: filter("people_filter", &self.people_filter)?,
            group_filter: filter("group_filter", &self.group_filter)?,
            attributes: Attributes {
                id: self.id_attribute.clone(),
                username: self.username_attribute.clone(),
                sign_in: self.sign_in_attributes.as_ref().map(|list| list.0.clone()),
                netbios: self.netbios_domain.clone(),
                disabled: self.disabled_attribute.clone(),
                disabled_values: self.disabled_values.0.clone(),
                unused: self.unused_attributes.0.clone(),
                links: self.links.clone(),
                email: self.email_attribute.clone(),
                name: self.name_attribute.clone(),
                group_name: self.group_name_attribute.clone(),
            },
            member_of: self.member_of,
            mode: match self.mode {
                Mode::Auto => rollcall_ldap::Mode::Auto,
                Mode::Full => rollcall_ldap::Mode::Full,
            },
            poll: self.poll.0,
            page: self.page_size,
            members: None,
            disabled_probe: self.disabled_probe.as_deref().map(str::parse).transpose().map_err(at("disabled_probe"))?,
            limits: Limits { connect: self.connect_timeout.0, answer: self.answer_timeout.0, ..Limits::default() },
        };
        Directory::new(config).map_err(|what| KeyError::of("url", what))
    }

    /// Which servers are believed, and what we show them.
    fn trust(&self, context: &BuildContext<'_>) -> Result<Trust, KeyError> {
        let read = |key: &'static str, path: &Option<PathBuf>| {
            path.as_deref().map(|path| (context.read)(key, path)).transpose().map_err(at(key))
        };
        let certificate = read("client_certificate_file", &self.client_certificate_file)?;
        let key = read("client_key_file", &self.client_key_file)?;
        if certificate.is_some() != key.is_some() {
            let what = "a client certificate needs its key, and a key its certificate";
            return Err(KeyError::of("client_key_file", what));
        }
        if certificate.is_some() && self.clear_text {
            let what = "a client certificate is shown over TLS: leave one of the two out";
            return Err(KeyError::of("clear_text", what));
        }
        let pins = self.certificate_pin.0.iter().map(|text| {
            pin(text).ok_or_else(|| {
                KeyError::of("certificate_pin", format!("`{}` is not a SHA-256 fingerprint", text.escape_debug()))
            })
        });
        Ok(Trust {
            ca: read("ca_file", &self.ca_file)?,
            pins: pins.collect::<Result<_, _>>()?,
            client: certificate.zip(key),
        })
    }

    /// As whom the directory is read.
    fn bind(&self, password: Option<SecretString>, has_certificate: bool) -> Result<Bind, KeyError> {
        match (&self.bind_dn, password) {
            (Some(dn), password) => {
                dn.parse::<rollcall_ldap::Dn>().map_err(at("bind_dn"))?;
                let Some(password) = password else {
                    let what = "the account needs a password: put it into a file (mode 0600) and write `secret_file`";
                    return Err(KeyError::of("bind_dn", what));
                };
                Ok(Bind::Simple(dn.clone(), password))
            }
            (None, Some(_)) => {
                Err(KeyError { at: Place::Secret, text: "a password without `bind_dn` is nobody's".to_owned() })
            }
            (None, None) if has_certificate => Ok(Bind::External),
            (None, None) => Ok(Bind::Anonymous),
        }
    }
}

/// The password in the text of its file.
fn first_line(text: &SecretString) -> Result<SecretString, KeyError> {
    match text.expose_secret().lines().next().unwrap_or_default() {
        "" => Err(KeyError { at: Place::Secret, text: "there is no password in the first line".to_owned() }),
        password => Ok(password.into()),
    }
}

fn parse_all<T: FromStr<Err: ToString>>(key: &'static str, list: &StringList) -> Result<Vec<T>, KeyError> {
    list.0.iter().map(|text| text.parse().map_err(at(key))).collect()
}

fn at<E: ToString>(key: &'static str) -> impl Fn(E) -> KeyError {
    move |error| KeyError::of(key, error.to_string())
}

/// A directory whose people sign in with their password in it.
struct Passwords {
    source: SourceName,
    directory: Directory,
    /// The domains that are its own.
    domains: Vec<String>,
    takes_addresses: bool,
}

#[async_trait]
impl PasswordCheck for Passwords {
    fn source(&self) -> &SourceName {
        &self.source
    }

    fn takes_addresses(&self) -> bool {
        self.takes_addresses
    }

    fn owns(&self, name: &str) -> bool {
        let domain = name.trim().rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(|domain| self.domains.iter().any(|own| own.eq_ignore_ascii_case(domain)))
    }

    async fn find(&self, account: Account<'_>) -> AccountFound {
        let wanted = match account {
            Account::Person(id) => Wanted::Id(id),
            Account::Named(name) => Wanted::Name(name),
        };
        match self.directory.find_account(wanted).await {
            Ok(rollcall_ldap::AccountFound::One(person, entry)) => AccountFound::One(FoundAccount { person, entry }),
            Ok(rollcall_ldap::AccountFound::Nobody) => AccountFound::Nobody,
            Ok(rollcall_ldap::AccountFound::Several(people)) => AccountFound::Several(people),
            Err(fault) => {
                self.warn(&fault);
                AccountFound::Unavailable
            }
        }
    }

    async fn check(&self, entry: Option<&str>, password: &SecretString) -> PasswordAnswer {
        match self.directory.check(entry, password).await {
            Ok(rollcall_ldap::PasswordAnswer::Good) => PasswordAnswer::Good,
            Ok(rollcall_ldap::PasswordAnswer::Refused(why)) => PasswordAnswer::Refused(refusal(why)),
            Err(fault) => {
                self.warn(&fault);
                PasswordAnswer::Unavailable
            }
        }
    }
}

impl Passwords {
    fn warn(&self, fault: &Fault) {
        tracing::warn!(source = self.source.as_str(), %fault, "a directory could not check a password");
    }
}

fn refusal(why: rollcall_ldap::PasswordRefusal) -> PasswordRefusal {
    match why {
        rollcall_ldap::PasswordRefusal::Wrong => PasswordRefusal::Wrong,
        rollcall_ldap::PasswordRefusal::Locked => PasswordRefusal::Locked,
        rollcall_ldap::PasswordRefusal::NotNow => PasswordRefusal::NotNow,
        rollcall_ldap::PasswordRefusal::Disabled => PasswordRefusal::Disabled,
        rollcall_ldap::PasswordRefusal::AccountExpired => PasswordRefusal::AccountExpired,
        rollcall_ldap::PasswordRefusal::PasswordExpired => PasswordRefusal::PasswordExpired,
        rollcall_ldap::PasswordRefusal::MustChange => PasswordRefusal::MustChange,
    }
}

/// A directory as an operator looks at it.
struct Inspection(Directory);

#[async_trait]
impl Inspect for Inspection {
    fn subject(&self) -> &'static str {
        "directory"
    }

    async fn inspect(&self, now: DateTime<Utc>) -> Vec<Finding> {
        let Self(directory) = self;
        let grade = |grade| match grade {
            rollcall_ldap::Grade::Good => Grade::Good,
            rollcall_ldap::Grade::Odd => Grade::Odd,
            rollcall_ldap::Grade::Bad => Grade::Bad,
        };
        let found = directory.inspect(now).await.into_iter();
        found.map(|one| Finding { check: one.what, grade: grade(one.grade), text: one.text }).collect()
    }
}
