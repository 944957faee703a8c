//! `why`: may somebody do something, and why.

use serde_json::{Value, json};

use crate::{
    cli::{
        output::OutputFormat,
        remote::{
            explanation,
            request::{api_path, json_object},
        },
    },
    client::{Client, Exit, Failure},
};

/// `why`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(
    client: &Client,
    format: OutputFormat,
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
    let body = json_object([
        ("user", said(user)),
        ("action", said(action)),
        ("folder", folder),
        ("project", project),
        ("repository", repository),
        ("as_of", as_of.and_then(said)),
        ("basis", as_of.and_then(|_| said(basis))),
    ]);
    let answer = client.post(&api_path(&["explain"]), &body).await?;
    format.print(&answer, |paint| explanation::tree(paint, &answer, scope));
    let allowed = answer.get("allowed").and_then(Value::as_bool).unwrap_or_default();
    Ok(if allowed { Exit::Yes } else { Exit::No })
}
