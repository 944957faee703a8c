//! `secrets`: what people sign in to the registry with, in the format that each client takes.

use base64::{Engine, prelude::BASE64_STANDARD};
use rollcall_app::access::secrets::{InvitationIssued, MadeShown, NewSecret, SecretIssued, SecretRevoked, SecretShown};
use serde_json::json;

use crate::{
    cli::{
        args::{SecretFormat, SecretsCommand},
        output::{Column, OutputFormat, cell, escape_controls, shell_quote, table_of},
        remote::request::{api_path, parse_time, print_list},
    },
    client::{Client, Exit, Failure, Reply},
};

/// `secrets`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &SecretsCommand) -> Result<Exit, Failure> {
    match command {
        SecretsCommand::Issue { user, label, expires, format: secret_format, registry } => {
            let new = NewSecret { label: label.clone(), expires: parse_time(expires)? };
            let issued = client.post::<SecretIssued>(&api_path(&["users", user, "secrets"]), &new).await?;
            let host = client.base().split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
            let registry = registry.as_deref().unwrap_or(host);
            let SecretIssued { user, secret, .. } = &issued.value;
            format.print(&issued.json, |_| secret_text(*secret_format, registry, &cell(user), &cell(secret)));
        }
        SecretsCommand::List { user } => {
            let rows = client.items(&api_path(&["users", user, "secrets"])).await?;
            let columns: [Column<SecretShown>; 5] = [
                ("SECRET", |row| cell(&row.id)),
                ("LABEL", |row| cell(&row.label)),
                ("ISSUED", |row| cell(&row.issued_at)),
                ("EXPIRES", |row| cell(&row.expires)),
                ("INVITATION", |row| cell(&row.invitation)),
            ];
            print_list(format, &columns, &rows);
        }
        SecretsCommand::Revoke { user, id, made } => {
            let path = api_path(&["users", user, "secrets", id]);
            let revoked = client.delete_with::<SecretRevoked>(&path, &[("made", made.choice().to_owned())]).await?;
            let again =
                format!("rollcall secrets revoke {} {} --with-what-it-made", shell_quote(user), shell_quote(id));
            print_revoked(format, &revoked, id, &again);
        }
        SecretsCommand::Made { user, id } => {
            print_list(format, &MADE, &client.items(&api_path(&["users", user, "secrets", id, "made"])).await?);
        }
        SecretsCommand::Invite { user } => {
            let made = client.post::<InvitationIssued>(&api_path(&["users", user, "invitations"]), &json!({})).await?;
            let InvitationIssued { code, path, expires, .. } = &made.value;
            let address = format!("{}{}", client.base(), cell(path));
            format.print(&made.json, |_| {
                format!(
                    "{}\nRedeem it once, until {}:\n  curl -X POST -H 'content-type: application/json' -d '{{}}' {}\n",
                    cell(code),
                    cell(expires),
                    shell_quote(&address)
                )
            });
        }
    }
    Ok(Exit::Yes)
}

/// What a secret made, as a table.
pub const MADE: [Column<MadeShown>; 5] = [
    ("MADE", |row| cell(&row.kind)),
    ("ID", |row| cell(&row.id)),
    ("WHOSE", |row| cell(&row.whose)),
    ("UNTIL", |row| cell(&row.until)),
    ("NOW", |row| cell(&row.outcome)),
];

/// What became of a secret and of what it made.
pub fn print_revoked(format: OutputFormat, revoked: &Reply<SecretRevoked>, id: &str, again: &str) {
    format.print(&revoked.json, |paint| {
        let mut text = format!("{} is over; it signs nobody in from now on\n", escape_controls(id));
        let made = &revoked.value.made;
        if made.is_empty() {
            return text;
        }
        text.push_str("What it made:\n");
        text.push_str(&table_of(paint, &MADE, made));
        if made.iter().any(|one| one.outcome == "kept") && !again.is_empty() {
            text.push_str(&format!("To end what can end with it: {}\n", escape_controls(again)));
        }
        text
    });
}

/// A secret in the format that a client takes it in.
fn secret_text(format: SecretFormat, registry: &str, user: &str, secret: &str) -> String {
    let auth = BASE64_STANDARD.encode(format!("{user}:{secret}"));
    let config = json!({"auths": {registry: {"auth": auth}}});
    match format {
        SecretFormat::Plain => format!("{secret}\n"),
        SecretFormat::DockerConfig => format!("{config:#}\n"),
        SecretFormat::K8s => format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: rollcall-pull\ntype: kubernetes.io/dockerconfigjson\ndata:\n  .dockerconfigjson: {}\n",
            BASE64_STANDARD.encode(config.to_string())
        ),
        SecretFormat::Helm => format!(
            "printf %s {} | helm registry login {} --username {} --password-stdin\n",
            shell_quote(secret),
            shell_quote(registry),
            shell_quote(user)
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_pull_secret_can_be_pasted_in_every_form() {
        let (registry, user, secret) = ("r.test:5000", "ada@globex.test", "rcs_x");
        assert_eq!(secret_text(SecretFormat::Plain, registry, user, secret), "rcs_x\n");
        let config: Value =
            serde_json::from_str(&secret_text(SecretFormat::DockerConfig, registry, user, secret)).unwrap();
        let auth = config["auths"][registry]["auth"].as_str().unwrap();
        assert_eq!(BASE64_STANDARD.decode(auth).unwrap(), b"ada@globex.test:rcs_x");
        let k8s = secret_text(SecretFormat::K8s, registry, user, secret);
        let encoded = k8s.trim().rsplit(' ').next().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&BASE64_STANDARD.decode(encoded).unwrap()).unwrap(), config);
        assert_eq!(
            secret_text(SecretFormat::Helm, registry, "a b", secret),
            "printf %s rcs_x | helm registry login r.test:5000 --username 'a b' --password-stdin\n"
        );
    }
}
