//! `config plan` and `config apply`: what of the server's configuration is not in effect, whose access it would change, and
//! making it so.

use std::io::IsTerminal as _;

use rollcall_app::operations::configuration::{
    AccessRowShown, ConfigurationApplied, ConfigurationConfirmation, ConfigurationPlanShown,
};
use serde_json::Value;

use crate::{
    cli::{
        output::{ColorMode, OutputFormat, cell, escape_controls, group_digits, print},
        remote::{preview::scope_text, request::api_path},
    },
    client::{Client, Exit, Failure, Reply},
};

/// How many rows are printed for people.
pub(super) const MAX_PRINTED_ROWS: usize = 200;

/// A plan, and whom it would change.
struct Planned {
    plan: ConfigurationPlanShown,
    rows: Vec<AccessRowShown>,
    json: Value,
}

/// `config plan`.
///
/// # Errors
/// As [`Failure`].
pub async fn plan(client: &Client, format: OutputFormat) -> Result<Exit, Failure> {
    let planned = ask(client, format).await?;
    format.print(&planned.json, |paint| plan_text(paint, &planned));
    Ok(if planned.plan.settings.is_empty() { Exit::Yes } else { Exit::No })
}

/// `config apply`: what it does is what it showed, or nothing.
///
/// # Errors
/// As [`Failure`].
pub async fn apply(client: &Client, format: OutputFormat, confirm: Option<&str>) -> Result<Exit, Failure> {
    let planned = ask(client, format).await?;
    if let OutputFormat::Text(paint) = format {
        print(&plan_text(paint, &planned));
    }
    let plan = &planned.plan.plan;
    if planned.plan.settings.is_empty() {
        if format == OutputFormat::Json {
            format.print(&planned.json, |_| String::new());
        }
        return Ok(Exit::Yes);
    }
    let confirm = match confirm {
        Some(confirm) => confirm.to_owned(),
        None if confirmed(plan)? => plan.clone(),
        None => return Err(Failure::Refused("nothing was changed".to_owned())),
    };
    let body = ConfigurationConfirmation { confirm };
    let done = client.post::<ConfigurationApplied>(&api_path(&["configuration", "apply"]), &body).await?;
    let text = format!("the configuration is in effect, position {}\n", done.value.position);
    format.print(&done.json, |_| text);
    Ok(Exit::Yes)
}

async fn ask(client: &Client, format: OutputFormat) -> Result<Planned, Failure> {
    let plan: Reply<ConfigurationPlanShown> = client.get(&api_path(&["configuration", "plan"]), &[]).await?;
    // JSON is for programs, which are given all of it.
    let most = if format == OutputFormat::Json { usize::MAX } else { MAX_PRINTED_ROWS };
    let (mut json, mut rows) = (plan.json, Vec::new());
    if plan.value.rows > 0 {
        let found: Reply<Vec<AccessRowShown>> =
            client.all_pages(&api_path(&["configuration", "plan", "rows"]), &[], most).await?;
        if let Some(json) = json.as_object_mut() {
            json.insert("changes".to_owned(), found.json);
        }
        rows = found.value;
    }
    Ok(Planned { plan: plan.value, rows, json })
}

/// Asks on the terminal; without one the plan has to be named beforehand.
fn confirmed(plan: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(format!(
            "say --confirm {plan} to apply this without being asked; nothing was changed"
        )));
    }
    says_yes("Apply this? [y/N] ")
}

fn plan_text(paint: ColorMode, planned: &Planned) -> String {
    let Planned { plan, rows, .. } = planned;
    if plan.settings.is_empty() {
        return "no difference: everything that is configured is in effect\n".to_owned();
    }
    let said = |value: &Value| if value.is_null() { "-".to_owned() } else { escape_controls(&value.to_string()) };
    let mut out = String::new();
    for row in &plan.settings {
        let (was, is) = (said(&row.in_force), said(&row.configured));
        out.push_str(&format!("{}  {was} -> {is}\n", paint.bold(&escape_controls(&row.setting))));
    }
    out.push('\n');
    let totals = [plan.people, plan.rows, plan.gains, plan.losses];
    out.push_str(&rows_text(paint, &plan.plan, totals, rows));
    match &plan.refused {
        Some(why) => out.push_str(&format!("{} {}\n", paint.bad("It would be refused:"), cell(why))),
        None => out.push_str(&format!("To apply it: rollcall config apply --confirm {}\n", cell(&plan.plan))),
    }
    out
}

/// Whom a plan would change, and how many: people, rows, those that gain and those that lose.
pub(super) fn rows_text(paint: ColorMode, plan: &str, totals: [u64; 4], rows: &[AccessRowShown]) -> String {
    let mut out = String::new();
    for row in rows {
        out.push_str(&format!("  {}  {}{}\n", scope_text(&row.scope), cell(&row.name), changes_text(paint, row)));
    }
    let hidden = totals[1].saturating_sub(rows.len() as u64);
    if hidden > 0 {
        out.push_str(&format!("  and {} more; --json has them\n", group_digits(hidden)));
    }
    let [people, rows, gains, losses] = totals.map(group_digits);
    let plan = paint.bold(&cell(&plan));
    out.push_str(&format!("\n{plan}  {people} users and services, {rows} rows: {gains} gain, {losses} lose\n"));
    out
}

/// Asks on the terminal for a yes.
pub(super) fn says_yes(question: &str) -> Result<bool, Failure> {
    print(question);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(anyhow::Error::from)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// ` +Developer -Guest +image.push from 2026-12-01T00:00:00Z`.
fn changes_text(paint: ColorMode, row: &AccessRowShown) -> String {
    let list = |names: &[String], sign: &str| -> String {
        names.iter().map(|name| format!(" {sign}{}", escape_controls(name))).collect()
    };
    let from = row.from.map(|from| format!("  from {}", cell(&from)));
    format!(
        " {}{}{}{}{}",
        paint.good(&list(&row.roles_gained, "+")),
        paint.bad(&list(&row.roles_lost, "-")),
        paint.good(&list(&row.actions_gained, "+")),
        paint.bad(&list(&row.actions_lost, "-")),
        from.unwrap_or_default(),
    )
}
