//! `users`: who can sign in, the people that each is, and what each may do; what makes people one user is in `identity`.

use rollcall_app::{
    List,
    access::{
        identity::NewUserName,
        users::{Access, Person, User},
    },
};
use serde_json::Value;

use crate::{
    cli::{
        args::UsersCommand,
        output::{ColorMode, Column, OutputFormat, cell, table_of},
        remote::{
            identity,
            reports::reasons_text,
            request::{api_path, print_list, query_of},
        },
    },
    client::{Client, Exit, Failure},
};

/// `users`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &UsersCommand) -> Result<Exit, Failure> {
    match command {
        UsersCommand::List { name, source, account, shut_out } => {
            let shut_out = shut_out.then(|| "true".to_owned());
            let filters = [("name", name), ("source", source), ("account", account), ("shut_out", &shut_out)];
            let rows = client.all_pages(&api_path(&["users"]), &query_of(filters), usize::MAX).await?;
            let columns: [Column<User>; 4] = [
                ("USER", |row| cell(&row.name)),
                ("STATE", |row| state(row).to_owned()),
                ("PEOPLE", |row| row.persons.iter().map(person_key).collect::<Vec<_>>().join(", ")),
                ("ACCOUNT", |row| accounts(row)),
            ];
            print_list(format, &columns, &rows);
        }
        UsersCommand::Show { user } => {
            let shown = client.get::<User>(&api_path(&["users", user]), &[]).await?;
            let access = client.get::<List<Access>>(&api_path(&["users", user, "access"]), &[]).await?;
            let mut json = shown.json;
            if let (Value::Object(members), Some(roles)) = (&mut json, access.json.get("items")) {
                members.insert("access".to_owned(), roles.clone());
            }
            format.print(&json, |paint| text(paint, &shown.value, &access.value.items));
        }
        UsersCommand::Link(args) => return identity::link(client, format, args).await,
        UsersCommand::Unlink(args) => return identity::unlink(client, format, args).await,
        UsersCommand::Links => return identity::links(client, format).await,
        UsersCommand::Rename { user, name, with_personal_project } => {
            let new = NewUserName { username: name.clone(), with_personal_project: *with_personal_project };
            return identity::rename(client, format, user, &new).await;
        }
        UsersCommand::Free { name, with_personal_project } => {
            return identity::free(client, format, name, *with_personal_project).await;
        }
    }
    Ok(Exit::Yes)
}

fn state(user: &User) -> &'static str {
    if user.shut_out { "shut out" } else { "may sign in" }
}

fn person_key(person: &Person) -> String {
    format!("{}/{}", cell(&person.source), cell(&person.person))
}

/// Each account once.
fn accounts(user: &User) -> String {
    let mut all: Vec<String> = user.persons.iter().filter_map(|person| person.account.as_ref()).map(cell).collect();
    all.sort();
    all.dedup();
    all.join(", ")
}

/// What a source says of a person.
pub fn person_state(person: &Person) -> &'static str {
    match person {
        Person { removed: true, .. } => "removed",
        Person { active: false, .. } => "inactive",
        Person { suspended: true, .. } => "source suspended",
        _ => "active",
    }
}

fn text(paint: ColorMode, user: &User, access: &[Access]) -> String {
    let mut out = format!("{}  {}  {}\n", paint.bold(&cell(&user.name)), state(user), paint.dim(&cell(&user.id)));
    for name in &user.looks_like {
        out.push_str(&format!("looks like {}, which is another user\n", cell(name)));
    }
    for name in &user.name_asked_by {
        out.push_str(&format!("the name is asked for by another user too, who is called {}\n", cell(name)));
    }
    let people: [Column<Person>; 5] = [
        ("PERSON", person_key),
        ("NAME", |row| cell(&row.username)),
        ("ACCOUNT", |row| cell(&row.account)),
        ("STATE", |row| person_state(row).to_owned()),
        ("NAME NOT IN EFFECT", |row| {
            row.asked_name
                .as_ref()
                .map(|asked| format!("{}: {}", cell(&asked.name), cell(&asked.why)))
                .unwrap_or_default()
        }),
    ];
    out.push_str(&format!("\n{}", table_of(paint, &people, &user.persons)));
    if access.is_empty() {
        out.push_str("\nno role in any project\n");
        return out;
    }
    let roles: [Column<Access>; 3] = [
        ("PROJECT", |row| cell(&row.project)),
        ("ROLE", |row| cell(&row.role)),
        ("BECAUSE OF", |row| reasons_text(&row.reasons)),
    ];
    out.push_str(&format!("\n{}", table_of(paint, &roles, access)));
    out
}
