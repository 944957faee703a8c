//! `preview`: what would change if the server were started anew with another configuration, and how such a difference is
//! printed.

use std::{collections::BTreeMap, path::Path};

use rollcall_access::NamedScope;
use rollcall_app::access::preview::{PreviewChange, PreviewChanges, Previewed};
use rollcall_events::Settings;

use crate::{
    cli::{
        output::{ColorMode, OutputFormat, cell, escape_controls},
        remote::request::api_path,
    },
    client::{Client, Exit, Failure},
    config::{load::Loaded, origin::Origin, profile::load_profile},
    values::{SwitchValue, read_text},
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
    let mut model = loaded.profile.clone();
    if let Some(profile) = profile {
        profile.clone_into(&mut access.profile);
        let read = |path: &Path| read_text(path);
        let problem = |what| Failure::Usage(format!("--profile: {what}"));
        model = load_profile(&access, &Origin::Flag("--profile".to_owned()), &read).map_err(problem)?;
        for (name, SwitchValue(value)) in &access.switches {
            let origin = loaded.origins.of(&format!("access.switches.{name}"));
            model.switch_value(name, value).map_err(|what| Failure::Usage(format!("{origin}: {what}")))?;
        }
    }
    for (name, value) in set {
        let (name, value) =
            model.switch_value(name, value).map_err(|what| Failure::Usage(format!("--set {name}={value}: {what}")))?;
        access.switches.insert(name.to_owned(), SwitchValue(value.to_owned()));
    }
    let said = access.settings(BTreeMap::new());
    let switches = model.document().settings.iter();
    let switches =
        switches.map(|(name, switch)| (name.clone(), said.switches.get(name).unwrap_or(&switch.default).clone()));
    let settings = Settings { switches: switches.collect(), ..said.clone() };
    let document = serde_json::value::to_raw_value(model.document()).map_err(anyhow::Error::from)?;
    let changes = vec![PreviewChange::Profile(document), PreviewChange::Settings(settings.into())];
    let answer = client.post::<Previewed>(&api_path(&["preview"]), &PreviewChanges { changes }).await?;
    format.print(&answer.json, |paint| difference_text(paint, &answer.value));
    let Previewed { memberships, actions, .. } = &answer.value;
    Ok(if memberships.total > 0 || actions.total > 0 { Exit::No } else { Exit::Yes })
}

/// `project acme`, `folder emea`, `root`.
pub fn scope_text(scope: &NamedScope) -> String {
    match scope {
        NamedScope::Root => "root".to_owned(),
        NamedScope::Folder(id) => format!("folder {}", escape_controls(id)),
        NamedScope::Project(name) => format!("project {}", escape_controls(name)),
    }
}

/// What would appear and disappear.
pub fn difference_text(paint: ColorMode, previewed: &Previewed) -> String {
    let Previewed { memberships, actions, .. } = previewed;
    if memberships.total == 0 && actions.total == 0 {
        // Roles of the API's own give nothing there, and the rows above name them.
        return "nobody gains or loses anything in the registry\n".to_owned();
    }
    let mut out = format!("{} memberships and the actions of {} change:\n", memberships.total, actions.total);
    for row in memberships.rows.iter().take(MAX_PRINTED_ROWS) {
        let sign = if row.appears { paint.good("+") } else { paint.bad("-") };
        out.push_str(&format!("  {sign} {}  {}  {}\n", scope_text(&row.scope), cell(&row.name), cell(&row.role)));
    }
    for row in actions.rows.iter().take(MAX_PRINTED_ROWS) {
        let list = |actions: &[String], sign: &str| -> String {
            actions.iter().map(|action| format!(" {sign}{}", escape_controls(action))).collect()
        };
        out.push_str(&format!(
            "    {}  {} {}{}\n",
            scope_text(&row.scope),
            cell(&row.name),
            paint.good(&list(&row.appear, "+")),
            paint.bad(&list(&row.disappear, "-"))
        ));
    }
    if memberships.total + actions.total > 2 * MAX_PRINTED_ROWS {
        out.push_str("  and more; --json has them\n");
    }
    out
}
