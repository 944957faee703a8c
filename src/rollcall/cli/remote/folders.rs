//! `folders`: the scopes above projects.

use serde_json::json;

use crate::{
    cli::{
        args::Folders,
        output::Form,
        remote::request::{api, body, done, listed, shown, text},
    },
    client::{Client, Exit, Failure},
};

/// `folders`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, form: Form, command: &Folders) -> Result<Exit, Failure> {
    match command {
        Folders::List => {
            let rows = client.list(&api(&["folders"]), &[], usize::MAX).await?;
            let columns = [("FOLDER", "id"), ("KIND", "kind"), ("IN", "parent"), ("NAME", "name")];
            listed(form, &columns, &rows);
        }
        Folders::Show { id } => shown(form, &client.get(&api(&["folders", id]), &[]).await?),
        Folders::Set { id, kind, parent, name } => {
            let body = body([("kind", Some(json!(kind))), ("parent", text(parent)), ("name", text(name))]);
            let answer = client.put(&api(&["folders", id]), &body).await?;
            done(form, &answer, &format!("folder {id} is a {kind}"));
        }
        Folders::Remove { id } => {
            done(form, &client.delete(&api(&["folders", id])).await?, &format!("folder {id} is removed"));
        }
    }
    Ok(Exit::Yes)
}
