//! `folders`: the scopes above projects.

use serde_json::json;

use crate::{
    cli::{
        args::Folders,
        output::OutputFormat,
        remote::request::{api_path, json_object, optional_text, print_change, print_list, print_object},
    },
    client::{Client, Exit, Failure},
};

/// `folders`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &Folders) -> Result<Exit, Failure> {
    match command {
        Folders::List => {
            let rows = client.all_pages(&api_path(&["folders"]), &[], usize::MAX).await?;
            let columns = [("FOLDER", "id"), ("KIND", "kind"), ("IN", "parent"), ("NAME", "name")];
            print_list(format, &columns, &rows);
        }
        Folders::Show { id } => print_object(format, &client.get(&api_path(&["folders", id]), &[]).await?),
        Folders::Set { id, kind, parent, name } => {
            let body = json_object([
                ("kind", Some(json!(kind))),
                ("parent", optional_text(parent)),
                ("name", optional_text(name)),
            ]);
            let answer = client.put(&api_path(&["folders", id]), &body).await?;
            print_change(format, &answer, &format!("folder {id} is a {kind}"));
        }
        Folders::Remove { id } => {
            print_change(
                format,
                &client.delete(&api_path(&["folders", id])).await?,
                &format!("folder {id} is removed"),
            );
        }
    }
    Ok(Exit::Yes)
}
