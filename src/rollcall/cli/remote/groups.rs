//! `groups`: those that are kept here, and a look at those of every source.

use rollcall_app::{
    CommandOutcome, Created,
    access::groups::{GroupMemberShown, GroupShown, NewGroup},
};
use serde_json::json;

use crate::{
    cli::{
        args::GroupsCommand,
        output::{Column, OutputFormat, cell, escape_controls},
        remote::request::{api_path, print_change, print_list, query_of, split_principal},
    },
    client::{Client, Exit, Failure},
};

/// `groups`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &GroupsCommand) -> Result<Exit, Failure> {
    match command {
        GroupsCommand::List { source, name } => {
            let query = query_of([("source", source), ("name", name)]);
            let rows = client.all_pages(&api_path(&["groups"]), &query, usize::MAX).await?;
            let columns: [Column<GroupShown>; 4] = [
                ("GROUP", |row| cell(&row.id)),
                ("NAME", |row| cell(&row.name)),
                ("KNOWN THERE AS", |row| cell(&row.external_id)),
                ("EVENT", |row| cell(&row.position)),
            ];
            print_list(format, &columns, &rows);
        }
        GroupsCommand::Show { group, all } => print_members(client, format, group, *all).await?,
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

/// Prints who is in a group that is called so: in it itself, or to any depth.
///
/// # Errors
/// As [`Failure`]: there is none that is called so, or there are several.
pub async fn print_members(client: &Client, format: OutputFormat, group: &str, all: bool) -> Result<(), Failure> {
    let called =
        client.all_pages::<GroupShown>(&api_path(&["groups"]), &[("name", group.to_owned())], 500).await?.value;
    let text = |group: &GroupShown| {
        let names: Vec<String> = [&group.name, &group.external_id].into_iter().flatten().map(cell).collect();
        format!("{} ({})", cell(&group.id), names.join(", "))
    };
    let one = match called.as_slice() {
        [one] => one,
        several => {
            let several: Vec<String> = several.iter().take(6).map(text).collect();
            let group = escape_controls(group);
            return Err(Failure::Usage(format!(
                "`{group}` could be {}. Write the id of the one that is meant.",
                several.join(", ")
            )));
        }
    };
    let query = if all { vec![("transitive", "true".to_owned())] } else { Vec::new() };
    let id = one.id.split_once('/').map_or(one.id.as_str(), |(_, id)| id);
    let rows = client.all_pages(&api_path(&["groups", &one.source, id, "members"]), &query, usize::MAX).await?;
    let columns: [Column<GroupMemberShown>; 3] = [
        ("KIND", |row| cell(&row.kind)),
        ("ID", |row| cell(&row.id)),
        ("NAME", |row| cell(&row.user.as_ref().or(row.name.as_ref()))),
    ];
    print_list(format, &columns, &rows);
    Ok(())
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
