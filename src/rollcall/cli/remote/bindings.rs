//! `bindings`: roles given by hand, one by one.

use serde_json::json;

use crate::{
    cli::{
        args::Bindings,
        output::{OutputFormat, field_text},
        remote::{
            binding_plans,
            request::{
                api_path, json_object, optional_text, parse_principal, parse_scope, print_change, print_list,
                print_object,
            },
        },
    },
    client::{Client, Exit, Failure},
};

/// `bindings`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &Bindings) -> Result<Exit, Failure> {
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
            let rows = client.all_pages(&api_path(&["bindings"]), &query, usize::MAX).await?;
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
            print_list(format, &columns, &rows);
        }
        Bindings::Show { id } => print_object(format, &client.get(&api_path(&["bindings", id]), &[]).await?),
        Bindings::Set { who, role, scope: on, starts, ends } => {
            let (kind, id) = parse_principal(who);
            let body = json_object([
                ("principal", Some(json!({kind: id}))),
                ("role", Some(json!(role))),
                ("scope", Some(parse_scope(on)?)),
                ("starts", optional_text(starts)),
                ("ends", optional_text(ends)),
            ]);
            let answer = client.post(&api_path(&["bindings"]), &body).await?;
            print_change(
                format,
                &answer,
                &format!("{kind} {id} has role {role} on {on}: {}", field_text(&answer, "id")),
            );
        }
        Bindings::Plan { file } => return binding_plans::plan(client, format, file).await,
        Bindings::Apply { file, yes } => return binding_plans::apply(client, format, file, *yes).await,
        Bindings::Remove { id } => {
            print_change(format, &client.delete(&api_path(&["bindings", id])).await?, "the role is taken away");
        }
    }
    Ok(Exit::Yes)
}
