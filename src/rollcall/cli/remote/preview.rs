//! `preview`: what would change if the server were started anew with another configuration, and how such a difference is
//! printed.

use std::path::Path;

use rollcall_access::Profile;
use serde_json::{Map, Value, json};

use crate::{
    cli::{
        output::{OutputFormat, Paint, field_text},
        remote::request::api_path,
    },
    client::{Client, Exit, Failure},
    config::{load::Loaded, origin::Origin, profile::load_profile},
};

/// How many rows of each kind are printed for people.
const MAX_PRINTED_ROWS: usize = 200;

/// `preview`: what would change if the server were started anew with this configuration.
///
/// # Errors
/// As [`Failure`].
pub async fn run(
    client: &Client,
    format: OutputFormat,
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
                list_switches(&profile)
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
    let answer = client
        .post(&api_path(&["preview"]), &json!({"changes": [{"profile": document}, {"settings": settings}]}))
        .await?;
    format.print(&answer, |paint| difference_text(paint, &answer));
    Ok(exit_of(&answer))
}

fn list_switches(profile: &Profile) -> String {
    let switches = &profile.document().settings;
    let names: Vec<String> =
        switches.iter().map(|(name, switch)| format!("{name} ({})", switch.values.join(", "))).collect();
    if names.is_empty() { "none".to_owned() } else { names.join("; ") }
}

pub fn rows<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn exit_of(answer: &Value) -> Exit {
    let any = |key: &str| answer.pointer(&format!("/{key}/total")).and_then(Value::as_u64).unwrap_or_default() > 0;
    if any("memberships") || any("actions") { Exit::No } else { Exit::Yes }
}

/// `project acme`, `folder emea`, `root`.
pub fn scope_text(row: &Value) -> String {
    match row.get("scope") {
        Some(Value::Object(one)) => {
            one.iter().map(|(kind, name)| format!("{kind} {}", name.as_str().unwrap_or_default())).collect()
        }
        _ => "root".to_owned(),
    }
}

/// What would appear and disappear.
pub fn difference_text(paint: Paint, answer: &Value) -> String {
    let total = |key: &str| answer.pointer(&format!("/{key}/total")).and_then(Value::as_u64).unwrap_or_default();
    let (memberships, actions) = (total("memberships"), total("actions"));
    if memberships == 0 && actions == 0 {
        // Roles of the API's own give nothing there, and the rows above name them.
        return "nobody gains or loses anything in the registry\n".to_owned();
    }
    let mut out = format!("{} memberships and the actions of {} change:\n", memberships, actions);
    let list =
        |key: &str| answer.pointer(&format!("/{key}/rows")).and_then(Value::as_array).cloned().unwrap_or_default();
    for row in list("memberships").iter().take(MAX_PRINTED_ROWS) {
        let sign = if row.get("appears") == Some(&Value::Bool(true)) { paint.good("+") } else { paint.bad("-") };
        out.push_str(&format!(
            "  {sign} {}  {}  {}\n",
            scope_text(row),
            field_text(row, "name"),
            field_text(row, "role")
        ));
    }
    for row in list("actions").iter().take(MAX_PRINTED_ROWS) {
        let list = |key: &str, sign: &str| -> String {
            rows(row, key).iter().filter_map(Value::as_str).map(|action| format!(" {sign}{action}")).collect()
        };
        out.push_str(&format!(
            "    {}  {} {}{}\n",
            scope_text(row),
            field_text(row, "name"),
            paint.good(&list("appear", "+")),
            paint.bad(&list("disappear", "-"))
        ));
    }
    let left = (memberships + actions).saturating_sub(2 * MAX_PRINTED_ROWS as u64);
    if left > 0 {
        out.push_str("  and more; --json has them\n");
    }
    out
}
