//! `bindings plan` and `bindings apply`: a document of roles, what of it is not so yet, and making it so.

use std::{io::IsTerminal as _, path::Path};

use serde_json::Value;

use crate::{
    cli::{
        document::Written,
        output::{Form, Paint, cell, say},
        remote::{
            preview::{difference, rows, scope},
            request::api,
        },
    },
    client::{Client, Exit, Failure},
};

/// `bindings plan`.
///
/// # Errors
/// As [`Failure`].
pub async fn plan(client: &Client, form: Form, file: &Path) -> Result<Exit, Failure> {
    let written = Written::read(file)?;
    let answer = client
        .post_document(&api(&["bindings", "plan"]), &written.value, &|pointer| Some(written.place(pointer)), None)
        .await?;
    form.show(&answer, |paint| planned(paint, &answer, &written));
    Ok(if rows(&answer, "rows").is_empty() { Exit::Yes } else { Exit::No })
}

/// `bindings apply`: what it does is what it showed, or nothing.
///
/// # Errors
/// As [`Failure`].
pub async fn apply(client: &Client, form: Form, file: &Path, yes: bool) -> Result<Exit, Failure> {
    let written = Written::read(file)?;
    let answer = client
        .post_document(&api(&["bindings", "plan"]), &written.value, &|pointer| Some(written.place(pointer)), None)
        .await?;
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
    let done = client
        .post_document(
            &api(&["bindings", "apply"]),
            &written.value,
            &|pointer| Some(written.place(pointer)),
            Some(&plan),
        )
        .await?;
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
