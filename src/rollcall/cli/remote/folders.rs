//! `folders`: the scopes above projects.

use rollcall_app::{
    CommandOutcome,
    access::folders::{FolderShown, NewFolder},
};
use serde_json::Value;

use crate::{
    cli::{
        args::FoldersCommand,
        output::{Column, OutputFormat, cell},
        remote::request::{api_path, print_change, print_list, print_object},
    },
    client::{Client, Exit, Failure},
};

/// `folders`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &FoldersCommand) -> Result<Exit, Failure> {
    match command {
        FoldersCommand::List => {
            let rows = client.all_pages(&api_path(&["folders"]), &[], usize::MAX).await?;
            let columns: [Column<FolderShown>; 4] = [
                ("FOLDER", |row| cell(&row.id)),
                ("KIND", |row| cell(&row.kind)),
                ("IN", |row| cell(&row.parent)),
                ("NAME", |row| cell(&row.name)),
            ];
            print_list(format, &columns, &rows);
        }
        FoldersCommand::Show { id } => {
            print_object(format, &client.get::<Value>(&api_path(&["folders", id]), &[]).await?.json);
        }
        FoldersCommand::Set { id, kind, parent, name } => {
            let new = NewFolder { kind: kind.clone(), parent: parent.clone(), name: name.clone() };
            let answer = client.put::<CommandOutcome>(&api_path(&["folders", id]), &new).await?;
            print_change(format, &answer, &format!("folder {id} is a {kind}"));
        }
        FoldersCommand::Remove { id } => {
            let answer = client.delete::<CommandOutcome>(&api_path(&["folders", id])).await?;
            print_change(format, &answer, &format!("folder {id} is removed"));
        }
    }
    Ok(Exit::Yes)
}
