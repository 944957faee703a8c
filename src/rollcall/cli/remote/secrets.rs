//! `secrets`: what people sign in to the registry with, in the form that each client takes.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{
    cli::{
        args::{SecretFormat, Secrets},
        output::{Form, cell, clean, members, shell_word},
        remote::request::{api, body, text},
    },
    client::{Client, Exit, Failure},
};

/// `secrets`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, form: Form, command: &Secrets) -> Result<Exit, Failure> {
    match command {
        Secrets::Issue { user, label, expires, format, registry } => {
            let body = body([("label", text(label)), ("expires", text(expires))]);
            let issued = client.post(&api(&["users", user, "secrets"]), &body).await?;
            let host = client.base().split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
            let registry = registry.as_deref().unwrap_or(host);
            form.show(&issued, |_| pull_secret(*format, registry, &cell(&issued, "user"), &cell(&issued, "secret")));
        }
        Secrets::List { user } => {
            let rows = client.whole(&api(&["users", user, "secrets"])).await?;
            let columns = [
                ("SECRET", "id"),
                ("LABEL", "label"),
                ("ISSUED", "issued_at"),
                ("EXPIRES", "expires"),
                ("INVITATION", "invitation"),
            ];
            form.show(&Value::Array(rows.clone()), |paint| members(paint, &columns, &rows));
        }
        Secrets::Revoke { user, id } => {
            let done = client.delete(&api(&["users", user, "secrets", id])).await?;
            form.show(&done, |_| format!("{} is over; it signs nobody in from now on\n", clean(id)));
        }
        Secrets::Invite { user } => {
            let made = client.post(&api(&["users", user, "invitations"]), &json!({})).await?;
            let address = format!("{}{}", client.base(), cell(&made, "path"));
            form.show(&made, |_| {
                format!(
                    "{}\nRedeem it once, until {}:\n  curl -X POST -H 'content-type: application/json' -d '{{}}' {}\n",
                    cell(&made, "code"),
                    cell(&made, "expires"),
                    shell_word(&address)
                )
            });
        }
    }
    Ok(Exit::Yes)
}

/// A secret in the form that a client takes it in.
fn pull_secret(format: SecretFormat, registry: &str, user: &str, secret: &str) -> String {
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
            shell_word(secret),
            shell_word(registry),
            shell_word(user)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_secret_can_be_pasted_in_every_form() {
        let (registry, user, secret) = ("r.test:5000", "ada@globex.test", "rcs_x");
        assert_eq!(pull_secret(SecretFormat::Plain, registry, user, secret), "rcs_x\n");
        let config: Value =
            serde_json::from_str(&pull_secret(SecretFormat::DockerConfig, registry, user, secret)).unwrap();
        let auth = config["auths"][registry]["auth"].as_str().unwrap();
        assert_eq!(BASE64_STANDARD.decode(auth).unwrap(), b"ada@globex.test:rcs_x");
        let k8s = pull_secret(SecretFormat::K8s, registry, user, secret);
        let encoded = k8s.trim().rsplit(' ').next().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&BASE64_STANDARD.decode(encoded).unwrap()).unwrap(), config);
        assert_eq!(
            pull_secret(SecretFormat::Helm, registry, "a b", secret),
            "printf %s rcs_x | helm registry login r.test:5000 --username 'a b' --password-stdin\n"
        );
    }
}
