//! `bindings plan` and `bindings apply`: a document of roles, what of it is not so yet, and making it so.

use std::{io::IsTerminal as _, path::Path};

use serde_json::Value;

use crate::{
    cli::{
        document::Document,
        output::{OutputFormat, Paint, field_text, print},
        remote::{
            preview::{difference_text, rows, scope_text},
            request::api_path,
        },
    },
    client::{Client, Exit, Failure},
};

/// `bindings plan`.
///
/// # Errors
/// As [`Failure`].
pub async fn plan(client: &Client, format: OutputFormat, file: &Path) -> Result<Exit, Failure> {
    let document = Document::read(file)?;
    let answer = client
        .post_document(
            &api_path(&["bindings", "plan"]),
            &document.value,
            &|pointer| Some(document.place(pointer)),
            None,
        )
        .await?;
    format.print(&answer, |paint| plan_text(paint, &answer, &document));
    Ok(if rows(&answer, "rows").is_empty() { Exit::Yes } else { Exit::No })
}

/// `bindings apply`: what it does is what it showed, or nothing.
///
/// # Errors
/// As [`Failure`].
pub async fn apply(client: &Client, format: OutputFormat, file: &Path, yes: bool) -> Result<Exit, Failure> {
    let document = Document::read(file)?;
    let answer = client
        .post_document(
            &api_path(&["bindings", "plan"]),
            &document.value,
            &|pointer| Some(document.place(pointer)),
            None,
        )
        .await?;
    if let OutputFormat::Text(paint) = format {
        print(&plan_text(paint, &answer, &document));
    }
    if rows(&answer, "rows").is_empty() {
        if format == OutputFormat::Json {
            format.print(&answer, |_| String::new());
        }
        return Ok(Exit::Yes);
    }
    if !yes && !confirm()? {
        return Err(Failure::Refused("nothing was changed".to_owned()));
    }
    let plan = format!("\"{}\"", field_text(&answer, "plan"));
    let done = client
        .post_document(
            &api_path(&["bindings", "apply"]),
            &document.value,
            &|pointer| Some(document.place(pointer)),
            Some(&plan),
        )
        .await?;
    format.print(&done, |paint| format!("{} recorded\n", paint.good(&rows(&done, "positions").len().to_string())));
    Ok(Exit::Yes)
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
fn principal_name(row: &Value) -> String {
    let principal = field_text(row, "principal");
    if principal.starts_with("user:") { field_text(row, "name") } else { principal }
}

/// The rows of a plan, by scope, and what they would change.
fn plan_text(paint: Paint, answer: &Value, document: &Document) -> String {
    let rows = rows(answer, "rows");
    if rows.is_empty() {
        return "nothing to do: everything is so already\n".to_owned();
    }
    let mut out = String::new();
    let mut last = String::new();
    let mut sorted: Vec<&Value> = rows.iter().collect();
    sorted.sort_by_key(|row| scope_text(row));
    for row in sorted {
        let here = scope_text(row);
        if here != last {
            out.push_str(&format!("{}\n", paint.bold(&here)));
            last = here;
        }
        let sign = match field_text(row, "change").as_str() {
            "add" => paint.good("+"),
            "change" => paint.bold("~"),
            _ => paint.bad("-"),
        };
        let window = match (field_text(row, "starts"), field_text(row, "ends")) {
            (starts, ends) if starts.is_empty() && ends.is_empty() => String::new(),
            (starts, ends) => format!("  [{starts}, {ends})"),
        };
        let refused = match field_text(row, "refused") {
            why if why.is_empty() => String::new(),
            why => {
                let at = match field_text(row, "pointer") {
                    pointer if pointer.is_empty() => String::new(),
                    pointer => format!("{}: ", document.place(&pointer)),
                };
                format!("   {} {at}{why}", paint.bad("refused:"))
            }
        };
        out.push_str(&format!("  {sign} {} {}{window}{refused}\n", field_text(row, "role"), principal_name(row)));
    }
    out.push_str(&difference_text(paint, answer));
    out
}
