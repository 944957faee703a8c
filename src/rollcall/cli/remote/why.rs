//! `why`: may somebody do something, and why.

use rollcall_app::access::explain::{AccessQuestion, BasisName, Explained};

use crate::{
    cli::{
        output::OutputFormat,
        remote::{explanation, request::api_path},
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
    secret: Option<&str>,
) -> Result<Exit, Failure> {
    let said = |text: &str| Some(text.to_owned());
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
    let basis = if effective { BasisName::Effective } else { BasisName::Recorded };
    let question = AccessQuestion {
        user: said(user),
        action: action.to_owned(),
        project,
        folder,
        repository,
        secret: secret.and_then(said),
        as_of: as_of.and_then(said),
        basis: as_of.map(|_| basis),
    };
    let answer = client.post::<Explained>(&api_path(&["explain"]), &question).await?;
    format.print(&answer.json, |paint| explanation::tree(paint, &answer.value, scope));
    Ok(if answer.value.explanation.allowed { Exit::Yes } else { Exit::No })
}
