//! `bindings plan` and `bindings apply`: a document of roles, what of it is not so yet, and making it so.

use std::{io::IsTerminal as _, path::Path};

use rollcall_app::access::bindings_document::{BindingsApplied, BindingsPlan, BindingsPlanRow};
use serde::de::DeserializeOwned;

use crate::{
    cli::{
        document::Document,
        output::{ColorMode, OutputFormat, cell, print},
        remote::{
            preview::{difference_text, scope_text},
            request::api_path,
        },
    },
    client::{Client, Exit, Failure, Reply},
};

/// `bindings plan`.
///
/// # Errors
/// As [`Failure`].
pub async fn plan(client: &Client, format: OutputFormat, file: &Path) -> Result<Exit, Failure> {
    let document = Document::read(file)?;
    let answer: Reply<BindingsPlan> = post(client, "plan", &document, None).await?;
    format.print(&answer.json, |paint| plan_text(paint, &answer.value, &document));
    Ok(if answer.value.rows.is_empty() { Exit::Yes } else { Exit::No })
}

/// `bindings apply`: what it does is what it showed, or nothing.
///
/// # Errors
/// As [`Failure`].
pub async fn apply(client: &Client, format: OutputFormat, file: &Path, yes: bool) -> Result<Exit, Failure> {
    let document = Document::read(file)?;
    let answer: Reply<BindingsPlan> = post(client, "plan", &document, None).await?;
    if let OutputFormat::Text(paint) = format {
        print(&plan_text(paint, &answer.value, &document));
    }
    if answer.value.rows.is_empty() {
        if format == OutputFormat::Json {
            format.print(&answer.json, |_| String::new());
        }
        return Ok(Exit::Yes);
    }
    if !yes && !confirm()? {
        return Err(Failure::Refused("nothing was changed".to_owned()));
    }
    let tag = format!("\"{}\"", answer.value.plan);
    let done: Reply<BindingsApplied> = post(client, "apply", &document, Some(&tag)).await?;
    format.print(&done.json, |paint| format!("{} recorded\n", paint.good(&done.value.positions.len().to_string())));
    Ok(Exit::Yes)
}

/// Sends the document; a mistake in it is told with its place in the file.
async fn post<T: DeserializeOwned>(
    client: &Client,
    verb: &str,
    document: &Document,
    tag: Option<&str>,
) -> Result<Reply<T>, Failure> {
    let place = |pointer: &str| Some(document.place(pointer));
    client.post_document(&api_path(&["bindings", verb]), &document.value, &place, tag).await
}

/// Asks on the terminal; without one the answer has to be given beforehand.
fn confirm() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("say --yes to apply this without being asked; nothing was changed".to_owned()));
    }
    print("Apply this? [y/N] ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(anyhow::Error::from)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// A user by name; a group and a service with their kind.
fn principal_name(row: &BindingsPlanRow) -> String {
    match row.principal.split_once(':') {
        Some(("user", _)) => cell(&row.name),
        Some(("group", _)) => format!("group:{}", cell(&row.name)),
        _ => cell(&row.principal),
    }
}

/// The rows of a plan, by scope, and what they would change.
fn plan_text(paint: ColorMode, plan: &BindingsPlan, document: &Document) -> String {
    if plan.rows.is_empty() {
        return "nothing to do: everything is so already\n".to_owned();
    }
    let mut out = String::new();
    let mut last = String::new();
    let mut sorted: Vec<&BindingsPlanRow> = plan.rows.iter().collect();
    sorted.sort_by_key(|row| scope_text(&row.scope));
    for row in sorted {
        let here = scope_text(&row.scope);
        if here != last {
            out.push_str(&format!("{}\n", paint.bold(&here)));
            last = here;
        }
        let sign = match &*row.change {
            "add" => paint.good("+"),
            "change" => paint.bold("~"),
            _ => paint.bad("-"),
        };
        let window = match (row.starts, row.ends) {
            (None, None) => String::new(),
            (starts, ends) => format!("  [{}, {})", cell(&starts), cell(&ends)),
        };
        let refused = row.refused.as_ref().map(|why| {
            let at = row.pointer.as_ref().map(|pointer| format!("{}: ", document.place(pointer))).unwrap_or_default();
            format!("   {} {at}{}", paint.bad("refused:"), cell(why))
        });
        let (role, who) = (cell(&row.role), principal_name(row));
        out.push_str(&format!("  {sign} {role} {who}{window}{}\n", refused.unwrap_or_default()));
    }
    out.push_str(&difference_text(paint, &plan.previewed));
    out
}
