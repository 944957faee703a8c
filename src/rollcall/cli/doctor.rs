//! `doctor`: looks at an installation from the outside, as an operator would, and says what is wrong and what to do.
//! Asks and compares; mends nothing.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, TimeDelta};
use reqwest::Url;
use rollcall_access::{
    Verb,
    profile::{Own, PseudoPrincipal, Resource},
};
use rollcall_app::{
    SigningAuthority,
    operations::{
        configuration::SettingShown,
        deliveries::DeliveryShown,
        log::SignedHead,
        problems::{ProblemKind, ProblemShown},
    },
};
use rollcall_events::Clock;
use serde_json::{Value, json};

use crate::{
    cli::{
        args::Global,
        context::{self, load_config, server_address},
        output::{OutputFormat, escape_controls, group_digits},
    },
    client::{Client, Exit, Failure, http_client, unreachable, url_below},
    config::{TlsFiles, data_dir::DataDir, load::Loaded},
    server::{clock::SystemClock, reachable},
    sources::{Finding, Grade, Notifications},
    tls::Identity,
};

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, check: &'static str, grade: Grade, text: impl Into<String>) {
        self.0.push(Finding { check, grade, text: text.into() });
    }
}

/// Looks at everything that can be looked at.
///
/// # Errors
/// Never for what is wrong: that is the answer.
pub async fn run(global: &Global, format: OutputFormat) -> Result<Exit, Failure> {
    let mut found = Findings::default();
    match load_config(global, &[]) {
        Err(problems) => problems.iter().for_each(|problem| found.add("config", Grade::Bad, problem.to_string())),
        Ok(loaded) => {
            found.add("config", Grade::Good, format!("no problem, {} sources", loaded.config.source.len()));
            let dir = DataDir::new(&loaded.config.server.data_dir);
            check_files(&mut found, &loaded, &dir);
            check_roles(&mut found, &loaded);
            check_certificate(&mut found, &loaded);
            inspect_sources(&mut found, &loaded).await;
            match server_address(global, &loaded, &dir) {
                Err(error) => found.add("server", Grade::Bad, format!("{error:#}")),
                Ok(base) => check_server(&mut found, global, &loaded, &base).await?,
            }
        }
    }
    let bad = found.0.iter().any(|finding| finding.grade == Grade::Bad);
    let rows = found.0.iter().map(|f| json!({"check": f.check, "grade": f.grade.as_str(), "text": f.text})).collect();
    format.print(&Value::Array(rows), |paint| {
        let line = |finding: &Finding| {
            let mark = match finding.grade {
                Grade::Good => paint.good("✓"),
                Grade::Odd => paint.bold("!"),
                Grade::Bad => paint.bad("✗"),
            };
            format!("{mark} {:<14} {}\n", finding.check, escape_controls(&finding.text))
        };
        found.0.iter().map(line).collect()
    });
    Ok(if bad { Exit::No } else { Exit::Yes })
}

/// Nobody else may read what is secret.
fn check_files(found: &mut Findings, loaded: &Loaded, dir: &DataDir) {
    if !dir.path().is_dir() {
        found.add(
            "data directory",
            Grade::Odd,
            format!("{} is not there yet; `rollcall serve` makes it", dir.path().display()),
        );
        return;
    }
    let key = dir.file("admin.key");
    let tls_key = loaded.config.server.tls.key_file.as_ref();
    let tls_key = tls_key.map(|path| loaded.origins.of("server.tls.key_file").resolve(path));
    let secrets = loaded.config.source.iter().flat_map(|(name, source)| {
        let files = source.private_files().into_iter();
        files.map(move |(key, path)| loaded.origins.of(&format!("source.{name}.{key}")).resolve(path))
    });
    let mut exposed = false;
    for path in [dir.path().to_owned(), key].into_iter().chain(tls_key).chain(secrets) {
        if let Some(mode) = mode(&path).filter(|mode| mode & 0o077 != 0) {
            exposed = true;
            let wanted = if path.is_dir() { "700" } else { "600" };
            found.add(
                "data directory",
                Grade::Odd,
                format!("others can read {} (mode {mode:o}): chmod {wanted} it", path.display()),
            );
        }
    }
    if !exposed {
        found.add("data directory", Grade::Good, format!("{}, readable by its owner only", dir.path().display()));
    }
}

