//! `bindings`: roles given by hand, one by one.

use serde_json::json;

use crate::{
    cli::{
        args::Bindings,
        output::{Form, cell},
        remote::{
            binding_plans,
            request::{api, body, done, listed, principal, scope, shown, text},
        },
    },
    client::{Client, Exit, Failure},
};

/// `bindings`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, form: Form, command: &Bindings) -> Result<Exit, Failure> {
    match command {
        Bindings::List { user, service, group, project, folder, scope } => {
            let kind = scope.map(|scope| scope.word().to_owned());
            let filters = [
                ("user", user),
                ("service", service),
                ("group", group),
                ("project", project),
                ("folder", folder),
                ("scope", &kind),
            ];
            let query: Vec<(&str, String)> =
                filters.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect();
            let rows = client.list(&api(&["bindings"]), &query, usize::MAX).await?;
            let columns = [
                ("USER", "user"),
                ("SERVICE", "service"),
                ("GROUP", "group"),
                ("ROLE", "role"),
                ("PROJECT", "project"),
                ("FOLDER", "folder"),
                ("FROM", "starts"),
                ("UNTIL", "ends"),
                ("BINDING", "id"),
            ];
            listed(form, &columns, &rows);
        }
        Bindings::Show { id } => shown(form, &client.get(&api(&["bindings", id]), &[]).await?),
        Bindings::Set { who, role, scope: on, starts, ends } => {
            let (kind, id) = principal(who);
            let body = body([
                ("principal", Some(json!({kind: id}))),
                ("role", Some(json!(role))),
                ("scope", Some(scope(on)?)),
                ("starts", text(starts)),
                ("ends", text(ends)),
            ]);
            let answer = client.post(&api(&["bindings"]), &body).await?;
            done(form, &answer, &format!("{kind} {id} has role {role} on {on}: {}", cell(&answer, "id")));
        }
        Bindings::Plan { file } => return binding_plans::plan(client, form, file).await,
        Bindings::Apply { file, yes } => return binding_plans::apply(client, form, file, *yes).await,
        Bindings::Remove { id } => {
            done(form, &client.delete(&api(&["bindings", id])).await?, "the role is taken away");
        }
    }
    Ok(Exit::Yes)
}
