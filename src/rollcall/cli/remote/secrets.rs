//! `secrets`: what people sign in to the registry with, in the format that each client takes.

use base64::{Engine, prelude::BASE64_STANDARD};
use rollcall_app::access::secret_list::SecretListed;
use rollcall_app::access::secrets::{
    InvitationIssued, MadeShown, NewSecret, RegistryShown, SecretIssued, SecretRevoked,
};
use serde_json::json;

use crate::{
    cli::{
        args::{SecretFormat, SecretsCommand},
        output::{Column, OutputFormat, cell, escape_controls, shell_quote, table_of},
        remote::request::{api_path, parse_end, print_list, query_of},
    },
    client::{Client, Exit, Failure, Reply},
    config::names_a_registry,
    stderr::note,
};

/// `secrets`.
///
/// # Errors
/// As [`Failure`].
pub async fn run(client: &Client, format: OutputFormat, command: &SecretsCommand) -> Result<Exit, Failure> {
    match command {
        SecretsCommand::Issue { user, label, expires, format: secret_format, registry } => {
            let new = NewSecret { label: label.clone(), expires: parse_end(expires)? };
            // Before a secret is made that nobody would see.
            let registry = registry_host(client, *secret_format, registry.as_deref()).await?;
            let issued = client.post::<SecretIssued>(&api_path(&["users", user, "secrets"]), &new).await?;
            let SecretIssued { user, secret, shut_out, .. } = &issued.value;
            format.print(&issued.json, |_| secret_text(*secret_format, &registry, &cell(user), &cell(secret)));
            warn_shut_out(shut_out.as_deref(), "the secret is good when that ends");
        }
        SecretsCommand::List { user, service, made_by, label } => {
            let filters = [("user", user), ("service", service), ("made_by", made_by), ("label", label)];
            let rows = client.all_pages(&api_path(&["secrets"]), &query_of(filters), usize::MAX).await?;
            let columns: [Column<SecretListed>; 8] = [
                ("USER", |row| cell(&row.user)),
                ("SERVICE", |row| cell(&row.service)),
                ("SECRET", |row| cell(&row.secret.id)),
                ("LABEL", |row| cell(&row.secret.label)),
                ("ISSUED", |row| cell(&row.secret.issued_at)),
                ("EXPIRES", |row| cell(&row.secret.expires)),
                ("INVITATION", |row| cell(&row.secret.invitation)),
                ("PARTED", |row| cell(&row.secret.parted)),
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
            let InvitationIssued { code, path, expires, shut_out, .. } = &made.value;
            let address = format!("{}{}", client.base(), cell(path));
            format.print(&made.json, |_| {
                format!(
                    "{}\nRedeem it once, until {}:\n  curl -X POST -H 'content-type: application/json' -d '{{}}' {}\n",
                    cell(code),
                    cell(expires),
                    shell_quote(&address)
                )
            });
            warn_shut_out(shut_out.as_deref(), "a secret that it fetches is good when that ends");
        }
    }
    Ok(Exit::Yes)
}

/// The registry that a secret is printed for: as the command line names it, else as the server's configuration does.
async fn registry_host(client: &Client, format: SecretFormat, named: Option<&str>) -> Result<String, Failure> {
    if let Some(named) = named {
        if !names_a_registry(named) {
            let named = named.escape_debug();
            return Err(Failure::Usage(format!("`--registry {named}` is no registry: a host, perhaps with a port")));
        }
        return Ok(named.to_owned());
    }
    if format == SecretFormat::Plain {
        return Ok(String::new());
    }
    let answer = client.get::<RegistryShown>(&api_path(&["registry"]), &[]).await?;
    answer.value.host.ok_or_else(|| {
        let what = "which registry is it for? Name it with `--registry HOST`, or once for all with `token.registry` in the server's configuration. No secret was made.";
        Failure::Usage(what.to_owned())
    })
}

/// On standard error, so that what is printed can still be pasted.
fn warn_shut_out(why: Option<&str>, later: &str) {
    if let Some(why) = why {
        note(&format!("rollcall: {}; {later}\n", escape_controls(why)));
    }
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
