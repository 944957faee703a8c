//! `projects`: those that people make, and a look at those of packages.

use rollcall_app::{
    CommandOutcome,
    access::projects::{NewProject, Project, ProjectChange, ProjectMade, Visibility as ProjectVisibility},
};
use serde_json::Value;

use crate::{
    cli::{
        args::{ProjectsCommand, Visibility},
        output::{Column, OutputFormat, cell},
        remote::request::{api_path, print_change, print_list, print_object},
    },
    client::{Client, Exit, Failure},
};

fn visibility(word: &Option<Visibility>) -> Option<ProjectVisibility> {
    word.map(|word| match word {
        Visibility::Private => ProjectVisibility::Private,
        Visibility::Protected => ProjectVisibility::Protected,
        Visibility::Public => ProjectVisibility::Public,
    })
}

/// `projects`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &ProjectsCommand) -> Result<Exit, Failure> {
    match command {
        ProjectsCommand::List => {
            let rows = client.all_pages(&api_path(&["projects"]), &[], usize::MAX).await?;
            let columns: [Column<Project>; 8] = [
                ("PROJECT", |row| cell(&row.name)),
                ("KIND", |row| cell(&row.kind)),
                ("VISIBILITY", |row| cell(&row.visibility)),
                ("IN", |row| cell(&row.folder)),
                ("SOURCE", |row| cell(&row.source)),
                ("ARCHIVED", |row| cell(&row.archived)),
                ("OWNERLESS", |row| cell(&row.ownerless)),
                ("CLAIMED BY", |row| cell(&row.claimed_by)),
            ];
            print_list(format, &columns, &rows);
        }
        ProjectsCommand::Show { name } => {
            print_object(format, &client.get::<Value>(&api_path(&["projects", name]), &[]).await?.json);
        }
        ProjectsCommand::Create { name, kind, visibility: word, folder } => {
            let new = NewProject {
                name: name.clone(),
                kind: kind.clone(),
                visibility: visibility(word),
                folder: folder.clone(),
            };
            let answer = client.post::<ProjectMade>(&api_path(&["projects"]), &new).await?;
            print_change(format, &answer, &format!("project {name} is made"));
        }
        ProjectsCommand::Set { name, rename, visibility: word, folder, no_folder } => {
            let folder = if *no_folder { Some(None) } else { folder.clone().map(Some) };
            let change = ProjectChange { name: rename.clone(), visibility: visibility(word), folder };
            let answer = client.patch::<CommandOutcome>(&api_path(&["projects", name]), &change).await?;
            print_change(format, &answer, &format!("project {name} is changed"));
        }
        ProjectsCommand::Remove { name } => {
            let answer = client.delete::<CommandOutcome>(&api_path(&["projects", name])).await?;
            print_change(format, &answer, &format!("project {name} is deleted; its name stays reserved"));
        }
    }
    Ok(Exit::Yes)
}
