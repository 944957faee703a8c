//! `secrets`: what people sign in to the registry with, in the format that each client takes.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    cli::{
        args::{SecretFormat, Secrets},
        output::{OutputFormat, escape_controls, field_table, field_text, shell_quote},
        remote::request::{api_path, json_object, optional_text},
    },
    client::{Client, Exit, Failure},
};

/// `secrets`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &Secrets) -> Result<Exit, Failure> {
    match command {
        Secrets::Issue { user, label, expires, format: secret_format, registry } => {
            let body = json_object([("label", optional_text(label)), ("expires", optional_text(expires))]);
            let issued = client.post(&api_path(&["users", user, "secrets"]), &body).await?;
            let host = client.base().split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
            let registry = registry.as_deref().unwrap_or(host);
            format.print(&issued, |_| {
                secret_text(*secret_format, registry, &field_text(&issued, "user"), &field_text(&issued, "secret"))
            });
        }
        Secrets::List { user } => {
            let rows = client.items(&api_path(&["users", user, "secrets"])).await?;
            let columns = [
                ("SECRET", "id"),
                ("LABEL", "label"),
                ("ISSUED", "issued_at"),
                ("EXPIRES", "expires"),
                ("INVITATION", "invitation"),
            ];
            format.print(&Value::Array(rows.clone()), |paint| field_table(paint, &columns, &rows));
        }
        Secrets::Revoke { user, id } => {
            let done = client.delete(&api_path(&["users", user, "secrets", id])).await?;
            format.print(&done, |_| format!("{} is over; it signs nobody in from now on\n", escape_controls(id)));
        }
        Secrets::Invite { user } => {
            let made = client.post(&api_path(&["users", user, "invitations"]), &json!({})).await?;
            let address = format!("{}{}", client.base(), field_text(&made, "path"));
            format.print(&made, |_| {
                format!(
                    "{}\nRedeem it once, until {}:\n  curl -X POST -H 'content-type: application/json' -d '{{}}' {}\n",
                    field_text(&made, "code"),
                    field_text(&made, "expires"),
                    shell_quote(&address)
                )
            });
        }
    }
    Ok(Exit::Yes)
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
