//! Whether the values of a configuration fit together, and the secrets that it names.
//! Says every problem with the place that a person would edit; changes nothing but the secrets that it reads.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use rollcall_access::{Profile, Verb, profile::BUNDLED};
use rollcall_entitlements::Secrets;
use rollcall_events::SourceName;
use rollcall_ingest::Cron;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    config::{
        Access, Config, Kind,
        load::{Loaded, Origin, Problem},
        values::Span,
    },
    sources::ldap,
};

/// Adds what is wrong to `problems`, and the sources' secrets to `loaded`.
pub fn run(
    loaded: &mut Loaded,
    inline: &BTreeMap<String, String>,
    read: &dyn Fn(&Path) -> io::Result<String>,
    problems: &mut Vec<Problem>,
) {
    let config = loaded.config.clone();
    let mut wrong = |key: &str, what: String| {
        problems.push(Problem { origin: loaded.origin(key), what: format!("`{key}`: {what}") })
    };

    let (least, most) = (Span::seconds(60), Span::seconds(300));
    if !(least..=most).contains(&config.token.ttl) {
        wrong(
            "token.ttl",
            format!(
                "{} is not between {least} and {most}; a longer life would keep revoked access alive",
                config.token.ttl
            ),
        );
    }
    for (key, text) in [("token.issuer", &config.token.issuer), ("token.service", &config.token.service)] {
        if text.trim().is_empty() || text.chars().any(char::is_control) || text.len() > 256 {
            wrong(key, "1 to 256 characters, none of them a control character".into());
        }
    }
    let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_*".contains(c);
    if let Some(bad) = config.access.reserved_names.0.iter().find(|one| one.is_empty() || !one.chars().all(name)) {
        let what = "is no pattern of a project's name: a-z, 0-9, `.`, `-`, `_`, and `*` for any of them";
        wrong("access.reserved_names", format!("`{}` {what}", bad.escape_debug()));
    }
    let positive = [
        ("token.max_staleness", config.token.max_staleness),
        ("token.max_clock_skew", config.token.max_clock_skew),
        ("server.header_timeout", config.server.header_timeout),
        ("server.request_timeout", config.server.request_timeout),
    ];
    for (key, span) in positive {
        if span.0.is_zero() {
            wrong(key, "must be longer than nothing".into());
        }
    }
    if config.server.max_connections == 0 {
        wrong("server.max_connections", "at least 1".into());
    }
    let sizes =
        config.source.iter().filter_map(|(name, source)| Some((format!("source.{name}.max_body"), source.max_body?)));
    for (key, size) in sizes.chain([("server.max_body".to_owned(), config.server.max_body)]) {
        if !(1..=64 << 20).contains(&size.0) {
            wrong(&key, format!("{size} is not between 1B and 64MiB"));
        }
    }
    if let Some(url) = &config.server.public_url {
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let bad = |c: char| c.is_whitespace() || c.is_control() || "?#\"\\".contains(c);
        if host.is_none_or(|host| host.is_empty() || host.starts_with('/') || host.contains(bad)) {
            wrong(
                "server.public_url",
                format!(
                    "`{}` is not an address: http:// or https://, a host, perhaps a port and a path",
                    url.escape_debug()
                ),
            );
        }
    }
    if crate::server::telemetry::filter(&config.log.level).is_err() {
        wrong(
            "log.level",
            format!(
                "`{}`: one of error, warn, info, debug, trace, perhaps per module",
                config.log.level.escape_debug()
            ),
        );
    }

    match profile(&config.access, &loaded.origin("access.profile"), read) {
        Err(what) => wrong("access.profile", what),
        Ok(profile) => roles(&config, &profile, &mut wrong),
    }

    for (name, source) in &config.source {
        if let Err(error) = source.schedule.parse::<Cron>() {
            wrong(&format!("source.{name}.schedule"), error.to_string());
        }
        if source.revoke_after.is_some_and(|after| after < Span::seconds(3600)) {
            let what = "less than 1h would make an ordinary outage a removal of everybody".to_owned();
            wrong(&format!("source.{name}.revoke_after"), what);
        }
    }
    for (name, source) in &config.source {
        let from_env = inline.get(name.as_str()).map(|text| (format!("source.{name}.secret"), Ok(text.clone())));
        let from_file = source.secret_file.as_ref().map(|path| {
            let key = format!("source.{name}.secret_file");
            let path = beside(path, &loaded.origin(&key));
            let text = read(&path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()));
            (key, text)
        });
        let found = match (from_env, from_file) {
            (Some(_), Some((key, _))) => {
                Err((key, "the secret is given twice, as a file and as a value; keep one of them".to_owned()))
            }
            (Some((key, text)), None) | (None, Some((key, text))) => {
                text.and_then(|text| usable(source.kind, text)).map_err(|what| (key, what))
            }
            (None, None) if source.kind == Kind::Ldap => Ok("".into()),
            (None, None) => Err((
                format!("source.{name}"),
                format!(
                    "the source has no secret. Make one with {} and write `secret_file = \"{name}.secret\"`",
                    secret_recipe(name.as_str())
                ),
            )),
        };
        match found {
            Ok(found) => {
                if source.kind == Kind::Ldap {
                    let said = |key: &str| loaded.origins.contains_key(&format!("source.{name}.{key}"));
                    let file = |key: &str, path: &Path| {
                        let path = beside(path, &loaded.origin(&format!("source.{name}.{key}")));
                        read(&path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
                    };
                    match ldap::of(source, &found, &said, &file) {
                        Ok(directory) => drop(loaded.directories.insert(name.clone(), directory)),
                        Err((key, what)) => {
                            let key = format!("source.{name}.{key}");
                            let origin = source_origin(loaded, &key, name);
                            problems.push(Problem { origin, what: format!("`{key}`: {what}") });
                        }
                    }
                }
                if !found.expose_secret().is_empty() {
                    loaded.secrets.insert(name.clone(), found);
                }
            }
            Err((key, what)) => {
                let origin = source_origin(loaded, &key, name);
                problems.push(Problem { origin, what: format!("`{key}`: {what}") });
            }
        }
    }
}

