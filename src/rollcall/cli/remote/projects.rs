//! `projects`: those that people make, and a look at those of packages.

use serde_json::{Value, json};

use crate::{
    cli::{
        args::Projects,
        output::OutputFormat,
        remote::request::{api_path, json_object, optional_text, print_change, print_list, print_object},
    },
    client::{Client, Exit, Failure},
};

/// `projects`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &Projects) -> Result<Exit, Failure> {
    match command {
        Projects::List => {
            let rows = client.all_pages(&api_path(&["projects"]), &[], usize::MAX).await?;
            let columns = [
                ("PROJECT", "name"),
                ("KIND", "kind"),
                ("VISIBILITY", "visibility"),
                ("IN", "folder"),
                ("SOURCE", "source"),
                ("ARCHIVED", "archived"),
                ("OWNERLESS", "ownerless"),
                ("CLAIMED BY", "claimed_by"),
            ];
            print_list(format, &columns, &rows);
        }
        Projects::Show { name } => print_object(format, &client.get(&api_path(&["projects", name]), &[]).await?),
        Projects::Create { name, kind, visibility, folder } => {
            let body = json_object([
                ("name", Some(json!(name))),
                ("kind", optional_text(kind)),
                ("visibility", visibility.map(|visibility| json!(visibility.word()))),
                ("folder", optional_text(folder)),
            ]);
            let answer = client.post(&api_path(&["projects"]), &body).await?;
            print_change(format, &answer, &format!("project {name} is made"));
        }
        Projects::Set { name, rename, visibility, folder, no_folder } => {
            let folder = if *no_folder { Some(Value::Null) } else { optional_text(folder) };
            let body = json_object([
                ("name", optional_text(rename)),
                ("visibility", visibility.map(|visibility| json!(visibility.word()))),
                ("folder", folder),
            ]);
            let answer = client.patch(&api_path(&["projects", name]), &body).await?;
            print_change(format, &answer, &format!("project {name} is changed"));
        }
        Projects::Remove { name } => {
            let answer = client.delete(&api_path(&["projects", name])).await?;
            print_change(format, &answer, &format!("project {name} is deleted; its name stays its own"));
        }
    }
    Ok(Exit::Yes)
}
