//! One function per command that asks a running server. Says what the API says, in a form that people read.
//! Decides nothing and opens no database.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    cli::{
        args::{Deliveries, Events, Keys, Projection, SecretFormat, Secrets},
        explanation,
        output::{Paint, cell, clean, members, number, say, say_json, shell_word},
    },
    client::{Client, Exit, Failure},
};

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text(Paint),
    /// For programs.
    Json,
}

impl Form {
    /// Prints the answer as it came, or as `text` makes it.
    pub fn show(self, answer: &Value, text: impl FnOnce(Paint) -> String) {
        match self {
            Self::Json => say_json(answer),
            Self::Text(paint) => say(&text(paint)),
        }
    }
}

/// How long one question for new events waits: shorter than a server lets requests finish that are under way.
const FOLLOW: Duration = Duration::from_secs(5);

const API: [&str; 2] = ["api", "v1"];

/// The path of a route of the API.
pub fn api<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    API.iter().chain(rest).copied().collect()
}

/// The members that were said.
pub fn body<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let said = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(said.collect::<Map<_, _>>())
}

/// A text that may be said.
pub fn text(value: &Option<String>) -> Option<Value> {
    value.as_ref().map(|text| json!(text))
}

/// `why`.
///
/// # Errors
/// As [`Failure`].
pub async fn why(
    client: &Client,
    form: Form,
    (user, action, scope): (&str, &str, &str),
    as_of: Option<&str>,
    effective: bool,
) -> Result<Exit, Failure> {
    let said = |text: &str| Some(json!(text));
    // As `bindings` has it, where a bare word is a project: one that is called root is project:root.
    let (folder, project, repository) = match (scope, scope.strip_prefix("folder:")) {
        ("root", _) => (None, None, None),
        (_, Some(id)) => (said(id), None, None),
        (image, None) => {
            let image = image.strip_prefix("project:").unwrap_or(image);
            let (project, rest) = image.split_once('/').map_or((image, None), |(project, rest)| (project, Some(rest)));
            (None, said(project), rest.and_then(said))
        }
    };
    let basis = if effective { "effective" } else { "recorded" };
    let body = body([
        ("user", said(user)),
        ("action", said(action)),
        ("folder", folder),
        ("project", project),
        ("repository", repository),
        ("as_of", as_of.and_then(said)),
        ("basis", as_of.and_then(|_| said(basis))),
    ]);
    let answer = client.post(&api(&["explain"]), &body).await?;
    form.show(&answer, |paint| explanation::tree(paint, &answer, scope));
    let allowed = answer.get("allowed").and_then(Value::as_bool).unwrap_or_default();
    Ok(if allowed { Exit::Yes } else { Exit::No })
}

/// `events`.
///
/// # Errors
/// As [`Failure`].
pub async fn events(client: &Client, form: Form, command: &Events) -> Result<Exit, Failure> {
    const SHOWN: usize = 20;
    let Events::Tail { kind, source, subject, correlation, follow, after } = command;
    let filters = [("type", kind), ("source", source), ("subject", subject), ("correlation", correlation)];
    let query: Vec<(&str, String)> =
        filters.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect();
    let head = client.get(&api(&["log", "head"]), &[]).await?;
    let head = head.get("position").and_then(Value::as_u64).unwrap_or_default();
    // Without a filter the last ones are near the head; with one they may be anywhere.
    let start = after.unwrap_or(if query.is_empty() { head.saturating_sub(SHOWN as u64) } else { 0 });
    let mut from = query.clone();
    from.push(("after", start.to_string()));
    let found = client.list(&api(&["events"]), &from, usize::MAX).await?;
    let skipped = if after.is_some() { 0 } else { found.len().saturating_sub(SHOWN) };
    found.iter().skip(skipped).for_each(|event| print_event(form, event));
    let mut seen = found.last().and_then(|event| event.get("position")).and_then(Value::as_u64).unwrap_or(0).max(head);
    if !*follow {
        return Ok(Exit::Yes);
    }
    loop {
        if let Some((found, reached)) = client.events_after(seen, &query, FOLLOW).await? {
            found.iter().for_each(|event| print_event(form, event));
            seen = reached.max(seen);
        }
    }
}

fn print_event(form: Form, event: &Value) {
    match form {
        Form::Json => say(&format!("{event}\n")),
        Form::Text(paint) => {
            let effect = cell(event, "effect");
            let effect = match effect.as_str() {
                "applied" => paint.good(&effect),
                "refused" | "parked" => paint.bad(&effect),
                _ => paint.dim(&effect),
            };
            let position = event.get("position").and_then(Value::as_u64).unwrap_or_default();
            let kind = cell(event, "type");
            let kind = kind.trim_start_matches("rollcall.").trim_end_matches(".v1");
            say(&format!(
                "{:>8}  {}  {:<12}  {:<28}  {:<36}  {effect}\n",
                number(position),
                paint.dim(&cell(event, "recorded_at")),
                cell(event, "source"),
                kind,
                cell(event, "subject"),
            ));
        }
    }
}

