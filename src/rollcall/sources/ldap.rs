//! Directories as the configuration names them: its keys made into what the connector takes.
//! Asks nothing of a directory.

use std::path::Path;

use rollcall_events::Order;
use rollcall_ldap::{Attributes, Base, Bind, Config, Directory, Limits, Trust, pin};
use secrecy::{ExposeSecret, SecretString};

use crate::config::{Mode, Source, values::Texts};

/// The directory of a source. `said` tells whether somebody set a key, `file` reads the file of one.
///
/// # Errors
/// The key that is wrong, and what is wrong with it.
pub fn of(
    source: &Source,
    password: &SecretString,
    said: &dyn Fn(&str) -> bool,
    file: &dyn Fn(&str, &Path) -> Result<String, String>,
) -> Result<Directory, (&'static str, String)> {
    if said("order") && source.order != Order::Observed {
        return Err(("order", "what is read is ordered as it is observed; leave it out".to_owned()));
    }
    let need = |key, list: &Texts, what: &str| if list.0.is_empty() { Err((key, what.to_owned())) } else { Ok(()) };
    need("url", &source.url, "name the directory's servers, as in \"ldaps://dc1.example.com\"")?;
    need("people", &source.people, "name the base below which people are, as in \"ou=people,dc=example,dc=com\"")?;
    let urls = all(&source.url, "url")?;
    let bases = |key, list: &Texts| all::<Base>(list, key);
    let filter = |key, text: &Option<String>| text.as_deref().map(str::parse).transpose().map_err(wrong(key));
    let read = |key, path: &Option<std::path::PathBuf>| {
        path.as_deref().map(|path| file(key, path)).transpose().map_err(|what| (key, what))
    };
    let pins = source.certificate_pin.0.iter().map(|text| {
        pin(text).ok_or_else(|| ("certificate_pin", format!("`{}` is not a SHA-256 fingerprint", text.escape_debug())))
    });
    let certificate = read("client_certificate_file", &source.client_certificate_file)?;
    let key = read("client_key_file", &source.client_key_file)?;
    if certificate.is_some() != key.is_some() {
        return Err(("client_key_file", "a client certificate needs its key, and a key its certificate".to_owned()));
    }
    if certificate.is_some() && source.clear_text {
        return Err(("clear_text", "a client certificate is shown over TLS: leave one of the two out".to_owned()));
    }
    let secret = !password.expose_secret().is_empty();
    let bind = match &source.bind_dn {
        Some(dn) => {
            dn.parse::<rollcall_ldap::Dn>().map_err(wrong("bind_dn"))?;
            if !secret {
                let what = "the account needs a password: put it into a file (mode 0600) and write `secret_file`";
                return Err(("bind_dn", what.to_owned()));
            }
            Bind::Simple(dn.clone(), password.clone())
        }
        None if secret => return Err(("secret_file", "a password without `bind_dn` is nobody's".to_owned())),
        None if certificate.is_some() => Bind::External,
        None => Bind::Anonymous,
    };
    if !(1..=10_000).contains(&source.page_size) {
        return Err(("page_size", "between 1 and 10000".to_owned()));
    }
    for (key, span) in [("connect_timeout", source.connect_timeout), ("answer_timeout", source.answer_timeout)] {
        if span.0.is_zero() || span.0.as_secs() > 600 {
            return Err((key, format!("{span} is not between 1ms and 10m")));
        }
    }
    if source.poll.0.as_millis() < 100 || source.poll.0.as_secs() > 3600 {
        return Err(("poll", format!("{} is not between 100ms and 1h", source.poll)));
    }
    let config = Config {
        urls,
        clear_text: source.clear_text,
        trust: Trust {
            ca: read("ca_file", &source.ca_file)?,
            pins: pins.collect::<Result<_, _>>()?,
            client: certificate.zip(key),
        },
        bind,
        people: bases("people", &source.people)?,
        groups: bases("groups", &source.groups)?,
        people_filter: filter("people_filter", &source.people_filter)?,
        group_filter: filter("group_filter", &source.group_filter)?,
        attributes: Attributes {
            id: source.id_attribute.clone(),
            username: source.username_attribute.clone(),
            email: source.email_attribute.clone(),
            name: source.name_attribute.clone(),
            group_name: source.group_name_attribute.clone(),
        },
        member_of: source.member_of,
        mode: match source.mode {
            Mode::Auto => rollcall_ldap::Mode::Auto,
            Mode::Full => rollcall_ldap::Mode::Full,
        },
        poll: source.poll.0,
        page: source.page_size,
        members: None,
        limits: Limits { connect: source.connect_timeout.0, answer: source.answer_timeout.0, ..Limits::default() },
    };
    Directory::new(config).map_err(|what| ("url", what))
}

fn all<T: std::str::FromStr<Err: ToString>>(list: &Texts, key: &'static str) -> Result<Vec<T>, (&'static str, String)> {
    list.0.iter().map(|text| text.parse().map_err(wrong(key))).collect()
}

fn wrong<E: ToString>(key: &'static str) -> impl Fn(E) -> (&'static str, String) {
    move |error| (key, error.to_string())
}
