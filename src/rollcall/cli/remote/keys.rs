//! `keys` and `reload`: the keys that sign registry tokens, and secrets and certificates read anew. The bundle is also read
//! from the key files where no server runs.

use rollcall_app::{
    List, ReloadOutcome, Reloaded, RenewalStep, SigningAuthority, SigningKey, operations::keys::Renewal,
};
use rollcall_events::Clock;
use rollcall_registry::Keys as KeyFiles;
use serde_json::json;

use crate::{
    cli::{
        output::{Column, OutputFormat, cell, table_of},
        remote::request::{api_path, print_list},
    },
    client::{Client, Exit, Failure},
    config::{data_dir::DataDir, load::Loaded},
    server::{clock::SystemClock, key_options},
};

/// `keys list`.
///
/// # Errors
/// As [`Failure`].
pub async fn list(client: &Client, format: OutputFormat) -> Result<Exit, Failure> {
    let rows = client.items(&api_path(&["keys"])).await?;
    let columns: [Column<SigningKey>; 5] = [
        ("KEY", |row| cell(&row.kid)),
        ("ALGORITHM", |row| cell(&row.algorithm)),
        ("SIGNS", |row| cell(&row.current)),
        ("FROM", |row| cell(&row.not_before)),
        ("UNTIL", |row| cell(&row.not_after)),
    ];
    print_list(format, &columns, &rows);
    Ok(Exit::Yes)
}

/// `keys rotate`.
///
/// # Errors
/// As [`Failure`].
pub async fn rotate(client: &Client, format: OutputFormat) -> Result<Exit, Failure> {
    let key = client.post::<SigningKey>(&api_path(&["keys", "rotate"]), &json!({})).await?;
    format.print(&key.json, |_| {
        format!("{} signs from now on; registries that have the bundle need no change\n", cell(&key.value.kid))
    });
    Ok(Exit::Yes)
}

const AUTHORITIES: [Column<SigningAuthority>; 4] = [
    ("AUTHORITY", |row| cell(&row.name)),
    ("ROLE", |row| cell(&row.role)),
    ("UNTIL", |row| cell(&row.not_after)),
    ("REPLACED BY", |row| cell(&row.takeover)),
];

/// `keys authorities`.
///
/// # Errors
/// As [`Failure`].
pub async fn authorities(client: &Client, format: OutputFormat) -> Result<Exit, Failure> {
    let rows = client.items(&api_path(&["keys", "authorities"])).await?;
    print_list(format, &AUTHORITIES, &rows);
    Ok(Exit::Yes)
}

/// `keys renew-authority` and `keys use-authority`.
///
/// # Errors
/// As [`Failure`].
pub async fn renew(client: &Client, format: OutputFormat, step: RenewalStep) -> Result<Exit, Failure> {
    let list = client.post::<List<SigningAuthority>>(&api_path(&["keys", "authorities"]), &Renewal { step }).await?;
    let next = match step {
        RenewalStep::Make => {
            "now give every registry the bundle with both and restart it: rollcall keys bundle > bundle.pem\n\
             then certify with the next one: rollcall keys use-authority\n"
        }
        RenewalStep::Use => "from now on it certifies; registries need the bundle that has it\n",
    };
    format.print(&list.json, |paint| table_of(paint, &AUTHORITIES, &list.value.items) + next);
    Ok(Exit::Yes)
}

/// `keys begin-anew`.
///
/// # Errors
/// When there are keys, or they cannot be made.
pub fn begin_anew(loaded: &Loaded, format: OutputFormat) -> Result<Exit, Failure> {
    let config = &loaded.config;
    let dir = DataDir::new(&config.server.data_dir);
    dir.check_own()?;
    let keys = KeyFiles::begin_anew(&dir.file("keys"), key_options(&config.token), SystemClock.now());
    let names: Vec<String> = keys.map_err(anyhow::Error::from)?.authorities().into_iter().map(|one| one.name).collect();
    format.print(&json!({"authorities": names}), |_| {
        "new keys were made; start the server and give every registry the new bundle: rollcall keys bundle > bundle.pem\n"
            .to_owned()
    });
    Ok(Exit::Yes)
}

/// `keys bundle`: what the server says, or its key files where it does not run.
///
/// # Errors
/// When neither is there.
pub async fn bundle(client: anyhow::Result<Client>, dir: &DataDir, format: OutputFormat) -> Result<Exit, Failure> {
    let asked = match client {
        Ok(client) => client.text(&api_path(&["keys", "bundle"]), &[]).await,
        Err(error) => Err(Failure::Unreachable(format!("{error:#}"))),
    };
    let keys = dir.file("keys");
    let text = match asked {
        Ok(text) => text,
        Err(Failure::Unreachable(_)) if keys.is_dir() => KeyFiles::bundle_in(&keys).map_err(anyhow::Error::from)?,
        Err(failure) => return Err(failure),
    };
    format.print(&json!({"bundle": text}), |_| text.clone());
    Ok(Exit::Yes)
}

/// `reload`. No where something could not be used.
///
/// # Errors
/// As [`Failure`].
pub async fn reload(client: &Client, format: OutputFormat) -> Result<Exit, Failure> {
    let answer = client.post::<Reloaded>(&api_path(&["reload"]), &json!({})).await?;
    let Reloaded { items, restart } = &answer.value;
    format.print(&answer.json, |paint| {
        let mut out = String::new();
        for item in items {
            let word = match item.outcome {
                ReloadOutcome::Reloaded => paint.good("reloaded"),
                ReloadOutcome::Unchanged => paint.dim("unchanged"),
                ReloadOutcome::Kept => paint.bad("the old one stays"),
            };
            out.push_str(&format!("{}: {word}: {}\n", cell(&item.what), cell(&item.detail)));
        }
        for key in restart {
            out.push_str(&format!("{} has another value now, which counts after a restart\n", cell(key)));
        }
        out
    });
    let kept = items.iter().any(|item| item.outcome == ReloadOutcome::Kept);
    Ok(if kept { Exit::No } else { Exit::Yes })
}
