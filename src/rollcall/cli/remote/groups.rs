//! `groups`: those that are kept here, and a look at those of every source.

use serde_json::json;

use crate::{
    cli::{
        args::Groups,
        output::Form,
        remote::request::{api, body, done, listed, principal, text},
    },
    client::{Client, Exit, Failure},
};

/// `groups`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, form: Form, command: &Groups) -> Result<Exit, Failure> {
    match command {
        Groups::List { source } => {
            let query: Vec<(&str, String)> = source.iter().map(|source| ("source", source.clone())).collect();
            let rows = client.list(&api(&["groups"]), &query, usize::MAX).await?;
            listed(form, &[("GROUP", "id"), ("NAME", "name"), ("EVENT", "position")], &rows);
        }
        Groups::Show { group, all } => {
            let (source, id) = whole_id(group);
            let query = if *all { vec![("transitive", "true".to_owned())] } else { Vec::new() };
            let rows = client.list(&api(&["groups", source, id, "members"]), &query, usize::MAX).await?;
            listed(form, &[("KIND", "kind"), ("ID", "id"), ("USER", "user")], &rows);
        }
        Groups::Create { id, name } => {
            let body = body([("id", Some(json!(id))), ("name", text(name))]);
            let answer = client.post(&api(&["groups"]), &body).await?;
            done(form, &answer, &format!("group local/{id} is made"));
        }
        Groups::Remove { group } => {
            let (source, id) = whole_id(group);
            let answer = client.delete(&api(&["groups", source, id])).await?;
            done(form, &answer, &format!("group {source}/{id} is removed"));
        }
        Groups::Add { group, member } => {
            let ((source, id), (kind, who)) = (whole_id(group), principal(member));
            let answer = client.put(&api(&["groups", source, id, "members", kind, who]), &json!({})).await?;
            done(form, &answer, &format!("{kind} {who} is in group {source}/{id}"));
        }
        Groups::Take { group, member } => {
            let ((source, id), (kind, who)) = (whole_id(group), principal(member));
            let answer = client.delete(&api(&["groups", source, id, "members", kind, who])).await?;
            done(form, &answer, &format!("{kind} {who} is out of group {source}/{id}"));
        }
    }
    Ok(Exit::Yes)
}

/// A group that names no source is one that is kept here.
fn whole_id(group: &str) -> (&str, &str) {
    group.split_once('/').unwrap_or(("local", group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_without_a_source_is_kept_here() {
        assert_eq!(whole_id("ops"), ("local", "ops"));
        assert_eq!(whole_id("corp/ops"), ("corp", "ops"));
    }
}
