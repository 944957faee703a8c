//! `projects`: those that people make, and a look at those of packages.

use serde_json::{Value, json};

use crate::{
    cli::{
        args::Projects,
        output::Form,
        remote::request::{api, body, done, listed, shown, text},
    },
    client::{Client, Exit, Failure},
};

/// `projects`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, form: Form, command: &Projects) -> Result<Exit, Failure> {
    match command {
        Projects::List => {
            let rows = client.list(&api(&["projects"]), &[], usize::MAX).await?;
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
            listed(form, &columns, &rows);
        }
        Projects::Show { name } => shown(form, &client.get(&api(&["projects", name]), &[]).await?),
        Projects::Create { name, kind, visibility, folder } => {
            let body = body([
                ("name", Some(json!(name))),
                ("kind", text(kind)),
                ("visibility", visibility.map(|visibility| json!(visibility.word()))),
                ("folder", text(folder)),
            ]);
            let answer = client.post(&api(&["projects"]), &body).await?;
            done(form, &answer, &format!("project {name} is made"));
        }
        Projects::Set { name, rename, visibility, folder, no_folder } => {
            let folder = if *no_folder { Some(Value::Null) } else { text(folder) };
            let body = body([
                ("name", text(rename)),
                ("visibility", visibility.map(|visibility| json!(visibility.word()))),
                ("folder", folder),
            ]);
            let answer = client.patch(&api(&["projects", name]), &body).await?;
            done(form, &answer, &format!("project {name} is changed"));
        }
        Projects::Remove { name } => {
            let answer = client.delete(&api(&["projects", name])).await?;
            done(form, &answer, &format!("project {name} is deleted; its name stays its own"));
        }
    }
    Ok(Exit::Yes)
}