/// How long the server's certificate is good, as its file has it.
fn check_certificate(found: &mut Findings, loaded: &Loaded) {
    let TlsFiles { cert_file, key_file, .. } = &loaded.config.server.tls;
    let text =
        |key: &str, path: &Option<PathBuf>| fs::read_to_string(loaded.origins.of(key).resolve(path.as_ref()?)).ok();
    let (Some(certificate), Some(key)) =
        (text("server.tls.cert_file", cert_file), text("server.tls.key_file", key_file))
    else {
        return;
    };
    let Ok(Identity { names, ends, .. }) = Identity::read(&certificate, &key, None) else { return };
    let left = ends - SystemClock.now();
    let (grade, verb) = match left.num_days() {
        _ if left <= TimeDelta::zero() => (Grade::Bad, "ended"),
        ..14 => (Grade::Odd, "ends soon,"),
        _ => (Grade::Good, "ends"),
    };
    found.add("certificate", grade, format!("of {}, {verb} {ends}", names.join(", ")));
}

fn mode(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.permissions().mode() & 0o777)
}

/// Every source that can be looked at from this machine.
async fn inspect_sources(found: &mut Findings, loaded: &Loaded) {
    for (name, source) in &loaded.sources {
        if source.hook.as_ref().is_some_and(Notifications::believes_anybody) {
            let text =
                format!("{name} authentication: none is asked for; whoever reaches this hook gives and takes rights");
            found.add("hook", Grade::Odd, text);
        }
        let Some(inspect) = &source.inspect else { continue };
        for Finding { check, grade, text } in inspect.inspect(SystemClock.now()).await {
            found.add(inspect.subject(), grade, format!("{name} {check}: {text}"));
        }
    }
}

/// Customers who may list members see each other (access-models section 9).
fn check_roles(found: &mut Findings, loaded: &Loaded) {
    let access = &loaded.config.access;
    let (profile, settings) = (&loaded.profile, access.settings(BTreeMap::new()));
    if Verb::ALL.iter().all(|verb| profile.registry_action(*verb).is_none()) {
        let what = "does not say which operations pull, push and delete are (section [registry]): every token is empty";
        found.add("access", Grade::Odd, format!("profile {} {what}", profile.name()));
    }
    let (nobodys, makes) = (access.reserved_names.0.is_empty(), profile.gives_api("project.create"));
    let anywhere = |level| Resource { level, visibility: None, kind: None, own: Own::NotMine };
    let everybody = |level| {
        profile.allowed(PseudoPrincipal::Authenticated, std::iter::empty(), &anywhere(level), &settings.switches)
    };
    if nobodys
        && loaded.config.source.values().any(|source| source.states_entitlements())
        && makes.is_some_and(|makes| (0..=profile.project_level()).any(|level| everybody(level).contains(makes)))
    {
        let what = "everybody makes projects, and so takes names that packages will need; keep those by `access.reserved_names`";
        found.add("access", Grade::Odd, format!("profile {}: {what}", profile.name()));
    }
    let rule = profile.document().rules.consumer_role.clone();
    let name = access.consumer_role.clone().or(rule).unwrap_or_else(|| "Guest".into());
    let lists = profile.operation("member.list");
    let sees = profile.role(&name).zip(lists).is_some_and(|(role, list)| profile.role_actions(role).contains(list));
    if sees {
        found.add(
            "access",
            Grade::Odd,
            format!("customers have the role {name}, which lists members: one customer sees the names of the others"),
        );
    } else {
        found.add("access", Grade::Good, format!("profile {}, customers are {name}, as configured", profile.name()));
    }
}

