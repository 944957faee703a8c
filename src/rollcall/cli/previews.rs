//! `preview`, `bindings plan` and `bindings apply`: what a change would do, asked of a running server before it is made.
//! Reads the documents and prints the differences; decides nothing.

use std::{io::IsTerminal as _, path::Path};

use rollcall_access::Profile;
use serde_json::{Map, Value, json};

use crate::{
    cli::{
        commands::{Form, api},
        document::Written,
        output::{Paint, cell, say},
    },
    client::{Client, Exit, Failure},
    config::{load::Loaded, origin::Origin, profile::load_profile},
};

/// How many rows of each kind are printed for people.
const SHOWN: usize = 200;

/// `preview`: what would change if the server were started anew with this configuration.
///
/// # Errors
/// As [`Failure`].
pub async fn preview(
    client: &Client,
    form: Form,
    loaded: &Loaded,
    profile: Option<&str>,
    set: &[(String, String)],
) -> Result<Exit, Failure> {
    let mut access = loaded.config.access.clone();
    let mut origin = loaded.origins.of("access.profile");
    if let Some(profile) = profile {
        profile.clone_into(&mut access.profile);
        origin = Origin::Flag("--profile".to_owned());
    }
    access.switches.extend(set.iter().cloned());
    let read = |path: &Path| std::fs::read_to_string(path);
    let profile = load_profile(&access, &origin, &read).map_err(Failure::Usage)?;
    for (name, value) in &access.switches {
        let known = profile.document().settings.get(name);
        if !known.is_some_and(|switch| switch.values.contains(value)) {
            return Err(Failure::Usage(format!(
                "profile {} has no switch `{name}` that can be `{value}`; it has {}",
                profile.name(),
                switches_of(&profile)
            )));
        }
    }
    let switches: Map<String, Value> = profile
        .document()
        .settings
        .iter()
        .map(|(name, switch)| (name.clone(), access.switches.get(name).unwrap_or(&switch.default).as_str().into()))
        .collect();
    let document = serde_json::to_value(profile.document()).map_err(anyhow::Error::from)?;
    let settings = json!({
        "producer_role": access.producer_role, "consumer_role": access.consumer_role,
        "customer_sub_accounts": access.customer_sub_accounts,
        "customers_see_each_other": access.customers_see_each_other,
        "bindings_on_managed": access.bindings_on_managed, "reserved_names": access.reserved_names, "switches": switches,
    });
    let answer =
        client.post(&api(&["preview"]), &json!({"changes": [{"profile": document}, {"settings": settings}]})).await?;
    form.show(&answer, |paint| difference(paint, &answer));
    Ok(changed(&answer))
}

fn switches_of(profile: &Profile) -> String {
    let switches = &profile.document().settings;
    let names: Vec<String> =
        switches.iter().map(|(name, switch)| format!("{name} ({})", switch.values.join(", "))).collect();
    if names.is_empty() { "none".to_owned() } else { names.join("; ") }
}

/// `bindings plan`.
///
/// # Errors
/// As [`Failure`].
pub async fn plan(client: &Client, form: Form, file: &Path) -> Result<Exit, Failure> {
    let written = Written::read(file)?;
    let answer = client.post_written(&api(&["bindings", "plan"]), &written, None).await?;
    form.show(&answer, |paint| planned(paint, &answer, &written));
    Ok(if rows(&answer, "rows").is_empty() { Exit::Yes } else { Exit::No })
}

/// `bindings apply`: what it does is what it showed, or nothing.
///
/// # Errors
/// As [`Failure`].
pub async fn apply(client: &Client, form: Form, file: &Path, yes: bool) -> Result<Exit, Failure> {
    let written = Written::read(file)?;
    let answer = client.post_written(&api(&["bindings", "plan"]), &written, None).await?;
    if let Form::Text(paint) = form {
        say(&planned(paint, &answer, &written));
    }
    if rows(&answer, "rows").is_empty() {
        if form == Form::Json {
            form.show(&answer, |_| String::new());
        }
        return Ok(Exit::Yes);
    }
    if !yes && !agreed()? {
        return Err(Failure::Refused("nothing was changed".to_owned()));
    }
    let plan = format!("\"{}\"", cell(&answer, "plan"));
    let done = client.post_written(&api(&["bindings", "apply"]), &written, Some(&plan)).await?;
    form.show(&done, |paint| format!("{} recorded\n", paint.good(&rows(&done, "positions").len().to_string())));
    Ok(Exit::Yes)
}

