//! `people`: persons as their sources know them.

use rollcall_app::access::people::{PersonShown, PersonalData};

use crate::{
    cli::{
        args::PeopleCommand,
        output::{Column, OutputFormat, cell, escape_controls},
        remote::{
            request::{api_path, print_list, print_object, query_of},
            users::person_state,
        },
    },
    client::{Client, Exit, Failure},
};

/// `people`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &PeopleCommand) -> Result<Exit, Failure> {
    match command {
        PeopleCommand::List { source, account, user } => {
            let filters = [("source", source), ("account", account), ("user", user)];
            let rows = client.all_pages(&api_path(&["people"]), &query_of(filters), usize::MAX).await?;
            let columns: [Column<PersonShown>; 6] = [
                ("SOURCE", |row| cell(&row.person.source)),
                ("PERSON", |row| cell(&row.person.person)),
                ("USER", |row| cell(&row.user)),
                ("ACCOUNT", |row| cell(&row.person.account)),
                ("STATE", |row| person_state(&row.person).to_owned()),
                ("MAIL", |row| cell(&row.personal.as_ref().and_then(|PersonalData { email, .. }| email.as_ref()))),
            ];
            print_list(format, &columns, &rows);
        }
        PeopleCommand::Show { person } => {
            let Some((source, id)) = person.split_once('/') else {
                let person = escape_controls(person);
                return Err(Failure::Usage(format!(
                    "`{person}` names no source: write SOURCE/PERSON, as `rollcall people list` has them"
                )));
            };
            let shown = client.get::<PersonShown>(&api_path(&["people", source, id]), &[]).await?;
            print_object(format, &shown.json);
        }
    }
    Ok(Exit::Yes)
}
