//! `services`: the principals that are no people.

use serde_json::json;

use crate::{
    cli::{
        args::Services,
        output::{Form, cell},
        remote::request::{api, body, done, listed, shown, text},
    },
    client::{Client, Exit, Failure},
};

/// `services`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, form: Form, command: &Services) -> Result<Exit, Failure> {
    match command {
        Services::List => {
            let rows = client.list(&api(&["services"]), &[], usize::MAX).await?;
            listed(form, &[("SERVICE", "id"), ("NAME", "name"), ("EVENT", "position")], &rows);
        }
        Services::Show { id } => {
            let service = client.get(&api(&["services", id]), &[]).await?;
            shown(form, &service);
            if matches!(form, Form::Text(_)) {
                let rows = client.whole(&api(&["services", id, "secrets"])).await?;
                let columns = [("SECRET", "id"), ("LABEL", "label"), ("ISSUED", "issued_at"), ("EXPIRES", "expires")];
                listed(form, &columns, &rows);
            }
        }
        Services::Create { id, name } => {
            let body = body([("id", Some(json!(id))), ("name", text(name))]);
            let answer = client.post(&api(&["services"]), &body).await?;
            done(form, &answer, &format!("service {id} is made; it may do nothing until `bindings set` says so"));
        }
        Services::Remove { id } => {
            let answer = client.delete(&api(&["services", id])).await?;
            done(form, &answer, &format!("service {id} is removed; it signs in no more"));
        }
        Services::Secret { id, label, expires } => {
            let body = body([("label", text(label)), ("expires", text(expires))]);
            let issued = client.post(&api(&["services", id, "secrets"]), &body).await?;
            form.show(&issued, |_| format!("{}\n", cell(&issued, "secret")));
        }
        Services::Revoke { id, secret } => {
            let answer = client.delete(&api(&["services", id, "secrets", secret])).await?;
            done(form, &answer, &format!("{secret} is over; it signs nobody in from now on"));
        }
    }
    Ok(Exit::Yes)
}