/// Asks on the terminal; without one the answer has to be given beforehand.
fn agreed() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("say --yes to apply this without being asked; nothing was changed".to_owned()));
    }
    say("Apply this? [y/N] ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(anyhow::Error::from)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn rows<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn changed(answer: &Value) -> Exit {
    let any = |key: &str| answer.pointer(&format!("/{key}/total")).and_then(Value::as_u64).unwrap_or_default() > 0;
    if any("memberships") || any("actions") { Exit::No } else { Exit::Yes }
}

/// `project acme`, `folder emea`, `root`.
fn scope(row: &Value) -> String {
    match row.get("scope") {
        Some(Value::Object(one)) => {
            one.iter().map(|(kind, name)| format!("{kind} {}", name.as_str().unwrap_or_default())).collect()
        }
        _ => "root".to_owned(),
    }
}

/// A user by name; a group and a service with their kind.
fn who(row: &Value) -> String {
    let principal = cell(row, "principal");
    if principal.starts_with("user:") { cell(row, "name") } else { principal }
}

/// The rows of a plan, by scope, and what they would change.
fn planned(paint: Paint, answer: &Value, written: &Written) -> String {
    let rows = rows(answer, "rows");
    if rows.is_empty() {
        return "nothing to do: everything is so already\n".to_owned();
    }
    let mut out = String::new();
    let mut last = String::new();
    let mut sorted: Vec<&Value> = rows.iter().collect();
    sorted.sort_by_key(|row| scope(row));
    for row in sorted {
        let here = scope(row);
        if here != last {
            out.push_str(&format!("{}\n", paint.bold(&here)));
            last = here;
        }
        let sign = match cell(row, "change").as_str() {
            "add" => paint.good("+"),
            "change" => paint.bold("~"),
            _ => paint.bad("-"),
        };
        let window = match (cell(row, "starts"), cell(row, "ends")) {
            (starts, ends) if starts.is_empty() && ends.is_empty() => String::new(),
            (starts, ends) => format!("  [{starts}, {ends})"),
        };
        let refused = match cell(row, "refused") {
            why if why.is_empty() => String::new(),
            why => {
                let at = match cell(row, "pointer") {
                    pointer if pointer.is_empty() => String::new(),
                    pointer => format!("{}: ", written.place(&pointer)),
                };
                format!("   {} {at}{why}", paint.bad("refused:"))
            }
        };
        out.push_str(&format!("  {sign} {} {}{window}{refused}\n", cell(row, "role"), who(row)));
    }
    out.push_str(&difference(paint, answer));
    out
}

/// What would appear and disappear.
fn difference(paint: Paint, answer: &Value) -> String {
    let total = |key: &str| answer.pointer(&format!("/{key}/total")).and_then(Value::as_u64).unwrap_or_default();
    let (memberships, actions) = (total("memberships"), total("actions"));
    if memberships == 0 && actions == 0 {
        // Roles of the API's own give nothing there, and the rows above name them.
        return "nobody gains or loses anything in the registry\n".to_owned();
    }
    let mut out = format!("{} memberships and the actions of {} change:\n", memberships, actions);
    let told =
        |key: &str| answer.pointer(&format!("/{key}/rows")).and_then(Value::as_array).cloned().unwrap_or_default();
    for row in told("memberships").iter().take(SHOWN) {
        let sign = if row.get("appears") == Some(&Value::Bool(true)) { paint.good("+") } else { paint.bad("-") };
        out.push_str(&format!("  {sign} {}  {}  {}\n", scope(row), cell(row, "name"), cell(row, "role")));
    }
    for row in told("actions").iter().take(SHOWN) {
        let list = |key: &str, sign: &str| -> String {
            rows(row, key).iter().filter_map(Value::as_str).map(|action| format!(" {sign}{action}")).collect()
        };
        out.push_str(&format!(
            "    {}  {} {}{}\n",
            scope(row),
            cell(row, "name"),
            paint.good(&list("appear", "+")),
            paint.bad(&list("disappear", "-"))
        ));
    }
    let left = (memberships + actions).saturating_sub(2 * SHOWN as u64);
    if left > 0 {
        out.push_str("  and more; --json has them\n");
    }
    out
}
