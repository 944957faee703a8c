//! `groups`: those that are kept here, and a look at those of every source.

use rollcall_app::{
    CommandOutcome, Created,
    access::groups::{GroupMemberShown, GroupShown, NewGroup},
};
use serde_json::json;

use crate::{
    cli::{
        args::GroupsCommand,
        output::{Column, OutputFormat, cell},
        remote::request::{api_path, print_change, print_list, split_principal},
    },
    client::{Client, Exit, Failure},
};

/// `groups`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &GroupsCommand) -> Result<Exit, Failure> {
    match command {
        GroupsCommand::List { source } => {
            let query: Vec<(&str, String)> = source.iter().map(|source| ("source", source.clone())).collect();
            let rows = client.all_pages(&api_path(&["groups"]), &query, usize::MAX).await?;
            let columns: [Column<GroupShown>; 3] =
                [("GROUP", |row| cell(&row.id)), ("NAME", |row| cell(&row.name)), ("EVENT", |row| cell(&row.position))];
            print_list(format, &columns, &rows);
        }
        GroupsCommand::Show { group, all } => {
            let (source, id) = split_group(group);
            let query = if *all { vec![("transitive", "true".to_owned())] } else { Vec::new() };
            let rows = client.all_pages(&api_path(&["groups", source, id, "members"]), &query, usize::MAX).await?;
            let columns: [Column<GroupMemberShown>; 3] =
                [("KIND", |row| cell(&row.kind)), ("ID", |row| cell(&row.id)), ("USER", |row| cell(&row.user))];
            print_list(format, &columns, &rows);
        }
        GroupsCommand::Create { id, name } => {
            let new = NewGroup { id: id.clone(), name: name.clone() };
            let answer = client.post::<Created>(&api_path(&["groups"]), &new).await?;
            print_change(format, &answer, &format!("group local/{id} is made"));
        }
        GroupsCommand::Remove { group } => {
            let (source, id) = split_group(group);
            let answer = client.delete::<CommandOutcome>(&api_path(&["groups", source, id])).await?;
            print_change(format, &answer, &format!("group {source}/{id} is removed"));
        }
        GroupsCommand::Add { group, member } => {
            let ((source, id), (kind, who)) = (split_group(group), split_principal(member));
            let path = api_path(&["groups", source, id, "members", kind, who]);
            let answer = client.put::<CommandOutcome>(&path, &json!({})).await?;
            print_change(format, &answer, &format!("{kind} {who} is in group {source}/{id}"));
        }
        GroupsCommand::Take { group, member } => {
            let ((source, id), (kind, who)) = (split_group(group), split_principal(member));
            let path = api_path(&["groups", source, id, "members", kind, who]);
            let answer = client.delete::<CommandOutcome>(&path).await?;
            print_change(format, &answer, &format!("{kind} {who} is out of group {source}/{id}"));
        }
    }
    Ok(Exit::Yes)
}

/// A group that names no source is one that is kept here.
fn split_group(group: &str) -> (&str, &str) {
    group.split_once('/').unwrap_or(("local", group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_without_a_source_is_kept_here() {
        assert_eq!(split_group("ops"), ("local", "ops"));
        assert_eq!(split_group("corp/ops"), ("corp", "ops"));
    }
}
