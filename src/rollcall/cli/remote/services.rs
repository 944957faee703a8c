//! `services`: the principals that are no people.

use rollcall_app::{
    CommandOutcome, Created,
    access::{
        secrets::{NewSecret, SecretIssued, SecretRevoked, SecretShown},
        services::{NewService, ServiceShown},
    },
};
use serde_json::Value;

use crate::{
    cli::{
        args::ServicesCommand,
        output::{Column, OutputFormat, cell, shell_quote},
        remote::request::{api_path, parse_end, print_change, print_list, print_object},
        remote::secrets::{MADE, print_revoked},
    },
    client::{Client, Exit, Failure},
};

/// `services`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &ServicesCommand) -> Result<Exit, Failure> {
    match command {
        ServicesCommand::List => {
            let rows = client.all_pages(&api_path(&["services"]), &[], usize::MAX).await?;
            let columns: [Column<ServiceShown>; 3] = [
                ("SERVICE", |row| cell(&row.id)),
                ("NAME", |row| cell(&row.name)),
                ("EVENT", |row| cell(&row.position)),
            ];
            print_list(format, &columns, &rows);
        }
        ServicesCommand::Show { id } => {
            let service = client.get::<Value>(&api_path(&["services", id]), &[]).await?;
            print_object(format, &service.json);
            if matches!(format, OutputFormat::Text(_)) {
                let rows = client.items(&api_path(&["services", id, "secrets"])).await?;
                let columns: [Column<SecretShown>; 4] = [
                    ("SECRET", |row| cell(&row.id)),
                    ("LABEL", |row| cell(&row.label)),
                    ("ISSUED", |row| cell(&row.issued_at)),
                    ("EXPIRES", |row| cell(&row.expires)),
                ];
                print_list(format, &columns, &rows);
            }
        }
        ServicesCommand::Create { id, name, ends, sources } => {
            let new =
                NewService { id: id.clone(), name: name.clone(), ends: parse_end(ends)?, sources: sources.clone() };
            let answer = client.post::<Created>(&api_path(&["services"]), &new).await?;
            let text = format!("service {id} is made; it may do nothing until `bindings set` says so");
            print_change(format, &answer, &text);
        }
        ServicesCommand::Remove { id } => {
            let answer = client.delete::<CommandOutcome>(&api_path(&["services", id])).await?;
            print_change(format, &answer, &format!("service {id} is removed; it signs in no more"));
        }
        ServicesCommand::Secret { id, label, expires } => {
            let new = NewSecret { label: label.clone(), expires: parse_end(expires)? };
            let issued = client.post::<SecretIssued>(&api_path(&["services", id, "secrets"]), &new).await?;
            format.print(&issued.json, |_| format!("{}\n", cell(&issued.value.secret)));
        }
        ServicesCommand::Revoke { id, secret, made } => {
            let path = api_path(&["services", id, "secrets", secret]);
            let revoked = client.delete_with::<SecretRevoked>(&path, &[("made", made.choice().to_owned())]).await?;
            let again =
                format!("rollcall services revoke {} {} --with-what-it-made", shell_quote(id), shell_quote(secret));
            print_revoked(format, &revoked, secret, &again);
        }
        ServicesCommand::Made { id, secret } => {
            print_list(format, &MADE, &client.items(&api_path(&["services", id, "secrets", secret, "made"])).await?);
        }
    }
    Ok(Exit::Yes)
}
