//! `groups`: those that are kept here, and a look at those of every source.

use serde_json::json;

use crate::{
    cli::{
        args::Groups,
        output::OutputFormat,
        remote::request::{api_path, json_object, optional_text, parse_principal, print_change, print_list},
    },
    client::{Client, Exit, Failure},
};

/// `groups`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &Groups) -> Result<Exit, Failure> {
    match command {
        Groups::List { source } => {
            let query: Vec<(&str, String)> = source.iter().map(|source| ("source", source.clone())).collect();
            let rows = client.all_pages(&api_path(&["groups"]), &query, usize::MAX).await?;
            print_list(format, &[("GROUP", "id"), ("NAME", "name"), ("EVENT", "position")], &rows);
        }
        Groups::Show { group, all } => {
            let (source, id) = split_group(group);
            let query = if *all { vec![("transitive", "true".to_owned())] } else { Vec::new() };
            let rows = client.all_pages(&api_path(&["groups", source, id, "members"]), &query, usize::MAX).await?;
            print_list(format, &[("KIND", "kind"), ("ID", "id"), ("USER", "user")], &rows);
        }
        Groups::Create { id, name } => {
            let body = json_object([("id", Some(json!(id))), ("name", optional_text(name))]);
            let answer = client.post(&api_path(&["groups"]), &body).await?;
            print_change(format, &answer, &format!("group local/{id} is made"));
        }
        Groups::Remove { group } => {
            let (source, id) = split_group(group);
            let answer = client.delete(&api_path(&["groups", source, id])).await?;
            print_change(format, &answer, &format!("group {source}/{id} is removed"));
        }
        Groups::Add { group, member } => {
            let ((source, id), (kind, who)) = (split_group(group), parse_principal(member));
            let answer = client.put(&api_path(&["groups", source, id, "members", kind, who]), &json!({})).await?;
            print_change(format, &answer, &format!("{kind} {who} is in group {source}/{id}"));
        }
        Groups::Take { group, member } => {
            let ((source, id), (kind, who)) = (split_group(group), parse_principal(member));
            let answer = client.delete(&api_path(&["groups", source, id, "members", kind, who])).await?;
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