async fn check_server(found: &mut Findings, global: &Global, loaded: &Loaded, base: &Url) -> Result<(), Failure> {
    let plain = http_client(base, global.ca_file.as_deref())?;
    // Where operations are answered apart, they are not on the first listener.
    let apart = loaded.config.server.ops_listen.filter(|_| global.server.is_none());
    let apart = apart.and_then(|ops| Url::parse(&format!("http://{}", reachable(ops))).ok());
    let operations = apart.as_ref().unwrap_or(base);
    let shown = operations.as_str().trim_end_matches('/');
    let alive = match plain.get(url_below(operations, &["livez"], &[])).send().await {
        Ok(response) if response.status().is_success() => response,
        Ok(response) => {
            found.add(
                "server",
                Grade::Bad,
                format!("{shown} answers {}: something else listens there", response.status()),
            );
            return Ok(());
        }
        Err(error) => {
            found.add("server", Grade::Bad, unreachable(shown, &error).to_string());
            return Ok(());
        }
    };
    found.add("server", Grade::Good, format!("{shown} answers"));
    check_clock(found, loaded, &alive);
    let client = context::client(global, loaded);
    let details = url_below(operations, &["readyz"], &[("verbose", String::new())]);
    let mut details = plain.get(details);
    if let (None, Ok(client)) = (&apart, &client) {
        details = client.authorise(details);
    }
    if let Ok(ready) = details.send().await {
        let text = ready.text().await.unwrap_or_default();
        for line in text.lines().filter_map(|line| line.strip_prefix('[')) {
            let (state, rest) = line.split_once("] ").unwrap_or((" ", line));
            found.add("ready", if state == "-" { Grade::Bad } else { Grade::Good }, rest);
        }
    }
    let mut metrics = plain.get(url_below(operations, &["metrics"], &[]));
    if let (None, Ok(client)) = (&apart, &client) {
        metrics = client.authorise(metrics);
    }
    if let Ok(response) = metrics.send().await {
        check_records_let_go(found, &response.text().await.unwrap_or_default());
    }
    check_tokens(found, loaded, base, &plain).await;
    match client {
        Err(error) => found.add("admin key", Grade::Bad, format!("{error:#}")),
        Ok(client) => check_records(found, &client).await,
    }
    Ok(())
}

/// Records of what was asked and refused that are not kept, since the server started: too many came, or a budget was full.
fn check_records_let_go(found: &mut Findings, metrics: &str) {
    for line in metrics.lines() {
        let Some((name, count)) = line.rsplit_once(' ') else { continue };
        let Some(count) = count.parse::<f64>().ok().filter(|count| *count > 0.0) else { continue };
        let what = match name.split_once('{').unwrap_or((name, "")) {
            ("rollcall_decisions_dropped_total", _) => "decisions were not kept, as too many came at once".to_owned(),
            ("rollcall_records_let_go_total", labels) => {
                let kind = labels.split('"').nth(1).unwrap_or_default().replace('_', " ");
                format!("older records ({kind}) made room for newer ones, as a budget was full")
            }
            _ => continue,
        };
        found.add("records", Grade::Odd, format!("{count} {what}"));
    }
}

/// The server's clock against this machine's.
fn check_clock(found: &mut Findings, loaded: &Loaded, response: &reqwest::Response) {
    let theirs = response.headers().get("date").and_then(|date| date.to_str().ok());
    let Some(theirs) = theirs.and_then(|date| DateTime::parse_from_rfc2822(date).ok()) else { return };
    // The header has whole seconds.
    let off =
        (SystemClock.now() - theirs.to_utc()).abs().to_std().unwrap_or_default().saturating_sub(Duration::from_secs(1));
    let grade = if off <= loaded.config.token.max_clock_skew.0 { Grade::Good } else { Grade::Bad };
    found.add("clock", grade, format!("the server's differs from this machine's by about {} s", off.as_secs()));
}

/// A token for nobody and the keys that it would be checked with.
async fn check_tokens(found: &mut Findings, loaded: &Loaded, base: &Url, plain: &reqwest::Client) {
    let query = [("service", loaded.config.token.service.clone())];
    match plain.get(url_below(base, &["token"], &query)).send().await {
        Ok(response) if [200, 401].contains(&response.status().as_u16()) => {
            found.add("tokens", Grade::Good, format!("service {} is served", loaded.config.token.service));
        }
        Ok(response) => {
            let status = response.status();
            let text = response.text().await.unwrap_or_default();
            found.add("tokens", Grade::Bad, format!("/token answers {status}: {text}"));
        }
        Err(error) => found.add("tokens", Grade::Bad, format!("/token: {error}")),
    }
    let jwks = match plain.get(url_below(base, &[".well-known", "jwks.json"], &[])).send().await {
        Ok(response) => response.json::<Value>().await.unwrap_or_default(),
        Err(_) => Value::Null,
    };
    match jwks.get("keys").and_then(Value::as_array).map_or(0, Vec::len) {
        0 => found.add("keys", Grade::Bad, "no key is published"),
        some => found.add("keys", Grade::Good, format!("{some} published")),
    }
}

