//! `services`: the principals that are no people.

use serde_json::json;

use crate::{
    cli::{
        args::Services,
        output::{OutputFormat, field_text},
        remote::request::{api_path, json_object, optional_text, print_change, print_list, print_object},
    },
    client::{Client, Exit, Failure},
};

/// `services`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &Services) -> Result<Exit, Failure> {
    match command {
        Services::List => {
            let rows = client.all_pages(&api_path(&["services"]), &[], usize::MAX).await?;
            print_list(format, &[("SERVICE", "id"), ("NAME", "name"), ("EVENT", "position")], &rows);
        }
        Services::Show { id } => {
            let service = client.get(&api_path(&["services", id]), &[]).await?;
            print_object(format, &service);
            if matches!(format, OutputFormat::Text(_)) {
                let rows = client.items(&api_path(&["services", id, "secrets"])).await?;
                let columns = [("SECRET", "id"), ("LABEL", "label"), ("ISSUED", "issued_at"), ("EXPIRES", "expires")];
                print_list(format, &columns, &rows);
            }
        }
        Services::Create { id, name } => {
            let body = json_object([("id", Some(json!(id))), ("name", optional_text(name))]);
            let answer = client.post(&api_path(&["services"]), &body).await?;
            print_change(
                format,
                &answer,
                &format!("service {id} is made; it may do nothing until `bindings set` says so"),
            );
        }
        Services::Remove { id } => {
            let answer = client.delete(&api_path(&["services", id])).await?;
            print_change(format, &answer, &format!("service {id} is removed; it signs in no more"));
        }
        Services::Secret { id, label, expires } => {
            let body = json_object([("label", optional_text(label)), ("expires", optional_text(expires))]);
            let issued = client.post(&api_path(&["services", id, "secrets"]), &body).await?;
            format.print(&issued, |_| format!("{}\n", field_text(&issued, "secret")));
        }
        Services::Revoke { id, secret } => {
            let answer = client.delete(&api_path(&["services", id, "secrets", secret])).await?;
            print_change(format, &answer, &format!("{secret} is over; it signs nobody in from now on"));
        }
    }
    Ok(Exit::Yes)
}
