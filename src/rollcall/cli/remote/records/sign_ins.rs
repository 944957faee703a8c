//! `sign-ins`: whose name was tried in vain, from where and why.

use rollcall_app::{List, access::sign_ins::RefusedSignIns};

use crate::{
    cli::{
        output::{Column, OutputFormat, cell},
        remote::request::{api_path, print_list},
    },
    client::{Client, Exit, Failure, Reply},
};

/// `sign-ins`.
///
/// # Errors
/// As [`Failure`].
pub async fn list(client: &Client, format: OutputFormat, user: Option<&str>) -> Result<Exit, Failure> {
    let query: Vec<(&str, String)> = user.iter().map(|user| ("user", (*user).to_owned())).collect();
    let answer = client.get::<List<RefusedSignIns>>(&api_path(&["refused-sign-ins"]), &query).await?;
    let items = answer.json.get("items").cloned().unwrap_or_default();
    let rows = Reply { json: items, value: answer.value.items };
    let columns: [Column<RefusedSignIns>; 5] = [
        ("LAST", |row| cell(&row.last)),
        ("NAME", |row| cell(&row.name)),
        ("CLIENT", |row| cell(&row.client)),
        ("CAUSE", |row| cell(&row.cause)),
        ("TIMES", |row| cell(&row.count)),
    ];
    print_list(format, &columns, &rows);
    Ok(Exit::Yes)
}
