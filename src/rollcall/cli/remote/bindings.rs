//! `bindings`: roles given by hand, one by one.

use rollcall_app::{
    CommandOutcome,
    access::bindings::{BindingSet, BindingShown, NewBinding},
};
use serde_json::Value;

use crate::{
    cli::{
        args::BindingsCommand,
        output::{Column, OutputFormat, cell},
        remote::{
            binding_plans,
            request::{
                api_path, parse_end, parse_principal, parse_scope, parse_start, print_change, print_list, print_object,
                query_of, split_principal, with_name,
            },
        },
    },
    client::{Client, Exit, Failure},
};

/// `bindings`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &BindingsCommand) -> Result<Exit, Failure> {
    match command {
        BindingsCommand::List { user, service, group, project, folder, scope } => {
            let kind = scope.map(|scope| scope.as_str().to_owned());
            let filters = [
                ("user", user),
                ("service", service),
                ("group", group),
                ("project", project),
                ("folder", folder),
                ("scope", &kind),
            ];
            let rows = client.all_pages(&api_path(&["bindings"]), &query_of(filters), usize::MAX).await?;
            let columns: [Column<BindingShown>; 9] = [
                ("USER", |row| cell(&row.user)),
                ("SERVICE", |row| cell(&row.service)),
                ("GROUP", |row| with_name(row.group.as_deref(), row.group_name.as_deref())),
                ("ROLE", |row| cell(&row.role)),
                ("PROJECT", |row| cell(&row.project)),
                ("FOLDER", |row| cell(&row.folder)),
                ("FROM", |row| cell(&row.starts)),
                ("UNTIL", |row| cell(&row.ends)),
                ("BINDING", |row| cell(&row.short)),
            ];
            print_list(format, &columns, &rows);
        }
        BindingsCommand::Show { id } => {
            print_object(format, &client.get::<Value>(&api_path(&["bindings", id]), &[]).await?.json);
        }
        BindingsCommand::Set { who, role, scope, starts, ends } => {
            let new = NewBinding {
                principal: parse_principal(who),
                role: role.clone(),
                scope: parse_scope(scope)?,
                starts: parse_start(starts)?,
                ends: parse_end(ends)?,
            };
            let answer = client.post::<BindingSet>(&api_path(&["bindings"]), &new).await?;
            let (kind, id) = split_principal(who);
            let BindingSet { group, group_name, .. } = &answer.value;
            // However a group was named, what is told is which one it is.
            let id = match group {
                Some(group) => with_name(Some(group), group_name.as_deref()),
                None => id.to_owned(),
            };
            print_change(format, &answer, &format!("{kind} {id} has role {role} on {scope}: {}", answer.value.id));
        }
        BindingsCommand::Plan { file } => return binding_plans::plan(client, format, file).await,
        BindingsCommand::Apply { file, yes } => return binding_plans::apply(client, format, file, *yes).await,
        BindingsCommand::Remove { id } => {
            let answer = client.delete::<CommandOutcome>(&api_path(&["bindings", id])).await?;
            print_change(format, &answer, "the role is taken away");
        }
    }
    Ok(Exit::Yes)
}