/// `deliveries`.
///
/// # Errors
/// As [`Failure`].
pub async fn deliveries(client: &Client, form: Form, command: &Deliveries) -> Result<Exit, Failure> {
    match command {
        Deliveries::List { source, failed, limit } => {
            let mut query = Vec::new();
            query.extend(source.clone().map(|source| ("source", source)));
            if *failed {
                query.push(("verdict", "failed".to_owned()));
            }
            let most = usize::try_from(*limit).unwrap_or(usize::MAX);
            let rows = client.list(&api(&["deliveries"]), &query, most).await?;
            let columns = [
                ("DELIVERY", "id"),
                ("RECEIVED", "received_at"),
                ("SOURCE", "source"),
                ("VERDICT", "verdict"),
                ("BYTES", "bytes"),
                ("REASON", "reason"),
            ];
            form.show(&Value::Array(rows.clone()), |paint| members(paint, &columns, &rows));
        }
        Deliveries::Show { id } => {
            let delivery = client.get(&api(&["deliveries", id]), &[]).await?;
            form.show(&delivery, |paint| delivery_text(paint, &delivery));
        }
        Deliveries::Replay { id } => {
            let delivery = client.post(&api(&["deliveries", id, "replay"]), &json!({})).await?;
            form.show(&delivery, |paint| delivery_text(paint, &delivery));
        }
    }
    Ok(Exit::Yes)
}

/// A delivery in full, or what a replay of it came to.
fn delivery_text(paint: Paint, delivery: &Value) -> String {
    let rows = |key: &str| delivery.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let (parts, events) = (rows("parts"), rows("events"));
    if delivery.get("verdict").is_none() {
        let columns = [
            ("EVENT", "id"),
            ("OUTCOME", "outcome"),
            ("POSITION", "position"),
            ("EFFECT", "effect"),
            ("REASON", "reason"),
        ];
        return format!("{}quarantined: {}\n", members(paint, &columns, &events), cell(delivery, "quarantined"));
    }
    let mut out = format!(
        "{}  {}  {}\nsource {}, received {}, {} bytes, from {}\n",
        paint.bold(&cell(delivery, "id")),
        cell(delivery, "verdict"),
        cell(delivery, "reason"),
        cell(delivery, "source"),
        cell(delivery, "received_at"),
        cell(delivery, "bytes"),
        cell(delivery, "client"),
    );
    let columns = [
        ("PART", "id"),
        ("OUTCOME", "outcome"),
        ("POSITION", "position"),
        ("EFFECT", "effect"),
        ("REASON", "reason"),
        ("PROBLEM", "problem.type"),
        ("AT", "problem.pointer"),
        ("DETAIL", "problem.detail"),
    ];
    if !parts.is_empty() {
        out.push_str(&format!("\n{}", members(paint, &columns, &parts)));
    }
    for replay in rows("replays") {
        out.push_str(&format!("replayed {}, was {} before\n", cell(&replay, "at"), cell(&replay, "was")));
    }
    out.push('\n');
    for header in rows("headers") {
        out.push_str(&format!("{}: {}\n", paint.dim(&cell(&header, "0")), cell(&header, "1")));
    }
    out.push_str(&format!("\n{}{}\n", cell(delivery, "body.text"), cell(delivery, "body.base64")));
    out
}

/// `secrets`.
///
/// # Errors
/// As [`Failure`].
pub async fn secrets(client: &Client, form: Form, command: &Secrets) -> Result<Exit, Failure> {
    match command {
        Secrets::Issue { user, label, expires, format, registry } => {
            let body = body([("label", text(label)), ("expires", text(expires))]);
            let issued = client.post(&api(&["users", user, "secrets"]), &body).await?;
            let host = client.base().split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
            let registry = registry.as_deref().unwrap_or(host);
            form.show(&issued, |_| pull_secret(*format, registry, &cell(&issued, "user"), &cell(&issued, "secret")));
        }
        Secrets::List { user } => {
            let rows = client.whole(&api(&["users", user, "secrets"])).await?;
            let columns = [
                ("SECRET", "id"),
                ("LABEL", "label"),
                ("ISSUED", "issued_at"),
                ("EXPIRES", "expires"),
                ("INVITATION", "invitation"),
            ];
            form.show(&Value::Array(rows.clone()), |paint| members(paint, &columns, &rows));
        }
        Secrets::Revoke { user, id } => {
            let done = client.delete(&api(&["users", user, "secrets", id])).await?;
            form.show(&done, |_| format!("{} is over; it signs nobody in from now on\n", clean(id)));
        }
        Secrets::Invite { user } => {
            let made = client.post(&api(&["users", user, "invitations"]), &json!({})).await?;
            let address = format!("{}{}", client.base(), cell(&made, "path"));
            form.show(&made, |_| {
                format!(
                    "{}\nRedeem it once, until {}:\n  curl -X POST -H 'content-type: application/json' -d '{{}}' {}\n",
                    cell(&made, "code"),
                    cell(&made, "expires"),
                    shell_word(&address)
                )
            });
        }
    }
    Ok(Exit::Yes)
}

