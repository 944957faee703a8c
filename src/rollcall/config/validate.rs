//! Whether the values of a configuration fit together. Says every problem with the place that a person would edit; changes
//! nothing. What is a source's own its kind says when it is built.

use std::{
    io,
    path::{Path, PathBuf},
};

use rollcall_access::Profile;

use crate::{
    config::{
        Config, TlsFiles,
        log_filter::log_filter,
        origin::{Origins, Problem},
        profile::check_roles,
    },
    tls::{Identity, TlsError},
    values::HumanDuration,
};

/// Adds what is wrong to `problems`, but for what is a source's own.
pub fn check(config: &Config, profile: Option<&Profile>, origins: &Origins, problems: &mut Vec<Problem>) {
    let mut wrong =
        |key: &str, what: String| problems.push(Problem { origin: origins.of(key), what: format!("`{key}`: {what}") });

    let (least, most) = (HumanDuration::seconds(60), HumanDuration::seconds(300));
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
    if let Some(host) = config.token.registry.as_deref().filter(|host| !names_a_registry(host)) {
        let what =
            "is no registry as clients name one: a host, perhaps with a port, as in \"registry.example.com:5000\"";
        wrong("token.registry", format!("`{}` {what}", host.escape_debug()));
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
        ("server.write_timeout", config.server.write_timeout),
    ];
    let history = config.server.history.map(|span| ("server.history", span));
    for (key, span) in positive.into_iter().chain(history) {
        if span.0.is_zero() {
            wrong(key, "must be longer than nothing".into());
        }
    }
    for (key, count) in [
        ("server.max_connections", config.server.max_connections),
        ("server.max_connections_per_address", config.server.max_connections_per_address),
    ] {
        if count == 0 {
            wrong(key, "at least 1".into());
        }
    }
    for (key, what) in config.server.proxies().err().unwrap_or_default() {
        wrong(key, what);
    }
    if let Some(bad) = config.server.cors_origins.0.iter().find(|origin| !is_origin(origin)) {
        let what = "is no origin as browsers write it: http:// or https://, a host in lower case, a port unless it is the scheme's own, and nothing behind";
        wrong("server.cors_origins", format!("`{}` {what}", bad.escape_debug()));
    }
    if config.server.max_unverified_bodies < config.server.max_body {
        let what = format!("not one body of `server.max_body`, {}, would fit", config.server.max_body);
        wrong("server.max_unverified_bodies", what);
    }
    if config.server.ops_listen.is_some_and(|ops| ops == config.server.listen && ops.port() != 0) {
        wrong("server.ops_listen", "is `server.listen` too; choose another address or port".into());
    }
    if let Err(what) = config.server.max_body.as_body_limit() {
        wrong("server.max_body", what);
    }
    if let Some(url) = &config.server.public_url {
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let bad = |c: char| c.is_whitespace() || c.is_control() || "?#\"\\".contains(c);
        let authority = host.unwrap_or(url).split('/').next().unwrap_or_default();
        if authority.contains('@') {
            // Whoever asks for a token is told the address. Not repeated: it may be a password.
            let what = "has a user or a password before its host, which everybody would be told; leave it out";
            wrong("server.public_url", what.into());
        } else if host.is_none_or(|host| host.is_empty() || host.starts_with('/') || host.contains(bad)) {
            wrong(
                "server.public_url",
                format!(
                    "`{}` is not an address: http:// or https://, a host, perhaps a port and a path",
                    url.escape_debug()
                ),
            );
        }
    }
    if let Err(what) = log_filter(&config.log.level) {
        wrong("log.level", format!("`{}`: {what}", config.log.level.escape_debug()));
    }
    if let Some(profile) = profile {
        check_roles(config, profile, &mut wrong);
    }
}

/// Whether clients could take this for a registry: no scheme, no path.
pub fn names_a_registry(host: &str) -> bool {
    reqwest::Url::parse(&format!("https://{host}/")).is_ok_and(|url| {
        let rest = (url.path(), url.query(), url.fragment(), url.username(), url.password());
        url.host_str().is_some() && rest == ("/", None, None, "", None) && !host.ends_with(['/', ':'])
    })
}

/// Whether this is written as browsers write the origin of a page: scheme, host, and a port that is not the scheme's own.
fn is_origin(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| {
        ["http", "https"].contains(&url.scheme()) && !text.contains('*') && url.origin().ascii_serialization() == text
    })
}

/// Adds what is wrong with the files of `server.tls`, read as the listener would take them.
pub fn check_tls(
    config: &Config,
    origins: &Origins,
    read: &dyn Fn(&Path) -> io::Result<String>,
    problems: &mut Vec<Problem>,
) {
    let mut wrong =
        |key: &str, what: String| problems.push(Problem { origin: origins.of(key), what: format!("`{key}`: {what}") });
    let TlsFiles { cert_file, key_file, client_ca_file } = &config.server.tls;
    let mut text = |key: &str, path: &Option<PathBuf>| {
        let path = origins.of(key).resolve(path.as_ref()?);
        match read(&path) {
            Ok(text) => Some(text),
            Err(error) => {
                wrong(key, format!("`{}` cannot be read: {error}", path.display()));
                None
            }
        }
    };
    let certificate = text("server.tls.cert_file", cert_file);
    let key = text("server.tls.key_file", key_file);
    let client_ca = text("server.tls.client_ca_file", client_ca_file);
    match (cert_file, key_file, client_ca_file) {
        (Some(_), None, _) => wrong("server.tls.key_file", "is missing: the certificate alone is of no use".into()),
        (None, Some(_), _) => wrong("server.tls.cert_file", "is missing: the key alone is of no use".into()),
        (None, None, Some(_)) => {
            wrong("server.tls.client_ca_file", "needs `server.tls.cert_file` and `server.tls.key_file`".into());
        }
        _ => {}
    }
    if let (Some(certificate), Some(key)) = (certificate, key)
        && (client_ca_file.is_none() || client_ca.is_some())
        && let Err(TlsError { of, what }) = Identity::read(&certificate, &key, client_ca.as_deref())
    {
        wrong(of.key(), what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for good in ["https://console.example.com", "http://127.0.0.1:3000", "https://console.example.com:8443"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "console.example.com",
            "https://console.example.com/",
            "https://console.example.com:443",
            "https://Console.example.com",
            "https://*.example.com",
            "https://a@console.example.com",
            "ftp://console.example.com",
            "https://console.example.com/page",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