/// The access profile that a configuration names: a bundled one, or a file.
///
/// # Errors
/// When there is none, or it is not one.
pub fn profile(
    access: &Access,
    origin: &Origin,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Profile, String> {
    if let Some(profile) = Profile::bundled(&access.profile) {
        return Ok(profile);
    }
    let path = beside(Path::new(&access.profile), origin);
    let text = read(&path).map_err(|error| {
        let names: Vec<&str> = BUNDLED.iter().map(|(name, _)| *name).collect();
        format!(
            "`{}` is neither a profile that comes with Rollcall ({}) nor a file that can be read: {error}",
            access.profile.escape_debug(),
            names.join(", ")
        )
    })?;
    Profile::from_toml(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The roles of rules 2 and 3 exist in the profile where something follows from them, and a customer's role does not push
/// unless that is meant (DESIGN 7, rule 6).
fn roles(config: &Config, profile: &Profile, wrong: &mut dyn FnMut(&str, String)) {
    let access = &config.access;
    let rules = &profile.document().rules;
    let named = |set: &Option<String>, rule: &Option<String>, usual: &str| {
        set.clone().or_else(|| rule.clone()).unwrap_or_else(|| usual.into())
    };
    let producer = named(&access.producer_role, &rules.producer_role, "Developer");
    let consumer = named(&access.consumer_role, &rules.consumer_role, "Guest");
    let known: Vec<&str> = profile.roles().map(|role| profile.role_name(role)).collect();
    let (known, entitlements) = (known.join(", "), config.source.values().any(|s| s.kind == Kind::Entitlements));
    for (key, said, name, whose) in [
        ("access.producer_role", &access.producer_role, &producer, "a producer's people"),
        ("access.consumer_role", &access.consumer_role, &consumer, "customers"),
    ] {
        if profile.role(name).is_some() {
            continue;
        }
        let (profile, name) = (profile.name(), name.escape_debug());
        if said.is_some() {
            wrong(key, format!("the profile `{profile}` has no role `{name}`; its roles are {known}"));
        } else if entitlements {
            let what = format!("`{profile}` does not say which role {whose} have; write `{key}` = one of {known}");
            wrong("access.profile", what);
        }
    }
    let Some(role) = profile.role(&consumer) else { return };
    let actions = profile.role_actions(role);
    let may = |verb: Verb| profile.registry_action(verb).is_some_and(|needed| actions.holds(needed));
    let confirmed = access.confirm_consumer_role.as_deref().and_then(|name| profile.role(name)) == Some(role);
    if (may(Verb::Push) || may(Verb::Delete)) && !confirmed {
        let name = profile.role_name(role);
        wrong(
            "access.consumer_role",
            format!(
                "customers with the role {name} may push or delete images; if that is meant, write `confirm_consumer_role = \"{name}\"`"
            ),
        );
    }
}

/// The place of a key, else of anything about its source.
fn source_origin(loaded: &Loaded, key: &str, name: &SourceName) -> Origin {
    let any = || {
        loaded
            .origins
            .iter()
            .find(|(at, _)| at.starts_with(&format!("source.{name}.")))
            .map(|(_, origin)| origin.clone())
    };
    loaded
        .origins
        .get(key)
        .cloned()
        .or_else(|| loaded.origins.get(&format!("source.{name}")).cloned())
        .or_else(any)
        .unwrap_or(Origin::Default)
}

/// A path of the configuration file is relative to that file.
pub fn beside(path: &Path, origin: &Origin) -> PathBuf {
    match origin {
        Origin::File { path: file, .. } => file.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path)),
        Origin::Default | Origin::Env(_) | Origin::Flag(_) => path.to_owned(),
    }
}

/// The secrets of a source as its connector reads them; never shown.
fn usable(kind: Kind, text: String) -> Result<SecretString, String> {
    match kind {
        Kind::Entitlements => match Secrets::parse(&text) {
            Ok(_) => Ok(text.into()),
            Err(error) => Err(error.to_string()),
        },
        Kind::Ldap => match text.lines().next().unwrap_or_default() {
            "" => Err("there is no password in the first line".to_owned()),
            password => Ok(password.into()),
        },
    }
}

/// A shell line that makes a secret's file.
pub fn secret_recipe(name: &str) -> String {
    format!("`(umask 077; echo whsec_$(head -c 32 /dev/urandom | base64) > {name}.secret)`")
}