/// A secret in the form that a client takes it in.
fn pull_secret(format: SecretFormat, registry: &str, user: &str, secret: &str) -> String {
    let auth = BASE64_STANDARD.encode(format!("{user}:{secret}"));
    let config = json!({"auths": {registry: {"auth": auth}}});
    match format {
        SecretFormat::Plain => format!("{secret}\n"),
        SecretFormat::DockerConfig => format!("{config:#}\n"),
        SecretFormat::K8s => format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: rollcall-pull\ntype: kubernetes.io/dockerconfigjson\ndata:\n  .dockerconfigjson: {}\n",
            BASE64_STANDARD.encode(config.to_string())
        ),
        SecretFormat::Helm => format!(
            "printf %s {} | helm registry login {} --username {} --password-stdin\n",
            shell_word(secret),
            shell_word(registry),
            shell_word(user)
        ),
    }
}

/// `keys`.
///
/// # Errors
/// As [`Failure`].
pub async fn keys(client: &Client, form: Form, command: &Keys) -> Result<Exit, Failure> {
    match command {
        Keys::List => {
            let rows = client.whole(&api(&["keys"])).await?;
            let columns = [
                ("KEY", "kid"),
                ("ALGORITHM", "algorithm"),
                ("SIGNS", "current"),
                ("FROM", "not_before"),
                ("UNTIL", "not_after"),
            ];
            form.show(&Value::Array(rows.clone()), |paint| members(paint, &columns, &rows));
        }
        Keys::Rotate => {
            let key = client.post(&api(&["keys", "rotate"]), &json!({})).await?;
            form.show(&key, |_| {
                format!("{} signs from now on; registries that hold the bundle need nothing\n", cell(&key, "kid"))
            });
        }
        Keys::Bundle => say(&bundle(client).await?),
    }
    Ok(Exit::Yes)
}

/// The certificates for a registry, PEM.
///
/// # Errors
/// As [`Failure`].
pub async fn bundle(client: &Client) -> Result<String, Failure> {
    client.text(&api(&["keys", "bundle"]), &[]).await
}

/// `projection`.
///
/// # Errors
/// As [`Failure`].
pub async fn projection(client: &Client, form: Form, command: &Projection) -> Result<Exit, Failure> {
    let rows = client.whole(&api(&["projections"])).await?;
    let verb = match command {
        Projection::Status => {
            let columns = [
                ("PROJECTION", "name"),
                ("STATE", "state"),
                ("POSITION", "position"),
                ("HEAD", "head"),
                ("LAG S", "lag_seconds"),
                ("PARKED", "parked"),
            ];
            form.show(&Value::Array(rows.clone()), |paint| members(paint, &columns, &rows));
            return Ok(Exit::Yes);
        }
        Projection::Check => "check",
        Projection::Rebuild => "rebuild",
    };
    let mut exit = Exit::Yes;
    let mut results = Vec::new();
    for name in rows.iter().map(|row| cell(row, "name")) {
        let checked = client.post(&api(&["projections", &name, verb]), &json!({})).await?;
        let same = checked.get("same").and_then(Value::as_bool).unwrap_or_default();
        if !same {
            exit = Exit::No;
        }
        if let Form::Text(paint) = form {
            let position = checked.get("position").and_then(Value::as_u64).unwrap_or_default();
            let verdict = if same { paint.good("same") } else { paint.bad("DIFFERENT") };
            let swapped = if verb == "rebuild" { ", swapped" } else { "" };
            say(&format!(
                "{name}: {verdict} at position {}{swapped}\n  live      {}\n  replayed  {}\n",
                number(position),
                cell(&checked, "live"),
                cell(&checked, "replayed")
            ));
        }
        results.push(checked);
    }
    if form == Form::Json {
        say_json(&Value::Array(results));
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_secret_can_be_pasted_in_every_form() {
        let (registry, user, secret) = ("r.test:5000", "ada@globex.test", "rcs_x");
        assert_eq!(pull_secret(SecretFormat::Plain, registry, user, secret), "rcs_x\n");
        let config: Value =
            serde_json::from_str(&pull_secret(SecretFormat::DockerConfig, registry, user, secret)).unwrap();
        let auth = config["auths"][registry]["auth"].as_str().unwrap();
        assert_eq!(BASE64_STANDARD.decode(auth).unwrap(), b"ada@globex.test:rcs_x");
        let k8s = pull_secret(SecretFormat::K8s, registry, user, secret);
        let encoded = k8s.trim().rsplit(' ').next().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&BASE64_STANDARD.decode(encoded).unwrap()).unwrap(), config);
        assert_eq!(
            pull_secret(SecretFormat::Helm, registry, "a b", secret),
            "printf %s rcs_x | helm registry login r.test:5000 --username 'a b' --password-stdin\n"
        );
    }
}