/// What is configured and not in effect.
async fn check_configuration(found: &mut Findings, client: &Client) {
    let waiting = client.items::<SettingShown>(&["api", "v1", "configuration"]).await;
    let waiting = waiting.map(|waiting| waiting.value).unwrap_or_default();
    for SettingShown { setting, in_force, configured } in &waiting {
        let said = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
        let what = format!("{setting}: {} is configured, and {} is in effect", said(configured), said(in_force));
        found.add("configuration", Grade::Bad, what);
    }
    if !waiting.is_empty() {
        let what =
            "it would change somebody's access: look at it with `rollcall config plan`, then apply it or take it back";
        found.add("configuration", Grade::Bad, what);
    }
}

/// What waits for somebody.
async fn check_records(found: &mut Findings, client: &Client) {
    match client.get::<SignedHead>(&["api", "v1", "log", "head"], &[]).await {
        Err(failure) => return found.add("admin key", Grade::Bad, failure.to_string()),
        Ok(head) => {
            let position = head.value.position;
            found.add("admin key", Grade::Good, format!("good; the log is at position {position}"));
        }
    }
    check_configuration(found, client).await;
    check_problems(found, client).await;
    let authorities = client.items::<SigningAuthority>(&["api", "v1", "keys", "authorities"]).await;
    for authority in authorities.map(|authorities| authorities.value).unwrap_or_default() {
        let SigningAuthority { name, role, not_after, takeover } = authority;
        match role.as_str() {
            "certifies" => found.add("authority", Grade::Good, format!("{name} certifies, until {not_after}")),
            "next" => {
                let what =
                    "is in the bundle and certifies from then on: by then every registry needs `rollcall keys bundle`";
                found.add("authority", Grade::Odd, format!("{takeover}: {name} {what}"));
            }
            _ => {}
        }
    }
    // What is in quarantine still is among the problems.
    let query = [("verdict", "rejected".to_owned())];
    let rejected = client.all_pages::<DeliveryShown>(&["api", "v1", "deliveries"], &query, 100).await;
    let rejected = rejected.map_or(0, |rejected| rejected.value.len());
    if rejected > 0 {
        let text = format!("{rejected} of those that are kept were rejected: rollcall deliveries list --failed");
        found.add("deliveries", Grade::Odd, text);
    }
}

/// How many problems of a kind are told one by one, and how many are looked at.
const MAX_SHOWN: usize = 3;
const MAX_PROBLEMS: usize = 1_000;

/// What was said and is not in effect.
async fn check_problems(found: &mut Findings, client: &Client) {
    let problems = match client.all_pages::<ProblemShown>(&["api", "v1", "problems"], &[], MAX_PROBLEMS).await {
        Err(failure) => return found.add("problems", Grade::Bad, failure.to_string()),
        Ok(problems) => problems.value,
    };
    if problems.is_empty() {
        return found.add("problems", Grade::Good, "none: everything that was said is in effect");
    }
    // What is configured and waits was told with what is configured.
    for kind in ProblemKind::ALL.iter().filter(|kind| **kind != ProblemKind::Configuration) {
        let of_kind: Vec<&ProblemShown> = problems.iter().filter(|problem| problem.kind == *kind).collect();
        for ProblemShown { source, subject, why, remedy, .. } in of_kind.iter().take(MAX_SHOWN) {
            found.add("problems", Grade::Odd, format!("{}: {source} {subject}: {why}; to do: {remedy}", kind.as_str()));
        }
        if of_kind.len() > MAX_SHOWN {
            let more = group_digits((of_kind.len() - MAX_SHOWN) as u64);
            let list = format!("{more} more: rollcall problems --kind {}", kind.as_str());
            found.add("problems", Grade::Odd, format!("{}: {list}", kind.as_str()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_are_not_kept_are_told_with_their_number() {
        let mut found = Findings::default();
        let metrics = "# TYPE rollcall_decisions_dropped_total counter\nrollcall_decisions_dropped_total 12\n\
                       rollcall_records_let_go_total{kind=\"refused_sign_in\"} 7\nrollcall_problems{kind=\"parked\"} 3\n\
                       rollcall_records_let_go_total{kind=\"decision\"} 0\n";
        check_records_let_go(&mut found, metrics);
        let told: Vec<_> = found.0.iter().map(|finding| finding.text.as_str()).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].starts_with("12 decisions were not kept") && told[1].contains("7 older records (refused sign in)")
        );
    }
}
